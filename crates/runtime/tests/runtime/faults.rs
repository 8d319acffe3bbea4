//! Disks that fail and power that goes: nothing acknowledged is lost (L2), nothing is done twice (L3).

use std::collections::HashMap;

use consign_journal::fault::{Disk, Fault};
use consign_runtime::{AskError, Call, CommandKey, Health, NodeOptions};

use crate::support::{Command, options, start};

fn on(journal: &Disk, state: &Disk) -> NodeOptions {
    NodeOptions {
        journal_backend: Some(journal.backend()),
        state_backend: Some(state.backend()),
        ..options(std::path::Path::new("unused"))
    }
}

/// The power goes at many different moments, during commits and checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_power_loss_at_any_write() {
    let mut hits = 0;
    for seed in 0..40_u64 {
        let (journal, state) = (Disk::default(), Disk::default());
        let world = start(on(&journal, &state)).await;
        let mut acknowledged: HashMap<String, u64> = HashMap::new();
        let mut tried = 0_u128;
        let victim = if seed % 2 == 0 { &journal } else { &state };
        let fault = if seed % 3 == 0 {
            Fault::Tear
        } else {
            Fault::Fail
        };
        victim.plan(seed * 3 % 47, fault);
        'work: for round in 0..6 {
            for n in 0..8 {
                let id = format!("e{n}");
                let key = Some(CommandKey { id: tried, body: 1 });
                let asked = world
                    .host
                    .ask(
                        id.clone(),
                        Command::Add(1),
                        Call {
                            key,
                            ..Call::by("api")
                        },
                    )
                    .await;
                if asked.is_err() {
                    break 'work;
                }
                tried += 1;
                *acknowledged.entry(id).or_default() += 1;
            }
            if round % 2 == 1 && world.node.checkpoint_now().await.is_err() {
                assert!(matches!(world.node.health(), Health::Stopped { .. }));
                break;
            }
        }
        hits += u32::from(victim.broken());
        world.node.halt().await;
        drop(world);
        journal.power_loss(seed);
        state.power_loss(seed + 1_000);
        let world = start(on(&journal, &state)).await;
        for (id, total) in &acknowledged {
            let found = world
                .host
                .read(id)
                .expect("reads")
                .expect("survived")
                .total();
            // One more may have become durable without its answer.
            assert!(
                found == *total || found == total + 1,
                "seed {seed}: {id} has {found} of {total}"
            );
        }
        for key in 0..tried {
            assert!(
                world.node.remembered(key).expect("reads").is_some(),
                "seed {seed}: key {key} is forgotten"
            );
        }
        world.node.shutdown().await;
    }
    assert!(hits >= 30, "the fault came too late in all but {hits} runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_nothing_more_is_acknowledged() {
    let (journal, state) = (Disk::default(), Disk::default());
    let world = start(on(&journal, &state)).await;
    world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await
        .expect("done");
    journal.plan(0, Fault::Fail);
    let stopped = world
        .host
        .ask("a".into(), Command::Add(1), Call::by("api"))
        .await;
    assert!(
        matches!(stopped, Err(AskError::Stopped { .. })),
        "{stopped:?}"
    );
    assert!(matches!(world.node.health(), Health::Stopped { .. }));
    let refused = world
        .host
        .ask("b".into(), Command::Add(1), Call::by("api"))
        .await;
    assert!(matches!(refused, Err(AskError::Stopped { .. })));
    // What is committed can still be read.
    assert_eq!(
        world
            .host
            .read(&"a".into())
            .expect("reads")
            .expect("exists")
            .total(),
        1
    );
    world.node.halt().await;
}
