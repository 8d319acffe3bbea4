//! What if: a live strategy, replayed, gives what was recorded, order for order; another one gives what
//! its rules say, with stock carried forward.

use std::collections::BTreeMap;

use consign_tests::{Node, Ran, Shop, eventually, file, order, run};
use serde_json::{Value, json};

use crate::CONSIGN;

const LEEDS_FIRST: &str = r#"
name = "leeds first"
[groups]
north = ["LEEDS"]
[[rules]]
name = "small ones from the north"
when.lines_max = 1
filters.groups = ["north"]
when_short = "next_rule"
[rules.costs]
split = 300
[[rules]]
name = "else from anywhere"
[rules.costs]
split = 300
per_100_km = 50
handling_order = 120
[locations.GLASGOW]
safety_stock = 1
"#;

const GLASGOW_ONLY: &str = r#"
name = "glasgow only"
[groups]
far = ["GLASGOW"]
[[rules]]
name = "all from Glasgow"
filters.groups = ["far"]
costs.handling_order = 200
"#;

async fn whatif(arguments: &[&str]) -> Ran {
    let asked = [&["whatif", "--json"], arguments].concat();
    run(CONSIGN, asked).await
}

/// A shop at work: orders that split, that wait and are served later, that are cancelled, rejected and
/// displaced. Gives the ids of its orders.
async fn busy_shop(node: &Node, home: &std::path::Path) -> Vec<String> {
    node.define(&["A", "B", "C"], &["LONDON", "LEEDS", "GLASGOW"])
        .await;
    for (location, units) in [("LONDON", 9), ("LEEDS", 6), ("GLASGOW", 12)] {
        for sku in ["A", "B"] {
            node.receive(location, sku, units).await;
        }
    }
    node.receive("GLASGOW", "C", 4).await;
    let live = file(home, "live.toml", LEEDS_FIRST);
    let live = live.to_str().expect("UTF-8");
    let url = node.url();
    for action in [["draft", live], ["activate", "1"]] {
        let told = [&["strategy", "--target", &url], &action[..]].concat();
        run(CONSIGN, told).await.ok();
    }
    let mut ids = Vec::new();
    for nth in 0..16_u32 {
        let lines: &[(&str, u32, &str)] = match nth % 4 {
            0 => &[("A", 1, "2.00")],
            1 => &[("A", 2, "2.00"), ("B", 3, "1.00")],
            2 => &[("C", 1, "9.00"), ("B", 1, "1.00")],
            _ => &[("B", 2, "1.00"), ("A", 2, "2.00"), ("C", 1, "9.00")],
        };
        let mut asked = order(lines);
        if nth == 7 {
            asked["split"] = json!("ship_complete");
        }
        let placed = node.place(&asked).await;
        ids.push(placed["id"].as_str().expect("an id").to_owned());
    }
    let settled = |order: &Value| order["status"] != "sourcing" && order["status"] != "placed";
    for id in &ids {
        node.order_when(id, "settled", settled).await;
    }
    cancel_reject_and_count(node, &ids).await;
    for (location, sku) in [("LEEDS", "C"), ("LONDON", "A"), ("GLASGOW", "B")] {
        node.receive(location, sku, 3).await;
    }
    for id in &ids {
        node.order_when(id, "settled", settled).await;
    }
    ids
}

async fn cancel_reject_and_count(node: &Node, ids: &[String]) {
    let cancelled = format!("/v1/orders/{}/cancel", ids[1]);
    node.post(cancelled, &json!({"reason": "customer"}))
        .expect(200)
        .await;
    let of = node.order(&ids[0]).await;
    let work = of["fulfillment_orders"][0]["id"].as_str().expect("an id");
    node.work(work, "reject", &json!({"reason": "damaged"}))
        .await;
    node.order_when(&ids[0], "served elsewhere", |order| {
        order["lines"][0]["allocations"]
            .as_array()
            .is_some_and(|all| all.iter().any(|of| of["location"] != "LEEDS"))
    })
    .await;
    let count = json!({"location": "LONDON", "sku": "B", "counted": 2});
    node.post("/v1/inventory/counts", &count).expect(200).await;
}

