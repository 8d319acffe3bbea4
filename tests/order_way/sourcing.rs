//! Where units come from: nearest first, fewest splits, what the customer allows, and what becomes
//! of units that nobody has.

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::{CONSIGN, id, units};

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B", "C"], &["LONDON", "LEEDS", "GLASGOW"])
        .await;
    node
}

#[tokio::test]
async fn one_location_is_better_than_two_and_near_is_better_than_far() {
    let node = shop().await;
    for location in ["LONDON", "LEEDS", "GLASGOW"] {
        node.receive(location, "A", 10).await;
    }
    node.receive("LEEDS", "B", 10).await;
    node.receive("GLASGOW", "B", 10).await;
    // All have A: the nearest to London serves.
    let near = node.place(&order(&[("A", 1, "1.00")])).await;
    assert_eq!(near["fulfillment_orders"][0]["location"], "LONDON");
    // Only Leeds and Glasgow have both: Leeds is nearer, and one parcel is better than two.
    let both = node
        .place(&order(&[("A", 1, "1.00"), ("B", 1, "1.00")]))
        .await;
    assert_eq!(both["fulfillment_orders"].as_array().map(Vec::len), Some(1));
    assert_eq!(both["fulfillment_orders"][0]["location"], "LEEDS");
    let explained = node
        .get(format!("/v1/orders/{}/explanation", id(&both["id"])))
        .expect(200)
        .await
        .json();
    let said = explained["decisions"][0].to_string();
    for location in ["LONDON", "LEEDS", "GLASGOW"] {
        assert!(
            said.contains(location),
            "every candidate has its fate: {said}"
        );
    }
    // A closed location serves nobody.
    let shut = json!({"name": "LONDON", "kind": "warehouse", "country": "GB", "latitude": 51.51, "longitude": -0.13,
        "time_zone": "Europe/London", "active": false});
    node.put("/v1/locations/LONDON", &shut).expect(200).await;
    let elsewhere = node.place(&order(&[("A", 1, "1.00")])).await;
    assert_eq!(elsewhere["fulfillment_orders"][0]["location"], "LEEDS");
    recount(&node).await;
}

#[tokio::test]
async fn units_are_split_over_locations_only_as_far_as_allowed() {
    let node = shop().await;
    node.receive("LONDON", "A", 6).await;
    node.receive("LEEDS", "A", 4).await;
    let mut asked = order(&[("A", 9, "1.00")]);
    asked["split"] = json!("single_location");
    let alone = node.place(&asked).await;
    assert_eq!(
        (&alone["status"], units(&alone, 0, "backordered")),
        (&json!("backordered"), 9)
    );
    node.post(
        format!("/v1/orders/{}/cancel", id(&alone["id"])),
        &json!({"reason": "x"}),
    )
    .expect(200)
    .await;
    asked["split"] = json!("ship_complete");
    asked["lines"][0]["quantity"] = json!(11);
    let complete = node.place(&asked).await;
    assert_eq!(
        (&complete["status"], units(&complete, 0, "backordered")),
        (&json!("backordered"), 11)
    );
    node.post(
        format!("/v1/orders/{}/cancel", id(&complete["id"])),
        &json!({"reason": "x"}),
    )
    .expect(200)
    .await;
    asked["split"] = json!("allow");
    let split = node.place(&asked).await;
    assert_eq!(
        (
            units(&split, 0, "allocated"),
            units(&split, 0, "backordered")
        ),
        (10, 1)
    );
    let mut allocations = split["lines"][0]["allocations"]
        .as_array()
        .expect("allocations")
        .clone();
    allocations.sort_by_key(|a| a["location"].to_string());
    assert_eq!(
        allocations,
        [
            json!({"location": "LEEDS", "quantity": 4}),
            json!({"location": "LONDON", "quantity": 6})
        ]
    );
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 10);
}

