//! A backup of any node starts again in another shape: three nodes as one, one as three.

use std::path::Path;

use consign_tests::{Client, Node, Setting, Shop, order, recount, run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::until_answered;
use crate::{CONSIGN, Cluster, NODES, Plan, id_of, until_ready};

/// Orders placed before the first backup: so many that checkpoints have taken the first of them over.
const ORDERS: usize = 120;
const SMALL_JOURNAL: Setting = ("CONSIGN__STORAGE__JOURNAL_BYTES_MAX", "131072");

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Everything that a node shows of its orders and its stock.
async fn shown(node: &Client) -> (Vec<Value>, Value) {
    let books = recount(node).await;
    let mut orders = books.orders;
    orders.sort_by_key(id_of);
    run(CONSIGN, ["verify", "--target", &node.url()]).await.ok();
    (orders, json!([books.on_hand, books.reserved]))
}

/// A backup of a running node.
async fn backup(node: &Node, home: &Path, name: &str) -> String {
    let target = text(&home.join(name));
    let data = text(node.data());
    run(CONSIGN, ["backup", &target, "--data", &data])
        .await
        .ok();
    target
}

/// Starts the first node of a cluster on what was restored, and the others on nothing, and takes
/// those in.
async fn grow(plan: &Plan, restored: TempDir) -> Vec<Node> {
    let data = restored.path().join("data");
    let mut nodes = vec![Node::start_on(CONSIGN, &plan.settings(1), &[], restored, data).await];
    until_ready(&nodes[0]).await;
    let target = nodes[0].url();
    for number in 2..=NODES {
        nodes.push(Node::start_with(CONSIGN, &plan.settings(number)).await);
        let (node, address) = (number.to_string(), &plan.addresses[number - 1]);
        let join = ["cluster", "--target", &target, "join", &node, address];
        run(CONSIGN, join).await.ok();
    }
    for node in &nodes {
        until_ready(node).await;
    }
    nodes
}

/// Places one more order, wherever that can be done.
async fn place_another(nodes: &[Node], key: &str) {
    let clients: Vec<Client> = nodes.iter().map(|node| node.client().clone()).collect();
    let asked = order(&[("A", 1, "2.55")]);
    until_answered(&clients, 0, "/v1/orders", &asked, key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_become_one_and_one_becomes_three() {
    let cluster = Cluster::start_with(&[SMALL_JOURNAL]).await;
    let [one, _, three] = &cluster.nodes[..] else {
        unreachable!("there are three")
    };
    one.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    one.receive("LONDON", "A", 10_000).await;
    one.receive("LEEDS", "B", 10_000).await;
    for nth in 0..ORDERS {
        let asked = order(&[("A", 1, "2.55"), ("B", 2, "1.00")]);
        let placed = one.post("/v1/orders", &asked).key(format!("key-{nth}"));
        placed.expect(201).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    // At once, from a node that led few of them: what the first acknowledged is in it.
    let copy = backup(three, home.path(), "of-three").await;
    let before = shown(three).await;
    assert_eq!(before.0.len(), ORDERS);
    cluster.stop().await;

    let restored = tempfile::tempdir().expect("a directory");
    let data = restored.path().join("data");
    let made = ["restore", &copy, "--data", &text(&data)];
    run(CONSIGN, made).await.ok();
    let settings = [("CONSIGN__STORAGE__PARTITIONS", "4"), SMALL_JOURNAL];
    let mut alone = Node::start_on(CONSIGN, &settings, &[], restored, data).await;
    until_ready(&alone).await;
    assert_eq!(shown(&alone).await, before);
    // Its customers' keys are remembered.
    let asked = order(&[("A", 1, "2.55"), ("B", 2, "1.00")]);
    let again = alone.post("/v1/orders", &asked).key("key-7").expect(201);
    let again = again.await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again}");
    alone.place(&order(&[("A", 1, "2.55")])).await;

    let before = shown(&alone).await;
    let copy = backup(&alone, home.path(), "of-one").await;
    alone.kill().await;
    let plan = Plan::new(&[SMALL_JOURNAL]).await;
    let restored = tempfile::tempdir().expect("a directory");
    let data = text(&restored.path().join("data"));
    let as_first = ["--node", "1", "--address", &plan.addresses[0]];
    let made = ["restore", &copy, "--data", &data];
    run(CONSIGN, made.into_iter().chain(as_first)).await.ok();
    let mut nodes = grow(&plan, restored).await;
    for node in &nodes {
        assert_eq!(shown(node).await, before);
    }
    nodes[0].kill().await;
    let others = &nodes[1..];
    place_another(others, "without-the-first").await;
    for node in others {
        until_ready(node).await;
        assert_eq!(shown(node).await.0.len(), ORDERS + 2);
    }
    for node in &mut nodes[1..] {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_a_running_node_gives_no_backup_and_one_at_rest_does() {
    let mut cluster = Cluster::start().await;
    cluster.nodes[0].define(&["A"], &["LONDON"]).await;
    cluster.nodes[0].receive("LONDON", "A", 10).await;
    let placed = cluster.nodes[0].place(&order(&[("A", 1, "2.55")])).await;
    // A read waits until this node has it.
    cluster.nodes[2].order(&id_of(&placed)).await;
    cluster.nodes[0].kill().await;
    cluster.nodes[1].kill().await;
    let home = tempfile::tempdir().expect("a directory");
    let (target, data) = (home.path().join("backup"), text(cluster.nodes[2].data()));
    let refused = run(CONSIGN, ["backup", &text(&target), "--data", &data]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("stop this node"), "{refused:?}");
    assert!(!target.exists(), "nothing was made");
    cluster.nodes[2].kill().await;
    let made = ["backup", &text(&target), "--data", &data];
    run(CONSIGN, made).await.ok();

    let restored = tempfile::tempdir().expect("a directory");
    let data = restored.path().join("data");
    let made = ["restore", &text(&target), "--data", &text(&data), "--json"];
    let report = run(CONSIGN, made).await.ok().json();
    assert_eq!(
        (&report["node"], &report["address"]),
        (&json!(1), &json!(""))
    );
    let settings = [("CONSIGN__STORAGE__PARTITIONS", "4")];
    let mut alone = Node::start_on(CONSIGN, &settings, &[], restored, data).await;
    until_ready(&alone).await;
    assert_eq!(alone.order(&id_of(&placed)).await["status"], "allocated");
    alone.kill().await;
}

#[tokio::test]
async fn a_restore_is_told_what_does_not_fit_before_anything_is_made() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let restore = ["restore", "nowhere", "--data", &text(&data)];
    for (more, said) in [
        (&["--node", "2"][..], "--address"),
        (&["--address", "0.0.0.0:9080"], "host:port"),
        (&["--address", "9080"], "host:port"),
        (&["--node", "0"], "--node"),
    ] {
        let ran = run(CONSIGN, restore.iter().chain(more)).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
        assert!(!data.exists(), "nothing was made");
    }
}