/// Units by location over all orders, recounted from the orders themselves.
async fn served(node: &Node, ids: &[String]) -> BTreeMap<String, (u64, u64)> {
    let mut loads: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for id in ids {
        let order = node.order(id).await;
        let mut own: BTreeMap<String, u64> = BTreeMap::new();
        for line in order["lines"].as_array().expect("lines") {
            for of in line["allocations"].as_array().into_iter().flatten() {
                let location = of["location"].as_str().expect("a location").to_owned();
                *own.entry(location).or_default() += of["quantity"].as_u64().expect("units");
            }
        }
        for (location, units) in own.into_iter().filter(|(_, units)| *units > 0) {
            let load = loads.entry(location).or_default();
            *load = (load.0 + 1, load.1 + units);
        }
    }
    loads
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_strategy_gives_what_was_recorded() {
    let mut node = Node::start(CONSIGN).await;
    let home = tempfile::tempdir().expect("a directory");
    let ids = busy_shop(&node, home.path()).await;
    let url = node.url();
    let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let (live, kept, chart) = (path("live.toml"), path("kept.jsonl.gz"), path("chart.svg"));
    let far = file(home.path(), "far.toml", GLASGOW_ONLY);
    let far = far.to_str().expect("UTF-8");
    let asked = ["--target", &url, "--strategy", &live, "--strategy", far];
    let each = path("each.jsonl");
    let more = ["--save", &kept, "--chart", &chart, "--each-order", &each];
    // Who waits is woken a little after stock came in: what is compared must stand still meanwhile.
    let (said, stands) = eventually("orders stand still", || async {
        let before = served(&node, &ids).await;
        let said = whatif(&[&asked[..], &more].concat()).await.ok().json();
        let after = served(&node, &ids).await;
        (before == after).then_some((said, after))
    })
    .await;
    let [as_it_was, glasgow] = said["reports"].as_array().expect("reports").as_slice() else {
        panic!("{said}");
    };

    assert_eq!(as_it_was["orders"], 16);
    assert_eq!(as_it_was["orders_changed"], 0, "{as_it_was:#}");
    assert_eq!(as_it_was["recorded"], as_it_was["draft"]);
    assert_eq!(as_it_was["moved"], json!([]));
    let loads = as_it_was["locations"].as_array().expect("loads").iter();
    let loads: BTreeMap<String, (u64, u64)> = loads
        .map(|load| {
            let figure = |name: &str| load[name].as_u64().expect("a figure");
            assert_eq!(figure("units_recorded"), figure("units_draft"));
            let location = load["location"].as_str().expect("a location").to_owned();
            (
                location,
                (figure("shipments_recorded"), figure("units_recorded")),
            )
        })
        .collect();
    assert_eq!(loads, stands, "recounted from the orders");

    // Glasgow had 12 and 12 and 4, and 3 of B came in; it gives no more, and nobody else gives any.
    let loads = glasgow["locations"].as_array().expect("loads").iter();
    for load in loads {
        let units = load["units_draft"].as_u64().expect("a figure");
        match load["location"].as_str() {
            Some("GLASGOW") => assert!((1..=31).contains(&units), "{load}"),
            _ => assert_eq!(units, 0, "{load}"),
        }
    }
    assert!(glasgow["draft"]["units_waiting"].as_u64() > Some(0));
    assert_eq!(glasgow["draft"]["split_orders"], 0);
    assert_eq!(
        glasgow["recorded"]["units_served"],
        as_it_was["recorded"]["units_served"]
    );
    let drawn = std::fs::read_to_string(&chart).expect("a chart");
    assert!(drawn.starts_with("<svg") && drawn.contains("glasgow only"));

    let each = std::fs::read_to_string(&each).expect("each order");
    let each: Vec<Value> = each
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(each.len(), 32);
    for order in each.iter().filter(|of| of["strategy"] == "leeds first") {
        assert!(
            order["same"] == true && order["recorded"] == order["draft"],
            "{order}"
        );
    }

    // What was kept says the same when the node is gone.
    node.stop().await;
    let again = ["--orders", &kept, "--strategy", "1", "--strategy", far];
    let again = whatif(&again).await.ok().json();
    assert_eq!(again["reports"], said["reports"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    node.place(&order(&[("A", 1, "1.00")])).await;
    let url = node.url();
    let home = tempfile::tempdir().expect("a directory");
    let kept = home.path().join("kept.jsonl");
    let kept_path = kept.to_str().expect("UTF-8");
    let all = [
        "--target",
        &url,
        "--strategy",
        "built-in",
        "--save",
        kept_path,
    ];
    let said = whatif(&all).await.ok().json();
    assert_eq!(said["reports"][0]["orders"], 1);
    // A time in which nothing was ordered.
    let before = [
        "--target",
        &url,
        "--strategy",
        "built-in",
        "--orders",
        "..2020-01-01",
    ];
    let said = whatif(&before).await.ok().json();
    assert_eq!(said["reports"][0]["orders"], 0);

    let refused = async |arguments: &[&str], words: &str| {
        let ran = whatif(arguments).await;
        assert!(ran.code != 0 && ran.err.contains(words), "{ran:?}");
    };
    let far = file(home.path(), "far.toml", GLASGOW_ONLY);
    let far = far.to_str().expect("UTF-8");
    refused(
        &["--orders", kept_path, "--strategy", far],
        "there is no location \"GLASGOW\"",
    )
    .await;
    refused(&["--orders", kept_path, "--strategy", "7"], "no version 7").await;
    refused(
        &["--orders", "nowhere.jsonl", "--strategy", "0"],
        "cannot read nowhere.jsonl",
    )
    .await;
    let turned = [
        "--target",
        &url,
        "--strategy",
        "0",
        "--orders",
        "2026-02-01..2026-01-01",
    ];
    refused(&turned, "`until`: a time after `since`").await;
    let text = std::fs::read_to_string(&kept).expect("a recording");
    let cut: Vec<&str> = text.lines().take(3).collect();
    let cut = file(home.path(), "cut.jsonl", &cut.join("\n"));
    let cut = cut.to_str().expect("UTF-8");
    refused(&["--orders", cut, "--strategy", "0"], "it was cut off").await;
    let other = text.replacen("\"format\":1", "\"format\":9", 1);
    let other = file(home.path(), "other.jsonl", &other);
    let other = other.to_str().expect("UTF-8");
    refused(&["--orders", other, "--strategy", "0"], "its format is 9").await;
    let noise = file(home.path(), "noise.jsonl", "{\"head\":7}\n");
    let noise = noise.to_str().expect("UTF-8");
    refused(&["--orders", noise, "--strategy", "0"], "line 1 of").await;
    node.stop().await;
}

const LONDON_FIRST: &str = r#"
name = "london first"
[[rules]]
name = "from anywhere"
[rules.costs]
per_100_km = 100
split = 5
"#;

/// London may take on four units a day. A draft that sends it less sends it no more than that either, and
/// where the draft decides as the live strategy did, it is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn capacity_is_carried_forward() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS", "GLASGOW"]).await;
    for location in ["LONDON", "LEEDS", "GLASGOW"] {
        node.receive(location, "A", 100).await;
    }
    let limits = json!({"units_per_day": 4});
    node.put("/v1/locations/LONDON/capacity", &limits)
        .send()
        .await;
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = file(home.path(), name, text);
        path.to_str().expect("UTF-8").to_owned()
    };
    let (far, near) = (
        path("far.toml", GLASGOW_ONLY),
        path("near.toml", LONDON_FIRST),
    );
    let url = node.url();
    for action in [["draft", &far], ["activate", "1"]] {
        let told = [&["strategy", "--target", &url], &action[..]].concat();
        run(CONSIGN, told).await.ok();
    }
    // Two by the one strategy, four by the other.
    for nth in 0..6 {
        if nth == 2 {
            let told = ["strategy", "--target", &url, "activate", "0"];
            run(CONSIGN, told).await.ok();
        }
        node.place(&order(&[("A", 1, "2.00")])).await;
    }
    let asked = [
        "--target",
        &url,
        "--strategy",
        "built-in",
        "--strategy",
        &near,
    ];
    let said = whatif(&asked).await.ok().json();
    let reports = said["reports"].as_array().expect("reports");
    let units = |report: &Value, location: &str, of: &str| {
        let loads = report["locations"].as_array().expect("loads").iter();
        let load = loads.clone().find(|load| load["location"] == location);
        load.map_or(0, |load| load[of].as_u64().expect("a figure"))
    };
    for report in reports {
        let recorded = |location| units(report, location, "units_recorded");
        assert_eq!(
            (recorded("LONDON"), recorded("GLASGOW")),
            (4, 2),
            "{report:#}"
        );
        // Two that went to Glasgow would have filled London for the last two: they go to Leeds.
        let draft = |location| units(report, location, "units_draft");
        assert_eq!(
            (draft("LONDON"), draft("LEEDS"), draft("GLASGOW")),
            (4, 2, 0),
            "{report:#}"
        );
    }
    node.stop().await;
}

/// A draft that gives what is short up, where the live strategy lets it wait, is another one although
/// its plans are the same; and one that parks leaves it waiting when stock comes in.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_what_is_short_is_the_drafts_affair() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1).await;
    let waits = node.place(&order(&[("A", 3, "2.00")])).await;
    node.receive("LONDON", "A", 2).await;
    let id = waits["id"].as_str().expect("an id");
    node.order_when(id, "served", |order| order["status"] == "allocated")
        .await;
    let home = tempfile::tempdir().expect("a directory");
    let rule = |action: &str| {
        let text =
            format!("name = \"{action}\"\n[[rules]]\nname = \"all\"\nwhen_short = \"{action}\"\n");
        let path = file(home.path(), action, &text);
        path.to_str().expect("UTF-8").to_owned()
    };
    let drafts = [rule("cancel"), rule("park"), rule("backorder")];
    let mut asked = vec!["--target".to_owned(), node.url()];
    for draft in drafts {
        asked.extend(["--strategy".to_owned(), draft]);
    }
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let said = whatif(&asked).await.ok().json();
    let figures = |nth: usize| {
        let report = &said["reports"][nth];
        let of = |name: &str| report["draft"][name].as_u64().expect("a figure");
        (
            report["orders_changed"].as_u64(),
            of("units_served"),
            of("units_waiting"),
        )
    };
    assert_eq!(figures(0), (Some(1), 1, 0), "given up: {said:#}");
    assert_eq!(figures(1), (Some(1), 1, 2), "parked: {said:#}");
    assert_eq!(figures(2), (Some(0), 3, 0), "as it was: {said:#}");
    node.stop().await;
}
