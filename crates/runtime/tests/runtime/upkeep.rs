//! Checkpoints, history, index, streams, backups, bounded memory.

use std::ops::Bound;
use std::sync::Arc;

use consign_runtime::{Call, NodeOptions, PartitionId, ReadError, RecordsError, restore};

use crate::support::{Command, Event, World, eventually, options, start, start_kept};

async fn add(world: &World, id: &str, amount: u64) {
    world
        .host
        .ask(id.into(), Command::Add(amount), Call::by("api"))
        .await
        .expect("done");
}

fn totals(world: &World) -> Vec<(u64, String)> {
    let rows = world.node.index_scan(
        Bound::Included(b"total".to_vec()),
        Bound::Excluded(b"totam".to_vec()),
        false,
        100,
    );
    let total = |key: &[u8]| {
        key[5..]
            .first_chunk::<8>()
            .map(|bytes| u64::from_be_bytes(*bytes))
            .expect("a total")
    };
    rows.expect("reads")
        .into_iter()
        .map(|(key, row)| (total(&key), row.owner.id().to_owned()))
        .collect()
}

/// The index sees every committed state, wherever its rows are.
#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_every_commit_across_checkpoints() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = start(options(dir.path())).await;
    for (id, amount) in [("a", 3), ("b", 1), ("c", 2)] {
        add(&world, id, amount).await;
    }
    let expect = |want: &[(u64, &str)]| {
        want.iter()
            .map(|(n, id)| (*n, (*id).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(totals(&world), expect(&[(1, "b"), (2, "c"), (3, "a")]));
    world.node.checkpoint_now().await.expect("written");
    assert_eq!(totals(&world), expect(&[(1, "b"), (2, "c"), (3, "a")]));
    add(&world, "b", 9).await;
    assert_eq!(totals(&world), expect(&[(2, "c"), (3, "a"), (10, "b")]));
    world.node.checkpoint_now().await.expect("written");
    world.node.halt().await;
    let world = start(options(dir.path())).await;
    add(&world, "c", 5).await;
    assert_eq!(totals(&world), expect(&[(3, "a"), (7, "c"), (10, "b")]));
    let mut key = b"total".to_vec();
    key.extend_from_slice(&7_u64.to_be_bytes());
    key.extend_from_slice(b"c");
    assert_eq!(
        world
            .node
            .index_get(&key)
            .expect("reads")
            .expect("found")
            .owner
            .id(),
        "c"
    );
    let reverse = world
        .node
        .index_scan(Bound::Unbounded, Bound::Unbounded, true, 2)
        .expect("reads");
    let owners: Vec<_> = reverse.iter().map(|(_, row)| row.owner.id()).collect();
    assert_eq!(owners, ["b", "c"]);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_reaches_over_checkpoints_and_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = start(options(dir.path())).await;
    for amount in 1..=40 {
        add(&world, "a", amount).await;
        add(&world, "other", 1).await;
        match amount % 10 {
            3 | 7 => world.node.checkpoint_now().await.expect("written"),
            9 => {
                world.node.halt().await;
                world = start(options(dir.path())).await;
            }
            _ => {}
        }
    }
    for after in [0, 1, 6, 7, 8, 22, 39, 40] {
        let events = world.host.history(&"a".into(), after, 7).expect("reads");
        let want: Vec<_> = (after + 1..=40).take(7).collect();
        assert_eq!(
            events.iter().map(|event| event.version).collect::<Vec<_>>(),
            want
        );
        assert!(
            events
                .iter()
                .all(|event| event.event == Event::Added(0, event.version))
        );
    }
    let then = world
        .host
        .read_at(&"a".into(), 25)
        .expect("reads")
        .expect("was so");
    assert_eq!(then.total(), (1..=25).sum::<u64>());
    assert_eq!(world.host.read_at(&"a".into(), 41).expect("reads"), None);
    world.node.shutdown().await;
}

/// A stream reads every record once, in order, from any index, whatever moves underneath.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_without_a_gap() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = Arc::new(start(options(dir.path())).await);
    let mut commits = world.node.commits();
    let writer = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for n in 0..300 {
                add(&world, &format!("e{}", n % 9), 1).await;
                if n % 50 == 49 {
                    world.node.checkpoint_now().await.expect("written");
                }
            }
        })
    };
    let mut next = [1_u64; 3];
    let mut events = 0;
    while events < 300 {
        for partition in 0..3_u16 {
            let at = &mut next[usize::from(partition)];
            for record in world
                .node
                .records(PartitionId(partition), *at, 16)
                .expect("kept")
            {
                assert_eq!(record.index, *at);
                *at += 1;
                events += world.host.decode(&record).expect("decodes").items.len();
            }
        }
        if events < 300 && !writer.is_finished() {
            let _ =
                tokio::time::timeout(std::time::Duration::from_millis(50), commits.changed()).await;
        }
    }
    writer.await.expect("all written");
    assert_eq!(events, 300);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_older_than_it_is_kept_is_expired() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(consign_runtime::ManualClock::at(
        consign_domain::time::Timestamp(1_000_000_000),
    ));
    let options = NodeOptions {
        partitions: 1,
        clock: Arc::clone(&clock) as _,
        history_retention: std::time::Duration::from_secs(60),
        ..options(dir.path())
    };
    let world = start(options).await;
    add(&world, "a", 1).await;
    world.node.checkpoint_now().await.expect("written");
    clock.advance_millis(61_000);
    add(&world, "a", 2).await;
    world.node.checkpoint_now().await.expect("written");
    assert!(matches!(
        world.node.records(PartitionId(0), 1, 9),
        Err(RecordsError::Expired)
    ));
    assert_eq!(world.node.first_index(PartitionId(0)), 2);
    assert_eq!(
        world
            .node
            .records(PartitionId(0), 2, 9)
            .expect("kept")
            .len(),
        1
    );
    assert!(matches!(
        world.host.history(&"a".into(), 0, 9),
        Err(ReadError::Expired)
    ));
    assert_eq!(
        world.host.history(&"a".into(), 1, 9).expect("kept").len(),
        1
    );
    world.node.shutdown().await;
}

