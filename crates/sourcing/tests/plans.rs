//! Plans against brute force: never more than there is, never a unit lost, never one location too many.

use consign_domain::order::SplitPolicy;
use consign_sourcing::{
    Candidate, Compiled, Explanation, FIRST_RULE_VERSION, Facts, Fate, InputLine, Inputs,
    RULE_VERSION, Reason, Sourced, decide,
};
use proptest::prelude::*;

const SKUS: u32 = 3;

fn source(inputs: &Inputs) -> Sourced {
    decide(&Compiled::default(), inputs).plan
}

fn explain(inputs: &Inputs) -> Explanation {
    consign_sourcing::explain(&Compiled::default(), inputs)
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let line = (
        1_u32..6,
        proptest::collection::vec((0..SKUS, 1_u32..3), 1..3),
        proptest::option::weighted(0.1, 0_u32..5),
    );
    let candidate = (0_u32..4, proptest::option::of(0_i64..3));
    let split = prop_oneof![
        4 => Just(SplitPolicy::Allow),
        1 => Just(SplitPolicy::ShipComplete),
        1 => Just(SplitPolicy::SingleLocation)
    ];
    (
        split,
        proptest::collection::vec(line, 1..4),
        proptest::collection::vec(candidate, 0..6),
        any::<u64>(),
    )
        .prop_map(|(split, lines, candidates, noise)| {
            let lines: Vec<InputLine> = (0..)
                .zip(lines)
                .map(|(line, (units, mut parts, only))| {
                    parts.sort_unstable();
                    parts.dedup_by_key(|part| part.0);
                    InputLine {
                        line,
                        units,
                        parts,
                        only,
                    }
                })
                .collect();
            let width = candidates.len();
            let available = (0..SKUS as usize * width)
                .map(|n| ((noise >> (n * 3 % 61)) & 7) as u32)
                .collect();
            let candidates = (0..)
                .zip(candidates)
                .map(|(ordinal, (km, rate))| Candidate { ordinal, km, rate });
            let excluded = if noise & 1 == 0 { vec![(0, 0)] } else { vec![] };
            Inputs {
                rule_version: RULE_VERSION,
                strategy: 0,
                facts: None,
                split,
                lines,
                candidates: candidates.collect(),
                without_stock: Vec::new(),
                available,
                excluded,
            }
        })
}

fn placed(plan: &Sourced) -> u32 {
    plan.allotments
        .iter()
        .map(|allotment| allotment.units)
        .sum()
}

