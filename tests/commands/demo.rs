//! The demo: a real week, every line of it accounted for, no law broken.

use consign_tests::run;
use serde_json::{Value, json};

use crate::CONSIGN;

/// A decimal in pennies.
fn pennies(value: &Value) -> i64 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{part:0<2}")
        .parse()
        .unwrap_or_else(|_| panic!("no amount: {text}"))
}

#[tokio::test]
async fn the_week_is_replayed_and_every_line_accounted_for() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let arguments = [
        "demo",
        "--exit",
        "--json",
        "--port",
        "0",
        "--data",
        data.to_str().expect("UTF-8"),
    ];
    let report = run(CONSIGN, arguments).await.ok().json();
    assert_eq!(report["laws_broken"], json!([]), "{report}");
    let number = |name: &str| {
        report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {report}"))
    };
    // Each kind and reason says how many lines and how much money: together they are the whole file.
    let sum = |name: &str| {
        let kinds = report[name]
            .as_object()
            .unwrap_or_else(|| panic!("no {name}: {report}"));
        kinds.values().fold((0, 0), |(lines, money), kind| {
            (
                lines + kind["lines"].as_u64().expect("a number of lines"),
                money + pennies(&kind["amount"]),
            )
        })
    };
    let (taken, taken_money) = sum("lines_taken_as");
    let by_reason = |name: &str| {
        let reasons = report[name].as_object().cloned();
        reasons.unwrap_or_else(|| panic!("no {name}: {report}"))
    };
    let lines_of = |lines: &Value| lines.as_u64().expect("a number of lines");
    let skipped: u64 = by_reason("lines_skipped").values().map(lines_of).sum();
    let skipped_money: i64 = by_reason("amounts_skipped").values().map(pennies).sum();
    assert_eq!(
        (taken, taken + skipped),
        (number("lines_taken"), number("lines_read")),
        "{report}"
    );
    assert_eq!(
        number("lines_read"),
        16_985,
        "the week has so many: {report}"
    );
    assert_eq!(
        taken_money + skipped_money,
        28_076_648,
        "£280,766.48: {report}"
    );
    assert_eq!(pennies(&report["money"]["taken"]), taken_money, "{report}");
    assert_eq!(
        pennies(&report["money"]["skipped"]),
        skipped_money,
        "{report}"
    );
    // What the demo is for really happens.
    for happens in [
        "split_orders",
        "backordered_orders",
        "backorders_released_units",
        "short_picks",
        "cancellations",
        "returns",
        "shipments",
    ] {
        assert!(number(happens) > 0, "{happens}: {report}");
    }
    assert_eq!(number("orders_refused"), 0, "{report}");
    let by_status = report["orders_by_status"].as_object().expect("statuses");
    assert_eq!(
        by_status.values().filter_map(Value::as_u64).sum::<u64>(),
        number("orders"),
        "{report}"
    );
}
