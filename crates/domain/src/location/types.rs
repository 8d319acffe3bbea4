//! What a location knows: per SKU a balance, per attempt a reservation, holds, transfers.

use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::{AttemptId, Sku};
use crate::time::Timestamp;

/// A SKU's figures at one location.
/// `available = on_hand − damaged − reserved − safety_stock`; negative only after a count,
/// an adjustment or a sale already made, never after a grant (L1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Everything in the building, damaged and picked units included.
    pub on_hand: i64,
    /// Promised to orders and holds and still in the building (picked ones included).
    pub reserved: i64,
    /// Of the reserved ones, those taken from the shelf.
    pub picked: i64,
    /// Never promised.
    pub safety_stock: i64,
    /// In the building but not for sale.
    pub damaged: i64,
}

impl Balance {
    /// What may be granted now.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.on_hand - self.damaged - self.reserved - self.safety_stock
    }

    /// Units that are promised and not there: what a count must displace.
    #[must_use]
    pub fn missing(&self) -> i64 {
        (self.reserved - (self.on_hand - self.damaged)).max(0)
    }
}

/// Changes of `on_hand` that are remembered per SKU, so that a count of a past moment comes right.
pub const RECENT_CHANGES_MAX: usize = 32;
/// Of these, the youngest are remembered one by one; older ones may be merged with their neighbours.
const EXACT_CHANGES: usize = RECENT_CHANGES_MAX / 2;

/// A SKU at a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its figures.
    pub balance: Balance,
    /// Changes of `on_hand` since `counted_at`: when they happened, and by how much; oldest first.
    pub recent: Vec<(Timestamp, i64)>,
    /// The moment of the latest count; an earlier count knows less.
    pub counted_at: Timestamp,
}

impl Item {
    /// Takes note of a change of `on_hand`. When there are too many, the two older neighbours that
    /// lie closest together become one: nothing is left out of the sum, and the youngest stay exact.
    /// A count of a moment between the two errs on the low side, as less is promised then, not more.
    pub(crate) fn changed(&mut self, at: Timestamp, delta: i64) {
        let place = self.recent.partition_point(|(earlier, _)| *earlier <= at);
        if self.recent.is_empty() {
            // Most items of a location have had one receipt, and there are many items.
            self.recent.reserve_exact(1);
        }
        self.recent.insert(place, (at, delta));
        if self.recent.len() <= RECENT_CHANGES_MAX {
            return;
        }
        let older = &self.recent[..self.recent.len() - EXACT_CHANGES];
        let apart = |pair: &[(Timestamp, i64)]| pair[1].0.0.saturating_sub(pair[0].0.0);
        let closest = older
            .windows(2)
            .enumerate()
            .min_by_key(|(_, pair)| apart(pair));
        if let Some((nth, _)) = closest {
            let (later, merged) = self.recent.remove(nth + 1);
            let (moment, sum) = &mut self.recent[nth];
            *sum += merged;
            if *sum < 0 {
                *moment = later;
            }
        }
    }

    /// Takes note of a count: what was before it no longer matters.
    pub(crate) fn was_counted(&mut self, at: Timestamp) {
        self.counted_at = self.counted_at.max(at);
        let counted_at = self.counted_at;
        self.recent.retain(|(moment, _)| *moment > counted_at);
    }

    /// What `on_hand` changed by after a moment.
    pub(crate) fn since(&self, moment: Timestamp) -> i64 {
        self.recent
            .iter()
            .filter(|(at, _)| *at > moment)
            .map(|(_, delta)| delta)
            .sum()
    }
}

/// Goods that are announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The caller's paper.
    pub reference: CompactString,
    /// Units that are still to come, ≥ 1.
    pub quantity: u32,
    /// When.
    pub expected_at: Timestamp,
}

/// What one unit of a reservation is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Makeup {
    /// One unit of a SKU.
    One(Sku),
    /// Several, for bundles: SKUs and how many of each.
    Many(Arc<[(Sku, u32)]>),
}

impl Makeup {
    /// From a request's list.
    #[must_use]
    pub fn of(per_unit: &[(Sku, u32)]) -> Makeup {
        match per_unit {
            [(sku, 1)] => Makeup::One(sku.clone()),
            many => Makeup::Many(many.into()),
        }
    }

    /// SKUs and how many of each make one unit.
    pub fn parts(&self) -> impl Iterator<Item = (&Sku, u32)> {
        let (one, many): (_, &[(Sku, u32)]) = match self {
            Makeup::One(sku) => (Some((sku, 1)), &[]),
            Makeup::Many(many) => (None, many),
        };
        one.into_iter()
            .chain(many.iter().map(|(sku, per_unit)| (sku, *per_unit)))
    }
}

/// ```text
/// (none) → reserved → picked → shipped → closed
///    │        └──────────┴→ released, displaced, missed → closed when nothing is left
///    └→ refused or closed unseen: a tombstone until `not_after`
/// ```
/// All figures are in units of the order line and only ever move one way: `units` down, the others up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// What a unit is made of.
    pub makeup: Makeup,
    /// Granted and not released, displaced or missed (picked and shipped ones included).
    pub units: u32,
    /// Picked so far.
    pub picked: u32,
    /// Looked for and not found so far.
    pub short: u32,
    /// Shipped so far.
    pub shipped: u32,
    /// When the customer was promised it.
    pub promise: Timestamp,
    /// Of the `Reserve`: how long a tombstone must stand after the end.
    pub not_after: Timestamp,
}

/// Stock kept without an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockHold {
    /// SKUs and units.
    pub items: Vec<(Sku, u32)>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A transfer that the other location has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingTransfer {
    /// What.
    pub sku: Sku,
    /// Units.
    pub quantity: u32,
    /// The caller's paper.
    pub reference: CompactString,
}

/// Which transfers of one sender have arrived: all up to `upto`, and those `above` it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// All of these have.
    pub upto: u64,
    /// And these, sorted.
    pub above: Vec<u64>,
}

impl Arrived {
    /// Whether transfer `number` has arrived.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        number <= self.upto || self.above.binary_search(&number).is_ok()
    }

    /// Takes note that it has.
    pub fn note(&mut self, number: u64) {
        if self.has(number) {
            return;
        }
        if let Err(at) = self.above.binary_search(&number) {
            self.above.insert(at, number);
        }
        while self.above.first() == Some(&(self.upto + 1)) {
            self.upto += 1;
            self.above.remove(0);
        }
    }
}

/// Names something that is over and must not begin again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ended {
    /// An attempt that was closed or refused.
    Attempt(AttemptId),
    /// A return whose items are back.
    Return(crate::ids::ReturnId),
    /// A hold that was released or became an order's.
    Hold(crate::ids::HoldId),
}