#[tokio::test]
async fn what_nobody_has_is_backordered_or_cancelled_as_asked() {
    let node = shop().await;
    node.receive("LONDON", "A", 3).await;
    node.receive("LONDON", "B", 10).await;
    let mut asked = order(&[("A", 5, "1.00"), ("B", 1, "2.00")]);
    asked["shortage"] = json!("cancel_order");
    let whole = node.place(&asked).await;
    assert_eq!(
        (&whole["status"], &whole["totals"]["total"]),
        (&json!("cancelled"), &json!("0.00"))
    );
    recount(&node).await;
    asked["shortage"] = json!("cancel_line");
    let line = node.place(&asked).await;
    assert_eq!(
        (&line["status"], units(&line, 0, "backordered")),
        (&json!("allocated"), 0)
    );
    let left = 5 - units(&line, 0, "cancelled");
    assert!(left == 0 || left == 3, "{line}");
    assert_eq!(
        line["totals"]["total"],
        format!("{left}.00").replace(&format!("{left}"), &(left + 2).to_string())
    );
    node.post(
        format!("/v1/orders/{}/cancel", id(&line["id"])),
        &json!({"reason": "x"}),
    )
    .expect(200)
    .await;
    node.order_when(&id(&line["id"]), "cancelled", |order| {
        order["status"] == "cancelled"
    })
    .await;
    asked["shortage"] = json!("backorder");
    let waits = node.place(&asked).await;
    assert_eq!(
        (&waits["status"], units(&waits, 0, "backordered")),
        (&json!("backordered"), 2)
    );
    assert_eq!(waits["totals"]["total"], "7.00");
    recount(&node).await;
}

#[tokio::test]
async fn a_receipt_releases_backorders_oldest_first() {
    let node = shop().await;
    let mut waiting = Vec::new();
    for n in 0..3 {
        let mut asked = order(&[("A", 4, "1.00")]);
        asked["placed_at"] = json!(format!("2026-01-0{}T00:00:00Z", n + 1));
        let placed = node.place(&asked).await;
        assert_eq!(placed["status"], "backordered");
        waiting.push(id(&placed["id"]));
    }
    recount(&node).await;
    node.receive("LEEDS", "A", 8).await;
    for first in &waiting[..2] {
        let released = node
            .order_when(first, "allocated", |order| order["status"] == "allocated")
            .await;
        assert_eq!(released["fulfillment_orders"][0]["location"], "LEEDS");
    }
    let third = node.order(&waiting[2]).await;
    assert_eq!(
        (&third["status"], units(&third, 0, "backordered")),
        (&json!("backordered"), 4)
    );
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 8);
    // A cancelled order gives its units to whoever waits.
    node.post(
        format!("/v1/orders/{}/cancel", waiting[0]),
        &json!({"reason": "x"}),
    )
    .expect(200)
    .await;
    node.order_when(&waiting[2], "allocated", |order| {
        order["status"] == "allocated"
    })
    .await;
    recount(&node).await;
}

#[tokio::test]
async fn a_transfer_takes_only_what_is_free_and_serves_who_waits() {
    let node = shop().await;
    node.receive("LONDON", "A", 5).await;
    node.place(&order(&[("A", 3, "1.00")])).await;
    let transfer = |quantity: u32| json!({"location": "LONDON", "to": "GLASGOW", "sku": "A", "quantity": quantity});
    let short = node
        .post("/v1/inventory/transfers", &transfer(3))
        .refused(409, "insufficient_stock")
        .await;
    assert_eq!(short.json()["available"], 2);
    let mut asked = order(&[("A", 2, "1.00")]);
    asked["lines"][0]["pickup_location"] = json!("GLASGOW");
    let waits = node.place(&asked).await;
    assert_eq!(waits["status"], "backordered", "only Glasgow may serve it");
    let moved = node
        .post("/v1/inventory/transfers", &transfer(2))
        .key("t-1")
        .expect(200)
        .await;
    assert_eq!(moved.json()["on_hand"], 3);
    node.post("/v1/inventory/transfers", &transfer(2))
        .key("t-1")
        .expect(200)
        .await;
    let served = node
        .order_when(&id(&waits["id"]), "allocated", |order| {
            order["status"] == "allocated"
        })
        .await;
    assert_eq!(served["fulfillment_orders"][0]["location"], "GLASGOW");
    let books = recount(&node).await;
    assert_eq!((books.on_hand["A"], books.reserved["A"]), (5, 5));
}
