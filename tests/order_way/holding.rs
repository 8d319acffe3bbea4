//! Holds: a set laid over the status, released one by one; reservations stay.

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::{CONSIGN, id, units};

#[tokio::test]
async fn held_work_waits_until_the_last_hold_is_lifted() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    node.receive("LONDON", "B", 5).await;
    let placed = node
        .place(&order(&[("A", 2, "1.00"), ("B", 1, "1.00")]))
        .await;
    let (order_id, work) = (
        id(&placed["id"]),
        id(&placed["fulfillment_orders"][0]["id"]),
    );
    let holds = format!("/v1/orders/{order_id}/holds");
    let first = node
        .post(&holds, &json!({"reason": "high_risk_of_fraud"}))
        .key("h-1")
        .expect(201)
        .await;
    assert_eq!(
        first.header("location"),
        Some(format!("{holds}/1").as_str())
    );
    node.post(&holds, &json!({"reason": "high_risk_of_fraud"}))
        .key("h-1")
        .expect(201)
        .await;
    node.post(
        &holds,
        &json!({"reason": "incorrect_address", "scope": {"fulfillment_order": work}}),
    )
    .expect(201)
    .await;
    let held = node
        .post(&holds, &json!({"reason": "other", "scope": {"line": "2"}}))
        .expect(201)
        .await
        .json();
    assert_eq!(held["holds"].as_array().map(Vec::len), Some(3));
    assert_eq!(held["status"], "allocated", "a hold lies over the status");
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 2);
    let path = |action: &str| format!("/v1/fulfillment-orders/{work}/{action}");
    for action in ["accept", "pick"] {
        let refused = node
            .post(path(action), &json!({}))
            .refused(409, "held")
            .await;
        assert!(refused.json()["hold"].is_string(), "{refused}");
    }
    node.delete(format!("{holds}/1")).expect(200).await;
    node.post(path("pick"), &json!({}))
        .refused(409, "held")
        .await;
    node.delete(format!("{holds}/2")).expect(200).await;
    // Only line 2 is held now.
    node.work(&work, "accept", &json!({})).await;
    node.post(path("pick"), &json!({}))
        .refused(409, "held")
        .await;
    node.work(
        &work,
        "pick",
        &json!({"lines": [{"line": "1", "quantity": 2}]}),
    )
    .await;
    node.order_when(&order_id, "picked", |order| units(order, 0, "picked") == 2)
        .await;
    // A held order may be cancelled as far as it goes.
    let left = node.delete(format!("{holds}/3")).expect(200).await.json();
    assert_eq!(left["holds"], json!([]));
    node.work(&work, "pick", &json!({})).await;
    node.order_when(&order_id, "picked", |order| units(order, 1, "picked") == 1)
        .await;
    recount(&node).await;
}
