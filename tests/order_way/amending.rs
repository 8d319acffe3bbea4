//! Amendments: what is allowed when, by the table in the documentation.

use consign_tests::{Node, Shop, order, recount};
use serde_json::{Value, json};

use crate::{CONSIGN, id, units};

async fn placed() -> (Node, String, String) {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "GLASGOW"]).await;
    for location in ["LONDON", "GLASGOW"] {
        node.receive(location, "A", 20).await;
        node.receive(location, "B", 20).await;
    }
    let placed = node.place(&order(&[("A", 5, "2.00")])).await;
    let (order_id, work) = (
        id(&placed["id"]),
        id(&placed["fulfillment_orders"][0]["id"]),
    );
    (node, order_id, work)
}

fn glasgow() -> Value {
    json!({"ship_to": {"name": "Ada", "line1": "2 Low St", "city": "Glasgow", "country": "GB", "latitude": 55.86, "longitude": -4.25}})
}

#[tokio::test]
async fn before_anything_is_picked_all_can_be_amended() {
    let (node, order_id, _) = placed().await;
    let path = format!("/v1/orders/{order_id}/amendments");
    let more = json!({"add_lines": [{"sku": "B", "quantity": 2, "unit_price": "1.50"}], "service_level": "express"});
    node.post(&path, &more).key("a-1").expect(200).await;
    node.post(&path, &more).key("a-1").expect(200).await;
    let amended = node
        .order_when(&order_id, "allocated", |order| {
            order["status"] == "allocated"
                && order["lines"].as_array().is_some_and(|l| l.len() == 2)
        })
        .await;
    assert_eq!(
        (&amended["totals"]["total"], &amended["service_level"]),
        (&json!("13.00"), &json!("express"))
    );
    recount(&node).await;
    node.post(
        &path,
        &json!({"lines": [{"line": "1", "quantity": 3}, {"line": "2", "unit_price": "1.25"}]}),
    )
    .expect(200)
    .await;
    let less = node
        .order_when(&order_id, "fewer", |order| {
            units(order, 0, "cancelled") == 2
        })
        .await;
    assert_eq!(less["totals"]["total"], "8.50");
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 3);
    // More units are a line of their own.
    node.post(&path, &json!({"lines": [{"line": "1", "quantity": 9}]}))
        .refused(422, "validation_failed")
        .await;
    // All or nothing: the good half of a bad amendment does not happen.
    let half = json!({"lines": [{"line": "1", "quantity": 1}], "add_lines": [{"sku": "NONE", "quantity": 1, "unit_price": "1"}]});
    node.post(&path, &half)
        .faults(&[("/add_lines/0/sku", "unknown_sku")])
        .await;
    assert_eq!(units(&node.order(&order_id).await, 0, "cancelled"), 2);
    recount(&node).await;
}

#[tokio::test]
async fn another_address_is_sourced_again() {
    let (node, order_id, work) = placed().await;
    let path = format!("/v1/orders/{order_id}/amendments");
    assert_eq!(
        node.order(&order_id).await["fulfillment_orders"][0]["location"],
        "LONDON"
    );
    node.post(&path, &glasgow()).expect(200).await;
    let moved = node
        .order_when(&order_id, "from Glasgow", |order| {
            order["status"] == "allocated"
                && order["fulfillment_orders"].as_array().is_some_and(|works| {
                    works
                        .iter()
                        .any(|w| w["location"] == "GLASGOW" && w["status"] == "open")
                })
        })
        .await;
    assert_eq!(moved["ship_to"]["city"], "Glasgow");
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 0);
    assert_eq!(
        node.get(format!("/v1/fulfillment-orders/{work}"))
            .expect(200)
            .await
            .json()["status"],
        "cancelled"
    );
    let history = node
        .get(format!("/v1/orders/{order_id}/events"))
        .expect(200)
        .await
        .json()
        .to_string();
    assert!(!history.contains("Low St"), "an address is no history");
    recount(&node).await;
}

#[tokio::test]
async fn after_shipping_it_is_too_late() {
    let (node, order_id, work) = placed().await;
    let path = format!("/v1/orders/{order_id}/amendments");
    node.work(
        &work,
        "pick",
        &json!({"lines": [{"line": "1", "quantity": 2}]}),
    )
    .await;
    node.order_when(&order_id, "picked", |order| units(order, 0, "picked") == 2)
        .await;
    // Picked: the price may still change, and units that are not picked may go.
    node.post(
        &path,
        &json!({"lines": [{"line": "1", "unit_price": "1.00"}]}),
    )
    .expect(200)
    .await;
    node.post(&path, &json!({"lines": [{"line": "1", "quantity": 1}]}))
        .refused(409, "too_late")
        .await;
    node.work(&work, "pack", &json!({})).await;
    node.work(&work, "ship", &json!({"tracking_number": "AM-1"}))
        .await;
    for late in [
        glasgow(),
        json!({"service_level": "express"}),
        json!({"lines": [{"line": "1", "unit_price": "3.00"}]}),
        json!({"add_lines": [{"sku": "B", "quantity": 1, "unit_price": "1.00"}]}),
    ] {
        node.post(&path, &late).refused(409, "too_late").await;
    }
    // What has not left may still be taken off.
    node.post(&path, &json!({"lines": [{"line": "1", "quantity": 3}]}))
        .expect(200)
        .await;
    let after = node
        .order_when(&order_id, "fewer", |order| {
            units(order, 0, "cancelled") == 2
        })
        .await;
    assert_eq!(
        (units(&after, 0, "shipped"), &after["totals"]["total"]),
        (2, &json!("3.00"))
    );
    recount(&node).await;
}
