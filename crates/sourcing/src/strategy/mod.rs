//! A strategy as data: ordered rules, each with filters, costs and a split policy, and what the
//! rules must know of locations and items.
//!
//! Written as TOML or JSON by whoever runs the business; unknown keys are refused. This crate knows
//! neither format: whoever reads one hands the value in. Before it decides anything it is checked
//! ([`Strategy::compiled`]), which says where something is wrong and why.

mod after;
mod compiled;
mod expression;
mod transit;

use std::collections::BTreeMap;

use compact_str::CompactString;
use consign_domain::money::Minor;
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, Day};

pub(crate) use after::tried;
pub use after::{AfterAction, AfterReport, Restock};
pub(crate) use compiled::{COST_MAX, CompiledRule, Known, listed, weighs_promises};
pub use compiled::{Compiled, KnownLocation, StrategyError};
pub(crate) use expression::Order;
pub(crate) use transit::Ways;
pub use transit::{Lane, Transit};

/// How orders are sourced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// Its name for people.
    pub name: CompactString,
    /// Tried in this order.
    pub rules: Vec<Rule>,
    /// Sets of locations by name.
    #[serde(default)]
    pub groups: BTreeMap<CompactString, Vec<CompactString>>,
    /// What is known of locations, by id. A location that is not named has no limits.
    #[serde(default)]
    pub locations: BTreeMap<CompactString, Profile>,
    /// How long parcels are under way. Without it nothing is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transit: Option<Transit>,
    /// What is always bought again.
    #[serde(default, skip_serializing_if = "Restock::is_empty")]
    pub restock: Restock,
}

/// One way to serve an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name for people.
    pub name: CompactString,
    /// Which orders it is for.
    #[serde(default)]
    pub when: Condition,
    /// Which locations may serve them.
    #[serde(default)]
    pub filters: Filters,
    /// What a plan costs.
    #[serde(default)]
    pub costs: Costs,
    /// How an order may be split.
    #[serde(default)]
    pub split: SplitRule,
    /// What follows when some units find no location.
    #[serde(default)]
    pub when_short: AfterAction,
    /// Whether staff are told when some units find no location, beside what follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alert: bool,
}

/// Which orders a rule is for: all that are named must hold. An empty list holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Channels.
    pub channels: Vec<CompactString>,
    /// Order types.
    pub order_types: Vec<CompactString>,
    /// Customer groups.
    pub customer_groups: Vec<CompactString>,
    /// Countries of the destination, ISO 3166-1 alpha-2.
    pub countries: Vec<CompactString>,
    /// Service levels.
    pub service_levels: Vec<CompactString>,
    /// The order's value is at least this, in minor units.
    pub value_min: Option<Minor>,
    /// The order's value is at most this, in minor units.
    pub value_max: Option<Minor>,
    /// The order has at most so many lines.
    pub lines_max: Option<u32>,
    /// What else must hold, in CEL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<CompactString>,
}

/// Which locations may serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// It is in one of these groups; empty: in any or none.
    pub groups: Vec<CompactString>,
    /// It is at most so many kilometres from the destination.
    pub km_max: Option<u32>,
    /// Some carrier quotes a rate.
    pub rate_required: bool,
    /// It is open now, if it has a calendar.
    pub open_now: bool,
    /// Its next cut-off is at most so many minutes away, if it has a calendar.
    pub cut_off_within_minutes: Option<u32>,
    /// So many units of each SKU stay there.
    pub minimum_remaining: u32,
    /// Items of a kind only from these groups: by special handling (`cold_chain`) or attribute
    /// (`season=summer`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub item_groups: BTreeMap<CompactString, Vec<CompactString>>,
}

