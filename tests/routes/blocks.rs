//! SKUs that were looked for and not found, or refused: their location is not asked for them, until
//! somebody looks after them or for a set time.

use std::time::Duration;

use consign_tests::{Node, Shop, eventually, order};
use serde_json::{Value, json};

use crate::CONSIGN;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    for sku in ["A", "B"] {
        node.receive("LONDON", sku, 50).await;
        node.receive("LEEDS", sku, 50).await;
    }
    node
}

/// Where one unit of a SKU is served from.
async fn served(node: &Node, sku: &str) -> String {
    let placed = node.place(&order(&[(sku, 1, "2.55")])).await;
    let from = placed["lines"][0]["allocations"][0]["location"].as_str();
    from.unwrap_or("nowhere").to_owned()
}

fn only_work(order: &Value) -> String {
    let id = order["fulfillment_orders"][0]["id"].as_str();
    id.expect("a fulfillment order").to_owned()
}

async fn blocked(node: &Node, location: &str) -> Vec<String> {
    let path = format!("/v1/locations/{location}/blocks");
    let blocks = node.all(&path, "blocks").await;
    let sku = |block: &Value| block["sku"].as_str().expect("a SKU").to_owned();
    blocks.iter().map(sku).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_found_is_served_elsewhere_until_it_is_counted() {
    let mut node = shop().await;
    let placed = node.place(&order(&[("A", 2, "2.55")])).await;
    let work = only_work(&placed);
    node.work(&work, "accept", &json!({})).await;
    let pick = json!({"lines": [{"line": "1", "quantity": 1, "short": 1}]});
    node.work(&work, "pick", &pick).await;
    let from_leeds = |order: &Value| {
        let all = order["lines"][0]["allocations"].as_array();
        all.is_some_and(|all| all.iter().any(|of| of["location"] == "LEEDS"))
    };
    let id = placed["id"].as_str().expect("an id");
    node.order_when(id, "the rest comes from Leeds", from_leeds)
        .await;
    assert_eq!(
        (served(&node, "A").await, served(&node, "B").await),
        ("LEEDS".into(), "LONDON".into())
    );
    assert_eq!(blocked(&node, "LONDON").await, ["A"]);

    node.kill().await;
    node.restart().await;
    assert_eq!(served(&node, "A").await, "LEEDS");
    let count = json!({"location": "LONDON", "sku": "A", "counted": 20});
    node.post("/v1/inventory/counts", &count).expect(200).await;
    assert_eq!(served(&node, "A").await, "LONDON");
    assert!(blocked(&node, "LONDON").await.is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staff_reject_as_out_of_stock_is_not_asked_for_again() {
    let mut node = shop().await;
    for (sku, reason, blocks) in [("A", "too busy", false), ("B", "out_of_stock", true)] {
        let placed = node.place(&order(&[(sku, 1, "2.55")])).await;
        let reject = json!({"reason": reason});
        node.work(&only_work(&placed), "reject", &reject).await;
        if blocks {
            eventually("it is blocked", async || {
                (blocked(&node, "LONDON").await == [sku]).then_some(())
            })
            .await;
        }
        let expected = if blocks { "LEEDS" } else { "LONDON" };
        assert_eq!(served(&node, sku).await, expected, "{reason}");
    }
    node.stop().await;
}

/// A moment three seconds after an order that is placed now, or a little more.
async fn soon(node: &Node) -> String {
    loop {
        let placed = node.place(&order(&[("B", 1, "2.55")])).await;
        let at = placed["placed_at"].as_str().expect("a moment");
        let (minute, second) = at.split_at("2026-11-28T12:00:".len());
        let second: u32 = second[..2].parse().expect("a second");
        if second < 56 {
            return format!("{minute}{:02}Z", second + 4);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_block_for_a_set_time_and_lift_it() {
    let mut node = shop().await;
    let path = "/v1/locations/LONDON/blocks/A";
    let until = json!({"until": soon(&node).await.replace('Z', "-10:00")});
    let set = node.put(path, &until).expect(200).await.json();
    assert_eq!(
        (&set["location"], &set["sku"]),
        (&json!("LONDON"), &json!("A"))
    );
    assert_eq!(served(&node, "A").await, "LEEDS");
    node.delete(path).expect(200).await;
    node.delete(path).expect(200).await;
    assert_eq!(served(&node, "A").await, "LONDON");
    // It ends by itself, and whoever waits is served.
    let until_soon = json!({"until": soon(&node).await});
    for location in ["LONDON", "LEEDS"] {
        let path = format!("/v1/locations/{location}/blocks/A");
        node.put(path, &until_soon).expect(200).await;
    }
    let placed = node.place(&order(&[("A", 1, "2.55")])).await;
    assert_eq!(placed["status"], "backordered", "{placed:#}");
    let id = placed["id"].as_str().expect("an id");
    node.order_when(id, "it is served", |order| order["status"] == "allocated")
        .await;

    for (wrong, code) in [
        ("soon", "invalid_time"),
        ("2001-01-01T00:00:00Z", "in_the_past"),
        ("2999-01-01T00:00:00Z", "out_of_range"),
    ] {
        let put = node.put(path, &json!({"until": wrong}));
        put.faults(&[("/until", code)]).await;
    }
    for (path, code) in [
        ("/v1/locations/YORK/blocks/A", "location_not_found"),
        ("/v1/locations/LONDON/blocks/Z", "product_not_found"),
    ] {
        node.put(path, &until).refused(404, code).await;
    }
    let nowhere = node.get("/v1/locations/YORK/blocks");
    nowhere.refused(404, "location_not_found").await;
    node.stop().await;
}
