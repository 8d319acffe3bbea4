//! Rule version 1, for decisions that were made by it: they are explained by the rule that made them
//! (L9). New decisions are the engine's.
//!
//! Finds the plan: the smallest set of locations that serves as much as can be served, the nearest
//! of those, the cheapest of those.
//!
//! Exact for one and two locations, and for three where few locations matter; beyond that greedy
//! (the location that serves most of what is open, then the nearest). Units are conserved: what
//! is not allotted is short.

use crate::inputs::{InputLine, Inputs};
use crate::plan::{Allotment, Sourced};

/// Candidates up to which all sets of three are looked at.
const TRIPLES_CANDIDATES_MAX: usize = 24;

/// What orders plans of the same size: nearer first, then cheaper, then lower ordinals.
type Cost = (u64, i64, Vec<u32>);

/// The best plan, and the best of the others with as many locations.
pub(crate) struct Found {
    pub(crate) best: Sourced,
    pub(crate) runner_up: Option<Sourced>,
}

/// Decides; `both` asks for the runner-up as well.
pub(crate) fn search(inputs: &Inputs, both: bool) -> Found {
    let mut useful: Vec<usize> = Vec::with_capacity(inputs.candidates.len());
    useful.extend((0..inputs.candidates.len()).filter(|nth| {
        inputs
            .lines
            .iter()
            .any(|line| inputs.could_serve(line, *nth) > 0)
    }));
    let wanted: u64 = inputs.lines.iter().map(|line| u64::from(line.units)).sum();
    let whole = inputs.split != consign_domain::order::SplitPolicy::Allow;
    let single = inputs.split == consign_domain::order::SplitPolicy::SingleLocation;
    if let Some(found) = one_location(inputs, &useful, wanted, both) {
        return found;
    }
    if !single && let Some(found) = smallest_sets(inputs, &useful, wanted) {
        return found;
    }
    let all = fill(inputs, &useful);
    let reach = placed(&all);
    if single || (whole && reach < wanted) || reach == 0 {
        return Found {
            best: Sourced::nothing(inputs),
            runner_up: None,
        };
    }
    if reach < wanted {
        let fewer = one_location(inputs, &useful, reach, both);
        if let Some(found) = fewer.or_else(|| smallest_sets(inputs, &useful, reach)) {
            return found;
        }
    }
    Found {
        best: greedy(inputs, &useful, reach).unwrap_or(all),
        runner_up: None,
    }
}

/// The common case, without trying sets: the first candidates, by preference, that place `target`
/// units alone.
fn one_location(inputs: &Inputs, useful: &[usize], target: u64, both: bool) -> Option<Found> {
    let serves = |nth: usize| {
        let each = inputs
            .lines
            .iter()
            .map(|line| u64::from(inputs.could_serve(line, nth)));
        each.sum::<u64>() >= target
    };
    // As a rule the first one does, so the others are neither weighed nor brought into order.
    let mut tried = None;
    let by_preference = std::iter::from_fn(|| {
        let left = useful
            .iter()
            .map(|nth| (single_cost(inputs, *nth), *nth))
            .filter(|next| tried.is_none_or(|tried| *next > tried));
        let mut best = None;
        for next in left {
            if best.is_none_or(|best| next < best) && serves(next.1) {
                best = Some(next);
            }
        }
        tried = best;
        best.map(|(_, nth)| nth)
    });
    // Lines that share a SKU may want more of it together than each by itself.
    let mut plans = by_preference
        .map(|nth| fill(inputs, &[nth]))
        .filter(|plan| placed(plan) >= target);
    let best = plans.next()?;
    Some(Found {
        best,
        runner_up: if both { plans.next() } else { None },
    })
}

/// Sets of two and three candidates, smallest first, that place `target` units.
fn smallest_sets(inputs: &Inputs, useful: &[usize], target: u64) -> Option<Found> {
    if upper_bound(inputs, useful) < target {
        return None;
    }
    for size in 2..=3 {
        if size == 3 && useful.len() > TRIPLES_CANDIDATES_MAX {
            return None;
        }
        let mut best: Option<(Cost, Sourced)> = None;
        let mut second: Option<(Cost, Sourced)> = None;
        each_set(useful, size, &mut |set| {
            let cost = cost(inputs, set);
            if second.as_ref().is_some_and(|(known, _)| cost >= *known)
                || upper_bound(inputs, set) < target
            {
                return;
            }
            let plan = fill(inputs, set);
            if placed(&plan) < target {
                return;
            }
            match &best {
                Some((known, _)) if cost >= *known => second = Some((cost, plan)),
                _ => second = best.replace((cost, plan)),
            }
        });
        if let Some((_, best)) = best {
            return Some(Found {
                best,
                runner_up: second.map(|(_, plan)| plan),
            });
        }
    }
    None
}

