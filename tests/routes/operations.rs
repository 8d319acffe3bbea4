//! Health, metrics, the API's own description, request ids.

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::CONSIGN;

#[tokio::test]
async fn health_and_metrics_are_there() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    node.place(&order(&[("A", 1, "1.00")])).await;
    node.get("/healthz").expect(200).await;
    assert_eq!(
        node.get("/readyz").expect(200).await.json(),
        json!({"status": "ready"})
    );
    let metrics = node.get("/metrics").expect(200).await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "consign_http_responses_total",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}\n{text}"
        );
    }
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn the_api_describes_itself() {
    let node = Node::start(CONSIGN).await;
    let openapi = node.get("/openapi.json").expect(200).await.json();
    assert!(
        openapi["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        openapi["openapi"]
    );
    let paths = openapi["paths"].as_object().expect("paths");
    for path in [
        "/v1/orders",
        "/v1/orders/batch",
        "/v1/orders/{id}",
        "/v1/orders/{id}/events",
        "/v1/orders/{id}/explanation",
        "/v1/orders/{id}/cancel",
        "/v1/orders/{id}/amendments",
        "/v1/orders/{id}/holds",
        "/v1/orders/{id}/holds/{hold}",
        "/v1/products",
        "/v1/products/{sku}",
        "/v1/locations/{id}",
        "/v1/carriers/{id}",
        "/v1/inventory/receipts",
        "/v1/inventory/adjustments",
        "/v1/inventory/transfers",
        "/v1/inventory/counts",
        "/v1/inventory/{sku}",
        "/v1/locations/{id}/inventory",
        "/v1/locations/{id}/movements",
        "/v1/fulfillment-orders",
        "/v1/fulfillment-orders/{id}/accept",
        "/v1/fulfillment-orders/{id}/reject",
        "/v1/fulfillment-orders/{id}/pick",
        "/v1/fulfillment-orders/{id}/pack",
        "/v1/fulfillment-orders/{id}/ship",
        "/v1/tracking-events",
        "/v1/tracking/{number}",
        "/v1/returns",
        "/v1/returns/{id}/receive",
        "/v1/events",
    ] {
        assert!(paths.contains_key(path), "{path} is not described");
    }
    let docs = node.get("/docs").send().await;
    assert!(
        [200, 301, 302, 303, 307, 308].contains(&docs.status),
        "{docs}"
    );
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let node = Node::start(CONSIGN).await;
    let reply = node
        .get("/healthz")
        .header("x-request-id", "mine-1")
        .expect(200)
        .await;
    assert_eq!(reply.header("x-request-id"), Some("mine-1"));
    let ours = node.get("/healthz").expect(200).await;
    assert!(ours.header("x-request-id").is_some_and(|id| !id.is_empty()));
    let refused = node
        .get("/v1/orders/NONE")
        .header("x-request-id", "mine-2")
        .refused(404, "order_not_found")
        .await;
    assert_eq!(refused.json()["request_id"], "mine-2");
    // What cannot stand in a log is replaced.
    let odd = node
        .get("/healthz")
        .header("x-request-id", "a b")
        .expect(200)
        .await;
    assert_ne!(odd.header("x-request-id"), Some("a b"));
}

/// What a node cannot take it refuses at once, with the time to come again, and what it did not
/// refuse is done (L8).
#[tokio::test]
async fn more_than_it_can_take_is_refused_and_nothing_is_half_done() {
    let node = Node::start_with(CONSIGN, &[("CONSIGN__RUNTIME__PERMITS", "1")]).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10_000).await;
    let mut sent = Vec::new();
    for n in 0..600 {
        sent.push(tokio::spawn(
            node.post("/v1/orders", &order(&[("A", 1, "1.00")]))
                .key(format!("burst-{n}"))
                .send(),
        ));
    }
    let (mut taken, mut busy) = (0, 0);
    for one in sent {
        let reply = one.await.expect("each is answered");
        match reply.status {
            201 | 202 => taken += 1,
            429 => {
                busy += 1;
                assert!(
                    reply
                        .header("retry-after")
                        .is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
                    "{reply}"
                );
                assert!(reply.json()["retry_after_ms"].is_u64(), "{reply}");
            }
            _ => panic!("{reply}"),
        }
    }
    assert!(busy > 0, "one permit cannot serve 600 at once");
    assert!(taken > 0, "some are served");
    let books = recount(&node).await;
    assert_eq!(books.orders.len(), taken, "what was refused was not done");
    // The refused ones may come again under the same keys.
    for n in 0..20 {
        let reply = node
            .post("/v1/orders", &order(&[("A", 1, "1.00")]))
            .key(format!("burst-{n}"))
            .send()
            .await;
        assert_eq!(reply.status, 201, "{reply}");
    }
}
