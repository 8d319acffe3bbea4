//! Goods that are to come: announced, changed, taken back, and taken from as they arrive.
//!
//! What is announced promises nothing here: it never counts as available (L1).

use compact_str::CompactString;

use super::{Decided, invalid, moved, positive};
use crate::entity::{Context, DecisionOf};
use crate::ids::Sku;
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::location::types::Announcement;
use crate::time::Timestamp;

/// Announcements of one SKU at a time.
const PER_SKU_MAX: usize = 32;
/// SKUs of which some is announced at a time.
const SKUS_MAX: usize = 50_000;

pub(super) fn announce(
    location: &Location,
    sku: &Sku,
    reference: &CompactString,
    (quantity, expected_at): (u32, Timestamp),
    context: &Context,
) -> Decided {
    positive(quantity)?;
    if reference.is_empty() {
        return Err(invalid("/reference", "empty"));
    }
    let known = location.announced(sku);
    let stands = known.iter().find(|of| of.reference == *reference);
    if stands.is_none() {
        if known.len() >= PER_SKU_MAX {
            return Err(invalid("/reference", "too_many_announced"));
        }
        if known.is_empty() && location.announced.len() >= SKUS_MAX {
            return Err(invalid("/sku", "too_many_announced"));
        }
    }
    let is_new = |of: &Announcement| (of.quantity, of.expected_at) != (quantity, expected_at);
    let event = LocationEvent::Announced {
        sku: sku.clone(),
        reference: reference.clone(),
        quantity,
        expected_at,
    };
    let events = if stands.is_none_or(is_new) {
        vec![event]
    } else {
        Vec::new()
    };
    Ok(moved(location, sku, events, context))
}

pub(super) fn end(
    location: &Location,
    sku: &Sku,
    reference: &CompactString,
    context: &Context,
) -> DecisionOf<Location> {
    let mut known = location.announced(sku).iter();
    let event = LocationEvent::AnnouncementEnded {
        sku: sku.clone(),
        reference: reference.clone(),
    };
    let stands = known.any(|of| of.reference == *reference);
    let events = if stands { vec![event] } else { Vec::new() };
    moved(location, sku, events, context)
}

/// What a receipt leaves to come of the announcement that has its paper; nothing when none has.
pub(super) fn arrived(
    location: &Location,
    sku: &Sku,
    reference: &CompactString,
    quantity: u32,
) -> Option<LocationEvent> {
    let mut known = location.announced(sku).iter();
    let of = known.find(|of| of.reference == *reference)?;
    let (sku, reference) = (sku.clone(), reference.clone());
    Some(if of.quantity > quantity {
        LocationEvent::Announced {
            sku,
            reference,
            quantity: of.quantity - quantity,
            expected_at: of.expected_at,
        }
    } else {
        LocationEvent::AnnouncementEnded { sku, reference }
    })
}
