//! The domain on the runtime: which effect goes to whom, the availability view, sourcing as an
//! effect, and the questions that the gateway asks.
//!
//! In: commands and queries of the gateway. Out: committed entities and typed refusals. This is
//! the only crate in which orders and actors meet; it holds no HTTP and no storage format.

mod atlas;
mod availability;
mod behaviour;
mod blocks;
mod capacity;
mod catalogue;
mod cluster;
mod error;
mod events;
mod explanation;
mod external;
mod forward;
mod goods;
mod incoming;
mod index;
mod inventory;
mod lists;
mod mint;
mod options;
mod orders;
mod parking;
mod recording;
mod replenish;
mod reservation_behaviour;
mod reservations;
mod rooms;
mod service;
mod sourcing;
mod strategies;
mod tracking;
mod trials;
mod trying;
mod view;
mod waves;
mod whatif;

pub use availability::{
    Cart, CartAvailability, LocationOffer, PICKUP_MAX, Restock, Shipment, Shopper, SkuAvailability,
};
pub use capacity::CapacityAt;
pub use catalogue::{Goods, Put};
pub use consign_runtime::{CommandKey, GroupStatus, Health, ReplicaOptions, Threads, Timing};
pub use consign_sourcing::{Arm, Day, Promise, Strategy, StrategyError};
pub use error::ServiceError;
pub use events::{EventCursor, EventPage, HappenedEvent, HappenedKind};
pub use explanation::DecisionExplanation;
pub use inventory::{
    InventoryCommand, LocationSku, Moved, MovementItem, ReservationItem, SkuInventory, SkuLocation,
};
pub use lists::{FulfillmentFilter, OrderFilter, Page};
pub use options::{CallMeta, ClusterOptions, ConsignOptions};
pub use orders::{HistoryItem, NewOrder, OrderOutcome, ProductLine};
pub use recording::{RECORDING_FORMAT, Recorded, Window};
pub use reservations::{NewReservation, ReservationOutcome};
pub use service::{Consign, Readiness};
pub use sourcing::coarse;
pub use strategies::{StrategyChange, StrategyHead, StrategyStands};
pub use tracking::{Scan, TrackedShipment};
pub use trials::{TrialChange, TrialStands};
pub use trying::TrialFigures;
pub use waves::{ReleasedWave, WaveFigures};
pub use whatif::{
    ASSUMPTIONS, Figures, LocationLoad, MovedOrder, Recording, RecordingError, Report, RuleRegret,
    replay,
};
