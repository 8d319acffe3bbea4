//! A round trip to an entity: mailbox, decision, durable write, answer.

use std::sync::Arc;

use consign_benches::{location_id, receive, reserve};
use consign_domain::entity::Entity;
use consign_domain::location::{Answer, Location, LocationReply};
use consign_runtime::{Answers, Behaviour, Call, Host, Node, NodeOptions};
use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// A kind that has nobody to talk to.
struct Alone;

impl<E: Entity> Behaviour<E> for Alone {
    fn perform(&self, _: &E::Id, _: Vec<E::Effect>) {}
    fn answered(&self, _: &E::Id, _: Answers<E>) {}
    fn committed(&self, _: &Arc<E>, _: &[E::Event]) {}
    fn index(&self, _: &E) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }
}

async fn open(home: &std::path::Path) -> (Node, Host<Location>) {
    let mut builder = Node::builder(NodeOptions::new(home.join("data"))).expect("a new node");
    let host = builder.host::<Location>(Arc::new(Alone));
    let node = builder.start().await.expect("nothing to recover");
    (node, host)
}

/// So many reservations at once, at one location (hot) or at as many locations (spread).
fn reservations(bencher: Bencher, at_once: u64, locations: u32) {
    let runtime = Runtime::new().expect("a runtime");
    let home = tempfile::tempdir().expect("a directory");
    let (node, host) = runtime.block_on(open(home.path()));
    runtime.block_on(async {
        for n in 0..locations {
            let receipt = host.ask(location_id(n), receive(0, 1_000_000_000), Call::by("bench"));
            receipt.await.expect("goods come in");
        }
    });
    let mut n = 0;
    bencher.counter(ItemsCount::new(at_once)).bench_local(|| {
        runtime.block_on(async {
            let mut asked = Vec::new();
            for _ in 0..at_once {
                n += 1;
                let (host, n) = (host.clone(), n);
                asked.push(tokio::spawn(async move {
                    let at = location_id(u32::try_from(n % u64::from(locations)).expect("few"));
                    host.ask(at, reserve(n, 1), Call::by("bench"))
                        .await
                        .map(|asked| asked.reply)
                }));
            }
            for one in asked {
                let reply = one.await.expect("no panic").expect("an answer");
                // A refusal would be measured without a write.
                assert!(
                    matches!(&reply, LocationReply::Answers(answers) if matches!(answers[..], [Answer::Stands { .. }])),
                    "{reply:?}"
                );
            }
        });
    });
    runtime.block_on(node.shutdown());
}

/// All at one location: batches grow, writes stay few.
#[divan::bench(args = [1, 64, 512], sample_count = 50)]
fn hot(bencher: Bencher, at_once: u64) {
    reservations(bencher, at_once, 1);
}

/// Each at another of fifty.
#[divan::bench(args = [1, 64, 512], sample_count = 50)]
fn spread(bencher: Bencher, at_once: u64) {
    reservations(bencher, at_once, 50);
}
