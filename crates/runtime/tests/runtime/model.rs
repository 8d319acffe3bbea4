//! Random lives of a node against a model of a few lines: commands with and without keys, repeats,
//! checkpoints, crashes. Whatever the order, states, answers, history and index agree (L2, L3).

use std::collections::HashMap;
use std::ops::Bound;
use std::path::Path;

use consign_runtime::{Call, CommandKey, NodeOptions};
use proptest::prelude::*;

use crate::support::{Command, Reply, World, options, start_kept};

#[derive(Clone, Debug)]
enum Act {
    Add {
        entity: u8,
        slot: u8,
        amount: u64,
    },
    /// With a key; a small range, so that many are repeats.
    Keyed {
        entity: u8,
        key: u8,
        amount: u64,
    },
    /// Adds one, and is personal.
    Name {
        entity: u8,
        name: u8,
    },
    Checkpoint,
    Crash,
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..4_u8, 0..5_u8, 1..9_u64)
            .prop_map(|(entity, slot, amount)| Act::Add { entity, slot, amount }),
        6 => (0..4_u8, 0..12_u8, 1..9_u64)
            .prop_map(|(entity, key, amount)| Act::Keyed { entity, key, amount }),
        2 => (0..4_u8, any::<u8>()).prop_map(|(entity, name)| Act::Name { entity, name }),
        2 => Just(Act::Checkpoint),
        1 => Just(Act::Crash),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 1..60)
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![Just(Kept::Staying), Just(Kept::InParts), Just(Kept::Packed)]
}

#[derive(Default)]
struct Model {
    totals: HashMap<u8, (u64, u64)>,
    /// By key: entity, amount, first answer.
    answers: HashMap<u8, (u8, u64, Reply)>,
    names: HashMap<u8, String>,
}

impl Model {
    fn add(&mut self, entity: u8, amount: u64) -> Reply {
        let (total, version) = self.totals.entry(entity).or_default();
        *total += amount;
        *version += 1;
        Reply {
            total: *total,
            version: *version,
        }
    }
}

/// How counters are kept: in memory, in parts, or as one part that is packed after every crash.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Staying,
    InParts,
    Packed,
}

async fn live<const ONE_PART: bool>(acts: Vec<Act>, kept: Kept) {
    let dir = tempfile::tempdir().expect("a directory");
    let stay = matches!(kept, Kept::Staying);
    let options = |dir: &Path| NodeOptions {
        resident_max: if matches!(kept, Kept::Packed) { 0 } else { 64 },
        ..options(dir)
    };
    let mut world = start_kept::<ONE_PART>(options(dir.path()), stay).await;
    let mut model = Model::default();
    for act in acts {
        match act {
            Act::Add {
                entity,
                slot,
                amount,
            } => {
                let command = Command::AddTo(slot, amount);
                let asked = world.host.ask(name(entity), command, Call::by("api")).await;
                assert_eq!(asked.expect("done").reply, model.add(entity, amount));
            }
            Act::Keyed {
                entity,
                key,
                amount,
            } => keyed(&world, &mut model, entity, key, amount).await,
            Act::Name { entity, name: n } => {
                let personal = n.to_string();
                let command = Command::Name(personal.clone());
                let asked = world.host.ask(name(entity), command, Call::by("api")).await;
                assert_eq!(asked.expect("done").reply, model.add(entity, 1));
                model.names.insert(entity, personal);
            }
            Act::Checkpoint => world.node.checkpoint_now().await.expect("written"),
            Act::Crash => {
                world.node.halt().await;
                world = start_kept(options(dir.path()), stay).await;
            }
            Act::Restart => {
                world.node.shutdown().await;
                world = start_kept(options(dir.path()), stay).await;
            }
        }
    }
    check(&world, &model);
    world.node.shutdown().await;
}

fn name(entity: u8) -> String {
    format!("e{entity}")
}

async fn keyed<const ONE_PART: bool>(
    world: &World<ONE_PART>,
    model: &mut Model,
    entity: u8,
    key: u8,
    amount: u64,
) {
    // The first use of a key decides where it belongs and what its body is.
    let (at, body) = model
        .answers
        .get(&key)
        .map_or((entity, amount), |(at, body, _)| (*at, *body));
    let call = Call {
        key: Some(CommandKey {
            id: u128::from(key),
            body: u128::from(body),
        }),
        ..Call::by("api")
    };
    let asked = world
        .host
        .ask(name(at), Command::Add(body), call)
        .await
        .expect("done");
    assert_eq!(asked.replayed, model.answers.contains_key(&key));
    if !asked.replayed {
        let reply = model.add(at, body);
        model.answers.insert(key, (at, body, reply));
    }
    assert_eq!(asked.reply, model.answers[&key].2);
}

fn check<const ONE_PART: bool>(world: &World<ONE_PART>, model: &Model) {
    let mut indexed = HashMap::new();
    let rows = world
        .node
        .index_scan(Bound::Unbounded, Bound::Unbounded, false, 100)
        .expect("reads");
    for (key, row) in rows {
        let total = key[5..]
            .first_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes));
        let other = indexed.insert(row.owner.id().to_owned(), total.expect("a total"));
        assert_eq!(other, None, "one row an entity");
    }
    assert_eq!(indexed.len(), model.totals.len());
    for (entity, (total, version)) in &model.totals {
        let state = world
            .host
            .read(&name(*entity))
            .expect("reads")
            .expect("exists");
        assert_eq!((state.total(), state.core.version), (*total, *version));
        assert_eq!(state.name.as_ref(), model.names.get(entity));
        assert_eq!(indexed[&name(*entity)], *total);
        let events = world.host.history(&name(*entity), 0, 1_000).expect("reads");
        let versions: Vec<u64> = events.iter().map(|event| event.version).collect();
        assert_eq!(versions, (1..=*version).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn a_node_does_what_the_model_does(acts in acts(), kept in kept()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        match kept {
            Kept::Packed => runtime.block_on(live::<true>(acts, kept)),
            Kept::Staying | Kept::InParts => runtime.block_on(live::<false>(acts, kept)),
        }
    }
}
