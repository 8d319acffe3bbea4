//! Effects and timers of an order, derived from its state: nothing is queued beside it, so recovery
//! is "load and ask". An effect is pending until an event records its outcome.

use super::decide::SOURCING_ROUNDS_MAX;
use super::effect::OrderEffect;
use super::logistics::{Attempt, Return, Shipment};
use super::state::{Order, UNTIL_RELEASED};
use super::status::shipment_is_final;
use super::types::{Fulfilment, SplitPolicy};
use crate::ids::{AttemptId, ShipmentId, Sku};
use crate::location::Request;
use crate::order::Disposition;
use crate::time::Timestamp;

/// How long nothing may be heard of a shipment before its end is assumed: 30 days.
pub const SCANS_AWAITED_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Everything that is to happen, in the order in which it should leave.
pub(super) fn effects(order: &Order) -> Vec<OrderEffect> {
    let mut effects = Vec::new();
    if order.sourcing_open {
        effects.push(source(order));
    }
    for attempt in &order.attempts {
        for request in requests(order, attempt) {
            effects.push(OrderEffect::Ask {
                location: attempt.location.clone(),
                request,
            });
        }
    }
    for shipment in order.shipments.iter().filter(|s| s.number_asked) {
        let Some(carrier) = shipment.carrier.clone() else {
            continue;
        };
        effects.push(OrderEffect::IssueTrackingNumber {
            carrier,
            shipment: ShipmentId {
                order: order.id.clone(),
                number: shipment.number,
            },
            service: shipment.service.clone(),
        });
    }
    for return_ in order.returns.iter().filter(|r| r.restock_open) {
        let Some(location) = return_.location.clone() else {
            continue;
        };
        effects.push(OrderEffect::Restock {
            location,
            number: return_.number,
            items: restocked(order, return_),
        });
    }
    effects
}

/// Whether [`effects`] has any.
pub(super) fn any(order: &Order) -> bool {
    order.sourcing_open
        || order.attempts.iter().any(asks)
        || order.shipments.iter().any(|s| s.number_asked)
        || order.returns.iter().any(|r| r.restock_open)
}

/// Whether what the last command began has come to its end. Confirmations that nobody waits for
/// (shipping, restock, the closing of an expired attempt) may still be open.
pub(super) fn settled(order: &Order) -> bool {
    let open = |a: &Attempt| a.is_reserving() || (a.units > 0 && a.keep.is_some()) || a.pick_open();
    !order.sourcing_open
        && !order.attempts.iter().any(open)
        && !order.shipments.iter().any(|s| s.number_asked)
}

/// When time alone matters next: an unanswered `Reserve`, a backorder, a silent shipment.
pub(super) fn wakeup(order: &Order) -> Option<Timestamp> {
    let unanswered = |a: &&Attempt| a.is_reserving() && a.keep.is_none();
    let reserving = order
        .attempts
        .iter()
        .filter(unanswered)
        .map(|a| a.not_after);
    let silent = order.shipments.iter().filter_map(silence_ends);
    let retry = order.retry_at.filter(|at| *at != UNTIL_RELEASED);
    reserving.chain(retry).chain(silent).min()
}

/// When a shipment's end is assumed, if nothing is heard of it.
pub(super) fn silence_ends(shipment: &Shipment) -> Option<Timestamp> {
    (!shipment_is_final(shipment.status)).then(|| shipment.heard_at.plus_millis(SCANS_AWAITED_MS))
}

fn source(order: &Order) -> OrderEffect {
    let free = |(index, units): (usize, u32)| (units > 0).then_some((index as u32, units));
    let units = order
        .lines
        .iter()
        .map(super::types::Line::free)
        .enumerate()
        .filter_map(free)
        .collect();
    OrderEffect::Source {
        round: order.round,
        units,
        excluded: order.excluded.clone(),
        gives_up: order.rounds_tried > SOURCING_ROUNDS_MAX,
    }
}

fn asks(attempt: &Attempt) -> bool {
    !attempt.granted
        || attempt.keep.is_some()
        || attempt.pick_open()
        || attempt.shipped > attempt.shipped_confirmed
}

/// What is to be asked of an attempt's location. Of an attempt that is not granted only one thing:
/// to grant it, or to close it.
fn requests(order: &Order, attempt: &Attempt) -> Vec<Request> {
    let name = || AttemptId {
        order: order.id.clone(),
        line: attempt.line,
        attempt: attempt.number,
    };
    let mut requests = Vec::new();
    if !attempt.granted {
        requests.push(match attempt.keep {
            Some(_) => Request::Release {
                attempt: name(),
                keep: 0,
                not_after: attempt.not_after,
            },
            None => reserve(order, attempt, name()),
        });
        return requests;
    }
    if attempt.pick_open() {
        requests.push(Request::Pick {
            attempt: name(),
            picked: attempt.pick_target,
            short: attempt.short_target,
        });
    }
    if let Some(keep) = attempt.keep {
        requests.push(Request::Release {
            attempt: name(),
            keep,
            not_after: attempt.not_after,
        });
    }
    if attempt.shipped > attempt.shipped_confirmed {
        let not_after = attempt.not_after;
        requests.push(Request::Ship {
            attempt: name(),
            shipped: attempt.shipped,
            not_after,
        });
    }
    requests
}

fn reserve(order: &Order, attempt: &Attempt, name: AttemptId) -> Request {
    let line = order.lines.get(attempt.line as usize);
    let per_unit = match line.map(|l| &l.fulfilment) {
        Some(Fulfilment::Physical(items)) => items.clone(),
        Some(Fulfilment::Virtual) | None => Vec::new(),
    };
    let header = order.header.as_ref();
    Request::Reserve {
        attempt: name,
        units: attempt.units,
        per_unit,
        partial: header.is_some_and(|h| h.split == SplitPolicy::Allow),
        promise: header.map_or(Timestamp::ZERO, |h| h.placed_at),
        not_after: attempt.not_after,
    }
}

/// What of a return goes back to the location's stock, broken into components.
fn restocked(order: &Order, return_: &Return) -> Vec<(Sku, u32, Disposition)> {
    let mut items = Vec::new();
    for line in &return_.lines {
        let Some(Fulfilment::Physical(parts)) =
            order.lines.get(line.line as usize).map(|l| &l.fulfilment)
        else {
            continue;
        };
        for (disposition, units) in &line.received {
            if *disposition == Disposition::Missing || *units == 0 {
                continue;
            }
            items.extend(
                parts
                    .iter()
                    .map(|(sku, each)| (sku.clone(), units.saturating_mul(*each), *disposition)),
            );
        }
    }
    items
}
