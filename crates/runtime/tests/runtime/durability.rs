//! What survives: states, pending effects, timers, answers of keyed commands.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use consign_domain::time::Timestamp;
use consign_runtime::{AskError, Call, CommandKey, ManualClock, NodeOptions, Wait};

use crate::support::{Command, Counters, World, eventually, options, start, start_with};

fn keyed(id: u128, body: u128) -> Call {
    Call {
        key: Some(CommandKey { id, body }),
        ..Call::by("api")
    }
}

/// Ends as a crash would, or in order, and starts again.
async fn again(world: World, dir: &std::path::Path, in_order: bool) -> World {
    if in_order {
        world.node.shutdown().await;
    } else {
        world.node.halt().await;
    }
    start(options(dir)).await
}

/// Each request draws an id of its own; the key says whom the command concerns (L3).
#[tokio::test(flavor = "multi_thread")]
async fn a_drawn_id_never_hides_what_its_key_did_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = start(options(dir.path())).await;
    let mut first_reply = None;
    for (round, in_order) in [(1, false), (2, true), (3, true)] {
        let call = Call {
            id_is_drawn: true,
            ..keyed(1, 1)
        };
        let asked = world
            .host
            .ask_claiming(format!("drawn-{round}"), Command::AddTo(0, 1), call);
        let (id, asked) = asked.await.expect("done");
        assert_eq!(id, "drawn-1");
        assert_eq!(asked.replayed, round > 1);
        assert_eq!(asked.state.total(), 1);
        let first = first_reply.get_or_insert_with(|| asked.reply.clone());
        assert_eq!(asked.reply, *first);
        world = again(world, dir.path(), in_order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_survive_a_crash_and_an_orderly_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = start(options(dir.path())).await;
    for round in 1..=6_u64 {
        for n in 0..20_u8 {
            let id = format!("e{n}");
            world
                .host
                .ask(id, Command::AddTo(n % 4, 1), Call::by("api"))
                .await
                .expect("done");
        }
        world
            .host
            .ask(
                "e0".into(),
                Command::Name(format!("name {round}")),
                Call::by("api"),
            )
            .await
            .expect("done");
        if round == 2 {
            world.node.checkpoint_now().await.expect("written");
        }
        world = again(world, dir.path(), round % 3 == 0).await;
        for n in 0..20 {
            let state = world
                .host
                .read(&format!("e{n}"))
                .expect("reads")
                .expect("survived");
            assert_eq!(
                state.total(),
                if n == 0 { 2 * round } else { round },
                "round {round}, entity {n}"
            );
        }
        let named = world
            .host
            .read(&"e0".into())
            .expect("reads")
            .expect("survived");
        assert_eq!(
            named.name.as_deref(),
            Some(format!("name {round}").as_str())
        );
    }
    let at = world
        .host
        .read_at(&"e0".into(), 3)
        .expect("reads")
        .expect("was so");
    assert_eq!((at.total(), at.core.version), (3, 3));
    world.node.shutdown().await;
}

/// Recovery is nothing special: load, ask `pending`, carry on.
#[tokio::test(flavor = "multi_thread")]
async fn pending_effects_are_carried_out_after_a_restart() {
    for checkpointed in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let world = start(options(dir.path())).await;
        world.counters.loses_messages.store(true, Ordering::SeqCst);
        for n in 0..10 {
            let ping = Command::Ping {
                to: "z".into(),
                number: n,
            };
            world
                .host
                .ask(format!("a{n}"), ping, Call::by("api"))
                .await
                .expect("durable");
        }
        if checkpointed {
            world.node.checkpoint_now().await.expect("written");
        }
        let world = again(world, dir.path(), false).await;
        let confirmed = || {
            (0..10).all(|n| {
                let state = world
                    .host
                    .read(&format!("a{n}"))
                    .expect("reads")
                    .expect("survived");
                state.core.pings.is_empty()
            })
        };
        eventually("all are confirmed", confirmed).await;
        let receiver = world
            .host
            .read(&"z".into())
            .expect("reads")
            .expect("was told");
        assert_eq!(receiver.core.pinged.len(), 10);
        world.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_came_while_the_node_was_down_is_not_missed() {
    for checkpointed in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000)));
        let with_clock = || NodeOptions {
            clock: Arc::clone(&clock) as _,
            ..options(dir.path())
        };
        let world = start(with_clock()).await;
        let at = clock_in(&clock, 60_000);
        world
            .host
            .ask("a".into(), Command::WakeAt(at), Call::by("api"))
            .await
            .expect("done");
        world
            .host
            .ask(
                "b".into(),
                Command::WakeAt(clock_in(&clock, 90_000)),
                Call::by("api"),
            )
            .await
            .expect("done");
        if checkpointed {
            world.node.checkpoint_now().await.expect("written");
        }
        world.node.halt().await;
        clock.advance_millis(61_000);
        let world = start(with_clock()).await;
        let woken = |id: &str| {
            world
                .host
                .read(&id.into())
                .expect("reads")
                .expect("exists")
                .core
                .woken
        };
        eventually("a wakes", || woken("a") == 1).await;
        assert_eq!(woken("b"), 0);
        clock.advance_millis(30_000);
        eventually("b wakes", || woken("b") == 1).await;
        eventually("no timer is left", || world.node.stats().timers == 0).await;
        world.node.shutdown().await;
    }
}

