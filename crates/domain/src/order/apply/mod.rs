//! The only place where an order changes. Total: every event that `decide` produced can be applied
//! to the state that it was decided on; on any other state nothing panics.
//!
//! In: an event and its stamp. Out: the changed order, with every derived figure brought up to date.

mod back;
mod reserve;
mod setup;
mod ship;
mod units;

use super::event::OrderEvent;
use super::logistics::Attempt;
use super::state::{Order, UNTIL_RELEASED};
use super::status::{FulfillmentFacts, derive, fulfillment};
use super::types::{HoldScope, OrderStatus};
use crate::entity::Stamp;

/// Takes one event in.
pub(super) fn apply(order: &mut Order, event: &OrderEvent, stamp: &Stamp) {
    order.version += 1;
    order.recorded_at = order.recorded_at.max(stamp.recorded_at);
    take_in(order, event);
    derive_figures(order);
}

fn take_in(order: &mut Order, event: &OrderEvent) {
    use OrderEvent as E;
    match event {
        E::Placed {
            header,
            lines,
            cancelled,
        } => setup::placed(order, header, lines, *cancelled),
        E::CancelledBeforeArrival { .. } => order.status = OrderStatus::Cancelled,
        E::SourcingRequested { round, retried } => reserve::requested(order, *round, retried),
        E::Sourced {
            assignments,
            not_after,
            ..
        } => reserve::sourced(order, assignments, *not_after),
        E::Reserved { .. } => reserve::reserved(order, event),
        E::ReservationRefused { location, refusals } => reserve::refused(order, location, refusals),
        E::ReservationExpired { attempts } => reserve::expired(order, attempts),
        E::Backordered { units, retry_at } => reserve::backordered(order, units, *retry_at),
        E::UnitsCancelled { units, .. } => units::cancelled(order, units),
        E::ReleaseRequested { releases, .. } => reserve::release_requested(order, releases),
        E::UnitsReleased { location, releases } => units::released(order, location, releases),
        E::FulfillmentOrderAccepted {
            fulfillment_order: n,
        } => units::begun(order, *n),
        E::FulfillmentOrderRejected {
            fulfillment_order: n,
            ..
        } => reserve::rejected(order, *n),
        E::PickReported {
            fulfillment_order: n,
            picks,
        } => units::pick_reported(order, *n, picks),
        E::UnitsPicked { units, .. } => units::picked(order, units),
        E::UnitsNotFound { location, units } => units::not_found(order, location, units),
        E::UnitsPacked {
            fulfillment_order: n,
            packages,
        } => ship::packed(order, *n, packages),
        E::UnitsShipped { .. } => ship::shipped(order, event),
        E::ShippingConfirmed { units, .. } => ship::confirmed(order, units),
        E::TrackingNumberIssued {
            shipment,
            tracking_number,
        } => {
            ship::numbered(order, *shipment, tracking_number.as_ref());
        }
        E::Tracked {
            shipment,
            scan,
            status,
            signed,
        } => {
            ship::tracked(order, *shipment, scan, *signed);
            ship::moved(order, *shipment, *status);
        }
        E::DeliveryAssumed { shipment, status } => ship::moved(order, *shipment, *status),
        E::ReturnRequested {
            number,
            lines,
            reason,
        } => back::requested(order, *number, lines, reason),
        E::ReturnApproved { number } => back::approved(order, *number),
        E::ReturnReceived {
            number,
            location,
            items,
        } => back::received(order, *number, location, items),
        E::ReturnClosed { number } => back::closed(order, *number),
        E::HoldPlaced { hold } => setup::hold_placed(order, hold),
        E::HoldReleased { hold } => order.holds.retain(|h| h.number != *hold),
        E::LineAdded { line } => setup::line_added(order, line),
        E::PriceSet { line, unit_price } => setup::price_set(order, *line, *unit_price),
        E::AddressSet { destination } => setup::address_set(order, destination),
        E::ServiceLevelSet { service_level } => setup::service_level_set(order, service_level),
        E::PersonalDataErased => order.personal_erased = true,
        E::Parked { units } => reserve::backordered(order, units, UNTIL_RELEASED),
        // For those who read what happened.
        E::StaffAlerted { .. } | E::RestockRequested { .. } => {}
        E::ReservationUsed {
            assignments,
            not_after,
            ..
        } => reserve::asked(order, assignments, *not_after),
    }
}

/// Everything that follows from the rest of the state.
fn derive_figures(order: &mut Order) {
    if !order.is_placed() {
        return;
    }
    let units = order.units();
    let reserving: u32 = order.lines.iter().map(|l| l.reserving).sum();
    let free = units.unsourced - reserving;
    // A question about units that are gone needs no answer.
    order.sourcing_open &= free > 0;
    if !order.sourcing_open && units.unsourced == 0 {
        order.rounds_tried = 0;
        if units.backordered == 0 {
            order.retries = 0;
        }
    }
    if units.backordered == 0 {
        order.retry_at = None;
    }
    order.status = derive(&units, order.moved, order.round == 1 && order.sourcing_open);
    let held = order.holds.iter().any(|h| h.scope == HoldScope::Order);
    let waits = held || units.unsourced > 0 || (order.must_be_whole() && units.backordered > 0);
    for fulfillment_order in &mut order.fulfillment_orders {
        if fulfillment_order.status.is_final() {
            continue;
        }
        let mut facts = FulfillmentFacts {
            begun: fulfillment_order.accepted,
            waits,
            ..Default::default()
        };
        for line in &fulfillment_order.lines {
            facts.open += line.open();
            facts.worked += line.picked + line.packed;
            facts.shipped += line.shipped;
            facts.gone += line.cancelled + line.short;
        }
        fulfillment_order.status = fulfillment(fulfillment_order.status, &facts);
    }
    if order.ended() {
        order.excluded = Vec::new();
    }
}

/// The attempt with this number.
fn attempt_mut(order: &mut Order, number: u32) -> Option<&mut Attempt> {
    let index = order
        .attempts
        .binary_search_by_key(&number, |a| a.number)
        .ok()?;
    order.attempts.get_mut(index)
}

/// Forgets an attempt.
fn remove_attempt(order: &mut Order, number: u32) {
    if let Ok(index) = order.attempts.binary_search_by_key(&number, |a| a.number) {
        order.attempts.remove(index);
    }
}

/// Brings an attempt in line after its figures changed, and forgets it when nothing is left to say.
fn settle_attempt(order: &mut Order, number: u32) {
    let Some(attempt) = attempt_mut(order, number) else {
        return;
    };
    attempt.normalise();
    if attempt.is_done() {
        remove_attempt(order, number);
    }
}
