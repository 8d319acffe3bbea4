//! Amendments, all or nothing. [`Amendment`] says what is allowed when.

use compact_str::{CompactString, ToCompactString, format_compact};

use super::place::validate_line;
use super::{Draft, cancel, invalid, source, too_late, wrong_state};
use crate::money::{AMOUNT_MAX, UnitPrice};
use crate::order::command::{Amendment, LineQuantity, NewLine, OrderRejection};
use crate::order::event::OrderEvent;
use crate::order::ledger::line_amounts;
use crate::order::state::Order;
use crate::order::types::{Address, Destination, ORDER_LINES_MAX, OrderStatus};

/// Changes in one amendment at most.
pub const AMENDMENTS_MAX: usize = 100;

pub(super) fn amend(draft: &mut Draft, amendments: &[Amendment]) -> Result<(), OrderRejection> {
    if amendments.len() > AMENDMENTS_MAX {
        return Err(invalid("/amendments", "too_many"));
    }
    // A rejection drops the whole draft, so nothing is half amended.
    for (index, amendment) in amendments.iter().enumerate() {
        let at = format_compact!("/amendments/{index}");
        match amendment {
            Amendment::AddLine(line) => add_line(draft, &at, line)?,
            Amendment::SetQuantity { line, quantity } => {
                set_quantity(draft, &at, *line, *quantity)?
            }
            Amendment::SetPrice { line, unit_price } => set_price(draft, &at, *line, *unit_price)?,
            Amendment::SetAddress {
                destination,
                address,
            } => set_address(draft, &at, destination, address)?,
            Amendment::SetServiceLevel(level) => set_service_level(draft, &at, level)?,
        }
    }
    Ok(())
}

/// Refuses once anything physical has left, or the order is cancelled.
fn before_shipping(order: &Order, what: &str) -> Result<(), OrderRejection> {
    if order.status == OrderStatus::Cancelled {
        return Err(wrong_state("amend", "order", "cancelled"));
    }
    let mut physical = order.lines.iter().filter(|l| l.is_physical());
    if physical.any(|l| l.units.shipped + l.units.delivered + l.units.lost > 0) {
        return Err(too_late(what, "shipped"));
    }
    if order.status == OrderStatus::Completed {
        return Err(too_late(what, "completed"));
    }
    Ok(())
}

fn add_line(draft: &mut Draft, at: &str, line: &NewLine) -> Result<(), OrderRejection> {
    before_shipping(draft.order(), "line")?;
    let Some(currency) = draft.header().map(|h| h.currency) else {
        return Err(OrderRejection::Unknown);
    };
    if draft.order().lines.len() >= ORDER_LINES_MAX {
        return Err(invalid(at, "too_many_lines"));
    }
    validate_line(&format_compact!("{at}/line"), line, currency)?;
    if draft.order().lines.iter().any(|l| l.id == line.id) {
        return Err(invalid(format_compact!("{at}/line/id"), "duplicate"));
    }
    let added = line_amounts(line, currency).map_or(AMOUNT_MAX, |a| a.total());
    if draft.order().totals().total.saturating_add(added) > AMOUNT_MAX {
        return Err(invalid(format_compact!("{at}/line"), "total_out_of_range"));
    }
    draft.record(OrderEvent::LineAdded { line: line.clone() });
    Ok(())
}

fn set_quantity(
    draft: &mut Draft,
    at: &str,
    index: u32,
    quantity: u32,
) -> Result<(), OrderRejection> {
    let line = draft.line(index)?;
    let order = draft.order();
    let standing = line.quantity - line.units.cancelled - order.line_cancel_requested(index);
    if quantity > standing {
        return Err(invalid(format_compact!("{at}/quantity"), "not_lower"));
    }
    if quantity == standing {
        return Ok(());
    }
    let less = standing - quantity;
    if cancel::cancellable(order, index) < less {
        let what = format_compact!("line {}", line.id);
        return Err(too_late(&what, "picked or further"));
    }
    let asked = LineQuantity {
        line: index,
        quantity: less,
    };
    cancel::cancel_line(draft, asked, &CompactString::const_new("amended"))
}

fn set_price(
    draft: &mut Draft,
    at: &str,
    index: u32,
    unit_price: UnitPrice,
) -> Result<(), OrderRejection> {
    let line = draft.line(index)?;
    let order = draft.order();
    let gone = line.units.shipped + line.units.delivered + line.units.lost;
    let open = line.account.open;
    if gone > 0 || open.units == 0 {
        let what = format_compact!("price of line {}", line.id);
        return Err(too_late(
            &what,
            if gone > 0 { "captured" } else { "cancelled" },
        ));
    }
    let wrong = |code: &str| invalid(format_compact!("{at}/unit_price"), code);
    if unit_price < UnitPrice(0) || unit_price > UnitPrice::MAX {
        return Err(wrong("out_of_range"));
    }
    let currency = order
        .header
        .as_ref()
        .map(|h| h.currency)
        .ok_or(OrderRejection::Unknown)?;
    let subtotal = unit_price
        .times(open.units, currency)
        .ok_or_else(|| wrong("out_of_range"))?;
    if subtotal < open.subtotal && subtotal < open.discount {
        return Err(wrong("below_discount"));
    }
    if order
        .totals()
        .total
        .saturating_add(subtotal - open.subtotal)
        > AMOUNT_MAX
    {
        return Err(wrong("total_out_of_range"));
    }
    if unit_price != line.unit_price {
        draft.record(OrderEvent::PriceSet {
            line: index,
            unit_price,
        });
    }
    Ok(())
}

fn set_address(
    draft: &mut Draft,
    at: &str,
    destination: &Destination,
    address: &Address,
) -> Result<(), OrderRejection> {
    before_shipping(draft.order(), "address")?;
    let country = &destination.country;
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(invalid(
            format_compact!("{at}/ship_to/country"),
            "not_a_country",
        ));
    }
    let same_place = draft
        .header()
        .is_some_and(|h| h.destination == *destination);
    let same_address = draft
        .order()
        .personal
        .as_ref()
        .is_some_and(|p| p.ship_to == *address);
    if same_place && same_address && draft.private.is_none() {
        return Ok(());
    }
    if let Some(personal) = draft.personal_mut() {
        personal.ship_to = address.clone();
    }
    draft.record(OrderEvent::AddressSet {
        destination: destination.clone(),
    });
    if !same_place {
        source::take_back(draft, "address_changed");
        source::ask_anew(draft);
    }
    Ok(())
}

fn set_service_level(
    draft: &mut Draft,
    at: &str,
    level: &CompactString,
) -> Result<(), OrderRejection> {
    before_shipping(draft.order(), "service level")?;
    if level.is_empty() {
        return Err(invalid(format_compact!("{at}/service_level"), "empty"));
    }
    if draft.header().is_some_and(|h| h.service_level != *level) {
        draft.record(OrderEvent::ServiceLevelSet {
            service_level: level.to_compact_string(),
        });
    }
    Ok(())
}
