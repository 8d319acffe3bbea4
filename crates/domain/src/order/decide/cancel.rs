//! Cancelling: whole, by line, by quantity. What no location has been asked for is cancelled at
//! once; of what is reserved, the location is asked to let go, and units are cancelled when it says
//! so. What is picked or has gone further cannot be cancelled.
//!
//! A whole order or line is cancelled as far as it goes, and refused (too late) only when nothing
//! can be. A number of units is all or nothing.

use compact_str::CompactString;

use super::{Draft, not_found, too_late};
use crate::order::command::{CancelScope, LineQuantity, OrderRejection};
use crate::order::event::{CancelledUnits, OrderEvent, ReleaseWish};
use crate::order::state::Order;
use crate::order::types::{OrderStatus, Units};

/// Leaves a tombstone, so that the order is born cancelled. A second one changes nothing.
pub(super) fn before_arrival(draft: &mut Draft, reason: &CompactString) {
    if draft.order().version == 0 {
        draft.record(OrderEvent::CancelledBeforeArrival {
            reason: reason.clone(),
        });
    }
}

pub(super) fn cancel(
    draft: &mut Draft,
    scope: &CancelScope,
    reason: &CompactString,
) -> Result<(), OrderRejection> {
    match scope {
        CancelScope::Order => {
            if everything(draft, reason) || is_asked_already(draft.order(), None) {
                return Ok(());
            }
            Err(too_late(
                "order",
                how_far(&draft.order().units(), draft.order().status),
            ))
        }
        CancelScope::Lines(lines) => {
            for asked in lines {
                cancel_line(draft, *asked, reason)?;
            }
            Ok(())
        }
    }
}

/// Cancels whatever can be cancelled; says whether there was anything.
pub(super) fn everything(draft: &mut Draft, reason: &CompactString) -> bool {
    let mut wishes = Wishes::default();
    // One pass over attempts and lines each: an order may have thousands of both.
    for (index, line) in draft.order().lines.iter().enumerate() {
        wishes.cancel(index as u32, line.free(), line.units.backordered);
    }
    for attempt in &draft.order().attempts {
        let cancel = attempt.cancellable();
        if cancel > 0 {
            wishes.releases.push(wish(attempt, cancel));
        }
    }
    wishes.record(draft, reason)
}

/// Cancels `asked.quantity` units of a line, or (0) all that can be.
pub(super) fn cancel_line(
    draft: &mut Draft,
    asked: LineQuantity,
    reason: &CompactString,
) -> Result<(), OrderRejection> {
    let index = asked.line;
    let line = draft
        .order()
        .lines
        .get(index as usize)
        .ok_or_else(|| not_found("line", index))?;
    let mut attempts: Vec<_> = draft
        .order()
        .attempts
        .iter()
        .filter(|a| a.line == index)
        .collect();
    // What was asked for last is the least far.
    attempts.reverse();
    let reserved: u32 = attempts.iter().map(|a| a.cancellable()).sum();
    let available = line.units.backordered + line.free() + reserved;
    if available == 0 {
        if asked.quantity == 0 && is_asked_already(draft.order(), Some(index)) {
            return Ok(());
        }
        return Err(too_late(
            "line",
            how_far(&line.units, OrderStatus::InFulfillment),
        ));
    }
    if asked.quantity > available {
        return Err(OrderRejection::NotEnough {
            line: line.id.clone(),
            asked: asked.quantity,
            available,
            state: "cancellable".into(),
        });
    }
    let mut left = if asked.quantity == 0 {
        available
    } else {
        asked.quantity
    };
    let mut part = |there: u32| {
        let taken = there.min(left);
        left -= taken;
        taken
    };
    let mut wishes = Wishes::default();
    let backordered = part(line.units.backordered);
    let unsourced = part(line.free());
    wishes.cancel(index, unsourced, backordered);
    // Those not granted yet come first: taking them costs no location its work.
    attempts.sort_by_key(|a| a.granted);
    for attempt in attempts {
        let cancel = part(attempt.cancellable());
        if cancel > 0 {
            wishes.releases.push(wish(attempt, cancel));
        }
    }
    wishes.record(draft, reason);
    Ok(())
}

/// How many units of a line could be cancelled now.
pub(super) fn cancellable(order: &Order, index: u32) -> u32 {
    let Some(line) = order.lines.get(index as usize) else {
        return 0;
    };
    let reserved: u32 = order
        .attempts
        .iter()
        .filter(|a| a.line == index)
        .map(|a| a.cancellable())
        .sum();
    line.units.backordered + line.free() + reserved
}

/// `cancel` more units of an attempt; they come first out of those that were to be sourced elsewhere.
fn wish(attempt: &crate::order::logistics::Attempt, cancel: u32) -> ReleaseWish {
    let kept = attempt.movable();
    ReleaseWish {
        attempt: attempt.number,
        line: attempt.line,
        cancel: attempt.cancel_requested + cancel,
        elsewhere: attempt
            .move_requested
            .min(kept + attempt.move_requested - cancel),
    }
}

#[derive(Default)]
struct Wishes {
    units: Vec<CancelledUnits>,
    releases: Vec<ReleaseWish>,
}

impl Wishes {
    fn cancel(&mut self, line: u32, unsourced: u32, backordered: u32) {
        if unsourced + backordered > 0 {
            self.units.push(CancelledUnits {
                line,
                unsourced,
                backordered,
            });
        }
    }

    fn record(self, draft: &mut Draft, reason: &CompactString) -> bool {
        let any = !self.units.is_empty() || !self.releases.is_empty();
        if !self.units.is_empty() {
            draft.record(OrderEvent::UnitsCancelled {
                units: self.units,
                reason: reason.clone(),
            });
        }
        if !self.releases.is_empty() {
            draft.record(OrderEvent::ReleaseRequested {
                releases: self.releases,
                reason: reason.clone(),
            });
        }
        any
    }
}

/// Whether what is asked has happened or is under way: a repeat, which changes nothing.
fn is_asked_already(order: &Order, line: Option<u32>) -> bool {
    let chosen = |index: usize| line.is_none_or(|l| l as usize == index);
    let asked = order
        .attempts
        .iter()
        .any(|a| chosen(a.line as usize) && a.cancel_requested > 0);
    let mut lines = order
        .lines
        .iter()
        .enumerate()
        .filter(|(index, _)| chosen(*index))
        .map(|(_, l)| l);
    asked || lines.all(|l| l.units.cancelled == l.quantity)
}

/// The furthest state that keeps units from being cancelled.
fn how_far(units: &Units, status: OrderStatus) -> &'static str {
    match () {
        () if status == OrderStatus::Completed => "completed",
        () if units.delivered > 0 => "delivered",
        () if units.shipped > 0 => "shipped",
        () if units.lost > 0 => "lost",
        () if units.packed > 0 => "packed",
        () if units.cancelled > 0 && units.picked + units.allocated == 0 => "cancelled",
        () => "picked",
    }
}
