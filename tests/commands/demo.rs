//! The demo: a real week, every line of it accounted for, no law broken.

use consign_tests::run;
use serde_json::{Value, json};

use crate::CONSIGN;

/// A decimal as text or number, in pennies.
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
    let skipped: u64 = match &report["lines_skipped"] {
        Value::Object(reasons) => reasons
            .values()
            .map(|n| n.as_u64().expect("a number"))
            .sum(),
        other => other.as_u64().expect("a number"),
    };
    assert_eq!(
        number("lines_taken") + skipped,
        number("lines_read"),
        "{report}"
    );
    assert!(number("orders") > 100, "{report}");
    assert!(
        number("lines_taken") > number("lines_read") * 9 / 10,
        "nearly all is taken: {report}"
    );
    // The file's total, from its own description.
    let said = report.to_string();
    assert!(said.contains("280766.48"), "{report}");
    if let (Some(taken), Some(skipped)) = (report.get("amount_taken"), report.get("amount_skipped"))
    {
        assert_eq!(pennies(taken) + pennies(skipped), 28_076_648, "{report}");
    }
}
