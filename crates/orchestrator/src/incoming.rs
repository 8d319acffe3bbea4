//! What is to come: goods that are announced to locations, and how much of them is spoken for.
//!
//! In: every committed change of a location, as for the availability view. Out: of a SKU, when how
//! much comes where. Orders that wait take what comes first, so only the rest is told of. A hint, like
//! all availability: an announcement promises nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use consign_domain::ids::Sku;
use consign_domain::location::{Announcement, Location};
use consign_domain::time::Timestamp;
use consign_sourcing::Day;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

use crate::atlas::Atlas;
use crate::index;
use crate::service::Views;

/// How long what was announced for a moment that is past is still waited for.
const LATE_MAX_MILLIS: i64 = 24 * 3_600 * 1_000;
/// How long the number of units that wait for a SKU is taken to be the same.
const WAITING_AGE_MAX_MILLIS: i64 = 1_000;
/// SKUs whose waiting units are remembered at a time.
const WAITING_SKUS_MAX: usize = 10_000;
/// Waiting orders that are counted at most; beyond that nothing that comes is free.
const WAITING_ORDERS_MAX: usize = 10_000;
/// Waiting orders that are read at a time.
const ROWS_PER_READ: usize = 1_024;

/// Goods on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Timestamp,
    /// Of the location.
    ordinal: u32,
    units: u32,
}

/// What comes, by SKU, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct IncomingView {
    arrivals: RwLock<HashMap<Sku, Arc<[Arrival]>, RandomState>>,
    waiting: Mutex<HashMap<Sku, (Timestamp, u64), RandomState>>,
}

impl IncomingView {
    /// Takes in what is announced of `sku` at the location with `ordinal`.
    pub(crate) fn set(&self, sku: &Sku, ordinal: u32, announced: &[Announcement]) {
        let mut all = self.arrivals.write();
        let known = all.get(sku).map_or(&[][..], |known| known);
        let others = known.iter().filter(|of| of.ordinal != ordinal).copied();
        let own = announced.iter().map(|of| Arrival {
            at: of.expected_at,
            ordinal,
            units: of.quantity,
        });
        let mut arrivals: Vec<Arrival> = others.chain(own).collect();
        arrivals.sort_unstable();
        if arrivals.is_empty() {
            all.remove(sku);
        } else {
            all.insert(sku.clone(), arrivals.into());
        }
    }

    /// Takes in all that is announced at a location, and nothing else of it.
    pub(crate) fn replace(&self, ordinal: u32, location: &Location) {
        let is_here = |arrivals: &Arc<[Arrival]>| arrivals.iter().any(|of| of.ordinal == ordinal);
        let all = self.arrivals.read();
        let here = all.iter().filter(|(_, arrivals)| is_here(arrivals));
        let before: Vec<Sku> = here.map(|(sku, _)| sku.clone()).collect();
        drop(all);
        for sku in &before {
            self.set(sku, ordinal, location.announced(sku));
        }
        for (sku, announced) in location.all_announced() {
            self.set(sku, ordinal, announced);
        }
    }

    /// Whether anything is announced of a SKU.
    pub(crate) fn knows(&self, sku: &Sku) -> bool {
        self.arrivals.read().contains_key(sku)
    }

    fn of(&self, sku: &Sku) -> Option<Arc<[Arrival]>> {
        self.arrivals.read().get(sku).cloned()
    }
}

/// Units that come to a location and are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    /// By the clock at the location; never a day that is past.
    pub(crate) day: Day,
    pub(crate) ordinal: u32,
    pub(crate) units: u32,
}

/// What comes of several SKUs and is free, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Supply(BTreeMap<Sku, Vec<Free>>);

impl Supply {
    /// The days on which some comes, rising.
    pub(crate) fn days(&self) -> impl Iterator<Item = Day> {
        let days = self.0.values().flatten().map(|of| of.day);
        days.collect::<BTreeSet<Day>>().into_iter()
    }

    /// Units of a SKU by location, until a day and with it.
    pub(crate) fn until(&self, sku: &Sku, last: Day) -> Vec<(u32, i64)> {
        let all = self.0.get(sku).into_iter().flatten();
        let in_time = all.take_while(|of| of.day <= last);
        in_time
            .map(|of| (of.ordinal, i64::from(of.units)))
            .collect()
    }
}

