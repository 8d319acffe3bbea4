//! What locations and carriers do for an order: attempts, fulfillment orders, packages, shipments,
//! returns. Data with its state machines drawn above; the rules are in `attempt`, `status` and `decide`.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::{CarrierId, LocationId, TrackingNumber};
use crate::money::Minor;
use crate::time::Timestamp;

/// One try to get units of one line from one location, open until the location has confirmed it closed.
///
/// ```text
/// Reserving → Granted → (picked, packed, shipped) → Closed (gone)
///     └→ refused → gone          └→ releasing → gone or smaller
/// ```
/// Targets are cumulative, so that a repeated message changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1 within the order.
    pub number: u32,
    /// Index of the line.
    pub line: u32,
    /// Who is asked.
    pub location: LocationId,
    /// Units asked for, then units granted and not released (picked and shipped ones included).
    pub units: u32,
    /// Whether the location has granted it.
    pub granted: bool,
    /// A `Reserve` is void at the location after this.
    pub not_after: Timestamp,
    /// The fulfillment order it belongs to, by number, once there is one.
    pub fulfillment_order: Option<u32>,
    /// Ask the location to keep only this many (0: close it); `None`: nothing asked. Derived from
    /// the two wishes below by `normalise`.
    pub keep: Option<u32>,
    /// Units that somebody wants cancelled, if the location still has them unpicked.
    pub cancel_requested: u32,
    /// Units that are wanted back to be sourced elsewhere.
    pub move_requested: u32,
    /// Units that staff say they picked; the location has not confirmed those above `picked`.
    pub pick_target: u32,
    /// Units that staff did not find; the location has not confirmed those above `short`.
    pub short_target: u32,
    /// Picked, by the location's word.
    pub picked: u32,
    /// Not found, by the location's word (already taken off `units`).
    pub short: u32,
    /// Packed (≤ picked).
    pub packed: u32,
    /// Shipped (≤ packed).
    pub shipped: u32,
    /// Shipped, by the location's word.
    pub shipped_confirmed: u32,
}

/// ```text
/// scheduled → open → in_progress → closed
///     │         │         ├→ incomplete (some shipped, what was left went elsewhere)
///     └─────────┴─────────┴→ cancelled  (nothing shipped and nothing will)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    /// Not to be worked yet (held, or its order is still being sourced).
    Scheduled,
    /// Waits for the location.
    Open,
    /// Accepted, or picking has begun.
    InProgress,
    /// All its units are shipped.
    Closed,
    /// Some units shipped, the rest were short or cancelled.
    Incomplete,
    /// No unit shipped and none will.
    Cancelled,
}

/// What one location owes of one order. Its lines are the attempts that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentOrder {
    /// Counts from 1 within the order.
    pub number: u32,
    /// Who serves it.
    pub location: LocationId,
    /// Derived from its attempts and `accepted` by one table.
    pub status: FulfillmentStatus,
    /// Whether the location has accepted it.
    pub accepted: bool,
    /// What it comprises, by line index: units handed to it, and what became of them.
    pub lines: Vec<FulfillmentLine>,
    /// Packages in which its units lie.
    pub packages: Vec<Package>,
}

/// A line's units in a fulfillment order. `quantity = open + picked + packed + shipped + cancelled + short`
/// where `open` is what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentLine {
    /// Index of the line.
    pub line: u32,
    /// Handed to the location in all.
    pub quantity: u32,
    /// Picked, not yet packed.
    pub picked: u32,
    /// Packed, not yet shipped.
    pub packed: u32,
    /// Shipped.
    pub shipped: u32,
    /// Taken away again: cancelled, rejected or displaced.
    pub cancelled: u32,
    /// Not found by the picker.
    pub short: u32,
}

