//! How much a location takes on: units and orders an hour and a day, counted where they are granted.
//!
//! In: limits, grants, what is given back, and moments. Out: what is left. An hour and a day are
//! windows by a fixed offset from UTC, as this crate reads no time zones. What must hold: in no
//! window more is granted, less what it was given back, than its limit; what was granted in a
//! window is given back to that window or to none.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Units or orders of one limit at most.
pub const CAPACITY_MAX: u32 = 1_000_000_000;
/// Minutes of warm-up at most: a day.
pub const WARM_UP_MINUTES_MAX: u32 = 24 * 60;
/// Minutes that a location's hours and days may lie off UTC's, either way.
pub const UTC_OFFSET_MINUTES_MAX: u32 = 14 * 60;

/// The shortest time between two looks at a location that warms up.
const LEAST_STEP_MICROS: i64 = 5 * 1_000_000;
const MINUTE_MICROS: i64 = 60 * 1_000_000;
const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// What a location takes on at most; `None` is no limit, 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityLimits {
    /// Units of order lines, in an hour.
    pub units_per_hour: Option<u32>,
    /// Units of order lines, in a day.
    pub units_per_day: Option<u32>,
    /// Orders, in an hour.
    pub orders_per_hour: Option<u32>,
    /// Orders, in a day.
    pub orders_per_day: Option<u32>,
    /// In the first so many minutes of an hour or a day its limits open evenly; of an hour, at most
    /// all of it.
    pub warm_up_minutes: u32,
    /// Minutes by which hours and days begin before those of UTC.
    pub utc_offset_minutes: i32,
}

impl CapacityLimits {
    /// Whether anything is limited.
    #[must_use]
    pub fn any(&self) -> bool {
        let units = self.units_per_hour.or(self.units_per_day);
        units
            .or(self.orders_per_hour)
            .or(self.orders_per_day)
            .is_some()
    }
}

/// What has been taken on in one hour or day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityWindow {
    /// When it began.
    pub starts_at: Timestamp,
    /// What was granted from here on is counted in it.
    counted_since: Timestamp,
    /// Units granted and not given back.
    pub units: u64,
    /// Orders taken on and not given back.
    pub orders: u64,
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Hour,
    Day,
}

impl Span {
    fn micros(self) -> i64 {
        match self {
            Span::Hour => HOUR_MICROS,
            Span::Day => DAY_MICROS,
        }
    }

    fn start(self, offset_minutes: i32, now: Timestamp) -> Timestamp {
        let offset = i64::from(offset_minutes) * MINUTE_MICROS;
        let into = now.0.saturating_add(offset).rem_euclid(self.micros());
        Timestamp(now.0.saturating_sub(into))
    }
}

/// What a location may still take on; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Units of order lines.
    pub units: Option<u32>,
    /// Orders.
    pub orders: Option<u32>,
}

impl Room {
    /// Units that an order which is not there yet may have.
    #[must_use]
    pub fn for_new_order(&self) -> u32 {
        match self.orders {
            Some(0) => 0,
            _ => self.units.unwrap_or(u32::MAX),
        }
    }
}

/// A location's limits, and what it has taken on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    limits: CapacityLimits,
    hour: CapacityWindow,
    day: CapacityWindow,
}

impl CapacityWindow {
    fn beginning(span: Span, offset_minutes: i32, now: Timestamp) -> CapacityWindow {
        CapacityWindow {
            starts_at: span.start(offset_minutes, now),
            counted_since: now,
            ..CapacityWindow::default()
        }
    }

    /// As it stands at `now`: one that is over has become the next, with nothing in it. A moment
    /// before its beginning, on another node's clock, is taken to be in it.
    fn at(self, span: Span, offset_minutes: i32, now: Timestamp) -> CapacityWindow {
        let starts_at = span.start(offset_minutes, now);
        if starts_at <= self.starts_at {
            return self;
        }
        CapacityWindow {
            starts_at,
            counted_since: starts_at,
            ..CapacityWindow::default()
        }
    }

    /// By other hours and days from now on: what is in it stays in it.
    fn moved(self, span: Span, (old, new): (i32, i32), now: Timestamp) -> CapacityWindow {
        let current = self.at(span, old, now);
        CapacityWindow {
            starts_at: span.start(new, now),
            ..current
        }
    }
}

impl Capacity {
    /// With nothing taken on.
    #[must_use]
    pub fn new(limits: CapacityLimits, now: Timestamp) -> Capacity {
        let window = |span| CapacityWindow::beginning(span, limits.utc_offset_minutes, now);
        Capacity {
            limits,
            hour: window(Span::Hour),
            day: window(Span::Day),
        }
    }

    /// With other limits: what has been taken on stays so.
    #[must_use]
    pub fn with(self, limits: CapacityLimits, now: Timestamp) -> Capacity {
        let offsets = (self.limits.utc_offset_minutes, limits.utc_offset_minutes);
        Capacity {
            limits,
            hour: self.hour.moved(Span::Hour, offsets, now),
            day: self.day.moved(Span::Day, offsets, now),
        }
    }