/// Stored entities are not bounded by memory: what is clean is let go, and read again when wanted.
#[tokio::test(flavor = "multi_thread")]
async fn clean_states_leave_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = NodeOptions {
        resident_max: 64,
        dirty_max: 300,
        checkpoints: true,
        ..options(dir.path())
    };
    let world = start(options).await;
    for n in 0..1_500 {
        add(&world, &format!("e{n}"), 1).await;
    }
    eventually("few are left", || {
        let stats = world.node.stats();
        stats.dirty < 300 && stats.warm_states < 500
    })
    .await;
    for n in 0..1_500 {
        assert_eq!(
            world
                .host
                .read(&format!("e{n}"))
                .expect("reads")
                .expect("exists")
                .total(),
            1
        );
    }
    world.node.checkpoint_now().await.expect("written");
    assert!(
        world.node.stats().warm_states <= 64,
        "{:?}",
        world.node.stats()
    );
    assert_eq!(world.node.stats().journal_bytes, 0);
    world.node.shutdown().await;
}

/// Checkpoints run beside commits; nothing is lost or counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_beside_commits_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = Arc::new(
        start(NodeOptions {
            resident_max: 1,
            ..options(dir.path())
        })
        .await,
    );
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..150_u64 {
                    add(&world, &format!("e{}", (writer * 3 + n) % 40), 1).await;
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        world.node.checkpoint_now().await.expect("written");
    }
    for writer in writers {
        writer.await.expect("all written");
    }
    let sum = |world: &World| -> u64 {
        let state = |n| world.host.read(&format!("e{n}")).expect("reads");
        (0..40).filter_map(state).map(|state| state.total()).sum()
    };
    assert_eq!(sum(&world), 1_200);
    assert_eq!(
        totals(&world).iter().map(|(total, _)| total).sum::<u64>(),
        1_200
    );
    world.node.halt().await;
    let world = start(options(dir.path())).await;
    assert_eq!(sum(&world), 1_200);
    assert_eq!(
        totals(&world).iter().map(|(total, _)| total).sum::<u64>(),
        1_200
    );
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_work_goes_on_is_a_consistent_prefix() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = start(options(&dir.path().join("data"))).await;
    add(&world, "a", 1).await;
    world.node.checkpoint_now().await.expect("written");
    add(&world, "a", 2).await;
    world
        .node
        .backup(&dir.path().join("backup"))
        .await
        .expect("copied");
    add(&world, "a", 4).await;
    world.node.shutdown().await;
    restore(&dir.path().join("backup"), &dir.path().join("restored")).expect("restored");
    let world = start(options(&dir.path().join("restored"))).await;
    assert_eq!(
        world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("exists")
            .total(),
        3
    );
    assert_eq!(
        world.host.history(&"a".into(), 0, 9).expect("reads").len(),
        2
    );
    world.node.shutdown().await;
}

/// What waits for a checkpoint takes little room when nobody looks at it, and is whole again when
/// somebody does.
#[tokio::test(flavor = "multi_thread")]
async fn states_that_wait_for_a_checkpoint_are_packed() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = || NodeOptions {
        resident_max: 64,
        ..options(dir.path())
    };
    let mut world = start_kept::<true>(options(), false).await;
    let name = |n: u64| format!("e{n}");
    for round in 1..=3 {
        for n in 0..400 {
            let command = match n % 2 {
                0 => Command::Add(1),
                _ => Command::Name(format!("name {n}")),
            };
            let asked = world.host.ask(name(n), command, Call::by("api")).await;
            assert_eq!(asked.expect("done").reply.total, round);
        }
        eventually("most are packed", || {
            world.node.stats().packed_states >= 300
        })
        .await;
        assert_eq!(world.node.stats().dirty, 400);
        let rows = world
            .node
            .index_scan(Bound::Unbounded, Bound::Unbounded, false, 1_000);
        assert_eq!(rows.expect("reads").len(), 400);
        for n in 0..400 {
            let state = world.host.read(&name(n)).expect("reads").expect("exists");
            let personal = (n % 2 == 1).then(|| format!("name {n}"));
            assert_eq!((state.total(), &state.name), (round, &personal));
        }
        if round == 1 {
            world.node.halt().await;
            world = start_kept::<true>(options(), false).await;
        }
    }
    eventually("most are packed", || {
        world.node.stats().packed_states >= 300
    })
    .await;
    world.node.checkpoint_now().await.expect("written");
    let stats = world.node.stats();
    assert_eq!((stats.packed_states, stats.dirty), (0, 0));
    for n in 0..400 {
        let state = world.host.read(&name(n)).expect("reads").expect("exists");
        assert_eq!(state.total(), 3);
    }
    world.node.shutdown().await;
}
