//! Sourcing and reserving: units move between unsourced, backordered and allocated.

use super::{attempt_mut, remove_attempt};
use crate::ids::LocationId;
use crate::order::command::{Assignment, LineQuantity};
use crate::order::event::{AttemptUnits, OrderEvent, Refusal, ReleaseWish};
use crate::order::logistics::{Attempt, FulfillmentLine, FulfillmentOrder, FulfillmentStatus};
use crate::order::state::Order;
use crate::time::Timestamp;

pub(super) fn requested(order: &mut Order, round: u32, retried: &[LineQuantity]) {
    order.round = round;
    order.sourcing_open = true;
    order.rounds_tried += 1;
    if retried.is_empty() {
        return;
    }
    order.rounds_tried = 1;
    order.retries = order.retries.saturating_add(1);
    order.excluded.clear();
    for units in retried {
        if let Some(line) = order.lines.get_mut(units.line as usize) {
            let moved = units.quantity.min(line.units.backordered);
            line.units.backordered -= moved;
            line.units.unsourced += moved;
        }
    }
}

pub(super) fn sourced(order: &mut Order, assignments: &[Assignment], not_after: Timestamp) {
    order.sourcing_open = false;
    asked(order, assignments, not_after);
}

/// Locations are asked; the open question, if there is one, stays open as long as anything is free.
pub(super) fn asked(order: &mut Order, assignments: &[Assignment], not_after: Timestamp) {
    order.attempts.reserve(assignments.len());
    for assignment in assignments {
        order.attempts_numbered += 1;
        if let Some(line) = order.lines.get_mut(assignment.line as usize) {
            line.reserving += assignment.quantity;
        }
        order.attempts.push(Attempt {
            number: order.attempts_numbered,
            line: assignment.line,
            location: assignment.location.clone(),
            units: assignment.quantity,
            granted: false,
            not_after,
            fulfillment_order: None,
            keep: None,
            cancel_requested: 0,
            move_requested: 0,
            pick_target: 0,
            short_target: 0,
            picked: 0,
            short: 0,
            packed: 0,
            shipped: 0,
            shipped_confirmed: 0,
        });
    }
}

pub(super) fn reserved(order: &mut Order, event: &OrderEvent) {
    let OrderEvent::Reserved {
        location,
        fulfillment_order: number,
        grants,
    } = event
    else {
        return;
    };
    let number = *number;
    if order.fulfillment_order(number).is_none() {
        order.fulfillment_orders.push(FulfillmentOrder {
            number,
            location: location.clone(),
            status: FulfillmentStatus::Scheduled,
            accepted: false,
            lines: Vec::with_capacity(grants.len()),
            packages: Vec::new(),
        });
    }
    for grant in grants {
        let Some(attempt) = attempt_mut(order, grant.attempt) else {
            continue;
        };
        let asked = attempt.units;
        attempt.units = grant.units;
        attempt.granted = true;
        attempt.fulfillment_order = Some(number);
        if let Some(line) = order.lines.get_mut(grant.line as usize) {
            line.reserving -= asked;
            line.units.unsourced -= grant.units;
            line.units.allocated += grant.units;
        }
        if grant.units < asked {
            exclude(order, grant.line, location);
        }
        add_to(order, number, grant);
    }
}

fn add_to(order: &mut Order, number: u32, grant: &AttemptUnits) {
    let index = number as usize - 1;
    let Some(fulfillment_order) = order.fulfillment_orders.get_mut(index) else {
        return;
    };
    // Kept sorted by line, so that orders of thousands of lines are searched quickly.
    match fulfillment_order
        .lines
        .binary_search_by_key(&grant.line, |l| l.line)
    {
        Ok(at) => fulfillment_order.lines[at].quantity += grant.units,
        Err(at) => {
            let line = FulfillmentLine {
                line: grant.line,
                quantity: grant.units,
                ..FulfillmentLine::default()
            };
            fulfillment_order.lines.insert(at, line);
        }
    }
}

pub(super) fn refused(order: &mut Order, location: &LocationId, refusals: &[Refusal]) {
    for refusal in refusals {
        stop_reserving(order, refusal.attempt);
        remove_attempt(order, refusal.attempt);
        // A request that came too late says nothing about the location's stock.
        if refusal.reason != "expired" {
            exclude(order, refusal.line, location);
        }
    }
}

/// The attempts no longer count, but stay until their locations have closed them (L5).
pub(super) fn expired(order: &mut Order, attempts: &[u32]) {
    for &number in attempts {
        stop_reserving(order, number);
        if let Some(attempt) = attempt_mut(order, number) {
            attempt.units = 0;
            attempt.keep = Some(0);
        }
    }
}

/// The attempt's units are free to be sourced.
pub(super) fn stop_reserving(order: &mut Order, number: u32) {
    let Some(attempt) = attempt_mut(order, number) else {
        return;
    };
    let (line, units) = (attempt.line, attempt.units);
    if let Some(line) = order.lines.get_mut(line as usize) {
        line.reserving -= units;
    }
}

pub(super) fn backordered(order: &mut Order, units: &[LineQuantity], retry_at: Timestamp) {
    order.retry_at = Some(retry_at);
    for units in units {
        if let Some(line) = order.lines.get_mut(units.line as usize) {
            let moved = units.quantity.min(line.units.unsourced);
            line.units.unsourced -= moved;
            line.units.backordered += moved;
        }
    }
}

pub(super) fn release_requested(order: &mut Order, releases: &[ReleaseWish]) {
    for wish in releases {
        let Some(attempt) = attempt_mut(order, wish.attempt) else {
            continue;
        };
        attempt.cancel_requested = wish.cancel;
        attempt.move_requested = wish.elsewhere;
        if attempt.granted {
            attempt.normalise();
        } else {
            // What is not granted yet is closed as a whole.
            attempt.keep = Some(0);
        }
    }
}

pub(super) fn rejected(order: &mut Order, fulfillment_order: u32) {
    let of = |a: &&Attempt| a.fulfillment_order == Some(fulfillment_order);
    let pairs: Vec<(u32, LocationId)> = order
        .attempts
        .iter()
        .filter(of)
        .map(|a| (a.line, a.location.clone()))
        .collect();
    for (line, location) in pairs {
        exclude(order, line, &location);
    }
}

/// Sourcing is not to name this location for this line again, until it starts anew.
pub(super) fn exclude(order: &mut Order, line: u32, location: &LocationId) {
    let pair = (line, location.clone());
    if let Err(at) = order.excluded.binary_search(&pair) {
        order.excluded.insert(at, pair);
    }
}
