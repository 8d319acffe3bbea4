//! Returns: announced for delivered units, received with a disposition per item, restocked, closed.
//! `returned ≤ delivered` holds because only what is delivered and not announced can be announced.

use compact_str::{CompactString, format_compact};

use super::{Draft, invalid, not_found, wrong_state};
use crate::ids::LocationId;
use crate::order::command::{LineQuantity, OrderRejection};
use crate::order::event::OrderEvent;
use crate::order::logistics::{Disposition, Return, ReturnStatus};
use crate::order::state::Order;

/// Returns of one order at most.
pub const RETURNS_MAX: usize = 1_000;

pub(super) fn request(
    draft: &mut Draft,
    lines: &[LineQuantity],
    reason: &CompactString,
) -> Result<(), OrderRejection> {
    if lines.is_empty() {
        return Err(invalid("/lines", "empty"));
    }
    if draft.order().returns.len() >= RETURNS_MAX {
        return Err(invalid("/lines", "too_many_returns"));
    }
    let mut wanted: Vec<LineQuantity> = Vec::with_capacity(lines.len());
    for (index, asked) in lines.iter().enumerate() {
        if asked.quantity == 0 {
            return Err(invalid(
                format_compact!("/lines/{index}/quantity"),
                "out_of_range",
            ));
        }
        match wanted.iter_mut().find(|w| w.line == asked.line) {
            Some(same) => same.quantity = same.quantity.saturating_add(asked.quantity),
            None => wanted.push(*asked),
        }
    }
    for asked in &wanted {
        let line = draft.line(asked.line)?;
        let available =
            line.units.delivered - line.units.returned - announced(draft.order(), asked.line);
        if asked.quantity > available {
            let (line, asked) = (line.id.clone(), asked.quantity);
            return Err(OrderRejection::NotEnough {
                line,
                asked,
                available,
                state: "delivered".into(),
            });
        }
    }
    let number = announce(draft, wanted, reason);
    draft.numbers.push(number);
    Ok(())
}

/// Opens a return. Every return is approved at once; a policy may come to stand here.
pub(super) fn announce(draft: &mut Draft, lines: Vec<LineQuantity>, reason: &CompactString) -> u32 {
    let number = draft.order().returns.len() as u32 + 1;
    draft.record(OrderEvent::ReturnRequested {
        number,
        lines,
        reason: reason.clone(),
    });
    draft.record(OrderEvent::ReturnApproved { number });
    number
}

/// Units of a line that are announced and have not come.
fn announced(order: &Order, line: u32) -> u32 {
    let awaited = order.returns.iter().filter(|r| r.status.is_awaited());
    awaited
        .flat_map(|r| &r.lines)
        .filter(|l| l.line == line)
        .map(|l| l.quantity)
        .sum()
}

fn find<'d>(draft: &'d Draft, number: u32) -> Result<&'d Return, OrderRejection> {
    draft
        .order()
        .return_(number)
        .ok_or_else(|| not_found("return", number))
}

pub(super) fn receive(
    draft: &mut Draft,
    number: u32,
    location: &LocationId,
    items: &[(LineQuantity, Disposition)],
) -> Result<(), OrderRejection> {
    let return_ = find(draft, number)?;
    let items = if items.is_empty() {
        let all = |l: &crate::order::logistics::ReturnLine| {
            (
                LineQuantity {
                    line: l.line,
                    quantity: l.quantity,
                },
                Disposition::Restocked,
            )
        };
        return_.lines.iter().map(all).collect()
    } else {
        items.to_vec()
    };
    if !return_.status.is_awaited() {
        let again = return_.location.as_ref() == Some(location) && came(return_, &items);
        return if again {
            Ok(())
        } else {
            Err(wrong_state("receive", "return", state(return_.status)))
        };
    }
    let mut left: Vec<(u32, u32)> = return_.lines.iter().map(|l| (l.line, l.quantity)).collect();
    for (came, _) in &items {
        let announced = left.iter_mut().find(|(line, _)| *line == came.line);
        let available = announced.as_ref().map_or(0, |(_, units)| *units);
        let Some((_, units)) = announced.filter(|_| came.quantity <= available) else {
            let line = draft.line(came.line)?.id.clone();
            let state = "announced".into();
            return Err(OrderRejection::NotEnough {
                line,
                asked: came.quantity,
                available,
                state,
            });
        };
        *units -= came.quantity;
    }
    draft.record(OrderEvent::ReturnReceived {
        number,
        location: location.clone(),
        items,
    });
    if !find(draft, number)?.restock_open {
        draft.record(OrderEvent::ReturnClosed { number });
    }
    Ok(())
}

/// Whether this is what came before.
fn came(return_: &Return, items: &[(LineQuantity, Disposition)]) -> bool {
    let before = return_
        .lines
        .iter()
        .flat_map(|l| l.received.iter().map(|(d, units)| (l.line, *units, *d)));
    let mut before: Vec<(u32, u32, Disposition)> = before.collect();
    let mut now: Vec<_> = items
        .iter()
        .map(|(l, d)| (l.line, l.quantity, *d))
        .collect();
    let order = |a: &(u32, u32, Disposition)| (a.0, a.2 as u8, a.1);
    before.sort_by_key(order);
    now.sort_by_key(order);
    before == now
}

/// The goods are on the shelf: the return is settled.
pub(super) fn restocked(draft: &mut Draft, number: u32) -> Result<(), OrderRejection> {
    if find(draft, number)?.restock_open {
        draft.record(OrderEvent::ReturnClosed { number });
    }
    Ok(())
}

fn state(status: ReturnStatus) -> &'static str {
    match status {
        ReturnStatus::Requested => "requested",
        ReturnStatus::Approved => "approved",
        ReturnStatus::InTransit => "in_transit",
        ReturnStatus::Received => "received",
        ReturnStatus::Inspected => "inspected",
        ReturnStatus::Closed => "closed",
        ReturnStatus::Declined => "declined",
        ReturnStatus::Cancelled => "cancelled",
        ReturnStatus::Expired => "expired",
    }
}
