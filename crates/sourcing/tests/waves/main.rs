//! Waves: no plan breaks what it must keep to, nobody loses by them, and they cost nearly as little as
//! the same model as a mixed-integer program.

mod batch;
#[path = "../instance/mod.rs"]
mod instance;
mod program;

use batch::{Batch, Size};
use consign_domain::time::Timestamp;
use consign_sourcing::{AfterAction, Rule, Wave, WaveOrder, WavePlans, WaveStock, decide, wave};
use instance::{Instance, Random};
use proptest::prelude::*;

/// No more orders and sites than the program can solve.
const SMALL: Size = Size {
    orders: (3, 5),
    sites: (4, 6),
    lines_max: 2,
};
const LARGER: Size = Size {
    orders: (2, 14),
    sites: (2, 8),
    lines_max: 6,
};

/// Units short and money.
fn totals(plans: &WavePlans) -> (u64, i64) {
    (plans.short, plans.cost)
}

/// What one order's plan leaves unserved.
fn short(plans: &WavePlans, order: usize) -> u64 {
    let short = plans.plans[order].decided.plan.short.iter();
    short.map(|(_, units)| u64::from(*units)).sum()
}

/// Small waves against the program: never better than its plans, seldom dearer.
#[test]
fn small_waves_cost_hardly_more_than_the_best() {
    const WAVES: u64 = 200;
    let (mut optimal, mut improved, mut equal, mut gap_ppm) = (0, 0, 0, 0);
    let (mut one_by_one, mut together, mut best) = ((0, 0), (0, 0), (0, 0));
    for seed in 0..WAVES {
        let batch = Batch::of(&mut Random(seed), &SMALL);
        let wave = batch.wave();
        let claims: Vec<u64> = (0..batch.orders.len())
            .map(|order| short(&wave.one_by_one, order))
            .collect();
        let found = program::best(&batch, &claims);
        let told = totals(&wave.together);
        assert!(told >= found, "seed {seed}: {told:?} beats {found:?}");
        assert!(told <= totals(&wave.one_by_one), "seed {seed}");
        assert!(
            wave.bound.is_none_or(|bound| bound <= found.1),
            "seed {seed}"
        );
        optimal += u32::from(told == found);
        improved += u32::from(told < totals(&wave.one_by_one));
        if told.0 == found.0 {
            equal += 1;
            gap_ppm += (told.1 - found.1) * 1_000_000 / found.1.max(1);
        }
        let add = |sum: &mut (u64, i64), more: (u64, i64)| {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        };
        add(&mut one_by_one, totals(&wave.one_by_one));
        add(&mut together, told);
        add(&mut best, found);
    }
    let mean_ppm = gap_ppm / equal;
    eprintln!(
        "{WAVES} waves, (units short, cost): one by one {one_by_one:?}, together {together:?}, \
         best {best:?}; {improved} better than one by one, {optimal} the best, mean gap {mean_ppm} ppm"
    );
    assert!(
        mean_ppm <= 5_000 && together.0 <= best.0 + 2,
        "{mean_ppm} ppm"
    );
}

fn check(batch: &Batch, wave: &Wave) -> Result<(), TestCaseError> {
    for plans in [&wave.together, &wave.one_by_one] {
        batch.check_supply(plans)?;
        for (order, plan) in plans.plans.iter().enumerate() {
            let again = decide(&batch.orders[0].compiled(), &plan.inputs);
            prop_assert_eq!(&again, &plan.decided);
            batch.check_own_supply(order, plan)?;
        }
        let cost = plans.plans.iter().map(|plan| plan.decided.cost);
        prop_assert_eq!(cost.sum::<i64>(), plans.cost);
        let short: u64 = (0..batch.orders.len())
            .map(|order| short(plans, order))
            .sum();
        prop_assert_eq!(short, plans.short);
    }
    prop_assert!(totals(&wave.together) <= totals(&wave.one_by_one));
    if let Some(bound) = wave.bound {
        prop_assert_eq!(wave.together.short, 0);
        prop_assert!(bound <= wave.together.cost);
    }
    // Nobody loses units, nor the rule that it came to.
    for order in 0..batch.orders.len() {
        let claim = |plans: &WavePlans| (short(plans, order), plans.plans[order].decided.rule);
        prop_assert!(claim(&wave.together) <= claim(&wave.one_by_one));
    }
    Ok(())
}