impl Views {
    /// What comes of these SKUs and is not spoken for. Reads who waits from the index, so it may
    /// block, at most once a second for each SKU.
    pub(crate) fn supply<'s>(&self, atlas: &Atlas, skus: impl Iterator<Item = &'s Sku>) -> Supply {
        let active: BTreeSet<u32> = atlas.ordinals().collect();
        let now = self.hosts().node.now();
        let mut clocks = Clocks::default();
        let mut supply = Supply::default();
        for sku in skus {
            let Some(arrivals) = self.incoming.of(sku) else {
                continue;
            };
            let in_time = |of: &&Arrival| of.at.plus_millis(LATE_MAX_MILLIS) >= now;
            let arrivals = arrivals.iter().filter(in_time);
            let mut spoken_for = self.waiting_units(sku, now);
            let mut free: Vec<Free> = Vec::new();
            for of in arrivals.filter(|of| active.contains(&of.ordinal)) {
                let units = u64::from(of.units);
                let taken = units.min(spoken_for);
                spoken_for -= taken;
                let day = clocks.day(self, atlas, of.ordinal, of.at.max(now));
                if let Some(day) = day
                    && taken < units
                {
                    let units = u32::try_from(units - taken).unwrap_or(u32::MAX);
                    let ordinal = of.ordinal;
                    free.push(Free {
                        day,
                        ordinal,
                        units,
                    });
                }
            }
            // By the clocks of their locations they may come in another order.
            free.sort_by_key(|of| of.day);
            supply.0.insert(sku.clone(), free);
        }
        supply
    }

    /// Units of a SKU that orders wait for, as of a second ago at most.
    fn waiting_units(&self, sku: &Sku, now: Timestamp) -> u64 {
        let is_fresh = |(asked_at, _): &&(Timestamp, u64)| {
            *asked_at <= now && asked_at.plus_millis(WAITING_AGE_MAX_MILLIS) > now
        };
        if let Some((_, units)) = self.incoming.waiting.lock().get(sku).filter(is_fresh) {
            return *units;
        }
        let units = self.count_waiting(sku);
        let mut known = self.incoming.waiting.lock();
        if known.len() >= WAITING_SKUS_MAX {
            known.clear();
        }
        known.insert(sku.clone(), (now, units));
        units
    }

    fn count_waiting(&self, sku: &Sku) -> u64 {
        let prefix = index::waiting_prefix(sku);
        let end = Bound::Excluded(index::end_of(&prefix));
        let mut from = Bound::Included(prefix);
        let (mut units, mut orders) = (0_u64, 0);
        while orders < WAITING_ORDERS_MAX {
            let node = &self.hosts().node;
            let rows = match node.index_scan(from.clone(), end.clone(), false, ROWS_PER_READ) {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%sku, %error, "cannot read who waits for stock; what comes counts as spoken for");
                    return u64::MAX;
                }
            };
            let Some((last, _)) = rows.last() else {
                return units;
            };
            from = Bound::Excluded(last.clone());
            orders += rows.len();
            for (_, row) in &rows {
                let lacks = row.value.first_chunk::<4>();
                units += lacks.map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)));
            }
        }
        u64::MAX
    }
}

/// The zones of locations, each looked up once.
#[derive(Default)]
struct Clocks(BTreeMap<u32, Option<jiff::tz::TimeZone>>);

impl Clocks {
    /// The day of a moment by the clock at a location.
    fn day(&mut self, views: &Views, atlas: &Atlas, ordinal: u32, at: Timestamp) -> Option<Day> {
        let zone = self.0.entry(ordinal).or_insert_with(|| {
            let spot = atlas.by_ordinal(ordinal)?;
            let catalogue = views.catalogue.load();
            jiff::tz::TimeZone::get(&catalogue.location(&spot.id)?.time_zone).ok()
        });
        let moment = jiff::Timestamp::from_microsecond(at.0).ok()?;
        let zone = zone.clone().unwrap_or(jiff::tz::TimeZone::UTC);
        Day::try_from(moment.to_zoned(zone).date().to_string()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_in_order_over_all_locations_and_goes_again() {
        let view = IncomingView::default();
        let sku = Sku::new("A").expect("valid");
        let announced = |at: i64, quantity| Announcement {
            reference: "paper".into(),
            quantity,
            expected_at: Timestamp(at),
        };
        view.set(&sku, 1, &[announced(5, 50), announced(9, 90)]);
        view.set(&sku, 0, &[announced(7, 70)]);
        let units = || {
            let arrivals = view.of(&sku).expect("some comes");
            arrivals.iter().map(|of| of.units).collect::<Vec<_>>()
        };
        assert_eq!(units(), [50, 70, 90]);
        view.set(&sku, 1, &[announced(8, 80)]);
        assert_eq!(units(), [70, 80]);
        view.set(&sku, 1, &[]);
        view.set(&sku, 0, &[]);
        assert!(!view.knows(&sku));
    }

    #[test]
    fn only_what_comes_in_time_counts() {
        let sku = Sku::new("A").expect("valid");
        let day = |text: &str| Day::try_from(text.to_owned()).expect("a date");
        let free = |text, ordinal, units| Free {
            day: day(text),
            ordinal,
            units,
        };
        let all = vec![free("2026-12-20", 0, 5), free("2026-12-22", 1, 7)];
        let supply = Supply(BTreeMap::from([(sku.clone(), all)]));
        assert_eq!(supply.until(&sku, day("2026-12-19")), []);
        assert_eq!(supply.until(&sku, day("2026-12-20")), [(0, 5)]);
        assert_eq!(supply.until(&sku, day("2027-01-01")), [(0, 5), (1, 7)]);
        assert_eq!(supply.days().count(), 2);
    }
}
