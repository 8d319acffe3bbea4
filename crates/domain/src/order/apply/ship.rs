//! What leaves: packages, shipments, deliveries, losses. Money is captured when units leave and
//! given back when they are lost.

use super::units::in_line_of;
use super::{attempt_mut, settle_attempt};
use crate::ids::TrackingNumber;
use crate::order::event::{AttemptUnits, OrderEvent};
use crate::order::ledger::Amounts;
use crate::order::logistics::{Attempt, Package, Shipment, ShipmentStatus, TrackingEvent};
use crate::order::state::Order;
use crate::order::status::shipment_is_final;

pub(super) fn packed(order: &mut Order, number: u32, packages: &[Package]) {
    for &(line, units) in packages.iter().flat_map(|p| &p.items) {
        in_line_of(order, Some(number), line, |l| {
            l.picked -= units;
            l.packed += units;
        });
        if let Some(line) = order.lines.get_mut(line as usize) {
            line.units.picked -= units;
            line.units.packed += units;
        }
        spread(order, number, line, units, |a, left| {
            let part = left.min(a.picked - a.packed);
            a.packed += part;
            part
        });
    }
    if let Some(index) = number.checked_sub(1)
        && let Some(fulfillment_order) = order.fulfillment_orders.get_mut(index as usize)
    {
        fulfillment_order.packages.extend_from_slice(packages);
    }
}

/// Spreads units of a line over the attempts of a fulfillment order, earliest first.
fn spread(
    order: &mut Order,
    fulfillment_order: u32,
    line: u32,
    units: u32,
    mut take: impl FnMut(&mut Attempt, u32) -> u32,
) {
    let mut left = units;
    let of = |a: &&mut Attempt| a.fulfillment_order == Some(fulfillment_order) && a.line == line;
    for attempt in order.attempts.iter_mut().filter(of) {
        left -= take(attempt, left);
        if left == 0 {
            break;
        }
    }
}

pub(super) fn shipped(order: &mut Order, event: &OrderEvent) {
    let OrderEvent::UnitsShipped {
        fulfillment_order,
        shipment,
        packages,
        carrier,
        service,
        tracking_number,
    } = event
    else {
        return;
    };
    let number = *fulfillment_order;
    let items = leave(order, number, *shipment, packages);
    let mut captured = Amounts::default();
    for &(index, units) in &items {
        in_line_of(order, Some(number), index, |l| {
            l.packed -= units;
            l.shipped += units;
        });
        if let Some(line) = order.lines.get_mut(index as usize) {
            line.units.packed -= units;
            line.units.shipped += units;
            let taken = line.account.open.take(units);
            line.account.captured.put(&taken);
            captured.put(&taken);
        }
        spread(order, number, index, units, |a, left| {
            let part = left.min(a.packed - a.shipped);
            a.shipped += part;
            part
        });
    }
    order.ledger.captured(&captured);
    order.shipments.push(Shipment {
        number: *shipment,
        fulfillment_order: number,
        carrier: carrier.clone(),
        service: service.clone(),
        tracking_number: tracking_number.clone(),
        number_asked: carrier.is_some() && tracking_number.is_none(),
        status: ShipmentStatus::Shipped,
        items,
        tracking: Vec::new(),
        signed: false,
        heard_at: order.recorded_at,
    });
}

/// Marks packages as gone and says what was in them, by line.
fn leave(order: &mut Order, number: u32, shipment: u32, packages: &[u32]) -> Vec<(u32, u32)> {
    let mut items: Vec<(u32, u32)> = Vec::new();
    let Some(index) = number.checked_sub(1) else {
        return items;
    };
    let Some(fulfillment_order) = order.fulfillment_orders.get_mut(index as usize) else {
        return items;
    };
    for package in fulfillment_order
        .packages
        .iter_mut()
        .filter(|p| packages.contains(&p.number))
    {
        package.shipment = Some(shipment);
        for &(line, units) in &package.items {
            match items.binary_search_by_key(&line, |(l, _)| *l) {
                Ok(at) => items[at].1 += units,
                Err(at) => items.insert(at, (line, units)),
            }
        }
    }
    items
}

pub(super) fn confirmed(order: &mut Order, units: &[AttemptUnits]) {
    for confirmed in units {
        if let Some(attempt) = attempt_mut(order, confirmed.attempt) {
            let shipped = confirmed.units.min(attempt.shipped);
            attempt.shipped_confirmed = attempt.shipped_confirmed.max(shipped);
        }
        settle_attempt(order, confirmed.attempt);
    }
}

fn shipment_mut(order: &mut Order, number: u32) -> Option<&mut Shipment> {
    order.shipments.get_mut(number.checked_sub(1)? as usize)
}

pub(super) fn numbered(order: &mut Order, shipment: u32, tracking_number: Option<&TrackingNumber>) {
    if let Some(shipment) = shipment_mut(order, shipment) {
        shipment.number_asked = false;
        shipment.tracking_number = tracking_number.cloned();
    }
}

pub(super) fn tracked(order: &mut Order, shipment: u32, scan: &TrackingEvent, signed: bool) {
    let recorded_at = order.recorded_at;
    let Some(shipment) = shipment_mut(order, shipment) else {
        return;
    };
    let at = shipment
        .tracking
        .partition_point(|e| e.occurred_at <= scan.occurred_at);
    shipment.tracking.insert(at, scan.clone());
    shipment.signed |= signed;
    shipment.heard_at = recorded_at;
}

/// Moves a shipment along its machine, and its units when it has come to an end.
pub(super) fn moved(order: &mut Order, number: u32, status: ShipmentStatus) {
    let Some(shipment) = shipment_mut(order, number) else {
        return;
    };
    if shipment.status == status {
        return;
    }
    shipment.status = status;
    if !shipment_is_final(status) {
        return;
    }
    let items = shipment.items.clone();
    let mut lost = Amounts::default();
    for (index, units) in items {
        let Some(line) = order.lines.get_mut(index as usize) else {
            continue;
        };
        line.units.shipped -= units;
        if matches!(status, ShipmentStatus::Lost | ShipmentStatus::Damaged) {
            line.units.lost += units;
            lost.put(&line.account.captured.take(units));
        } else {
            // What came back to its sender is delivered too: a return follows in the same decision.
            line.units.delivered += units;
        }
    }
    order.ledger.lost(&lost);
}
