//! SIGKILL under load, again and again: what was acknowledged is there with its content (L2), what
//! was not is done once or not at all (L3), and no law is broken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_tests::{Client, Node, Shop, order, recount, run};
use serde_json::{Value, json};

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");
/// How often the node is killed.
const KILLS: u32 = 22;
/// Clients that write at once.
const WRITERS: u64 = 16;
/// Acknowledged orders between two kills, at least.
const ORDERS_BETWEEN_KILLS: u64 = 60;

/// What the clients know.
#[derive(Default)]
struct Known {
    /// Whether writers may begin another order.
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// Orders by key, as they were answered.
    orders: Mutex<BTreeMap<String, Value>>,
    /// Cancellations that were acknowledged, by order.
    cancelled: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends until an answer comes, always under the same key, as a client must.
async fn until_answered(client: &Client, path: &str, body: &Value, key: &str) -> Value {
    loop {
        match client.post(path, body).key(key).try_send().await {
            Ok(reply) if [200, 201, 202].contains(&reply.status) => return reply.json(),
            Ok(reply) if [429, 503, 408].contains(&reply.status) => {}
            Ok(reply) if reply.status == 409 && path.ends_with("/cancel") => return reply.json(),
            Ok(reply) => panic!("{reply}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Places orders, some of which it takes further, until it is told to stop.
async fn write(client: Client, known: Arc<Known>, writer: u64) {
    for n in 0.. {
        if known.stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("w{writer}-{n}");
        let units = u32::try_from(n % 3 + 1).expect("small");
        let mut asked = order(&[
            ("A", units, "2.55"),
            (["B", "C"][n as usize % 2], 1, "1.00"),
        ]);
        asked["external_id"] = json!(key);
        let placed = until_answered(&client, "/v1/orders", &asked, &key).await;
        let id = placed["id"].as_str().expect("an id").to_owned();
        lock(&known.orders).insert(key.clone(), placed.clone());
        known.acknowledged.fetch_add(1, Ordering::Relaxed);
        match n % 4 {
            0 => {
                let path = format!("/v1/orders/{id}/cancel");
                let answer = until_answered(
                    &client,
                    &path,
                    &json!({"reason": "test"}),
                    &format!("{key}-c"),
                )
                .await;
                if answer["code"].is_null() {
                    lock(&known.cancelled).push(id);
                }
            }
            1 => {
                if let Some(work) = placed["fulfillment_orders"][0]["id"].as_str() {
                    let path = format!("/v1/fulfillment-orders/{work}/pick");
                    until_answered(&client, &path, &json!({}), &format!("{key}-p")).await;
                }
            }
            _ => {}
        }
    }
}

/// Checkpoints of the node since it started, as its metrics say.
async fn checkpoints_of(node: &Node) -> u64 {
    let count = node.metric("consign_runtime_checkpoints_total").await;
    count.map_or(0, |count| count as u64)
}

/// Everything that was acknowledged is there, with its content.
async fn all_is_there(client: &Client, known: &Known) {
    let stored: BTreeMap<String, Value> = client
        .all("/v1/orders", "orders")
        .await
        .into_iter()
        .map(|order| (order["id"].as_str().expect("an id").to_owned(), order))
        .collect();
    let mut ids = BTreeMap::new();
    for (key, answered) in lock(&known.orders).iter() {
        let id = answered["id"].as_str().expect("an id");
        assert_eq!(
            ids.insert(id.to_owned(), key.clone()),
            None,
            "two orders were given one id"
        );
        let found = stored
            .get(id)
            .unwrap_or_else(|| panic!("{key} was acknowledged and is gone: {answered}"));
        for member in [
            "external_id",
            "channel",
            "currency",
            "placed_at",
            "customer",
            "ship_to",
        ] {
            assert_eq!(found[member], answered[member], "{member} of {key}");
        }
        for (now, then) in found["lines"]
            .as_array()
            .expect("lines")
            .iter()
            .zip(answered["lines"].as_array().expect("lines"))
        {
            for member in ["line", "sku", "quantity", "unit_price"] {
                assert_eq!(now[member], then[member], "{member} of {key}");
            }
        }
        assert!(
            found["version"].as_u64() >= answered["version"].as_u64(),
            "{key} went back in time"
        );
    }
    let mut names = BTreeMap::new();
    for order in stored.values() {
        let twice = names.insert(order["external_id"].to_string(), order["id"].clone());
        assert_eq!(twice, None, "one order was placed twice: {order}");
    }
    for id in lock(&known.cancelled).iter() {
        let order = &stored[id];
        let open: u64 = order["lines"]
            .as_array()
            .expect("lines")
            .iter()
            .map(|line| {
                ["unsourced", "backordered"]
                    .iter()
                    .map(|s| line["units"][s].as_u64().unwrap_or(0))
                    .sum::<u64>()
            })
            .sum();
        assert_eq!(open, 0, "a cancellation was forgotten: {order}");
    }
}

/// A small journal, so that kills hit checkpoints too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_or_doubles_what_a_client_was_told() {
    let mut node = Node::start_with(
        CONSIGN,
        &[("CONSIGN__STORAGE__JOURNAL_BYTES_MAX", "131072")],
    )
    .await;
    node.define(&["A", "B", "C"], &["LONDON", "LEEDS"]).await;
    for location in ["LONDON", "LEEDS"] {
        node.receive(location, "A", 1_500).await;
        node.receive(location, "B", 400).await;
        node.receive(location, "C", 400).await;
    }
    let known = Arc::new(Known::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(node.client().clone(), Arc::clone(&known), writer)))
        .collect();
    for kill in 0..KILLS {
        let before = known.acknowledged.load(Ordering::Relaxed);
        while known.acknowledged.load(Ordering::Relaxed) < before + ORDERS_BETWEEN_KILLS {
            if let Some(broken) = writers.iter().find(|writer| writer.is_finished()) {
                assert!(!broken.is_finished(), "a writer failed");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Often enough with a checkpoint before it, at whatever speed this machine has.
        if kill % 4 == 3 {
            let checkpoints = checkpoints_of(&node).await;
            while checkpoints_of(&node).await == checkpoints {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // Not always at the same moment after an acknowledgement.
        tokio::time::sleep(Duration::from_micros(u64::from(kill) * 777 % 9_000)).await;
        node.kill().await;
        node.restart().await;
    }
    known.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("each order was answered in the end");
    }
    assert!(
        node.log().contains("checkpoint"),
        "the journal was never checkpointed"
    );
    all_is_there(&node, &known).await;
    let books = recount(&node).await;
    assert_eq!(
        books.orders.len(),
        lock(&known.orders).len(),
        "each key made one order"
    );
    let url = node.url();
    let verified = run(CONSIGN, ["verify", "--target", &url, "--json"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    // The same answers under the same keys, once more and after a restart without a kill.
    assert!(node.stop().await.success());
    node.restart().await;
    all_is_there(&node, &known).await;
    let orders: Vec<(String, Value)> = lock(&known.orders)
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for (key, answered) in orders.iter().step_by(17) {
        let mut asked = order(&[]);
        asked["external_id"] = json!(key);
        let n: u64 = key
            .rsplit('-')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        let units = u32::try_from(n % 3 + 1).expect("small");
        asked["lines"] = order(&[
            ("A", units, "2.55"),
            (["B", "C"][n as usize % 2], 1, "1.00"),
        ])["lines"]
            .clone();
        let again = node.post("/v1/orders", &asked).key(key).send().await;
        assert!([201, 202].contains(&again.status), "{again}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again}");
        assert_eq!(again.json()["id"], answered["id"]);
    }
    recount(&node).await;
}
