//! Reservations over HTTP: what is refused and where, what a retry hears, partial carts.

use consign_tests::{Node, Shop, order};
use serde_json::{Value, json};

use crate::CONSIGN;

fn cart(lines: &[(&str, u32)]) -> Value {
    let line = |(sku, quantity): &(&str, u32)| json!({"sku": sku, "quantity": quantity});
    json!({"ship_to": {"country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": lines.iter().map(line).collect::<Vec<_>>()})
}

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    let set = json!({"sku": "AAB", "name": "Set", "kind": "bundle",
        "components": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]});
    node.put("/v1/products/AAB", &set).expect(201).await;
    let service = json!({"sku": "WRAP", "name": "Wrapping", "kind": "service"});
    node.put("/v1/products/WRAP", &service).expect(201).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_refused_with_its_place() {
    let mut node = shop().await;
    let mut wrong = cart(&[("A", 0)]);
    wrong["hold_seconds"] = json!(86_401);
    wrong["split"] = json!("single_location");
    wrong["partial"] = json!(true);
    let refused = node.post("/v1/reservations", &wrong);
    let expected = [
        ("/hold_seconds", "out_of_range"),
        ("/partial", "invalid_value"),
        ("/lines/0/quantity", "out_of_range"),
    ];
    refused.faults(&expected).await;
    let unknown = node.post("/v1/reservations", &cart(&[("A", 1), ("NONE", 1)]));
    unknown.faults(&[("/lines/1/sku", "unknown_sku")]).await;
    for path in ["/v1/reservations/none", "/v1/reservations/%20"] {
        node.get(path).refused(404, "reservation_not_found").await;
        let released = node.delete(path);
        released.refused(404, "reservation_not_found").await;
    }
    let mut named = order(&[("A", 1, "1.00")]);
    named["reservation"] = json!("none");
    let refused = node.post("/v1/orders", &named);
    refused
        .faults(&[("/reservation", "unknown_reservation")])
        .await;
    named["reservation"] = json!("a/b");
    let refused = node.post("/v1/orders", &named);
    refused.faults(&[("/reservation", "invalid_id")]).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_refused_does_not_use_it_up() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 1).await;
    let held = node.post("/v1/reservations", &cart(&[("A", 1)]));
    let held = held.expect(201).await.json();
    let mut named = order(&[("A", 1, "1.00")]);
    named["reservation"] = held["id"].clone();
    named["discounts"] = json!("5.00");
    node.post("/v1/orders", &named)
        .faults(&[("/discounts", "exceeds_total")])
        .await;
    named["discounts"] = json!("0.50");
    let placed = node.post("/v1/orders", &named).expect(201).await;
    assert_eq!(placed.header("reservation"), Some("used"));
    assert_eq!(placed.json()["status"], "allocated");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_hears_the_first_answer() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 2).await;
    let body = cart(&[("A", 2)]);
    let held = || node.post("/v1/reservations", &body).key("cart-1");
    let first = held().expect(201).await.json();
    let again = held().expect(201).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), first);
    let other = node.post("/v1/reservations", &cart(&[("A", 1)]));
    let other = other.key("cart-1");
    other.refused(409, "idempotency_key_reused").await;

    let mut named = order(&[("A", 2, "1.00")]);
    named["reservation"] = first["id"].clone();
    let place = || node.post("/v1/orders", &named).key("order-1");
    let placed = place().expect(201).await;
    let replayed = place().expect(201).await;
    assert_eq!(placed.json()["id"], replayed.json()["id"]);
    for reply in [&placed, &replayed] {
        assert_eq!(reply.header("reservation"), Some("used"));
        assert_eq!(reply.json()["status"], "allocated");
    }
    // The cart's own retry still hears that it was held; reading it says what became of it.
    assert_eq!(held().expect(201).await.json(), first);
    let path = format!("/v1/reservations/{}", first["id"].as_str().expect("an id"));
    let now = node.get(path).expect(200).await.json();
    assert_eq!(now["status"], "consumed");
    let short = || node.post("/v1/reservations", &body).key("cart-2");
    let refused = short().refused(409, "insufficient_stock").await.json();
    node.receive("LONDON", "A", 2).await;
    let again = short().refused(409, "insufficient_stock").await.json();
    assert_eq!(again["short"], refused["short"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_held_whole_and_services_not_at_all() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 3).await;
    node.receive("LEEDS", "A", 6).await;
    node.receive("LEEDS", "B", 2).await;
    let mut wanted = cart(&[("AAB", 3), ("A", 4), ("WRAP", 1)]);
    let short = node.post("/v1/reservations", &wanted);
    let short = short.refused(409, "insufficient_stock").await.json();
    assert_eq!(
        short["short"],
        json!([{"line": 0, "sku": "AAB", "quantity": 3, "short": 1}])
    );
    wanted["partial"] = json!(true);
    let held = node.post("/v1/reservations", &wanted).expect(201).await;
    let held = held.json();
    let of_line = |line: usize| -> u64 {
        let from = held["lines"][line]["from"].as_array().expect("a list");
        from.iter().filter_map(|at| at["quantity"].as_u64()).sum()
    };
    assert_eq!((of_line(0), of_line(1), of_line(2)), (2, 4, 0), "{held}");
    let mut named = order(&[("AAB", 3, "5.00"), ("A", 4, "1.00"), ("WRAP", 1, "1.00")]);
    named["reservation"] = held["id"].clone();
    let placed = node.post("/v1/orders", &named).expect(201).await;
    assert_eq!(placed.header("reservation"), Some("used"));
    let units = |line: usize, state: &str| placed.json()["lines"][line]["units"][state].clone();
    assert_eq!(
        (units(0, "allocated"), units(0, "backordered")),
        (json!(2), json!(1))
    );
    assert_eq!(units(1, "allocated"), 4);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_tells_of_reservations() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 1).await;
    let held = node.post("/v1/reservations", &cart(&[("A", 1)]));
    let held = held.expect(201).await.json();
    let events = node.get("/v1/events?since=beginning&limit=500");
    let events = events
        .header("accept", "application/json")
        .expect(200)
        .await;
    let events = events.json();
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["entity"] == "reservation" && event["id"] == held["id"])
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds, ["opened", "sourced", "granted", "held"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_batch_name_reservations_too() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 2).await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        let held = node.post("/v1/reservations", &cart(&[("A", 1)]));
        let mut named = order(&[("A", 1, "1.00")]);
        named["reservation"] = held.expect(201).await.json()["id"].clone();
        lines.push(named.to_string());
    }
    let batch = node.request(http::Method::POST, "/v1/orders/batch");
    let batch = batch.raw("application/x-ndjson", lines.join("\n"));
    let answers = batch.expect(200).await;
    let answers = String::from_utf8(answers.body.to_vec()).expect("UTF-8");
    for answer in answers.lines() {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        assert_eq!(
            (&answer["status"], &answer["order"]["status"]),
            (&json!(201), &json!("allocated")),
            "{answer}"
        );
    }
    node.stop().await;
}
