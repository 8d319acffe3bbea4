//! Stock that comes, goes or turns out to be different: receipts, adjustments, counts, returns.
//!
//! What a count finds is never refused: where less is there than is promised, promises that are
//! not picked yet are taken back, the latest first, and their orders are told.

use std::collections::BinaryHeap;

use compact_str::CompactString;

use super::{Decided, MOVEMENT_UNITS_MAX, announce, done, invalid, moved, positive};
use crate::entity::{Context, DecisionOf, Entity};
use crate::ids::{AttemptId, ReturnId, Sku};
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::location::types::{Balance, Ended, Reservation};
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
    let mut events = vec![event];
    events.extend(announce::arrived(location, sku, reference, quantity));
    Ok(moved(location, sku, events, context))
}

pub(super) fn adjust(
    location: &Location,
    sku: &Sku,
    (delta, damaged_delta): (i64, i64),
    reference: &CompactString,
    context: &Context,
) -> Decided {
    let bound = i64::from(MOVEMENT_UNITS_MAX);
    if !(-bound..=bound).contains(&delta) || (delta == 0 && damaged_delta == 0) {
        return Err(invalid("/quantity", "out_of_range"));
    }
    if !(-bound..=bound).contains(&damaged_delta) {
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
        with_displacements(location, sku, vec![event], context),
        context,
    ))
}

/// What was counted, and what has changed since, is what is there. A count of an earlier moment than
/// one that is known already says nothing new, and is only put on record.
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
    let item = location.items.get(sku).cloned().unwrap_or_default();
    let Balance {
        on_hand, damaged, ..
    } = item.balance;
    let delta = if counted_at < item.counted_at {
        0
    } else {
        (i64::from(counted) + item.since(counted_at)).max(0) - on_hand
    };
    let mut events = vec![LocationEvent::Counted {
        sku: sku.clone(),
        counted,
        counted_at,
        delta,
        reference: reference.clone(),
    }];
    // No more can be damaged than is there.
    let damaged_delta = (on_hand + delta).max(0).min(damaged) - damaged;
    if damaged_delta != 0 {
        let (sku, reference) = (sku.clone(), reference.clone());
        events.push(LocationEvent::Adjusted {
            sku,
            delta: 0,
            damaged_delta,
            reference,
        });
    }
    Ok(moved(
        location,
        sku,
        with_displacements(location, sku, events, context),
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
    context: &Context,
) -> DecisionOf<Location> {
    if location
        .tombstones
        .stands(&Ended::Return(return_id.clone()), context.now)
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

/// `events`, and what they make necessary: units that are promised and neither there nor picked are
/// taken back, first from holds, behind which no order stands, then from the latest promise backwards.
fn with_displacements(
    location: &Location,
    sku: &Sku,
    mut events: Vec<LocationEvent>,
    context: &Context,
) -> Vec<LocationEvent> {
    let mut after = location.clone();
    events
        .iter()
        .for_each(|event| after.apply(event, &context.stamp()));
    let missing = after.balance(sku).missing();
    if missing > 0 {
        let missing = end_holds(&after, sku, missing, &mut events);
        displace(&after, sku, missing, &mut events);
    }
    events
}

/// Ends holds of a SKU, the one that would last longest first; returns what is missing still.
fn end_holds(
    location: &Location,
    sku: &Sku,
    mut missing: i64,
    events: &mut Vec<LocationEvent>,
) -> i64 {
    // Holds are few and live briefly; this walk is only made when a count falls short.
    for (_, hold) in location.expiries.iter().rev() {
        let Some(held) = location.holds.get(hold).filter(|_| missing > 0) else {
            continue;
        };
        let of_sku = held.items.iter().filter(|(other, _)| other == sku);
        let units: i64 = of_sku.map(|(_, units)| i64::from(*units)).sum();
        if units > 0 {
            missing -= units;
            let items = held.items.clone();
            events.push(LocationEvent::HoldEnded {
                hold: hold.clone(),
                items,
                expired: false,
            });
        }
    }
    missing
}

fn displace(location: &Location, sku: &Sku, mut missing: i64, events: &mut Vec<LocationEvent>) {
    let per_unit = |reservation: &Reservation| -> u32 {
        reservation
            .makeup
            .parts()
            .filter(|(part, _)| *part == sku)
            .map(|(_, per_unit)| per_unit)
            .sum()
    };
    // The latest promise is on top; building the heap is linear, and few are taken from it.
    let mut displaceable: BinaryHeap<(Timestamp, &AttemptId, u32, u32)> = BinaryHeap::new();
    if missing > 0 {
        let open = location.reservations.iter().map(|(attempt, reservation)| {
            let unpicked = reservation.units - reservation.picked;
            (
                reservation.promise,
                attempt,
                per_unit(reservation),
                unpicked,
            )
        });
        displaceable.extend(open.filter(|(_, _, pieces, unpicked)| *pieces > 0 && *unpicked > 0));
    }
    while missing > 0
        && let Some((_, attempt, pieces, unpicked)) = displaceable.pop()
    {
        let pieces = i64::from(pieces);
        let wanted = (missing + pieces - 1) / pieces;
        let units = u32::try_from(wanted).unwrap_or(u32::MAX).min(unpicked);
        missing -= i64::from(units) * pieces;
        if let Some(Reservation { makeup, .. }) = location.reservations.get(attempt) {
            let makeup = makeup.clone();
            events.push(LocationEvent::Displaced {
                attempt: attempt.clone(),
                units,
                makeup,
            });
        }
    }
}
