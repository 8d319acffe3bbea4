//! Working hours and cut-offs in a location's own time.
//!
//! In: a moment, and the table of the location's time zone as (from when, seconds east of
//! Greenwich). The table is an argument, as this crate reads none from a disk (L10). A local time
//! that does not exist, because the clock was put forward over it, stands for the moment at which
//! the clock was put forward; one that occurs twice stands for the first (London, 2011-03-27 and
//! 2011-10-30).

use consign_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

const SECONDS_PER_DAY: i64 = 86_400;
/// No clock is farther from Greenwich than this, in seconds: a little more than a day.
const OFFSET_MAX: i64 = 100_000;
/// Days that are looked through for a working one: a long holiday at most.
const DAYS_AHEAD_MAX: i64 = 62;

/// Offsets from UTC: (from this second since 1970, seconds east), rising. The first holds before
/// its moment too; an empty table is UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneTable(pub Vec<(i64, i32)>);

impl ZoneTable {
    fn offset_at(&self, second: i64) -> i64 {
        let before = self.0.partition_point(|(from, _)| *from <= second);
        let row = self.0.get(before.saturating_sub(1));
        row.map_or(0, |(_, offset)| i64::from(*offset))
    }

    /// The local day number (since 1970-01-01) and the second of that day by the clock on the wall.
    pub(crate) fn local(&self, second: i64) -> (i64, i64) {
        let local = second + self.offset_at(second);
        (
            local.div_euclid(SECONDS_PER_DAY),
            local.rem_euclid(SECONDS_PER_DAY),
        )
    }

    /// The second since 1970 that a local time stands for.
    pub(crate) fn moment(&self, day: i64, second_of_day: i64) -> i64 {
        let local = day * SECONDS_PER_DAY + second_of_day;
        let rows = &self.0;
        // What ended long before this moment by any clock need not be looked at.
        let first = rows.partition_point(|(from, _)| *from <= local - OFFSET_MAX);
        let first = first.saturating_sub(1);
        let mut from = i64::MIN;
        for (nth, (_, offset)) in rows.iter().enumerate().skip(first) {
            let until = rows.get(nth + 1).map_or(i64::MAX, |(next, _)| *next);
            let found = local - i64::from(*offset);
            if found < from {
                // The clock was put forward over this time.
                return from;
            }
            if found < until {
                return found;
            }
            from = until;
        }
        local
    }
}

/// A date: `2011-12-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    /// Since 1970-01-01.
    number: i64,
}

/// A time of day: `14:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time {
    minute: u16,
}

impl Day {
    /// Days since 1970-01-01.
    pub(crate) fn number(self) -> i64 {
        self.number
    }

    pub(crate) fn of_number(number: i64) -> Day {
        Day { number }
    }
}