/// Whether exactly these candidates could serve everything, each line split in any way.
fn could_serve_all(inputs: &Inputs, set: u32) -> bool {
    fn place(inputs: &Inputs, set: u32, at: usize, left: &mut [u32]) -> bool {
        let Some(line) = inputs.lines.get(at) else {
            return true;
        };
        split(inputs, set, at, line.units, 0, left)
    }
    fn split(
        inputs: &Inputs,
        set: u32,
        at: usize,
        open: u32,
        nth: usize,
        left: &mut [u32],
    ) -> bool {
        if open == 0 {
            return place(inputs, set, at + 1, left);
        }
        if nth == inputs.candidates.len() {
            return false;
        }
        let line = &inputs.lines[at];
        let width = inputs.candidates.len();
        let usable = set >> nth & 1 == 1 && inputs.may_serve(line, nth);
        let most = if usable {
            line.parts
                .iter()
                .map(|(sku, per)| left[*sku as usize * width + nth] / per)
                .min()
                .unwrap_or(0)
                .min(open)
        } else {
            0
        };
        (0..=most).rev().any(|units| {
            let take = |left: &mut [u32], sign: i64| {
                for (sku, per) in &line.parts {
                    let cell = &mut left[*sku as usize * width + nth];
                    *cell = u32::try_from(i64::from(*cell) + sign * i64::from(units * per))
                        .expect("in range");
                }
            };
            take(left, -1);
            let works = split(inputs, set, at, open - units, nth + 1, left);
            take(left, 1);
            works
        })
    }
    place(inputs, set, 0, &mut inputs.available.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The built-in strategy keeps to the room that it is told of, and else decides as without.
    #[test]
    fn a_plan_takes_only_what_there_is_room_for(
        inputs in inputs(),
        room in proptest::collection::vec(proptest::option::of(0_u32..8), 6),
    ) {
        let known = inputs.candidates.iter().zip(&room);
        let known = known.filter_map(|(of, room)| Some((of.ordinal, (*room)?)));
        let facts = |room: Vec<(u32, u32)>| Inputs {
            facts: Some(Box::new(Facts { room, ..Facts::default() })),
            ..inputs.clone()
        };
        let bounded = facts(known.clone().collect());
        let plan = source(&bounded);
        for (ordinal, room) in known {
            let own = plan.allotments.iter().filter(|of| of.ordinal == ordinal);
            prop_assert!(own.map(|of| of.units).sum::<u32>() <= room);
        }
        prop_assert!(placed(&plan) <= placed(&source(&inputs)));
        prop_assert_eq!(source(&facts(Vec::new())), source(&inputs));
        let said = explain(&bounded);
        prop_assert_eq!(said.plan, plan);
        let full = |ordinal: u32| bounded.facts.as_ref().is_some_and(|facts| facts.room.contains(&(ordinal, 0)));
        for candidate in said.candidates {
            let left_out = candidate.fate == Fate::Filtered { reason: Reason::NoRoom };
            prop_assert_eq!(left_out, full(candidate.ordinal));
        }
    }

    #[test]
    fn a_plan_takes_only_what_there_is_and_loses_no_unit(inputs in inputs()) {
        let plan = source(&inputs);
        for line in &inputs.lines {
            let got: u32 = plan.allotments.iter().filter(|a| a.line == line.line).map(|a| a.units).sum();
            let short: u32 = plan.short.iter().filter(|(of, _)| *of == line.line).map(|(_, units)| units).sum();
            prop_assert_eq!(got + short, line.units);
        }
        let width = inputs.candidates.len();
        let mut used = vec![0_u32; inputs.available.len()];
        for allotment in &plan.allotments {
            let line = &inputs.lines[allotment.line as usize];
            let nth = allotment.ordinal as usize;
            prop_assert!(inputs.may_serve(line, nth));
            for (sku, per) in &line.parts {
                used[*sku as usize * width + nth] += allotment.units * per;
            }
        }
        prop_assert!(used.iter().zip(&inputs.available).all(|(used, there)| used <= there));
    }

    #[test]
    fn split_policies_hold(inputs in inputs()) {
        let plan = source(&inputs);
        match inputs.split {
            SplitPolicy::Allow => {}
            SplitPolicy::ShipComplete => prop_assert!(plan.short.is_empty() || plan.allotments.is_empty()),
            SplitPolicy::SingleLocation => {
                prop_assert!(plan.short.is_empty() || plan.allotments.is_empty());
                prop_assert!(plan.locations.len() <= 1);
            }
        }
    }

    #[test]
    fn one_location_serves_where_one_can(inputs in inputs()) {
        let one_can = (0..inputs.candidates.len()).any(|nth| could_serve_all(&inputs, 1 << nth));
        let plan = source(&inputs);
        prop_assert_eq!(one_can, plan.short.is_empty() && plan.locations.len() == 1);
    }

    #[test]
    fn all_is_served_by_as_few_locations_as_can_be(inputs in inputs()) {
        let fewest = (0_u32..1 << inputs.candidates.len())
            .filter(|set| could_serve_all(&inputs, *set))
            .map(u32::count_ones)
            .min();
        let plan = source(&inputs);
        // Nothing that somebody could serve is left short, bundles and shared SKUs included.
        if let Some(fewest) = fewest && inputs.split == SplitPolicy::Allow {
            prop_assert!(plan.short.is_empty());
            prop_assert_eq!(plan.locations.len() as u32, fewest);
        }
    }

    #[test]
    fn the_explanation_is_the_decision_again(inputs in inputs()) {
        let explanation = explain(&inputs);
        prop_assert_eq!(&explanation.plan, &source(&inputs));
        prop_assert_eq!(explanation.candidates.len(), inputs.candidates.len());
        let chosen: u32 = explanation.candidates.iter().map(|c| match c.fate {
            Fate::Chosen { units } => units,
            _ => 0,
        }).sum();
        prop_assert_eq!(chosen, placed(&explanation.plan));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The first rule was exact where up to three locations serve lines that share no SKU. Of
    /// several locations that are as good as others, now and then others are taken now.
    #[test]
    fn simple_decisions_are_those_of_the_first_rule(mut inputs in inputs()) {
        for (nth, line) in inputs.lines.iter_mut().enumerate() {
            line.parts = vec![(nth as u32, 1)];
        }
        let now = source(&inputs);
        inputs.rule_version = FIRST_RULE_VERSION;
        let before = explain(&inputs).plan;
        if before.locations.len() == 1 {
            prop_assert_eq!(now, before);
        } else if before.locations.len() <= 3 {
            prop_assert_eq!(goodness(&inputs, &now), goodness(&inputs, &before));
        }
    }
}

/// Units short, locations, kilometres, locations without a rate, and the rates of the others.
fn goodness(inputs: &Inputs, plan: &Sourced) -> (u32, usize, u32, usize, i64) {
    let of = |ordinal: &u32| inputs.candidates[*ordinal as usize];
    let short = plan.short.iter().map(|(_, units)| units).sum();
    let used = || plan.locations.iter().map(of);
    let km = used().map(|candidate| candidate.km).sum();
    let rates: Vec<i64> = used().filter_map(|candidate| candidate.rate).collect();
    let without = plan.locations.len() - rates.len();
    (short, plan.locations.len(), km, without, rates.iter().sum())
}

fn three_shops(available: [u32; 3]) -> Inputs {
    let candidate = |ordinal, km, rate| Candidate {
        ordinal,
        km,
        rate: Some(rate),
    };
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 0,
        facts: None,
        split: SplitPolicy::Allow,
        lines: vec![InputLine {
            line: 0,
            units: 4,
            parts: vec![(0, 1)],
            only: None,
        }],
        candidates: vec![
            candidate(0, 90, 500),
            candidate(1, 10, 500),
            candidate(2, 10, 400),
        ],
        without_stock: Vec::new(),
        available: available.to_vec(),
        excluded: vec![],
    }
}

#[test]
fn nearest_then_cheapest_and_everyone_hears_why() {
    let explanation = explain(&three_shops([4, 4, 4]));
    let fates: Vec<Fate> = explanation
        .candidates
        .iter()
        .map(|candidate| candidate.fate)
        .collect();
    assert_eq!(
        fates,
        [Fate::Farther, Fate::Dearer, Fate::Chosen { units: 4 }]
    );
    assert_eq!(explanation.runner_up.expect("another could").locations, [1]);
}

#[test]
fn a_line_is_split_only_when_nobody_has_all_of_it() {
    assert_eq!(source(&three_shops([4, 3, 0])).locations, [0]);
    let plan = source(&three_shops([3, 3, 0]));
    assert_eq!(
        (
            plan.locations.as_slice(),
            plan.allotments[0].ordinal,
            plan.allotments[0].units
        ),
        (&[0, 1][..], 1, 3)
    );
    let plan = source(&three_shops([1, 1, 1]));
    assert_eq!(
        (plan.locations.len(), plan.short.as_slice()),
        (3, &[(0, 1)][..])
    );
}

#[test]
fn locations_that_had_nothing_are_explained_too() {
    let mut inputs = three_shops([4, 4, 0]);
    for ordinal in [5, 6, 7, 20] {
        inputs.note_without_stock(ordinal);
    }
    assert_eq!(inputs.without_stock, [(5, 3), (20, 1)]);
    let told: Vec<_> = explain(&inputs)
        .candidates
        .iter()
        .map(|candidate| (candidate.ordinal, candidate.km, candidate.fate))
        .filter(|(ordinal, ..)| *ordinal > 2)
        .collect();
    let nothing = |ordinal| (ordinal, None, Fate::NoStock);
    assert_eq!(told, [nothing(5), nothing(6), nothing(7), nothing(20)]);
}