/// No plan with this set places more: what each line could get, were it alone.
fn upper_bound(inputs: &Inputs, set: &[usize]) -> u64 {
    let could = |line: &InputLine| -> u64 {
        let all = set
            .iter()
            .map(|nth| u64::from(inputs.could_serve(line, *nth)))
            .sum::<u64>();
        all.min(u64::from(line.units))
    };
    inputs.lines.iter().map(could).sum()
}

fn each_set(useful: &[usize], size: usize, look: &mut impl FnMut(&[usize])) {
    match size {
        2 => {
            for (i, a) in useful.iter().enumerate() {
                useful[i + 1..].iter().for_each(|b| look(&[*a, *b]));
            }
        }
        _ => {
            for (i, a) in useful.iter().enumerate() {
                for (j, b) in useful.iter().enumerate().skip(i + 1) {
                    useful[j + 1..].iter().for_each(|c| look(&[*a, *b, *c]));
                }
            }
        }
    }
}

fn cost(inputs: &Inputs, set: &[usize]) -> Cost {
    let each = set.iter().map(|nth| single_cost(inputs, *nth));
    let km = each.clone().map(|(km, ..)| km).sum();
    let rates = each
        .clone()
        .map(|(_, rate, _)| rate)
        .fold(0, i64::saturating_add);
    (km, rates, each.map(|(.., ordinal)| ordinal).collect())
}

/// What orders single candidates: nearer, then cheaper, then the lower ordinal.
fn single_cost(inputs: &Inputs, nth: usize) -> (u64, i64, u32) {
    let candidate = &inputs.candidates[nth];
    // No quote is dearer than any quote.
    (
        u64::from(candidate.km),
        candidate.rate.unwrap_or(i64::MAX / 4),
        candidate.ordinal,
    )
}

/// The order in which candidates are preferred when units are allotted.
fn by_preference(inputs: &Inputs, set: &[usize]) -> Vec<usize> {
    let mut ordered = set.to_vec();
    ordered.sort_unstable_by_key(|nth| single_cost(inputs, *nth));
    ordered
}

/// Allots each line's units within a set: whole to the nearest that has all of it, else split,
/// nearest first.
fn fill(inputs: &Inputs, set: &[usize]) -> Sourced {
    let ordered = by_preference(inputs, set);
    let mut left = inputs.available.clone();
    let mut plan = Sourced::default();
    let width = inputs.candidates.len();
    for line in &inputs.lines {
        let mut open = line.units;
        let can = |left: &[u32], nth: usize| {
            if !inputs.may_serve(line, nth) {
                return 0;
            }
            let of_part = |(sku, per_unit): &(u32, u32)| {
                left.get(*sku as usize * width + nth).copied().unwrap_or(0) / (*per_unit).max(1)
            };
            line.parts.iter().map(of_part).min().unwrap_or(0)
        };
        let whole = ordered
            .iter()
            .copied()
            .find(|nth| can(&left, *nth) >= line.units);
        for nth in whole.into_iter().chain(ordered.iter().copied()) {
            let units = can(&left, nth).min(open);
            if units == 0 {
                continue;
            }
            for (sku, per_unit) in &line.parts {
                left[*sku as usize * width + nth] -= units * per_unit;
            }
            open -= units;
            let ordinal = inputs.candidates[nth].ordinal;
            plan.allotments.push(Allotment {
                line: line.line,
                ordinal,
                units,
            });
        }
        if open > 0 {
            plan.short.push((line.line, open));
        }
    }
    plan.locations = plan
        .allotments
        .iter()
        .map(|allotment| allotment.ordinal)
        .collect();
    plan.locations.sort_unstable();
    plan.locations.dedup();
    plan
}

/// What orders candidates of the greedy search: most units placed first, then as single candidates.
type GreedyKey = (std::cmp::Reverse<u64>, (u64, i64, u32));

/// Adds the location that places most, then the nearest, until `target` units are placed.
fn greedy(inputs: &Inputs, useful: &[usize], target: u64) -> Option<Sourced> {
    let mut set: Vec<usize> = Vec::new();
    let mut plan = Sourced::default();
    while placed(&plan) < target {
        let mut best: Option<(GreedyKey, usize, Sourced)> = None;
        for nth in useful.iter().copied().filter(|nth| !set.contains(nth)) {
            let mut with = set.clone();
            with.push(nth);
            let next = fill(inputs, &with);
            let key = (std::cmp::Reverse(placed(&next)), single_cost(inputs, nth));
            if best.as_ref().is_none_or(|(known, ..)| key < *known) {
                best = Some((key, nth, next));
            }
        }
        let (_, nth, next) = best?;
        if placed(&next) <= placed(&plan) {
            return None;
        }
        set.push(nth);
        plan = next;
    }
    Some(plan)
}

fn placed(plan: &Sourced) -> u64 {
    plan.allotments
        .iter()
        .map(|allotment| u64::from(allotment.units))
        .sum()
}