impl Time {
    pub(crate) fn second(self) -> i64 {
        i64::from(self.minute) * 60
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level
/// date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day number, as (year, month, day).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

impl TryFrom<String> for Day {
    type Error = String;
    fn try_from(text: String) -> Result<Day, String> {
        let wrong = || format!("{text:?} is no date like 2011-12-25");
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts[..] else {
            return Err(wrong());
        };
        let number = |part: &str, digits: usize| -> Option<i64> {
            let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let found = number(year, 4).zip(number(month, 2)).zip(number(day, 2));
        let ((year, month), day) = found.ok_or_else(wrong)?;
        let number = days_from_civil(year, month, day);
        let real = (1..=12).contains(&month) && civil_from_days(number) == (year, month, day);
        if real {
            Ok(Day { number })
        } else {
            Err(wrong())
        }
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        let (year, month, day) = civil_from_days(day.number);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

impl TryFrom<String> for Time {
    type Error = String;
    fn try_from(text: String) -> Result<Time, String> {
        let wrong = || format!("{text:?} is no time of day like 14:30");
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| -> Option<u16> {
            let plain = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(wrong)?;
        // 24:00 is the end of a day.
        let minute_of_day = hour * 60 + minute;
        if minute < 60 && minute_of_day <= 24 * 60 {
            let minute = minute_of_day;
            Ok(Time { minute })
        } else {
            Err(wrong())
        }
    }
}

impl From<Time> for String {
    fn from(time: Time) -> String {
        format!("{:02}:{:02}", time.minute / 60, time.minute % 60)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// The first.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

/// When a location works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Days of the week on which it works.
    pub working_days: Vec<Weekday>,
    /// When it opens.
    pub opens: Time,
    /// When it closes.
    pub closes: Time,
    /// Until when orders leave on the same day.
    pub cut_off: Time,
    /// Days on which it does not work.
    #[serde(default)]
    pub holidays: Vec<Day>,
}

/// 1970-01-01 was a Thursday.
const WEEK: [Weekday; 7] = [
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
];

pub(crate) fn weekday_of(day: i64) -> Weekday {
    WEEK[day.rem_euclid(7) as usize]
}

impl Calendar {
    pub(crate) fn works_on(&self, day: i64) -> bool {
        let weekday = weekday_of(day);
        let holiday = self.holidays.iter().any(|holiday| holiday.number == day);
        self.working_days.contains(&weekday) && !holiday
    }

    /// Whether it is open at this moment.
    #[must_use]
    pub fn is_open(&self, zone: &ZoneTable, now: Timestamp) -> bool {
        let second = now.0.div_euclid(1_000_000);
        let (day, _) = zone.local(second);
        let opens = zone.moment(day, self.opens.second());
        let closes = zone.moment(day, self.closes.second());
        self.works_on(day) && (opens..closes).contains(&second)
    }

    /// The next cut-off that an order of this moment makes. `None` when it does not work within
    /// two months.
    #[must_use]
    pub fn next_cut_off(&self, zone: &ZoneTable, now: Timestamp) -> Option<Timestamp> {
        let second = now.0.div_euclid(1_000_000);
        let (today, _) = zone.local(second);
        let days = (today..today + DAYS_AHEAD_MAX).filter(|day| self.works_on(*day));
        let mut cut_offs = days.map(|day| zone.moment(day, self.cut_off.second()));
        let next = cut_offs.find(|cut_off| *cut_off >= second)?;
        Some(Timestamp(next.saturating_mul(1_000_000)))
    }
}

/// Whether a moment lies within days, both included, by the clock on the wall.
pub(crate) fn within(zone: &ZoneTable, now: Timestamp, from: Day, until: Day) -> bool {
    let (today, _) = zone.local(now.0.div_euclid(1_000_000));
    (from.number..=until.number).contains(&today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// London in 2011: GMT, from 2011-03-27T01:00Z an hour ahead, from 2011-10-30T01:00Z GMT again.
    fn london() -> ZoneTable {
        ZoneTable(vec![
            (1_288_486_800, 0),
            (1_301_187_600, 3_600),
            (1_319_936_400, 0),
        ])
    }

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(moment.as_microsecond())
    }

    fn time(text: &str) -> Time {
        Time::try_from(text.to_owned()).expect("a time")
    }

    fn day(text: &str) -> Day {
        Day::try_from(text.to_owned()).expect("a date")
    }

    fn every_day(cut_off: &str) -> Calendar {
        Calendar {
            working_days: WEEK.to_vec(),
            opens: time("00:00"),
            closes: time("24:00"),
            cut_off: time(cut_off),
            holidays: Vec::new(),
        }
    }

    fn next(calendar: &Calendar, now: &str) -> String {
        let next = calendar.next_cut_off(&london(), at(now));
        let next = jiff::Timestamp::from_microsecond(next.expect("one").0).expect("in range");
        next.to_string()
    }

    #[test]
    fn a_cut_off_that_does_not_exist_moves_forward() {
        // At 01:00 the clock in London said 02:00 at once: 01:30 was never.
        let next = next(&every_day("01:30"), "2011-03-27T00:00:00Z");
        assert_eq!(next, "2011-03-27T01:00:00Z");
    }

    #[test]
    fn of_a_cut_off_that_occurs_twice_the_first_counts() {
        let calendar = every_day("01:30");
        assert_eq!(
            next(&calendar, "2011-10-30T00:00:00Z"),
            "2011-10-30T00:30:00Z"
        );
        // The second 01:30 of that day is no cut-off any more.
        assert_eq!(
            next(&calendar, "2011-10-30T00:30:01Z"),
            "2011-10-31T01:30:00Z"
        );
    }

    #[test]
    fn days_of_23_and_25_hours() {
        let calendar = every_day("12:00");
        assert_eq!(
            next(&calendar, "2011-03-26T12:00:01Z"),
            "2011-03-27T11:00:00Z"
        );
        assert_eq!(
            next(&calendar, "2011-10-29T11:00:01Z"),
            "2011-10-30T12:00:00Z"
        );
    }

    #[test]
    fn weekends_and_holidays_are_passed_over() {
        let mut calendar = every_day("14:00");
        calendar.opens = time("09:00");
        calendar.closes = time("17:30");
        calendar.working_days = WEEK[..2].iter().chain(&WEEK[4..]).copied().collect();
        calendar.holidays = vec![day("2011-12-26"), day("2011-12-27")];
        // Friday before Christmas, after the cut-off: the next is on Wednesday.
        assert_eq!(
            next(&calendar, "2011-12-23T14:00:01Z"),
            "2011-12-28T14:00:00Z"
        );
        for (moment, open) in [
            ("2011-12-23T08:59:59Z", false),
            ("2011-12-23T09:00:00Z", true),
            ("2011-12-23T17:30:00Z", false),
            ("2011-12-24T10:00:00Z", false),
            ("2011-12-27T10:00:00Z", false),
            // Nine o'clock in summer.
            ("2011-06-01T08:00:00Z", true),
        ] {
            assert_eq!(calendar.is_open(&london(), at(moment)), open, "{moment}");
        }
        calendar.working_days.clear();
        assert_eq!(
            calendar.next_cut_off(&london(), at("2011-01-01T00:00:00Z")),
            None
        );
    }

    #[test]
    fn dates_and_times_that_are_none_are_refused() {
        for text in [
            "2011-02-29",
            "2011-13-01",
            "2011-00-10",
            "11-01-01",
            "today",
            "2011-1-1",
            "+011-01-01",
        ] {
            assert!(Day::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["24:01", "7:00", "12:60", "noon", "99:99"] {
            assert!(Time::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(String::from(day("2012-02-29")), "2012-02-29");
        assert_eq!(String::from(time("24:00")), "24:00");
    }

    proptest! {
        /// Against a library's own calendar and its table of London.
        #[test]
        fn cut_offs_are_those_of_jiff(second in 1_293_840_000_i64..1_325_000_000, minute in 0_u16..1_440) {
            let zone = jiff::tz::TimeZone::get("Europe/London").expect("London");
            let calendar = every_day(&String::from(Time { minute }));
            let now = jiff::Timestamp::from_second(second).expect("in range");
            let found = calendar.next_cut_off(&london(), Timestamp(second * 1_000_000));
            let time = jiff::civil::Time::midnight() + jiff::Span::new().minutes(i64::from(minute));
            let today = now.to_zoned(zone.clone()).date();
            let dates = [today, today.tomorrow().expect("a day"), today.tomorrow().expect("a day").tomorrow().expect("a day")];
            // Forward to the end of the gap, not by its length.
            let moment = |date: jiff::civil::Date| {
                let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(time));
                match ambiguous.offset() {
                    jiff::tz::AmbiguousOffset::Gap { before, .. } => {
                        let next = zone.following(before.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).expect("in range")).next();
                        next.expect("a change").timestamp()
                    }
                    _ => ambiguous.earlier().expect("in range"),
                }
            };
            let expected = dates.into_iter().map(moment).find(|moment| *moment >= now);
            prop_assert_eq!(found.map(|found| found.0 / 1_000_000), expected.map(|moment| moment.as_second()));
        }
    }
}
