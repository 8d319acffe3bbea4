//! How long parcels are under way: lanes by service level, country and distance, and the days on
//! which carriers move and deliver.
//!
//! In: what the retailer agreed with carriers. Out: the lane of a parcel, and the day on which one
//! that was handed over arrives. What no lane is for has no time of arrival; none is guessed.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

use super::compiled::{ENTRIES_MAX, amount, count, names, wrong};
use super::{KnownLocation, StrategyError, listed};
use crate::calendar::{Day, Weekday, ZoneTable, weekday_of};
use crate::promise::DAYS_AHEAD_MAX;

/// Lanes at most.
const LANES_MAX: usize = 256;
/// Days that a lane may take at most.
const TRANSIT_DAYS_MAX: i64 = 60;

/// How long parcels are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transit {
    /// The first that is for a parcel says how long it is under way.
    pub lanes: Vec<Lane>,
    /// Days on which no carrier moves or delivers, by the country of the destination.
    #[serde(default)]
    pub holidays: BTreeMap<CompactString, Vec<Day>>,
}

/// Which parcels, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Service levels; empty: all.
    #[serde(default)]
    pub service_levels: Vec<CompactString>,
    /// Countries of the destination, ISO 3166-1 alpha-2; empty: all.
    #[serde(default)]
    pub countries: Vec<CompactString>,
    /// It is for parcels that go at most so many kilometres.
    #[serde(default)]
    pub km_max: Option<u32>,
    /// Days on which the carrier moves, from the one on which it takes over to the one on which it
    /// delivers, at least; 0: the same day.
    pub days_min: u32,
    /// The same, at most.
    pub days_max: u32,
    /// Days of the week on which it moves; empty: all.
    #[serde(default)]
    pub moves: Vec<Weekday>,
    /// Days of the week on which it delivers; empty: those on which it moves.
    #[serde(default)]
    pub delivers: Vec<Weekday>,
}

/// Lanes that have been checked, and the clocks of all locations.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    lanes: Vec<Lane>,
    /// Day numbers, rising.
    holidays: BTreeMap<CompactString, Vec<i64>>,
    /// Each zone once: most locations share theirs.
    zones: Vec<ZoneTable>,
    /// (ordinal, index of its zone), rising.
    clocks: Vec<(u32, usize)>,
}

impl Ways {
    pub(super) fn of(transit: &Transit, known: &[KnownLocation]) -> Result<Ways, StrategyError> {
        count("transit.lanes", transit.lanes.len(), LANES_MAX)?;
        if transit.lanes.is_empty() {
            return Err(wrong("transit.lanes", "there must be at least one"));
        }
        for (nth, lane) in transit.lanes.iter().enumerate() {
            lane_is_sane(nth, lane)?;
        }
        let countries: Vec<CompactString> = transit.holidays.keys().cloned().collect();
        names("transit.holidays", &countries)?;
        let mut holidays = BTreeMap::new();
        for (country, days) in &transit.holidays {
            let place = format_compact!("transit.holidays.{country}");
            count(&place, days.len(), ENTRIES_MAX)?;
            let mut numbers: Vec<i64> = days.iter().map(|day| day.number()).collect();
            numbers.sort_unstable();
            holidays.insert(country.clone(), numbers);
        }
        let mut zones: Vec<ZoneTable> = Vec::new();
        let clock = |location: &KnownLocation| {
            let at = zones.iter().position(|zone| *zone == location.zone);
            let at = at.unwrap_or_else(|| {
                zones.push(location.zone.clone());
                zones.len() - 1
            });
            (location.ordinal, at)
        };
        let mut clocks: Vec<(u32, usize)> = known.iter().map(clock).collect();
        clocks.sort_unstable();
        Ok(Ways {
            lanes: transit.lanes.clone(),
            holidays,
            zones,
            clocks,
        })
    }

    /// The clock at a location; `None` for one that there is not.
    pub(crate) fn zone(&self, ordinal: u32) -> Option<&ZoneTable> {
        let at = self.clocks.binary_search_by_key(&ordinal, |(of, _)| *of);
        at.ok().map(|at| &self.zones[self.clocks[at].1])
    }

    /// The lane of a parcel. One of which nobody knows how far it goes is in no lane that ends
    /// somewhere.
    pub(crate) fn lane(&self, service: &str, country: &str, km: Option<u32>) -> Option<&Lane> {
        self.lanes.iter().find(|lane| {
            let is_near = |most: u32| km.is_some_and(|km| km <= most);
            listed(&lane.service_levels, service)
                && listed(&lane.countries, country)
                && lane.km_max.is_none_or(is_near)
        })
    }

    /// The first and the last day on which a parcel arrives that is handed over on a day. `None`
    /// where that would be more than [`DAYS_AHEAD_MAX`] days later.
    pub(crate) fn arrival(
        &self,
        lane: &Lane,
        country: &str,
        handed_over: i64,
    ) -> Option<(i64, i64)> {
        let holidays = self.holidays.get(country);
        let is_holiday =
            |day: i64| holidays.is_some_and(|holidays| holidays.binary_search(&day).is_ok());
        let on = |days: &[Weekday], day: i64| {
            (days.is_empty() || days.contains(&weekday_of(day))) && !is_holiday(day)
        };
        let delivers = if lane.delivers.is_empty() {
            &lane.moves
        } else {
            &lane.delivers
        };
        let until = handed_over + DAYS_AHEAD_MAX;
        // The day on which it is taken over is the first of these, and is not counted.
        let moving = || (handed_over..until).filter(|day| on(&lane.moves, *day));
        let arrives = |days: u32| {
            let there = moving().nth(days as usize)?;
            (there..until).find(|day| on(delivers, *day))
        };
        Some((arrives(lane.days_min)?, arrives(lane.days_max)?))
    }
}

fn lane_is_sane(nth: usize, lane: &Lane) -> Result<(), StrategyError> {
    let place = |what: &str| format_compact!("transit.lanes[{nth}].{what}");
    names(&place("service_levels"), &lane.service_levels)?;
    names(&place("countries"), &lane.countries)?;
    let days_max = i64::from(lane.days_max);
    amount(&place("days_max"), days_max, TRANSIT_DAYS_MAX)?;
    if lane.days_min > lane.days_max {
        return Err(wrong(&place("days_min"), "is greater than days_max"));
    }
    for (what, days) in [("moves", &lane.moves), ("delivers", &lane.delivers)] {
        count(&place(what), days.len(), 7)?;
    }
    Ok(())
}
