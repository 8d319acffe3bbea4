//! A cart is held through one node and ordered through another, whichever dies in between.

use consign_tests::{Node, Shop, eventually, order, recount};
use serde_json::{Value, json};

use crate::{Cluster, id_of, until_ready};

/// Asks again until the cluster has found itself after a node's death; the key makes it one request.
async fn asked(node: &Node, path: &str, body: &Value, key: &str) -> Value {
    eventually("it is answered", || async {
        let reply = node.post(path, body).key(key).try_send().await.ok()?;
        (reply.status == 201).then(|| reply.json())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_held_through_one_node_is_ordered_through_another() {
    const CARTS: usize = 12;
    let mut cluster = Cluster::start().await;
    let nodes = &cluster.nodes;
    nodes[0].define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    nodes[1].receive("LONDON", "A", 12).await;
    nodes[2].receive("LEEDS", "B", 12).await;
    let cart = json!({"ship_to": {"country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 1}]});
    let mut names = Vec::new();
    for nth in 0..CARTS {
        let key = format!("cart-{nth}");
        let held = asked(&nodes[nth % 3], "/v1/reservations", &cart, &key).await;
        let name = id_of(&held);
        let path = format!("/v1/reservations/{name}");
        let read = nodes[(nth + 1) % 3].get(path).expect(200).await.json();
        assert_eq!(
            (&read["status"], &read["lines"]),
            (&json!("held"), &held["lines"])
        );
        names.push(name);
    }
    let more = nodes[0].post("/v1/reservations", &cart);
    more.refused(409, "insufficient_stock").await;

    cluster.nodes[2].kill().await;
    for (nth, name) in names.iter().enumerate() {
        let mut wanted = order(&[("A", 1, "1.00"), ("B", 1, "1.00")]);
        wanted["reservation"] = json!(name);
        // Half of them are named by their channel, so that one node keeps turns for the name.
        if nth % 2 == 0 {
            wanted["external_id"] = json!(format!("name-{nth}"));
        }
        let (node, key) = (&cluster.nodes[nth % 2], format!("order-{nth}"));
        let placed = asked(node, "/v1/orders", &wanted, &key).await;
        let id = id_of(&placed);
        node.order_when(&id, "allocated", |order| order["status"] == "allocated")
            .await;
    }
    cluster.nodes[2].restart().await;
    until_ready(&cluster.nodes[2]).await;
    for name in &names {
        let path = format!("/v1/reservations/{name}");
        let read = cluster.nodes[2].get(path).expect(200).await.json();
        assert_eq!(read["status"], "consumed");
    }
    let books = recount(&cluster.nodes[2]).await;
    assert_eq!((books.reserved["A"], books.reserved["B"]), (12, 12));
    assert_eq!(books.orders.len(), CARTS);
    cluster.stop().await;
}