fn clock_in(clock: &ManualClock, millis: i64) -> Timestamp {
    use consign_runtime::Clock;
    clock.now().plus_millis(millis)
}

/// A clock that was set back must not take entities back (recorded_at never falls).
#[tokio::test(flavor = "multi_thread")]
async fn time_does_not_go_back_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let late = Arc::new(ManualClock::at(Timestamp(9_000_000)));
    let world = start(NodeOptions {
        clock: late,
        ..options(dir.path())
    })
    .await;
    world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("done");
    world.node.shutdown().await;
    let early = Arc::new(ManualClock::at(Timestamp(1_000)));
    let world = start(NodeOptions {
        clock: early,
        ..options(dir.path())
    })
    .await;
    assert!(world.node.now() >= Timestamp(9_000_000));
    world.node.shutdown().await;
}

/// L3: the first answer, whether it is in memory, in the tail or on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_command_counts_once_and_answers_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = start(options(dir.path())).await;
    let first = world
        .host
        .ask("a".into(), Command::Add(5), keyed(1, 1))
        .await
        .expect("done");
    assert!(!first.replayed);
    for stage in 0..4 {
        match stage {
            1 => world = again(world, dir.path(), false).await,
            2 => world.node.checkpoint_now().await.expect("written"),
            3 => world = again(world, dir.path(), true).await,
            _ => {}
        }
        world
            .host
            .ask("a".into(), Command::Add(100), Call::by("api"))
            .await
            .expect("done");
        let repeated = world
            .host
            .ask("a".into(), Command::Add(5), keyed(1, 1))
            .await
            .expect("done");
        assert!(repeated.replayed, "stage {stage}");
        assert_eq!(repeated.reply, first.reply);
        let other_body = world
            .host
            .ask("a".into(), Command::Add(6), keyed(1, 2))
            .await;
        assert!(
            matches!(other_body, Err(AskError::KeyReused(reused)) if reused.entity.id() == "a")
        );
        let claim = world
            .host
            .claim(CommandKey { id: 1, body: 1 }, "elsewhere".into())
            .expect("known");
        assert_eq!((claim.id.as_str(), claim.first), ("a", false));
        assert!(world.node.remembered(1).expect("reads").is_some());
    }
    let state = world
        .host
        .read(&"a".into())
        .expect("reads")
        .expect("exists");
    assert_eq!(state.total(), 5 + 4 * 100);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_commands_at_once_count_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = start(options(dir.path())).await;
    let asks: Vec<_> = (0..50_u128)
        .map(|n| {
            let host = world.host.clone();
            tokio::spawn(async move {
                host.ask("a".into(), Command::Add(1), keyed(n % 5, 1))
                    .await
                    .expect("done")
            })
        })
        .collect();
    let mut replayed = 0;
    for ask in asks {
        replayed += usize::from(ask.await.expect("runs").replayed);
    }
    assert_eq!(replayed, 45);
    assert_eq!(
        world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("exists")
            .total(),
        5
    );
    world.node.shutdown().await;
}

/// A keyed command that changed nothing is remembered all the same; a refused one is not.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_events_are_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = start(options(dir.path())).await;
    let first = world
        .host
        .ask("a".into(), Command::Add(0), keyed(1, 1))
        .await
        .expect("done");
    assert_eq!((first.reply.total, first.state.core.version), (0, 0));
    world
        .host
        .ask("a".into(), Command::Add(7), Call::by("api"))
        .await
        .expect("done");
    let refused = world
        .host
        .ask("a".into(), Command::Reject, keyed(2, 1))
        .await;
    assert!(matches!(refused, Err(AskError::Rejected(_))));
    let world = again(world, dir.path(), false).await;
    let repeated = world
        .host
        .ask("a".into(), Command::Add(0), keyed(1, 1))
        .await
        .expect("done");
    assert!(repeated.replayed);
    assert_eq!(repeated.reply, first.reply);
    assert!(world.node.remembered(2).expect("reads").is_none());
    world.node.shutdown().await;
}

