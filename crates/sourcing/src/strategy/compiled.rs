//! A strategy that has been checked, and tied to the locations that there are.

use std::collections::BTreeSet;

use compact_str::{CompactString, ToCompactString, format_compact};
use consign_domain::catalogue::{is_attribute_value, is_trait_name};
use consign_domain::ids::Sku;
use consign_domain::money::Minor;

use super::expression::{Expression, STEPS_MAX};
use super::{Costs, Filters, Profile, Rule, Strategy, Ways};
use crate::calendar::ZoneTable;
use crate::items::ItemMembers;

/// Rules of a strategy at most.
const RULES_MAX: usize = 64;
/// Entries of one list or table at most.
pub(super) const ENTRIES_MAX: usize = 4_096;
/// Bytes of one name at most.
const NAME_BYTES_MAX: usize = 64;
/// Steps of all conditions together at most, on an order of as many lines as there may be.
const ALL_STEPS_MAX: u64 = 4 * STEPS_MAX;
/// Minutes of handling at most: a week.
const HANDLING_MINUTES_MAX: i64 = 7 * 24 * 60;
/// Working days of handling at most.
const HANDLING_DAYS_MAX: i64 = 60;
/// A cost of one unit or line at most, in minor units.
const SMALL_COST_MAX: Minor = 1_000_000_000;
/// A cost of one shipment at most, in minor units; also what a rate counts at most.
pub(crate) const COST_MAX: Minor = 10_000_000_000_000;

/// Why a strategy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct StrategyError {
    /// Where: `rules[0].filters.groups[1]`.
    pub place: CompactString,
    /// Why.
    pub reason: CompactString,
}

/// A location that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLocation {
    /// Its id.
    pub id: CompactString,
    /// Its ordinal.
    pub ordinal: u32,
    /// Its time zone.
    pub zone: ZoneTable,
}

/// What is known of a location, by its ordinal.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) ordinal: u32,
    pub(crate) profile: Profile,
    pub(crate) zone: ZoneTable,
}

/// A rule whose groups are ordinals.
#[derive(Clone, Debug)]
pub(crate) struct CompiledRule {
    pub(crate) rule: Rule,
    /// Its condition in CEL.
    pub(crate) expression: Option<Expression>,
    /// Rising; `None` when any location may serve.
    pub(crate) members: Option<Vec<u32>>,
    /// Where items go that are assigned.
    pub(crate) item_members: Vec<ItemMembers>,
    /// Whether it filters nothing, and nothing is known of any location.
    pub(crate) plain: bool,
}

/// A strategy that has been checked, and tied to the locations that there are.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(crate) rules: Vec<CompiledRule>,
    /// By rising ordinal.
    pub(crate) locations: Vec<Known>,
    /// How long parcels are under way, if that is known.
    pub(crate) ways: Option<Ways>,
    /// What is always bought again.
    pub(crate) common: BTreeSet<Sku>,
    held_back_max: u32,
}

impl Compiled {
    /// Units of a SKU that the strategy leaves at a location, at most. What is available matters up
    /// to this and what an order needs.
    #[must_use]
    pub fn held_back_max(&self) -> u32 {
        self.held_back_max
    }
}

/// The most of it, over all rules, locations and channels.
fn held_back_max(rules: &[CompiledRule], locations: &[Known]) -> u32 {
    let remaining = rules.iter().map(|rule| rule.rule.filters.minimum_remaining);
    let remaining = remaining.max().unwrap_or(0);
    let held = |known: &Known| {
        let fenced = known.profile.ring_fenced.values();
        let fenced = fenced.fold(0_u32, |sum, units| sum.saturating_add(*units));
        known
            .profile
            .safety_stock
            .max(remaining)
            .saturating_add(fenced)
    };
    locations.iter().map(held).fold(remaining, u32::max)
}

impl Default for Compiled {
    /// The built-in strategy.
    fn default() -> Compiled {
        let built_in = Strategy::built_in();
        built_in.compiled(&[]).expect("it names no location")
    }
}

