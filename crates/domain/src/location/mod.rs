//! A location: the one owner of its stock. Grants, moves and counts it; L1 and L5 are kept here.
//!
//! See [`types`] for what it knows, [`command`] for what it can be told, [`event`] for what it
//! records, `decide` for what follows from what, and [`movement`] for the ledger that the events are.

mod apply;
pub mod blocks;
pub mod capacity;
pub mod charges;
pub mod command;
mod decide;
pub mod event;
pub mod movement;
pub mod parts;
pub mod state;
mod tombstones;
pub mod types;

pub use blocks::SkuBlock;
pub use capacity::{Capacity, CapacityLimits, CapacityWindow, Room};
pub use charges::Charge;
pub use command::*;
pub use event::LocationEvent;
pub use movement::{Movement, MovementKind};
pub use parts::{LocationPart, LocationPartKey};
pub use state::Location;
pub use types::*;
