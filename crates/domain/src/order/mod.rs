//! An order: from "placed" until every unit is delivered, cancelled, lost or returned and the
//! books balance. `state` is what it is, `command`, `event` and `effect` what goes in and out,
//! `decide` the rules, `apply` the only place where the state changes.
//!
//! What must hold: every line's ledger of units sums to what was ordered; the money ledger sums to
//! zero (L6); statuses move only along their machines (L7); repeated and late messages change
//! nothing (L3); no attempt is forgotten before its location has closed it (L5).

mod apply;
mod attempt;
pub mod command;
mod decide;
pub mod effect;
pub mod event;
mod laws;
pub mod ledger;
pub mod logistics;
mod pending;
pub mod state;
pub mod status;
pub mod types;

pub use command::*;
pub use decide::validate;
pub use effect::*;
pub use event::*;
pub use ledger::*;
pub use logistics::*;
pub use pending::SCANS_AWAITED_MS;
pub use state::*;
pub use status::*;
pub use types::*;