impl Strategy {
    /// Checks the strategy against the locations that there are.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and why.
    pub fn compiled(&self, known: &[KnownLocation]) -> Result<Compiled, StrategyError> {
        named("name", &self.name)?;
        count("rules", self.rules.len(), RULES_MAX)?;
        if self.rules.is_empty() {
            return Err(wrong("rules", "there must be at least one"));
        }
        count("groups", self.groups.len(), ENTRIES_MAX)?;
        count("locations", self.locations.len(), ENTRIES_MAX)?;
        let mut locations: Vec<Known> = Vec::with_capacity(self.locations.len());
        for (id, profile) in &self.locations {
            let place = format_compact!("locations.{id}");
            let location = find(known, id).ok_or_else(|| unknown(&place, id))?;
            profile_is_sane(&place, profile)?;
            locations.push(Known {
                ordinal: location.ordinal,
                profile: profile.clone(),
                zone: location.zone.clone(),
            });
        }
        locations.sort_unstable_by_key(|location| location.ordinal);
        for (name, members) in &self.groups {
            let place = format_compact!("groups.{name}");
            named(&place, name)?;
            self.members(&place, members, known)?;
        }
        let rule = |(nth, rule)| self.rule(nth, rule, known);
        let rules: Result<Vec<CompiledRule>, StrategyError> =
            self.rules.iter().enumerate().map(rule).collect();
        let rules = rules?;
        let steps = rules.iter().filter_map(|rule| rule.expression.as_ref());
        let steps: u64 = steps.map(Expression::steps).sum();
        if steps > ALL_STEPS_MAX {
            let reason = format_compact!(
                "conditions may take {steps} steps together, but at most {ALL_STEPS_MAX} are allowed"
            );
            return Err(wrong("rules", &reason));
        }
        let ways = self.transit.as_ref();
        let ways = ways.map(|transit| Ways::of(transit, known)).transpose()?;
        Ok(Compiled {
            ways,
            held_back_max: held_back_max(&rules, &locations),
            rules,
            locations,
            common: self.common()?,
        })
    }

    fn common(&self) -> Result<BTreeSet<Sku>, StrategyError> {
        let listed = &self.restock.common;
        count("restock.common", listed.len(), ENTRIES_MAX)?;
        let sku = |(nth, text): (usize, &CompactString)| {
            let place = format_compact!("restock.common[{nth}]");
            Sku::new(text).map_err(|reason| wrong(&place, &reason.to_compact_string()))
        };
        listed.iter().enumerate().map(sku).collect()
    }

    fn rule(
        &self,
        nth: usize,
        rule: &Rule,
        known: &[KnownLocation],
    ) -> Result<CompiledRule, StrategyError> {
        let place = |what: &str| format_compact!("rules[{nth}].{what}");
        named(&place("name"), &rule.name)?;
        let when = &rule.when;
        for (what, list) in [
            ("when.channels", &when.channels),
            ("when.order_types", &when.order_types),
            ("when.customer_groups", &when.customer_groups),
            ("when.countries", &when.countries),
            ("when.service_levels", &when.service_levels),
            ("filters.groups", &rule.filters.groups),
        ] {
            names(&place(what), list)?;
        }
        if let (Some(least), Some(most)) = (when.value_min, when.value_max)
            && least > most
        {
            return Err(wrong(
                &place("when.value_min"),
                "is greater than value_max, so no order is meant",
            ));
        }
        let expression = when.expression.as_deref().map(Expression::of).transpose();
        let expression = expression.map_err(|reason| wrong(&place("when.expression"), &reason))?;
        if rule.split.shipments_max == Some(0) {
            return Err(wrong(&place("split.shipments_max"), "must be at least 1"));
        }
        costs_are_sane(nth, rule)?;
        let groups = &rule.filters.groups;
        let members = self.members_of_all(&place("filters.groups"), groups, known)?;
        Ok(CompiledRule {
            item_members: self.item_members(&place("filters.item_groups"), rule, known)?,
            plain: rule.filters == Filters::default()
                && self.locations.is_empty()
                && !weighs_promises(&rule.costs),
            rule: rule.clone(),
            expression,
            members: (!groups.is_empty()).then_some(members),
        })
    }

