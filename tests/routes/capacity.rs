//! Capacity: what a location takes on at most, under many clients at once, and who takes over.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use consign_tests::{Node, Shop, eventually, order};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::CONSIGN;

const CLIENTS: usize = 64;

/// An offset by which it is about the middle of the hour and of the day now: no window ends while
/// a test runs.
fn midday() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let minute = now.expect("after 1970").as_secs() / 60 % 1_440;
    let noon = 12 * 60 + 30 - i64::try_from(minute).expect("a minute of a day");
    if noon > 720 { noon - 1_440 } else { noon }
}

async fn limit(node: &Node, location: &str, mut limits: Value) -> Value {
    limits["utc_offset_minutes"] = json!(midday());
    let put = node.put(format!("/v1/locations/{location}/capacity"), &limits);
    put.expect(200).await.json()
}

async fn capacity(node: &Node, location: &str) -> Value {
    let read = node.get(format!("/v1/locations/{location}/capacity"));
    read.expect(200).await.json()
}

/// Places `count` orders of one unit, 64 at a time; gives them as they were answered.
async fn rush(node: &Node, sku: &'static str, count: usize) -> Vec<Value> {
    let at_once = Arc::new(Semaphore::new(CLIENTS));
    let place = |_| {
        let (client, at_once) = (node.client().clone(), Arc::clone(&at_once));
        tokio::spawn(async move {
            let _permit = at_once.acquire().await.expect("it is never closed");
            client.place(&order(&[(sku, 1, "2.55")])).await
        })
    };
    let placed: Vec<_> = (0..count).map(place).collect();
    let mut orders = Vec::with_capacity(count);
    for order in placed {
        orders.push(order.await.expect("it was placed"));
    }
    orders
}

fn of_status<'a>(orders: &'a [Value], status: &str) -> Vec<&'a Value> {
    let is = |order: &&Value| order["status"] == status;
    orders.iter().filter(is).collect()
}

async fn backordered(node: &Node) -> usize {
    node.all("/v1/orders?status=backordered", "orders")
        .await
        .len()
}

