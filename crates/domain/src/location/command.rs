//! What a location can be told, what it answers, and why it refuses.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::capacity::{Capacity, CapacityLimits};
use super::types::Balance;
use crate::entity::Effect;
use crate::ids::{AttemptId, HoldId, LocationId, OrderId, ReturnId, Sku};
use crate::order::Disposition;
use crate::time::Timestamp;

/// A request of an order about one of its attempts. Targets are cumulative: repeating changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Reserve `units` of the line, each made of `per_unit`.
    Reserve {
        /// Names the reservation.
        attempt: AttemptId,
        /// Units of the order line.
        units: u32,
        /// SKUs and how many of each make one unit.
        per_unit: Vec<(Sku, u32)>,
        /// Whether fewer units are welcome (else all or none).
        partial: bool,
        /// When the customer was promised it: the latest promise is displaced first.
        promise: Timestamp,
        /// Void after this, on the location's clock.
        not_after: Timestamp,
    },
    /// Keep only `keep` units of the reservation (never fewer than are picked); 0 closes it. An
    /// attempt never seen is closed too, with a tombstone until `not_after`.
    Release {
        /// Names the reservation.
        attempt: AttemptId,
        /// Units to keep.
        keep: u32,
        /// Of the attempt's `Reserve`.
        not_after: Timestamp,
    },
    /// Units picked and not found so far.
    Pick {
        /// Names the reservation.
        attempt: AttemptId,
        /// Picked in all.
        picked: u32,
        /// Not found in all; they leave the reservation and the stock.
        short: u32,
    },
    /// Units shipped so far; when nothing is left of the reservation it is closed.
    Ship {
        /// Names the reservation.
        attempt: AttemptId,
        /// Shipped in all.
        shipped: u32,
        /// Of the attempt's `Reserve`, for the tombstone.
        not_after: Timestamp,
    },
}

impl Request {
    /// The attempt it is about.
    #[must_use]
    pub fn attempt(&self) -> &AttemptId {
        match self {
            Request::Reserve { attempt, .. }
            | Request::Release { attempt, .. }
            | Request::Pick { attempt, .. }
            | Request::Ship { attempt, .. } => attempt,
        }
    }
    /// A number for the kind and its cumulative target: names the effect.
    #[must_use]
    pub fn kind_and_target(&self) -> (u8, u64) {
        match self {
            Request::Reserve { .. } => (0, 0),
            Request::Release { keep, .. } => (1, u64::from(*keep)),
            Request::Pick { picked, short, .. } => {
                (2, u64::from(*picked) << 32 | u64::from(*short))
            }
            Request::Ship { shipped, .. } => (3, u64::from(*shipped)),
        }
    }
}

/// What a location says to a [`Request`]: the attempt's whole state, so that any one answer suffices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The reservation stands with these cumulative figures. `units` counts what is reserved and
    /// not released, short or displaced (picked and shipped ones included).
    Stands {
        /// Which.
        attempt: u32,
        /// Units granted and not taken away.
        units: u32,
        /// Picked so far.
        picked: u32,
        /// Not found so far.
        short: u32,
        /// Shipped so far.
        shipped: u32,
    },
    /// Not granted, and never will be under this attempt (a tombstone stands until its `not_after`).
    Refused {
        /// Which.
        attempt: u32,
        /// Units of the line that could be had now.
        available: u32,
        /// `insufficient`, `no_capacity`, `expired`, `closed`.
        reason: CompactString,
    },
    /// Nothing of the attempt is left at the location. A `Ship` of it has been taken in full.
    Closed {
        /// Which.
        attempt: u32,
    },
}

