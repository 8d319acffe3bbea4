//! Stock: receipts, adjustments, transfers, counts, safety stock, and the ledgers they leave.

use consign_tests::{Node, Shop, eventually, order, recount};
use serde_json::{Value, json};

use crate::CONSIGN;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    node
}

fn figures(balance: &Value) -> [i64; 5] {
    [
        "on_hand",
        "reserved",
        "safety_stock",
        "damaged",
        "available",
    ]
    .map(|name| balance[name].as_i64().expect(name))
}

#[tokio::test]
async fn every_movement_changes_the_balance_as_it_says() {
    let node = shop().await;
    let body = |extra: Value| {
        let mut body = json!({"location": "LONDON", "sku": "A"});
        body.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        body
    };
    let moved = node
        .post(
            "/v1/inventory/receipts",
            &body(json!({"quantity": 10, "reference": "PO-1"})),
        )
        .expect(200)
        .await;
    assert_eq!(figures(&moved.json()), [10, 0, 0, 0, 10]);
    let version = moved.json()["version"].as_u64().expect("a version");
    assert_eq!(
        moved.header("etag"),
        Some(format!("\"{version}\"").as_str())
    );
    let moved = node
        .post(
            "/v1/inventory/adjustments",
            &body(json!({"quantity": -2, "damaged": 1})),
        )
        .expect(200)
        .await;
    assert_eq!(figures(&moved.json()), [8, 0, 0, 1, 7]);
    let moved = node
        .post("/v1/inventory/safety-stock", &body(json!({"quantity": 3})))
        .expect(200)
        .await;
    assert_eq!(figures(&moved.json()), [8, 0, 3, 1, 4]);
    let moved = node
        .post(
            "/v1/inventory/counts",
            &body(json!({"counted": 9, "reference": "C-1"})),
        )
        .expect(200)
        .await;
    assert_eq!(figures(&moved.json()), [9, 0, 3, 1, 5]);
    let moved = node
        .post(
            "/v1/inventory/transfers",
            &body(json!({"to": "LEEDS", "quantity": 4})),
        )
        .expect(200)
        .await;
    assert_eq!(figures(&moved.json()), [5, 0, 3, 1, 1]);
    eventually("the transfer arrives", || async {
        let there = node
            .get("/v1/locations/LEEDS/inventory")
            .expect(200)
            .await
            .json();
        (there["inventory"][0]["on_hand"] == 4).then_some(())
    })
    .await;
    let whole = node.get("/v1/inventory/A").expect(200).await.json();
    assert_eq!(
        (&whole["sku"], &whole["available"]),
        (&json!("A"), &json!(5))
    );
    let movements = node
        .all("/v1/locations/LONDON/movements", "movements")
        .await;
    let kinds: Vec<&str> = movements
        .iter()
        .map(|m| m["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "received",
            "adjusted",
            "safety_stock_set",
            "counted",
            "transferred"
        ]
    );
    assert_eq!(movements[0]["reference"], "PO-1");
    recount(&node).await;
}

