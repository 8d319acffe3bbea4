//! A node whose disk is lost comes back with an empty one: it is taken in again by itself, and until then
//! nothing of it counts.

use std::time::{Duration, Instant};

use consign_tests::{Node, Setting, Shop, eventually, order, run};
use serde_json::{Value, json};

use crate::load::Load;
use crate::{CONSIGN, Cluster, ORDERS_EACH, id_of, until_ready};

const CODE: &str = "disk_unknown";
/// So that some partitions come back as snapshots.
const SMALL_JOURNAL: Setting = ("CONSIGN__STORAGE__JOURNAL_BYTES_MAX", "131072");
/// For so long nobody may acknowledge anything: many times as long as an election takes.
const WATCHED_FOR: Duration = Duration::from_secs(6);

/// Its disk is lost: all of it.
fn lose_disk(node: &Node) {
    std::fs::remove_dir_all(node.data()).expect("there was one");
}

/// Every node sees this one vote everywhere, and nobody's disk is another.
async fn until_it_votes(nodes: &[Node], number: u64) {
    for node in nodes {
        eventually("it votes everywhere", || async {
            let stands = node.get("/v1/cluster").try_send().await.ok()?.json();
            let partitions = stands["partitions"].as_array()?;
            let votes = |partition: &Value| {
                let voters = partition["voters"].as_array();
                voters.is_some_and(|voters| voters.contains(&number.into()))
            };
            let nobody = stands["other_disks"].as_array()?.is_empty();
            (nobody && partitions.iter().all(votes)).then_some(())
        })
        .await;
        until_ready(node).await;
    }
}

/// Whichever node it is, the first founder too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_comes_back_under_its_number() {
    let mut cluster = Cluster::start_with(&[SMALL_JOURNAL]).await;
    let load = Load::on(&cluster.nodes).await;
    for lost in [2, 0] {
        load.more(ORDERS_EACH).await;
        cluster.nodes[lost].kill().await;
        lose_disk(&cluster.nodes[lost]);
        load.more(ORDERS_EACH).await;
        cluster.nodes[lost].restart().await;
        until_it_votes(&cluster.nodes, lost as u64 + 1).await;
        load.more(ORDERS_EACH).await;
        // Customers' keys came with everything else (L3).
        for key in ["w0-0", "w1-0", "w2-0", "w3-0"] {
            let asked = order(&[("A", 1, "2.55"), ("B", 1, "1.00")]);
            let again = cluster.nodes[lost].post("/v1/orders", &asked).key(key);
            let again = again.expect(201).await;
            assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again}");
        }
    }
    // The disk that took its place counts as the first one did.
    cluster.nodes[0].kill().await;
    load.more(ORDERS_EACH).await;
    cluster.nodes[0].restart().await;
    until_ready(&cluster.nodes[0]).await;
    load.stops_with_all_on(&cluster.nodes).await;
    cluster.stop().await;
}

/// It says why, and so do the others.
async fn until_it_says_so(refused: &Node, number: usize, by: &Node) {
    eventually("it says that its disk is not known", || async {
        let ready = refused.get("/readyz").try_send().await.ok()?;
        (ready.status == 503 && ready.json()["code"] == CODE).then_some(())
    })
    .await;
    let asked = order(&[("A", 1, "2.55")]);
    refused.post("/v1/orders", &asked).refused(503, CODE).await;
    refused.get("/v1/orders").refused(503, CODE).await;
    assert!(refused.log().contains("does not know this one by its disk"));
    let status = |node: &Node| {
        let url = node.url();
        async move {
            run(CONSIGN, ["cluster", "--target", &url, "status"])
                .await
                .ok()
                .out
        }
    };
    let (own, others) = (status(refused).await, status(by).await);
    assert!(own.contains("stands on another disk"), "{own}");
    let said = format!("node {number} comes with another disk");
    assert!(others.contains(&said), "{others}");
}

