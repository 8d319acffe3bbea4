//! Worlds in which something around the engine is wrong: what clients see must show it.

use crate::profile::Lie;
use crate::run;
use crate::world::Ask;

/// Finds a seed in which a lie breaks a law that clients could see.
fn found_out(lie: Lie, seeds: u64) {
    let broken = (0..seeds).find_map(|seed| {
        let ended = run(Ask {
            seed,
            lie: Some(lie),
            ..Ask::default()
        });
        ended.broken.map(|broken| (seed, broken))
    });
    let (seed, broken) = broken.unwrap_or_else(|| panic!("{lie:?} passes for true"));
    println!(
        "{lie:?}: seed {seed} breaks “{}”: {}",
        broken.law, broken.how
    );
}

#[test]
fn a_disk_that_says_durable_early_is_found_out() {
    found_out(Lie::DurableEarly, 400);
}

#[test]
fn a_disk_that_forgets_votes_is_found_out() {
    found_out(Lie::VotesForgotten, 400);
}

#[test]
fn a_driver_that_says_voted_early_is_found_out() {
    found_out(Lie::VotesEarly, 400);
}

#[test]
fn a_driver_that_takes_all_for_committed_is_found_out() {
    found_out(Lie::AllIsCommitted, 400);
}

#[test]
fn a_driver_that_reads_at_once_is_found_out() {
    found_out(Lie::ReadsAtOnce, 400);
}

#[test]
fn a_driver_that_joins_reads_is_found_out() {
    found_out(Lie::ReadsJoin, 400);
}

#[test]
fn a_driver_that_acknowledges_what_is_appended_is_found_out() {
    found_out(Lie::AcksAppended, 400);
}

#[test]
fn a_driver_that_installs_early_is_found_out() {
    found_out(Lie::InstalledEarly, 400);
}
