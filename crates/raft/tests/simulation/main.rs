//! Groups of Raft replicas, simulated: disks that lose what was not durable, networks that lose, repeat
//! and reorder, nodes that crash, pause and join, clocks that differ; and laws that hold all the same.
//!
//! `RAFT_SEED=7` runs one seed and says what happens; `RAFT_SEEDS=0..10000` runs those seeds.

mod clients;
mod disk;
mod drive;
mod event;
mod faults;
mod laws;
mod lies;
mod node;
mod profile;
mod random;
mod snapshots;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use laws::Broken;
use world::{Ask, World};

/// Seeds that every run of the tests tries.
const SEEDS: Range<u64> = 0..400;
/// After so many seeds that break a law, the others tell no more.
const BROKEN_MAX: usize = 5;

/// What became of a seed.
pub struct Ended {
    /// The law that did not hold.
    pub broken: Option<Broken>,
    /// Of all that happened.
    pub trace: u64,
    /// How much of what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs a world to its end.
pub fn run(ask: Ask) -> Ended {
    let mut world = World::new(ask);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let panicked = ran.is_err().then(|| Broken {
        law: "no panic",
        how: "the engine or the simulation has panicked".to_owned(),
    });
    let simulated = world.now / 1_000;
    world.count("simulated ms", simulated);
    Ended {
        broken: panicked.or(world.laws.broken),
        trace: world.trace,
        counts: world.counts,
    }
}

/// Runs seeds on as many threads as there are processors; gives what went wrong, and sums.
fn run_all(seeds: Range<u64>) -> (BTreeMap<u64, Broken>, BTreeMap<&'static str, u64>) {
    let next = AtomicU64::new(seeds.start);
    let broken: Mutex<BTreeMap<u64, Broken>> = Mutex::default();
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || lock(&broken).len() >= BROKEN_MAX {
                return;
            }
            let ended = run(Ask {
                seed,
                ..Ask::default()
            });
            for (what, by) in ended.counts {
                *lock(&counts).entry(what).or_default() += by;
            }
            if let Some(how) = ended.broken {
                println!("seed {seed} breaks “{}”: {}", how.law, how.how);
                println!("  replay: RAFT_SEED={seed} cargo test -p consign-raft --test simulation");
                lock(&broken).insert(seed, how);
            }
        }
    };
    let threads = std::env::var("RAFT_THREADS")
        .ok()
        .and_then(|it| it.parse().ok());
    let threads =
        threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    (
        broken.into_inner().unwrap_or_default(),
        counts.into_inner().unwrap_or_default(),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whatever befalls a group, its laws hold.
#[test]
fn laws_hold_for_every_seed() {
    if let Some(seed) = number_of("RAFT_SEED") {
        let ended = run(Ask {
            seed,
            aloud: true,
            ..Ask::default()
        });
        println!("{:?}\ntrace {:016x}", ended.counts, ended.trace);
        return assert!(ended.broken.is_none(), "seed {seed}: {:?}", ended.broken);
    }
    let asked = std::env::var("RAFT_SEEDS").ok();
    let asked = asked.as_deref().and_then(|seeds| seeds.split_once(".."));
    let asked = asked.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let seeds = asked.unwrap_or(SEEDS);
    let (broken, counts) = run_all(seeds.clone());
    let hours = counts.get("simulated ms").copied().unwrap_or_default() as f64 / 3.6e6;
    println!(
        "{} seeds, {hours:.1} simulated hours",
        seeds.end - seeds.start
    );
    for (what, count) in &counts {
        println!("{count:>12} {what}");
    }
    let failed: Vec<u64> = broken.keys().copied().collect();
    assert!(failed.is_empty(), "seeds that break a law: {failed:?}");
}

/// A seed is all there is to a run.
#[test]
fn a_seed_replays_exactly() {
    for seed in 0..15 {
        let ask = Ask {
            seed,
            ..Ask::default()
        };
        assert_eq!(run(ask).trace, run(ask).trace, "seed {seed}");
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
