//! A canary in a cluster: the node that finds a guardrail broken ends it on all of them.

use consign_tests::{Shop, eventually, order};
use serde_json::{Value, json};

use crate::{Cluster, id_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_one_node_rolls_back_ends_on_all() {
    let cluster = Cluster::start().await;
    let [one, two, three] = &cluster.nodes[..] else {
        unreachable!("there are three")
    };
    one.define(&["A"], &["LONDON", "LEEDS"]).await;
    two.receive("LONDON", "A", 2_000).await;
    three.receive("LEEDS", "A", 2_000).await;
    let strategy = json!({"name": "from afar", "groups": {"north": ["LEEDS"]},
        "rules": [{"name": "all", "filters": {"groups": ["north"]}, "costs": {"per_100_km": 100}}]});
    two.post("/v1/strategies", &strategy).expect(201).await;
    let canary = json!({"share_permille": 500, "guardrails": {"cost_permille_max": 1_050, "decisions_min": 10}});
    let started = three.post("/v1/strategies/1/canary", &canary);
    assert_eq!(started.expect(201).await.json()["running"], true);
    // Only one node gets orders, so that it is the one to judge; the others count nothing.
    let mut ended = Value::Null;
    for nth in 0..2_000 {
        one.place(&order(&[("A", 1, "2.55")])).await;
        if nth % 10 == 0 {
            let all = two.get("/v1/strategies/trials").expect(200).await.json();
            ended = all["trials"][0].clone();
        }
        if ended["running"] == false {
            break;
        }
    }
    assert_eq!(ended["outcome"], "rolled_back", "{ended}");
    let reason = ended["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("cost: ") && reason.ends_with(" on node 1"),
        "{reason}"
    );
    for node in &cluster.nodes {
        eventually("it has ended there", || async {
            let all = node.get("/v1/strategies/trials").expect(200).await.json();
            (all["trials"][0]["reason"] == reason).then_some(())
        })
        .await;
        for _ in 0..10 {
            let placed = node.place(&order(&[("A", 1, "2.55")])).await;
            let id = id_of(&placed);
            let explained = two.get(format!("/v1/orders/{id}/explanation"));
            let explained = explained.expect(200).await.json();
            assert_eq!(explained["decisions"][0]["strategy"], 0, "{explained}");
        }
    }
    cluster.stop().await;
}
