//! Conditions written as expressions: what they hold of, what is refused before it decides, and what
//! becomes of an order on which one fails.

use consign_domain::order::{ORDER_LINES_MAX, SplitPolicy};
use consign_sourcing::{
    Candidate, Compiled, Explanation, Facts, InputLine, Inputs, KnownLocation, LineFacts, Profile,
    RULE_VERSION, Rule, Strategy, StrategyError, ZoneTable, decide, explain,
};
use proptest::prelude::*;

/// One rule for whom the condition holds, another for everybody else.
fn strategy(expression: &str) -> Strategy {
    let mut meant = Rule {
        name: "meant".into(),
        ..Rule::default()
    };
    meant.when.expression = Some(expression.into());
    let others = Rule {
        name: "others".into(),
        ..Rule::default()
    };
    let handles = Profile {
        handles: vec!["fragile".into()],
        ..Profile::default()
    };
    Strategy {
        name: "two rules".into(),
        rules: vec![meant, others],
        locations: [("LEEDS".into(), handles)].into(),
        ..Strategy::built_in()
    }
}

fn check(strategy: &Strategy) -> Result<Compiled, StrategyError> {
    let leeds = KnownLocation {
        id: "LEEDS".into(),
        ordinal: 0,
        zone: ZoneTable::default(),
    };
    strategy.compiled(&[leeds])
}

fn compiled(expression: &str) -> Compiled {
    let compiled = check(&strategy(expression));
    compiled.unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn refused(expression: &str) -> StrategyError {
    let compiled = check(&strategy(expression));
    compiled
        .err()
        .unwrap_or_else(|| panic!("{expression} is taken"))
}

/// A gift from the web to Norway of lines with these values.
fn inputs(values: &[i64]) -> Inputs {
    let line = |value: &i64| LineFacts {
        value: *value,
        requires: vec!["fragile".into()],
        keep_with: None,
    };
    let input = |(line, _)| InputLine {
        line,
        units: 1,
        parts: vec![(0, 1)],
        only: None,
    };
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 1,
        split: SplitPolicy::Allow,
        lines: (0_u32..).zip(values).map(input).collect(),
        candidates: vec![Candidate {
            ordinal: 0,
            km: 10,
            rate: None,
        }],
        without_stock: Vec::new(),
        available: vec![u32::MAX],
        excluded: Vec::new(),
        facts: Some(Box::new(Facts {
            channel: "web".into(),
            order_type: Some("gift".into()),
            country: "NO".into(),
            service_level: "standard".into(),
            lines: values.iter().map(line).collect(),
            attributes: vec![vec!["season=summer".into()]],
            ..Facts::default()
        })),
    }
}

fn explained(expression: &str, values: &[i64]) -> Explanation {
    explain(&compiled(expression), &inputs(values))
}

#[test]
fn a_rule_is_for_whom_its_condition_holds() {
    for (expression, rule) in [
        ("true", "meant"),
        (
            "order.channel == 'web' && order.country in ['NO', 'SE']",
            "meant",
        ),
        ("order.value > 10000", "others"),
        ("order.value >= 3000 && order.value <= 3000", "meant"),
        (
            "order.type.startsWith('gi') && size(order.lines) == 2",
            "meant",
        ),
        ("order.lines.exists(line, line.value > 1500)", "meant"),
        ("order.lines.all(line, line.value > 1500)", "others"),
        (
            "order.lines.exists_one(line, 'fragile' in line.requires && line.value == 2000)",
            "meant",
        ),
        (
            "['NO', 'SE'].exists(country, country == order.country)",
            "meant",
        ),
        (
            "order.lines[0].value * 2 == order.value - order.lines[0].value",
            "meant",
        ),
        (
            "order.lines.exists_one(line, 'season=summer' in line.attributes)",
            "meant",
        ),
        ("size(order.lines[1].attributes) > 0", "others"),
        (
            "has(order.customer_group) && order.customer_group == 'staff'",
            "others",
        ),
        (
            "has(order.customer_group) ? order.customer_group == 'staff' : order.type == 'gift'",
            "meant",
        ),
    ] {
        let explanation = explained(expression, &[1_000, 2_000]);
        assert_eq!(explanation.rule, rule, "{expression}");
        assert_eq!(explanation.failed, [], "{expression}");
    }
}