#[tokio::test]
async fn wrong_movements_are_refused_and_change_nothing() {
    let node = shop().await;
    node.receive("LONDON", "A", 5).await;
    let receipts = "/v1/inventory/receipts";
    let receipt = |location: &str, sku: &str, quantity: Value| json!({"location": location, "sku": sku, "quantity": quantity});
    node.post(receipts, &receipt("NOWHERE", "A", json!(1)))
        .refused(404, "location_not_found")
        .await;
    assert!(
        [404, 422].contains(
            &node
                .post(receipts, &receipt("LONDON", "NONE", json!(1)))
                .send()
                .await
                .status
        )
    );
    node.post(receipts, &receipt("LONDON", "A", json!(0)))
        .faults(&[("/quantity", "out_of_range")])
        .await;
    for absurd in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(1e30),
        json!(u64::MAX),
        json!(null),
    ] {
        let reply = node
            .post(receipts, &receipt("LONDON", "A", absurd))
            .refused(422, "validation_failed")
            .await;
        assert_eq!(reply.faults()[0].0, "/quantity", "{reply}");
    }
    node.post(receipts, &receipt("LONDON", "A", json!(4_000_000_000_u32)))
        .faults(&[("/quantity", "out_of_range")])
        .await;
    node.post(receipts, &json!({}))
        .faults(&[
            ("/location", "missing_field"),
            ("/sku", "missing_field"),
            ("/quantity", "missing_field"),
        ])
        .await;
    node.post(
        "/v1/inventory/adjustments",
        &json!({"location": "LONDON", "sku": "A"}),
    )
    .faults(&[("/quantity", "out_of_range")])
    .await;
    let transfer = |to: &str, quantity: u32| json!({"location": "LONDON", "to": to, "sku": "A", "quantity": quantity});
    let short = node
        .post("/v1/inventory/transfers", &transfer("LEEDS", 6))
        .refused(409, "insufficient_stock")
        .await;
    assert_eq!(short.json()["available"], 5);
    node.post("/v1/inventory/transfers", &transfer("LONDON", 1))
        .faults(&[("/to", "invalid_value")])
        .await;
    assert!(
        [404, 422].contains(
            &node
                .post("/v1/inventory/transfers", &transfer("NOWHERE", 1))
                .send()
                .await
                .status
        )
    );
    let count = json!({"location": "LONDON", "sku": "A", "counted": 5, "counted_at": "yesterday"});
    node.post("/v1/inventory/counts", &count)
        .faults(&[("/counted_at", "invalid_time")])
        .await;
    for path in ["/v1/inventory/NONE"] {
        node.get(path).refused(404, "product_not_found").await;
    }
    for path in ["inventory", "movements", "reservations"] {
        node.get(format!("/v1/locations/NOWHERE/{path}"))
            .refused(404, "location_not_found")
            .await;
    }
    assert_eq!(figures(&node.balance("LONDON", "A").await), [5, 0, 0, 0, 5]);
}

#[tokio::test]
async fn a_repeated_receipt_is_taken_once() {
    let node = shop().await;
    let receipt = json!({"location": "LONDON", "sku": "A", "quantity": 5});
    let first = node
        .post("/v1/inventory/receipts", &receipt)
        .key("r-1")
        .expect(200)
        .await;
    let again = node
        .post("/v1/inventory/receipts", &receipt)
        .key("r-1")
        .expect(200)
        .await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.json()["on_hand"], again.json()["on_hand"]);
    let other = json!({"location": "LONDON", "sku": "A", "quantity": 6});
    node.post("/v1/inventory/receipts", &other)
        .key("r-1")
        .refused(409, "idempotency_key_reused")
        .await;
    assert_eq!(node.balance("LONDON", "A").await["on_hand"], 5);
}

#[tokio::test]
async fn a_count_of_the_past_leaves_later_movements_standing() {
    let node = shop().await;
    node.receive("LONDON", "A", 10).await;
    let counted_at = node
        .get("/v1/locations/LONDON/movements")
        .expect(200)
        .await
        .json()["movements"][0]["recorded_at"]
        .clone();
    node.receive("LONDON", "A", 7).await;
    let count = json!({"location": "LONDON", "sku": "A", "counted": 8, "counted_at": counted_at});
    let moved = node
        .post("/v1/inventory/counts", &count)
        .expect(200)
        .await
        .json();
    assert_eq!(moved["on_hand"], 15, "8 counted then, 7 received since");
    recount(&node).await;
}

#[tokio::test]
async fn stock_and_reservations_are_listed_page_by_page() {
    let node = shop().await;
    node.receive("LONDON", "A", 50).await;
    node.receive("LONDON", "B", 50).await;
    for _ in 0..9 {
        node.place(&order(&[("A", 1, "1.00"), ("B", 2, "1.00")]))
            .await;
    }
    for (list, name, expected) in [
        ("inventory", "inventory", 2),
        ("reservations", "reservations", 18),
        ("movements", "movements", 20),
    ] {
        let path = format!("/v1/locations/LONDON/{list}");
        let whole = node.all(&path, name).await;
        assert_eq!(whole.len(), expected, "{list}");
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = node
                .get(format!("{path}?limit=3{cursor}"))
                .expect(200)
                .await
                .json();
            seen.extend(page[name].as_array().expect(name).iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, whole, "{list}");
        node.get(format!("{path}?cursor=nonsense"))
            .refused(400, "cursor_invalid")
            .await;
        node.get(format!("{path}?limit=none"))
            .refused(400, "invalid_query")
            .await;
    }
}
