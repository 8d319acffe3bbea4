//! Clients that place orders at one node after another, and remember what they were told.
//!
//! In: the nodes of a cluster. Out: orders, each under a key until an answer comes; in the end, whether
//! every node has all that were acknowledged, and no other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_tests::{Client, Node, Shop, eventually, order, recount, run};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{CONSIGN, id_of};

/// Clients that write at once.
const WRITERS: usize = 6;

/// Sends until an answer comes, to one node after another, always under the same key.
pub async fn until_answered(
    clients: &[Client],
    first: usize,
    path: &str,
    body: &Value,
    key: &str,
) -> Value {
    for client in clients.iter().cycle().skip(first) {
        match client.post(path, body).key(key).try_send().await {
            Ok(reply) if [200, 201, 202].contains(&reply.status) => return reply.json(),
            Ok(reply) if [408, 429, 503].contains(&reply.status) => {}
            Ok(reply) => panic!("{reply}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the clients go round for ever")
}

/// By key, what was acknowledged.
type Known = Arc<Mutex<BTreeMap<String, Value>>>;

/// The clients, at work.
pub struct Load {
    known: Known,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Fills the shop and begins.
    pub async fn on(nodes: &[Node]) -> Load {
        nodes[0].define(&["A", "B"], &["LONDON", "LEEDS"]).await;
        nodes[0].receive("LONDON", "A", 100_000).await;
        nodes[0].receive("LEEDS", "B", 100_000).await;
        let clients = nodes.iter().map(|node| node.client().clone());
        let clients: Arc<Vec<Client>> = Arc::new(clients.collect());
        let (known, stop) = (Known::default(), Arc::new(AtomicBool::default()));
        let writers = (0..WRITERS).map(|writer| {
            let (clients, known) = (Arc::clone(&clients), Arc::clone(&known));
            tokio::spawn(write(clients, known, Arc::clone(&stop), writer))
        });
        let writers = writers.collect();
        Load {
            known,
            stop,
            writers,
        }
    }

    /// By key, what was acknowledged so far.
    pub fn known(&self) -> BTreeMap<String, Value> {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many orders that are.
    pub fn count(&self) -> usize {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many more orders are acknowledged.
    pub async fn more(&self, orders: usize) {
        let wanted = self.count() + orders;
        eventually("orders are acknowledged", || async {
            (self.count() >= wanted).then_some(())
        })
        .await;
    }

    /// Stops, and counts on every node.
    pub async fn stops_with_all_on(mut self, nodes: &[Node]) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in std::mem::take(&mut self.writers) {
            writer.await.expect("writers do not fail");
        }
        let known = self.known();
        let mut acknowledged: Vec<String> = known.values().map(id_of).collect();
        acknowledged.sort();
        for node in nodes {
            let mut ids: Vec<String> = recount(node).await.orders.iter().map(id_of).collect();
            ids.sort();
            assert_eq!(ids.len(), known.len(), "as many as were acknowledged");
            assert_eq!(ids, acknowledged);
            run(CONSIGN, ["verify", "--target", &node.url()]).await.ok();
        }
    }
}

/// Places orders at one node after another until told to stop.
async fn write(clients: Arc<Vec<Client>>, known: Known, stop: Arc<AtomicBool>, writer: usize) {
    for nth in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("w{writer}-{nth}");
        let asked = order(&[("A", 1, "2.55"), ("B", 1, "1.00")]);
        let placed = until_answered(&clients, writer + nth, "/v1/orders", &asked, &key).await;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, placed);
    }
}
