//! Takes events in. The balances change by the event's movements and by nothing else, so that the
//! ledger always sums to them.

use std::sync::Arc;

use compact_str::CompactString;

use super::blocks::SkuBlock;
use super::capacity::Capacity;
use super::event::LocationEvent;
use super::state::Location;
use super::types::{Announcement, Ended, Item, OutgoingTransfer, Reservation, StockHold};
use crate::entity::Stamp;
use crate::ids::{AttemptId, HoldId, Sku};
use crate::time::Timestamp;

/// How long a return's number is remembered after its items came back: longer than any message
/// about it can be under way.
const RESTOCK_MEMORY_MILLIS: i64 = 30 * 24 * 3_600 * 1_000;

pub(super) fn apply(location: &mut Location, event: &LocationEvent, stamp: &Stamp) {
    location.version += 1;
    location.recorded_at = stamp.recorded_at;
    move_stock(location, event, stamp);
    record(location, event, stamp);
    let version = location.version;
    location.tombstones.clear_ended(version, stamp.recorded_at);
}

fn move_stock(location: &mut Location, event: &LocationEvent, stamp: &Stamp) {
    // What a caller says to have happened later than now has happened by now.
    let happened_at = stamp.occurred_at.min(stamp.recorded_at);
    event.each_change(|sku, _, change| {
        let take_in = |item: &mut Item| {
            item.balance = change.on(item.balance);
            match event {
                LocationEvent::Counted { counted_at, .. } => item.was_counted(*counted_at),
                _ if change.on_hand != 0 => item.changed(happened_at, change.on_hand),
                _ => {}
            }
        };
        if let Some(item) = location.items.get_mut(sku) {
            take_in(item);
        } else {
            let mut item = Item::default();
            take_in(&mut item);
            location.items.insert(sku.clone(), Arc::new(item));
        }
    });
}