    fn item_members(
        &self,
        place: &str,
        rule: &Rule,
        known: &[KnownLocation],
    ) -> Result<Vec<ItemMembers>, StrategyError> {
        let item_groups = &rule.filters.item_groups;
        count(place, item_groups.len(), ENTRIES_MAX)?;
        let members = |(item, groups): (&CompactString, &Vec<CompactString>)| {
            let place = format_compact!("{place}.{item}");
            is_item(&place, item)?;
            names(&place, groups)?;
            if groups.is_empty() {
                return Err(wrong(&place, "there must be at least one group"));
            }
            Ok(ItemMembers {
                word: item.clone(),
                members: self.members_of_all(&place, groups, known)?,
            })
        };
        item_groups.iter().map(members).collect()
    }

    /// Ordinals of the members of any of these groups, rising.
    fn members_of_all(
        &self,
        place: &str,
        groups: &[CompactString],
        known: &[KnownLocation],
    ) -> Result<Vec<u32>, StrategyError> {
        let mut members = Vec::new();
        for (which, name) in groups.iter().enumerate() {
            let place = format_compact!("{place}[{which}]");
            let group = self
                .groups
                .get(name)
                .ok_or_else(|| wrong(&place, &format_compact!("there is no group {name:?}")))?;
            members.extend(self.members(&place, group, known)?);
        }
        members.sort_unstable();
        members.dedup();
        Ok(members)
    }

    fn members(
        &self,
        place: &str,
        ids: &[CompactString],
        known: &[KnownLocation],
    ) -> Result<Vec<u32>, StrategyError> {
        count(place, ids.len(), ENTRIES_MAX)?;
        let ordinal = |(nth, id): (usize, &CompactString)| {
            let location = find(known, id);
            location
                .map(|location| location.ordinal)
                .ok_or_else(|| unknown(&format_compact!("{place}[{nth}]"), id))
        };
        ids.iter().enumerate().map(ordinal).collect()
    }
}

/// Whether a promise costs anything by these weights.
pub(crate) fn weighs_promises(costs: &Costs) -> bool {
    costs.per_promise_day > 0 || costs.no_promise > 0
}

fn costs_are_sane(nth: usize, rule: &Rule) -> Result<(), StrategyError> {
    let costs = &rule.costs;
    for (what, cost, most) in [
        (
            "costs.rate_permille",
            i64::from(costs.rate_permille),
            1_000_000,
        ),
        ("costs.no_rate", costs.no_rate, COST_MAX),
        ("costs.handling_order", costs.handling_order, COST_MAX),
        ("costs.handling_line", costs.handling_line, SMALL_COST_MAX),
        ("costs.split", costs.split, COST_MAX),
        ("costs.per_100_km", costs.per_100_km, SMALL_COST_MAX),
        ("costs.per_priority", costs.per_priority, SMALL_COST_MAX),
        ("costs.per_full_load", costs.per_full_load, SMALL_COST_MAX),
        (
            "costs.supply_target_tenths",
            i64::from(costs.supply_target_tenths),
            10_000,
        ),
        ("costs.per_missing_week", costs.per_missing_week, 1_000_000),
        (
            "costs.per_promise_day",
            costs.per_promise_day,
            SMALL_COST_MAX,
        ),
        ("costs.no_promise", costs.no_promise, COST_MAX),
        (
            "split.shipment_value_min",
            rule.split.shipment_value_min,
            COST_MAX,
        ),
    ] {
        amount(&format_compact!("rules[{nth}].{what}"), cost, most)?;
    }
    Ok(())
}

fn find<'k>(known: &'k [KnownLocation], id: &str) -> Option<&'k KnownLocation> {
    known.iter().find(|location| location.id == id)
}

