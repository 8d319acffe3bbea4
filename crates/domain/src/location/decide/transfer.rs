//! Stock on its way between two locations: sent once, taken in once, whatever messages are lost.

use compact_str::CompactString;

use super::{Decided, done, invalid, moved, positive};
use crate::entity::{Context, DecisionOf};
use crate::ids::{LocationId, Sku};
use crate::location::command::LocationRejection;
use crate::location::event::LocationEvent;
use crate::location::state::Location;

/// Transfers that other locations have not confirmed, at most (L8).
const UNCONFIRMED_TRANSFERS_MAX: usize = 10_000;

pub(super) fn out(
    location: &Location,
    to: &LocationId,
    (sku, quantity): (&Sku, u32),
    reference: &CompactString,
    context: &Context,
) -> Decided {
    positive(quantity)?;
    if *to == location.id {
        return Err(invalid("/to", "same_location"));
    }
    if location.outgoing.len() >= UNCONFIRMED_TRANSFERS_MAX {
        return Err(invalid("/to", "too_many_unconfirmed"));
    }
    let available = location.available(sku);
    if available < i64::from(quantity) {
        return Err(LocationRejection::Insufficient {
            sku: sku.clone(),
            asked: quantity,
            available,
        });
    }
    let number = location.numbered.get(to).copied().unwrap_or(0) + 1;
    let event = LocationEvent::TransferredOut {
        to: to.clone(),
        number,
        sku: sku.clone(),
        quantity,
        reference: reference.clone(),
    };
    Ok(moved(location, sku, vec![event], context))
}

pub(super) fn arrive(
    location: &Location,
    from: &LocationId,
    number: u64,
    (sku, quantity): (&Sku, u32),
    reference: &CompactString,
) -> DecisionOf<Location> {
    if location
        .arrived
        .get(from)
        .is_some_and(|arrived| arrived.has(number))
    {
        return done(Vec::new());
    }
    done(vec![LocationEvent::TransferredIn {
        from: from.clone(),
        number,
        sku: sku.clone(),
        quantity,
        reference: reference.clone(),
    }])
}

pub(super) fn confirmed(location: &Location, to: &LocationId, number: u64) -> DecisionOf<Location> {
    if !location.outgoing.contains_key(&(to.clone(), number)) {
        return done(Vec::new());
    }
    done(vec![LocationEvent::TransferConfirmed {
        to: to.clone(),
        number,
    }])
}
