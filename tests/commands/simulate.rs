//! `consign simulate` and `consign verify` against a node: the hot SKU that must not be oversold (L1).

use consign_tests::{Node, Shop, order, recount, run};
use serde_json::{Value, json};

use crate::CONSIGN;

/// What `verify` says of a node whose laws all hold.
async fn verified(url: &str) -> Value {
    let arguments = ["verify", "--target", url, "--json"];
    run(CONSIGN, arguments).await.ok().json()
}

/// Ten for one: a thousand units, ten thousand who want one.
#[tokio::test]
async fn a_hot_sku_is_sold_to_the_last_unit_and_not_one_more() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let arguments = [
        "simulate",
        "--target",
        &url,
        "--hot-sku",
        "--stock",
        "1000",
        "--orders",
        "10000",
        "--concurrency",
        "64",
        "--json",
    ];
    let report = run(CONSIGN, arguments).await.ok().json();
    assert_eq!(report["oversold_units"], 0, "{report}");
    assert_eq!(
        (&report["orders_allocated"], &report["orders_backordered"]),
        (&json!(1_000), &json!(9_000)),
        "{report}"
    );
    assert_eq!(
        (&report["errors"], &report["orders_sent"]),
        (&json!(0), &json!(10_000)),
        "{report}"
    );
    for percentile in ["p50", "p90", "p99", "p999", "max"] {
        assert!(
            report["latency_ms"][percentile].as_f64() > Some(0.0),
            "{report}"
        );
    }
    let skus = node.all("/v1/products", "products").await;
    let mut reserved = 0;
    for sku in skus {
        let seen = node
            .get(format!(
                "/v1/inventory/{}",
                sku["sku"].as_str().expect("a SKU")
            ))
            .expect(200)
            .await
            .json();
        for location in seen["locations"].as_array().expect("locations") {
            assert_eq!(location["available"], 0, "{location}");
            reserved += location["reserved"].as_i64().expect("units");
        }
    }
    assert_eq!(reserved, 1_000);
    verified(&url).await;
}

#[tokio::test]
async fn mixed_load_in_batches_keeps_the_laws() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let arguments = [
        "simulate",
        "--target",
        &url,
        "--orders",
        "600",
        "--concurrency",
        "64",
        "--skus",
        "40",
        "--locations",
        "5",
        "--stock",
        "20",
        "--transport",
        "batch",
        "--seed",
        "7",
        "--json",
    ];
    let report = run(CONSIGN, arguments).await.ok().json();
    assert_eq!(
        (&report["oversold_units"], &report["errors"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
    let told = report["orders_allocated"].as_u64().expect("a number")
        + report["orders_backordered"].as_u64().expect("a number");
    assert_eq!(told, 600, "{report}");
    let books = recount(&node).await;
    assert_eq!(books.orders.len(), 600);
    let verified = verified(&url).await;
    assert_eq!(verified["orders"], 600, "{verified}");
}

/// An open loop counts from when an order was meant to be sent, and goes on whatever comes back.
#[tokio::test]
async fn an_open_loop_keeps_its_rate() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let arguments = [
        "simulate",
        "--target",
        &url,
        "--orders",
        "200",
        "--rate",
        "200",
        "--skus",
        "20",
        "--locations",
        "3",
        "--json",
    ];
    let report = run(CONSIGN, arguments).await.ok().json();
    assert_eq!(
        (&report["orders_sent"], &report["errors"]),
        (&json!(200), &json!(0)),
        "{report}"
    );
    let duration = report["duration_s"].as_f64().expect("seconds");
    assert!(
        duration >= 0.9,
        "200 orders at 200 a second take a second: {report}"
    );
}

/// Product pages are answered while orders flow, and counted apart from them.
#[tokio::test]
async fn product_pages_are_asked_for_beside_the_orders() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let load = ["--orders", "200", "--rate", "200", "--pages", "300"];
    let shop = ["--skus", "20", "--locations", "3"];
    let mut words = vec!["simulate", "--target", &url, "--json"];
    words.extend(load.into_iter().chain(shop));
    let report = run(CONSIGN, words).await.ok().json();
    let pages = &report["pages"];
    assert_eq!(
        (&report["orders_sent"], &report["errors"], &pages["errors"]),
        (&json!(200), &json!(0), &json!(0)),
        "{report}"
    );
    // For about a second.
    let answered = pages["answered"].as_u64().expect("a number");
    assert!((200..=2_000).contains(&answered), "{report}");
    assert!(pages["latency_ms"]["p99"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn verify_looks_at_everything_there_is() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let empty = verified(&url).await;
    assert_eq!(empty["orders"], 0, "{empty}");
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 10).await;
    node.receive("LEEDS", "A", 2).await;
    let placed = node
        .place(&order(&[("A", 11, "1.00"), ("A", 3, "2.00")]))
        .await;
    let work = placed["fulfillment_orders"][0]["id"]
        .as_str()
        .expect("work")
        .to_owned();
    node.work(&work, "accept", &json!({})).await;
    node.work(&work, "pick", &json!({})).await;
    let full = verified(&url).await;
    assert_eq!(
        (&full["orders"], &full["locations"], &full["laws_broken"]),
        (&json!(1), &json!(2), &json!([])),
        "{full}"
    );
    for counted in ["events", "movements", "reservations", "balances"] {
        assert!(full[counted].as_u64() > Some(0), "{counted}: {full}");
    }
    assert!(
        run(CONSIGN, ["verify", "--target", &url])
            .await
            .ok()
            .out
            .len()
            > 20,
        "people are told too"
    );
}

/// Counted again and again, what the target used while orders flowed is more than it used in all. A node that
/// is not there is heard of before shelves are filled.
#[tokio::test]
async fn the_cpu_of_nodes_beside_the_target_counts() {
    const CPU: &str = "process_cpu_seconds_total";
    const ORDERS: &str = "2000";
    const TIMES: usize = 20;
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let simulate = async |beside: &str, times: usize| {
        let load = ["--orders", ORDERS, "--skus", "5", "--locations", "2"];
        let mut words = vec!["simulate", "--target", &url, "--json"];
        words.extend(load);
        words.extend(["--beside", beside].repeat(times));
        run(CONSIGN, words).await
    };
    let dead = simulate("http://127.0.0.1:9", 1).await;
    assert_ne!(dead.code, 0, "{dead:?}");
    assert!(dead.err.contains("127.0.0.1:9"), "{dead:?}");
    let products = node.all("/v1/products", "products").await;
    assert!(products.is_empty(), "nothing was seeded: {products:?}");
    let before = node.metric(CPU).await;
    let report = simulate(&url, TIMES).await.ok().json();
    let after = node.metric(CPU).await;
    let in_all = after.expect("shown") - before.expect("shown");
    let per_order = report["server_cpu_us_per_order"].as_f64();
    let orders: f64 = ORDERS.parse().expect("a number");
    let counted = per_order.expect("the node shows it") * orders / 1e6;
    assert!(counted > in_all, "{counted} of {in_all} s: {report}");
}
