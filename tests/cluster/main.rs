//! Three real processes as one cluster: any node serves any request, a killed one loses nothing, and
//! only operators change it; what a backup of it holds starts again in another shape.

mod admin;
mod admin_tls;
mod disks;
mod drained;
mod load;
mod reserving;
mod restore;
mod staleness;
mod trials;
mod upgrade;

use consign_tests::{Node, Setting, Shop, addresses, eventually, order, recount, run};
use serde_json::{Value, json};
use tempfile::TempDir;

use load::Load;

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");
const NODES: usize = 3;
/// Orders acknowledged before a node is killed, and after it is back, at least.
const ORDERS_EACH: usize = 60;

struct Cluster {
    nodes: Vec<Node>,
    /// Where nodes reach each other.
    addresses: Vec<String>,
    _certificates: TempDir,
}

/// A cluster before it is started: where its nodes will be, and with what they know each other.
struct Plan {
    certificates: TempDir,
    /// By number, from 1.
    addresses: Vec<String>,
    more: Vec<Setting>,
}

impl Plan {
    async fn new(more: &[Setting]) -> Plan {
        let certificates = tempfile::tempdir().expect("a directory");
        let dir = certificates.path().to_str().expect("a name in UTF-8");
        run(CONSIGN, ["certs", dir, "--nodes", "3"]).await.ok();
        let addresses = addresses(NODES).iter().map(ToString::to_string).collect();
        Plan {
            certificates,
            addresses,
            more: more.to_vec(),
        }
    }

    /// The settings of a node.
    fn settings(&self, node: usize) -> Vec<Setting> {
        let dir = self.certificates.path().to_str().expect("a name in UTF-8");
        let members = (1..).zip(&self.addresses);
        let members: Vec<String> = members.map(|(n, at)| format!("{n}={at}")).collect();
        let settings = [
            ("CONSIGN__CLUSTER__NODE", kept(node.to_string())),
            ("CONSIGN__CLUSTER__CERTIFICATES", kept(dir.to_owned())),
            ("CONSIGN__CLUSTER__MEMBERS", kept(members.join(","))),
            // Debug builds on shared cores stall longer than a release build does.
            ("CONSIGN__CLUSTER__ELECTION_TIMEOUT_MS", "900"),
            ("CONSIGN__CLUSTER__SEAL_AFTER_MS", "2000"),
            ("CONSIGN__STORAGE__PARTITIONS", "4"),
        ];
        [&settings[..], &self.more].concat()
    }
}

/// A setting of a node lives as long as the test process.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Cluster {
    async fn start() -> Cluster {
        Cluster::start_with(&[]).await
    }

    /// The same, with further settings for every node.
    async fn start_with(more: &[Setting]) -> Cluster {
        let plan = Plan::new(more).await;
        let mut nodes = Vec::new();
        for node in 1..=NODES {
            nodes.push(Node::start_with(CONSIGN, &plan.settings(node)).await);
        }
        for node in &nodes {
            until_ready(node).await;
        }
        Cluster {
            nodes,
            addresses: plan.addresses,
            _certificates: plan.certificates,
        }
    }

    async fn stop(mut self) {
        for node in &mut self.nodes {
            node.kill().await;
        }
    }
}

async fn until_ready(node: &Node) {
    eventually("the node is ready", || async {
        let ready = node.get("/readyz").try_send().await;
        ready.ok().filter(|reply| reply.status == 200).map(drop)
    })
    .await;
}