#[test]
fn what_could_not_decide_is_refused_with_place_and_reason() {
    for (expression, reason) in [
        ("", "line 1"),
        ("order.value >", "line 1"),
        ("order.value\n  == 'x' y", "line 2"),
        ("order.value", "int and not a bool"),
        (
            "order.value == 1 || order.chanel == 'web'",
            "an order has no \"chanel\"",
        ),
        ("orders.value > 1", "there is no \"orders\""),
        ("order.channel > 1", "no matching overload"),
        (
            "order.lines.exists(line, line.weight > 1)",
            "a line has no \"weight\"",
        ),
        (
            "order.lines.map(line, line.value) == []",
            "`map` and `filter` build lists",
        ),
        (
            "order.lines.filter(line, true) == []",
            "`map` and `filter` build lists",
        ),
        ("{'a': 1} == {'a': 1}", "makes a map"),
        ("order.channel.matches('(a+)+$')", "no function \"matches\""),
        (
            "duration('1h') == duration('60m')",
            "no function \"duration\"",
        ),
        (
            "order.lines.all(a, order.lines.all(b, a.value == b.value))",
            "a loop within a loop",
        ),
        (
            "order.channel.all(letter, letter == 'a')",
            "a loop goes over",
        ),
        ("order.lines.all(line, order.lines == order.lines)", "steps"),
        (
            "order.lines.all(l, l.value + l.value + l.value + l.value + l.value + l.value + l.value \
             + l.value + l.value + l.value + l.value + l.value + l.value + l.value + l.value > 1)",
            "steps",
        ),
    ] {
        let error = refused(expression);
        assert_eq!(error.place, "rules[0].when.expression", "{expression}");
        assert!(
            error.reason.contains(reason),
            "{expression}: {}",
            error.reason
        );
    }
    let long = format!("order.channel == '{}'", "a".repeat(2_000));
    assert!(refused(&long).reason.contains("bytes"), "{long}");
    let mut many = strategy("order.lines.all(line, line.value > 1)");
    let rule = many.rules[0].clone();
    many.rules = vec![rule; 64];
    let error = check(&many).expect_err("all of them are too many");
    assert!(error.reason.contains("steps together"), "{error}");
}

/// Threads of a server have two megabytes of stack; an unoptimised parser needs much for each level.
#[test]
fn deep_nesting_is_refused_on_a_thread_of_ordinary_size() {
    const STACK_BYTES: usize = 1 << 20;
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!", ""),
        ("-", ""),
        ("true ? true : ", ""),
        ("order.lines[", "]"),
    ] {
        for depth in [8, 40, 300] {
            let text = format!("{}true{}", open.repeat(depth), close.repeat(depth));
            let checked = std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn(move || check(&strategy(&text)).err())
                .expect("a thread");
            // Taken or refused: the thread lives. Of signs many are one or none.
            let refused = checked.join().expect("no overflow");
            let is_deep = depth > 8 && open != "!" && open != "-";
            assert!(!is_deep || refused.is_some(), "{open} {depth} deep");
        }
    }
}

/// The rule is not for the order, the next one is, and whoever asks hears why.
#[test]
fn an_order_on_which_a_condition_fails_goes_on() {
    for (expression, reason) in [
        ("order.customer_group == 'staff'", "customer_group"),
        ("100 / (order.value - 3000) > 1", "zero"),
        ("100 % (order.value - 3000) > 1", "zero"),
        ("order.value * 9223372036854775807 > 1", "verflow"),
        ("order.lines[7].value > 1", "out of bounds"),
    ] {
        let explanation = explained(expression, &[1_000, 2_000]);
        assert_eq!(explanation.rule, "others", "{expression}");
        assert_eq!(explanation.plan.short, [], "{expression}");
        let [failed] = &explanation.failed[..] else {
            panic!("{expression}: {:?}", explanation.failed);
        };
        assert_eq!(failed.rule, "meant");
        assert!(
            failed.reason.contains(reason),
            "{expression}: {}",
            failed.reason
        );
    }
}

#[test]
fn the_largest_order_is_decided() {
    let values = vec![5; ORDER_LINES_MAX];
    let explanation = explained("order.lines.all(line, line.value == 5)", &values);
    assert_eq!(explanation.rule, "meant");
}

proptest! {
    /// What is taken never stops an order, and says the same each time.
    #[test]
    fn whatever_is_written_is_refused_or_decides(text in "[ -~]{0,40}", values in prop::collection::vec(0_i64..5_000, 1..5)) {
        if let Ok(strategy) = check(&strategy(&text)) {
            let inputs = inputs(&values);
            prop_assert_eq!(decide(&strategy, &inputs), decide(&strategy, &inputs));
        }
    }

    /// Mostly expressions, of what orders have and may be called.
    #[test]
    fn whatever_is_put_together_is_refused_or_decides(
        parts in prop::collection::vec(prop::sample::select(&[
            "order", ".value", ".lines", ".channel", ".type", "[0]", "[1]", ".exists(l, ", ".all(l, ", "l.value", ")", "(",
            " == ", " > ", " + ", " / ", " && ", " || ", "!", "-", "1", "0", "'web'", "true", "size(", " in ", " ? ", " : ",
            "has(", "9223372036854775807",
        ][..]), 1..14),
        values in prop::collection::vec(0_i64..5_000, 1..5),
    ) {
        if let Ok(strategy) = check(&strategy(&parts.concat())) {
            let inputs = inputs(&values);
            let (once, again) = (explain(&strategy, &inputs), explain(&strategy, &inputs));
            prop_assert_eq!(&once, &again);
            prop_assert!(once.rule == "meant" || once.rule == "others");
        }
    }
}
