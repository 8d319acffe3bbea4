//! What a location records. Events carry the SKUs and figures that they move, so that the ledger
//! of movements can be read from them alone.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::capacity::CapacityLimits;
use super::types::Makeup;
use crate::ids::{AttemptId, HoldId, LocationId, ReturnId, Sku};
use crate::order::Disposition;
use crate::time::Timestamp;

/// What happened at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationEvent {
    /// Goods came in.
    Received {
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Stock turned out to be more or less.
    Adjusted {
        /// What.
        sku: Sku,
        /// On hand, signed.
        delta: i64,
        /// Not for sale, signed.
        damaged_delta: i64,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Somebody counted.
    Counted {
        /// What.
        sku: Sku,
        /// Units counted.
        counted: u32,
        /// When they were counted.
        counted_at: Timestamp,
        /// What that changes about `on_hand`, movements since then allowed for.
        delta: i64,
        /// The caller's paper.
        reference: CompactString,
    },
    /// The quantity that is never promised was set.
    SafetyStockSet {
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
        /// The change.
        delta: i64,
    },
    /// Stock left for another location.
    TransferredOut {
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
    /// Stock came from another location.
    TransferredIn {
        /// Where from.
        from: LocationId,
        /// Counts its transfers to here.
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
    /// Units were promised to an order.
    Reserved {
        /// Names the reservation.
        attempt: AttemptId,
        /// Units of the order line.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
        /// When the customer was promised it.
        promise: Timestamp,
        /// Until when a repeated `Reserve` may come.
        not_after: Timestamp,
    },
    /// Not granted, and never to be granted under this name.
    Refused {
        /// Which.
        attempt: AttemptId,
        /// Until when the refusal must be remembered.
        not_after: Timestamp,
    },
    /// An attempt was closed before its `Reserve` came.
    ClosedUnseen {
        /// Which.
        attempt: AttemptId,
        /// Until when that must be remembered.
        not_after: Timestamp,
    },
    /// Units went back to the shelf at the order's wish.
    Released {
        /// Which reservation.
        attempt: AttemptId,
        /// Units of the order line.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
    },
    /// Units were taken from the shelf.
    Picked {
        /// Which reservation.
        attempt: AttemptId,
        /// Units, now.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
    },
    /// Units were looked for and not found: they leave the stock and the reservation.
    Missed {
        /// Which reservation.
        attempt: AttemptId,
        /// Units, now.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
    },
    /// Units left the building.
    Shipped {
        /// Which reservation.
        attempt: AttemptId,
        /// Units, now.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
    },
    /// A count or an adjustment took promised units away.
    Displaced {
        /// Which reservation.
        attempt: AttemptId,
        /// Units, now.
        units: u32,
        /// What a unit is made of.
        makeup: Makeup,
    },
    /// The order knows how many units are left.
    DisplacementConfirmed {
        /// Which reservation.
        attempt: AttemptId,
        /// Units that the order knows to be left.
        units: u32,
    },
    /// Stock was kept without an order.
    Held {
        /// Names it.
        hold: HoldId,
        /// SKUs and units.
        items: Vec<(Sku, u32)>,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// A hold ended.
    HoldEnded {
        /// Which.
        hold: HoldId,
        /// What came back.
        items: Vec<(Sku, u32)>,
        /// Whether time ended it.
        expired: bool,
    },
    /// A hold became an order's reservation.
    HoldConverted {
        /// Which.
        hold: HoldId,
        /// The reservation's name.
        attempt: AttemptId,
        /// Units of the SKU that it held.
        units: u32,
        /// The SKU.
        sku: Sku,
        /// When the customer was promised it.
        promise: Timestamp,
        /// Of the attempt.
        not_after: Timestamp,
    },
    /// Returned items are back.
    Restocked {
        /// Which return.
        return_id: ReturnId,
        /// What, and in what state.
        items: Vec<(Sku, u32, Disposition)>,
    },
    /// Goods are announced, or what was announced is otherwise.
    Announced {
        /// What.
        sku: Sku,
        /// The caller's paper, which names it at this location for this SKU.
        reference: CompactString,
        /// Units that are still to come, ≥ 1.
        quantity: u32,
        /// When.
        expected_at: Timestamp,
    },
    /// Announced goods have come, or will not.
    AnnouncementEnded {
        /// What.
        sku: Sku,
        /// Which.
        reference: CompactString,
    },
    /// What it takes on was limited, or no longer is.
    CapacitySet {
        /// From now on.
        limits: CapacityLimits,
    },
    /// A SKU is not granted for now.
    SkuBlocked {
        /// What.
        sku: Sku,
        /// When that ends by itself.
        until: Timestamp,
    },
    /// A SKU is granted again.
    SkuUnblocked {
        /// What.
        sku: Sku,
    },
}
