//! What carriers report: scans in any order, repeated and late ones; tracking numbers; silence.
//!
//! A shipment's status is that of the scan that happened last, as far as its machine leads there;
//! an end stays, whatever is scanned after it (L7).

use compact_str::CompactString;

use super::{Draft, not_found, returns};
use crate::ids::TrackingNumber;
use crate::order::command::{LineQuantity, OrderCommand, OrderRejection};
use crate::order::event::OrderEvent;
use crate::order::logistics::{Disposition, Shipment, ShipmentStatus, TrackingEvent};
use crate::order::status::shipment_is_final;

/// Scans of one shipment that are kept at most; beyond it only those that change its status.
pub const SCANS_MAX: usize = 200;
/// Signatures of one order that are kept at most.
pub const SIGNATURES_MAX: usize = 200;

fn find<'d>(draft: &'d Draft, number: u32) -> Result<&'d Shipment, OrderRejection> {
    draft
        .order()
        .shipment(number)
        .ok_or_else(|| not_found("shipment", number))
}

/// The carrier's answer; a second one changes nothing.
pub(super) fn number_issued(
    draft: &mut Draft,
    shipment: u32,
    tracking_number: Option<&TrackingNumber>,
) -> Result<(), OrderRejection> {
    if find(draft, shipment)?.number_asked {
        let tracking_number = tracking_number.cloned();
        draft.record(OrderEvent::TrackingNumberIssued {
            shipment,
            tracking_number,
        });
    }
    Ok(())
}

pub(super) fn track(draft: &mut Draft, command: &OrderCommand) -> Result<(), OrderRejection> {
    let OrderCommand::Track {
        shipment: number,
        status,
        place,
        reason,
        signature,
    } = command
    else {
        return Ok(());
    };
    let occurred_at = draft.occurred_at();
    let shipment = find(draft, *number)?;
    let scan = TrackingEvent {
        status: *status,
        occurred_at,
        place: place.clone(),
        reason: reason.clone(),
    };
    let same = |e: &TrackingEvent| {
        e.status == scan.status && e.occurred_at == scan.occurred_at && e.place == scan.place
    };
    if shipment.tracking.iter().any(same) {
        return Ok(());
    }
    let after = status_after(shipment, &scan);
    if after == shipment.status && shipment.tracking.len() >= SCANS_MAX {
        return Ok(());
    }
    let came_back = after == ShipmentStatus::Returned && shipment.status != after;
    let signed = signature
        .as_deref()
        .is_some_and(|name| sign(draft, *number, name));
    draft.record(OrderEvent::Tracked {
        shipment: *number,
        scan,
        status: after,
        signed,
    });
    if came_back {
        take_back(draft, *number);
    }
    Ok(())
}

fn status_after(shipment: &Shipment, scan: &TrackingEvent) -> ShipmentStatus {
    let late = shipment
        .tracking
        .last()
        .is_some_and(|last| last.occurred_at > scan.occurred_at);
    let counts = !late || shipment_is_final(scan.status);
    if counts && shipment.status.may_become(scan.status) {
        scan.status
    } else {
        shipment.status
    }
}

/// Keeps the signer's name in the personal record, unless that was erased.
fn sign(draft: &mut Draft, shipment: u32, name: &str) -> bool {
    if let Some(personal) = draft.personal_mut() {
        let signature = (shipment, name.to_owned());
        if personal.signatures.len() < SIGNATURES_MAX && !personal.signatures.contains(&signature) {
            personal.signatures.push(signature);
        }
    }
    true
}

/// A parcel came back to where it left from: a return of all that was in it. Somebody must look at
/// the goods before they are for sale again.
fn take_back(draft: &mut Draft, number: u32) {
    let order = draft.order();
    let Some(shipment) = order.shipment(number) else {
        return;
    };
    let Some(from) = order.fulfillment_order(shipment.fulfillment_order) else {
        return;
    };
    let location = from.location.clone();
    let lines: Vec<LineQuantity> = shipment
        .items
        .iter()
        .map(|&(line, quantity)| LineQuantity { line, quantity })
        .collect();
    let items = lines
        .iter()
        .map(|&l| (l, Disposition::ProcessingRequired))
        .collect();
    let announced = returns::announce(draft, lines, &CompactString::const_new("return_to_sender"));
    draft.record(OrderEvent::ReturnReceived {
        number: announced,
        location,
        items,
    });
}

/// Nothing was heard for long: a parcel on its way back or in trouble is lost, another is delivered.
pub(super) fn assume(draft: &mut Draft, number: u32) {
    let Some(shipment) = draft.order().shipment(number) else {
        return;
    };
    let status = match shipment.status {
        ShipmentStatus::Refused | ShipmentStatus::ReturnToSender | ShipmentStatus::Exception => {
            ShipmentStatus::Lost
        }
        _ => ShipmentStatus::Delivered,
    };
    draft.record(OrderEvent::DeliveryAssumed {
        shipment: number,
        status,
    });
}
