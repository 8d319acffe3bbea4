//! How old what a node shows of others may be: its availability view, lists and event stream. The alarm for
//! it goes off when it should, and ends.

use std::time::Duration;

use consign_tests::{Node, Shop, eventually, order};

use crate::{Cluster, until_ready};

const GAUGE: &str = "consign_replica_staleness_seconds";
/// From here on the runbook calls it an alarm, in seconds.
const ALARM: f64 = 1.0;

async fn staleness(node: &Node) -> f64 {
    let shown = node.metric(GAUGE).await;
    shown.unwrap_or_else(|| panic!("no {GAUGE} in the metrics"))
}

async fn until_staleness(node: &Node, what: &str, is_so: impl Fn(f64) -> bool) {
    eventually(what, || async {
        let found = staleness(node).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        is_so(found).then_some(())
    })
    .await;
}

/// What a node says there is, from its own view.
async fn there_is(node: &Node) -> u64 {
    let path = "/v1/availability?sku=A&destination=GB";
    let asked = node.get(path).expect(200).await.json();
    asked["quantity"].as_u64().expect("a quantity")
}

/// The location that feeds the view is led elsewhere, and cannot be reached any more; then it can. Product
/// pages are answered all along, from the view as it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_alarm_of_a_stale_view_rises_when_its_source_is_gone_and_falls_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    cluster.nodes[0].define(&["A"], &["LONDON"]).await;
    cluster.nodes[0].receive("LONDON", "A", 7).await;
    cluster.nodes[1].place(&order(&[("A", 2, "2.55")])).await;
    for node in &cluster.nodes {
        let seen = || async { (there_is(node).await == 5).then_some(()) };
        eventually("every node sees what an order left", seen).await;
    }
    until_staleness(&cluster.nodes[2], "it is fresh", |found| found < ALARM).await;
    cluster.nodes[0].kill().await;
    cluster.nodes[1].kill().await;
    until_staleness(&cluster.nodes[2], "the alarm rises", |found| found > ALARM).await;
    // It tells for how long, not only that it is so.
    until_staleness(&cluster.nodes[2], "it rises on", |found| {
        found > 3.0 * ALARM
    })
    .await;
    assert_eq!(there_is(&cluster.nodes[2]).await, 5, "without a quorum");
    cluster.nodes[2]
        .get("/v1/inventory/A")
        .refused(503, "cluster_unreachable")
        .await;
    cluster.nodes[0].restart().await;
    cluster.nodes[1].restart().await;
    until_staleness(&cluster.nodes[2], "the alarm ends", |found| found < ALARM).await;
    for node in &cluster.nodes {
        until_ready(node).await;
    }
    assert_eq!(
        cluster.nodes[2].balance("LONDON", "A").await["available"],
        5
    );
    cluster.stop().await;
}
