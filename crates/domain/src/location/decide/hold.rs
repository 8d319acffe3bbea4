//! Stock kept without an order: for a while, and never longer (L5).

use super::{Decided, done, invalid};
use crate::entity::{Context, Decision, DecisionOf};
use crate::ids::{AttemptId, HoldId, OrderId, Sku};
use crate::location::command::{LocationRejection, LocationReply};
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::location::types::{Ended, StockHold};
use crate::time::Timestamp;

/// SKUs of one hold at most.
const HOLD_ITEMS_MAX: usize = 2_000;
/// Holds that one decision ends at most; the timer stays due for the rest.
const ENDED_PER_DECISION_MAX: usize = 256;

pub(super) fn hold(
    location: &Location,
    hold: &HoldId,
    (items, partial): (&[(Sku, u32)], bool),
    expires_at: Timestamp,
    context: &Context,
) -> Decided {
    if let Some(held) = location.holds.get(hold) {
        return Ok(Decision {
            events: Vec::new(),
            private: None,
            reply: LocationReply::Held {
                items: held.items.clone(),
            },
        });
    }
    // A late copy of one that has been released or converted takes nothing (L3).
    if location
        .tombstones
        .stands(&Ended::Hold(hold.clone()), context.now)
    {
        return Err(LocationRejection::NoHold { hold: hold.clone() });
    }
    if items.is_empty()
        || items.len() > HOLD_ITEMS_MAX
        || items.iter().any(|(_, units)| *units == 0)
    {
        return Err(invalid("/items", "out_of_range"));
    }
    if expires_at <= context.now {
        return Err(invalid("/expires_at", "in_the_past"));
    }
    let granted = grant(location, items, partial)?;
    let event = LocationEvent::Held {
        hold: hold.clone(),
        items: granted.clone(),
        expires_at,
    };
    Ok(Decision {
        events: vec![event],
        private: None,
        reply: LocationReply::Held { items: granted },
    })
}

/// What is there of `items`, one entry per SKU; all of them, unless `partial`.
fn grant(
    location: &Location,
    items: &[(Sku, u32)],
    partial: bool,
) -> Result<Vec<(Sku, u32)>, LocationRejection> {
    let mut granted: Vec<(Sku, u32)> = Vec::with_capacity(items.len());
    for (sku, asked) in items {
        let known = granted.iter().position(|(other, _)| other == sku);
        let taken = known.map_or(0, |nth| granted[nth].1);
        let available = location.grantable(sku) - i64::from(taken);
        let units = u32::try_from(available.max(0))
            .unwrap_or(u32::MAX)
            .min(*asked);
        if units < *asked && !partial {
            return Err(LocationRejection::Insufficient {
                sku: sku.clone(),
                asked: *asked,
                available,
            });
        }
        match known {
            Some(nth) => granted[nth].1 += units,
            None if units > 0 => granted.push((sku.clone(), units)),
            None => {}
        }
    }
    if granted.is_empty() {
        let (sku, asked) = items[0].clone();
        let available = location.available(&sku);
        return Err(LocationRejection::Insufficient {
            sku,
            asked,
            available,
        });
    }
    Ok(granted)
}

pub(super) fn release(location: &Location, hold: &HoldId) -> DecisionOf<Location> {
    let ended = location
        .holds
        .get(hold)
        .map(|held| LocationEvent::HoldEnded {
            hold: hold.clone(),
            items: held.items.clone(),
            expired: false,
        });
    done(ended.into_iter().collect())
}

pub(super) fn convert(
    location: &Location,
    hold: &HoldId,
    attempt: &AttemptId,
    (promise, not_after): (Timestamp, Timestamp),
    context: &Context,
) -> Decided {
    if location.reservations.contains_key(attempt) {
        return Ok(done(Vec::new()));
    }
    // The order has given this attempt up, or will have: nobody would release what it took (L5).
    if location
        .tombstones
        .stands(&Ended::Attempt(attempt.clone()), context.now)
    {
        return Err(invalid("/attempt", "closed"));
    }
    if context.now > not_after {
        return Err(invalid("/not_after", "expired"));
    }
    // A hold whose time is over is over, also when its timer has not come round yet.
    let live = location
        .holds
        .get(hold)
        .filter(|held| held.expires_at > context.now);
    let held = live.ok_or_else(|| LocationRejection::NoHold { hold: hold.clone() })?;
    let [(sku, units)] = held.items.as_slice() else {
        return Err(invalid("/hold", "holds_several_skus"));
    };
    if *units > location.room_for(&attempt.order, context.now) {
        return Err(invalid("/hold", "no_capacity"));
    }
    Ok(done(vec![LocationEvent::HoldConverted {
        hold: hold.clone(),
        attempt: attempt.clone(),
        units: *units,
        sku: sku.clone(),
        promise,
        not_after,
    }]))
}

/// The hold goes on under the name of the order's line, in one step: nobody comes between.
pub(super) fn claim(
    location: &Location,
    hold: &HoldId,
    (order, line): (&OrderId, u32),
    context: &Context,
) -> Decided {
    let name = HoldId::of_order_line(order, line);
    if let Some(claimed) = location.holds.get(&name) {
        let items = claimed.items.clone();
        return Ok(held(Vec::new(), items));
    }
    let no_hold = || LocationRejection::NoHold { hold: hold.clone() };
    let live = location
        .holds
        .get(hold)
        .filter(|held| held.expires_at > context.now);
    let before = live.ok_or_else(no_hold)?;
    // A count may have found less than is held: what is not there is not kept on (L1).
    let there = |(sku, units): &(Sku, u32)| {
        let units = (i64::from(*units) + location.available(sku).min(0)).max(0);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        (units > 0).then(|| (sku.clone(), units))
    };
    let items: Vec<(Sku, u32)> = before.items.iter().filter_map(there).collect();
    if items.is_empty() {
        return Err(no_hold());
    }
    let expires_at = before.expires_at;
    let ended = ended(hold, before, false);
    let kept = LocationEvent::Held {
        hold: name,
        items: items.clone(),
        expires_at,
    };
    Ok(held(vec![ended, kept], items))
}

/// The live hold that is kept for the line of an attempt, if there is one.
pub(super) fn kept_for<'a>(
    location: &'a Location,
    attempt: &AttemptId,
    now: Timestamp,
) -> Option<(HoldId, &'a StockHold)> {
    // Where nobody holds anything, no name is made.
    if location.holds.is_empty() {
        return None;
    }
    let name = HoldId::of_order_line(&attempt.order, attempt.line);
    let held = location.holds.get(&name);
    held.filter(|held| held.expires_at > now)
        .map(|held| (name, held))
}

/// The end of a hold.
pub(super) fn ended(hold: &HoldId, held: &StockHold, expired: bool) -> LocationEvent {
    LocationEvent::HoldEnded {
        hold: hold.clone(),
        items: held.items.clone(),
        expired,
    }
}

fn held(events: Vec<LocationEvent>, items: Vec<(Sku, u32)>) -> DecisionOf<Location> {
    Decision {
        events,
        private: None,
        reply: LocationReply::Held { items },
    }
}

/// The end of each hold whose time is over.
pub(super) fn due(location: &Location, now: Timestamp) -> Vec<LocationEvent> {
    let due = location
        .expiries
        .iter()
        .take_while(|(at, _)| *at <= now)
        .take(ENDED_PER_DECISION_MAX);
    let ended = due.filter_map(|(_, hold)| {
        let items = location.holds.get(hold)?.items.clone();
        Some(LocationEvent::HoldEnded {
            hold: hold.clone(),
            items,
            expired: true,
        })
    });
    ended.collect()
}
