//! Placing an order: what a client may ask for.

use compact_str::format_compact;

use super::{Draft, invalid};
use crate::money::{AMOUNT_MAX, Currency, Minor, UnitPrice};
use crate::order::command::{NewLine, OrderRejection};
use crate::order::event::OrderEvent;
use crate::order::ledger::{line_amounts, order_amounts};
use crate::order::types::{Fulfilment, Header, LINE_UNITS_MAX, ORDER_LINES_MAX, PersonalData};

/// Taxes of one line at most.
pub const LINE_TAXES_MAX: usize = 16;

pub(super) fn place(
    draft: &mut Draft,
    header: &Header,
    lines: &[NewLine],
    personal: &PersonalData,
) -> Result<(), OrderRejection> {
    if draft.order().is_placed() {
        return Err(OrderRejection::Exists);
    }
    validate(header, lines)?;
    // Only a tombstone has events before it is placed.
    let cancelled = draft.order().version > 0;
    draft.private = Some(personal.clone());
    draft.record(OrderEvent::Placed {
        header: Box::new(header.clone()),
        lines: lines.to_vec(),
        cancelled,
    });
    Ok(())
}

/// Says whether an order may be placed as it is.
///
/// # Errors
/// The first field that is wrong.
pub fn validate(header: &Header, lines: &[NewLine]) -> Result<(), OrderRejection> {
    if lines.is_empty() {
        return Err(invalid("/lines", "empty"));
    }
    if lines.len() > ORDER_LINES_MAX {
        return Err(invalid("/lines", "too_many"));
    }
    let amount = |pointer: &'static str, amount: Minor| {
        (0..=AMOUNT_MAX)
            .contains(&amount)
            .then_some(())
            .ok_or_else(|| invalid(pointer, "out_of_range"))
    };
    amount("/shipping", header.shipping)?;
    amount("/discounts", header.discount)?;
    amount("/fees", header.fees)?;
    if header.service_level.is_empty() {
        return Err(invalid("/service_level", "empty"));
    }
    let country = &header.destination.country;
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(invalid("/ship_to/country", "not_a_country"));
    }
    for (index, line) in lines.iter().enumerate() {
        validate_line(&format_compact!("/lines/{index}"), line, header.currency)?;
    }
    if let Some(index) = repeated_id(lines) {
        return Err(invalid(format_compact!("/lines/{index}/id"), "duplicate"));
    }
    let amounts = order_amounts(header, lines).ok_or_else(|| invalid("/lines", "out_of_range"))?;
    let total: i128 = amounts.iter().map(|a| i128::from(a.total())).sum();
    if total < 0 {
        return Err(invalid("/discounts", "exceeds_total"));
    }
    if total > i128::from(AMOUNT_MAX) {
        return Err(invalid("/lines", "total_out_of_range"));
    }
    Ok(())
}

/// The first line whose id stands on an earlier line too.
fn repeated_id(lines: &[NewLine]) -> Option<usize> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_unstable_by(|&a, &b| lines[a].id.cmp(&lines[b].id).then(a.cmp(&b)));
    let later = |pair: &[usize]| (lines[pair[0]].id == lines[pair[1]].id).then_some(pair[1]);
    order.windows(2).filter_map(later).min()
}

/// Says whether a line by itself may stand in an order. `pointer` is where it stands in the request.
pub(super) fn validate_line(
    pointer: &str,
    line: &NewLine,
    currency: Currency,
) -> Result<(), OrderRejection> {
    let wrong = |field: &str, code: &str| invalid(format_compact!("{pointer}/{field}"), code);
    if line.quantity == 0 || line.quantity > LINE_UNITS_MAX {
        return Err(wrong("quantity", "out_of_range"));
    }
    if line.unit_price < UnitPrice(0) || line.unit_price > UnitPrice::MAX {
        return Err(wrong("unit_price", "out_of_range"));
    }
    if line.taxes.len() > LINE_TAXES_MAX {
        return Err(wrong("taxes", "too_many"));
    }
    if line
        .taxes
        .iter()
        .any(|t| t.amount < 0 || t.amount > AMOUNT_MAX)
    {
        return Err(wrong("taxes", "out_of_range"));
    }
    let Some(amounts) = line_amounts(line, currency) else {
        return Err(wrong("unit_price", "out_of_range"));
    };
    if line.discount < 0 || line.discount > amounts.subtotal {
        return Err(wrong("discounts", "out_of_range"));
    }
    if let Fulfilment::Physical(items) = &line.fulfilment {
        if items.is_empty() || items.iter().any(|(_, each)| *each == 0) {
            return Err(wrong("sku", "no_components"));
        }
        if items
            .iter()
            .any(|(_, each)| each.checked_mul(line.quantity).is_none())
        {
            return Err(wrong("quantity", "out_of_range"));
        }
    }
    Ok(())
}
