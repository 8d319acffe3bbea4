//! Placing, reading and changing orders: form, content, versions.

use consign_tests::{Node, Shop, order, recount};
use serde_json::{Value, json};

use crate::CONSIGN;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON"]).await;
    node.receive("LONDON", "A", 100).await;
    node.receive("LONDON", "B", 100).await;
    node
}

#[tokio::test]
async fn an_order_is_answered_after_allocation_with_all_it_has() {
    let node = shop().await;
    let mut whole = order(&[("A", 6, "2.55"), ("B", 1, "0.0125")]);
    whole["id"] = json!("A-1001");
    whole["external_id"] = json!("536365");
    whole["placed_at"] = json!("2010-12-01T08:26:00+01:00");
    whole["order_type"] = json!("b2c");
    whole["locale"] = json!("en-GB");
    whole["billing"] = json!({"name": "Bob", "country": "FR"});
    whole["split"] = json!("ship_complete");
    whole["shortage"] = json!("cancel_line");
    whole["shipping"] = json!("4.95");
    whole["discounts"] = json!([{"amount": "1.00"}, {"amount": "0.50"}]);
    whole["fees"] = json!("0.30");
    whole["metadata"] = json!({"gift": "yes"});
    whole["lines"][0]["id"] = json!("first");
    whole["lines"][0]["discounts"] = json!("0.30");
    whole["lines"][0]["taxes"] = json!([{"rate": "0.20", "amount": "3.00", "included": false}]);
    let reply = node.post("/v1/orders", &whole).expect(201).await;
    let placed = reply.json();
    assert_eq!(reply.header("location"), Some("/v1/orders/A-1001"));
    assert_eq!(
        reply.header("etag"),
        Some(format!("\"{}\"", placed["version"]).as_str())
    );
    assert_eq!(placed["status"], "allocated");
    assert_eq!(placed["placed_at"], "2010-12-01T07:26:00Z");
    assert_eq!(
        (&placed["lines"][0]["line"], &placed["lines"][1]["line"]),
        (&json!("first"), &json!("2"))
    );
    assert_eq!(
        placed["lines"][0]["allocations"],
        json!([{"location": "LONDON", "quantity": 6}])
    );
    assert_eq!(placed["lines"][0]["backordered"], 0);
    let work = &placed["fulfillment_orders"];
    assert_eq!(
        (work.as_array().map(Vec::len), &work[0]["id"]),
        (Some(1), &json!("A-1001-f1"))
    );
    assert_eq!(
        (&work[0]["location"], &work[0]["status"]),
        (&json!("LONDON"), &json!("open"))
    );
    // 15.30 + 0.01, less 0.30 and 1.50, plus 4.95, 3.00 and 0.30.
    let totals = json!({"subtotal": "15.31", "discounts": "1.80", "shipping": "4.95", "tax": "3.00", "fees": "0.30",
        "total": "21.76", "captured": "0.00", "refunded": "0.00", "balance_due": "21.76"});
    assert_eq!(placed["totals"], totals);
    for (field, said) in whole.as_object().expect("an object") {
        if ["lines", "placed_at", "discounts"].contains(&field.as_str()) {
            continue;
        }
        assert_eq!(&placed[field], said, "{field}");
    }
    assert_eq!(
        node.get("/v1/orders/A-1001").expect(200).await.json(),
        placed
    );
    recount(&node).await;
}

#[tokio::test]
async fn every_fault_of_an_order_is_named_at_once() {
    let node = shop().await;
    let wrong = json!({"channel": "a b", "currency": "XYZ", "placed_at": "today", "customer": {"id": ""},
        "ship_to": {"country": "gb", "latitude": 1.0}, "service_level": "", "shipping": "-1",
        "lines": [{"sku": "", "quantity": 0, "unit_price": "2.55555"},
                  {"sku": "A", "quantity": 100_001, "unit_price": "x", "taxes": [{"rate": "20", "amount": "1"}]}]});
    let expected = [
        ("/channel", "invalid_id"),
        ("/currency", "unknown_currency"),
        ("/placed_at", "invalid_time"),
        ("/customer/id", "empty"),
        ("/ship_to/country", "invalid_country"),
        ("/ship_to/longitude", "missing_field"),
        ("/service_level", "empty"),
        ("/shipping", "not_a_decimal"),
        ("/lines/0/sku", "invalid_id"),
        ("/lines/0/quantity", "out_of_range"),
        ("/lines/0/unit_price", "too_many_decimals"),
        ("/lines/1/quantity", "out_of_range"),
        ("/lines/1/unit_price", "not_a_decimal"),
        ("/lines/1/taxes/0/rate", "out_of_range"),
    ];
    node.post("/v1/orders", &wrong).faults(&expected).await;
    let reply = node
        .post("/v1/orders", &json!({}))
        .refused(422, "validation_failed")
        .await;
    for pointer in ["/channel", "/currency", "/customer"] {
        assert!(
            reply
                .faults()
                .contains(&(pointer.to_owned(), "missing_field".to_owned())),
            "{reply}"
        );
    }
    assert_eq!(node.all("/v1/orders", "orders").await.len(), 0);
}

