//! One order's whole way, shortage, and stock.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::shop::{Shop, order};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_its_whole_way() {
    let shop = Shop::open().await;
    let placed = shop.post("/v1/orders", &order("A", 4)).await;
    assert_eq!(placed.status, StatusCode::CREATED, "{}", placed.body);
    let id = placed.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(placed.headers["location"], format!("/v1/orders/{id}"));
    assert_eq!(placed.body["status"], "allocated");
    assert_eq!(
        placed.body["lines"][0]["allocations"],
        json!([{"location": "LEEDS", "quantity": 4}])
    );
    assert_eq!(placed.body["lines"][0]["units"]["allocated"], 4);
    assert_eq!(placed.body["totals"]["total"], "10.20");
    let fulfillment = placed.body["fulfillment_orders"][0]["id"]
        .as_str()
        .expect("one")
        .to_owned();
    let at = format!("/v1/fulfillment-orders/{fulfillment}");
    let work = shop
        .get("/v1/fulfillment-orders?location=LEEDS&status=open")
        .await;
    assert_eq!(
        work.body["fulfillment_orders"][0]["id"], fulfillment,
        "{}",
        work.body
    );

    let accepted = shop
        .send("POST", &format!("{at}/accept"), &[], &Value::Null)
        .await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
    let picked = shop
        .post(
            &format!("{at}/pick"),
            &json!({"lines": [{"line": 1, "quantity": 4}]}),
        )
        .await;
    assert_eq!(picked.body["lines"][0]["picked"], 4, "{}", picked.body);
    let packed = shop
        .post(
            &format!("{at}/pack"),
            &json!({"packages": [{"lines": [{"line": "1", "quantity": 4}], "weight_grams": 900}]}),
        )
        .await;
    assert_eq!(packed.body["packages"][0]["package"], 1, "{}", packed.body);
    let shipped = shop
        .post(
            &format!("{at}/ship"),
            &json!({"carrier": "royal", "service": "standard"}),
        )
        .await;
    assert_eq!(shipped.status, StatusCode::OK, "{}", shipped.body);
    let number = shipped.body["shipment"]["tracking_number"]
        .as_str()
        .expect("a number")
        .to_owned();

    let scan = json!({"tracking_number": number, "status": "delivered", "place": "Leeds", "signature": "A B"});
    let tracked = shop.post("/v1/tracking-events", &scan).await;
    assert_eq!(
        (tracked.status, &tracked.body["status"]),
        (StatusCode::OK, &json!("delivered")),
        "{}",
        tracked.body
    );
    let public = shop.get(&format!("/v1/tracking/{number}")).await;
    assert_eq!(public.body["signed"], true);
    assert!(!public.body.to_string().contains("A B"), "{}", public.body);
    let done = shop.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(
        (&done.body["status"], &done.body["fulfillment_status"]),
        (&json!("completed"), &json!("fulfilled")),
        "{}",
        done.body
    );
    assert_eq!(done.body["totals"]["captured"], "10.20");

    let asked = shop
        .post(
            "/v1/returns",
            &json!({"order": id, "lines": [{"line": "1", "quantity": 1}], "reason": "broken"}),
        )
        .await;
    assert_eq!(asked.status, StatusCode::CREATED, "{}", asked.body);
    let return_ = asked.headers["location"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    let received = shop
        .post(&format!("{return_}/receive"), &json!({"location": "LEEDS"}))
        .await;
    assert_eq!(received.body["refunded"], "2.55", "{}", received.body);
    // Nobody waits for the shelf: it is restocked soon after.
    let mut commits = shop.consign.commits();
    let restocked = async {
        loop {
            commits.borrow_and_update();
            if shop.get("/v1/inventory/A").await.body["locations"][0]["on_hand"] == 7 {
                return;
            }
            commits.changed().await.expect("still open");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), restocked)
        .await
        .expect("restocked");
    let history = shop.get(&format!("/v1/orders/{id}/events")).await;
    assert_eq!(
        history.body["events"][0]["type"], "placed",
        "{}",
        history.body
    );
    let why = shop.get(&format!("/v1/orders/{id}/explanation")).await;
    assert_eq!(why.body["decisions"][0]["round"], 1, "{}", why.body);
    let sums = shop.get("/v1/locations/LEEDS/movements?limit=500").await;
    let rows = sums.body["movements"].as_array().expect("rows");
    let on_hand: i64 = rows
        .iter()
        .filter_map(|row| row["on_hand_delta"].as_i64())
        .sum();
    assert_eq!(on_hand, 7, "{}", sums.body);
    shop.consign.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_and_shortage_are_heard() {
    let shop = Shop::open().await;
    let quick = shop
        .send(
            "POST",
            "/v1/orders",
            &[("prefer", "respond-async")],
            &order("A", 1),
        )
        .await;
    assert_eq!(quick.status, StatusCode::ACCEPTED, "{}", quick.body);
    assert_eq!(quick.headers["preference-applied"], "respond-async");
    let short = shop.post("/v1/orders", &order("B", 5)).await;
    assert_eq!(
        (short.status, &short.body["status"]),
        (StatusCode::CREATED, &json!("backordered")),
        "{}",
        short.body
    );
    assert_eq!(short.body["lines"][0]["backordered"], 5);
    let unknown = shop.post("/v1/orders", &order("NOPE", 1)).await;
    assert_eq!(
        unknown.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        unknown.body
    );
    assert_eq!(unknown.body["errors"][0]["pointer"], "/lines/0/sku");
    let early = json!({"reason": "customer_request"});
    let tombstone = shop
        .post("/v1/channels/web/orders/999/cancel", &early)
        .await;
    assert_eq!(tombstone.status, StatusCode::OK, "{}", tombstone.body);
    let mut late = order("A", 1);
    late["external_id"] = json!("999");
    let born = shop.post("/v1/orders", &late).await;
    assert_eq!(
        (born.status, &born.body["status"]),
        (StatusCode::CREATED, &json!("cancelled")),
        "{}",
        born.body
    );
    shop.consign.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_moves_and_operators_are_answered() {
    let shop = Shop::open().await;
    let moved = shop
        .post(
            "/v1/inventory/transfers",
            &json!({"location": "LEEDS", "to": "YORK", "sku": "A", "quantity": 3}),
        )
        .await;
    assert_eq!(
        (moved.status, &moved.body["on_hand"]),
        (StatusCode::OK, &json!(7)),
        "{}",
        moved.body
    );
    let short = shop
        .post(
            "/v1/inventory/transfers",
            &json!({"location": "LEEDS", "to": "YORK", "sku": "A", "quantity": 300}),
        )
        .await;
    assert_eq!(
        (short.status, &short.body["code"]),
        (StatusCode::CONFLICT, &json!("insufficient_stock")),
        "{}",
        short.body
    );
    let counted = shop
        .post(
            "/v1/inventory/counts",
            &json!({"location": "LEEDS", "sku": "A", "counted": 5}),
        )
        .await;
    assert_eq!(counted.body["on_hand"], 5, "{}", counted.body);
    let kept = shop
        .post(
            "/v1/inventory/safety-stock",
            &json!({"location": "LEEDS", "sku": "A", "quantity": 2}),
        )
        .await;
    assert_eq!(kept.body["available"], 3, "{}", kept.body);
    let adjusted = shop
        .post(
            "/v1/inventory/adjustments",
            &json!({"location": "LEEDS", "sku": "A", "quantity": -1, "reference": "broken"}),
        )
        .await;
    assert_eq!(adjusted.body["on_hand"], 4, "{}", adjusted.body);
    let nowhere = shop
        .post(
            "/v1/inventory/receipts",
            &json!({"location": "HULL", "sku": "A", "quantity": 1}),
        )
        .await;
    assert_eq!(
        nowhere.body["code"], "location_not_found",
        "{}",
        nowhere.body
    );
    let has = shop.get("/v1/locations/LEEDS/inventory").await;
    assert_eq!(has.body["inventory"][0]["available"], 2, "{}", has.body);
    assert_eq!(shop.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(shop.get("/readyz").await.body["status"], "ready");
    let (status, _, text) = shop.raw("GET", "/metrics", &[], String::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&text).contains("process_cpu_seconds_total"));
    assert_eq!(
        shop.get("/openapi.json").await.body["info"]["title"],
        "Consign"
    );
    let (status, _, page) = shop.raw("GET", "/docs/", &[], String::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&page).contains("swagger"));
    shop.consign.shutdown().await;
}
