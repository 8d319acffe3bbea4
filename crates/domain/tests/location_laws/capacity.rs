//! Laws of capacity: in no hour and no day more is granted than its limit, less what came back, under
//! any interleaving of grants, releases, picks, counts, other limits, and time going by.

use std::collections::{BTreeMap, BTreeSet};

use consign_domain::entity::Entity;
use consign_domain::ids::{AttemptId, OrderId};
use consign_domain::location::{
    Answer, CapacityLimits, LocationCommand, LocationEvent, LocationReply, Request,
};
use consign_domain::time::Timestamp;
use proptest::prelude::*;

use crate::location_world::{Shelf, attempt, serve, sku};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug)]
enum Step {
    Ask(Request),
    Limit([Option<u32>; 4], u32),
    Count(u32),
    Wait(i64),
}

fn reserve(number: u32, units: u32, partial: bool) -> Request {
    Request::Reserve {
        attempt: attempt(number),
        units,
        per_unit: vec![(sku(number % 2), 1)],
        partial,
        promise: Timestamp(i64::from(number)),
        not_after: Timestamp(i64::MAX / 2),
    }
}

fn release(number: u32, keep: u32) -> Request {
    Request::Release {
        attempt: attempt(number),
        keep,
        not_after: Timestamp(i64::MAX / 2),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1_u32..40;
    let limit = || proptest::option::of(0_u32..12);
    let limits = (limit(), limit(), limit(), limit(), 0_u32..90);
    prop_oneof![
        8 => (number.clone(), 1_u32..6, any::<bool>())
            .prop_map(|(number, units, partial)| Step::Ask(reserve(number, units, partial))),
        4 => (number.clone(), 0_u32..3).prop_map(|(number, keep)| Step::Ask(release(number, keep))),
        2 => (number.clone(), 0_u32..4, 0_u32..3).prop_map(|(number, picked, short)| Step::Ask(
            Request::Pick { attempt: attempt(number), picked, short })),
        1 => (number, 0_u32..4).prop_map(|(number, shipped)| Step::Ask(Request::Ship {
            attempt: attempt(number), shipped, not_after: Timestamp(i64::MAX / 2) })),
        2 => limits.prop_map(|(a, b, c, d, warm_up)| Step::Limit([a, b, c, d], warm_up)),
        1 => (0_u32..40).prop_map(Step::Count),
        4 => (0_i64..50).prop_map(Step::Wait),
        1 => (100_i64..1_500).prop_map(Step::Wait),
    ]
}

/// What the tests know by themselves: what was granted when, and what came back of it.
#[derive(Default)]
struct Book {
    offset: i32,
    limits: Option<CapacityLimits>,
    since: Option<Timestamp>,
    granted: BTreeMap<AttemptId, (Timestamp, i64)>,
    /// Those that were granted while nothing else of their order stood.
    first: BTreeSet<AttemptId>,
}

impl Book {
    fn start(&self, length: i64, now: Timestamp) -> i64 {
        let into = (now.0 + i64::from(self.offset) * MINUTE).rem_euclid(length);
        now.0 - into
    }

    /// Units granted in the window and not given back in it.
    fn used(&self, length: i64, now: Timestamp) -> i64 {
        let start = self.start(length, now);
        let own = self.granted.values().filter(|(at, _)| at.0 >= start);
        own.map(|(_, units)| units).sum()
    }

    fn take(&mut self, event: &LocationEvent, before: &BTreeSet<OrderId>, now: Timestamp) {
        match event {
            LocationEvent::CapacitySet { limits } => {
                self.limits = Some(*limits);
                self.since.get_or_insert(now);
            }
            LocationEvent::Reserved { attempt, units, .. } if self.since.is_some() => {
                let known = (now, i64::from(*units));
                self.granted.insert(attempt.clone(), known);
                if !before.contains(&attempt.order) {
                    self.first.insert(attempt.clone());
                }
                self.check_grant(now);
            }
            LocationEvent::Released { attempt, units, .. }
            | LocationEvent::Displaced { attempt, units, .. } => {
                if let Some((_, left)) = self.granted.get_mut(attempt) {
                    *left -= i64::from(*units);
                }
            }
            _ => {}
        }
    }

    fn check_grant(&self, now: Timestamp) {
        let limits = self.limits.expect("it is limited");
        let each = [(limits.units_per_hour, HOUR), (limits.units_per_day, DAY)];
        for (limit, length) in each {
            let Some(limit) = limit else { continue };
            let used = self.used(length, now);
            assert!(used <= i64::from(limit), "{used} of {limit}");
            let warm_up = (i64::from(limits.warm_up_minutes) * MINUTE).min(length);
            let elapsed = now.0 - self.start(length, now);
            let is_open = elapsed >= warm_up || used * warm_up <= i64::from(limit) * elapsed;
            assert!(is_open, "{used} of {limit} after {elapsed} of {warm_up}");
        }
    }
}

/// What the location counts is what the book does, and its orders are within what they can be.
fn check(shelf: &Shelf, book: &Book) {
    let now = shelf.now;
    let Some(capacity) = shelf.location.capacity() else {
        return;
    };
    let (hour, day) = (capacity.hour(now), capacity.day(now));
    assert_eq!(hour.units as i64, book.used(HOUR, now));
    assert_eq!(day.units as i64, book.used(DAY, now));
    for (window, length) in [(hour, HOUR), (day, DAY)] {
        let start = book.start(length, now);
        assert_eq!(window.starts_at.0, start);
        let standing = shelf.location.reservations_after(None);
        let came = standing.filter(|(name, ..)| {
            let granted = book.granted.get(name);
            book.first.contains(name) && granted.is_some_and(|(at, _)| at.0 >= start)
        });
        let came: BTreeSet<&OrderId> = came.map(|(name, ..)| &name.order).collect();
        let least = came.len() as u64;
        assert!(window.orders >= least, "{least} orders came in {window:?}");
    }
}

/// An order that comes is one that may.
fn check_order(shelf: &Shelf, event: &LocationEvent, before: &BTreeSet<OrderId>) {
    let (Some(capacity), LocationEvent::Reserved { attempt, .. }) =
        (shelf.location.capacity(), event)
    else {
        return;
    };
    if before.contains(&attempt.order) {
        return;
    }
    let (limits, now) = (capacity.limits(), shelf.now);
    let hour = (limits.orders_per_hour, capacity.hour(now).orders);
    let day = (limits.orders_per_day, capacity.day(now).orders);
    for (limit, orders) in [hour, day] {
        assert!(limit.is_none_or(|limit| orders <= u64::from(limit)));
    }
}

fn limits([hour, day, orders_hour, orders_day]: [Option<u32>; 4], offset: i32) -> CapacityLimits {
    CapacityLimits {
        units_per_hour: hour,
        units_per_day: day,
        orders_per_hour: orders_hour,
        orders_per_day: orders_day,
        warm_up_minutes: 0,
        utc_offset_minutes: offset,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_hour_and_no_day_takes_on_more_than_its_limit(
        steps in prop::collection::vec(step(), 1..80),
        offset in -840_i32..=840,
    ) {
        let mut shelf = Shelf::with_stock(&[(0, 60), (1, 60)]);
        let mut book = Book { offset, ..Book::default() };
        for step in &steps {
            let command = match step {
                Step::Ask(request) => serve(request.clone()),
                Step::Limit(of, warm_up_minutes) => LocationCommand::SetCapacity {
                    limits: CapacityLimits { warm_up_minutes: *warm_up_minutes, ..limits(*of, offset) },
                },
                Step::Count(counted) => LocationCommand::Count {
                    sku: sku(0), counted: *counted, counted_at: shelf.now, reference: "r".into(),
                },
                Step::Wait(minutes) => {
                    shelf.now = shelf.now.plus_millis(minutes * 60_000);
                    check(&shelf, &book);
                    continue;
                }
            };
            let room = shelf.location.capacity().map(|capacity| capacity.room(shelf.now));
            let standing = shelf.location.reservations_after(None);
            let before: BTreeSet<OrderId> = standing.map(|(name, ..)| name.order.clone()).collect();
            let (reply, events) = shelf.record(&command).expect("it is never refused as a whole");
            for event in &events {
                book.take(event, &before, shelf.now);
                check_order(&shelf, event, &before);
            }
            if let (Some(room), LocationReply::Answers(answers)) = (room, &reply)
                && let Answer::Refused { reason, .. } = &answers[0]
                && reason == "no_capacity"
            {
                let is_limited = room.units.is_some() || room.orders == Some(0);
                prop_assert!(is_limited, "refused with {:?}", room);
            }
            check(&shelf, &book);
        }
    }

    /// All that comes back unworked in the same hour may be granted once more, to the last unit and
    /// the last order.
    #[test]
    fn what_is_released_is_there_again(
        asked in prop::collection::vec((1_u32..30, 1_u32..5), 1..30),
        shuffled in prop::collection::vec(1_u32..30, 0..30),
        hour in 1_u32..20,
        orders in 1_u32..3,
    ) {
        let mut shelf = Shelf::with_stock(&[(0, 500), (1, 500)]);
        let limits = limits([Some(hour), None, None, Some(orders)], 0);
        shelf.tell(&LocationCommand::SetCapacity { limits }).expect("sane limits");
        for (number, units) in asked {
            drop(shelf.ask(reserve(number, units, true)));
            let room = shelf.location.capacity().expect("it is limited").room(shelf.now);
            prop_assert!(room.units.is_some() && room.orders.is_some());
        }
        for number in shuffled.into_iter().chain(1..30) {
            drop(shelf.ask(release(number, 0)));
        }
        let room = shelf.location.capacity().expect("it is limited").room(shelf.now);
        prop_assert_eq!((room.units, room.orders), (Some(hour), Some(orders)));
    }
}

#[test]
fn orders_count_once_however_many_lines_they_have() {
    let mut shelf = Shelf::with_stock(&[(0, 9), (1, 9)]);
    let one = limits([None, None, Some(1), None], 0);
    shelf
        .tell(&LocationCommand::SetCapacity { limits: one })
        .expect("sane limits");
    let stands = |answer: &Answer| matches!(answer, Answer::Stands { .. });
    // Attempts 3, 6 and 9 are of one order, 4 of another.
    assert!(stands(&shelf.ask(reserve(3, 1, false))));
    assert!(stands(&shelf.ask(reserve(6, 1, false))));
    let Answer::Refused {
        reason, available, ..
    } = shelf.ask(reserve(4, 1, false))
    else {
        panic!("the one order of this hour is there");
    };
    assert_eq!((reason.as_str(), available), ("no_capacity", 0));
    // The first line goes; the order still has another here.
    drop(shelf.ask(release(3, 0)));
    assert!(stands(&shelf.ask(reserve(9, 1, false))));
    drop(shelf.ask(release(6, 0)));
    assert!(!stands(&shelf.ask(reserve(7, 1, false))));
    drop(shelf.ask(release(9, 0)));
    assert!(stands(&shelf.ask(reserve(10, 1, false))));
}

#[test]
fn limits_of_no_sense_are_refused_and_equal_ones_change_nothing() {
    let mut shelf = Shelf::with_stock(&[(0, 9)]);
    let version = shelf.location.version();
    let none = CapacityLimits::default();
    shelf
        .tell(&LocationCommand::SetCapacity { limits: none })
        .expect("no limits");
    assert_eq!(
        (shelf.location.version(), shelf.location.capacity()),
        (version, None)
    );
    let sane = limits([Some(4), None, None, None], 60);
    for limits in [
        CapacityLimits {
            units_per_day: Some(1_000_000_001),
            ..sane
        },
        CapacityLimits {
            warm_up_minutes: 1_441,
            ..sane
        },
        CapacityLimits {
            utc_offset_minutes: i32::MIN,
            ..sane
        },
    ] {
        let refused = shelf.tell(&LocationCommand::SetCapacity { limits });
        assert!(refused.is_err(), "{limits:?}");
    }
    for _ in 0..2 {
        shelf
            .tell(&LocationCommand::SetCapacity { limits: sane })
            .expect("sane limits");
        assert_eq!(shelf.location.version(), version + 1);
    }
}
