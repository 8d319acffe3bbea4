//! When nobody has it: what a strategy's rules do with what is short, and what staff see and do.

use consign_tests::{EventStream, Node, Shop, order, recount};
use serde_json::{Value, json};

use crate::CONSIGN;

/// A shop with three of A and none of B, under a strategy of one rule and the list of common SKUs.
async fn shop(rule: Value, common: &[&str]) -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 3).await;
    activate(&node, rule, common).await;
    node
}

async fn activate(node: &Node, mut rule: Value, common: &[&str]) {
    rule["name"] = json!("own");
    let strategy = json!({"name": "s", "rules": [rule], "restock": {"common": common}});
    let drafted = node.post("/v1/strategies", &strategy).expect(201).await;
    let version = drafted.json()["version"].to_string();
    let path = format!("/v1/strategies/{version}/activate");
    node.post(path, &json!({})).expect(200).await;
}

fn id(order: &Value) -> &str {
    order["id"].as_str().expect("an id")
}

fn units(order: &Value, line: usize, state: &str) -> u64 {
    let units = &order["lines"][line]["units"][state];
    units.as_u64().unwrap_or_else(|| panic!("{state}: {order}"))
}

/// What happened to an order, of one kind.
async fn happened(node: &Node, order: &Value, kind: &str) -> Vec<Value> {
    let path = format!("/v1/orders/{}/events", id(order));
    let events = node.all(&path, "events").await;
    let of_kind = events.into_iter().filter(|event| event["type"] == kind);
    of_kind.map(|event| event["data"].clone()).collect()
}

async fn decision(node: &Node, order: &Value) -> Value {
    let said = node.get(format!("/v1/orders/{}/explanation", id(order)));
    let decisions = said.expect(200).await.json()["decisions"].clone();
    let last = decisions.as_array().and_then(|all| all.last());
    last.expect("a decision").clone()
}

async fn parked(node: &Node) -> Vec<Value> {
    node.all("/v1/orders?parked=true", "orders").await
}

