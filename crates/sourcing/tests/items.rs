//! Items go where they can be handled, are taken, and are assigned to: chosen, explained, refused.

use std::collections::BTreeMap;

use compact_str::CompactString;
use consign_domain::order::SplitPolicy;
use consign_sourcing::{
    Candidate, Compiled, Facts, Fate, Filters, InputLine, Inputs, KnownLocation, LineFacts,
    Profile, RULE_VERSION, Reason, RefusedLine, Rule, Strategy, ZoneTable, decide, explain,
};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Generator;

const IDS: [&str; 3] = ["LONDON", "LEEDS", "GLASGOW"];

const COLD: &str = r#"
name = "cold goods"

[groups]
cold-stores = ["LEEDS", "GLASGOW"]
south = ["LONDON"]

[[rules]]
name = "all"
costs = { per_100_km = 100 }

[rules.filters.item_groups]
cold_chain = ["cold-stores"]
"season=summer" = ["south"]

[locations.LONDON]
handles = ["cold_chain", "fragile"]

[locations.LEEDS]
handles = ["cold_chain"]
refuses = ["season=winter"]

[locations.GLASGOW]
handles = ["cold_chain", "fragile"]
"#;

fn compiled(strategy: &Strategy) -> Result<Compiled, (String, String)> {
    let known = |(ordinal, id): (u32, &&str)| KnownLocation {
        id: (*id).into(),
        ordinal,
        zone: ZoneTable::default(),
    };
    let known: Vec<KnownLocation> = (0..).zip(&IDS).map(known).collect();
    let compiled = strategy.compiled(&known);
    compiled.map_err(|error| (error.place.to_string(), error.reason.to_string()))
}

fn words(words: &[&str]) -> Vec<CompactString> {
    words.iter().map(|word| (*word).into()).collect()
}

/// A unit of each of these lines (handling, attributes); everybody has all, London is the nearest.
fn inputs(lines: &[(Vec<CompactString>, Vec<CompactString>)]) -> Inputs {
    let candidate = |(ordinal, km)| Candidate {
        ordinal,
        km,
        rate: Some(395),
    };
    let facts = |(requires, _): &(Vec<CompactString>, _)| LineFacts {
        value: 1_000,
        requires: requires.clone(),
        keep_with: None,
    };
    let facts = Facts {
        lines: lines.iter().map(facts).collect(),
        attributes: lines
            .iter()
            .map(|(_, attributes)| attributes.clone())
            .collect(),
        ..Facts::default()
    };
    let line = |line: u32| InputLine {
        line,
        units: 1,
        parts: vec![(line, 1)],
        only: None,
    };
    let count = u32::try_from(lines.len()).expect("a few");
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 1,
        split: SplitPolicy::Allow,
        lines: (0..count).map(line).collect(),
        candidates: [(0, 1), (1, 270), (2, 560)].map(candidate).to_vec(),
        without_stock: Vec::new(),
        available: vec![9; lines.len() * 3],
        excluded: Vec::new(),
        facts: Some(Box::new(facts)),
    }
}

/// Where one line goes, and why locations were left out.
fn told(handling: &[&str], attributes: &[&str]) -> (Vec<u32>, [Option<Reason>; 3]) {
    let strategy: Strategy = toml::from_str(COLD).expect("it can be read");
    let strategy = compiled(&strategy).expect("it is sane");
    let explanation = explain(&strategy, &inputs(&[(words(handling), words(attributes))]));
    let reason = |nth: usize| match explanation.candidates[nth].fate {
        Fate::Filtered { reason } => Some(reason),
        _ => None,
    };
    (explanation.plan.locations.clone(), [0, 1, 2].map(reason))
}

#[test]
fn an_item_goes_where_it_is_handled_taken_and_assigned_to() {
    let assigned = Some(Reason::ItemAssignedElsewhere);
    let unable = Some(Reason::SpecialHandling);
    let refused = Some(Reason::ItemRefused);
    assert_eq!(told(&[], &["colour=red"]), (vec![0], [None; 3]));
    assert_eq!(
        told(&["cold_chain"], &[]),
        (vec![1], [assigned, None, None])
    );
    let fragile = told(&["cold_chain", "fragile"], &[]);
    assert_eq!(fragile, (vec![2], [assigned, unable, None]));
    let winter = told(&["cold_chain"], &["season=winter"]);
    assert_eq!(winter, (vec![2], [assigned, refused, None]));
    // Nobody is in both groups.
    let both = told(&["cold_chain"], &["season=summer"]);
    assert_eq!(both, (vec![], [assigned, assigned, assigned]));
    let unknown = told(&["hazardous"], &[]);
    assert_eq!(unknown, (vec![], [unable; 3]));
}