fn id(order: &Value) -> &str {
    order["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_of_a_hundred_takes_exactly_a_hundred() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1_000).await;
    node.receive("LONDON", "B", 1_000).await;
    limit(&node, "LONDON", json!({"units_per_day": 100})).await;

    let orders = rush(&node, "A", 200).await;
    let allocated = of_status(&orders, "allocated");
    assert_eq!(
        (allocated.len(), of_status(&orders, "backordered").len()),
        (100, 100)
    );
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 100);
    let known = capacity(&node, "LONDON").await;
    assert_eq!(
        (
            &known["day"]["units"],
            &known["day"]["orders"],
            &known["room"]["units"]
        ),
        (&json!(100), &json!(100), &json!(0))
    );

    // It outlives the process.
    node.kill().await;
    node.restart().await;
    let after = node.place(&order(&[("B", 1, "2.55")])).await;
    assert_eq!(after["status"], "backordered");
    let again = capacity(&node, "LONDON").await;
    assert_eq!(
        (&again["day"], &again["version"]),
        (&known["day"], &known["version"])
    );

    // One goes, and one of those that wait comes, whatever it wants.
    let gone = id(allocated[0]);
    let cancel = node.post(
        format!("/v1/orders/{gone}/cancel"),
        &json!({"reason": "changed my mind"}),
    );
    cancel.expect(200).await;
    eventually("one of those that wait is served", async || {
        (backordered(&node).await == 100).then_some(())
    })
    .await;
    let known = capacity(&node, "LONDON").await;
    assert_eq!(known["day"]["units"], 100);
    // More room serves the others.
    limit(&node, "LONDON", json!({"units_per_day": 150})).await;
    eventually("fifty more are served", async || {
        (backordered(&node).await == 50).then_some(())
    })
    .await;
    let known = capacity(&node, "LONDON").await;
    assert_eq!(
        (&known["day"]["units"], &known["room"]["units"]),
        (&json!(150), &json!(0))
    );
    limit(&node, "LONDON", json!({})).await;
    eventually("nobody waits", async || {
        (backordered(&node).await == 0).then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_location_takes_over_from_a_full_one() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 1_000).await;
    node.receive("LEEDS", "A", 1_000).await;
    limit(&node, "LONDON", json!({"orders_per_hour": 30})).await;
    let orders = rush(&node, "A", 90).await;
    assert_eq!(of_status(&orders, "allocated").len(), 90);
    let reserved = |balance: Value| balance["reserved"].as_i64();
    assert_eq!(reserved(node.balance("LONDON", "A").await), Some(30));
    assert_eq!(reserved(node.balance("LEEDS", "A").await), Some(60));

    let placed = node.place(&order(&[("A", 2, "2.55")])).await;
    assert_eq!(placed["lines"][0]["allocations"][0]["location"], "LEEDS");
    let said = node.get(format!("/v1/orders/{}/explanation", id(&placed)));
    let said = said.expect(200).await.json();
    let decision = &said["decisions"][0];
    let text = decision["text"].as_str().expect("a text");
    assert!(
        text.contains("LONDON, 1 km: left out, as it has no room left"),
        "{text}"
    );
    assert_eq!(
        (&decision["repeats"], &decision["strategy"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(said["decisions"].as_array().map(Vec::len), Some(1));
    // What a product page hears is what an order gets.
    let offer = node.get("/v1/availability?sku=A&destination=GB,51.5,-0.12");
    let offer = offer.expect(200).await.json();
    assert_eq!(
        (&offer["quantity"], &offer["nearest"]["location"]),
        (&json!(938), &json!("LEEDS"))
    );
    node.stop().await;
}

/// While an hour warms up a unit more opens every two seconds, and whoever waits is looked for every
/// five: nobody has to give anything back.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_served_when_more_opens() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10_000).await;
    let warm = json!({"units_per_hour": 1_800, "warm_up_minutes": 60});
    let open = limit(&node, "LONDON", warm).await;
    let open = open["room"]["units"].as_u64().expect("units");
    assert!((880..940).contains(&open), "{open} at half past");
    let taken = u32::try_from(open).expect("some units");
    node.place(&order(&[("A", taken, "2.55")])).await;
    let waits = node.place(&order(&[("A", 2, "2.55")])).await;
    assert_eq!(waits["status"], "backordered", "{waits:#}");
    let served = |order: &Value| order["status"] == "allocated";
    eventually("it is served", async || {
        served(&node.order(id(&waits)).await).then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_is_taken_and_the_rest_goes_elsewhere() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 50).await;
    node.receive("LEEDS", "A", 4).await;
    let strategy = json!({"name": "own", "rules": [{"name": "all", "costs": {"per_100_km": 100}}]});
    for strategy_is_own in [false, true] {
        if strategy_is_own {
            node.post("/v1/strategies", &strategy).expect(201).await;
            let activate = node.post("/v1/strategies/1/activate", &json!({}));
            activate.expect(200).await;
        }
        let used = capacity(&node, "LONDON").await["day"]["units"].as_i64();
        let limits = json!({"units_per_day": used.unwrap_or(0) + 3});
        limit(&node, "LONDON", limits).await;
        let placed = node.place(&order(&[("A", 5, "2.55")])).await;
        let from = |place: &str| {
            let all = placed["lines"][0]["allocations"]
                .as_array()
                .expect("a list");
            let own = all.iter().find(|of| of["location"] == place);
            own.and_then(|of| of["quantity"].as_i64())
        };
        assert_eq!(
            (from("LONDON"), from("LEEDS")),
            (Some(3), Some(2)),
            "{placed:#}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_read_and_refused() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    let path = "/v1/locations/LONDON/capacity";
    let none = capacity(&node, "LONDON").await;
    assert_eq!(
        (&none["units_per_day"], &none["room"]["units"], &none["day"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let limits = json!({"units_per_hour": 20, "orders_per_day": 7, "warm_up_minutes": 0});
    let set = node.put(path, &limits).key("limits").expect(200).await;
    let version = set.json()["version"].as_u64().expect("a version");
    assert_eq!(
        (&set.json()["room"], set.json()["hour"]["units"].as_u64()),
        (&json!({"units": 20, "orders": 7}), Some(0))
    );
    let again = node.put(path, &limits).key("limits").expect(200).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), set.json());
    node.put(path, &json!({}))
        .key("limits")
        .refused(409, "idempotency_key_reused")
        .await;
    node.put(path, &json!({"units_per_day": 5}))
        .if_match(version + 5)
        .refused(412, "version_mismatch")
        .await;
    node.put(path, &json!({"units_per_day": 5}))
        .if_match(version)
        .expect(200)
        .await;
    let other = capacity(&node, "LONDON").await;
    assert_eq!(
        (&other["units_per_hour"], &other["units_per_day"]),
        (&Value::Null, &json!(5))
    );

    let bad = json!({"units_per_day": 2_000_000_000, "warm_up_minutes": 1_441, "utc_offset_minutes": -841});
    node.put(path, &bad)
        .faults(&[
            ("/units_per_day", "out_of_range"),
            ("/warm_up_minutes", "out_of_range"),
            ("/utc_offset_minutes", "out_of_range"),
        ])
        .await;
    let typo = node.put(path, &json!({"units_per_year": 1}));
    assert!([400, 422].contains(&typo.send().await.status));
    for nowhere in ["/v1/locations/YORK/capacity", "/v1/locations/%20/capacity"] {
        node.get(nowhere).refused(404, "location_not_found").await;
        node.put(nowhere, &json!({}))
            .refused(404, "location_not_found")
            .await;
    }
    // 0 shuts it: a closure by the number of orders.
    node.receive("LONDON", "A", 5).await;
    node.put(path, &json!({"orders_per_day": 0}))
        .expect(200)
        .await;
    let placed = node.place(&order(&[("A", 1, "2.55")])).await;
    assert_eq!(placed["status"], "backordered");
    node.put(path, &json!({})).expect(200).await;
    node.order_when(id(&placed), "it is served", |order| {
        order["status"] == "allocated"
    })
    .await;
    node.stop().await;
}
