//! Whole clusters in simulated time: the product's own service, gateway, transport, replicas and
//! journal on simulated machines, under faults drawn from a seed, and the laws counted at the end.
//!
//! ```text
//! main (processes of one seed each) ─► run ─► machines: nodes over disks, clocks and wires that fail
//!                                          ├► customers ─► history
//!                                          ├► faults, of machines, links and messages (post)
//!                                          └► judge ◄─ history, ledger (linearizability)
//! ```
//! Each seed has a process of its own, into which [`chance.c`] is preloaded: then nothing in it is
//! random, and a seed replays exactly.
//!
//! `SIMULATION_SEEDS=a..b` says which seeds to run, `SIMULATION_SEED=n` runs one and tells aloud what
//! happens. `scripts/soak` runs as many as there is time for.

mod customers;
mod execution;
mod faults;
mod history;
mod judge;
mod ledger;
mod lies;
mod machine;
mod network;
mod post;
mod processes;
mod run;
mod wires;

use std::ops::Range;

use lies::Lie;
use processes::{Child, Report};

/// Seeds that `cargo test` runs.
const SEEDS: Range<u64> = 0..24;
/// Seeds among which a lie must be found.
const LIE_SEEDS: Range<u64> = 0..12;

fn seeds() -> Range<u64> {
    let range = std::env::var("SIMULATION_SEEDS").ok();
    let range = range.as_deref().and_then(|range| range.split_once(".."));
    let number = |text: &str| text.parse().expect("SIMULATION_SEEDS is like 0..200");
    range.map_or(SEEDS, |(from, to)| number(from)..number(to))
}

#[test]
fn every_law_holds_under_every_seed() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let seed = seed.parse().expect("SIMULATION_SEED is a number");
        let report = Child::new(seed).aloud().run();
        println!("{report:?}");
        return Report::expect_lawful(&[report]);
    }
    let reports = processes::run_all(seeds(), Child::new);
    println!("{}", Report::sum(&reports));
    Report::expect_lawful(&reports);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 1_001, 1_002] {
        let twice = processes::run_all(0..2, |_| Child::new(seed));
        let traces: Vec<u64> = twice.iter().map(|report| report.trace).collect();
        assert_eq!(traces[0], traces[1], "seed {seed}: {twice:?}");
        assert_ne!(traces[0], 0, "nothing happened");
    }
}

#[test]
fn every_lie_is_found() {
    for lie in Lie::ALL {
        let reports = processes::run_all(LIE_SEEDS, |seed| Child::new(seed).told(lie));
        let found = reports.iter().filter(|report| report.found(lie)).count();
        println!("{lie:?}: found by {found} of {} seeds", reports.len());
        assert!(found > 0, "{lie:?} was not found: {reports:?}");
    }
}

/// What a child process does; nothing in the parent.
#[test]
fn one_seed() {
    processes::be_a_child();
}
