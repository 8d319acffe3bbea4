//! What follows from what, one file per family of commands.

mod announce;
mod block;
mod capacity;
mod hold;
mod serve;
mod stock;
mod transfer;

use super::blocks;
use super::command::{LocationCommand, LocationRejection, LocationReply};
use super::event::LocationEvent;
use super::state::Location;
use crate::entity::{Context, Decision, DecisionOf, Entity};
use crate::ids::Sku;

/// Units of one movement at most.
pub(super) const MOVEMENT_UNITS_MAX: u32 = 1_000_000_000;

type Decided = Result<DecisionOf<Location>, LocationRejection>;

/// Holds and blocks that are past their end go first, whether or not their timer has come round: what follows
/// is decided on the stock as it is by then.
pub(super) fn decide(location: &Location, command: &LocationCommand, context: &Context) -> Decided {
    let mut ended = hold::due(location, context.now);
    ended.extend(blocks::due(location, context.now));
    if ended.is_empty() {
        return decide_now(location, command, context);
    }
    let mut after = location.clone();
    ended
        .iter()
        .for_each(|event| after.apply(event, &context.stamp()));
    let mut decision = decide_now(&after, command, context)?;
    ended.append(&mut decision.events);
    Ok(Decision {
        events: ended,
        ..decision
    })
}

fn decide_now(location: &Location, command: &LocationCommand, context: &Context) -> Decided {
    use LocationCommand as C;
    match command {
        C::Serve { order, requests } => Ok(serve::serve(location, order, requests, context)),
        C::Receive {
            sku,
            quantity,
            reference,
        } => stock::receive(location, sku, *quantity, reference, context),
        C::Adjust {
            sku,
            delta,
            damaged_delta,
            reference,
        } => stock::adjust(location, sku, (*delta, *damaged_delta), reference, context),
        C::Count {
            sku,
            counted,
            counted_at,
            reference,
        } => stock::count(location, sku, (*counted, *counted_at), reference, context),
        C::SetSafetyStock { sku, quantity } => {
            stock::set_safety_stock(location, sku, *quantity, context)
        }
        C::Restock { return_id, items } => Ok(stock::restock(location, return_id, items, context)),
        C::DisplacementConfirmed { attempt, units } => {
            Ok(stock::displacement_confirmed(location, attempt, *units))
        }
        C::TransferOut {
            to,
            sku,
            quantity,
            reference,
        } => transfer::out(location, to, (sku, *quantity), reference, context),
        C::TransferIn {
            from,
            number,
            sku,
            quantity,
            reference,
        } => Ok(transfer::arrive(
            location,
            from,
            *number,
            (sku, *quantity),
            reference,
        )),
        C::TransferConfirmed { to, number } => Ok(transfer::confirmed(location, to, *number)),
        C::Hold {
            hold,
            items,
            partial,
            expires_at,
        } => hold::hold(location, hold, (items, *partial), *expires_at, context),
        C::ReleaseHold { hold } => Ok(hold::release(location, hold)),
        C::ConvertHold {
            hold,
            attempt,
            promise,
            not_after,
        } => hold::convert(location, hold, attempt, (*promise, *not_after), context),
        C::Announce {
            sku,
            reference,
            quantity,
            expected_at,
        } => announce::announce(location, sku, reference, (*quantity, *expected_at), context),
        C::EndAnnouncement { sku, reference } => {
            Ok(announce::end(location, sku, reference, context))
        }
        C::SetCapacity { limits } => capacity::set(location, limits, context),
        C::SetBlock { sku, until } => block::set(location, sku, *until, context),
        C::SkusRefused { skus, until } => Ok(block::by_staff(location, skus, *until, context)),
        C::ClaimHold { hold, order, line } => hold::claim(location, hold, (order, *line), context),
        // Holds and blocks that are due have gone before.
        C::Wake { .. } => Ok(done(Vec::new())),
    }
}

/// A decision that records `events` and says that it is done.
fn done(events: Vec<LocationEvent>) -> DecisionOf<Location> {
    Decision {
        events,
        private: None,
        reply: LocationReply::Done,
    }
}

/// A decision about one SKU's stock, answered with the figures after it.
fn moved(
    location: &Location,
    sku: &Sku,
    mut events: Vec<LocationEvent>,
    context: &Context,
) -> DecisionOf<Location> {
    if blocks::lifted(location, sku, &events) {
        events.push(LocationEvent::SkuUnblocked { sku: sku.clone() });
    }
    let mut after = location.clone();
    let mut displaced = 0;
    for event in &events {
        after.apply(event, &context.stamp());
        if let LocationEvent::Displaced { units, .. } = event {
            displaced += units;
        }
    }
    let reply = LocationReply::Moved {
        balance: after.balance(sku),
        displaced,
        version: after.version(),
    };
    Decision {
        events,
        private: None,
        reply,
    }
}

fn invalid(pointer: &str, code: &str) -> LocationRejection {
    LocationRejection::Invalid {
        pointer: pointer.into(),
        code: code.into(),
    }
}

fn positive(quantity: u32) -> Result<(), LocationRejection> {
    if quantity == 0 || quantity > MOVEMENT_UNITS_MAX {
        return Err(invalid("/quantity", "out_of_range"));
    }
    Ok(())
}
