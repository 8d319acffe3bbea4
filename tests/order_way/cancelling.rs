//! Cancelling whole, by line and by quantity, at every stage.

use consign_tests::{Node, Shop, order, recount};
use serde_json::{Value, json};

use crate::{CONSIGN, id, units};

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10).await;
    node
}

fn lines(line: &str, quantity: Option<u32>) -> Value {
    let mut line = json!({"line": line});
    if let Some(quantity) = quantity {
        line["quantity"] = json!(quantity);
    }
    json!({"reason": "customer_request", "lines": [line]})
}

#[tokio::test]
async fn before_picking_units_go_back_to_the_shelf() {
    let node = shop().await;
    let placed = node
        .place(&order(&[("A", 6, "1.00"), ("B", 3, "2.00")]))
        .await;
    let cancel = format!("/v1/orders/{}/cancel", id(&placed["id"]));
    // Some of what is reserved.
    node.post(&cancel, &lines("1", Some(2)))
        .key("c-1")
        .expect(200)
        .await;
    node.post(&cancel, &lines("1", Some(2)))
        .key("c-1")
        .expect(200)
        .await;
    let after = node
        .order_when(&id(&placed["id"]), "two cancelled", |order| {
            units(order, 0, "cancelled") == 2
        })
        .await;
    assert_eq!(
        (units(&after, 0, "allocated"), &after["totals"]["total"]),
        (4, &json!("10.00"))
    );
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 4);
    // Some of what is backordered, then all of it.
    let after = node
        .post(&cancel, &lines("2", Some(1)))
        .expect(200)
        .await
        .json();
    assert_eq!(
        (
            units(&after, 1, "backordered"),
            units(&after, 1, "cancelled")
        ),
        (2, 1)
    );
    node.post(&cancel, &lines("2", Some(9))).expect(409).await;
    let after = node
        .post(&cancel, &lines("2", None))
        .expect(200)
        .await
        .json();
    assert_eq!(
        (units(&after, 1, "cancelled"), &after["status"]),
        (3, &json!("allocated"))
    );
    recount(&node).await;
    // The rest; and once more, which changes nothing or comes too late.
    node.post(&cancel, &json!({"reason": "x"}))
        .expect(200)
        .await;
    let gone = node
        .order_when(&id(&placed["id"]), "cancelled", |order| {
            order["status"] == "cancelled"
        })
        .await;
    assert_eq!(
        (&gone["totals"]["total"], &gone["payment_status"]),
        (&json!("0.00"), &json!("voided"))
    );
    assert_eq!(gone["fulfillment_orders"][0]["status"], "cancelled");
    let again = node
        .post(&cancel, &json!({"reason": "x"}))
        .expect(200)
        .await;
    assert_eq!(
        again.json()["version"],
        gone["version"],
        "nothing changes the second time"
    );
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 0);
}

#[tokio::test]
async fn what_is_picked_stays_and_the_rest_goes() {
    let node = shop().await;
    let placed = node.place(&order(&[("A", 6, "1.00")])).await;
    let (order_id, work) = (
        id(&placed["id"]),
        id(&placed["fulfillment_orders"][0]["id"]),
    );
    let cancel = format!("/v1/orders/{order_id}/cancel");
    node.work(
        &work,
        "pick",
        &json!({"lines": [{"line": "1", "quantity": 4}]}),
    )
    .await;
    node.order_when(&order_id, "picked", |order| units(order, 0, "picked") == 4)
        .await;
    node.post(&cancel, &lines("1", Some(3)))
        .refused(409, "not_enough_units")
        .await;
    node.post(&cancel, &json!({"reason": "x"}))
        .expect(200)
        .await;
    let after = node
        .order_when(&order_id, "two cancelled", |order| {
            units(order, 0, "cancelled") == 2
        })
        .await;
    assert_eq!(
        (units(&after, 0, "picked"), &after["status"]),
        (4, &json!("in_fulfillment"))
    );
    recount(&node).await;
    node.post(&cancel, &json!({"reason": "x"}))
        .refused(409, "too_late")
        .await;
    node.work(&work, "pack", &json!({})).await;
    node.post(&cancel, &json!({"reason": "x"}))
        .refused(409, "too_late")
        .await;
    node.work(&work, "ship", &json!({"tracking_number": "C-1"}))
        .await;
    node.post(&cancel, &json!({"reason": "x"}))
        .refused(409, "too_late")
        .await;
    node.scan("C-1", "delivered").await;
    let refused = node
        .post(&cancel, &json!({"reason": "x"}))
        .refused(409, "too_late")
        .await;
    assert!(refused.json()["detail"].is_string());
    let done = node.order(&order_id).await;
    assert_eq!(
        (&done["status"], &done["totals"]["captured"]),
        (&json!("completed"), &json!("4.00"))
    );
    let books = recount(&node).await;
    assert_eq!((books.on_hand["A"], books.reserved["A"]), (6, 0));
}

/// The location arbitrates: whatever comes first, each unit is either picked or cancelled.
#[tokio::test]
async fn pick_and_cancel_at_once_share_the_units_out() {
    let node = shop().await;
    node.receive("LONDON", "A", 1_000).await;
    for round in 0..25 {
        let placed = node.place(&order(&[("A", 8, "1.00")])).await;
        let (order_id, work) = (
            id(&placed["id"]),
            id(&placed["fulfillment_orders"][0]["id"]),
        );
        let pick = node.post(
            format!("/v1/fulfillment-orders/{work}/pick"),
            &json!({"lines": [{"line": "1", "quantity": 5}]}),
        );
        let cancel = node.post(
            format!("/v1/orders/{order_id}/cancel"),
            &lines("1", Some(5)),
        );
        let (pick, cancel) = if round % 2 == 0 {
            let pick = tokio::spawn(pick.send());
            (pick, tokio::spawn(cancel.send()))
        } else {
            let cancel = tokio::spawn(cancel.send());
            (tokio::spawn(pick.send()), cancel)
        };
        let statuses = (
            pick.await.expect("answered").status,
            cancel.await.expect("answered").status,
        );
        assert!(
            [(200, 409), (409, 200)].contains(&statuses),
            "only one of them can have its five: {statuses:?}"
        );
        node.order_when(&order_id, "shared out", |order| {
            let (picked, cancelled) = (units(order, 0, "picked"), units(order, 0, "cancelled"));
            picked + cancelled + units(order, 0, "allocated") == 8
                && if statuses.0 == 200 {
                    picked == 5
                } else {
                    cancelled == 5
                }
        })
        .await;
    }
    recount(&node).await;
}