/// One wrong thing in an otherwise good order: where it must point, and with which code.
#[tokio::test]
async fn single_faults_are_pointed_at() {
    let node = shop().await;
    let cases: Vec<(&str, Value, &str, &str)> = vec![
        ("/lines/0/sku", json!("NONE"), "/lines/0/sku", "unknown_sku"),
        (
            "/lines/0/quantity",
            json!(-1),
            "/lines/0/quantity",
            "invalid_value",
        ),
        (
            "/lines/0/quantity",
            json!(1.5),
            "/lines/0/quantity",
            "invalid_type",
        ),
        (
            "/lines/0/quantity",
            json!("2"),
            "/lines/0/quantity",
            "invalid_type",
        ),
        (
            "/lines/0/quantity",
            json!(1e300),
            "/lines/0/quantity",
            "invalid_type",
        ),
        (
            "/lines/0/quantity",
            json!(18_446_744_073_709_551_615_u64),
            "/lines/0/quantity",
            "invalid_value",
        ),
        (
            "/lines/0/unit_price",
            json!(2.55),
            "/lines/0/unit_price",
            "invalid_type",
        ),
        (
            "/lines/0/unit_price",
            json!("-0.01"),
            "/lines/0/unit_price",
            "not_a_decimal",
        ),
        (
            "/lines/0/unit_price",
            json!("1e3"),
            "/lines/0/unit_price",
            "not_a_decimal",
        ),
        (
            "/lines/0/unit_price",
            json!("NaN"),
            "/lines/0/unit_price",
            "not_a_decimal",
        ),
        (
            "/lines/0/unit_price",
            json!(""),
            "/lines/0/unit_price",
            "not_a_decimal",
        ),
        (
            "/lines/0/unit_price",
            json!("99999999999999999999"),
            "/lines/0/unit_price",
            "out_of_range",
        ),
        (
            "/lines/0/pickup_location",
            json!("NOWHERE"),
            "/lines/0/pickup_location",
            "unknown_location",
        ),
        (
            "/lines/0/colour",
            json!("red"),
            "/lines/0/colour",
            "unknown_field",
        ),
        ("/lines", json!([]), "/lines", "empty"),
        ("/lines", json!({}), "/lines", "invalid_type"),
        ("/channel", json!("x".repeat(65)), "/channel", "invalid_id"),
        ("/currency", json!("gbp"), "/currency", "unknown_currency"),
        (
            "/shipping",
            json!("1.005"),
            "/shipping",
            "too_many_decimals",
        ),
        ("/shipping", json!(4.95), "/shipping", "invalid_type"),
        (
            "/discounts",
            json!("1000000.00"),
            "/discounts",
            "exceeds_subtotal",
        ),
        ("/split", json!("sometimes"), "/split", "invalid_value"),
        ("/shortage", json!("panic"), "/shortage", "invalid_value"),
        ("/customer", json!("17850"), "/customer", "invalid_type"),
        (
            "/ship_to/latitude",
            json!(90.5),
            "/ship_to/latitude",
            "out_of_range",
        ),
        ("/id", json!("a/b"), "/id", "invalid_id"),
        (
            "/placed_at",
            json!("2010-12-01T08:26:00"),
            "/placed_at",
            "invalid_time",
        ),
        (
            "/idempotency_key",
            json!("k"),
            "/idempotency_key",
            "not_allowed",
        ),
        ("/status", json!("completed"), "/status", "unknown_field"),
    ];
    for (at, value, pointer, code) in cases {
        let mut wrong = order(&[("A", 1, "1.00")]);
        let (parent, name) = at.rsplit_once('/').expect("a pointer");
        wrong.pointer_mut(parent).expect("a parent")[name] = value.clone();
        let reply = node
            .post("/v1/orders", &wrong)
            .refused(422, "validation_failed")
            .await;
        let found = reply.faults();
        assert!(
            found.iter().any(|(p, _)| p == pointer),
            "{at} = {value}: {reply}"
        );
        // A number that does not fit may be called one or the other.
        if !code.starts_with("invalid_") && code != "exceeds_subtotal" && code != "out_of_range" {
            assert!(
                found.contains(&(pointer.to_owned(), code.to_owned())),
                "{at} = {value}: {reply}"
            );
        }
    }
    assert_eq!(node.all("/v1/orders", "orders").await.len(), 0);
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 0);
}

