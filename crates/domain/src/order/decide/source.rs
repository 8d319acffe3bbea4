//! Sourcing: plans taken in, the next round asked for.
//!
//! A sourcing begins when units have no location and ends when all are reserved, backordered or
//! cancelled. It asks locations in at most [`SOURCING_ROUNDS_MAX`] rounds (L8); then it asks once
//! more, not for locations but for what the rules say about what is left (`shortage`). An order that must be whole
//! (ship complete, single location) is reserved whole or not at all.

use super::{Draft, shortage};
use crate::ids::ReservationId;
use crate::order::command::{Assignment, LineQuantity, Plan, ShortageRule};
use crate::order::event::{OrderEvent, ReleaseWish};
use crate::order::logistics::Attempt;
use crate::order::state::Order;
use crate::order::types::SplitPolicy;
use crate::time::Timestamp;

/// Rounds of one sourcing at most in which locations are asked.
pub const SOURCING_ROUNDS_MAX: u32 = 4;
/// How long a location may take to grant.
pub const RESERVE_WITHIN_MS: i64 = 30_000;
/// When backordered units are first sourced again by themselves; doubled each time.
pub const BACKORDER_RETRY_FIRST_MS: i64 = 15 * 60 * 1_000;
/// The longest pause between two tries.
pub const BACKORDER_RETRY_MAX_MS: i64 = 6 * 3_600 * 1_000;

/// Why units are cancelled that nobody has.
pub(super) const OUT_OF_STOCK: &str = "out_of_stock";

/// Takes the first decision in, if it was made before the order was sent on its way.
pub(super) fn assign_first(draft: &mut Draft, plan: Option<&Plan>) {
    if let Some(plan) = plan {
        let round = draft.order().round;
        assign(draft, round, plan, &ShortageRule::default());
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
pub(super) fn assign(draft: &mut Draft, round: u32, plan: &Plan, rule: &ShortageRule) {
    let order = draft.order();
    if !order.sourcing_open || order.round != round {
        return;
    }
    let (mut assignments, short) = fit(order, plan);
    if !short.is_empty() && shortage::takes_nothing(order, &short, rule) {
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
        shortage::settle(draft, short, rule);
    }
}

/// The same with what a rule says. Without a plan, enough locations have been asked: what is free is
/// short.
pub(super) fn assign_by_rule(
    draft: &mut Draft,
    round: u32,
    plan: Option<&Plan>,
    rule: &ShortageRule,
) {
    let order = draft.order();
    if let Some(plan) = plan {
        assign(draft, round, plan, rule);
    } else if order.sourcing_open && order.round == round {
        let short = free_units(order);
        shortage::settle(draft, short, rule);
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

/// Lets units wait for stock, or with the others for a release, where the order is parked.
pub(super) fn backorder(draft: &mut Draft, units: Vec<LineQuantity>) {
    if units.is_empty() {
        return;
    }
    if draft.order().is_parked() {
        draft.record(OrderEvent::Parked { units });
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
pub(super) fn free_units(order: &Order) -> Vec<LineQuantity> {
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
    if order.rounds_tried > SOURCING_ROUNDS_MAX {
        let short = free_units(order);
        shortage::settle(draft, short, &ShortageRule::default());
        return;
    }
    // After the last round, what is asked is only what becomes of the units.
    let round = order.round + 1;
    draft.record(OrderEvent::SourcingRequested {
        round,
        retried: Vec::new(),
    });
}

/// Stock came in. An order that is parked waits on.
pub(super) fn replenish(draft: &mut Draft) {
    if !draft.order().is_parked() {
        retry(draft);
    }
}

/// Somebody wants a parked order to be served.
pub(super) fn release(draft: &mut Draft) {
    if draft.order().is_parked() {
        retry(draft);
    }
}

/// As [`release`], with the answer: it was found together with those of other parked orders.
pub(super) fn release_with(draft: &mut Draft, plan: &Plan, rule: &ShortageRule) {
    if draft.order().is_parked() {
        retry(draft);
        let round = draft.order().round;
        assign(draft, round, plan, rule);
    }
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
