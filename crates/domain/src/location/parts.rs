//! How a location is stored: part by part, so that what a checkpoint writes is what changed. Variants
//! are only ever added at the end: data of older releases is read by their numbers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocks::SkuBlock;
use super::capacity::Capacity;
use super::charges::Charge;
use super::types::{Announcement, Arrived, Ended, Item, OutgoingTransfer, Reservation, StockHold};
use crate::ids::{AttemptId, HoldId, LocationId, OrderId, Sku};
use crate::time::Timestamp;

/// Names a stored part of a location.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LocationPartKey {
    /// Version and time, and the capacity of a limited one.
    Header,
    /// A SKU's figures.
    Item(Sku),
    /// An order's reservations.
    Reservations(OrderId),
    /// A hold.
    Hold(HoldId),
    /// A bucket of tombstones.
    Tombstones(u8),
    /// A displacement that is not confirmed.
    Displaced(AttemptId),
    /// A transfer that is not confirmed.
    Outgoing(LocationId, u64),
    /// Transfers numbered for a destination.
    Numbered(LocationId),
    /// Transfers arrived from a sender.
    Arrived(LocationId),
    /// Goods of a SKU that are to come.
    Announced(Sku),
    /// A SKU that is not granted.
    Blocked(Sku),
}

/// A stored part of a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationPart {
    /// Version and time.
    Header(u64, Timestamp),
    /// A SKU's figures.
    Item(Arc<Item>),
    /// An order's reservations, by line and attempt.
    Reservations(Vec<(u32, u32, Reservation)>),
    /// A hold.
    Hold(StockHold),
    /// Tombstones of a bucket.
    Tombstones(Vec<(Ended, Timestamp)>),
    /// Units left.
    Displaced(u32),
    /// A transfer that is not confirmed.
    Outgoing(OutgoingTransfer),
    /// Transfers numbered so far.
    Numbered(u64),
    /// Transfers arrived.
    Arrived(Arrived),
    /// Goods that are to come.
    Announced(Arc<[Announcement]>),
    /// Version and time, and what a limited location takes on: it changes with every reservation,
    /// as the version does.
    LimitedHeader(u64, Timestamp, Capacity),
    /// An order's reservations, of which some took capacity, by line and attempt.
    Charged(Vec<(u32, u32, Reservation, Option<Charge>)>),
    /// Since when a SKU is not granted, and until when.
    Blocked(SkuBlock),
}