fn record(location: &mut Location, event: &LocationEvent, stamp: &Stamp) {
    use LocationEvent as E;
    match event {
        E::Received { .. } | E::Adjusted { .. } | E::Counted { .. } | E::SafetyStockSet { .. } => {}
        E::TransferredOut {
            to,
            number,
            sku,
            quantity,
            reference,
        } => {
            let transfer = OutgoingTransfer {
                sku: sku.clone(),
                quantity: *quantity,
                reference: reference.clone(),
            };
            location.outgoing.insert((to.clone(), *number), transfer);
            location.numbered.insert(to.clone(), *number);
        }
        E::TransferredIn { from, number, .. } => location
            .arrived
            .entry(from.clone())
            .or_default()
            .note(*number),
        E::TransferConfirmed { to, number } => {
            drop(location.outgoing.remove(&(to.clone(), *number)))
        }
        E::Reserved {
            attempt,
            units,
            makeup,
            promise,
            not_after,
        } => {
            location.charge(attempt, *units, stamp.recorded_at);
            let reservation = Reservation {
                makeup: makeup.clone(),
                units: *units,
                picked: 0,
                short: 0,
                shipped: 0,
                promise: *promise,
                not_after: *not_after,
            };
            location.reservations.insert(attempt.clone(), reservation);
        }
        E::Refused { attempt, not_after } | E::ClosedUnseen { attempt, not_after } => {
            location
                .tombstones
                .put(Ended::Attempt(attempt.clone()), *not_after);
        }
        E::Released { attempt, units, .. } => {
            location.discharge(attempt, *units, stamp.recorded_at);
            change(location, attempt, stamp, |r| r.units -= units)
        }
        E::Picked { attempt, units, .. } => change(location, attempt, stamp, |r| r.picked += units),
        E::Missed { attempt, units, .. } => change(location, attempt, stamp, |r| {
            r.units -= units;
            r.short += units;
        }),
        E::Shipped { attempt, units, .. } => {
            change(location, attempt, stamp, |r| r.shipped += units)
        }
        E::Displaced { attempt, units, .. } => {
            location.discharge(attempt, *units, stamp.recorded_at);
            let left = location
                .reservations
                .get(attempt)
                .map_or(0, |r| r.units - units);
            change(location, attempt, stamp, |r| r.units -= units);
            location.displaced.insert(attempt.clone(), left);
        }
        E::DisplacementConfirmed { attempt, .. } => drop(location.displaced.remove(attempt)),
        E::Held {
            hold,
            items,
            expires_at,
        } => {
            location.expiries.insert((*expires_at, hold.clone()));
            let held = StockHold {
                items: items.clone(),
                expires_at: *expires_at,
            };
            location.holds.insert(hold.clone(), held);
        }
        E::HoldEnded { hold, .. } => end_hold(location, hold, stamp),
        E::HoldConverted {
            hold,
            attempt,
            units,
            sku,
            promise,
            not_after,
        } => {
            end_hold(location, hold, stamp);
            location.charge(attempt, *units, stamp.recorded_at);
            let reservation = Reservation {
                makeup: super::types::Makeup::One(sku.clone()),
                units: *units,
                picked: 0,
                short: 0,
                shipped: 0,
                promise: *promise,
                not_after: *not_after,
            };
            location.reservations.insert(attempt.clone(), reservation);
        }
        E::Announced {
            sku,
            reference,
            quantity,
            expected_at,
        } => {
            let of = Announcement {
                reference: reference.clone(),
                quantity: *quantity,
                expected_at: *expected_at,
            };
            announced(location, sku, reference, Some(of));
            // What never was here is on the list of what is here, with nothing on hand.
            if location.items.get(sku).is_none() {
                location.items.insert(sku.clone(), Arc::default());
            }
        }
        E::AnnouncementEnded { sku, reference } => announced(location, sku, reference, None),
        E::Restocked { return_id, .. } => {
            let until = stamp.recorded_at.plus_millis(RESTOCK_MEMORY_MILLIS);
            location
                .tombstones
                .put(Ended::Return(return_id.clone()), until);
        }
        E::SkuBlocked { sku, until } => {
            let since = location.blocks.get(sku).map(|block| block.since);
            let since = since.unwrap_or(stamp.recorded_at);
            location.block(
                sku,
                SkuBlock {
                    since,
                    until: *until,
                },
            );
        }
        E::SkuUnblocked { sku } => location.unblock(sku),
        E::CapacitySet { limits } => {
            let now = stamp.recorded_at;
            location.capacity = Some(match location.capacity {
                Some(capacity) => capacity.with(*limits, now),
                None => Capacity::new(*limits, now),
            });
        }
    }
}

/// Puts an announcement in the place of the one with its paper, if any; the earliest come first.
fn announced(
    location: &mut Location,
    sku: &Sku,
    reference: &CompactString,
    of: Option<Announcement>,
) {
    let mut known = location.announced(sku).to_vec();
    known.retain(|other| other.reference != *reference);
    known.extend(of);
    known
        .sort_unstable_by(|a, b| (a.expected_at, &a.reference).cmp(&(b.expected_at, &b.reference)));
    if known.is_empty() {
        location.announced.remove(sku);
    } else {
        location.announced.insert(sku.clone(), known.into());
    }
}

/// A late copy of the `Hold` is refused by its own end; until then the name is remembered.
fn end_hold(location: &mut Location, hold: &HoldId, stamp: &Stamp) {
    let Some(held) = location.holds.remove(hold) else {
        return;
    };
    location.expiries.remove(&(held.expires_at, hold.clone()));
    if held.expires_at > stamp.recorded_at {
        location
            .tombstones
            .put(Ended::Hold(hold.clone()), held.expires_at);
    }
}

/// Changes a reservation; one with nothing left is closed, and remembered for as long as its
/// `Reserve` may come again.
fn change(
    location: &mut Location,
    attempt: &AttemptId,
    stamp: &Stamp,
    how: impl FnOnce(&mut Reservation),
) {
    let Some(reservation) = location.reservations.get_mut(attempt) else {
        return;
    };
    how(reservation);
    if reservation.units > reservation.shipped {
        return;
    }
    let until: Timestamp = reservation.not_after;
    location.reservations.remove(attempt);
    location.charges.remove(attempt);
    if until >= stamp.recorded_at {
        location
            .tombstones
            .put(Ended::Attempt(attempt.clone()), until);
    }
}
