//! Goods that are to come: announced, shown, taken from by receipts, and told of on product pages.

use consign_tests::{Node, Shop, eventually, order};
use serde_json::{Value, json};

use crate::CONSIGN;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    let bundle = json!({"sku": "AAB", "name": "Set", "kind": "bundle",
        "components": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]});
    node.put("/v1/products/AAB", &bundle).expect(201).await;
    node
}

async fn announce(node: &Node, path: &str, quantity: u32, day: &str) -> Value {
    let body = json!({"quantity": quantity, "expected_at": format!("{day}T09:00:00Z")});
    let put = node.put(format!("/v1/locations/{path}"), &body);
    put.expect(200).await.json()
}

async fn asked(node: &Node, sku: &str, more: &str) -> Value {
    let path = format!("/v1/availability?sku={sku}&destination=GB,51.5,-0.12{more}");
    node.get(path).expect(200).await.json()
}

async fn by(node: &Node, sku: &str, day: &str) -> Value {
    let answer = asked(node, sku, &format!("&by={day}")).await;
    assert_eq!(answer["by"]["date"], day, "{answer}");
    answer["by"]["quantity"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_is_shown_and_taken_from_by_receipts() {
    let mut node = shop().await;
    let moved = announce(&node, "LEEDS/incoming/A/PO-7", 40, "2099-12-20").await;
    assert_eq!(
        (&moved["on_hand"], &moved["available"]),
        (&json!(0), &json!(0))
    );
    announce(&node, "LEEDS/incoming/A/PO%2F8", 5, "2099-12-01").await;
    let balance = node.balance("LEEDS", "A").await;
    assert_eq!(balance["incoming"], 45);
    let first = json!({"reference": "PO/8", "quantity": 5, "expected_at": "2099-12-01T09:00:00Z"});
    assert_eq!(balance["announced"][0], first);
    let receipt = json!({"location": "LEEDS", "sku": "A", "quantity": 30, "reference": "PO-7"});
    let received = node.post("/v1/inventory/receipts", &receipt).key("once");
    received.expect(200).await;
    let again = node.post("/v1/inventory/receipts", &receipt).key("once");
    again.expect(200).await;
    let balance = node.balance("LEEDS", "A").await;
    assert_eq!(
        (&balance["on_hand"], &balance["incoming"]),
        (&json!(30), &json!(15))
    );
    // Another day, and it survives the process.
    announce(&node, "LEEDS/incoming/A/PO-7", 8, "2099-11-01").await;
    node.kill().await;
    node.restart().await;
    let balance = node.balance("LEEDS", "A").await;
    assert_eq!(balance["announced"][0]["quantity"], 8, "{balance}");
    assert_eq!(by(&node, "A", "2099-11-01").await, 38);
    for _ in 0..2 {
        let end = node.delete("/v1/locations/LEEDS/incoming/A/PO-7");
        end.expect(200).await;
    }
    let list = node
        .get("/v1/locations/LEEDS/inventory")
        .expect(200)
        .await
        .json();
    assert_eq!(list["inventory"][0]["incoming"], 5, "{list}");
    assert_eq!(by(&node, "A", "2099-12-31").await, 35);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_out_page_says_when_there_is_more_and_who_waits_goes_first() {
    let mut node = shop().await;
    assert_eq!(asked(&node, "A", "").await["restock"], Value::Null);
    announce(&node, "LEEDS/incoming/A/PO-1", 10, "2099-12-01").await;
    announce(&node, "LONDON/incoming/A/PO-2", 20, "2099-12-20").await;
    let page = asked(&node, "A", "").await;
    assert_eq!(page["quantity"], 0);
    assert_eq!(
        page["restock"],
        json!({"date": "2099-12-01", "quantity": 10})
    );
    for (day, units) in [("2099-11-30", 0), ("2099-12-01", 10), ("2099-12-20", 30)] {
        assert_eq!(by(&node, "A", day).await, units, "{day}");
    }
    // Of a bundle, when its last component is there; both from one place.
    assert_eq!(asked(&node, "AAB", "").await["restock"], Value::Null);
    announce(&node, "LONDON/incoming/B/PO-3", 4, "2099-12-05").await;
    let set = asked(&node, "AAB", "").await;
    assert_eq!(set["restock"], json!({"date": "2099-12-20", "quantity": 4}));

    // Twelve units wait: they take all that comes first, and two of the next.
    let mut waits = order(&[("A", 12, "2.55")]);
    waits["shortage"] = json!("backorder");
    let placed = node.place(&waits).await;
    let id = placed["id"].as_str().expect("an id");
    node.order_when(id, "backordered", |order| order["status"] == "backordered")
        .await;
    eventually("what waits is known", || async {
        let page = asked(&node, "A", "").await;
        let rest = json!({"date": "2099-12-20", "quantity": 18});
        (page["restock"] == rest).then_some(())
    })
    .await;

    // A strategy that lets London serve nobody leaves nothing to wait for.
    let north = json!({"name": "north", "groups": {"north": ["LEEDS"]},
        "rules": [{"name": "all", "filters": {"groups": ["north"]}}]});
    node.post("/v1/strategies", &north).expect(201).await;
    node.post("/v1/strategies/1/activate", &json!({}))
        .expect(200)
        .await;
    assert_eq!(asked(&node, "A", "").await["restock"], Value::Null);
    // What is there needs no restock.
    node.receive("LEEDS", "B", 1).await;
    assert_eq!(asked(&node, "B", "").await["restock"], Value::Null);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_announcements_and_dates_are_named() {
    let mut node = shop().await;
    let sane = json!({"quantity": 4, "expected_at": "2099-12-20T09:00:00Z"});
    for (member, value, pointer) in [
        ("quantity", json!(0), "/quantity"),
        ("expected_at", json!("soon"), "/expected_at"),
    ] {
        let mut wrong = sane.clone();
        wrong[member] = value;
        let refused = node.put("/v1/locations/LEEDS/incoming/A/PO-1", &wrong);
        let refused = refused.refused(422, "validation_failed").await.json();
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    let nowhere = node.put("/v1/locations/NOWHERE/incoming/A/PO-1", &sane);
    nowhere.refused(404, "location_not_found").await;
    let nothing = node.put("/v1/locations/LEEDS/incoming/NONE/PO-1", &sane);
    nothing.refused(404, "product_not_found").await;
    for nth in 0..32 {
        let path = format!("LEEDS/incoming/A/PO-{nth}");
        announce(&node, &path, 1, "2099-12-20").await;
    }
    let more = node.put("/v1/locations/LEEDS/incoming/A/PO-32", &sane);
    let more = more.refused(422, "validation_failed").await.json();
    assert_eq!(more["errors"][0]["code"], "too_many_announced", "{more}");
    for day in ["tomorrow", "2099-02-29", "2099-1-1"] {
        let path = format!("/v1/availability?sku=A&destination=GB&by={day}");
        let refused = node.get(path).refused(400, "invalid_query").await.json();
        let detail = refused["detail"].as_str().expect("a detail");
        assert!(detail.contains("by"), "{detail}");
    }
    node.stop().await;
}
