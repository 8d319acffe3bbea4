//! A cluster is upgraded node by node, under load: nodes that speak the next version of their protocol run
//! beside those that do not.

use consign_tests::{Node, Setting};

use crate::load::Load;
use crate::{Cluster, ORDERS_EACH, until_ready};

/// What a node is told that is to speak as one of the release before.
const OLD: Setting = ("CONSIGN__CLUSTER__WIRE_VERSION_NEWEST", "1");
const NEW: Setting = ("CONSIGN__CLUSTER__WIRE_VERSION_NEWEST", "2");

/// The versions that this node's connections to others were agreed at since it was started last.
fn versions(node: &Node) -> (bool, bool) {
    let log = node.log();
    let life = log.rsplit("other nodes are heard").next();
    let life = life.unwrap_or_default();
    let spoken = |version: &str| {
        let lines = life.lines().filter(|line| line.contains("connected"));
        lines.filter(|line| line.contains(version)).count() > 0
    };
    (spoken("\"version\":1"), spoken("\"version\":2"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_node_by_node_under_load() {
    let mut cluster = Cluster::start_with(&[OLD]).await;
    let load = Load::on(&cluster.nodes).await;
    load.more(ORDERS_EACH).await;
    for node in &cluster.nodes {
        assert_eq!(versions(node), (true, false));
    }
    for upgraded in 0..cluster.nodes.len() {
        let node = &mut cluster.nodes[upgraded];
        node.set(NEW);
        assert!(node.stop().await.success());
        load.more(ORDERS_EACH).await;
        node.restart().await;
        until_ready(node).await;
        load.more(ORDERS_EACH).await;
    }
    assert_eq!(versions(&cluster.nodes[0]), (true, true));
    assert_eq!(versions(&cluster.nodes[2]), (false, true));
    // And back again, as far as the protocol goes.
    let node = &mut cluster.nodes[1];
    node.set(OLD);
    assert!(node.stop().await.success());
    node.restart().await;
    until_ready(node).await;
    load.more(ORDERS_EACH).await;
    assert_eq!(versions(node), (true, false));
    load.stops_with_all_on(&cluster.nodes).await;
    cluster.stop().await;
}
