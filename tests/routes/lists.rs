//! Orders and fulfillment orders in lists: filters, cursors, and that no page skips or repeats.

use consign_tests::{Node, Shop, order};
use serde_json::{Value, json};

use crate::CONSIGN;

/// Whether an order is among those asked for.
type Holds<'a> = &'a dyn Fn(&Value) -> bool;

fn ids(items: &[Value]) -> Vec<String> {
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn orders_are_found_by_what_they_are_in_the_order_they_were_placed() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 1_000).await;
    let mut placed = Vec::new();
    for n in 0..40_u32 {
        let mut asked = order(&[(if n % 4 == 0 { "B" } else { "A" }, 1, "1.00")]);
        asked["channel"] = json!(if n % 2 == 0 { "web" } else { "pos" });
        asked["customer"]["id"] = json!(format!("customer-{}", n % 5));
        asked["external_id"] = json!(format!("E-{n}"));
        // Recorded in another order than placed.
        asked["placed_at"] = json!(format!("2010-12-01T08:{:02}:00Z", (n * 7) % 40));
        placed.push(node.place(&asked).await);
    }
    placed.sort_by_key(|order| order["placed_at"].as_str().expect("a time").to_owned());
    for _ in 0..2 {
        let whole = node.all("/v1/orders", "orders").await;
        assert_eq!(ids(&whole), ids(&placed));
        let of = |holds: &dyn Fn(&Value) -> bool| -> Vec<String> {
            ids(&placed
                .iter()
                .filter(|order| holds(order))
                .cloned()
                .collect::<Vec<_>>())
        };
        let filters: [(&str, Holds); 6] = [
            ("status=backordered", &|o| o["lines"][0]["sku"] == "B"),
            ("status=allocated&channel=pos", &|o| o["channel"] == "pos"),
            ("customer=customer-3", &|o| {
                o["customer"]["id"] == "customer-3"
            }),
            ("channel=web&external_id=E-8", &|o| {
                o["external_id"] == "E-8"
            }),
            ("since=2010-12-01T08:30:00Z", &|o| {
                o["placed_at"].as_str() >= Some("2010-12-01T08:30:00Z")
            }),
            ("status=completed", &|_| false),
        ];
        for (filter, holds) in filters {
            assert_eq!(
                ids(&node.all(&format!("/v1/orders?{filter}"), "orders").await),
                of(holds),
                "{filter}"
            );
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = node
                .get(format!("/v1/orders?channel=web&limit=3{cursor}"))
                .expect(200)
                .await
                .json();
            seen.extend(ids(page["orders"].as_array().expect("orders")));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, of(&|o| o["channel"] == "web"));
        // Again from what a checkpoint has written.
        assert!(node.stop().await.success());
        node.restart().await;
    }
    for query in [
        "status=lost",
        "since=yesterday",
        "external_id=E-8",
        "limit=0",
        "limit=501",
        "colour=red",
        "channel=a%20b",
    ] {
        node.get(format!("/v1/orders?{query}"))
            .refused(400, "invalid_query")
            .await;
    }
    for cursor in ["x", "%00", "o0", "zzzzzzzzzzzzzzzz"] {
        node.get(format!("/v1/orders?cursor={cursor}"))
            .refused(400, "cursor_invalid")
            .await;
    }
}

#[tokio::test]
async fn work_is_found_by_location_and_status() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 100).await;
    node.receive("LEEDS", "B", 100).await;
    let mut works = Vec::new();
    for n in 0..12 {
        let placed = node
            .place(&order(&[(if n % 3 == 0 { "B" } else { "A" }, 1, "1.00")]))
            .await;
        works.push(
            placed["fulfillment_orders"][0]["id"]
                .as_str()
                .expect("work")
                .to_owned(),
        );
    }
    for work in &works[..4] {
        node.work(work, "accept", &json!({})).await;
    }
    let count = async |query: &str| {
        node.all(
            &format!("/v1/fulfillment-orders?{query}"),
            "fulfillment_orders",
        )
        .await
        .len()
    };
    assert_eq!(
        node.all("/v1/fulfillment-orders", "fulfillment_orders")
            .await
            .len(),
        12
    );
    assert_eq!(count("location=LONDON").await, 8);
    assert_eq!(count("location=LEEDS").await, 4);
    assert_eq!(count("status=in_progress").await, 4);
    assert_eq!(count("location=LEEDS&status=in_progress").await, 2);
    assert_eq!(count("location=LONDON&status=open").await, 6);
    assert_eq!(count("status=closed").await, 0);
    let one = node
        .get("/v1/fulfillment-orders?location=LEEDS&limit=1")
        .expect(200)
        .await
        .json();
    let item = &one["fulfillment_orders"][0];
    for member in [
        "id",
        "order",
        "location",
        "status",
        "lines",
        "service_level",
        "placed_at",
        "version",
    ] {
        assert!(!item[member].is_null(), "{member}: {item}");
    }
    let alone = node
        .get(format!("/v1/fulfillment-orders/{}", works[0]))
        .expect(200)
        .await
        .json();
    assert_eq!(
        (&alone["id"], &alone["location"]),
        (&json!(works[0]), &json!("LEEDS"))
    );
    for query in ["status=lost", "limit=x", "when=now"] {
        node.get(format!("/v1/fulfillment-orders?{query}"))
            .refused(400, "invalid_query")
            .await;
    }
    node.get("/v1/fulfillment-orders?cursor=nonsense")
        .refused(400, "cursor_invalid")
        .await;
}
