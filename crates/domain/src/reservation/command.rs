//! What a reservation can be told, what it answers, and why it refuses.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::types::{CartLine, ReservationTerms};
use crate::ids::{LocationId, OrderId, Sku};
use crate::order::{Assignment, Fulfilment, SplitPolicy};
use crate::time::Timestamp;

/// A line of the order that names a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: u32,
    /// Only this location.
    pub pickup_location: Option<LocationId>,
    /// How it is fulfilled.
    pub fulfilment: Fulfilment,
}

/// What a location said about a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldAnswer {
    /// It keeps this.
    Held(Vec<(Sku, u32)>),
    /// It does not, and never will under that name.
    Refused,
    /// It keeps nothing any more.
    Released,
    /// It keeps this for the order.
    Claimed(Vec<(Sku, u32)>),
    /// There is nothing left that it could keep for the order.
    Lost,
}

/// What a reservation can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReservationCommand {
    /// Hold a cart, with the first choice of locations.
    Open {
        /// Whoever holds.
        terms: Box<ReservationTerms>,
        /// The cart.
        lines: Vec<CartLine>,
        /// Whether less than all is welcome.
        partial: bool,
        /// For how long, seconds.
        hold_seconds: u32,
        /// Who is to be asked.
        plan: Vec<Assignment>,
    },
    /// The answer to [`super::ReservationEffect::Source`].
    Assign {
        /// The round that asked; another round's answer changes nothing.
        round: u32,
        /// Who is to be asked.
        plan: Vec<Assignment>,
    },
    /// A location answered.
    Answered {
        /// Which hold.
        hold: u32,
        /// What it said.
        answer: HoldAnswer,
    },
    /// An order names it. The first one gets what fits it; the rest is released.
    Consume {
        /// Who.
        order: OrderId,
        /// What it wants.
        lines: Vec<OrderedLine>,
        /// May it be split? One that must be whole gets all it wants or nothing.
        split: SplitPolicy,
    },
    /// The client lets it go.
    Release,
    /// A timer is due.
    Wake {
        /// The moment.
        now: Timestamp,
    },
}

/// What a caller hears once a command is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationReply {
    /// The reservation's version after the command.
    pub version: u64,
}

/// Why a reservation refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReservationRejection {
    /// No such reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// It was made by another command.
    #[error("the reservation exists already")]
    Exists,
    /// A field is wrong.
    #[error("{code} at {pointer}")]
    Invalid {
        /// Where, e.g. `/hold_seconds`.
        pointer: CompactString,
        /// What, e.g. `out_of_range`.
        code: CompactString,
    },
}
