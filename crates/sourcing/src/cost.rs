//! What it costs to have a candidate serve, in minor units of money.
//!
//! Whole numbers only; a quotient is rounded half up. Nothing is negative.

use consign_domain::money::Minor;
use serde::Serialize;

use crate::facts::{Facts, figure};
use crate::inputs::{Candidate, Inputs};
use crate::strategy::{COST_MAX, Compiled, Costs, Known};

/// More than half the way around the earth is no distance.
const KM_MAX: u32 = 50_000;
/// What a load counts at most: a hundred times what a location can do.
const LOAD_PERMILLE_MAX: u32 = 100_000;

/// What a candidate costs, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SiteCost {
    /// The carrier's rate.
    pub rate: Minor,
    /// For the distance.
    pub distance: Minor,
    /// Handling of a shipment.
    pub handling: Minor,
    /// For its priority.
    pub priority: Minor,
    /// For work that waits there.
    pub workload: Minor,
    /// For the days until the last one promised.
    pub promise: Minor,
    /// Of all these: a shipment, the first.
    pub shipment: Minor,
    /// Handling of each line.
    pub per_line: Minor,
    /// For each unit, as its stock is short.
    pub per_unit: Minor,
}

/// Weighs a candidate.
pub(crate) fn weigh(
    costs: &Costs,
    known: Option<&Known>,
    facts: &Facts,
    candidate: &Candidate,
) -> SiteCost {
    let profile = known.map(|known| &known.profile);
    let rate = rate(costs, candidate);
    let distance = distance(costs, candidate);
    let handling = profile.and_then(|profile| profile.handling_order);
    let handling = handling.unwrap_or(costs.handling_order);
    let priority = profile.map_or(0, |profile| i64::from(profile.priority));
    let priority = priority * costs.per_priority;
    let load = figure(&facts.load_permille, candidate.ordinal);
    let load = load.unwrap_or(0).min(LOAD_PERMILLE_MAX);
    let workload = (i64::from(load) * costs.per_full_load + 500) / 1_000;
    let per_line = profile.and_then(|profile| profile.handling_line);
    let supply = figure(&facts.supply_tenths, candidate.ordinal);
    let missing = supply.map_or(0, |supply| {
        costs.supply_target_tenths.saturating_sub(supply)
    });
    SiteCost {
        rate,
        distance,
        handling,
        priority,
        workload,
        promise: 0,
        shipment: rate + distance + handling + priority + workload,
        per_line: per_line.unwrap_or(costs.handling_line),
        per_unit: (i64::from(missing) * costs.per_missing_week + 5) / 10,
    }
}

/// A candidate's cost with what its promise costs: that is only looked for where it weighs anything.
pub(crate) fn with_promise(
    cost: SiteCost,
    costs: &Costs,
    strategy: &Compiled,
    inputs: &Inputs,
    nth: usize,
) -> SiteCost {
    let days = strategy.promised_days(inputs, nth);
    let promise = days.map_or(costs.no_promise, |days| days * costs.per_promise_day);
    SiteCost {
        promise,
        shipment: cost.shipment + promise,
        ..cost
    }
}

/// What a shipment costs from a candidate of which nothing is known but where it is.
pub(crate) fn plain_shipment(costs: &Costs, candidate: &Candidate) -> Minor {
    rate(costs, candidate) + distance(costs, candidate) + costs.handling_order
}

fn rate(costs: &Costs, candidate: &Candidate) -> Minor {
    let Some(rate) = candidate.rate else {
        return costs.no_rate;
    };
    let rate = rate.clamp(0, COST_MAX);
    let permille = i64::from(costs.rate_permille);
    if permille == 1_000 {
        return rate;
    }
    quotient(rate / 1_000 * permille, rate % 1_000 * permille)
}

fn distance(costs: &Costs, candidate: &Candidate) -> Minor {
    (i64::from(candidate.km.min(KM_MAX)) * costs.per_100_km + 50) / 100
}

/// Thousandths: whole thousands times a factor, and the rest times it, rounded half up.
fn quotient(thousands: Minor, rest: Minor) -> Minor {
    thousands.saturating_add((rest + 500) / 1_000).min(COST_MAX)
}
