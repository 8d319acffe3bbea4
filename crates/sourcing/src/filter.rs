//! Which candidates may serve, and why the others may not.

use std::fmt;

use compact_str::CompactString;
use serde::Serialize;

use crate::calendar::within;
use crate::facts::{Facts, figure};
use crate::inputs::Inputs;
use crate::items::refusal_of_all;
use crate::strategy::{CompiledRule, Known, Order, listed};

/// Why a candidate may not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is in none of the rule's groups.
    NotInGroup,
    /// The order's channel may not use it.
    Channel,
    /// Orders of this type may not use it.
    OrderType,
    /// The customer's group may not use it.
    CustomerGroup,
    /// It does not send to that country.
    Country,
    /// It is shut today.
    ClosedToday,
    /// It is not open now.
    NotOpenNow,
    /// Its next cut-off is too far away.
    CutOffTooLate,
    /// It lies too far away.
    TooFar,
    /// No carrier quotes a rate.
    NoRate,
    /// It cannot do the special handling that some line needs.
    SpecialHandling,
    /// It takes no items like those of any line.
    ItemRefused,
    /// The rule assigns items like those of any line to other locations.
    ItemAssignedElsewhere,
    /// It has no room left for a unit more.
    NoRoom,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NotInGroup => "it is in none of the rule's groups",
            Reason::Channel => "the order's channel may not use it",
            Reason::OrderType => "orders of this type may not use it",
            Reason::CustomerGroup => "the customer's group may not use it",
            Reason::Country => "it does not send to that country",
            Reason::ClosedToday => "it is shut today",
            Reason::NotOpenNow => "it is not open now",
            Reason::CutOffTooLate => "its next cut-off is too far away",
            Reason::TooFar => "it is too far away",
            Reason::NoRate => "no carrier quotes a rate",
            Reason::SpecialHandling => "it cannot do the special handling",
            Reason::ItemRefused => "it refuses such items",
            Reason::ItemAssignedElsewhere => "the rule assigns such items to other locations",
            Reason::NoRoom => "it has no room left",
        })
    }
}

/// Whether a list that means all when it is empty holds a value that may be missing.
fn optional(list: &[CompactString], value: Option<&CompactString>) -> bool {
    match value {
        Some(value) => listed(list, value),
        None => list.is_empty(),
    }
}

/// Whether a rule is for an order of so many lines.
///
/// # Errors
/// Why its expression fails on this one.
pub(crate) fn is_for(
    rule: &CompiledRule,
    order: &Order<'_>,
    lines: usize,
) -> Result<bool, CompactString> {
    let (when, facts) = (&rule.rule.when, order.facts);
    let is_listed = listed(&when.channels, &facts.channel)
        && optional(&when.order_types, facts.order_type.as_ref())
        && optional(&when.customer_groups, facts.customer_group.as_ref())
        && listed(&when.countries, &facts.country)
        && listed(&when.service_levels, &facts.service_level)
        && when.value_min.is_none_or(|least| facts.value() >= least)
        && when.value_max.is_none_or(|most| facts.value() <= most)
        && when.lines_max.is_none_or(|most| lines <= most as usize);
    match &rule.expression {
        Some(expression) if is_listed => expression.holds(order),
        _ => Ok(is_listed),
    }
}

/// Why the `nth` candidate may not serve under a rule; `None` when it may.
pub(crate) fn refusal(
    rule: &CompiledRule,
    known: Option<&Known>,
    facts: &Facts,
    inputs: &Inputs,
    nth: usize,
) -> Option<Reason> {
    let candidate = &inputs.candidates[nth];
    let filters = &rule.rule.filters;
    if let Some(members) = &rule.members
        && members.binary_search(&candidate.ordinal).is_err()
    {
        return Some(Reason::NotInGroup);
    }
    if filters.km_max.is_some_and(|most| candidate.km > most) {
        return Some(Reason::TooFar);
    }
    if filters.rate_required && candidate.rate.is_none() {
        return Some(Reason::NoRate);
    }
    if figure(&facts.room, candidate.ordinal) == Some(0) {
        return Some(Reason::NoRoom);
    }
    if let Some(known) = known {
        if let Some(reason) = assignment(known, facts) {
            return Some(reason);
        }
        if let Some(reason) = times(rule, known, facts) {
            return Some(reason);
        }
    }
    refusal_of_all(rule, known, facts, candidate.ordinal)
}

fn assignment(known: &Known, facts: &Facts) -> Option<Reason> {
    let profile = &known.profile;
    if !listed(&profile.channels, &facts.channel) {
        Some(Reason::Channel)
    } else if !optional(&profile.order_types, facts.order_type.as_ref()) {
        Some(Reason::OrderType)
    } else if !optional(&profile.customer_groups, facts.customer_group.as_ref()) {
        Some(Reason::CustomerGroup)
    } else if !listed(&profile.countries, &facts.country) {
        Some(Reason::Country)
    } else {
        None
    }
}

fn times(rule: &CompiledRule, known: &Known, facts: &Facts) -> Option<Reason> {
    let (profile, zone) = (&known.profile, &known.zone);
    let mut closures = profile.closures.iter();
    if closures.any(|closure| within(zone, facts.now, closure.from, closure.until)) {
        return Some(Reason::ClosedToday);
    }
    let calendar = profile.calendar.as_ref()?;
    if rule.rule.filters.open_now && !calendar.is_open(zone, facts.now) {
        return Some(Reason::NotOpenNow);
    }
    let minutes = rule.rule.filters.cut_off_within_minutes?;
    let latest = facts.now.plus_millis(i64::from(minutes) * 60_000);
    let next = calendar.next_cut_off(zone, facts.now);
    let in_time = next.is_some_and(|next| next <= latest);
    (!in_time).then_some(Reason::CutOffTooLate)
}

/// Units of each SKU that must stay at a location, whatever it has.
pub(crate) fn held_back(rule: &CompiledRule, known: Option<&Known>, facts: &Facts) -> u32 {
    let remaining = rule.rule.filters.minimum_remaining;
    let Some(known) = known else {
        return remaining;
    };
    let fenced = known.profile.ring_fenced.iter();
    let others = fenced.filter(|(channel, _)| **channel != facts.channel);
    let fenced = others.fold(0_u32, |sum, (_, units)| sum.saturating_add(*units));
    // Safety stock and what must remain are the same units at the bottom of the shelf.
    known
        .profile
        .safety_stock
        .max(remaining)
        .saturating_add(fenced)
}
