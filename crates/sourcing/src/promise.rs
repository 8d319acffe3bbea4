//! When an order would be there: from now over cut-offs, handling and transit to a date.
//!
//! In: the moment of the decision, what is known of a location, and the strategy's lanes. Out: the
//! first and the last day on which its parcel arrives, by the clock at the location. A location of
//! which no calendar is known works always; where no lane is for a parcel nothing is promised.
//! An order that comes later is never promised an earlier day, and none a day that is past.

use consign_domain::time::Timestamp;
use serde::Serialize;

use crate::calendar::{Day, ZoneTable};
use crate::engine::facts;
use crate::inputs::Inputs;
use crate::strategy::{Compiled, Known, Profile};

/// Days that are looked ahead for each step of a parcel's way. What takes longer is not promised.
pub(crate) const DAYS_AHEAD_MAX: i64 = 400;
/// What [`crate::Candidate::km`] says where nobody knows where an order goes: in the destination's
/// country, and elsewhere. Nothing that was measured may say so where a strategy promises.
pub const ASSUMED_KM: [u32; 2] = [0, 10_000];
const SECONDS_PER_DAY: i64 = 86_400;

/// From when to when something is there, both days included, by the clock at the location that
/// sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Promise {
    /// The first day.
    pub earliest: Day,
    /// The last day.
    pub latest: Day,
}

impl Promise {
    /// From when to when all of several are there.
    #[must_use]
    pub fn and(self, other: Promise) -> Promise {
        Promise {
            earliest: self.earliest.max(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }
}

impl Compiled {
    /// What is known of a location.
    pub(crate) fn known(&self, ordinal: u32) -> Option<&Known> {
        let at = self
            .locations
            .binary_search_by_key(&ordinal, |known| known.ordinal);
        at.ok().map(|at| &self.locations[at])
    }

    /// Whether anything can be promised by this strategy.
    #[must_use]
    pub fn promises(&self) -> bool {
        self.ways.is_some()
    }

    /// When a parcel from the `nth` candidate would be there.
    #[must_use]
    pub fn promise(&self, inputs: &Inputs, nth: usize) -> Option<Promise> {
        self.promised(inputs, nth).map(|(_, promise)| promise)
    }

    /// Days from today to the last one promised.
    pub(crate) fn promised_days(&self, inputs: &Inputs, nth: usize) -> Option<i64> {
        let (today, promise) = self.promised(inputs, nth)?;
        Some(promise.latest.number() - today)
    }

    /// The promise of a candidate, and the day that it is there.
    fn promised(&self, inputs: &Inputs, nth: usize) -> Option<(i64, Promise)> {
        let ways = self.ways.as_ref()?;
        let candidate = inputs.candidates.get(nth)?;
        let facts = facts(inputs);
        let km = Some(candidate.km).filter(|km| !ASSUMED_KM.contains(km));
        let lane = ways.lane(&facts.service_level, &facts.country, km)?;
        let known = self.known(candidate.ordinal);
        let hours = Hours {
            profile: known.map(|known| &known.profile),
            zone: ways.zone(candidate.ordinal)?,
        };
        let second = facts.now.0.div_euclid(1_000_000);
        let (today, _) = hours.zone.local(second);
        let handed_over = hours.handed_over(second)?;
        let (earliest, latest) = ways.arrival(lane, &facts.country, handed_over)?;
        let promise = Promise {
            earliest: Day::of_number(earliest),
            latest: Day::of_number(latest),
        };
        Some((today, promise))
    }

    /// When something that is ordered now can be picked up at a location; `None` where the strategy
    /// does not know when that is open.
    #[must_use]
    pub fn ready_at(&self, ordinal: u32, now: Timestamp) -> Option<Timestamp> {
        let known = self.known(ordinal)?;
        known.profile.calendar.as_ref()?;
        let hours = Hours {
            profile: Some(&known.profile),
            zone: &known.zone,
        };
        // A part of a second is not before its beginning.
        let (_, ready) = hours.handled(now.0.div_euclid(1_000_000))?;
        Some(now.max(Timestamp(ready.saturating_mul(1_000_000))))
    }
}

/// When a location works on orders.
struct Hours<'a> {
    profile: Option<&'a Profile>,
    zone: &'a ZoneTable,
}

impl Hours<'_> {
    fn works_on(&self, day: i64) -> bool {
        let Some(profile) = self.profile else {
            return true;
        };
        let calendar = profile.calendar.as_ref();
        let mut closures = profile.closures.iter();
        calendar.is_none_or(|calendar| calendar.works_on(day))
            && !closures.any(|of| (of.from.number()..=of.until.number()).contains(&day))
    }

    /// When it opens, closes, and until when orders leave on the same day; all day without a
    /// calendar.
    fn moments(&self, day: i64) -> [i64; 3] {
        let calendar = self.profile.and_then(|profile| profile.calendar.as_ref());
        let of_day = match calendar {
            Some(of) => [of.opens.second(), of.closes.second(), of.cut_off.second()],
            None => [0, SECONDS_PER_DAY, SECONDS_PER_DAY],
        };
        of_day.map(|second| self.zone.moment(day, second))
    }

    fn handling(&self) -> (i64, usize) {
        let profile = self.profile;
        profile.map_or((0, 0), |profile| {
            let seconds = i64::from(profile.handling_minutes) * 60;
            (seconds, profile.handling_days as usize)
        })
    }

    /// The days on which it works, from today.
    fn working_days(&self, now: i64) -> impl Iterator<Item = i64> {
        let (today, _) = self.zone.local(now);
        (today..today + DAYS_AHEAD_MAX).filter(|day| self.works_on(*day))
    }

    /// The day and the second at which an order of this second is ready: after its days of handling
    /// have passed, and as much opening time as it takes.
    fn handled(&self, now: i64) -> Option<(i64, i64)> {
        let (mut left, days) = self.handling();
        let open = self.working_days(now).filter_map(|day| {
            let [opens, closes, _] = self.moments(day);
            (now < closes).then_some((day, opens.max(now), closes))
        });
        for (day, from, closes) in open.skip(days) {
            let there = closes - from;
            if left <= there {
                return Some((day, from + left));
            }
            left -= there.max(0);
        }
        None
    }

    /// The day on which an order of this second leaves: when its cut-off has come, its days of
    /// handling have passed, and it is ready. Whoever collects comes when the day's work is done.
    fn handed_over(&self, now: i64) -> Option<i64> {
        let (_, days) = self.handling();
        let in_time = |day: &i64| {
            let [_, _, cut_off] = self.moments(*day);
            cut_off >= now
        };
        let mut leaves = self.working_days(now).skip_while(|day| !in_time(day));
        let leaves = leaves.nth(days)?;
        let (ready, _) = self.handled(now)?;
        Some(leaves.max(ready))
    }
}
