//! Sourcing strategies: drafted, activated, rolled back; what they decide, and what is refused.

use consign_tests::{Node, Shop, file, order, run};
use serde_json::{Value, json};

use crate::CONSIGN;

/// Everything from Leeds, unless an order comes by phone.
fn leeds_first() -> Value {
    json!({
        "name": "leeds first",
        "groups": {"north": ["LEEDS"]},
        "rules": [
            {"name": "by phone", "when": {"channels": ["phone"]}, "costs": {"per_100_km": 100}},
            {"name": "from the north", "filters": {"groups": ["north"]}, "costs": {"split": 500}}
        ]
    })
}

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 50).await;
    node.receive("LEEDS", "A", 50).await;
    node
}

/// Where an order is served from, and the explanation of its one decision.
async fn served(node: &Node, channel: &str) -> (String, Value) {
    let mut asked = order(&[("A", 1, "2.55")]);
    asked["channel"] = json!(channel);
    let placed = node.place(&asked).await;
    let from = placed["lines"][0]["allocations"][0]["location"].as_str();
    let id = placed["id"].as_str().expect("an id");
    let said = node.get(format!("/v1/orders/{id}/explanation"));
    let said = said.expect(200).await.json();
    let decision = said["decisions"][0].clone();
    (from.unwrap_or("nowhere").to_owned(), decision)
}

