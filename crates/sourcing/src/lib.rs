//! Which locations serve an order: from an order and what is available to a plan, and why.
//!
//! In: [`Inputs`], everything a decision rests on, small enough to be kept with it. Out: a
//! [`Sourced`] plan, and on demand its [`Explanation`], recomputed from the same inputs bit for bit
//! (L9, L10). Reads no clock and no view; knows no actor and no storage.
//!
//! The rule, first cut: fewest locations, then nearest, then lowest rate, then lowest ordinal.

mod distance;
mod explain;
mod inputs;
mod search;
mod stored;

pub use distance::{Place, distance_km};
pub use explain::{CandidateReport, Explanation, Fate, explain};
pub use inputs::{Candidate, InputLine, Inputs};
pub use search::{Allotment, Sourced, source};

/// Names the rule that decides, and its version; part of every explanation.
pub const RULE: &str = "fewest locations, then nearest, then lowest rate; version 1";