/// Where nobody shares anything, a wave is the engine.
#[test]
fn a_wave_of_one_order_is_its_own_decision() {
    for seed in 0..20 {
        let order = Instance::large(&mut Random(seed));
        let waiting = WaveOrder {
            skus: (0..order.skus() as u32).collect(),
            inputs: order.inputs.clone(),
            priority: 0,
            promise: Timestamp(0),
        };
        let stock = WaveStock {
            locations: order.sites() as u32,
            available: order.inputs.available.clone(),
            room: Vec::new(),
        };
        let sourced = wave(&order.compiled(), &[waiting], &stock);
        assert_eq!(sourced.together.plans[0].decided, order.decided());
        assert_eq!(sourced.together, sourced.one_by_one);
        assert_eq!(sourced.decisions, 2);
    }
}

/// Whatever is not there is nowhere, and nothing is no wave.
#[test]
fn orders_of_unknown_skus_and_locations_get_nothing() {
    let strategy = Instance::ordinary(&mut Random(1)).compiled();
    let order = Instance::ordinary(&mut Random(1));
    let waiting = |skus: Vec<u32>| WaveOrder {
        skus,
        inputs: order.inputs.clone(),
        priority: 0,
        promise: Timestamp(0),
    };
    let stock = WaveStock {
        locations: 1,
        available: vec![0, 9],
        room: vec![(70, 1)],
    };
    let orders = [waiting(Vec::new()), waiting(vec![u32::MAX; 6])];
    let sourced = wave(&strategy, &orders, &stock);
    let wanted: u64 = (0..order.lines())
        .map(|line| u64::from(order.units(line)))
        .sum();
    assert_eq!(totals(&sourced.together), (2 * wanted, 0));
    assert_eq!(totals(&wave(&strategy, &[], &stock).together), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_wave_breaks_what_it_must_keep_to(seed: u64) {
        let batch = Batch::of(&mut Random(seed), &LARGER);
        let wave = batch.wave();
        check(&batch, &wave)?;
        for plans in [&wave.together, &wave.one_by_one] {
            for (order, plan) in plans.plans.iter().enumerate() {
                batch.check_policy(order, &plan.decided)?;
            }
        }
    }

    #[test]
    fn no_wave_breaks_what_it_must_keep_to_where_several_rules_may_decide(seed: u64) {
        let mut batch = Batch::of(&mut Random(seed), &LARGER);
        for order in &mut batch.orders {
            let strategy = &mut order.strategy;
            let some = ["L000".into(), "L001".into()];
            strategy.groups.insert("some".into(), some.into());
            let first = Rule { name: "first".into(), when_short: AfterAction::NextRule, ..strategy.rules[0].clone() };
            strategy.rules.insert(0, first);
            strategy.rules[0].filters.groups = vec!["some".into()];
            strategy.rules[1].costs.handling_order /= 2;
        }
        check(&batch, &batch.wave())?;
    }

    #[test]
    fn one_by_one_is_each_order_with_what_those_before_it_left(seed: u64) {
        let batch = Batch::of(&mut Random(seed), &LARGER);
        let wave = batch.wave();
        prop_assert_eq!(batch.one_by_one(&wave.sequence), wave.one_by_one);
        let rank = |order: &usize| (std::cmp::Reverse(batch.waiting[*order].priority), batch.waiting[*order].promise, *order);
        prop_assert!(wave.sequence.is_sorted_by_key(rank));
    }

    #[test]
    fn the_same_wave_gives_the_same_bytes(seed: u64) {
        let bytes = || {
            let wave = Batch::of(&mut Random(seed), &LARGER).wave();
            let inputs: Vec<_> = wave.together.plans.iter().map(|plan| &plan.inputs).collect();
            let stored = bincode::serde::encode_to_vec(inputs, bincode::config::standard()).expect("plain data");
            (stored, format!("{wave:?}"))
        };
        prop_assert_eq!(bytes(), bytes());
    }
}
