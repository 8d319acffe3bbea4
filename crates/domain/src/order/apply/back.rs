//! What comes back: returns, from announced to settled. The goods' price is refunded when they are
//! here; shipping and fees stay owed.

use compact_str::CompactString;

use crate::ids::LocationId;
use crate::order::command::LineQuantity;
use crate::order::logistics::{Disposition, Return, ReturnLine, ReturnStatus};
use crate::order::state::Order;

fn return_mut(order: &mut Order, number: u32) -> Option<&mut Return> {
    order.returns.get_mut(number.checked_sub(1)? as usize)
}

pub(super) fn requested(
    order: &mut Order,
    number: u32,
    lines: &[LineQuantity],
    reason: &CompactString,
) {
    let announced = |l: &LineQuantity| ReturnLine {
        line: l.line,
        quantity: l.quantity,
        reason: reason.clone(),
        received: Vec::new(),
    };
    order.returns.push(Return {
        number,
        status: ReturnStatus::Requested,
        lines: lines.iter().map(announced).collect(),
        location: None,
        restock_open: false,
        refunded: 0,
    });
}

pub(super) fn approved(order: &mut Order, number: u32) {
    if let Some(return_) = return_mut(order, number) {
        return_.status = ReturnStatus::Approved;
    }
}

pub(super) fn received(
    order: &mut Order,
    number: u32,
    location: &LocationId,
    items: &[(LineQuantity, Disposition)],
) {
    let mut refunded = 0;
    let mut restock_open = false;
    for (came, disposition) in items {
        if let Some(return_) = return_mut(order, number)
            && let Some(line) = return_.lines.iter_mut().find(|l| l.line == came.line)
        {
            line.received.push((*disposition, came.quantity));
        }
        let Some(line) = order.lines.get_mut(came.line as usize) else {
            continue;
        };
        if *disposition == Disposition::Missing {
            continue;
        }
        line.units.returned += came.quantity;
        restock_open |= line.is_physical() && came.quantity > 0;
        let back = line.account.captured.take(came.quantity);
        refunded += order.ledger.returned(&back);
    }
    if let Some(return_) = return_mut(order, number) {
        return_.status = ReturnStatus::Inspected;
        return_.location = Some(location.clone());
        return_.restock_open = restock_open;
        return_.refunded += refunded;
    }
}

pub(super) fn closed(order: &mut Order, number: u32) {
    if let Some(return_) = return_mut(order, number) {
        return_.status = ReturnStatus::Closed;
        return_.restock_open = false;
    }
}
