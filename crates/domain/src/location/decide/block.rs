//! SKUs blocked and unblocked, by people or by what an order heard from staff.

use super::{Decided, done, invalid};
use crate::entity::{Context, DecisionOf};
use crate::ids::Sku;
use crate::location::blocks::{BLOCK_MILLIS_MAX, refused};
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::time::Timestamp;

/// Until a moment, or no longer.
pub(super) fn set(
    location: &Location,
    sku: &Sku,
    until: Option<Timestamp>,
    context: &Context,
) -> Decided {
    let known = location.blocks.get(sku);
    let Some(until) = until else {
        let lifted = known.map(|_| LocationEvent::SkuUnblocked { sku: sku.clone() });
        return Ok(done(lifted.into_iter().collect()));
    };
    if until <= context.now {
        return Err(invalid("/until", "in_the_past"));
    }
    if until > context.now.plus_millis(BLOCK_MILLIS_MAX) {
        return Err(invalid("/until", "out_of_range"));
    }
    if known.is_some_and(|block| block.until == until) {
        return Ok(done(Vec::new()));
    }
    Ok(done(vec![LocationEvent::SkuBlocked {
        sku: sku.clone(),
        until,
    }]))
}

/// Staff had none of these. A message that comes when its time is over, or again, changes nothing.
pub(super) fn by_staff(
    location: &Location,
    skus: &[Sku],
    until: Timestamp,
    context: &Context,
) -> DecisionOf<Location> {
    if until <= context.now {
        return done(Vec::new());
    }
    done(refused(location, skus.iter(), until))
}
