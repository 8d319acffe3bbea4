//! What a client relies on beside the order's way: keys, versions, batches, pages, streams.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::shop::{Answer, Shop, order};

#[tokio::test(flavor = "multi_thread")]
async fn keys_make_repetition_harmless() {
    let shop = Shop::open().await;
    let key = [("idempotency-key", "k-1")];
    let mut body = order("A", 1);
    body["external_id"] = json!("536365");
    let first = shop.send("POST", "/v1/orders", &key, &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let again = shop.send("POST", "/v1/orders", &key, &body).await;
    assert_eq!(
        (again.status, &again.body),
        (StatusCode::CREATED, &first.body)
    );
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = shop.send("POST", "/v1/orders", &key, &order("A", 2)).await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (StatusCode::CONFLICT, &json!("idempotency_key_reused"))
    );
    let taken = shop
        .send("POST", "/v1/orders", &[("idempotency-key", "k-2")], &body)
        .await;
    assert_eq!(
        (taken.status, &taken.body["code"]),
        (StatusCode::CONFLICT, &json!("external_id_taken"))
    );
    assert_eq!(taken.body["order"], first.body["id"]);
    let stock = shop.get("/v1/inventory/A").await;
    assert_eq!(stock.body["available"], 9);
    shop.consign.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_guard_changes() {
    let shop = Shop::open().await;
    let placed = shop.post("/v1/orders", &order("A", 3)).await;
    let at = format!("/v1/orders/{}", placed.body["id"].as_str().expect("an id"));
    let tag = placed.headers["etag"].to_str().expect("ASCII").to_owned();
    let fresh = shop
        .send("GET", &at, &[("if-none-match", &tag)], &Value::Null)
        .await;
    assert_eq!(fresh.status, StatusCode::NOT_MODIFIED);
    let hold = json!({"reason": "manual_review"});
    let wrong = shop
        .send(
            "POST",
            &format!("{at}/holds"),
            &[("if-match", "\"999\"")],
            &hold,
        )
        .await;
    assert_eq!(
        (wrong.status, &wrong.body["code"]),
        (StatusCode::PRECONDITION_FAILED, &json!("version_mismatch"))
    );
    let held = shop
        .send("POST", &format!("{at}/holds"), &[("if-match", &tag)], &hold)
        .await;
    assert_eq!(held.status, StatusCode::CREATED, "{}", held.body);
    assert_eq!(held.body["holds"][0]["reason"], "manual_review");
    let lifted = shop
        .send("DELETE", &format!("{at}/holds/1"), &[], &Value::Null)
        .await;
    assert_eq!(
        (lifted.status, &lifted.body["holds"]),
        (StatusCode::OK, &json!([])),
        "{}",
        lifted.body
    );
    let cancel = json!({"reason": "customer_request", "lines": [{"line": "1", "quantity": 1}]});
    let cancelled = shop.post(&format!("{at}/cancel"), &cancel).await;
    assert_eq!(
        cancelled.body["lines"][0]["units"]["cancelled"], 1,
        "{}",
        cancelled.body
    );
    let amended = shop
        .post(
            &format!("{at}/amendments"),
            &json!({"service_level": "express"}),
        )
        .await;
    assert_eq!(
        (amended.status, &amended.body["service_level"]),
        (StatusCode::OK, &json!("express")),
        "{}",
        amended.body
    );
    let product = json!({"sku": "A", "name": "Holder"});
    let stale = shop
        .send("PUT", "/v1/products/A", &[("if-match", "\"7\"")], &product)
        .await;
    assert_eq!(
        stale.status,
        StatusCode::PRECONDITION_FAILED,
        "{}",
        stale.body
    );
    let exists = shop
        .send("PUT", "/v1/products/A", &[("if-none-match", "*")], &product)
        .await;
    assert_eq!(
        exists.status,
        StatusCode::PRECONDITION_FAILED,
        "{}",
        exists.body
    );
    let same = shop.send("PUT", "/v1/products/A", &[], &product).await;
    assert_eq!(
        (same.status, &same.body["version"]),
        (StatusCode::OK, &json!(1)),
        "{}",
        same.body
    );
    shop.consign.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_every_line() {
    let shop = Shop::open().await;
    let mut keyed = order("A", 1);
    keyed["idempotency_key"] = json!("b-1");
    let lines = [
        order("A", 1).to_string(),
        "{\"channel\":".to_owned(),
        String::new(),
        order("NOPE", 1).to_string(),
        keyed.to_string(),
        keyed.to_string(),
        "{\"chanel\":\"web\"}".to_owned(),
    ];
    let media_type = [("content-type", "application/x-ndjson")];
    let (status, headers, bytes) = shop
        .raw("POST", "/v1/orders/batch", &media_type, lines.join("\n"))
        .await;
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (StatusCode::OK, b"application/x-ndjson".as_slice())
    );
    let text = String::from_utf8(bytes).expect("UTF-8");
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let got: Vec<_> = answers
        .iter()
        .map(|a| (a["line"].as_u64(), a["status"].as_u64()))
        .collect();
    let wanted = [(1, 201), (2, 400), (4, 422), (5, 201), (6, 201), (7, 422)]
        .map(|(l, s)| (Some(l), Some(s)));
    assert_eq!(got, wanted, "{text}");
    assert_eq!(answers[3]["order"]["id"], answers[4]["order"]["id"]);
    assert_eq!(answers[5]["problem"]["errors"][0]["code"], "unknown_field");
    // The line's key is the key of the same order sent alone.
    let alone = shop
        .send(
            "POST",
            "/v1/orders",
            &[("idempotency-key", "b-1")],
            &order("A", 1),
        )
        .await;
    assert_eq!(
        alone.body["id"], answers[3]["order"]["id"],
        "{}",
        alone.body
    );
    shop.consign.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_streams_leave_nothing_out() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        assert_eq!(
            shop.post("/v1/orders", &order("A", 1)).await.status,
            StatusCode::CREATED
        );
    }
    let mut ids = Vec::new();
    let mut path = "/v1/orders?limit=2&status=allocated&channel=web".to_owned();
    loop {
        let page = shop.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        ids.extend(
            page.body["orders"]
                .as_array()
                .expect("orders")
                .iter()
                .map(|o| o["id"].to_string()),
        );
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/orders?limit=2&status=allocated&channel=web&cursor={cursor}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let accept = [("accept", "application/json")];
    let first = shop
        .send(
            "GET",
            "/v1/events?since=beginning&limit=3",
            &accept,
            &Value::Null,
        )
        .await;
    assert_eq!(
        first.body["events"].as_array().map(Vec::len),
        Some(3),
        "{}",
        first.body
    );
    let cursor = first.body["next_cursor"].as_str().expect("a cursor");
    let all = shop
        .send(
            "GET",
            "/v1/events?since=beginning&limit=500",
            &accept,
            &Value::Null,
        )
        .await;
    let rest = shop
        .send(
            "GET",
            &format!("/v1/events?since={cursor}&limit=500"),
            &accept,
            &Value::Null,
        )
        .await;
    let count = |answer: &Answer| answer.body["events"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&rest) + 3, count(&all));
    let (status, headers, bytes) = shop
        .raw(
            "GET",
            "/v1/events?since=beginning&limit=4",
            &[],
            String::new(),
        )
        .await;
    assert_eq!(
        (status, headers["content-type"].as_bytes()),
        (StatusCode::OK, b"text/event-stream".as_slice())
    );
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("id: ")).count(),
        4,
        "{text}"
    );
    for (path, status, code) in [
        ("/v1/events?since=nonsense", 400, "cursor_invalid"),
        ("/v1/orders?cursor=nonsense", 400, "cursor_invalid"),
        ("/v1/orders?colour=red", 400, "invalid_query"),
        ("/v1/orders?status=lost", 400, "invalid_query"),
        ("/v1/products?limit=0", 400, "invalid_query"),
        ("/v1/orders/none", 404, "order_not_found"),
        ("/v1/locations/none/movements", 404, "location_not_found"),
        ("/v1/inventory/none", 404, "product_not_found"),
        ("/v1/tracking/none", 404, "tracking_number_not_found"),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (status, &json!(code)),
            "{path}: {}",
            answer.body
        );
    }
    shop.consign.shutdown().await;
}