/// What a location can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationCommand {
    /// An order's requests, decided one by one.
    Serve {
        /// Who asks.
        order: OrderId,
        /// What.
        requests: Vec<Request>,
    },
    /// Goods came in.
    Receive {
        /// What.
        sku: Sku,
        /// Units, ≥ 1.
        quantity: u32,
        /// The caller's paper, e.g. a delivery note.
        reference: CompactString,
    },
    /// Stock is more or less than thought. Below what is reserved it displaces, like a count.
    Adjust {
        /// What.
        sku: Sku,
        /// Units, signed, not 0.
        delta: i64,
        /// Units that are on hand but not for sale: the change, signed.
        damaged_delta: i64,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Somebody counted. Never refused because it is below what is reserved: displaces unpicked
    /// reservations, latest promise first.
    Count {
        /// What.
        sku: Sku,
        /// Units on the shelf.
        counted: u32,
        /// When; movements after it are added to the counted figure.
        counted_at: Timestamp,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Sets the quantity that is never promised.
    SetSafetyStock {
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
    },
    /// Sends unreserved stock to another location.
    TransferOut {
        /// Where to.
        to: LocationId,
        /// What.
        sku: Sku,
        /// Units, ≥ 1; refused if more than is available.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
    /// The other location's part of a transfer; repeated until confirmed.
    TransferIn {
        /// Where from.
        from: LocationId,
        /// Counts `from`'s transfers to this location, from 1.
        number: u64,
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
    /// The other location has it.
    TransferConfirmed {
        /// Where it went.
        to: LocationId,
        /// Which.
        number: u64,
    },
    /// Reserves without an order, until `expires_at`.
    Hold {
        /// Names it.
        hold: HoldId,
        /// What, all or nothing unless `partial`.
        items: Vec<(Sku, u32)>,
        /// Whether fewer units are welcome.
        partial: bool,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// Ends a hold.
    ReleaseHold {
        /// Which.
        hold: HoldId,
    },
    /// Turns a hold of one SKU into an order's reservation, in one step; refused if it has expired.
    ConvertHold {
        /// Which.
        hold: HoldId,
        /// The reservation's new name.
        attempt: AttemptId,
        /// When the customer was promised it.
        promise: Timestamp,
        /// Of the attempt.
        not_after: Timestamp,
    },
    /// An order has taken note of a displacement.
    DisplacementConfirmed {
        /// Which attempt.
        attempt: AttemptId,
        /// The units that it knows to be left.
        units: u32,
    },
    /// Returned items are back.
    Restock {
        /// The return, which names this movement: repeating changes nothing.
        return_id: ReturnId,
        /// What, and in what state.
        items: Vec<(Sku, u32, Disposition)>,
    },
    /// A timer is due.
    Wake {
        /// The moment.
        now: Timestamp,
    },
    /// Goods are announced, or what was announced under this paper is otherwise. A receipt with the
    /// same paper takes from it.
    Announce {
        /// What.
        sku: Sku,
        /// The caller's paper, e.g. a purchase order.
        reference: CompactString,
        /// Units, ≥ 1.
        quantity: u32,
        /// When they should be there.
        expected_at: Timestamp,
    },
    /// Announced goods will not come. Nothing happens when none are.
    EndAnnouncement {
        /// What.
        sku: Sku,
        /// Which.
        reference: CompactString,
    },
    /// Limits what it takes on from now on; what it has taken on stays.
    SetCapacity {
        /// How much.
        limits: CapacityLimits,
    },
    /// Grants a SKU no more until a moment, or again.
    SetBlock {
        /// What.
        sku: Sku,
        /// The end; `None`: it is no longer blocked.
        until: Option<Timestamp>,
    },
    /// Staff told an order that they have none of these.
    SkusRefused {
        /// What.
        skus: Vec<Sku>,
        /// Until when they are blocked.
        until: Timestamp,
    },
    /// Keeps a hold for one line of one order, until its own end: what that line reserves here comes
    /// from it. Refused if it has ended.
    ClaimHold {
        /// Which.
        hold: HoldId,
        /// For whom.
        order: OrderId,
        /// Index of its line.
        line: u32,
    },
}

/// What a caller hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationReply {
    /// To an order: one answer per request, in order.
    Answers(Vec<Answer>),
    /// To a movement of one SKU: the balance after it.
    Moved {
        /// The SKU's figures after the movement.
        balance: Balance,
        /// Units displaced by it.
        displaced: u32,
        /// The location's version after it.
        version: u64,
    },
    /// To a hold: what was granted.
    Held {
        /// (SKU, units).
        items: Vec<(Sku, u32)>,
    },
    /// Anything else that succeeded.
    Done,
    /// To new limits: what is left by them.
    CapacitySet {
        /// The limits, and what has been taken on; `None` where nothing was ever limited.
        capacity: Option<Capacity>,
        /// When.
        at: Timestamp,
        /// The location's version after it.
        version: u64,
    },
}

/// Why a location refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LocationRejection {
    /// A field is wrong.
    #[error("{code} at {pointer}")]
    Invalid {
        /// Where, e.g. `/quantity`.
        pointer: CompactString,
        /// What, e.g. `out_of_range`.
        code: CompactString,
    },
    /// Not that many.
    #[error("only {available} of {asked} units of {sku} are available")]
    Insufficient {
        /// What.
        sku: Sku,
        /// How many were asked for.
        asked: u32,
        /// How many there are.
        available: i64,
    },
    /// No such hold, or it has expired.
    #[error("there is no live hold {hold}")]
    NoHold {
        /// Which.
        hold: HoldId,
    },
}

/// What a location asks of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationEffect {
    /// Tell an order that units of an attempt are gone (`OrderCommand::Displaced`).
    NotifyDisplaced {
        /// Whose, and which.
        attempt: AttemptId,
        /// Units that are still reserved.
        units: u32,
    },
    /// Deliver a transfer (`LocationCommand::TransferIn`).
    DeliverTransfer {
        /// Where to.
        to: LocationId,
        /// Counts the transfers to it.
        number: u64,
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
}

/// Names a [`LocationEffect`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LocationEffectKey {
    /// By attempt and what is left.
    Displaced(AttemptId, u32),
    /// By destination and number.
    Transfer(LocationId, u64),
}

impl Effect for LocationEffect {
    type Key = LocationEffectKey;
    fn key(&self) -> LocationEffectKey {
        match self {
            LocationEffect::NotifyDisplaced { attempt, units } => {
                LocationEffectKey::Displaced(attempt.clone(), *units)
            }
            LocationEffect::DeliverTransfer { to, number, .. } => {
                LocationEffectKey::Transfer(to.clone(), *number)
            }
        }
    }
}
