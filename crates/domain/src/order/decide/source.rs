//! Sourcing: plans taken in, the next round asked for, and what becomes of units nobody has.
//!
//! A sourcing begins when units have no location and ends when all are reserved, backordered or
//! cancelled. It takes at most [`SOURCING_ROUNDS_MAX`] rounds (L8). An order that must be whole
//! (ship complete, single location) is reserved whole or not at all.

use compact_str::CompactString;

use super::{Draft, cancel};
use crate::ids::ReservationId;
use crate::order::command::{Assignment, LineQuantity, Plan};
use crate::order::event::{CancelledUnits, OrderEvent, ReleaseWish};
use crate::order::logistics::Attempt;
use crate::order::state::Order;
use crate::order::types::{ShortagePolicy, SplitPolicy};
use crate::time::Timestamp;

/// Rounds of one sourcing at most; then the shortage policy decides.
pub const SOURCING_ROUNDS_MAX: u32 = 4;
/// How long a location may take to grant.
pub const RESERVE_WITHIN_MS: i64 = 30_000;
/// When backordered units are first sourced again by themselves; doubled each time.
pub const BACKORDER_RETRY_FIRST_MS: i64 = 15 * 60 * 1_000;
/// The longest pause between two tries.
pub const BACKORDER_RETRY_MAX_MS: i64 = 6 * 3_600 * 1_000;

/// Why units are cancelled that nobody has.
const OUT_OF_STOCK: &str = "out_of_stock";

/// Takes the first decision in, if it was made before the order was sent on its way.
pub(super) fn assign_first(draft: &mut Draft, plan: Option<&Plan>) {
    if let Some(plan) = plan {
        let round = draft.order().round;
        assign(draft, round, plan);
    }
}

/// Asks locations for what they keep for this order, before anything else is sourced.
pub(super) fn use_reservation(draft: &mut Draft, reservation: &ReservationId, held: &[Assignment]) {
    let kept = Plan {
        assignments: held.to_vec(),
        inputs: Vec::new(),
    };
    let (assignments, _) = fit(draft.order(), &kept);
    if assignments.is_empty() {
        return;
    }
    let not_after = draft.now.plus_millis(RESERVE_WITHIN_MS);
    draft.record(OrderEvent::ReservationUsed {
        reservation: reservation.clone(),
        assignments,
        not_after,
    });
}

/// Takes the answer to the open round in; another round's answer is late and changes nothing.
pub(super) fn assign(draft: &mut Draft, round: u32, plan: &Plan) {
    let order = draft.order();
    if !order.sourcing_open || order.round != round {
        return;
    }
    let (mut assignments, short) = fit(order, plan);
    let shortage = draft
        .header()
        .map_or(ShortagePolicy::Backorder, |h| h.shortage);
    let none_at_all = match shortage {
        ShortagePolicy::Backorder => order.must_be_whole(),
        ShortagePolicy::CancelLine => false,
        ShortagePolicy::CancelOrder => true,
    };
    if none_at_all && !short.is_empty() {
        assignments.clear();
    }
    let not_after = draft.now.plus_millis(RESERVE_WITHIN_MS);
    draft.record(OrderEvent::Sourced {
        round,
        assignments,
        not_after,
        inputs: plan.inputs.clone(),
    });
    if !short.is_empty() {
        run_short(draft, short);
    }
}

/// What of a plan can be asked for, and what of the free units it leaves.
fn fit(order: &Order, plan: &Plan) -> (Vec<Assignment>, Vec<LineQuantity>) {
    let mut free: Vec<u32> = order.lines.iter().map(|l| l.free()).collect();
    let split = order
        .header
        .as_ref()
        .map_or(SplitPolicy::Allow, |h| h.split);
    let mut assignments = plan.assignments.iter();
    let one_place = plan
        .assignments
        .first()
        .is_none_or(|a| assignments.all(|b| b.location == a.location));
    let mut fitting = Vec::with_capacity(plan.assignments.len());
    // A plan that splits what must not be split is no plan.
    if one_place || split != SplitPolicy::SingleLocation || !order.must_be_whole() {
        for assignment in &plan.assignments {
            let Some(left) = free.get_mut(assignment.line as usize) else {
                continue;
            };
            let only = order.lines[assignment.line as usize]
                .pickup_location
                .as_ref();
            let allowed = only.is_none_or(|place| *place == assignment.location);
            let quantity = assignment.quantity.min(*left);
            if allowed && quantity > 0 {
                *left -= quantity;
                fitting.push(Assignment {
                    quantity,
                    ..assignment.clone()
                });
            }
        }
    }
    let short = free.into_iter().enumerate().filter(|(_, units)| *units > 0);
    let short = short
        .map(|(line, quantity)| LineQuantity {
            line: line as u32,
            quantity,
        })
        .collect();
    (fitting, short)
}

