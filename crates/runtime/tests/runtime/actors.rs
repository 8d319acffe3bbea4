//! Entities as actors: batches, order, durability before replies, passivation, panics, restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{Command, Counters, eventually, options, start, start_staying, start_with};
use consign_runtime::{AskError, Call, Health, NodeOptions, Wait};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_comes_with_the_state_that_holds_its_events() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    let asked = world
        .host
        .ask("a".into(), Command::Add(5), Call::by("api"))
        .await
        .expect("done");
    assert_eq!(
        (
            asked.reply.total,
            asked.state.total(),
            asked.state.core.version
        ),
        (5, 5, 1)
    );
    assert!(!asked.replayed && asked.settled);
    let read = world
        .host
        .read(&"a".into())
        .expect("reads")
        .expect("exists");
    assert_eq!(read.total(), 5);
    assert_eq!(world.host.read(&"b".into()).expect("reads"), None);
    let history = world.host.history(&"a".into(), 0, 10).expect("reads");
    assert_eq!((history.len(), history[0].stamp.by.as_str()), (1, "api"));
    let refused = world
        .host
        .ask("a".into(), Command::Reject, Call::by("api"))
        .await;
    assert!(matches!(refused, Err(AskError::Rejected(_))));
    let wrong = Call {
        expected_version: Some(7),
        ..Call::by("api")
    };
    let refused = world.host.ask("a".into(), Command::Add(1), wrong).await;
    assert!(matches!(
        refused,
        Err(AskError::VersionMismatch { current: 1 })
    ));
    world.node.shutdown().await;
}

/// The committed state of an entity that stays in memory changes where it lies; whoever has read it
/// keeps what was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_read_never_changes() {
    let dir = dir();
    let world = start_staying(options(dir.path()), true).await;
    let mut read = Vec::new();
    for n in 1..=40_u64 {
        let command = Command::AddTo((n % 3) as u8, 1);
        let asked = world.host.ask("a".into(), command, Call::by("api")).await;
        let asked = asked.expect("done");
        assert_eq!((asked.reply.total, asked.state.total()), (n, n));
        read.push(
            world
                .host
                .read(&"a".into())
                .expect("reads")
                .expect("exists"),
        );
    }
    for (state, n) in read.iter().zip(1..) {
        assert_eq!((state.total(), state.core.version), (n, n));
    }
    world.node.halt().await;
    let again = start_staying(options(dir.path()), true).await;
    let state = again
        .host
        .read(&"a".into())
        .expect("reads")
        .expect("exists");
    assert_eq!((state.total(), state.core.version), (40, 40));
    again.node.shutdown().await;
}