#[tokio::test]
async fn two_lines_of_one_sku_stay_two_lines() {
    let node = shop().await;
    let placed = node
        .place(&order(&[("A", 3, "2.00"), ("A", 4, "1.50")]))
        .await;
    assert_eq!(placed["lines"].as_array().map(Vec::len), Some(2));
    assert_eq!(placed["totals"]["total"], "12.00");
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 7);
    let mut same = order(&[("A", 1, "1.00"), ("B", 1, "1.00")]);
    same["lines"][0]["id"] = json!("2");
    node.post("/v1/orders", &same)
        .faults(&[("/lines/1/id", "duplicate")])
        .await;
}

#[tokio::test]
async fn the_largest_order_that_is_allowed_is_taken() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 200_000_000).await;
    let lines: Vec<(&str, u32, &str)> = (0..2_000).map(|_| ("A", 100_000, "0.01")).collect();
    let placed = node.place(&order(&lines)).await;
    assert_eq!(placed["status"], "allocated");
    assert_eq!(placed["lines"].as_array().map(Vec::len), Some(2_000));
    assert_eq!(placed["totals"]["total"], "2000000.00");
    assert_eq!(node.balance("LONDON", "A").await["available"], 0);
    let more: Vec<(&str, u32, &str)> = (0..2_001).map(|_| ("A", 1, "0.01")).collect();
    node.post("/v1/orders", &order(&more))
        .faults(&[("/lines", "too_many")])
        .await;
    let id = placed["id"].as_str().expect("an id");
    let cancelled = node
        .post(
            format!("/v1/orders/{id}/cancel"),
            &json!({"reason": "test"}),
        )
        .expect(200)
        .await;
    assert!(
        ["allocated", "cancelled"]
            .contains(&cancelled.json()["status"].as_str().expect("a status"))
    );
    node.order_when(id, "cancelled", |order| order["status"] == "cancelled")
        .await;
    recount(&node).await;
}

