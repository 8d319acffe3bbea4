//! An order's requests: reserve, release, pick, ship. Every answer tells the attempt's whole state,
//! every target is cumulative, so repeating or reordering requests changes nothing (L3).

use super::hold;
use crate::entity::{Context, Decision, DecisionOf, Entity};
use crate::ids::{AttemptId, OrderId, Sku};
use crate::location::blocks;
use crate::location::command::{Answer, LocationReply, Request};
use crate::location::event::LocationEvent;
use crate::location::state::Location;
use crate::location::types::{Ended, Makeup, Reservation};
use crate::time::Timestamp;

pub(super) fn serve(
    location: &Location,
    order: &OrderId,
    requests: &[Request],
    context: &Context,
) -> DecisionOf<Location> {
    let stamp = context.stamp();
    let mut events = Vec::new();
    let mut answers = Vec::with_capacity(requests.len());
    // Later requests see what earlier ones took; a copy is only made when they could tell.
    let independent = location.capacity().is_none() && independent(requests);
    let mut scratch: Option<Location> = None;
    for (nth, request) in requests.iter().enumerate() {
        let number = request.attempt().attempt;
        if request.attempt().order != *order {
            let reason = "closed".into();
            answers.push(Answer::Refused {
                attempt: number,
                available: 0,
                reason,
            });
            continue;
        }
        let now = scratch.as_ref().unwrap_or(location);
        let (answer, happened) = one(now, request, context.now);
        if !independent && nth + 1 < requests.len() && !happened.is_empty() {
            let copy = scratch.get_or_insert_with(|| location.clone());
            happened.iter().for_each(|event| copy.apply(event, &stamp));
        }
        events.extend(happened);
        answers.push(answer);
    }
    Decision {
        events,
        private: None,
        reply: LocationReply::Answers(answers),
    }
}

/// Whether no request could tell that another went before it: reservations of different SKUs for
/// different attempts, as new orders make them.
fn independent(requests: &[Request]) -> bool {
    let mut attempts = Vec::with_capacity(requests.len());
    let mut skus = Vec::with_capacity(requests.len());
    for request in requests {
        let Request::Reserve {
            attempt, per_unit, ..
        } = request
        else {
            return false;
        };
        attempts.push(attempt);
        skus.extend(per_unit.iter().map(|(sku, _)| sku));
    }
    let (attempts_before, skus_before) = (attempts.len(), skus.len());
    attempts.sort_unstable();
    attempts.dedup();
    skus.sort_unstable();
    skus.dedup();
    (attempts.len(), skus.len()) == (attempts_before, skus_before)
}

fn one(location: &Location, request: &Request, now: Timestamp) -> (Answer, Vec<LocationEvent>) {
    match request {
        Request::Reserve {
            attempt,
            units,
            per_unit,
            partial,
            promise,
            not_after,
        } => {
            let wish = Wish {
                units: *units,
                per_unit,
                partial: *partial,
                promise: *promise,
            };
            reserve(location, attempt, &wish, *not_after, now)
        }
        Request::Release {
            attempt,
            keep,
            not_after,
        } => release(location, attempt, *keep, *not_after, now),
        Request::Pick {
            attempt,
            picked,
            short,
        } => pick(location, attempt, (*picked, *short), now),
        Request::Ship {
            attempt, shipped, ..
        } => ship(location, attempt, *shipped),
    }
}

/// What an order wants to have reserved.
struct Wish<'a> {
    units: u32,
    per_unit: &'a [(Sku, u32)],
    partial: bool,
    promise: Timestamp,
}

fn reserve(
    location: &Location,
    attempt: &AttemptId,
    wish: &Wish<'_>,
    not_after: Timestamp,
    now: Timestamp,
) -> (Answer, Vec<LocationEvent>) {
    let number = attempt.attempt;
    let refused = |available: u32, reason: &str| Answer::Refused {
        attempt: number,
        available,
        reason: reason.into(),
    };
    if let Some(reservation) = location.reservations.get(attempt) {
        return (stands(number, reservation), Vec::new());
    }
    if location
        .tombstones
        .stands(&Ended::Attempt(attempt.clone()), now)
    {
        return (refused(0, "closed"), Vec::new());
    }
    // Past its end the request is void by itself; nothing has to be remembered.
    if now > not_after {
        return (refused(0, "expired"), Vec::new());
    }
    // What is kept for this very line counts as free for it. The hold ends in the same step, so that
    // nobody else can take its units, and what the line does not need of them is there for all.
    let kept = hold::kept_for(location, attempt, now);
    let kept_items = kept.as_ref().map_or(&[][..], |(_, held)| &held.items);
    let in_stock = available_units(location, wish.per_unit, kept_items);
    let mut events = Vec::with_capacity(1 + usize::from(kept.is_some()));
    events.extend(kept.map(|(name, held)| hold::ended(&name, held, false)));
    let available = in_stock.min(location.room_for(&attempt.order, now));
    let suffices = |units: u32| units > 0 && (units >= wish.units || wish.partial);
    let granted = available.min(wish.units);
    if !suffices(granted) {
        let reason = if suffices(in_stock) {
            "no_capacity"
        } else {
            "insufficient"
        };
        events.push(LocationEvent::Refused {
            attempt: attempt.clone(),
            not_after,
        });
        return (refused(available, reason), events);
    }
    events.push(LocationEvent::Reserved {
        attempt: attempt.clone(),
        units: granted,
        makeup: Makeup::of(wish.per_unit),
        promise: wish.promise,
        not_after,
    });
    let answer = Answer::Stands {
        attempt: number,
        units: granted,
        picked: 0,
        short: 0,
        shipped: 0,
    };
    (answer, events)
}

