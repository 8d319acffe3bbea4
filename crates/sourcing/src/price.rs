//! What a plan costs, whoever made it: the yardstick by which plans are compared.
//!
//! In: a plan as allotments, and inputs that name its locations. Out: what a strategy's first rule for
//! the order charges for it, and what of that is money. Filters are not asked: a plan that the rule
//! would not make has its price all the same.

use consign_domain::money::Minor;

use crate::cost::{weigh, with_promise};
use crate::engine::{facts, rules_for};
use crate::inputs::Inputs;
use crate::plan::Allotment;
use crate::strategy::{Compiled, Costs, Filters, Order, Strategy, weighs_promises};

/// What a plan costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// By all weights of the rule, in minor units.
    pub cost: Minor,
    /// Of that, what carriers ask, unweighted; nothing where none is quoted.
    pub rates: Minor,
    /// Of that, handling of shipments and lines.
    pub handling: Minor,
    /// Kilometres of all shipments together.
    pub km: u64,
    /// Shipments.
    pub shipments: u32,
    /// Days until the last of them is promised to be there; `None` where a part of it is not promised.
    pub days: Option<i64>,
}

/// Prices a plan by the first of the strategy's rules that is for the order, else by its first. A
/// location that is no candidate costs nothing but the split.
#[must_use]
pub fn price(strategy: &Compiled, inputs: &Inputs, plan: &[Allotment]) -> Price {
    let facts = facts(inputs);
    let order = Order::of(facts);
    let first = rules_for(strategy, &order, inputs).map(|(_, rule)| rule);
    let Some(rule) = first.chain(&strategy.rules).next() else {
        return Price::default();
    };
    let costs = &rule.rule.costs;
    let mut locations: Vec<u32> = plan.iter().map(|of| of.ordinal).collect();
    locations.sort_unstable();
    locations.dedup();
    let mut price = Price {
        days: (strategy.promises() && !locations.is_empty()).then_some(0),
        ..Price::default()
    };
    for ordinal in locations {
        price.shipments += 1;
        let Some(nth) = inputs.nth_of(ordinal) else {
            price.days = None;
            continue;
        };
        price.days = price.days.and_then(|days| {
            let promised = strategy.promised_days(inputs, nth)?;
            Some(days.max(promised))
        });
        let candidate = &inputs.candidates[nth];
        let mut site = weigh(costs, strategy.known(ordinal), facts, candidate);
        if weighs_promises(costs) {
            site = with_promise(site, costs, strategy, inputs, nth);
        }
        let own = plan.iter().filter(|of| of.ordinal == ordinal);
        let (lines, units) = own.fold((0, 0), |(lines, units), of| {
            (lines + 1, units + i64::from(of.units))
        });
        let per_line = site.per_line.saturating_mul(lines);
        let per_unit = site.per_unit.saturating_mul(units);
        let all = [site.shipment, per_line, per_unit];
        price.cost = all.into_iter().fold(price.cost, Minor::saturating_add);
        price.rates = price.rates.saturating_add(candidate.rate.unwrap_or(0));
        price.handling = [site.handling, per_line]
            .into_iter()
            .fold(price.handling, Minor::saturating_add);
        price.km += u64::from(candidate.km);
    }
    let beyond = i64::from(price.shipments.saturating_sub(1));
    let split = costs.split.saturating_mul(beyond);
    price.cost = price.cost.saturating_add(split);
    price
}

impl Strategy {
    /// The same rules with what they prefer taken out: what is left may serve any order that it is
    /// able to, and costs only money (the carrier's rate, handling, the split). What its plans cost
    /// is the least that must be paid; beside it stands what a rule's preferences cost.
    #[must_use]
    pub fn for_money_only(&self) -> Strategy {
        let mut plain = self.clone();
        for rule in &mut plain.rules {
            rule.filters = Filters::default();
            rule.costs = Costs {
                no_rate: rule.costs.no_rate,
                handling_order: rule.costs.handling_order,
                handling_line: rule.costs.handling_line,
                split: rule.costs.split,
                ..Costs::default()
            };
        }
        plain
    }
}
