//! What a retry hears (L3), and names that may be given once: keys, external ids, order ids.

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::CONSIGN;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 100).await;
    node
}

#[tokio::test]
async fn a_retry_hears_the_first_answer_also_after_restarts() {
    let mut node = shop().await;
    let asked = order(&[("A", 2, "1.00")]);
    let first = node.post("/v1/orders", &asked).key("k-1").expect(201).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    // What happens since does not change the answer that a retry hears.
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    node.post(
        format!("/v1/orders/{id}/holds"),
        &json!({"reason": "other"}),
    )
    .key("k-2")
    .expect(201)
    .await;
    for round in 0..3 {
        let again = node.post("/v1/orders", &asked).key("k-1").expect(201).await;
        assert_eq!(
            again.header("idempotent-replayed"),
            Some("true"),
            "round {round}"
        );
        assert_eq!(again.json(), first.json(), "round {round}");
        // The same content, written another way, is the same body.
        let spaced = serde_json::to_string_pretty(&asked).expect("JSON");
        let again = node
            .request(http::Method::POST, "/v1/orders")
            .key("k-1")
            .raw("application/json", spaced)
            .expect(201)
            .await;
        assert_eq!(again.json()["id"], first.json()["id"]);
        let hold = node
            .post(
                format!("/v1/orders/{id}/holds"),
                &json!({"reason": "other"}),
            )
            .key("k-2")
            .expect(201)
            .await;
        assert_eq!(hold.json()["holds"].as_array().map(Vec::len), Some(1));
        let mut other = asked.clone();
        other["lines"][0]["quantity"] = json!(3);
        let reused = node
            .post("/v1/orders", &other)
            .key("k-1")
            .refused(409, "idempotency_key_reused")
            .await;
        assert!(reused.json()["concerns"].is_string());
        // The key of an order is not the key of something else.
        node.post(format!("/v1/orders/{id}/cancel"), &json!({"reason": "x"}))
            .key("k-1")
            .refused(409, "idempotency_key_reused")
            .await;
        if round == 0 {
            node.kill().await;
        } else {
            // With a checkpoint at the end: what is remembered must come from disk.
            assert!(node.stop().await.success());
        }
        node.restart().await;
    }
    assert_eq!(node.all("/v1/orders", "orders").await.len(), 1);
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 2);
    for key in ["", "two words", &"k".repeat(256)] {
        node.post("/v1/orders", &asked)
            .key(key)
            .refused(400, "invalid_header")
            .await;
    }
    recount(&node).await;
}

#[tokio::test]
async fn twenty_at_once_with_one_key_make_one_order() {
    let node = shop().await;
    let mut racing = Vec::new();
    for _ in 0..20 {
        let request = node
            .post("/v1/orders", &order(&[("A", 2, "1.00")]))
            .key("race");
        racing.push(tokio::spawn(request.expect(201)));
    }
    let mut ids = std::collections::BTreeSet::new();
    for one in racing {
        let reply = one.await.expect("each is answered");
        ids.insert(reply.json()["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 2);
}

#[tokio::test]
async fn an_external_id_names_one_order_of_its_channel() {
    let mut node = shop().await;
    let mut asked = order(&[("A", 1, "1.00")]);
    asked["external_id"] = json!("536365");
    let first = node
        .post("/v1/orders", &asked)
        .key("e-1")
        .expect(201)
        .await
        .json();
    for _ in 0..2 {
        let taken = node
            .post("/v1/orders", &asked)
            .key("e-2")
            .refused(409, "external_id_taken")
            .await;
        assert_eq!(taken.json()["order"], first["id"]);
        node.kill().await;
        node.restart().await;
    }
    // Another channel has names of its own.
    asked["channel"] = json!("pos");
    node.post("/v1/orders", &asked).key("e-3").expect(201).await;
    let mut racing = Vec::new();
    for n in 0..10 {
        let mut asked = order(&[("A", 1, "1.00")]);
        asked["external_id"] = json!("536366");
        let request = node.post("/v1/orders", &asked).key(format!("race-{n}"));
        racing.push(tokio::spawn(request.send()));
    }
    let mut statuses = Vec::new();
    for one in racing {
        statuses.push(one.await.expect("each is answered").status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 3);
}

#[tokio::test]
async fn an_order_id_is_given_once() {
    let node = shop().await;
    let mut asked = order(&[("A", 1, "1.00")]);
    asked["id"] = json!("MY-1");
    let first = node
        .post("/v1/orders", &asked)
        .key("a")
        .expect(201)
        .await
        .json();
    node.post("/v1/orders", &asked).key("a").expect(201).await;
    let exists = node
        .post("/v1/orders", &asked)
        .key("b")
        .refused(409, "order_exists")
        .await;
    assert_eq!(exists.json()["order"], first["id"]);
    node.post("/v1/orders", &asked)
        .refused(409, "order_exists")
        .await;
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 1);
}

#[tokio::test]
async fn an_order_that_was_cancelled_before_it_came_is_born_cancelled() {
    let mut node = shop().await;
    let cancel = "/v1/channels/web/orders/C536365/cancel";
    let waiting = node
        .post(cancel, &json!({"reason": "customer_request"}))
        .key("c-1")
        .expect(200)
        .await;
    node.post(cancel, &json!({"reason": "customer_request"}))
        .key("c-1")
        .expect(200)
        .await;
    node.kill().await;
    node.restart().await;
    let mut asked = order(&[("A", 4, "1.00")]);
    asked["external_id"] = json!("C536365");
    let born = node
        .post("/v1/orders", &asked)
        .key("p-1")
        .expect(201)
        .await
        .json();
    assert_eq!(born["status"], "cancelled", "{waiting}");
    assert_eq!(born["lines"][0]["units"]["cancelled"], 4);
    assert_eq!(born["totals"]["total"], "0.00");
    assert_eq!(
        node.post("/v1/orders", &asked)
            .key("p-1")
            .expect(201)
            .await
            .json(),
        born
    );
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 0);
    // By its channel's name an order that is there is cancelled too.
    asked["external_id"] = json!("536367");
    let placed = node.post("/v1/orders", &asked).expect(201).await.json();
    node.post(
        "/v1/channels/web/orders/536367/cancel",
        &json!({"reason": "x"}),
    )
    .expect(200)
    .await;
    let id = placed["id"].as_str().expect("an id");
    node.order_when(id, "cancelled", |order| order["status"] == "cancelled")
        .await;
    node.post(
        "/v1/channels/web/orders/536368/cancel",
        &json!({"reason": "x", "lines": [{"line": 1}]}),
    )
    .faults(&[("/lines", "not_allowed")])
    .await;
    recount(&node).await;
}

#[tokio::test]
async fn an_answer_may_come_before_allocation() {
    let node = shop().await;
    let asked = order(&[("A", 1, "1.00")]);
    let taken = node
        .post("/v1/orders", &asked)
        .key("later")
        .header("prefer", "respond-async")
        .expect(202)
        .await;
    assert_eq!(taken.header("preference-applied"), Some("respond-async"));
    let id = taken.json()["id"].as_str().expect("an id").to_owned();
    node.order_when(&id, "allocated", |order| order["status"] == "allocated")
        .await;
    let again = node
        .post("/v1/orders", &asked)
        .key("later")
        .header("prefer", "respond-async")
        .expect(202)
        .await;
    assert_eq!(again.json()["id"], id.as_str());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}