/// Units that could be made of what is there and of what is `kept` besides. A SKU that is named twice
/// counts twice (L1).
fn available_units(location: &Location, per_unit: &[(Sku, u32)], kept: &[(Sku, u32)]) -> u32 {
    let kept_of = |sku: &Sku| -> i64 {
        let of_sku = kept.iter().filter(|(other, _)| other == sku);
        of_sku.map(|(_, pieces)| i64::from(*pieces)).sum()
    };
    let of_sku = |sku: &Sku| -> i64 {
        per_unit
            .iter()
            .filter(|(other, _)| other == sku)
            .map(|(_, pieces)| i64::from(*pieces))
            .sum()
    };
    let units = per_unit
        .iter()
        .map(|(sku, _)| (location.grantable(sku) + kept_of(sku)).max(0) / of_sku(sku).max(1));
    u32::try_from(units.min().unwrap_or(0)).unwrap_or(u32::MAX)
}

fn release(
    location: &Location,
    attempt: &AttemptId,
    keep: u32,
    not_after: Timestamp,
    now: Timestamp,
) -> (Answer, Vec<LocationEvent>) {
    let number = attempt.attempt;
    let Some(reservation) = location.reservations.get(attempt) else {
        let known = location
            .tombstones
            .stands(&Ended::Attempt(attempt.clone()), now);
        let events = if known || now > not_after {
            Vec::new()
        } else {
            vec![LocationEvent::ClosedUnseen {
                attempt: attempt.clone(),
                not_after,
            }]
        };
        return (Answer::Closed { attempt: number }, events);
    };
    // What is picked stays: the location arbitrates between cancel and pick.
    let left = keep.max(reservation.picked).min(reservation.units);
    let units = reservation.units - left;
    let after = Reservation {
        units: left,
        ..reservation.clone()
    };
    if units == 0 {
        return (stands(number, &after), Vec::new());
    }
    let makeup = reservation.makeup.clone();
    (
        stands(number, &after),
        vec![LocationEvent::Released {
            attempt: attempt.clone(),
            units,
            makeup,
        }],
    )
}

fn pick(
    location: &Location,
    attempt: &AttemptId,
    (picked, short): (u32, u32),
    now: Timestamp,
) -> (Answer, Vec<LocationEvent>) {
    let number = attempt.attempt;
    let Some(reservation) = location.reservations.get(attempt) else {
        return (Answer::Closed { attempt: number }, Vec::new());
    };
    let mut after = reservation.clone();
    let mut events = Vec::new();
    let taken = picked.min(after.units).saturating_sub(after.picked);
    if taken > 0 {
        after.picked += taken;
        let makeup = after.makeup.clone();
        events.push(LocationEvent::Picked {
            attempt: attempt.clone(),
            units: taken,
            makeup,
        });
    }
    let missed = short
        .saturating_sub(after.short)
        .min(after.units - after.picked);
    if missed > 0 {
        after.units -= missed;
        after.short += missed;
        let makeup = after.makeup.clone();
        let blocked = blocks::missed(location, &makeup, now);
        events.push(LocationEvent::Missed {
            attempt: attempt.clone(),
            units: missed,
            makeup,
        });
        events.extend(blocked);
    }
    (stands(number, &after), events)
}

fn ship(location: &Location, attempt: &AttemptId, shipped: u32) -> (Answer, Vec<LocationEvent>) {
    let number = attempt.attempt;
    let Some(reservation) = location.reservations.get(attempt) else {
        return (Answer::Closed { attempt: number }, Vec::new());
    };
    let units = shipped
        .min(reservation.picked)
        .saturating_sub(reservation.shipped);
    let after = Reservation {
        shipped: reservation.shipped + units,
        ..reservation.clone()
    };
    if units == 0 {
        return (stands(number, &after), Vec::new());
    }
    let makeup = reservation.makeup.clone();
    (
        stands(number, &after),
        vec![LocationEvent::Shipped {
            attempt: attempt.clone(),
            units,
            makeup,
        }],
    )
}

fn stands(attempt: u32, reservation: &Reservation) -> Answer {
    let Reservation {
        units,
        picked,
        short,
        shipped,
        ..
    } = *reservation;
    if units == shipped {
        return Answer::Closed { attempt };
    }
    Answer::Stands {
        attempt,
        units,
        picked,
        short,
        shipped,
    }
}
