//! Stock that comes, goes or turns out to be different: receipts, adjustments, counts, returns.
//!
//! What a count finds is never refused: where less is there than is promised, promises that are
//! not picked yet are taken back, the latest first, and their orders are told.

use compact_str::CompactString;

use super::{Decided, MOVEMENT_UNITS_MAX, done, invalid, moved, positive};
use crate::entity::{Context, DecisionOf, Entity};
use crate::ids::{AttemptId, ReturnId, Sku};
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::location::types::{Ended, Reservation};
use crate::order::Disposition;
use crate::time::Timestamp;

pub(super) fn receive(
    location: &Location,
    sku: &Sku,
    quantity: u32,
    reference: &CompactString,
    context: &Context,
) -> Decided {
    positive(quantity)?;
    within_range(location, sku, i64::from(quantity))?;
    let event = LocationEvent::Received {
        sku: sku.clone(),
        quantity,
        reference: reference.clone(),
    };
    Ok(moved(location, sku, vec![event], context))
}

pub(super) fn adjust(
    location: &Location,
    sku: &Sku,
    (delta, damaged_delta): (i64, i64),
    reference: &CompactString,
    context: &Context,
) -> Decided {
    let bound = i64::from(MOVEMENT_UNITS_MAX);
    if delta.abs() > bound || (delta == 0 && damaged_delta == 0) {
        return Err(invalid("/quantity", "out_of_range"));
    }
    if damaged_delta.abs() > bound {
        return Err(invalid("/damaged", "out_of_range"));
    }
    within_range(location, sku, delta)?;
    let balance = location.balance(sku);
    if balance.on_hand + delta < 0 {
        return Err(invalid("/quantity", "more_than_on_hand"));
    }
    let damaged = balance.damaged + damaged_delta;
    if damaged < 0 || damaged > balance.on_hand + delta {
        return Err(invalid("/damaged", "more_than_on_hand"));
    }
    let event = LocationEvent::Adjusted {
        sku: sku.clone(),
        delta,
        damaged_delta,
        reference: reference.clone(),
    };
    Ok(moved(
        location,
        sku,
        with_displacements(location, sku, event, context),
        context,
    ))
}

pub(super) fn count(
    location: &Location,
    sku: &Sku,
    (counted, counted_at): (u32, Timestamp),
    reference: &CompactString,
    context: &Context,
) -> Decided {
    if counted > MOVEMENT_UNITS_MAX {
        return Err(invalid("/counted", "out_of_range"));
    }
    if counted_at > context.now {
        return Err(invalid("/counted_at", "in_the_future"));
    }
    let item = location.items.get(sku);
    let recent = item.map_or(&[][..], |item| item.recent.as_slice());
    let since: i64 = recent
        .iter()
        .filter(|(at, _)| *at > counted_at)
        .map(|(_, delta)| delta)
        .sum();
    let delta = i64::from(counted) + since - location.balance(sku).on_hand;
    let (sku_, reference) = (sku.clone(), reference.clone());
    let event = LocationEvent::Counted {
        sku: sku_,
        counted,
        counted_at,
        delta,
        reference,
    };
    Ok(moved(
        location,
        sku,
        with_displacements(location, sku, event, context),
        context,
    ))
}

pub(super) fn set_safety_stock(
    location: &Location,
    sku: &Sku,
    quantity: u32,
    context: &Context,
) -> Decided {
    if quantity > MOVEMENT_UNITS_MAX {
        return Err(invalid("/quantity", "out_of_range"));
    }
    let delta = i64::from(quantity) - location.balance(sku).safety_stock;
    let event = LocationEvent::SafetyStockSet {
        sku: sku.clone(),
        quantity,
        delta,
    };
    let events = if delta == 0 { Vec::new() } else { vec![event] };
    Ok(moved(location, sku, events, context))
}

pub(super) fn restock(
    location: &Location,
    return_id: &ReturnId,
    items: &[(Sku, u32, Disposition)],
) -> DecisionOf<Location> {
    if location
        .tombstones
        .stands(&Ended::Return(return_id.clone()))
    {
        return done(Vec::new());
    }
    done(vec![LocationEvent::Restocked {
        return_id: return_id.clone(),
        items: items.to_vec(),
    }])
}

pub(super) fn displacement_confirmed(
    location: &Location,
    attempt: &AttemptId,
    units: u32,
) -> DecisionOf<Location> {
    // A confirmation of an earlier displacement leaves a later one open.
    if location.displaced.get(attempt) != Some(&units) {
        return done(Vec::new());
    }
    done(vec![LocationEvent::DisplacementConfirmed {
        attempt: attempt.clone(),
        units,
    }])
}

fn within_range(
    location: &Location,
    sku: &Sku,
    delta: i64,
) -> Result<(), crate::location::LocationRejection> {
    let on_hand = location.balance(sku).on_hand + delta;
    if on_hand > 1_000 * i64::from(MOVEMENT_UNITS_MAX) {
        return Err(invalid("/quantity", "out_of_range"));
    }
    Ok(())
}

/// `event`, and the displacements that it makes necessary: units that are promised and neither
/// there nor picked, from the latest promise backwards.
fn with_displacements(
    location: &Location,
    sku: &Sku,
    event: LocationEvent,
    context: &Context,
) -> Vec<LocationEvent> {
    let mut after = location.clone();
    after.apply(&event, &context.stamp());
    let mut missing = after.balance(sku).missing();
    let mut events = vec![event];
    if missing == 0 {
        return events;
    }
    let per_unit = |reservation: &Reservation| -> u32 {
        reservation
            .makeup
            .parts()
            .filter(|(part, _)| *part == sku)
            .map(|(_, per_unit)| per_unit)
            .sum()
    };
    let mut displaceable: Vec<(&AttemptId, &Reservation, u32)> = after
        .reservations
        .iter()
        .map(|(attempt, reservation)| (attempt, reservation, per_unit(reservation)))
        .filter(|(_, reservation, pieces)| *pieces > 0 && reservation.units > reservation.picked)
        .collect();
    displaceable.sort_by_key(|(attempt, reservation, _)| {
        (
            std::cmp::Reverse(reservation.promise),
            std::cmp::Reverse((*attempt).clone()),
        )
    });
    for (attempt, reservation, pieces) in displaceable {
        if missing <= 0 {
            break;
        }
        let wanted = (missing + i64::from(pieces) - 1) / i64::from(pieces);
        let free = reservation.units - reservation.picked;
        let units = u32::try_from(wanted).unwrap_or(u32::MAX).min(free);
        missing -= i64::from(units) * i64::from(pieces);
        let makeup = reservation.makeup.clone();
        events.push(LocationEvent::Displaced {
            attempt: attempt.clone(),
            units,
            makeup,
        });
    }
    events
}
