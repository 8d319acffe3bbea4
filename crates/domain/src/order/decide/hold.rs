//! Holds: laid over the status. Reservations stay; work that would move held units on is refused.

use super::{Draft, invalid, not_found, wrong_state};
use crate::order::command::OrderRejection;
use crate::order::event::OrderEvent;
use crate::order::state::Order;
use crate::order::types::{Hold, HoldReason, HoldScope, OrderStatus};

/// Holds of one order at most.
pub const HOLDS_MAX: usize = 100;

pub(super) fn place(
    draft: &mut Draft,
    reason: HoldReason,
    scope: &HoldScope,
) -> Result<(), OrderRejection> {
    let order = draft.order();
    if order.ended() {
        return Err(wrong_state("hold", "order", ended_word(order.status)));
    }
    match scope {
        HoldScope::Order => {}
        HoldScope::FulfillmentOrder(number) => {
            let found = order.fulfillment_order(*number);
            found.ok_or_else(|| not_found("fulfillment order", *number))?;
        }
        HoldScope::Line(index) => {
            draft.line(*index)?;
        }
    }
    if order.holds.len() >= HOLDS_MAX {
        return Err(invalid("/holds", "too_many"));
    }
    let number = lay(draft, reason, scope);
    draft.numbers.push(number);
    Ok(())
}

/// Lays a hold over something that there is; gives its number.
fn lay(draft: &mut Draft, reason: HoldReason, scope: &HoldScope) -> u32 {
    let number = draft.order().holds_numbered + 1;
    let hold = Hold {
        number,
        reason,
        scope: scope.clone(),
        placed_at: draft.now,
    };
    draft.record(OrderEvent::HoldPlaced { hold });
    number
}

/// Lays a hold over all of the order for a rule's sake, unless one for this reason lies there, or
/// so many that staff look anyway.
pub(super) fn lay_by_rule(draft: &mut Draft, reason: HoldReason) {
    let same = |hold: &Hold| hold.reason == reason && hold.scope == HoldScope::Order;
    let holds = &draft.order().holds;
    if holds.len() < HOLDS_MAX && !holds.iter().any(same) {
        lay(draft, reason, &HoldScope::Order);
    }
}

/// Lifts a hold; one that was lifted already stays so.
pub(super) fn release(draft: &mut Draft, number: u32) -> Result<(), OrderRejection> {
    if number == 0 || number > draft.order().holds_numbered {
        return Err(not_found("hold", number));
    }
    if draft.order().holds.iter().any(|h| h.number == number) {
        draft.record(OrderEvent::HoldReleased { hold: number });
    }
    Ok(())
}

/// Refuses when a hold lies over the order, the fulfillment order, or one of the lines.
pub(super) fn check(
    order: &Order,
    fulfillment_order: u32,
    mut lines: impl FnMut(u32) -> bool,
) -> Result<(), OrderRejection> {
    let covers = |hold: &&Hold| match hold.scope {
        HoldScope::Order => true,
        HoldScope::FulfillmentOrder(number) => number == fulfillment_order,
        HoldScope::Line(index) => lines(index),
    };
    match order.holds.iter().find(covers) {
        Some(hold) => Err(OrderRejection::Held {
            hold: hold.number,
            reason: hold.reason,
        }),
        None => Ok(()),
    }
}

fn ended_word(status: OrderStatus) -> &'static str {
    if status == OrderStatus::Cancelled {
        "cancelled"
    } else {
        "completed"
    }
}
