//! What follows when units are short: which rule speaks, in which words, and what is refused.

use consign_domain::ids::Sku;
use consign_domain::order::{HoldReason, ShortageAction, SplitPolicy};
use consign_sourcing::{
    AfterAction, Candidate, Compiled, Facts, InputLine, Inputs, RULE_VERSION, Strategy, decide,
    explain,
};

fn read(text: &str) -> Strategy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn compiled(text: &str) -> Compiled {
    read(text).compiled(&[]).expect("a sane strategy")
}

/// Two units of one SKU, of which a location 20 km away has so many.
fn inputs(available: u32) -> Inputs {
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 1,
        split: SplitPolicy::Allow,
        lines: vec![InputLine {
            line: 0,
            units: 2,
            parts: vec![(0, 1)],
            only: None,
        }],
        candidates: vec![Candidate {
            ordinal: 0,
            km: 20,
            rate: None,
        }],
        without_stock: Vec::new(),
        available: vec![available],
        excluded: Vec::new(),
        facts: Some(Box::new(Facts::default())),
    }
}

/// A strategy of rules, each with what it says when units are short.
fn rules(says: &[&str]) -> String {
    let rule = |(nth, says): (usize, &&str)| format!("[[rules]]\nname = \"rule {nth}\"\n{says}\n");
    let rules: String = says.iter().enumerate().map(rule).collect();
    format!("name = \"s\"\n{rules}")
}

fn sku(name: &str) -> Sku {
    Sku::new(name).expect("a valid name")
}

#[test]
fn every_word_is_read_and_comes_back() {
    for (text, meant) in [
        ("", AfterAction::AsOrderSays),
        ("when_short = \"as_order_says\"", AfterAction::AsOrderSays),
        ("when_short = \"next_rule\"", AfterAction::NextRule),
        ("when_short = \"backorder\"", AfterAction::Backorder),
        ("when_short = \"cancel\"", AfterAction::Cancel),
        ("when_short = \"park\"", AfterAction::Park),
        (
            "when_short = { hold = \"manual_review\" }",
            AfterAction::Hold(HoldReason::ManualReview),
        ),
    ] {
        let strategy = read(&rules(&[text]));
        assert_eq!(strategy.rules[0].when_short, meant);
        let json = serde_json::to_string(&strategy).expect("plain data");
        let back: Strategy = serde_json::from_str(&json).expect("its own text");
        assert_eq!(back, strategy);
        // A node of the release before reads what says nothing new.
        assert!(
            !json.contains("alert") && !json.contains("restock"),
            "{json}"
        );
    }
}

#[test]
fn what_is_no_word_or_no_sku_is_refused_with_its_place() {
    for says in [
        "when_short = \"give_up\"",
        "when_short = { hold = \"bored\" }",
        "when_short = { hold = 3 }",
        "when_short = { park = \"now\" }",
        "when_short = [\"park\"]",
        "alert = \"loudly\"",
    ] {
        let refused = toml::from_str::<Strategy>(&rules(&[says]));
        let refused = refused.expect_err(says).to_string();
        assert!(refused.contains("line 4"), "{says}: {refused}");
    }
    let restock = |list: &str| format!("{}[restock]\ncommon = {list}\n", rules(&[""]));
    let refused = read(&restock("[\"A\", \"\"]")).compiled(&[]);
    let refused = refused.expect_err("an empty name");
    assert_eq!(refused.place, "restock.common[1]");
    assert!(!refused.reason.is_empty());
    let many = format!("[{}]", "\"A\",".repeat(4_097));
    let refused = read(&restock(&many)).compiled(&[]).expect_err("too many");
    assert_eq!(refused.place, "restock.common");
}

#[test]
fn the_last_rule_tried_says_what_becomes_of_what_is_short() {
    let strategy = compiled(&rules(&[
        "when_short = \"next_rule\"\nalert = true",
        "when_short = \"park\"",
        "when_short = \"cancel\"",
    ]));
    let short = decide(&strategy, &inputs(1));
    let rule = strategy.shortage(&short, [].into_iter());
    assert_eq!(rule.action, ShortageAction::Park);
    assert_eq!(rule.rule, "rule 1");
    assert!(rule.alert, "of any rule that was tried");
    assert_eq!(short.rule, Some(0), "the plan is that of the first");
    let explanation = explain(&strategy, &inputs(1));
    let after = explanation.after_action.expect("units are short");
    assert_eq!(
        after.to_string(),
        "By the rule \"rule 1\", what is short waits until the order is released; staff are told."
    );
    assert_eq!(
        serde_json::to_value(&after).expect("plain data"),
        serde_json::json!({"rule": "rule 1", "action": "park", "alert": true})
    );
    assert_eq!(explain(&strategy, &inputs(2)).after_action, None);

    // Nothing follows the last rule.
    let strategy = compiled(&rules(&["when_short = \"next_rule\""]));
    let short = decide(&strategy, &inputs(1));
    assert!(strategy.shortage(&short, [].into_iter()).is_plain());
}

#[test]
fn only_what_the_order_wants_of_what_is_common_is_told() {
    let text = format!("{}[restock]\ncommon = [\"A\", \"B\"]\n", rules(&[""]));
    let strategy = compiled(&text);
    let short = decide(&strategy, &inputs(0));
    let wanted = [sku("B"), sku("C")];
    let rule = strategy.shortage(&short, wanted.iter());
    assert_eq!(rule.common, [sku("B")].into());
    assert_eq!(rule.action, ShortageAction::AsOrderSays);
    let built_in = Compiled::default();
    let short = decide(&built_in, &inputs(0));
    assert!(built_in.shortage(&short, wanted.iter()).is_plain());
}