/// No location has these units: the order's policy decides.
fn run_short(draft: &mut Draft, short: Vec<LineQuantity>) {
    match draft
        .header()
        .map_or(ShortagePolicy::Backorder, |h| h.shortage)
    {
        ShortagePolicy::Backorder if draft.order().must_be_whole() => {
            backorder(draft, free_units(draft.order()));
            take_back(draft, OUT_OF_STOCK);
        }
        ShortagePolicy::Backorder => backorder(draft, short),
        ShortagePolicy::CancelLine => {
            let gone = |s: &LineQuantity| CancelledUnits {
                line: s.line,
                unsourced: s.quantity,
                backordered: 0,
            };
            let units = short.iter().map(gone).collect();
            draft.record(OrderEvent::UnitsCancelled {
                units,
                reason: OUT_OF_STOCK.into(),
            });
        }
        ShortagePolicy::CancelOrder => {
            cancel::everything(draft, &CompactString::const_new(OUT_OF_STOCK));
        }
    }
}

fn backorder(draft: &mut Draft, units: Vec<LineQuantity>) {
    if units.is_empty() {
        return;
    }
    // A wait that runs already is not begun anew.
    let retry_at = draft
        .order()
        .retry_at
        .unwrap_or_else(|| retry_at(draft.now, draft.order().retries));
    draft.record(OrderEvent::Backordered { units, retry_at });
}

fn retry_at(now: Timestamp, retries: u32) -> Timestamp {
    let pause = BACKORDER_RETRY_FIRST_MS.saturating_mul(1_i64 << retries.min(16));
    now.plus_millis(pause.min(BACKORDER_RETRY_MAX_MS))
}

/// Wants every unit back that is reserved and not picked, to be sourced again or to wait.
pub(super) fn take_back(draft: &mut Draft, reason: &str) {
    let wish = |a: &Attempt| ReleaseWish {
        attempt: a.number,
        line: a.line,
        cancel: a.cancel_requested,
        elsewhere: a.move_requested + a.movable(),
    };
    let releases: Vec<ReleaseWish> = draft
        .order()
        .attempts
        .iter()
        .filter(|a| a.movable() > 0)
        .map(wish)
        .collect();
    if !releases.is_empty() {
        draft.record(OrderEvent::ReleaseRequested {
            releases,
            reason: reason.into(),
        });
    }
}

/// Units that have no location and are not being asked for.
fn free_units(order: &Order) -> Vec<LineQuantity> {
    let free = order
        .lines
        .iter()
        .map(|l| l.free())
        .enumerate()
        .filter(|(_, units)| *units > 0);
    free.map(|(line, quantity)| LineQuantity {
        line: line as u32,
        quantity,
    })
    .collect()
}

/// Carries sourcing on after whatever was decided: asks for the next round, or gives up.
pub(super) fn advance(draft: &mut Draft) {
    let order = draft.order();
    if order.sourcing_open || order.lines.iter().all(|l| l.free() == 0) {
        return;
    }
    if order.must_be_whole() {
        // An order that must be whole waits whole.
        if order.lines.iter().any(|l| l.units.backordered > 0) {
            let units = free_units(order);
            backorder(draft, units);
            take_back(draft, OUT_OF_STOCK);
            return;
        }
        if draft
            .header()
            .is_some_and(|h| h.split == SplitPolicy::SingleLocation)
        {
            // Another place is to serve all of it, so the first must give back what it granted.
            take_back(draft, "sourced_elsewhere");
        }
    }
    let order = draft.order();
    let outstanding =
        |a: &Attempt| a.is_reserving() || (order.must_be_whole() && a.move_requested > 0);
    if order.attempts.iter().any(outstanding) {
        return;
    }
    if order.rounds_tried >= SOURCING_ROUNDS_MAX {
        let short = free_units(order);
        run_short(draft, short);
        return;
    }
    let round = order.round + 1;
    draft.record(OrderEvent::SourcingRequested {
        round,
        retried: Vec::new(),
    });
}

/// Sources what is backordered anew, since stock may have come in.
pub(super) fn retry(draft: &mut Draft) {
    let waiting = draft
        .order()
        .lines
        .iter()
        .map(|l| l.units.backordered)
        .enumerate();
    let waiting = waiting.filter(|(_, units)| *units > 0);
    let retried: Vec<LineQuantity> = waiting
        .map(|(line, quantity)| LineQuantity {
            line: line as u32,
            quantity,
        })
        .collect();
    if retried.is_empty() {
        return;
    }
    let round = draft.order().round + 1;
    draft.record(OrderEvent::SourcingRequested { round, retried });
}

/// Asks the open question anew, since its answer may be on its way for what is no longer true.
pub(super) fn ask_anew(draft: &mut Draft) {
    if draft.order().sourcing_open {
        let round = draft.order().round + 1;
        draft.record(OrderEvent::SourcingRequested {
            round,
            retried: Vec::new(),
        });
    }
}