    /// What limits it.
    #[must_use]
    pub fn limits(&self) -> CapacityLimits {
        self.limits
    }

    /// The hour that `now` is in.
    #[must_use]
    pub fn hour(&self, now: Timestamp) -> CapacityWindow {
        self.hour
            .at(Span::Hour, self.limits.utc_offset_minutes, now)
    }

    /// The day that `now` is in.
    #[must_use]
    pub fn day(&self, now: Timestamp) -> CapacityWindow {
        self.day.at(Span::Day, self.limits.utc_offset_minutes, now)
    }

    /// When the hour and the day that `now` is in end.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let end = |window: CapacityWindow, span: Span| {
            Timestamp(window.starts_at.0.saturating_add(span.micros()))
        };
        (
            end(self.hour(now), Span::Hour),
            end(self.day(now), Span::Day),
        )
    }

    /// What may be taken on now.
    #[must_use]
    pub fn room(&self, now: Timestamp) -> Room {
        let (hour, day) = (self.hour(now), self.day(now));
        let limits = &self.limits;
        let left = |limit: Option<u32>, window: CapacityWindow, span: Span, used: u64| {
            let open = self.open(limit?, window, span, now);
            // What is left of a limit is no more than the limit.
            Some(u64::from(open).saturating_sub(used) as u32)
        };
        let least = |one: Option<u32>, other: Option<u32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Room {
            units: least(
                left(limits.units_per_hour, hour, Span::Hour, hour.units),
                left(limits.units_per_day, day, Span::Day, day.units),
            ),
            orders: least(
                left(limits.orders_per_hour, hour, Span::Hour, hour.orders),
                left(limits.orders_per_day, day, Span::Day, day.orders),
            ),
        }
    }

    /// What has been taken on of the limit that is nearest to its end, in thousandths of it; `None`
    /// where nothing is limited. A limit of nothing is full, and one that was lowered may be more.
    #[must_use]
    pub fn load_permille(&self, now: Timestamp) -> Option<u32> {
        let (hour, day) = (self.hour(now), self.day(now));
        let limits = &self.limits;
        let share = |(limit, used): (Option<u32>, u64)| {
            let limit = limit?;
            if limit == 0 {
                return Some(1_000);
            }
            let share = used.saturating_mul(1_000) / u64::from(limit);
            Some(u32::try_from(share).unwrap_or(u32::MAX))
        };
        let all = [
            (limits.units_per_hour, hour.units),
            (limits.units_per_day, day.units),
            (limits.orders_per_hour, hour.orders),
            (limits.orders_per_day, day.orders),
        ];
        all.into_iter().filter_map(share).max()
    }

    /// What of a limit is open: all of it, or in the warm-up a share, rounded down.
    fn open(&self, limit: u32, window: CapacityWindow, span: Span, now: Timestamp) -> u32 {
        let warm_up = self.warm_up_micros(span);
        let elapsed = now.0.saturating_sub(window.starts_at.0).max(0);
        if elapsed >= warm_up {
            return limit;
        }
        let share = i128::from(limit) * i128::from(elapsed) / i128::from(warm_up);
        u32::try_from(share).unwrap_or(limit)
    }

    fn warm_up_micros(&self, span: Span) -> i64 {
        (i64::from(self.limits.warm_up_minutes) * MINUTE_MICROS).min(span.micros())
    }

    /// The next moment at which there may be more room than now, without anybody giving any back:
    /// a window's beginning, or, while one warms up, when about a unit more of it opens. `None`
    /// where nothing is limited.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let limits = &self.limits;
        let next = |window: CapacityWindow, span: Span, most: u32| {
            let into = |micros: i64| window.starts_at.0.saturating_add(micros);
            let warm_up = self.warm_up_micros(span);
            if now.0 >= into(warm_up) {
                return Timestamp(into(span.micros()));
            }
            let step = warm_up / i64::from(most.max(1));
            let step = step.clamp(LEAST_STEP_MICROS, MINUTE_MICROS);
            Timestamp(now.0.saturating_add(step).min(into(warm_up)))
        };
        let hourly = limits.units_per_hour.max(limits.orders_per_hour);
        let daily = limits.units_per_day.max(limits.orders_per_day);
        let hour = hourly.map(|most| next(self.hour(now), Span::Hour, most));
        let day = daily.map(|most| next(self.day(now), Span::Day, most));
        hour.into_iter().chain(day).min()
    }

    fn roll(&mut self, now: Timestamp) {
        self.hour = self.hour(now);
        self.day = self.day(now);
    }

    /// The windows in which something of `at` is counted and which are not over.
    fn counting(
        &mut self,
        at: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = &mut CapacityWindow> {
        self.roll(now);
        let windows = [&mut self.hour, &mut self.day].into_iter();
        windows.filter(move |window| window.counted_since <= at)
    }

    /// Units are granted now, to an order that counts from now on or to one that counts already.
    pub fn take(&mut self, units: u32, is_new_order: bool, now: Timestamp) {
        for window in self.counting(now, now) {
            window.units = window.units.saturating_add(u64::from(units));
            window.orders = window.orders.saturating_add(u64::from(is_new_order));
        }
    }

    /// Units that were granted `at` a moment are given back, to the windows of it that are not over.
    pub fn give_back_units(&mut self, units: u32, at: Timestamp, now: Timestamp) {
        for window in self.counting(at, now) {
            window.units = window.units.saturating_sub(u64::from(units));
        }
    }

    /// An order that was counted `at` a moment no longer counts.
    pub fn give_back_order(&mut self, at: Timestamp, now: Timestamp) {
        for window in self.counting(at, now) {
            window.orders = window.orders.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(20_000 * DAY_MICROS + 12 * HOUR_MICROS);

    fn minutes(minutes: i64) -> Timestamp {
        NOON.plus_millis(minutes * 60_000)
    }

    fn limits(units_per_hour: u32, warm_up_minutes: u32) -> CapacityLimits {
        CapacityLimits {
            units_per_hour: Some(units_per_hour),
            warm_up_minutes,
            ..CapacityLimits::default()
        }
    }

    fn units(capacity: &Capacity, now: Timestamp) -> u32 {
        capacity.room(now).units.expect("it is limited")
    }

    #[test]
    fn load_is_that_of_the_tightest_limit() {
        let mut capacity = Capacity::new(limits(10, 0), NOON);
        capacity.take(7, true, NOON);
        assert_eq!(capacity.load_permille(NOON), Some(700));
        assert_eq!(capacity.load_permille(minutes(60)), Some(0));
        let orders = CapacityLimits {
            orders_per_day: Some(1),
            ..limits(10, 0)
        };
        assert_eq!(capacity.with(orders, NOON).load_permille(NOON), Some(1_000));
        let shut = capacity.with(limits(0, 0), NOON);
        assert_eq!(shut.load_permille(NOON), Some(1_000));
        let none = capacity.with(CapacityLimits::default(), NOON);
        assert_eq!(none.load_permille(NOON), None);
    }

    #[test]
    fn a_new_hour_has_all_of_it() {
        let mut capacity = Capacity::new(limits(10, 0), NOON);
        capacity.take(7, true, NOON);
        assert_eq!(units(&capacity, minutes(59)), 3);
        assert_eq!(units(&capacity, minutes(60)), 10);
        assert_eq!(capacity.next_opening(minutes(10)), Some(minutes(60)));
        capacity.give_back_units(7, NOON, minutes(60));
        assert_eq!(
            units(&capacity, minutes(60)),
            10,
            "given back to no other hour"
        );
    }

    #[test]
    fn a_warm_up_opens_evenly() {
        let mut capacity = Capacity::new(limits(30, 15), NOON);
        let opened = [0, 1, 7, 14, 15, 59].map(|minute| units(&capacity, minutes(minute)));
        assert_eq!(opened, [0, 2, 14, 28, 30, 30]);
        let half_a_minute_later = minutes(3).plus_millis(30_000);
        assert_eq!(capacity.next_opening(minutes(3)), Some(half_a_minute_later));
        assert_eq!(capacity.next_opening(minutes(15)), Some(minutes(60)));
        capacity.take(4, true, minutes(2));
        assert_eq!(units(&capacity, minutes(2)), 0);
        assert_eq!(units(&capacity, minutes(3)), 2);
        let all_hour = Capacity::new(limits(60, 24 * 60), NOON);
        assert_eq!(units(&all_hour, minutes(59)), 59);
    }

    #[test]
    fn days_begin_where_the_offset_says() {
        let offset = CapacityLimits {
            units_per_day: Some(5),
            utc_offset_minutes: -12 * 60,
            ..CapacityLimits::default()
        };
        let mut capacity = Capacity::new(offset, minutes(-1));
        capacity.take(5, true, minutes(-1));
        assert_eq!(units(&capacity, minutes(-1)), 0);
        assert_eq!(units(&capacity, NOON), 5);
    }

    #[test]
    fn other_days_keep_what_is_in_this_one() {
        let day = |utc_offset_minutes| CapacityLimits {
            units_per_day: Some(5),
            utc_offset_minutes,
            ..CapacityLimits::default()
        };
        let mut capacity = Capacity::new(day(0), NOON);
        capacity.take(4, true, NOON);
        for offset in [-11 * 60, 330, 14 * 60, 0] {
            capacity = capacity.with(day(offset), minutes(10));
            assert_eq!(units(&capacity, minutes(10)), 1);
        }
        capacity.give_back_units(4, NOON, minutes(11));
        assert_eq!(units(&capacity, minutes(11)), 5);
    }
}
