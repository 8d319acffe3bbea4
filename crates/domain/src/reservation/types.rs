//! What a reservation knows: the cart, and its holds at locations.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, Sku};
use crate::money::{Currency, UnitPrice};
use crate::order::{Destination, Fulfilment, SplitPolicy};

/// What a strategy's rules ask about whoever holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationTerms {
    /// Where the order will come from.
    pub channel: CompactString,
    /// The retailer's own word for the order.
    pub order_type: Option<CompactString>,
    /// The customer's group.
    pub customer_group: Option<CompactString>,
    /// `standard`, `express`, `same_day`, `pickup`.
    pub service_level: CompactString,
    /// Where to.
    pub destination: Destination,
    /// Of the unit prices; none when there are none.
    pub currency: Option<Currency>,
    /// May it be split?
    pub split: SplitPolicy,
}

/// A line of the cart, resolved against the catalogue by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: u32,
    /// Price of one unit; 0 where the cart names none.
    pub unit_price: UnitPrice,
    /// Only this location.
    pub pickup_location: Option<LocationId>,
    /// How it is fulfilled; what is virtual is never held.
    pub fulfilment: Fulfilment,
}

/// ```text
/// holding → held → consumed   (an order named it)
///    │        ├──→ released   (the client let it go)
///    │        └──→ expired    (its time is over)
///    └→ failed, released, expired
/// ```
/// What is not `holding` or `held` any more stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationStatus {
    /// Locations are being chosen and asked.
    Holding,
    /// The units are there for the order that names it.
    Held,
    /// An order has named it.
    Consumed,
    /// The client let it go.
    Released,
    /// Its time is over.
    Expired,
    /// Not everything could be had; nothing is held.
    Failed,
}

impl ReservationStatus {
    /// Its name, as clients see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ReservationStatus::Holding => "holding",
            ReservationStatus::Held => "held",
            ReservationStatus::Consumed => "consumed",
            ReservationStatus::Released => "released",
            ReservationStatus::Expired => "expired",
            ReservationStatus::Failed => "failed",
        }
    }
}

/// Units of a line of the cart at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineHold {
    /// Counts from 1 within the reservation; names the hold at its location.
    pub number: u32,
    /// Index of the cart's line.
    pub line: u32,
    /// Where.
    pub location: LocationId,
    /// Asked for, then granted, then given to the order.
    pub units: u32,
    /// How it stands.
    pub state: HoldState,
}

/// ```text
/// asked → held → claiming → claimed
///   │      │         └────→ ended
///   └──────┴→ releasing ──→ ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// The location has yet to say.
    Asked,
    /// The location keeps it.
    Held,
    /// The location is to keep it for an order's line, by index.
    Claiming(u32),
    /// It does, until that order reserves it or its time is over.
    Claimed(u32),
    /// It is wanted back.
    Releasing,
    /// Nothing is kept, as far as is known; a late grant ends by its own time.
    Ended,
}

impl HoldState {
    /// Whether its units count: asked for or kept.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, HoldState::Releasing | HoldState::Ended)
    }

    /// Whether its location has yet to answer.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(
            self,
            HoldState::Asked | HoldState::Claiming(_) | HoldState::Releasing
        )
    }
}