#[tokio::test]
async fn versions_guard_changes_and_spare_reads() {
    let node = shop().await;
    let placed = node.place(&order(&[("A", 2, "1.00")])).await;
    let (id, version) = (
        placed["id"].as_str().expect("an id"),
        placed["version"].as_u64().expect("a version"),
    );
    let path = format!("/v1/orders/{id}");
    node.get(&path)
        .header("if-none-match", format!("\"{version}\""))
        .expect(304)
        .await;
    node.get(&path)
        .header("if-none-match", format!("W/\"{version}\""))
        .expect(304)
        .await;
    let hold = json!({"reason": "manual_review"});
    let stale = node
        .post(format!("{path}/holds"), &hold)
        .if_match(version + 1)
        .refused(412, "version_mismatch")
        .await;
    assert_eq!(stale.json()["current_version"], version);
    let held = node
        .post(format!("{path}/holds"), &hold)
        .if_match(version)
        .expect(201)
        .await;
    assert!(held.json()["version"].as_u64() > Some(version));
    node.get(&path)
        .header("if-none-match", format!("\"{version}\""))
        .expect(200)
        .await;
    node.post(format!("{path}/cancel"), &json!({"reason": "x"}))
        .if_match(version)
        .refused(412, "version_mismatch")
        .await;
    node.post(format!("{path}/cancel"), &json!({"reason": "x"}))
        .header("if-match", "*")
        .expect(200)
        .await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let node = shop().await;
    let cancel = json!({"reason": "x"});
    node.get("/v1/orders/NONE")
        .refused(404, "order_not_found")
        .await;
    node.get("/v1/orders/NONE/events")
        .refused(404, "order_not_found")
        .await;
    node.get("/v1/orders/NONE/explanation")
        .refused(404, "order_not_found")
        .await;
    node.post("/v1/orders/NONE/cancel", &cancel)
        .refused(404, "order_not_found")
        .await;
    node.post(
        "/v1/orders/NONE/amendments",
        &json!({"service_level": "express"}),
    )
    .refused(404, "order_not_found")
    .await;
    node.post("/v1/orders/NONE/holds", &json!({"reason": "other"}))
        .refused(404, "order_not_found")
        .await;
    node.delete("/v1/orders/NONE/holds/1")
        .refused(404, "order_not_found")
        .await;
    let placed = node.place(&order(&[("A", 2, "1.00")])).await;
    let path = format!("/v1/orders/{}", placed["id"].as_str().expect("an id"));
    node.delete(format!("{path}/holds/1"))
        .refused(404, "hold_not_found")
        .await;
    node.delete(format!("{path}/holds/x"))
        .refused(404, "hold_not_found")
        .await;
    let lines = json!({"reason": "x", "lines": [{"line": "7"}]});
    node.post(format!("{path}/cancel"), &lines)
        .faults(&[("/lines/0/line", "unknown_line")])
        .await;
    node.post(format!("{path}/cancel"), &json!({"reason": ""}))
        .faults(&[("/reason", "empty")])
        .await;
    node.post(format!("{path}/cancel"), &json!({}))
        .faults(&[("/reason", "missing_field")])
        .await;
    node.post(
        format!("{path}/cancel"),
        &json!({"reason": "x", "lines": []}),
    )
    .faults(&[("/lines", "empty")])
    .await;
    node.post(format!("{path}/holds"), &json!({"reason": "whim"}))
        .faults(&[("/reason", "invalid_value")])
        .await;
    let scope = json!({"reason": "other", "scope": {"fulfillment_order": "X-f9"}});
    node.post(format!("{path}/holds"), &scope)
        .faults(&[("/scope/fulfillment_order", "unknown_fulfillment_order")])
        .await;
    node.post(format!("{path}/amendments"), &json!({}))
        .faults(&[("", "empty")])
        .await;
}

#[tokio::test]
async fn history_and_explanation_tell_the_whole_way() {
    let node = shop().await;
    let placed = node.place(&order(&[("A", 2, "1.00")])).await;
    let path = format!("/v1/orders/{}", placed["id"].as_str().expect("an id"));
    node.post(
        format!("{path}/holds"),
        &json!({"reason": "other", "occurred_at": "2026-01-01T00:00:00Z"}),
    )
    .expect(201)
    .await;
    node.delete(format!("{path}/holds/1")).expect(200).await;
    let events = node.all(&format!("{path}/events"), "events").await;
    let versions: Vec<u64> = events
        .iter()
        .map(|e| e["version"].as_u64().expect("a version"))
        .collect();
    assert_eq!(
        versions,
        (1..=versions.len() as u64).collect::<Vec<_>>(),
        "no gap"
    );
    let kinds: Vec<&str> = events
        .iter()
        .map(|e| e["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(kinds[0], "placed");
    for kind in ["sourced", "hold_placed", "hold_released"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let held = events
        .iter()
        .find(|e| e["type"] == "hold_placed")
        .expect("a hold");
    assert_eq!(held["occurred_at"], "2026-01-01T00:00:00Z");
    assert_ne!(held["recorded_at"], held["occurred_at"]);
    assert!(
        !serde_json::to_string(&events)
            .expect("JSON")
            .contains("ada@example.org"),
        "personal data in history"
    );
    let first = node
        .get(format!("{path}/events?limit=1"))
        .expect(200)
        .await
        .json();
    let next = first["next_cursor"].as_str().expect("more");
    let second = node
        .get(format!("{path}/events?limit=1&cursor={next}"))
        .expect(200)
        .await
        .json();
    assert_eq!(second["events"][0]["version"], 2);
    let explained = node
        .get(format!("{path}/explanation"))
        .expect(200)
        .await
        .json();
    let decisions = explained["decisions"].as_array().expect("decisions");
    assert_eq!(decisions.len(), 1);
    assert!(
        decisions[0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("LONDON")),
        "{explained}"
    );
}
