//! No plan breaks what it must keep to, under any strategy; and the same inputs give the same bytes.

mod instance;

use consign_sourcing::{Compiled, Facts, Fate, Inputs, decide, explain, offers, price};
use instance::{Instance, Random};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_plan_breaks_what_it_must_keep_to(seed: u64, large: bool) {
        let random = &mut Random(seed);
        let instance = if large { Instance::large(random) } else { Instance::ordinary(random) };
        let decided = instance.decided();
        let plan = &decided.plan;
        let (lines, sites) = (instance.lines(), instance.sites());
        let mut units = vec![vec![0_u32; sites]; lines];
        for allotment in &plan.allotments {
            units[allotment.line as usize][allotment.ordinal as usize] += allotment.units;
        }
        let used = |site: usize| units.iter().any(|line| line[site] > 0);
        let shipments: Vec<usize> = (0..sites).filter(|site| used(*site)).collect();
        let named: Vec<usize> = plan.locations.iter().map(|ordinal| *ordinal as usize).collect();
        prop_assert_eq!(&shipments, &named);
        prop_assert!(shipments.len() <= instance.shipments_max() as usize);
        prop_assert!(!instance.whole() || plan.short.is_empty() || plan.allotments.is_empty());
        for (line, given) in units.iter().enumerate() {
            let short = plan.short.iter().filter(|(of, _)| *of as usize == line).map(|(_, units)| units);
            prop_assert_eq!(given.iter().sum::<u32>() + short.sum::<u32>(), instance.units(line));
            let sources = given.iter().filter(|units| **units > 0).count();
            prop_assert!(!instance.by_item() || sources <= 1);
            for (site, units) in given.iter().enumerate() {
                prop_assert!(*units <= instance.could(line, site));
            }
        }
        for site in &shipments {
            let site = *site;
            for sku in 0..instance.skus() {
                let pieces: u32 = (0..lines).map(|line| instance.pieces(line, sku) * units[line][site]).sum();
                prop_assert!(pieces <= instance.stock(sku, site));
            }
            let all: u32 = units.iter().map(|line| line[site]).sum();
            prop_assert!(instance.room(site).is_none_or(|room| all <= room));
            let worth: i64 = (0..lines).map(|line| instance.unit_value(line) * i64::from(units[line][site])).sum();
            prop_assert!(shipments.len() == 1 || worth >= instance.value_min());
        }
        for group in instance.groups() {
            let from = |site: usize, line: &usize| units[*line][site];
            for site in &shipments {
                let whole = group.iter().filter(|line| from(*site, line) == instance.units(**line));
                let some = group.iter().filter(|line| from(*site, line) > 0);
                prop_assert!(some.count() == 0 || whole.count() == group.len());
            }
        }
        prop_assert_eq!(decided.cost, cost(&instance, &units));
        prop_assert!(decided.bound <= decided.cost);
    }

    #[test]
    fn what_is_offered_of_a_line_is_what_each_location_could_give(seed: u64) {
        let instance = Instance::ordinary(&mut Random(seed));
        for line in 0..instance.lines() {
            let offered = offers(&instance.compiled(), &instance.inputs, line);
            let offered: Vec<(usize, u32)> =
                offered.iter().map(|offer| (offer.ordinal as usize, offer.units)).collect();
            let could = (0..instance.sites()).map(|site| (site, instance.could(line, site)));
            let could: Vec<(usize, u32)> = could.filter(|(_, units)| *units > 0).collect();
            prop_assert_eq!(offered, could);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(seed: u64) {
        let instance = Instance::ordinary(&mut Random(seed));
        let stored = bincode::serde::encode_to_vec(&instance.inputs, bincode::config::standard()).expect("plain data");
        let (back, _) = bincode::serde::decode_from_slice(&stored, bincode::config::standard()).expect("its own bytes");
        prop_assert_eq!(&instance.inputs, &back);
        let said = serde_json::to_string(&explain(&instance.compiled(), &instance.inputs)).expect("plain data");
        let again = serde_json::to_string(&explain(&instance.compiled(), &back)).expect("plain data");
        prop_assert_eq!(said, again);
    }

    #[test]
    fn the_explanation_is_the_decision_again(seed: u64) {
        let instance = Instance::ordinary(&mut Random(seed));
        let decided = instance.decided();
        let explanation = explain(&instance.compiled(), &instance.inputs);
        prop_assert_eq!(&explanation.plan, &decided.plan);
        prop_assert_eq!(explanation.cost, Some(decided.cost));
        for candidate in &explanation.candidates {
            let chosen = decided.plan.locations.contains(&candidate.ordinal);
            let told = matches!(candidate.fate, Fate::Chosen { .. });
            prop_assert_eq!(told, chosen);
        }
        if let Some(other) = explanation.runner_up {
            prop_assert_ne!(other.locations, decided.plan.locations);
        }
    }

    #[test]
    fn a_plan_is_worth_what_it_cost(seed: u64) {
        let instance = Instance::ordinary(&mut Random(seed));
        let decided = instance.decided();
        prop_assume!(decided.rule == Some(0));
        let worth = price(&instance.compiled(), &instance.inputs, &decided.plan.allotments).cost;
        prop_assert_eq!(worth, decided.cost);
    }

    /// By anybody's weights, no plan of as many units is cheaper than the one that they made, if that
    /// is proven.
    #[test]
    fn others_plans_are_not_cheaper_by_ones_own_weights(seed: u64) {
        let instance = Instance::ordinary(&mut Random(seed));
        let (own, built_in) = (instance.compiled(), Compiled::default());
        let by_built_in = decide(&built_in, &instance.inputs);
        let by_own = decide(&own, &instance.inputs);
        let short = |plan: &consign_sourcing::Sourced| plan.short.iter().map(|(_, units)| units).sum::<u32>();
        prop_assume!(by_built_in.bound == by_built_in.cost && short(&by_own.plan) == short(&by_built_in.plan));
        prop_assert!(price(&built_in, &instance.inputs, &by_own.plan.allotments).cost >= by_built_in.cost);
    }

    #[test]
    fn what_was_gathered_for_two_serves_each(seed: u64, number: u32) {
        let instance = Instance::ordinary(&mut Random(seed));
        let own = instance.compiled();
        let narrowed = instance.inputs.narrowed(number, own.held_back_max(), true);
        prop_assert_eq!(narrowed.strategy, number);
        prop_assert_eq!(&narrowed.facts, &instance.inputs.facts);
        prop_assert_eq!(decide(&own, &narrowed).plan, decide(&own, &instance.inputs).plan);
        let again = narrowed.narrowed(number, own.held_back_max(), true);
        prop_assert_eq!(&again, &narrowed);
        let built_in = Compiled::default();
        let bare = instance.inputs.narrowed(0, built_in.held_back_max(), false);
        // What locations have room for binds every strategy; nothing else is asked.
        let room = instance.inputs.facts.as_ref().map(|facts| facts.room.clone());
        let room = room.filter(|room| !room.is_empty());
        let facts = room.map(|room| Box::new(Facts { room, ..Facts::default() }));
        prop_assert_eq!(&bare.facts, &facts);
        prop_assert!(no_more_than_needed(&bare));
        let without = Inputs { facts, ..instance.inputs.clone() };
        prop_assert_eq!(decide(&built_in, &bare).plan, decide(&built_in, &without).plan);
    }
}

fn cost(instance: &Instance, units: &[Vec<u32>]) -> i64 {
    let mut cost = -instance.split();
    let mut any = false;
    for site in 0..instance.sites() {
        let own: Vec<u32> = units
            .iter()
            .map(|line| line[site])
            .filter(|units| *units > 0)
            .collect();
        if !own.is_empty() {
            any = true;
            cost += instance.shipment(site) + instance.split();
            cost += instance.per_line(site) * own.len() as i64;
            cost += instance.per_unit(site) * i64::from(own.iter().sum::<u32>());
        }
    }
    if any { cost } else { 0 }
}

/// The built-in strategy holds nothing back, so what is there beyond the need is not kept.
fn no_more_than_needed(inputs: &Inputs) -> bool {
    let skus = inputs.available.len() / inputs.candidates.len();
    (0..skus as u32).all(|sku| {
        let parts = inputs.lines.iter().flat_map(|line| {
            let own = line.parts.iter().filter(move |(of, _)| *of == sku);
            own.map(|(_, per_unit)| line.units * per_unit)
        });
        let need: u32 = parts.sum();
        (0..inputs.candidates.len()).all(|nth| inputs.available_at(sku, nth) <= need)
    })
}

/// No rule is for the order: its plan is weighed by the first one all the same.
#[test]
fn a_plan_has_a_worth_where_no_rule_is_for_its_order() {
    let mut random = Random(1);
    let instance = Instance::ordinary(&mut random);
    let plan = decide(&Compiled::default(), &instance.inputs).plan;
    let strategy: consign_sourcing::Strategy = toml::from_str(
        "name = \"by phone\"\n[[rules]]\nname = \"phone\"\nwhen.channels = [\"phone\"]\ncosts = { rate_permille = 0, handling_order = 7 }\n",
    )
    .expect("a strategy");
    let weigher = strategy.compiled(&[]).expect("it names no location");
    let shipments = plan.locations.len() as i64;
    assert_eq!(
        price(&weigher, &instance.inputs, &plan.allotments).cost,
        7 * shipments
    );
}
