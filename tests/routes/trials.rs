//! Strategies tried on real orders: in shadow nothing comes of them, a canary decides about its share
//! until a guardrail is broken, and why it ended stays readable.

use std::collections::BTreeMap;

use consign_tests::{Node, Shop, eventually, order, run};
use serde_json::{Value, json};

use crate::CONSIGN;

/// Everything from Leeds, 273 km from where orders go; a kilometre costs a penny.
fn from_afar() -> Value {
    json!({
        "name": "from afar",
        "groups": {"north": ["LEEDS"]},
        "rules": [{"name": "all", "filters": {"groups": ["north"]}, "costs": {"per_100_km": 100}}]
    })
}

/// A shop in which version 1 is drafted and the built-in strategy, which takes the nearest, is active.
async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    for location in ["LONDON", "LEEDS"] {
        node.receive(location, "A", 2_000).await;
        node.receive(location, "B", 2_000).await;
    }
    node.post("/v1/strategies", &from_afar()).expect(201).await;
    node
}

async fn place(node: &Node) -> String {
    let placed = node.place(&order(&[("A", 1, "2.55")])).await;
    placed["id"].as_str().expect("an id").to_owned()
}

/// Which version made each of an order's decisions; all of them come out the same again.
async fn versions(node: &Node, id: &str) -> Vec<u64> {
    let said = node.get(format!("/v1/orders/{id}/explanation"));
    let said = said.expect(200).await.json();
    let decisions = said["decisions"].as_array().expect("decisions");
    assert!(decisions.iter().all(|of| of["repeats"] == true), "{said}");
    let version = |of: &Value| of["strategy"].as_u64().expect("a version");
    decisions.iter().map(version).collect()
}

async fn from(node: &Node, id: &str) -> String {
    let order = node.order(id).await;
    let from = order["lines"][0]["allocations"][0]["location"].as_str();
    from.unwrap_or("nowhere").to_owned()
}

async fn running(node: &Node) -> Value {
    node.get("/v1/strategies/trial").expect(200).await.json()
}

