//! What could be had, before anybody orders: what each location may give of a line.

use crate::engine::{Trial, facts, rules_for};
use crate::inputs::Inputs;
use crate::strategy::{AfterAction, Compiled, Order};

/// What a location may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The location's ordinal.
    pub ordinal: u32,
    /// Kilometres to the destination.
    pub km: u32,
    /// Units of the line, at least 1 and at most those that it asks for.
    pub units: u32,
}

/// Who may give something of the `at`-th line, were it the only one, by rising ordinal. Of the rules
/// that an order may come to, the one that finds the most units answers, the earliest of those: as in
/// [`crate::decide`]. How an order may be split is not looked at.
#[must_use]
pub fn offers(strategy: &Compiled, inputs: &Inputs, at: usize) -> Vec<Offer> {
    let Some(line) = inputs.lines.get(at) else {
        return Vec::new();
    };
    let facts = facts(inputs);
    let total = |offers: &[Offer]| {
        offers
            .iter()
            .map(|offer| u64::from(offer.units))
            .sum::<u64>()
    };
    let order = Order::of(facts);
    let mut best: Vec<Offer> = Vec::new();
    for (_, rule) in rules_for(strategy, &order, inputs) {
        let trial = Trial {
            strategy,
            rule,
            facts,
            inputs,
            before: 0,
        };
        let offer = |nth: usize| {
            let judged = trial.judge(nth).ok()?;
            let candidate = &inputs.candidates[nth];
            let units = trial.could_serve(at, nth, &judged);
            (units > 0).then_some(Offer {
                ordinal: candidate.ordinal,
                km: candidate.km,
                units,
            })
        };
        let found: Vec<Offer> = (0..inputs.candidates.len()).filter_map(offer).collect();
        let enough = total(&found) >= u64::from(line.units);
        if total(&found) > total(&best) {
            best = found;
        }
        if enough || rule.rule.when_short != AfterAction::NextRule {
            break;
        }
    }
    best
}