fn profile_is_sane(place: &str, profile: &Profile) -> Result<(), StrategyError> {
    let at = |what: &str| format_compact!("{place}.{what}");
    for (what, list) in [
        ("channels", &profile.channels),
        ("order_types", &profile.order_types),
        ("customer_groups", &profile.customer_groups),
        ("countries", &profile.countries),
        ("handles", &profile.handles),
    ] {
        names(&at(what), list)?;
    }
    count(&at("refuses"), profile.refuses.len(), ENTRIES_MAX)?;
    for (nth, item) in profile.refuses.iter().enumerate() {
        is_item(&at(&format_compact!("refuses[{nth}]")), item)?;
    }
    count(&at("closures"), profile.closures.len(), ENTRIES_MAX)?;
    count(&at("ring_fenced"), profile.ring_fenced.len(), ENTRIES_MAX)?;
    for (nth, closure) in profile.closures.iter().enumerate() {
        if closure.until < closure.from {
            let place = at(&format_compact!("closures[{nth}].until"));
            return Err(wrong(&place, "is before from"));
        }
    }
    if let Some(calendar) = &profile.calendar {
        count(
            &at("calendar.holidays"),
            calendar.holidays.len(),
            ENTRIES_MAX,
        )?;
        if calendar.working_days.is_empty() {
            return Err(wrong(
                &at("calendar.working_days"),
                "there must be at least one",
            ));
        }
        if calendar.closes <= calendar.opens {
            return Err(wrong(&at("calendar.closes"), "is not after opens"));
        }
    }
    for (what, found, most) in [
        ("priority", profile.priority, 1_000),
        (
            "handling_minutes",
            profile.handling_minutes,
            HANDLING_MINUTES_MAX,
        ),
        ("handling_days", profile.handling_days, HANDLING_DAYS_MAX),
    ] {
        amount(&at(what), i64::from(found), most)?;
    }
    amount(
        &at("handling_order"),
        profile.handling_order.unwrap_or(0),
        COST_MAX,
    )?;
    amount(
        &at("handling_line"),
        profile.handling_line.unwrap_or(0),
        SMALL_COST_MAX,
    )
}

pub(super) fn wrong(place: &str, reason: &str) -> StrategyError {
    StrategyError {
        place: place.into(),
        reason: reason.into(),
    }
}

fn unknown(place: &str, id: &str) -> StrategyError {
    wrong(place, &format_compact!("there is no location {id:?}"))
}

fn named(place: &str, name: &str) -> Result<(), StrategyError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(wrong(
            place,
            &format_compact!("a name must have 1 to {NAME_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// Whether products can have it: the name of a special handling, or an attribute with its value.
fn is_item(place: &str, item: &str) -> Result<(), StrategyError> {
    let known = match item.split_once('=') {
        Some((name, value)) => is_trait_name(name) && is_attribute_value(value),
        None => is_trait_name(item),
    };
    if known {
        return Ok(());
    }
    let reason = format_compact!(
        "{item:?} is neither a special handling such as \"cold_chain\" nor an attribute such as \"season=summer\""
    );
    Err(wrong(place, &reason))
}

pub(super) fn names(place: &str, list: &[CompactString]) -> Result<(), StrategyError> {
    count(place, list.len(), ENTRIES_MAX)?;
    let each = list.iter().enumerate();
    for (nth, name) in each {
        named(&format_compact!("{place}[{nth}]"), name)?;
    }
    Ok(())
}

pub(super) fn count(place: &str, found: usize, most: usize) -> Result<(), StrategyError> {
    if found > most {
        return Err(wrong(
            place,
            &format_compact!("{found} entries, but at most {most} are allowed"),
        ));
    }
    Ok(())
}

pub(super) fn amount(place: &str, found: i64, most: i64) -> Result<(), StrategyError> {
    if !(0..=most).contains(&found) {
        return Err(wrong(
            place,
            &format_compact!("{found} is not from 0 to {most}"),
        ));
    }
    Ok(())
}

/// Whether a list that means all when it is empty holds a value.
pub(crate) fn listed(list: &[CompactString], value: &str) -> bool {
    list.is_empty() || list.iter().any(|known| known == value)
}