/// Who leads a partition has just changed: what was lost is sent again soon and often, not after the
/// pause that is meant for an entity that is slow.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_while_leaders_change_does_not_wait_for_long() {
    let dir = tempfile::tempdir().expect("a directory");
    let patient = || NodeOptions {
        resend_after: Duration::from_secs(3_600),
        ..options(dir.path())
    };
    let world = start(patient()).await;
    world.counters.loses_messages.store(true, Ordering::SeqCst);
    let ping = Command::Ping {
        to: "z".into(),
        number: 1,
    };
    let asked = world.host.ask("a".into(), ping, Call::by("api")).await;
    assert!(!asked.expect("durable").settled);
    world.node.halt().await;
    // It is sent as its entity is woken, and again with each of three partitions that gets a leader.
    let counters = Arc::new(Counters::default());
    counters.loses_messages.store(true, Ordering::SeqCst);
    let world: World = start_with(patient(), Arc::clone(&counters)).await;
    eventually("it is sent more often than leaders changed", || {
        counters.performed.load(Ordering::SeqCst) > 4
    })
    .await;
    world.node.shutdown().await;
}

/// A repetition that waits for the outcome waits for it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_waits_for_the_outcome() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = start(options(dir.path())).await;
    world.counters.loses_messages.store(true, Ordering::SeqCst);
    let ping = || Command::Ping {
        to: "b".into(),
        number: 3,
    };
    let durable = world
        .host
        .ask("a".into(), ping(), keyed(1, 1))
        .await
        .expect("durable");
    assert!(!durable.settled);
    let host = world.host.clone();
    let call = Call {
        wait: Wait::Settled,
        settle_timeout: Duration::from_secs(20),
        ..keyed(1, 1)
    };
    let repeated = tokio::spawn(async move { host.ask("a".into(), ping(), call).await });
    world.counters.loses_messages.store(false, Ordering::SeqCst);
    let repeated = repeated.await.expect("runs").expect("done");
    assert!(repeated.replayed && repeated.settled);
    assert_eq!(repeated.reply, durable.reply);
    world.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_forgotten_when_its_time_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000)));
    let options = NodeOptions {
        clock: Arc::clone(&clock) as _,
        command_memory: Duration::from_secs(3_600),
        ..options(dir.path())
    };
    let world = start(options).await;
    world
        .host
        .ask("a".into(), Command::Add(1), keyed(1, 1))
        .await
        .expect("done");
    world.node.checkpoint_now().await.expect("written");
    clock.advance_millis(3_599_000);
    assert!(world.node.remembered(1).expect("reads").is_some());
    clock.advance_millis(2_000);
    assert!(world.node.remembered(1).expect("reads").is_none());
    let anew = world
        .host
        .ask("a".into(), Command::Add(1), keyed(1, 9))
        .await
        .expect("done");
    assert!(!anew.replayed);
    world.node.shutdown().await;
}

/// Answers lie in two tables by generation; whichever is deleted, no answer goes before its time.
#[tokio::test]
async fn answers_outlive_the_generation_they_were_given_in() {
    const HOUR_MS: i64 = 3_600_000;
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::at(
        Timestamp::ZERO.plus_millis(1_000 * HOUR_MS),
    ));
    let options = NodeOptions {
        clock: Arc::clone(&clock) as _,
        command_memory: Duration::from_secs(3_600),
        ..options(dir.path())
    };
    let world = start(options).await;
    // Every 20 minutes a command and a checkpoint, over four generations.
    for nth in 1..=12_u64 {
        let id = u128::from(nth);
        let done = world.host.ask("a".into(), Command::Add(1), keyed(id, 1));
        assert!(!done.await.expect("done").replayed);
        world.node.checkpoint_now().await.expect("written");
        for earlier in 1..=nth {
            let remembered = world.node.remembered(u128::from(earlier)).expect("reads");
            let age_minutes = (nth - earlier) * 20;
            assert_eq!(
                remembered.is_some(),
                age_minutes <= 60,
                "{earlier} at {nth}"
            );
        }
        clock.advance_millis(HOUR_MS / 3);
    }
    // A key whose first answer was forgotten counts anew, and its new answer is found.
    let anew = world.host.ask("a".into(), Command::Add(1), keyed(1, 7));
    assert!(!anew.await.expect("done").replayed);
    world.node.checkpoint_now().await.expect("written");
    let again = world.host.ask("a".into(), Command::Add(1), keyed(1, 7));
    assert!(again.await.expect("done").replayed);
    world.node.shutdown().await;
}
