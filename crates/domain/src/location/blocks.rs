//! SKUs that a location is not asked for, since it looked for one and did not find it, or refused it:
//! until somebody counts, adjusts or receives it there, or until a set time.
//!
//! What is granted already stays; what is on hand stays on hand. Only nothing more is granted.

use serde::{Deserialize, Serialize};

use super::event::LocationEvent;
use super::state::Location;
use super::types::Makeup;
use crate::ids::Sku;
use crate::time::Timestamp;

/// How long a SKU is blocked that was not found or refused, if nobody looks after it before: a day.
pub const BLOCKED_MILLIS: i64 = 24 * 3_600 * 1_000;
/// How far ahead a block may be set to end: a year.
pub const BLOCK_MILLIS_MAX: i64 = 366 * 24 * 3_600 * 1_000;
/// Blocks that one decision ends at most; the timer stays due for the rest.
const ENDED_PER_DECISION_MAX: usize = 256;

/// A SKU that is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuBlock {
    /// When it was first blocked.
    pub since: Timestamp,
    /// When that ends by itself.
    pub until: Timestamp,
}

impl Location {
    /// What may be granted of a SKU, unless it is blocked.
    #[must_use]
    pub fn grantable(&self, sku: &Sku) -> i64 {
        let available = self.available(sku);
        if self.blocks.contains_key(sku) {
            return available.min(0);
        }
        available
    }

    /// SKUs that are blocked after one, in byte order.
    pub fn blocks_after(&self, after: Option<&Sku>) -> impl Iterator<Item = (&Sku, &SkuBlock)> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, |sku| Bound::Excluded(sku.clone()));
        self.blocks.range((from, Bound::Unbounded))
    }

    pub(super) fn block(&mut self, sku: &Sku, block: SkuBlock) {
        self.unblock(sku);
        self.block_ends.insert((block.until, sku.clone()));
        self.blocks.insert(sku.clone(), block);
    }

    pub(super) fn unblock(&mut self, sku: &Sku) {
        if let Some(block) = self.blocks.remove(sku) {
            self.block_ends.remove(&(block.until, sku.clone()));
        }
    }
}

/// Units were looked for and not found: nobody knows how many others are there.
pub(super) fn missed(location: &Location, makeup: &Makeup, now: Timestamp) -> Vec<LocationEvent> {
    let skus = makeup.parts().map(|(sku, _)| sku);
    refused(location, skus, now.plus_millis(BLOCKED_MILLIS))
}

/// Blocks SKUs that are not blocked as long already.
pub(super) fn refused<'a>(
    location: &Location,
    skus: impl Iterator<Item = &'a Sku>,
    until: Timestamp,
) -> Vec<LocationEvent> {
    let open = |sku: &&Sku| {
        let known = location.blocks.get(*sku);
        known.is_none_or(|block| block.until < until)
    };
    let mut skus: Vec<&Sku> = skus.filter(open).collect();
    skus.sort_unstable();
    skus.dedup();
    let block = |sku: &Sku| LocationEvent::SkuBlocked {
        sku: sku.clone(),
        until,
    };
    skus.into_iter().map(block).collect()
}

/// What somebody counted, adjusted or received is known again. A count of a moment before the block
/// says nothing about it.
pub(super) fn lifted(location: &Location, sku: &Sku, events: &[LocationEvent]) -> bool {
    let Some(block) = location.blocks.get(sku) else {
        return false;
    };
    events.iter().any(|event| match event {
        LocationEvent::Received { .. } => true,
        LocationEvent::Adjusted { delta, .. } => *delta != 0,
        LocationEvent::Counted { counted_at, .. } => *counted_at >= block.since,
        _ => false,
    })
}

/// The end of each block whose time is over.
pub(super) fn due(location: &Location, now: Timestamp) -> impl Iterator<Item = LocationEvent> {
    let due = location.block_ends.iter();
    due.take_while(move |(until, _)| *until <= now)
        .take(ENDED_PER_DECISION_MAX)
        .map(|(_, sku)| LocationEvent::SkuUnblocked { sku: sku.clone() })
}