fn id_of(order: &Value) -> String {
    order["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_serves_any_request_and_shows_what_others_acknowledged() {
    let cluster = Cluster::start().await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!("there are three")
    };
    one.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    two.receive("LONDON", "A", 50).await;
    three.receive("LEEDS", "B", 50).await;
    for (nth, [placed_at, read_at, changed_at]) in
        [[one, two, three], [two, three, one], [three, one, two]]
            .into_iter()
            .cycle()
            .take(12)
            .enumerate()
    {
        let mut asked = order(&[("A", 1, "2.55"), ("B", 2, "1.00")]);
        asked["external_id"] = json!(format!("name-{nth}"));
        let key = format!("key-{nth}");
        let first = placed_at
            .post("/v1/orders", &asked)
            .key(&key)
            .expect(201)
            .await
            .json();
        let id = id_of(&first);
        assert_eq!(first["status"], "allocated", "{first}");
        // Read at once, elsewhere.
        assert_eq!(read_at.order(&id).await["status"], "allocated");
        let again = read_at
            .post("/v1/orders", &asked)
            .key(&key)
            .expect(201)
            .await
            .json();
        assert_eq!(id_of(&again), id, "a repeated key gets the first answer");
        let other = order(&[("A", 2, "2.55")]);
        changed_at
            .post("/v1/orders", &other)
            .key(&key)
            .refused(409, "idempotency_key_reused")
            .await;
        let taken = changed_at
            .post("/v1/orders", &asked)
            .key(format!("{key}-other"));
        taken.refused(409, "external_id_taken").await;
        let cancel = json!({"reason": "test"});
        changed_at
            .post(format!("/v1/orders/{id}/cancel"), &cancel)
            .expect(200)
            .await;
        assert_eq!(placed_at.order(&id).await["status"], "cancelled");
    }
    // Placed under a key only, without a name.
    let plain = order(&[("A", 1, "2.55")]);
    let first = one
        .post("/v1/orders", &plain)
        .key("plain")
        .expect(201)
        .await
        .json();
    let again = three
        .post("/v1/orders", &plain)
        .key("plain")
        .expect(201)
        .await
        .json();
    assert_eq!(id_of(&first), id_of(&again));
    for node in &cluster.nodes {
        let books = recount(node).await;
        assert_eq!(books.orders.len(), 13);
        assert_eq!(books.reserved.values().sum::<i64>(), 1);
        assert_eq!(books.on_hand["A"] + books.on_hand["B"], 100);
    }
    let stands = one.get("/v1/cluster").expect(200).await.json();
    assert_eq!(stands["partitions"].as_array().map(Vec::len), Some(4));
    assert_eq!(stands["members"].as_array().map(Vec::len), Some(NODES));
    cluster.stop().await;
}

/// Ids of a client's own fall onto any partition, whichever the key's first order fell onto.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_one_order_on_every_node() {
    let cluster = Cluster::start().await;
    cluster.nodes[0].define(&["A"], &["LONDON"]).await;
    cluster.nodes[0].receive("LONDON", "A", 50).await;
    let mut asked = order(&[("A", 1, "2.55")]);
    asked["id"] = json!("first");
    let place = |node: &Node, asked: &Value| node.post("/v1/orders", asked).key("one-key");
    place(&cluster.nodes[0], &asked).expect(201).await;
    for node in &cluster.nodes {
        // Whoever shows the first order has heard of its key, and each of these is led by one of them.
        node.order("first").await;
    }
    for nth in 0..12 {
        asked["id"] = json!(format!("other-{nth}"));
        let node = &cluster.nodes[nth % NODES];
        let refused = place(node, &asked).refused(409, "idempotency_key_reused");
        assert!(refused.await.to_string().contains("first"), "it is named");
    }
    let books = recount(&cluster.nodes[1]).await;
    assert_eq!(books.orders.len(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_decides_on_every_node() {
    let cluster = Cluster::start().await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!("there are three")
    };
    one.define(&["A"], &["LONDON", "LEEDS"]).await;
    two.receive("LONDON", "A", 50).await;
    three.receive("LEEDS", "A", 50).await;
    let strategy = json!({"name": "north", "groups": {"north": ["LEEDS"]},
        "rules": [{"name": "all", "filters": {"groups": ["north"]}}]});
    two.post("/v1/strategies", &strategy).expect(201).await;
    three
        .post("/v1/strategies/1/activate", &json!({}))
        .expect(200)
        .await;
    for node in &cluster.nodes {
        // Whoever shows it as active decides by it.
        eventually("it is active there", || async {
            let stands = node.get("/v1/strategies/1").expect(200).await.json();
            (stands["active"] == true).then_some(())
        })
        .await;
        let placed = node.place(&order(&[("A", 1, "2.55")])).await;
        let from = &placed["lines"][0]["allocations"][0]["location"];
        assert_eq!(from, "LEEDS", "{placed}");
        let id = id_of(&placed);
        let explained = one.get(format!("/v1/orders/{id}/explanation"));
        let explained = explained.expect(200).await.json();
        assert_eq!(explained["decisions"][0]["strategy"], 1, "{explained}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start().await;
    let load = Load::on(&cluster.nodes).await;
    for killed in [0, 1] {
        load.more(ORDERS_EACH).await;
        cluster.nodes[killed].kill().await;
        load.more(ORDERS_EACH).await;
        cluster.nodes[killed].restart().await;
        until_ready(&cluster.nodes[killed]).await;
        load.more(ORDERS_EACH).await;
    }
    load.stops_with_all_on(&cluster.nodes).await;
    cluster.stop().await;
}
