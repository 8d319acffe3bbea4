//! What becomes of units at a location: cancelled, released, picked, not found.

use super::{attempt_mut, remove_attempt, reserve, settle_attempt};
use crate::ids::LocationId;
use crate::order::event::{AttemptUnits, CancelledUnits, PickReport, ReleasedUnits};
use crate::order::ledger::Amounts;
use crate::order::logistics::FulfillmentLine;
use crate::order::state::Order;

pub(super) fn cancelled(order: &mut Order, units: &[CancelledUnits]) {
    let mut reversed = Amounts::default();
    for units in units {
        let Some(line) = order.lines.get_mut(units.line as usize) else {
            continue;
        };
        line.units.unsourced -= units.unsourced;
        line.units.backordered -= units.backordered;
        let cancelled = units.unsourced + units.backordered;
        line.units.cancelled += cancelled;
        reversed.put(&line.account.open.take(cancelled));
    }
    order.ledger.cancelled(&reversed);
}

pub(super) fn released(order: &mut Order, location: &LocationId, releases: &[ReleasedUnits]) {
    let mut reversed = Amounts::default();
    for release in releases {
        let Some(attempt) = attempt_mut(order, release.attempt) else {
            continue;
        };
        let granted = attempt.granted;
        let fulfillment_order = attempt.fulfillment_order;
        let units = release.cancelled + release.unsourced;
        if granted {
            attempt.units -= units;
            attempt.cancel_requested = attempt.cancel_requested.saturating_sub(release.cancelled);
            attempt.move_requested = attempt.move_requested.saturating_sub(release.unsourced);
            in_line_of(order, fulfillment_order, release.line, |line| {
                line.cancelled += units
            });
            settle_attempt(order, release.attempt);
        } else {
            reserve::stop_reserving(order, release.attempt);
            remove_attempt(order, release.attempt);
        }
        if let Some(line) = order.lines.get_mut(release.line as usize) {
            if granted {
                line.units.allocated -= units;
                line.units.unsourced += release.unsourced;
            } else {
                line.units.unsourced -= release.cancelled;
            }
            line.units.cancelled += release.cancelled;
            reversed.put(&line.account.open.take(release.cancelled));
        }
        if release.displaced {
            reserve::exclude(order, release.line, location);
        }
    }
    order.ledger.cancelled(&reversed);
}

/// The location has begun with a fulfillment order, by word or deed.
pub(super) fn begun(order: &mut Order, fulfillment_order: u32) {
    let index = fulfillment_order.wrapping_sub(1) as usize;
    if let Some(fulfillment_order) = order.fulfillment_orders.get_mut(index) {
        fulfillment_order.accepted = true;
    }
}

pub(super) fn pick_reported(order: &mut Order, fulfillment_order: u32, picks: &[PickReport]) {
    begun(order, fulfillment_order);
    for pick in picks {
        if let Some(attempt) = attempt_mut(order, pick.attempt) {
            attempt.pick_target = pick.picked;
            attempt.short_target = pick.short;
        }
    }
}

pub(super) fn picked(order: &mut Order, units: &[AttemptUnits]) {
    for pick in units {
        let Some(attempt) = attempt_mut(order, pick.attempt) else {
            continue;
        };
        attempt.picked += pick.units;
        let fulfillment_order = attempt.fulfillment_order;
        settle_attempt(order, pick.attempt);
        in_line_of(order, fulfillment_order, pick.line, |line| {
            line.picked += pick.units
        });
        if let Some(line) = order.lines.get_mut(pick.line as usize) {
            line.units.allocated -= pick.units;
            line.units.picked += pick.units;
        }
        order.moved = true;
    }
}

pub(super) fn not_found(order: &mut Order, location: &LocationId, units: &[AttemptUnits]) {
    for short in units {
        let Some(attempt) = attempt_mut(order, short.attempt) else {
            continue;
        };
        attempt.units -= short.units;
        attempt.short += short.units;
        let fulfillment_order = attempt.fulfillment_order;
        settle_attempt(order, short.attempt);
        in_line_of(order, fulfillment_order, short.line, |line| {
            line.short += short.units
        });
        if let Some(line) = order.lines.get_mut(short.line as usize) {
            line.units.allocated -= short.units;
            line.units.unsourced += short.units;
        }
        reserve::exclude(order, short.line, location);
    }
}

/// Changes a line's figures in a fulfillment order.
pub(super) fn in_line_of(
    order: &mut Order,
    fulfillment_order: Option<u32>,
    line: u32,
    change: impl FnOnce(&mut FulfillmentLine),
) {
    let Some(index) = fulfillment_order.and_then(|n| n.checked_sub(1)) else {
        return;
    };
    let Some(fulfillment_order) = order.fulfillment_orders.get_mut(index as usize) else {
        return;
    };
    if let Ok(at) = fulfillment_order
        .lines
        .binary_search_by_key(&line, |l| l.line)
    {
        change(&mut fulfillment_order.lines[at]);
    }
}
