//! Placing and amending: lines, prices, the head of the order.

use std::sync::Arc;

use compact_str::CompactString;

use crate::money::UnitPrice;
use crate::order::command::NewLine;
use crate::order::ledger::{Amounts, EntryReason, LineAccount, line_amounts, order_amounts};
use crate::order::state::Order;
use crate::order::types::{Destination, Fulfilment, Header, Hold, Line, Units};

pub(super) fn placed(order: &mut Order, header: &Header, lines: &[NewLine], cancelled: bool) {
    order.created_at = order.recorded_at;
    let amounts = order_amounts(header, lines).unwrap_or_default();
    order.header = Some(Arc::new(header.clone()));
    order.lines.reserve(lines.len());
    if cancelled {
        for line in lines {
            let units = Units {
                cancelled: line.quantity,
                ..Units::default()
            };
            order
                .lines
                .push(open_line(line, units, LineAccount::default()));
        }
        return;
    }
    let mut charged = Amounts::default();
    for (line, amounts) in lines.iter().zip(&amounts) {
        charged.put(amounts);
        push_line(order, line, amounts);
    }
    order.ledger.charged(&charged, EntryReason::Charged);
    capture_virtual(order, 0);
    order.round = 1;
    order.rounds_tried = 1;
    order.sourcing_open = order.lines.iter().any(|l| l.units.unsourced > 0);
}

pub(super) fn line_added(order: &mut Order, line: &NewLine) {
    let Some(header) = &order.header else { return };
    let Some(amounts) = line_amounts(line, header.currency) else {
        return;
    };
    push_line(order, line, &amounts);
    order.ledger.charged(&amounts, EntryReason::Charged);
    capture_virtual(order, order.lines.len() - 1);
}

pub(super) fn price_set(order: &mut Order, line: u32, unit_price: UnitPrice) {
    let Some(currency) = order.header.as_ref().map(|h| h.currency) else {
        return;
    };
    let Some(line) = order.lines.get_mut(line as usize) else {
        return;
    };
    let open = &mut line.account.open;
    let Some(subtotal) = unit_price.times(open.units, currency) else {
        return;
    };
    let difference = Amounts {
        subtotal: subtotal - open.subtotal,
        ..Amounts::default()
    };
    open.subtotal = subtotal;
    line.unit_price = unit_price;
    order.ledger.charged(&difference, EntryReason::Repriced);
}

pub(super) fn address_set(order: &mut Order, destination: &Destination) {
    if let Some(header) = &mut order.header {
        Arc::make_mut(header).destination = destination.clone();
    }
}

pub(super) fn service_level_set(order: &mut Order, service_level: &CompactString) {
    if let Some(header) = &mut order.header {
        Arc::make_mut(header).service_level = service_level.clone();
    }
}

pub(super) fn hold_placed(order: &mut Order, hold: &Hold) {
    order.holds_numbered = order.holds_numbered.max(hold.number);
    order.holds.push(hold.clone());
}

fn push_line(order: &mut Order, line: &NewLine, amounts: &Amounts) {
    let units = match line.fulfilment {
        Fulfilment::Physical(_) => Units {
            unsourced: line.quantity,
            ..Units::default()
        },
        Fulfilment::Virtual => Units {
            delivered: line.quantity,
            ..Units::default()
        },
    };
    let account = LineAccount {
        open: *amounts,
        captured: Amounts::default(),
    };
    order.lines.push(open_line(line, units, account));
}

fn open_line(line: &NewLine, units: Units, account: LineAccount) -> Line {
    Line {
        id: line.id.clone(),
        sku: line.sku.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        discount: line.discount,
        taxes: line.taxes.clone(),
        pickup_location: line.pickup_location.clone(),
        fulfilment: line.fulfilment.clone(),
        units,
        reserving: 0,
        account,
    }
}

/// What is virtual is delivered at once, so its money is taken at once.
fn capture_virtual(order: &mut Order, from: usize) {
    let mut captured = Amounts::default();
    for line in order
        .lines
        .iter_mut()
        .skip(from)
        .filter(|l| !l.is_physical())
    {
        let taken = line.account.open.take(line.quantity);
        line.account.captured.put(&taken);
        captured.put(&taken);
    }
    order.ledger.captured(&captured);
}