/// A hot entity: everything that waits is one write.
#[tokio::test(flavor = "multi_thread")]
async fn what_gathers_while_a_write_is_in_flight_becomes_one_batch() {
    let dir = dir();
    let options = NodeOptions {
        permits: 4_096,
        ..options(dir.path())
    };
    let world = start(options).await;
    let asks: Vec<_> = (0..2_000)
        .map(|_| {
            let host = world.host.clone();
            tokio::spawn(async move {
                host.ask("hot".into(), Command::Add(1), Call::by("api"))
                    .await
            })
        })
        .collect();
    let mut totals = Vec::new();
    for ask in asks {
        totals.push(ask.await.expect("runs").expect("done").reply.total);
    }
    totals.sort_unstable();
    assert_eq!(totals, (1..=2_000).collect::<Vec<_>>());
    let records: u64 = (0..3)
        .map(|p| world.node.last_index(consign_runtime::PartitionId(p)))
        .sum();
    assert!(records < 1_000, "{records} writes for 2,000 commands");
    assert_eq!(world.counters.committed.load(Ordering::SeqCst), 2_000);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_actor_retires_and_no_message_is_lost() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    let callers: Vec<_> = (0..32)
        .map(|caller| {
            let host = world.host.clone();
            tokio::spawn(async move {
                for round in 0..100 {
                    let id = format!("e{}", (caller + round) % 7);
                    host.ask(id, Command::Add(1), Call::by("api"))
                        .await
                        .expect("done");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("all answered");
    }
    let total = |id| {
        world
            .host
            .read(&id)
            .expect("reads")
            .expect("exists")
            .total()
    };
    assert_eq!((0..7).map(|n| total(format!("e{n}"))).sum::<u64>(), 3_200);
    eventually("all actors retire", || world.host.resident_actors() == 0).await;
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_actor_becomes_the_next_entity_and_one_that_failed_does_not() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    for round in 1..=50 {
        let id = format!("e{round}");
        let asked = world.host.ask(id, Command::Add(round), Call::by("api"));
        let asked = asked.await.expect("done");
        assert_eq!(asked.state.total(), round, "nothing of the entity before");
        eventually("the one actor waits", || {
            world.node.stats().idle_actors == 1
        })
        .await;
    }
    let panics = &world.counters.panics_in_perform;
    panics.store(true, Ordering::SeqCst);
    let ping = Command::Ping {
        to: "e1".into(),
        number: 1,
    };
    let lost = world.host.ask("a".into(), ping, Call::by("api")).await;
    assert!(matches!(lost, Err(AskError::Unavailable { .. })));
    panics.store(false, Ordering::SeqCst);
    let settled = || {
        let state = world.host.read(&"a".into()).expect("reads");
        state.expect("was durable").core.pings.is_empty()
    };
    eventually("a new actor is put in the place", settled).await;
    let all_wait = || {
        let stats = world.node.stats();
        stats.actors == 0 && (1..=3).contains(&stats.idle_actors)
    };
    eventually("all actors that live wait", all_wait).await;
    world.node.shutdown().await;
    assert_eq!(world.node.stats().idle_actors, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_talk_until_their_effects_are_confirmed() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    let call = Call {
        wait: Wait::Settled,
        ..Call::by("api")
    };
    let ping = Command::Ping {
        to: "b".into(),
        number: 1,
    };
    let asked = world.host.ask("a".into(), ping, call).await.expect("done");
    assert!(asked.settled && asked.state.core.pings.is_empty());
    let pinged = world
        .host
        .read(&"b".into())
        .expect("reads")
        .expect("exists");
    assert!(pinged.core.pinged.contains(&1));
    world.node.shutdown().await;
}

/// Messages between entities are at least once: what is lost is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_effect_is_sent_again_and_patience_ends() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    world.counters.loses_messages.store(true, Ordering::SeqCst);
    let call = Call {
        wait: Wait::Settled,
        settle_timeout: Duration::from_millis(100),
        ..Call::by("api")
    };
    let ping = Command::Ping {
        to: "b".into(),
        number: 1,
    };
    let asked = world
        .host
        .ask("a".into(), ping, call)
        .await
        .expect("durable");
    assert!(!asked.settled && asked.state.core.pings.contains_key(&1));
    eventually("it is tried again", || {
        world.counters.performed.load(Ordering::SeqCst) > 1
    })
    .await;
    world.counters.loses_messages.store(false, Ordering::SeqCst);
    let settled = || {
        world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("exists")
            .core
            .pings
            .is_empty()
    };
    eventually("it arrives", settled).await;
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_command_harms_nobody_else_and_the_third_quarantines() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("done");
    for command in [Command::PanicInDecide, Command::PanicInApply] {
        let panicked = world.host.ask("a".into(), command, Call::by("api")).await;
        assert!(matches!(panicked, Err(AskError::Panicked)));
        let asked = world
            .host
            .ask("a".into(), Command::Add(1), Call::by("api"))
            .await
            .expect("lives on");
        assert!(
            asked.state.total() < 10,
            "nothing of the panicked command is left"
        );
    }
    let panicked = world
        .host
        .ask("a".into(), Command::PanicInDecide, Call::by("api"))
        .await;
    assert!(matches!(panicked, Err(AskError::Panicked)));
    let refused = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await;
    assert!(matches!(refused, Err(AskError::Quarantined)));
    assert_eq!(world.host.quarantined(), vec!["a".to_owned()]);
    // A saga around it gets a final refusal, and so comes to its end.
    let call = Call {
        wait: Wait::Settled,
        ..Call::by("api")
    };
    let ping = Command::Ping {
        to: "a".into(),
        number: 1,
    };
    let asked = world.host.ask("b".into(), ping, call).await.expect("done");
    assert!(asked.settled);
    assert_eq!(world.counters.refused.load(Ordering::SeqCst), 1);
    assert!(world.host.lift_quarantine(&"a".into()));
    let asked = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("lifted");
    assert_eq!(asked.state.total(), 4);
    world.node.shutdown().await;
}

/// A panic within a batch: its neighbours' events and answers stand.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_a_panic_in_one_batch_are_answered() {
    neighbours_of_a_panic(false).await;
    neighbours_of_a_panic(true).await;
}

async fn neighbours_of_a_panic(stay: bool) {
    let dir = dir();
    let world = start_staying(options(dir.path()), stay).await;
    let asks: Vec<_> = (0..50)
        .map(|n| {
            let command = match n {
                20 => Command::PanicInApply,
                30 => Command::PanicInDecide,
                _ => Command::Add(1),
            };
            let host = world.host.clone();
            tokio::spawn(async move { host.ask("a".into(), command, Call::by("api")).await })
        })
        .collect();
    let mut panicked = 0;
    for ask in asks {
        panicked += usize::from(matches!(ask.await.expect("runs"), Err(AskError::Panicked)));
    }
    assert_eq!(panicked, 2);
    assert_eq!(
        world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("exists")
            .total(),
        48
    );
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_actor_restarts_from_its_committed_state() {
    let dir = dir();
    let counters = Arc::new(<Counters>::default());
    let world = start_with(options(dir.path()), Arc::clone(&counters)).await;
    counters.panics_in_perform.store(true, Ordering::SeqCst);
    let ping = Command::Ping {
        to: "b".into(),
        number: 1,
    };
    let lost = world.host.ask("a".into(), ping, Call::by("api")).await;
    assert!(matches!(lost, Err(AskError::Unavailable { .. })));
    counters.panics_in_perform.store(false, Ordering::SeqCst);
    let settled = || {
        let state = world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("was durable");
        state.core.pings.is_empty()
    };
    eventually("the restarted actor sends its effect", settled).await;
    let asked = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("serves");
    assert_eq!(asked.state.core.version, 3);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_keeps_failing_is_set_aside() {
    let dir = dir();
    let world = start(options(dir.path())).await;
    world
        .counters
        .panics_in_perform
        .store(true, Ordering::SeqCst);
    let ping = Command::Ping {
        to: "b".into(),
        number: 1,
    };
    let lost = world.host.ask("a".into(), ping, Call::by("api")).await;
    assert!(matches!(lost, Err(AskError::Unavailable { .. })));
    // Every restart finds the effect pending, when somebody wakes it, and fails again.
    for _ in 0..200 {
        let call = Call::by("api");
        let ask = world.host.ask("a".into(), Command::Add(1), call);
        if matches!(ask.await, Err(AskError::Quarantined)) {
            assert_eq!(world.host.quarantined(), vec!["a".to_owned()]);
            world.node.shutdown().await;
            return;
        }
    }
    panic!("never quarantined");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_permits_is_busy() {
    let dir = dir();
    let options = NodeOptions {
        permits: 1,
        waiting_max: 0,
        ..options(dir.path())
    };
    let world = start(options).await;
    let permit = world.node.admit().expect("free");
    let busy = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await;
    assert!(matches!(busy, Err(AskError::Busy(busy)) if busy.retry_after_ms > 0));
    drop(permit);
    world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("free again");
    world.node.shutdown().await;
    assert!(matches!(world.node.health(), Health::Stopped { .. }));
    let stopped = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await;
    assert!(matches!(stopped, Err(AskError::Stopped { .. })));
}

/// Stored orders are not bounded by actors: in a crowd, who only waits for answers leaves too, and
/// comes back when they are overdue.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_crowd_waiting_actors_leave_and_are_reminded() {
    let dir = dir();
    let options = NodeOptions {
        actors_max: 5,
        ..options(dir.path())
    };
    let world = start(options).await;
    world.counters.loses_messages.store(true, Ordering::SeqCst);
    for n in 0..40 {
        let ping = Command::Ping {
            to: "z".into(),
            number: n,
        };
        let id = format!("a{n}");
        world
            .host
            .ask(id, ping, Call::by("api"))
            .await
            .expect("durable");
    }
    eventually("few are left", || world.host.resident_actors() <= 6).await;
    world.counters.loses_messages.store(false, Ordering::SeqCst);
    let confirmed = || {
        let state = |n| world.host.read(&format!("a{n}")).expect("reads");
        (0..40).all(|n| state(n).expect("exists").core.pings.is_empty())
    };
    eventually("all are confirmed", confirmed).await;
    eventually("all leave", || world.host.resident_actors() == 0).await;
    world.node.shutdown().await;
}