async fn change(node: &Node, what: &str) -> Value {
    let path = format!("/v1/strategies/{what}");
    node.post(path, &json!({})).expect(200).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_strategy_decides_and_is_named() {
    let mut node = shop().await;
    let (from, decision) = served(&node, "web").await;
    assert_eq!(
        (from.as_str(), &decision["strategy"]),
        ("LONDON", &json!(0))
    );

    let drafted = node.post("/v1/strategies", &leeds_first()).key("draft");
    let drafted = drafted.expect(201).await;
    assert_eq!(drafted.header("location"), Some("/v1/strategies/1"));
    assert_eq!(drafted.json()["active"], false);
    let again = node.post("/v1/strategies", &leeds_first()).key("draft");
    assert_eq!(again.expect(201).await.json()["version"], 1);
    assert_eq!(
        served(&node, "web").await.0,
        "LONDON",
        "a draft decides nothing"
    );

    assert_eq!(change(&node, "1/activate").await["active"], true);
    let (from, decision) = served(&node, "web").await;
    assert_eq!((from.as_str(), &decision["strategy"]), ("LEEDS", &json!(1)));
    let text = decision["text"].as_str().expect("a text");
    assert!(text.contains("from the north"), "{text}");
    assert_eq!(
        served(&node, "phone").await.0,
        "LONDON",
        "another rule is for it"
    );

    // It outlives the process, and old decisions are explained by the version that made them.
    node.kill().await;
    node.restart().await;
    let (from, of_first) = served(&node, "web").await;
    assert_eq!(from, "LEEDS");
    assert_eq!(change(&node, "rollback").await["version"], 0);
    assert_eq!(served(&node, "web").await.0, "LONDON");
    assert_eq!(
        (&of_first["strategy"], &of_first["repeats"]),
        (&json!(1), &json!(true))
    );
    node.post("/v1/strategies/rollback", &json!({}))
        .refused(409, "nothing_to_roll_back")
        .await;
    let all = node.get("/v1/strategies").expect(200).await.json();
    let heads = all["strategies"].as_array().expect("a list");
    let shown = |head: &Value| (head["version"].as_u64(), head["active"].as_bool());
    let shown: Vec<_> = heads.iter().map(shown).collect();
    assert_eq!(shown, [(Some(1), Some(false)), (Some(0), Some(true))]);
    let page = node.get("/v1/strategies?limit=1").expect(200).await.json();
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = node.get(format!("/v1/strategies?cursor={cursor}"));
    let rest = rest.expect(200).await.json();
    assert_eq!(rest["strategies"], json!([heads[1]]));
    let read = node.get("/v1/strategies/1").expect(200).await.json();
    assert_eq!(read["strategy"]["rules"][1]["costs"]["split"], 500);
    node.stop().await;
}

/// A condition of its own words decides, and one that fails on an order stops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_written_as_expressions() {
    let mut node = shop().await;
    let mut strategy = leeds_first();
    strategy["rules"][0]["when"] =
        json!({"expression": "order.customer_group == 'staff' && order.value > 200"});
    node.post("/v1/strategies", &strategy).expect(201).await;
    change(&node, "1/activate").await;
    let (from, decision) = served(&node, "web").await;
    assert_eq!(from, "LEEDS", "the order has no customer group");
    let text = decision["text"].as_str().expect("a text");
    assert!(text.contains("\"by phone\" failed"), "{text}");
    assert_eq!(decision["repeats"], true);
    let failed = &decision["explanation"]["failed"][0];
    assert_eq!(failed["rule"], "by phone");

    let mut staff = order(&[("A", 1, "2.55")]);
    staff["customer"]["group"] = json!("staff");
    let placed = node.place(&staff).await;
    assert_eq!(placed["lines"][0]["allocations"][0]["location"], "LONDON");
    let read = node.get("/v1/strategies/1").expect(200).await.json();
    let when = &read["strategy"]["rules"][0]["when"]["expression"];
    assert_eq!(*when, strategy["rules"][0]["when"]["expression"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_decide_is_refused_with_its_place() {
    let node = shop().await;
    let mut unknown_key = leeds_first();
    unknown_key["rules"][0]["filter"] = json!({});
    let mut unknown_location = leeds_first();
    unknown_location["groups"]["north"] = json!(["LEEDS", "NOWHERE"]);
    let mut unknown_group = leeds_first();
    unknown_group["rules"][1]["filters"]["groups"] = json!(["south"]);
    let mut absurd = leeds_first();
    absurd["rules"][1]["costs"]["split"] = json!(i64::MAX);
    let mut negative = leeds_first();
    negative["rules"][1]["costs"]["split"] = json!(-1);
    let mut misspelt = leeds_first();
    misspelt["rules"][1]["when"] = json!({"expression": "order.chanel == 'web'"});
    let mut endless = leeds_first();
    endless["rules"][1]["when"] = json!({"expression": "(".repeat(1_000)});
    let mut many = leeds_first();
    many["rules"] = json!(vec![leeds_first()["rules"][0].clone(); 1_000]);
    for (wrong, pointer) in [
        (unknown_key, "/rules/0"),
        (unknown_location, "/groups/north"),
        (unknown_group, "/rules/1/filters/groups"),
        (absurd, "/rules/1/costs/split"),
        (negative, "/rules/1/costs/split"),
        (misspelt, "/rules/1/when/expression"),
        (endless, "/rules/1/when/expression"),
        (many, "/rules"),
        (json!({"name": "none", "rules": []}), "/rules"),
    ] {
        let refused = node.post("/v1/strategies", &wrong);
        let refused = refused.refused(422, "validation_failed").await;
        let (at, _) = refused.faults().first().cloned().expect("a fault");
        assert!(at.starts_with(pointer), "{pointer}: {refused}");
    }
    node.post("/v1/strategies/7/activate", &json!({}))
        .refused(404, "strategy_not_found")
        .await;
    node.get("/v1/strategies/x")
        .refused(404, "strategy_not_found")
        .await;
    let stale = node.post("/v1/strategies/0/activate", &json!({}));
    stale.if_match(7).refused(412, "version_mismatch").await;
    assert_eq!(served(&node, "web").await.0, "LONDON", "orders go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn strategies_are_changed_from_the_command_line() {
    let node = shop().await;
    let home = tempfile::tempdir().expect("a directory");
    let text = "name = \"north\"\n[groups]\nnorth = [\"LEEDS\"]\n[[rules]]\nname = \"all\"\nfilters.groups = [\"north\"]\n";
    let good = file(home.path(), "north.toml", text);
    let bad = file(home.path(), "bad.toml", &text.replace("LEEDS", "NOWHERE"));
    let target = node.url();
    let strategy = async |words: &[&str]| {
        let head = ["strategy", "--target", &target];
        run(CONSIGN, head.iter().chain(words).copied()).await
    };
    let refused = strategy(&["draft", bad.to_str().expect("UTF-8")]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("/groups/north"), "{refused:?}");
    let drafted = strategy(&["draft", good.to_str().expect("UTF-8")])
        .await
        .ok();
    assert!(drafted.out.contains("north  drafted"), "{drafted:?}");
    strategy(&["activate", "1"]).await.ok();
    let placed = node.place(&order(&[("A", 1, "2.55")])).await;
    let id = placed["id"].as_str().expect("an id");
    let explained = run(CONSIGN, ["explain", id, "--target", &target])
        .await
        .ok();
    assert!(explained.out.contains("from LEEDS"), "{explained:?}");
    let replayed = run(CONSIGN, ["replay-decision", id, "--target", &target]);
    let replayed = replayed.await.ok();
    assert!(
        replayed
            .out
            .contains("version 1 of the strategy, comes out the same"),
        "{replayed:?}"
    );
    let listed = strategy(&["list"]).await.ok();
    assert!(listed.out.contains("active since"), "{listed:?}");
    strategy(&["rollback"]).await.ok();
    let shown = strategy(&["show", "0"]).await.ok();
    assert!(shown.out.contains("built-in"), "{shown:?}");
}

/// The files that come with Consign can be drafted where there are the locations that they name.
#[tokio::test(flavor = "multi_thread")]
async fn the_strategies_that_come_with_it_serve_orders() {
    let node = shop().await;
    node.define(&[], &["GLASGOW"]).await;
    let target = node.url();
    for (number, name) in [(1, "nearest"), (2, "cheapest"), (3, "store-first")] {
        let file = format!(
            "{}/../../cluster-config/strategies/{name}.toml",
            env!("CARGO_MANIFEST_DIR")
        );
        let number = number.to_string();
        for words in [["draft", &file], ["activate", &number]] {
            let head = ["strategy", "--target", &target];
            run(CONSIGN, head.into_iter().chain(words)).await.ok();
        }
        let (from, decision) = served(&node, "web").await;
        assert!(["LONDON", "LEEDS"].contains(&from.as_str()), "{decision}");
        assert_eq!(decision["strategy"].to_string(), number);
        assert_eq!(decision["repeats"], true, "{decision}");
    }
}