impl FulfillmentLine {
    /// Still in the building and not picked.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.quantity - self.picked - self.packed - self.shipped - self.cancelled - self.short
    }
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Counts from 1 within the fulfillment order.
    pub number: u32,
    /// (line index, units).
    pub items: Vec<(u32, u32)>,
    /// Grams; 0 if not weighed.
    pub weight_grams: u32,
    /// The shipment it left with, by number.
    pub shipment: Option<u32>,
}

/// ```text
/// created → packed → shipped → in_transit → out_for_delivery → available_for_pickup → delivered
///                               ⇅ exception   ⇅ delivery_attempted
/// ends also in: refused, lost, damaged, return_to_sender → returned, cancelled
/// (a refused parcel may still be returned to its sender). States may be skipped forward, since
/// carriers leave out scans.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// Announced.
    Created,
    /// In its packages.
    Packed,
    /// Handed to the carrier.
    Shipped,
    /// On its way.
    InTransit,
    /// In the van.
    OutForDelivery,
    /// Nobody there.
    DeliveryAttempted,
    /// Something is wrong.
    Exception,
    /// Waits at a counter.
    AvailableForPickup,
    /// Handed over.
    Delivered,
    /// The recipient did not take it.
    Refused,
    /// Not to be found.
    Lost,
    /// Broken.
    Damaged,
    /// On its way back.
    ReturnToSender,
    /// Back.
    Returned,
    /// Never left.
    Cancelled,
}

/// A shipment of packages with one tracking number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// Counts from 1 within the order.
    pub number: u32,
    /// The fulfillment order that it left from, by number.
    pub fulfillment_order: u32,
    /// Who carries it.
    pub carrier: Option<CarrierId>,
    /// The carrier's service code.
    pub service: Option<CompactString>,
    /// Given by the caller, or asked of the carrier.
    pub tracking_number: Option<TrackingNumber>,
    /// Whether the carrier is being asked for a tracking number.
    pub number_asked: bool,
    /// Where it is.
    pub status: ShipmentStatus,
    /// (line index, units).
    pub items: Vec<(u32, u32)>,
    /// What the carrier reported, in the order in which it happened.
    pub tracking: Vec<TrackingEvent>,
    /// Whether somebody signed for it (the name is personal data).
    pub signed: bool,
    /// When this order last recorded anything about it: `SCANS_AWAITED` later its end is assumed.
    pub heard_at: Timestamp,
}

/// What a carrier reported about a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingEvent {
    /// Normalised.
    pub status: ShipmentStatus,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Where, as the carrier says.
    pub place: Option<CompactString>,
    /// Why, for exceptions.
    pub reason: Option<CompactString>,
}

/// ```text
/// requested → approved → in_transit → received → inspected → closed
///     └──────────┴→ declined, cancelled, expired
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnStatus {
    /// Asked for.
    Requested,
    /// May come.
    Approved,
    /// On its way.
    InTransit,
    /// Here.
    Received,
    /// Looked at.
    Inspected,
    /// Settled.
    Closed,
    /// Not allowed.
    Declined,
    /// Withdrawn.
    Cancelled,
    /// Never came.
    Expired,
}

/// What becomes of a returned item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Back on the shelf.
    Restocked,
    /// Not for sale again.
    NotRestocked,
    /// Somebody must look; counted as damaged until then.
    ProcessingRequired,
    /// Was not in the parcel.
    Missing,
}

/// A return (RMA).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Counts from 1 within the order.
    pub number: u32,
    /// Where it is in its life.
    pub status: ReturnStatus,
    /// What is to come back.
    pub lines: Vec<ReturnLine>,
    /// Where it was received.
    pub location: Option<LocationId>,
    /// Stock movements that the receiving location has not confirmed yet.
    pub restock_open: bool,
    /// What was refunded, in minor units.
    pub refunded: Minor,
}

/// A line of a return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLine {
    /// Index of the order line.
    pub line: u32,
    /// Units to come back.
    pub quantity: u32,
    /// Why.
    pub reason: CompactString,
    /// What came, by disposition.
    pub received: Vec<(Disposition, u32)>,
}