/// A location that serves one line and may not serve the other says so.
#[test]
fn lines_that_a_location_could_not_serve_are_named() {
    let strategy: Strategy = toml::from_str(COLD).expect("it can be read");
    let strategy = compiled(&strategy).expect("it is sane");
    let lines = [
        (Vec::new(), Vec::new()),
        (words(&["cold_chain"]), words(&["season=winter"])),
    ];
    let explanation = explain(&strategy, &inputs(&lines));
    // One shipment from Glasgow costs less than two parcels.
    assert_eq!(explanation.plan.locations, [2]);
    let refused = |nth: usize| explanation.candidates[nth].refused_lines.clone();
    let line = |reason| vec![RefusedLine { line: 1, reason }];
    assert_eq!(refused(0), line(Reason::ItemAssignedElsewhere));
    assert_eq!(refused(1), line(Reason::ItemRefused));
    assert_eq!(refused(2), []);
    // Where it may serve none, for several reasons, its abilities are not what is named.
    let lines = [
        (words(&["hazardous"]), Vec::new()),
        (Vec::new(), words(&["season=winter"])),
    ];
    let explanation = explain(&strategy, &inputs(&lines));
    let leeds = explanation.candidates[1].fate;
    let reason = Reason::ItemRefused;
    assert_eq!(leeds, Fate::Filtered { reason });
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let place = |change: &dyn Fn(&mut Strategy)| {
        let mut strategy: Strategy = toml::from_str(COLD).expect("it can be read");
        change(&mut strategy);
        let (place, reason) = compiled(&strategy).expect_err("it is wrong");
        assert!(!reason.is_empty());
        place
    };
    let assign = |item: &str, groups: &[&str]| {
        let (item, groups) = (CompactString::from(item), words(groups));
        place(&|of: &mut Strategy| {
            let items = &mut of.rules[0].filters.item_groups;
            items.insert(item.clone(), groups.clone());
        })
    };
    let at = "rules[0].filters.item_groups";
    assert_eq!(assign("fragile", &["shops"]), format!("{at}.fragile[0]"));
    assert_eq!(assign("fragile", &[]), format!("{at}.fragile"));
    assert_eq!(assign("Fragile", &["south"]), format!("{at}.Fragile"));
    assert_eq!(assign("season=", &["south"]), format!("{at}.season="));
    let refuse = |item: &str, times: usize| {
        let items = vec![CompactString::from(item); times];
        place(&|of: &mut Strategy| {
            let leeds = of.locations.get_mut("LEEDS").expect("it is there");
            leeds.refuses = items.clone();
        })
    };
    assert_eq!(refuse("", 1), "locations.LEEDS.refuses[0]");
    assert_eq!(refuse("=x", 1), "locations.LEEDS.refuses[0]");
    assert_eq!(refuse("fragile", 4_097), "locations.LEEDS.refuses");
}

/// Strategies that do not name items are written as they always were, so that a release that does
/// not know the words reads them.
#[test]
fn words_that_are_not_used_are_not_written() {
    let text = serde_json::to_string(&Strategy::built_in()).expect("plain data");
    assert!(!text.contains("item_groups") && !text.contains("refuses"));
    let profile = serde_json::to_string(&Profile::default()).expect("plain data");
    assert!(!profile.contains("refuses"));
}

const WORDS: [&str; 4] = ["cold_chain", "fragile", "season=summer", "size=xl"];

fn some_words() -> impl Generator<Value = Vec<CompactString>> {
    proptest::sample::subsequence(WORDS.to_vec(), 0..=4).prop_map(|some| words(&some))
}

proptest! {
    /// No plan has an item where it is not handled, not taken, or not assigned to; and of one SKU by
    /// itself that some location may serve, no unit is short.
    #[test]
    fn no_plan_breaks_what_is_said_of_items(
        lines in proptest::collection::vec(some_words(), 1..5),
        handles in proptest::collection::vec(some_words(), 3),
        refuses in proptest::collection::vec(some_words(), 3),
        assigned in some_words(),
        group in proptest::sample::subsequence(IDS.to_vec(), 0..=3),
    ) {
        let handling = |of: &[CompactString]| -> Vec<CompactString> {
            of.iter().filter(|word| !word.contains('=')).cloned().collect()
        };
        let attributes = |of: &[CompactString]| -> Vec<CompactString> {
            of.iter().filter(|word| word.contains('=')).cloned().collect()
        };
        let profile = |nth: usize| Profile {
            handles: handling(&handles[nth]),
            refuses: refuses[nth].clone(),
            ..Profile::default()
        };
        let strategy = Strategy {
            name: "random".into(),
            rules: vec![Rule {
                name: "all".into(),
                filters: Filters {
                    item_groups: assigned.iter().map(|word| (word.clone(), words(&["g"]))).collect(),
                    ..Filters::default()
                },
                ..Rule::default()
            }],
            groups: BTreeMap::from([("g".into(), words(&group))]),
            transit: None,
            restock: consign_sourcing::Restock::default(),
            locations: (0..3).map(|nth| (IDS[nth].into(), profile(nth))).collect(),
        };
        let strategy = compiled(&strategy).expect("it is sane");
        let all: Vec<_> = lines.iter().map(|of| (handling(of), attributes(of))).collect();
        let plan = decide(&strategy, &inputs(&all)).plan;
        let may = |line: u32, ordinal: u32| {
            let (nth, of) = (ordinal as usize, &lines[line as usize]);
            handling(of).iter().all(|word| handles[nth].contains(word))
                && !of.iter().any(|word| refuses[nth].contains(word))
                && (!of.iter().any(|word| assigned.contains(word)) || group.contains(&IDS[nth]))
        };
        for line in 0..all.len() as u32 {
            let served = plan.allotments.iter().find(|of| of.line == line);
            prop_assert_eq!(served.is_some(), (0..3).any(|ordinal| may(line, ordinal)));
            prop_assert!(served.is_none_or(|of| may(line, of.ordinal)));
        }
    }
}
