//! A count below what is reserved is taken as it is: reservations are displaced, sourced again, and
//! nothing is hidden (L1).

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::{CONSIGN, id, units};

#[tokio::test]
async fn a_count_displaces_the_latest_promise_first_and_it_is_sourced_again() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 10).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let mut asked = order(&[("A", 3, "1.00")]);
        asked["placed_at"] = json!(format!("2026-01-0{}T00:00:00Z", n + 1));
        ids.push(id(&node.place(&asked).await["id"]));
    }
    node.receive("LEEDS", "A", 1).await;
    // Somebody counts seven where nine are promised.
    let count = json!({"location": "LONDON", "sku": "A", "counted": 7});
    let counted = node
        .post("/v1/inventory/counts", &count)
        .expect(200)
        .await
        .json();
    assert_eq!(
        (&counted["on_hand"], &counted["displaced"]),
        (&json!(7), &json!(2))
    );
    // The last one loses two: Leeds has one, nobody has the other.
    let last = node
        .order_when(&ids[2], "sourced again", |order| {
            units(order, 0, "allocated") == 2 && units(order, 0, "backordered") == 1
        })
        .await;
    assert_eq!(last["status"], "backordered");
    for first in &ids[..2] {
        assert_eq!(units(&node.order(first).await, 0, "allocated"), 3);
    }
    let books = recount(&node).await;
    assert_eq!((books.on_hand["A"], books.reserved["A"]), (8, 8));
    // What comes in serves it.
    node.receive("LONDON", "A", 4).await;
    node.order_when(&ids[2], "allocated", |order| {
        units(order, 0, "allocated") == 3
    })
    .await;
    recount(&node).await;
}

#[tokio::test]
async fn picked_units_are_never_displaced() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    let placed = node.place(&order(&[("A", 5, "1.00")])).await;
    let (order_id, work) = (
        id(&placed["id"]),
        id(&placed["fulfillment_orders"][0]["id"]),
    );
    node.work(
        &work,
        "pick",
        &json!({"lines": [{"line": "1", "quantity": 3}]}),
    )
    .await;
    node.order_when(&order_id, "picked", |order| units(order, 0, "picked") == 3)
        .await;
    let adjusted = node
        .post(
            "/v1/inventory/adjustments",
            &json!({"location": "LONDON", "sku": "A", "quantity": -2, "reference": "broken"}),
        )
        .expect(200)
        .await
        .json();
    assert_eq!(adjusted["displaced"], 2);
    let after = node
        .order_when(&order_id, "displaced", |order| {
            units(order, 0, "backordered") == 2
        })
        .await;
    assert_eq!(
        (units(&after, 0, "picked"), &after["status"]),
        (3, &json!("in_fulfillment"))
    );
    recount(&node).await;
}
