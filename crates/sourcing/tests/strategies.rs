//! The strategies that come with the product: read, checked, and at work; and what is refused.

use consign_domain::order::SplitPolicy;
use consign_domain::time::Timestamp;
use consign_sourcing::{
    Candidate, Compiled, Explanation, Facts, Fate, InputLine, Inputs, KnownLocation, LineFacts,
    RULE_VERSION, Reason, Strategy, ZoneTable, decide, explain,
};

const IDS: [&str; 3] = ["LONDON", "LEEDS", "GLASGOW"];
/// Wednesday 2011-11-30, ten o'clock in London.
const WEDNESDAY: i64 = 1_322_647_200;

const NEAREST: &str = include_str!("../../../cluster-config/strategies/nearest.toml");
const CHEAPEST: &str = include_str!("../../../cluster-config/strategies/cheapest.toml");
const STORE_FIRST: &str = include_str!("../../../cluster-config/strategies/store-first.toml");

fn read(text: &str) -> Strategy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn known() -> Vec<KnownLocation> {
    let known = |(ordinal, id): (u32, &&str)| KnownLocation {
        id: (*id).into(),
        ordinal,
        zone: ZoneTable(vec![(1_301_187_600, 3_600), (1_319_936_400, 0)]),
    };
    (0..).zip(&IDS).map(known).collect()
}

fn compiled(text: &str) -> Compiled {
    read(text).compiled(&known()).expect("a sane strategy")
}

/// Two units of one SKU to a place 20 km from Leeds.
fn inputs(available: [u32; 3]) -> Inputs {
    let candidate = |(ordinal, km)| Candidate {
        ordinal,
        km,
        rate: Some(395),
    };
    let facts = Facts {
        now: Timestamp(WEDNESDAY * 1_000_000),
        channel: "web".into(),
        customer_group: Some("retail".into()),
        country: "GB".into(),
        service_level: "standard".into(),
        lines: vec![LineFacts {
            value: 5_000,
            ..LineFacts::default()
        }],
        ..Facts::default()
    };
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 0,
        split: SplitPolicy::Allow,
        lines: vec![InputLine {
            line: 0,
            units: 2,
            parts: vec![(0, 1)],
            only: None,
        }],
        candidates: [(0, 270), (1, 20), (2, 140)].map(candidate).to_vec(),
        without_stock: Vec::new(),
        available: available.to_vec(),
        excluded: Vec::new(),
        facts: Some(Box::new(facts)),
    }
}

fn facts(inputs: &mut Inputs) -> &mut Facts {
    inputs.facts.as_mut().expect("they have some")
}

fn reason(explanation: &Explanation, ordinal: usize) -> Option<Reason> {
    match explanation.candidates[ordinal].fate {
        Fate::Filtered { reason } => Some(reason),
        _ => None,
    }
}

#[test]
fn each_is_read_and_comes_back_as_json() {
    for text in [NEAREST, CHEAPEST, STORE_FIRST] {
        let strategy = read(text);
        let json = serde_json::to_string(&strategy).expect("plain data");
        let back: Strategy = serde_json::from_str(&json).expect("its own text");
        assert_eq!(back, strategy);
        let plan = decide(&compiled(text), &inputs([9, 9, 9])).plan;
        assert_eq!(plan.locations.len(), 1);
    }
}

#[test]
fn nearest_is_what_is_built_in() {
    let (file, built_in) = (read(NEAREST), Strategy::built_in());
    assert_eq!(file.rules, built_in.rules);
}

#[test]
fn a_store_serves_first_and_whole() {
    let strategy = compiled(STORE_FIRST);
    let mut asked = inputs([9, 9, 9]);
    // Leeds has to keep one.
    assert_eq!(decide(&strategy, &asked).plan.locations, [1]);
    asked.available[1] = 2;
    let explanation = explain(&strategy, &asked);
    assert_eq!(explanation.plan.locations, [2]);
    assert_eq!(reason(&explanation, 0), Some(Reason::NotInGroup));
    assert!(explanation.rule.starts_with("one store, nearby and open"));
    // Nobody may serve Glasgow's customers but its own; Leeds would split, and the first rule does
    // not allow it.
    facts(&mut asked).customer_group = None;
    let explanation = explain(&strategy, &asked);
    assert_eq!(explanation.plan.locations, [1]);
    assert!(explanation.rule.starts_with("anywhere"));
    assert_eq!(reason(&explanation, 2), Some(Reason::CustomerGroup));
    // On a Sunday no store is open, and between the years Leeds is shut.
    asked.available[1] = 9;
    facts(&mut asked).now = Timestamp((WEDNESDAY - 3 * 86_400) * 1_000_000);
    assert!(explain(&strategy, &asked).rule.starts_with("anywhere"));
    facts(&mut asked).now = Timestamp((WEDNESDAY + 29 * 86_400) * 1_000_000);
    assert_eq!(
        reason(&explain(&strategy, &asked), 1),
        Some(Reason::ClosedToday)
    );
}