async fn release_all(node: &Node, asked: Value) -> Value {
    let released = node.post("/v1/orders/parked/release", &asked);
    released.expect(200).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_order_waits_for_its_release() {
    let mut node = shop(json!({"when_short": "park", "alert": true}), &[]).await;
    let waiting = node
        .place(&order(&[("A", 1, "1.00"), ("B", 2, "2.00")]))
        .await;
    assert_eq!(waiting["status"], "backordered");
    assert_eq!(waiting["parked"], true);
    assert_eq!(
        (
            units(&waiting, 0, "allocated"),
            units(&waiting, 1, "backordered")
        ),
        (1, 2)
    );
    let said = decision(&node, &waiting).await;
    assert_eq!(said["repeats"], true, "{said}");
    assert_eq!(
        said["explanation"]["after_action"],
        json!({"rule": "own", "action": "park", "alert": true})
    );
    let text = said["text"].as_str().expect("a text");
    assert!(text.contains("waits until the order is released"), "{text}");
    assert_eq!(
        happened(&node, &waiting, "parked").await,
        [json!({"units": [{"line": 1, "quantity": 2}]})]
    );

    // Stock comes in, and an order that waits as ever is served; the parked one stays.
    node.receive("LEEDS", "B", 1).await;
    activate(&node, json!({}), &[]).await;
    let other = node.place(&order(&[("B", 5, "2.00")])).await;
    assert!(other.get("parked").is_none());
    node.receive("LEEDS", "B", 9).await;
    node.order_when(id(&other), "allocated", |o| o["status"] == "allocated")
        .await;
    // It outlives the process, in its list too.
    node.kill().await;
    node.restart().await;
    let still = Shop::order(&*node, id(&waiting)).await;
    assert_eq!(
        (&still["status"], &still["parked"], &still["version"]),
        (&json!("backordered"), &json!(true), &waiting["version"])
    );
    let listed = parked(&node).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(id(&listed[0]), id(&waiting));
    let rest = node.all("/v1/orders?parked=false", "orders").await;
    assert_eq!(rest.len(), 1, "{rest:?}");

    let path = format!("/v1/orders/{}/release-parking", id(&waiting));
    let released = node.post(&path, &json!({})).key("go").expect(200).await;
    assert_eq!(released.json()["status"], "allocated");
    assert!(released.json().get("parked").is_none());
    let again = node.post(&path, &json!({})).key("go").expect(200).await;
    assert_eq!(again.json()["version"], released.json()["version"]);
    assert_eq!(parked(&node).await, Vec::<Value>::new());
    recount(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_orders_are_released_oldest_first() {
    let mut node = shop(json!({"when_short": "park"}), &[]).await;
    let mut orders = Vec::new();
    for (day, external) in [(3, "third"), (1, "first"), (2, "second"), (4, "fourth")] {
        let mut asked = order(&[("B", 2, "2.00")]);
        asked["placed_at"] = json!(format!("2026-01-0{day}T08:00:00Z"));
        asked["id"] = json!(external);
        orders.push(node.place(&asked).await);
    }
    let ids = |list: &Value| {
        let list = list.as_array().expect("a list");
        let shown = list.iter().map(|o| (o["id"].clone(), o["parked"].clone()));
        shown.collect::<Vec<(Value, Value)>>()
    };
    node.receive("LONDON", "B", 5).await;
    let two = release_all(&node, json!({"limit": 2})).await;
    assert_eq!(
        ids(&two["orders"]),
        [
            (json!("first"), json!(false)),
            (json!("second"), json!(false))
        ]
    );
    let cursor = two["next_cursor"].clone();
    // There is one left: the third is parked again, and nobody is asked twice.
    let rest = release_all(&node, json!({"cursor": cursor})).await;
    assert_eq!(
        ids(&rest["orders"]),
        [
            (json!("third"), json!(true)),
            (json!("fourth"), json!(true))
        ]
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    let third = Shop::order(&*node, "third").await;
    assert_eq!(
        (
            units(&third, 0, "allocated"),
            units(&third, 0, "backordered")
        ),
        (1, 1)
    );
    node.receive("LONDON", "B", 9).await;
    let rest = release_all(&node, json!({})).await;
    assert_eq!(
        ids(&rest["orders"]),
        [
            (json!("third"), json!(false)),
            (json!("fourth"), json!(false))
        ]
    );
    assert_eq!(release_all(&node, json!({})).await["orders"], json!([]));
    recount(&node).await;

    let release = |body: Value| node.post("/v1/orders/parked/release", &body);
    for limit in [0, 501] {
        let refused = release(json!({"limit": limit}));
        refused.faults(&[("/limit", "out_of_range")]).await;
    }
    release(json!({"cursor": "00000000ff"}))
        .refused(400, "cursor_invalid")
        .await;
    node.get("/v1/orders?parked=perhaps")
        .refused(400, "invalid_query")
        .await;
    node.post("/v1/orders/none/release-parking", &json!({}))
        .refused(404, "order_not_found")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_holds_an_order_until_staff_have_looked() {
    let rule = json!({"when_short": {"hold": "manual_review"}});
    let mut node = shop(rule, &[]).await;
    let mut asked = order(&[("A", 5, "1.00")]);
    asked["shortage"] = json!("cancel_order");
    let held = node.place(&asked).await;
    assert_eq!(held["status"], "backordered");
    assert_eq!(
        (units(&held, 0, "allocated"), units(&held, 0, "backordered")),
        (3, 2)
    );
    assert_eq!(held["holds"][0]["reason"], "manual_review");
    assert_eq!(held["holds"].as_array().map(Vec::len), Some(1));
    let said = decision(&node, &held).await;
    assert_eq!(
        said["explanation"]["after_action"]["action"],
        json!({"hold": "manual_review"})
    );
    node.receive("LEEDS", "A", 2).await;
    let served = node
        .order_when(id(&held), "allocated", |o| o["status"] == "allocated")
        .await;
    assert_eq!(served["holds"][0]["reason"], "manual_review");
    let fulfillment = served["fulfillment_orders"][0]["id"].as_str();
    let pick = format!(
        "/v1/fulfillment-orders/{}/pick",
        fulfillment.expect("an id")
    );
    node.post(&pick, &json!({})).refused(409, "held").await;
    let hold = served["holds"][0]["id"].to_string();
    let hold = hold.trim_matches('"');
    node.delete(format!("/v1/orders/{}/holds/{hold}", id(&held)))
        .expect(200)
        .await;
    node.post(&pick, &json!({})).expect(200).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_goes_before_what_the_order_says() {
    let mut node = shop(json!({"when_short": "cancel"}), &[]).await;
    let mixed = order(&[("A", 1, "1.00"), ("B", 2, "2.00")]);
    let cancelled = node.place(&mixed).await;
    assert_eq!(cancelled["status"], "allocated");
    assert_eq!(units(&cancelled, 1, "cancelled"), 2);
    assert_eq!(cancelled["totals"]["total"], "1.00");
    let why = happened(&node, &cancelled, "units_cancelled").await;
    assert_eq!(why[0]["reason"], "out_of_stock");

    activate(&node, json!({"when_short": "backorder"}), &[]).await;
    let mut asked = mixed.clone();
    asked["shortage"] = json!("cancel_line");
    let waiting = node.place(&asked).await;
    assert_eq!(
        (&waiting["status"], units(&waiting, 1, "backordered")),
        (&json!("backordered"), 2)
    );
    node.receive("LEEDS", "B", 2).await;
    node.order_when(id(&waiting), "allocated", |o| o["status"] == "allocated")
        .await;
    recount(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_and_buyers_are_told_in_the_stream() {
    let mut node = shop(json!({"when_short": "cancel", "alert": true}), &["B"]).await;
    let mut stream = EventStream::since(node.client(), "now").await;
    let placed = node
        .place(&order(&[("A", 4, "1.00"), ("B", 2, "2.00")]))
        .await;
    assert_eq!(
        (
            units(&placed, 0, "cancelled"),
            units(&placed, 1, "backordered")
        ),
        (1, 2),
        "what is always bought again waits"
    );
    let (mut restock, mut alert) = (Value::Null, Value::Null);
    while alert.is_null() {
        let event = stream.next().await.expect("the stream goes on");
        match event.data["type"].as_str() {
            Some("restock_requested") => restock = event.data["data"].clone(),
            Some("staff_alerted") => {
                assert_eq!(event.id, id(&placed));
                alert = event.data["data"].clone();
            }
            _ => {}
        }
    }
    assert_eq!(restock, json!({"items": [{"sku": "B", "units": 2}]}));
    assert_eq!(
        alert,
        json!({"rule": "own", "action": "cancel",
            "units": [{"line": 0, "quantity": 1}, {"line": 1, "quantity": 2}]})
    );
    assert_eq!(node.metric("consign_alerts_total").await, Some(1.0));
    assert_eq!(
        node.metric("consign_restock_requests_total").await,
        Some(1.0)
    );
    // Some of it comes: what is tried again is told nobody once more.
    node.receive("LEEDS", "B", 1).await;
    let tried = node
        .order_when(id(&placed), "one served", |o| units(o, 1, "allocated") == 1)
        .await;
    assert_eq!(happened(&node, &tried, "restock_requested").await.len(), 1);
    assert_eq!(happened(&node, &tried, "staff_alerted").await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_after_action_is_refused_with_its_place() {
    let mut node = shop(json!({}), &[]).await;
    let strategy = |rule: Value| {
        let mut rule = rule;
        rule["name"] = json!("own");
        json!({"name": "s", "rules": [{"name": "first"}, rule]})
    };
    for (rule, place, reason) in [
        (
            json!({"when_short": "give_up"}),
            "/rules/1/when_short",
            "give_up",
        ),
        (
            json!({"when_short": {"hold": "bored"}}),
            "/rules/1/when_short",
            "bored",
        ),
        (
            json!({"when_short": {"hold": []}}),
            "/rules/1/when_short",
            "expected a string",
        ),
        (
            json!({"when_short": 7}),
            "/rules/1/when_short",
            "as_order_says",
        ),
        (json!({"alert": "loud"}), "/rules/1/alert", "boolean"),
    ] {
        let refused = node.post("/v1/strategies", &strategy(rule));
        let refused = refused.refused(422, "validation_failed").await;
        let (at, _) = refused.faults().first().cloned().expect("a fault");
        assert!(at.starts_with(place), "{place}: {refused}");
        assert!(refused.json().to_string().contains(reason), "{refused}");
    }
    let mut unknown = strategy(json!({}));
    unknown["restock"] = json!({"common": ["A", "no\u{7}name"]});
    let refused = node.post("/v1/strategies", &unknown);
    let refused = refused.refused(422, "validation_failed").await;
    let (at, _) = refused.faults().first().cloned().expect("a fault");
    assert!(at.starts_with("/restock/common"), "{refused}");
    // Orders go on under the one that stands.
    node.place(&order(&[("A", 1, "1.00")])).await;
    node.stop().await;
}

/// Released one by one the older order takes from London what the younger one needs to come in one
/// parcel; together it is served from Leeds.
#[tokio::test(flavor = "multi_thread")]
async fn parked_orders_are_released_together() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    let costs = json!({"split": 1_000, "per_100_km": 10});
    activate(&node, json!({"when_short": "park", "costs": costs}), &[]).await;
    let older = node.place(&order(&[("A", 1, "1.00")])).await;
    let younger = node
        .place(&order(&[("A", 1, "1.00"), ("B", 1, "2.00")]))
        .await;
    for (location, sku) in [("LONDON", "A"), ("LONDON", "B"), ("LEEDS", "A")] {
        node.receive(location, sku, 1).await;
    }
    assert_eq!(parked(&node).await.len(), 2);

    let released = release_all(&node, json!({"together": true})).await;
    let orders = released["orders"].as_array().expect("a list");
    let ids: Vec<&str> = orders.iter().map(id).collect();
    assert_eq!(ids, [id(&older), id(&younger)], "by their claims");
    assert_eq!(parked(&node).await.len(), 0);
    let wave = &released["wave"];
    let figure = |name: &str| {
        wave[name]
            .as_i64()
            .unwrap_or_else(|| panic!("{name}: {wave}"))
    };
    assert_eq!(
        (figure("units_short"), figure("units_short_one_by_one")),
        (0, 0)
    );
    assert!(figure("cost") + 900 < figure("cost_one_by_one"), "{wave}");

    let is_allocated = |order: &Value| order["status"] == "allocated";
    let from = |order: &Value| -> Vec<String> {
        let lines = order["lines"].as_array().expect("lines").iter();
        let parts = lines.flat_map(|line| line["allocations"].as_array().expect("a list"));
        let names = parts.map(|part| part["location"].as_str().expect("a location"));
        names.map(str::to_owned).collect()
    };
    let of_older = node.order_when(id(&older), "allocated", is_allocated).await;
    assert_eq!(from(&of_older), ["LEEDS"]);
    let of_younger = node
        .order_when(id(&younger), "allocated", is_allocated)
        .await;
    assert_eq!(from(&of_younger), ["LONDON", "LONDON"]);
    for order in [&older, &younger] {
        assert_eq!(decision(&node, order).await["repeats"], true);
    }
    let nobody = release_all(&node, json!({"together": true})).await;
    assert_eq!(nobody["orders"], json!([]));
    recount(&node).await;
    node.stop().await;
}
