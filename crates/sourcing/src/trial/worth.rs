//! What a plan costs by the weights of a strategy that need not have made it.

use consign_domain::money::Minor;

use crate::cost::{SiteCost, weigh};
use crate::engine::{facts, rules_for};
use crate::inputs::Inputs;
use crate::plan::Sourced;
use crate::strategy::{Compiled, Order};

/// What a plan costs by the first of a strategy's rules that is for the order, else by its first.
/// Filters are not asked: a location that the rule would leave out costs what it costs. Locations
/// that are no candidates cost nothing.
#[must_use]
pub fn plan_cost(weigher: &Compiled, inputs: &Inputs, plan: &Sourced) -> Minor {
    let facts = facts(inputs);
    let order = Order::of(facts);
    let first = rules_for(weigher, &order, inputs).map(|(_, rule)| rule);
    let Some(rule) = first.chain(&weigher.rules).next() else {
        return 0;
    };
    let site = |ordinal: u32| {
        let found = inputs
            .candidates
            .binary_search_by_key(&ordinal, |candidate| candidate.ordinal);
        let candidate = inputs.candidates.get(found.ok()?)?;
        let locations = &weigher.locations;
        let known = locations.binary_search_by_key(&ordinal, |known| known.ordinal);
        let known = known.ok().map(|at| &locations[at]);
        Some(weigh(&rule.rule.costs, known, facts, candidate))
    };
    let shipments = plan.locations.iter().filter_map(|ordinal| site(*ordinal));
    let shipments = shipments.fold(0, |sum: Minor, cost| sum.saturating_add(cost.shipment));
    let of_line = |cost: SiteCost, units: u32| {
        let units = cost.per_unit.saturating_mul(i64::from(units));
        cost.per_line.saturating_add(units)
    };
    let allotments = plan.allotments.iter();
    let lines =
        allotments.filter_map(|allotment| Some(of_line(site(allotment.ordinal)?, allotment.units)));
    let lines = lines.fold(0, Minor::saturating_add);
    let beyond = plan.locations.len().saturating_sub(1);
    let split = rule.rule.costs.split;
    let split = split.saturating_mul(i64::try_from(beyond).unwrap_or(i64::MAX));
    shipments.saturating_add(lines).saturating_add(split)
}