/// What one node acknowledged together with the one whose disk is lost must not be forgotten: those two
/// were the quorum, and without the first there is none.
async fn nothing_goes_on_without_the_quorum(stopped: usize, lost: usize) {
    let mut cluster = Cluster::start().await;
    let left = (0..3).find(|node| ![stopped, lost].contains(node));
    let left = left.expect("there are three");
    let load = Load::on(&cluster.nodes).await;
    load.more(ORDERS_EACH).await;
    // The one that is left misses the last orders.
    cluster.nodes[left].kill().await;
    load.more(ORDERS_EACH).await;
    let known = load.known();
    cluster.nodes[stopped].kill().await;
    cluster.nodes[lost].kill().await;
    lose_disk(&cluster.nodes[lost]);
    cluster.nodes[left].restart().await;
    cluster.nodes[lost].restart().await;
    let (at_left, at_lost) = (&cluster.nodes[left], &cluster.nodes[lost]);
    until_it_says_so(at_lost, lost + 1, at_left).await;
    let (began, count) = (Instant::now(), load.count());
    while began.elapsed() < WATCHED_FOR {
        for node in [at_left, at_lost] {
            let ready = node.get("/readyz").try_send().await;
            assert_ne!(ready.map(|reply| reply.status).ok(), Some(200));
            let stands = node.get("/v1/cluster").expect(200).await.json();
            let partitions = stands["partitions"].as_array().expect("partitions");
            assert!(
                partitions.iter().all(|it| it["leader"].is_null()),
                "{stands}"
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(load.count(), count, "nobody acknowledged anything");
    cluster.nodes[stopped].restart().await;
    until_it_votes(&cluster.nodes, lost as u64 + 1).await;
    load.more(ORDERS_EACH).await;
    for (key, placed) in known {
        let id = id_of(&placed);
        let order = cluster.nodes[left].order(&id).await;
        assert_eq!(id_of(&order), id, "{key}");
    }
    load.stops_with_all_on(&cluster.nodes).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_makes_no_quorum() {
    nothing_goes_on_without_the_quorum(0, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_founder_founds_nothing_beside_the_cluster() {
    nothing_goes_on_without_the_quorum(2, 0).await;
}

/// Only what is empty is taken in by itself: whoever put data there must say what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_other_data_is_taken_in_when_an_operator_says_so() {
    let mut cluster = Cluster::start().await;
    cluster.nodes[0].define(&["A"], &["LONDON"]).await;
    cluster.nodes[0].receive("LONDON", "A", 100).await;
    let id = id_of(&cluster.nodes[0].place(&order(&[("A", 1, "2.55")])).await);
    until_ready(&cluster.nodes[2]).await;
    // Remembered, so that the next disk is another.
    let home = tempfile::tempdir().expect("a directory");
    let copy = home.path().join("copy");
    let copy = copy.to_str().expect("UTF-8").to_owned();
    let data = cluster.nodes[2].data().to_str().expect("UTF-8").to_owned();
    run(CONSIGN, ["backup", &copy, "--data", &data]).await.ok();
    cluster.nodes[2].kill().await;
    lose_disk(&cluster.nodes[2]);
    let address = cluster.addresses[2].clone();
    let restore = ["restore", &copy, "--data", &data];
    let shape = ["--node", "3", "--address", &address];
    run(CONSIGN, restore.into_iter().chain(shape)).await.ok();
    cluster.nodes[2].restart().await;
    until_it_says_so(&cluster.nodes[2], 3, &cluster.nodes[0]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ready = cluster.nodes[2].get("/readyz").try_send().await;
    assert_eq!(ready.map(|reply| reply.status).ok(), Some(503));
    // The operator empties it.
    cluster.nodes[2].kill().await;
    lose_disk(&cluster.nodes[2]);
    cluster.nodes[2].restart().await;
    until_it_votes(&cluster.nodes, 3).await;
    assert_eq!(cluster.nodes[2].order(&id).await["status"], "allocated");
    // Taken out and in by hand, on an empty disk.
    let target = cluster.nodes[0].url();
    let by_hand = |words: Vec<String>| {
        let head = ["cluster", "--target", &target].map(str::to_owned);
        async move { run(CONSIGN, head.into_iter().chain(words)).await.ok() }
    };
    cluster.nodes[2].kill().await;
    by_hand(vec!["remove".into(), "3".into()]).await;
    lose_disk(&cluster.nodes[2]);
    cluster.nodes[2].restart().await;
    by_hand(vec!["join".into(), "3".into(), address]).await;
    until_it_votes(&cluster.nodes, 3).await;
    assert_eq!(cluster.nodes[2].order(&id).await["status"], "allocated");
    cluster.stop().await;
}

/// A node that is joined while it is away is in a group before anybody sees that its disk is another: the
/// join waits while it is taken out again, and both come to their ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_with_another_disk_during_its_join_is_taken_in() {
    let mut cluster = Cluster::start().await;
    let target = cluster.nodes[0].url();
    cluster.nodes[2].kill().await;
    lose_disk(&cluster.nodes[2]);
    let remove = ["cluster", "--target", &target, "remove", "3"];
    run(CONSIGN, remove).await.ok();
    let body = json!({"node": 3, "address": cluster.addresses[2]});
    let joining = cluster.nodes[0].post("/v1/cluster/members", &body);
    let joining = tokio::spawn(async move { joining.try_send().await });
    eventually("it is a learner, and not there", || async {
        let stands = cluster.nodes[0].get("/v1/cluster").expect(200).await.json();
        let learners = stands["partitions"][0]["learners"].as_array()?;
        learners.contains(&3.into()).then_some(())
    })
    .await;
    cluster.nodes[2].restart().await;
    let joined = joining.await.expect("it is asked").expect("it is answered");
    assert_eq!(joined.json()["partitions_left"], 0, "{joined}");
    until_it_votes(&cluster.nodes, 3).await;
    cluster.stop().await;
}
