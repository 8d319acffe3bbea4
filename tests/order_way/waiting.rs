//! Ten thousand orders wait, a hundred units arrive: the hundred oldest are served, in their order, none
//! is overtaken, and nobody else is woken.

use consign_tests::{Node, Shop, eventually, order};
use serde_json::{Value, json};

use crate::CONSIGN;

const WAITING: u32 = 10_000;
const ARRIVING: u32 = 100;

/// Places orders of one unit each, not in the order in which their customers pressed "buy".
async fn place_all(node: &Node) {
    let mut body = String::new();
    for nth in 0..WAITING {
        // 7,919 and 10,000 have no common divisor: each comes once.
        let moment = nth * 7_919 % WAITING;
        let mut asked = order(&[("A", 1, "1.00")]);
        let (minute, second) = (moment / 60, moment % 60);
        asked["placed_at"] = json!(format!(
            "2026-01-01T{:02}:{:02}:{second:02}Z",
            minute / 60,
            minute % 60
        ));
        asked["external_id"] = json!(format!("W-{moment:05}"));
        body.push_str(&asked.to_string());
        body.push('\n');
    }
    let batch = node.request(http::Method::POST, "/v1/orders/batch");
    let reply = batch.raw("application/x-ndjson", body).expect(200).await;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let taken = text.lines().filter(|line| line.contains("\"status\":201"));
    assert_eq!(taken.count(), WAITING as usize, "{}", &text[..400]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_that_wait_the_hundred_oldest_are_served() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    place_all(&node).await;
    let waits = node.all("/v1/orders?status=backordered", "orders").await;
    assert_eq!(waits.len(), WAITING as usize);

    // In several portions, at two places.
    for (location, units) in [("LONDON", 30), ("LEEDS", 50), ("LONDON", 20)] {
        node.receive(location, "A", units).await;
    }
    let served = eventually("a hundred are served", || async {
        let served = node.all("/v1/orders?status=allocated", "orders").await;
        (served.len() >= ARRIVING as usize).then_some(served)
    })
    .await;
    let name = |order: &Value| order["external_id"].as_str().expect("a name").to_owned();
    let mut names: Vec<String> = served.iter().map(name).collect();
    names.sort_unstable();
    let oldest: Vec<String> = (0..ARRIVING).map(|nth| format!("W-{nth:05}")).collect();
    assert_eq!(names, oldest);
    let waits = node.all("/v1/orders?status=backordered", "orders").await;
    assert_eq!(
        waits.len(),
        (WAITING - ARRIVING) as usize,
        "nobody else is in between"
    );
    // Who was woken: those served, and at most once more each as stock came in portions.
    let woken = node.metric("consign_replenish_wakes_total").await;
    assert!(
        woken.is_some_and(|woken| woken <= f64::from(3 * ARRIVING)),
        "{woken:?}"
    );
    node.stop().await;
}