async fn last(node: &Node) -> Value {
    let all = node.get("/v1/strategies/trials").expect(200).await.json();
    all["trials"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_counted_and_nothing_comes_of_it() {
    let mut node = shop().await;
    let start = node.post("/v1/strategies/1/shadow", &json!({})).key("s");
    let started = start.expect(201).await;
    assert_eq!(started.header("location"), Some("/v1/strategies/trial"));
    let again = node.post("/v1/strategies/1/shadow", &json!({})).key("s");
    assert_eq!(again.expect(201).await.json()["trial"], 1);
    for _ in 0..6 {
        let id = place(&node).await;
        assert_eq!(from(&node, &id).await, "LONDON");
        assert_eq!(versions(&node, &id).await, [0]);
    }
    let trial = eventually("six decisions in shadow", || async {
        let trial = running(&node).await;
        (trial["figures"]["tried"]["decisions"] == 6).then_some(trial)
    })
    .await;
    let figures = &trial["figures"];
    assert_eq!(
        (&trial["mode"], &trial["version"], &trial["beside"]),
        (&json!("shadow"), &json!(1), &json!(0))
    );
    assert_eq!(figures["active"]["decisions"], 6, "{trial}");
    assert_eq!(
        (&figures["differing"], &figures["passed_over"]),
        (&json!(6), &json!(0))
    );
    // Both by the weights of version 1, as the built-in one's sums are no money.
    assert_eq!(figures["active"]["cost_per_unit"], 1.0, "{trial}");
    let dear = figures["tried"]["cost_per_unit"].as_f64();
    assert!(dear.is_some_and(|cost| cost > 250.0), "{trial}");

    let reason = json!({"reason": "seen enough"});
    let stopped = node.post("/v1/strategies/trial/stop", &reason);
    let stopped = stopped.expect(200).await.json();
    assert_eq!(stopped["outcome"], "stopped");
    assert_eq!(stopped["figures"]["tried"]["decisions"], 6, "{stopped}");
    node.get("/v1/strategies/trial")
        .refused(404, "trial_not_found")
        .await;
    node.kill().await;
    node.restart().await;
    assert_eq!(last(&node).await["reason"], "seen enough");
    node.stop().await;
}

/// Its cost guardrail is broken on purpose: it is rolled back by itself, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_too_dear_rolls_itself_back() {
    let mut node = shop().await;
    let canary = json!({"share_permille": 500, "guardrails": {"cost_permille_max": 1_050, "decisions_min": 20}});
    let started = node.post("/v1/strategies/1/canary", &canary);
    assert_eq!(started.expect(201).await.json()["running"], true);
    let mut by_version: BTreeMap<u64, u32> = BTreeMap::new();
    let mut amended = false;
    let mut rolled_back = Value::Null;
    for nth in 0..2_000 {
        let id = place(&node).await;
        let decided = versions(&node, &id).await;
        let expected = if decided == [1] { "LEEDS" } else { "LONDON" };
        assert_eq!(from(&node, &id).await, expected, "{decided:?}");
        *by_version.entry(decided[0]).or_default() += 1;
        if decided == [1] && !amended {
            amended = true;
            later_rounds_are_its_own_too(&node, &id).await;
        }
        if nth % 5 == 0 {
            rolled_back = last(&node).await;
        }
        if rolled_back["running"] == false {
            break;
        }
    }
    assert_eq!(rolled_back["outcome"], "rolled_back", "{rolled_back}");
    let reason = rolled_back["reason"].as_str().expect("a reason");
    for part in [
        "cost: ",
        " a unit beside 1.0 of the active version, ",
        " % of it, more than 105.0 %; after ",
        " decisions on node ",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(rolled_back["ended_by"], "guardrail");
    assert!(
        by_version[&0] >= 20 && by_version[&1] >= 20,
        "{by_version:?}"
    );
    assert_eq!(rolled_back["guardrails"]["decisions_min"], 20);
    for _ in 0..20 {
        let id = place(&node).await;
        assert_eq!(versions(&node, &id).await, [0]);
    }
    node.kill().await;
    node.restart().await;
    assert_eq!(last(&node).await["reason"], reason);
    node.get("/v1/strategies/trial")
        .refused(404, "trial_not_found")
        .await;
    node.stop().await;
}

async fn later_rounds_are_its_own_too(node: &Node, id: &str) {
    let more = json!({"add_lines": [{"sku": "B", "quantity": 1, "unit_price": "1.50"}]});
    let path = format!("/v1/orders/{id}/amendments");
    node.post(path, &more).expect(200).await;
    node.order_when(id, "allocated", |order| {
        let lines = order["lines"].as_array();
        order["status"] == "allocated" && lines.is_some_and(|lines| lines.len() == 2)
    })
    .await;
    assert_eq!(versions(node, id).await, [1, 1]);
}

/// One that does no worse than the active version stays, and ends when it is activated.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_does_as_well_stays_until_it_is_activated() {
    let mut node = shop().await;
    let nearest =
        json!({"name": "nearest", "rules": [{"name": "all", "costs": {"per_100_km": 100}}]});
    node.post("/v1/strategies", &nearest).expect(201).await;
    let guardrails = json!({"cost_permille_max": 1_000, "split_permille_max": 0, "refusal_permille_max": 0,
        "short_permille_max": 0, "decisions_min": 10});
    let canary = json!({"share_permille": 500, "guardrails": guardrails});
    node.post("/v1/strategies/2/canary", &canary)
        .expect(201)
        .await;
    for _ in 0..60 {
        let id = place(&node).await;
        assert_eq!(from(&node, &id).await, "LONDON");
    }
    // It was judged at least once.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let figures = running(&node).await["figures"].clone();
    let of = |arm: &str, what: &str| figures[arm][what].as_u64().expect("a count");
    assert_eq!(of("tried", "decisions") + of("active", "decisions"), 60);
    assert_eq!(
        of("tried", "granted") + of("active", "granted"),
        60,
        "{figures}"
    );
    assert!(
        of("tried", "decisions") >= 10 && of("active", "decisions") >= 10,
        "{figures}"
    );
    assert_eq!(figures["tried"]["cost_per_unit"], 1.0, "{figures}");
    node.post("/v1/strategies/2/activate", &json!({}))
        .expect(200)
        .await;
    let ended = last(&node).await;
    assert_eq!(ended["outcome"], "activated", "{ended}");
    assert_eq!(versions(&node, &place(&node).await).await, [2]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let mut node = shop().await;
    let cost = json!({"cost_permille_max": 1_050});
    let canary =
        |share: i64, guardrails: &Value| json!({"share_permille": share, "guardrails": guardrails});
    for (wrong, pointer) in [
        (canary(0, &cost), "/share_permille"),
        (canary(1_000, &cost), "/share_permille"),
        (canary(-1, &cost), "/share_permille"),
        (canary(100_000, &cost), "/share_permille"),
        (canary(50, &json!({})), "/guardrails"),
        (
            canary(50, &json!({"cost_permille_max": 0})),
            "/guardrails/cost_permille_max",
        ),
        (
            canary(50, &json!({"split_permille_max": 1_001})),
            "/guardrails/split_permille_max",
        ),
        (
            canary(50, &json!({"cost_permille_max": 1_050, "decisions_min": 0})),
            "/guardrails/decisions_min",
        ),
        (canary(50, &json!({"costs": 3})), "/guardrails/costs"),
    ] {
        let refused = node.post("/v1/strategies/1/canary", &wrong);
        let refused = refused.refused(422, "validation_failed").await;
        let (at, _) = refused.faults().first().cloned().expect("a fault");
        assert_eq!(at, pointer, "{refused}");
    }
    let nothing = json!({});
    for (path, status, code) in [
        ("/v1/strategies/7/shadow", 404, "strategy_not_found"),
        ("/v1/strategies/x/shadow", 404, "strategy_not_found"),
        ("/v1/strategies/0/shadow", 409, "already_active"),
        ("/v1/strategies/trial/stop", 409, "no_trial_running"),
    ] {
        node.post(path, &nothing).refused(status, code).await;
    }
    let stale = node.post("/v1/strategies/1/shadow", &nothing);
    stale.if_match(7).refused(412, "version_mismatch").await;
    node.post("/v1/strategies/1/shadow", &nothing)
        .expect(201)
        .await;
    node.post("/v1/strategies/1/canary", &canary(50, &cost))
        .refused(409, "trial_running")
        .await;
    let long = json!({"reason": "x".repeat(501)});
    let refused = node.post("/v1/strategies/trial/stop", &long);
    refused.refused(422, "validation_failed").await;
    assert_eq!(running(&node).await["mode"], "shadow", "it runs on");
    let id = place(&node).await;
    assert_eq!(versions(&node, &id).await, [0], "orders go on");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_are_run_from_the_command_line() {
    let mut node = shop().await;
    let target = node.url();
    let strategy = async |words: &[&str]| {
        let head = ["strategy", "--target", &target];
        run(CONSIGN, head.iter().chain(words).copied()).await
    };
    let none = strategy(&["trial"]).await.ok();
    assert!(none.out.contains("No trial runs."), "{none:?}");
    let wrong = strategy(&["canary", "1", "--share", "5"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let unwatched = strategy(&["canary", "1", "--share", "5%"]).await;
    assert!(
        unwatched.code == 1 && unwatched.err.contains("/guardrails"),
        "{unwatched:?}"
    );
    let started = strategy(&["canary", "1", "--share", "2.5%", "--cost-max", "110%"]).await;
    let started = started.ok();
    assert!(
        started
            .out
            .contains("version 1 beside version 0, on 2.5 % of orders"),
        "{started:?}"
    );
    place(&node).await;
    let shown = strategy(&["trial"]).await.ok();
    assert!(
        shown.out.contains("1 decisions") && shown.out.contains("on node "),
        "{shown:?}"
    );
    let json = strategy(&["trial", "--json"]).await.ok();
    let said: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(said["running"]["guardrails"]["cost_permille_max"], 1_100);
    strategy(&["stop", "--reason", "a rehearsal"]).await.ok();
    strategy(&["shadow", "1"]).await.ok();
    let shown = strategy(&["trial"]).await.ok();
    assert!(
        shown.out.contains("in shadow") && shown.out.contains("0 plans differ"),
        "{shown:?}"
    );
    assert!(
        shown.out.contains(", stopped ") && shown.out.contains(": a rehearsal"),
        "{shown:?}"
    );
    node.stop().await;
}
