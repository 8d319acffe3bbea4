//! What happens to a reservation.

use serde::{Deserialize, Serialize};

use super::types::{CartLine, ReservationTerms};
use crate::ids::OrderId;
use crate::order::Assignment;
use crate::time::Timestamp;

/// A hold that goes to a line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which hold.
    pub hold: u32,
    /// Index of the order's line.
    pub line: u32,
    /// Units that the line takes of it; what is beyond goes back when the order reserves them.
    pub units: u32,
}

/// What happened to a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationEvent {
    /// A cart is to be held. Opens round 1.
    Opened {
        /// Whoever holds.
        terms: Box<ReservationTerms>,
        /// The cart.
        lines: Vec<CartLine>,
        /// Whether less than all is welcome.
        partial: bool,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// Locations are to be chosen for what is missing.
    SourcingRequested {
        /// Counts the choices.
        round: u32,
    },
    /// Locations were chosen. The holds are numbered on from the last one, in this order.
    Sourced {
        /// Which round.
        round: u32,
        /// Who is asked for what.
        assignments: Vec<Assignment>,
    },
    /// A location keeps units.
    Granted {
        /// Which hold.
        hold: u32,
        /// Units of the line.
        units: u32,
    },
    /// A location has not got them.
    Refused {
        /// Which hold.
        hold: u32,
    },
    /// What could be had is held.
    Held,
    /// Not everything could be had; what was got goes back.
    Failed {
        /// (index of a line, units) that nobody had.
        short: Vec<(u32, u32)>,
    },
    /// The client let it go.
    Released,
    /// Its time is over, and so is that of all its holds.
    Expired,
    /// A location has taken a hold back.
    HoldReleased {
        /// Which hold.
        hold: u32,
    },
    /// An order named it. Holds that are not claimed go back.
    Consumed {
        /// Who.
        order: OrderId,
        /// What it gets.
        claims: Vec<Claim>,
    },
    /// A location keeps a hold for the order.
    Claimed {
        /// Which hold.
        hold: u32,
        /// Units of the line.
        units: u32,
    },
    /// A location had nothing left of a hold.
    ClaimLost {
        /// Which hold.
        hold: u32,
    },
}