/// What a plan costs, in minor units of money. A weight turns a figure that is no money into some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Costs {
    /// Thousandths of the carrier's rate that count.
    pub rate_permille: u32,
    /// Counts as the rate where no carrier quotes one.
    pub no_rate: Minor,
    /// Of each shipment.
    pub handling_order: Minor,
    /// Of each line of a shipment.
    pub handling_line: Minor,
    /// Of each shipment beyond the first.
    pub split: Minor,
    /// Of a hundred kilometres.
    pub per_100_km: Minor,
    /// Of each step of a location's priority, of which 0 is the first.
    pub per_priority: Minor,
    /// Of a location that has as much work waiting as it can do.
    pub per_full_load: Minor,
    /// Tenths of a week for which a location's stock should last.
    pub supply_target_tenths: u32,
    /// Of a unit from a location whose stock lasts a week less than that.
    pub per_missing_week: Minor,
    /// Of each day from today to the last one promised.
    pub per_promise_day: Minor,
    /// Counts instead where nothing is promised.
    pub no_promise: Minor,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs {
            rate_permille: 1_000,
            no_rate: 0,
            handling_order: 0,
            handling_line: 0,
            split: 0,
            per_100_km: 0,
            per_priority: 0,
            per_full_load: 0,
            supply_target_tenths: 0,
            per_missing_week: 0,
            per_promise_day: 0,
            no_promise: 0,
        }
    }
}

/// How an order may be split, beside what the order itself allows: the stricter of both holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitRule {
    /// All units or none.
    pub complete: bool,
    /// No line comes from two locations.
    pub by_item: bool,
    /// Shipments at most.
    pub shipments_max: Option<u32>,
    /// What each shipment must be worth where there are several, in minor units.
    pub shipment_value_min: Minor,
}

/// What is known of a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Channels that may use it; empty: all.
    pub channels: Vec<CompactString>,
    /// Order types that may use it; empty: all.
    pub order_types: Vec<CompactString>,
    /// Customer groups that may use it; empty: all.
    pub customer_groups: Vec<CompactString>,
    /// Countries that it may send to; empty: all.
    pub countries: Vec<CompactString>,
    /// Days on which it serves nobody.
    pub closures: Vec<Closure>,
    /// When it works.
    pub calendar: Option<Calendar>,
    /// Special handling that it can do.
    pub handles: Vec<CompactString>,
    /// Items that it does not take: special handling (`cold_chain`) or attributes
    /// (`season=summer`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refuses: Vec<CompactString>,
    /// Units of each SKU that are never promised.
    pub safety_stock: u32,
    /// Units of each SKU that are kept for a channel.
    pub ring_fenced: BTreeMap<CompactString, u32>,
    /// 0 is used first.
    pub priority: u32,
    /// Instead of the rule's.
    pub handling_order: Option<Minor>,
    /// Instead of the rule's.
    pub handling_line: Option<Minor>,
    /// Minutes of opening time until an order is ready to leave.
    pub handling_minutes: u32,
    /// Working days beside them.
    pub handling_days: u32,
}

/// A temporary shutdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// The first day, by the clock at the location.
    pub from: Day,
    /// The last day.
    pub until: Day,
}

impl Strategy {
    /// What decides when nobody has said otherwise: fewest shipments, then nearest, then the lowest
    /// rate. Its sums only put plans in order: a shipment more weighs as much as a million
    /// kilometres, and a kilometre as much as rates of ten million minor units.
    #[must_use]
    pub fn built_in() -> Strategy {
        const PER_KM: Minor = 10_000_000;
        Strategy {
            name: "built-in".into(),
            rules: vec![Rule {
                name: "fewest shipments, then nearest, then lowest rate".into(),
                costs: Costs {
                    // Dearer than any parcel.
                    no_rate: PER_KM / 100,
                    split: 1_000_000 * PER_KM,
                    per_100_km: 100 * PER_KM,
                    ..Costs::default()
                },
                ..Rule::default()
            }],
            groups: BTreeMap::new(),
            locations: BTreeMap::new(),
            transit: None,
            restock: Restock::default(),
        }
    }
}
