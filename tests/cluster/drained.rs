//! A node that was taken out learns of it, says so at once, and can come back.

use std::time::{Duration, Instant};

use consign_tests::{EventStream, Node, Reply, Shop, eventually, order, run};
use serde_json::{Value, json};

use crate::{CONSIGN, Cluster, id_of, until_ready};

/// Far below the 5 s that a read waits for a leader, and well above what a busy machine takes.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The code of its refusals.
const CODE: &str = "node_taken_out";

async fn by_command_line(target: &Node, action: &[&str]) -> consign_tests::Ran {
    let url = target.url();
    let words = [&["cluster", "--target", &url][..], action].concat();
    run(CONSIGN, words).await.ok()
}

async fn until_out(node: &Node) {
    eventually("the node says that it is out", || async {
        let ready = node.get("/readyz").try_send().await.ok()?;
        let said = ready.json();
        // Of one partition after another.
        let of_all = said["detail"]
            .as_str()?
            .contains("taken out of the cluster");
        (ready.status == 503 && said["code"] == CODE && of_all).then_some(())
    })
    .await;
}

/// Every kind of business is refused, at once, and says what to do.
async fn refuses_at_once(node: &Node, known: &str) {
    let clear = |reply: &Reply| {
        let problem = reply.json();
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("another node"), "{reply}");
        assert!(reply.header("retry-after").is_some(), "{reply}");
    };
    let began = Instant::now();
    let asked = order(&[("A", 1, "2.55")]);
    for request in [
        node.post("/v1/orders", &asked).key("refused"),
        node.get(format!("/v1/orders/{known}")),
        node.post("/v1/orders/batch", &asked),
        node.get("/v1/orders"),
        node.get("/v1/inventory/A"),
        node.get("/v1/events?since=now"),
        node.post(
            format!("/v1/orders/{known}/cancel"),
            &json!({"reason": "test"}),
        ),
    ] {
        clear(&request.refused(503, CODE).await);
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    node.get("/healthz").expect(200).await;
}

async fn serves(node: &Node) -> Value {
    let placed = node.post("/v1/orders", &order(&[("A", 1, "2.55")]));
    placed.expect(201).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_says_so_at_once_and_can_come_back() {
    let mut cluster = Cluster::start().await;
    cluster.nodes[0].define(&["A"], &["LONDON"]).await;
    cluster.nodes[0].receive("LONDON", "A", 100).await;
    let id = id_of(&serves(&cluster.nodes[2]).await);
    let stream = EventStream::since(&cluster.nodes[2], "now").await;
    by_command_line(&cluster.nodes[0], &["drain", "3"]).await;
    let drained = Instant::now();
    until_out(&cluster.nodes[2]).await;
    println!("it knew {:?} after the drain", drained.elapsed());
    refuses_at_once(&cluster.nodes[2], &id).await;
    let rest = stream.rest().await;
    assert!(
        rest.contains("event: problem") && rest.contains(CODE),
        "{rest}"
    );

    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!("there are three")
    };
    let status = by_command_line(three, &["status"]).await.out;
    assert!(status.starts_with("node 3 has been taken out"), "{status}");
    // Asked of itself, it is found done; what only members can do is refused at once.
    by_command_line(three, &["drain", "3"]).await;
    let lead = json!({"partition": 0, "node": 1});
    three
        .post("/v1/cluster/leaders", &lead)
        .refused(503, CODE)
        .await;

    // The others serve, and are not disturbed.
    let terms = |stands: Value| -> Vec<Value> {
        let partitions = stands["partitions"].as_array().expect("partitions").iter();
        partitions.map(|it| it["term"].clone()).collect()
    };
    // Each of the two leads what it should, so nobody hands anything over from here on.
    eventually("leaders are spread", || async {
        let stands = one.get("/v1/cluster").expect(200).await.json();
        let partitions = stands["partitions"].as_array()?;
        let leads = partitions.iter().map(|it| it["leader"].as_u64());
        leads.eq([1, 2, 1, 2].map(Some)).then_some(())
    })
    .await;
    let before = terms(one.get("/v1/cluster").expect(200).await.json());
    for node in [one, two] {
        serves(node).await;
        assert_eq!(node.order(&id).await["status"], "allocated");
        let stands = node.get("/v1/cluster").expect(200).await.json();
        assert_eq!(stands["taken_out"], false, "{stands}");
        assert_eq!(stands["members"].as_array().map(Vec::len), Some(2));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        terms(one.get("/v1/cluster").expect(200).await.json()),
        before
    );

    // It learns it again after a restart, in which it missed everything.
    cluster.nodes[2].kill().await;
    cluster.nodes[2].restart().await;
    until_out(&cluster.nodes[2]).await;
    refuses_at_once(&cluster.nodes[2], &id).await;

    by_command_line(&cluster.nodes[0], &["join", "3", &cluster.addresses[2]]).await;
    until_ready(&cluster.nodes[2]).await;
    let id = id_of(&serves(&cluster.nodes[2]).await);
    assert_eq!(cluster.nodes[0].order(&id).await["status"], "allocated");
    cluster.stop().await;
}