#[test]
fn express_leaves_before_the_cut_off_or_falls_to_the_next_rule() {
    let strategy = compiled(CHEAPEST);
    let mut asked = inputs([9, 0, 0]);
    facts(&mut asked).service_level = "express".into();
    assert!(
        explain(&strategy, &asked)
            .rule
            .starts_with("express leaves today")
    );
    // Seven in the evening: the next cut-off is tomorrow at four.
    facts(&mut asked).now = Timestamp((WEDNESDAY + 9 * 3_600) * 1_000_000);
    let explanation = explain(&strategy, &asked);
    assert!(
        explanation.rule.starts_with("cheapest"),
        "{}",
        explanation.rule
    );
    assert_eq!(explanation.plan.locations, [0]);
}

#[test]
fn stock_that_is_held_back_is_not_promised() {
    let strategy = compiled(CHEAPEST);
    // London keeps 2 in any case, and 5 for the marketplace.
    let mut asked = inputs([8, 0, 0]);
    assert_eq!(decide(&strategy, &asked).plan.short, [(0, 1)]);
    facts(&mut asked).channel = "marketplace".into();
    assert!(decide(&strategy, &asked).plan.short.is_empty());
}

#[test]
fn lines_go_only_where_they_can_be_handled_and_there_is_room() {
    let strategy = compiled(CHEAPEST);
    let mut asked = inputs([9, 9, 9]);
    facts(&mut asked).lines[0].requires = vec!["fragile".into()];
    let explanation = explain(&strategy, &asked);
    assert_eq!(explanation.plan.locations, [0]);
    assert_eq!(reason(&explanation, 1), Some(Reason::SpecialHandling));
    facts(&mut asked).lines[0].requires.clear();
    facts(&mut asked).room = vec![(0, 0), (1, 1), (2, 1)];
    let explanation = explain(&strategy, &asked);
    assert_eq!(explanation.plan.locations, [1, 2]);
    assert_eq!(reason(&explanation, 0), Some(Reason::NoRoom));
}

/// What is wrong is refused, with its place.
#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let place = |change: &dyn Fn(&mut Strategy)| {
        let mut strategy = read(STORE_FIRST);
        change(&mut strategy);
        let refused = strategy.compiled(&known()).expect_err("it is wrong");
        assert!(!refused.reason.is_empty());
        refused.place.to_string()
    };
    assert_eq!(place(&|of| of.rules.clear()), "rules");
    assert_eq!(
        place(&|of| of.rules = vec![of.rules[0].clone(); 65]),
        "rules"
    );
    assert_eq!(place(&|of| of.rules[1].name = "".into()), "rules[1].name");
    assert_eq!(
        place(&|of| of.rules[0].filters.groups.push("shops".into())),
        "rules[0].filters.groups[1]"
    );
    assert_eq!(
        place(&|of| of.rules[1].costs.per_100_km = -1),
        "rules[1].costs.per_100_km"
    );
    assert_eq!(
        place(&|of| of.rules[1].costs.split = i64::MAX),
        "rules[1].costs.split"
    );
    assert_eq!(
        place(&|of| of.rules[0].split.shipments_max = Some(0)),
        "rules[0].split.shipments_max"
    );
    assert_eq!(
        place(&|of| {
            of.rules[0].when.value_min = Some(2);
            of.rules[0].when.value_max = Some(1);
        }),
        "rules[0].when.value_min"
    );
    assert_eq!(
        place(&|of| _ = of.locations.insert("PARIS".into(), Default::default())),
        "locations.PARIS"
    );
    assert_eq!(
        place(&|of| of
            .groups
            .get_mut("stores")
            .expect("it is there")
            .push("PARIS".into())),
        "groups.stores[2]"
    );
    assert_eq!(
        place(&|of| {
            let leeds = of.locations.get_mut("LEEDS").expect("it is there");
            let calendar = leeds.calendar.as_mut().expect("it has one");
            calendar.closes = calendar.opens;
        }),
        "locations.LEEDS.calendar.closes"
    );
}

#[test]
fn keys_that_nobody_knows_are_refused() {
    for text in [
        "name = 'x'\nrules = []\ncolour = 'red'",
        "name = 'x'\n[[rules]]\nname = 'y'\nscript = 'rm'",
        "name = 'x'\n[[rules]]\nname = 'y'\n[rules.costs]\nper_mile = 3",
        "name = 'x'\n[[rules]]\nname = 'y'\n[rules.costs]\nsplit = 1.5",
        "name = 'x'\n[[rules]]\nname = 'y'\nwhen_short = 'give_up'",
        "name = 'x'\nrules = []\n[locations.L]\nclosures = [{ from = '2011-02-29', until = '2011-03-01' }]",
    ] {
        assert!(toml::from_str::<Strategy>(text).is_err(), "{text}");
    }
}
