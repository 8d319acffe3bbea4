//! Which locations serve an order: from an order and what is available to a plan, and why.
//!
//! In: [`Inputs`], everything a decision rests on, small enough to be kept with it, and a
//! [`Strategy`], checked. Out: a [`Sourced`] plan, and on demand its [`Explanation`], recomputed
//! from the same inputs bit for bit (L9, L10). Reads no clock and no view; knows no actor, no
//! storage, and no text format.
//!
//! Filters remove candidates, costs weigh the others, the optimiser finds the cheapest plan over
//! all of them together. `docs/sourcing.md` has each filter and each cost.

mod calendar;
mod cost;
mod distance;
mod engine;
mod explain;
mod facts;
mod filter;
mod first_rule;
mod inputs;
mod items;
mod offers;
mod optimiser;
mod plan;
mod price;
mod promise;
mod stored;
mod strategy;
mod trial;
mod wave;

pub use calendar::{Calendar, Day, Time, Weekday, ZoneTable};
pub use cost::SiteCost;
pub use distance::{Place, distance_km};
pub use engine::{Decided, decide};
pub use explain::{CandidateReport, Explanation, FailedCondition, Fate, RefusedLine, explain};
pub use facts::{Facts, LineFacts};
pub use filter::Reason;
pub use inputs::{Candidate, InputLine, Inputs};
pub use offers::{Offer, offers};
pub use plan::{Allotment, Sourced};
pub use price::{Price, price};
pub use promise::{ASSUMED_KM, Promise};
pub use strategy::{
    AfterAction, AfterReport, Closure, Compiled, Condition, Costs, Filters, KnownLocation, Lane,
    Profile, Restock, Rule, SplitRule, Strategy, StrategyError, Transit,
};
pub use trial::{Arm, Broken, Observed, broken, is_chosen};
pub use wave::{WAVE_DECISIONS_MAX, Wave, WaveOrder, WavePlan, WavePlans, WaveStock, wave};

/// The version of the rules that decides now; stored with each decision.
pub const RULE_VERSION: u32 = 2;
/// The version that knew one rule and no strategies. Its decisions are explained by that rule.
pub const FIRST_RULE_VERSION: u32 = 1;
