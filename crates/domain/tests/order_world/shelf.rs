//! An honest location, as `location::command` describes it: grants what it has, keeps tombstones,
//! takes cumulative targets, answers with an attempt's whole state.

use std::collections::{BTreeMap, BTreeSet};

use consign_domain::ids::Sku;
use consign_domain::location::{Answer, Request};
use consign_domain::time::Timestamp;

#[derive(Clone, Debug)]
struct Reservation {
    per_unit: Vec<(Sku, u32)>,
    units: u32,
    picked: u32,
    short: u32,
    shipped: u32,
}

/// An honest location, as `location::command` describes it.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    pub stock: BTreeMap<Sku, u32>,
    reservations: BTreeMap<u32, Reservation>,
    closed: BTreeSet<u32>,
    pub displaced: BTreeMap<u32, u32>,
    pub restocked: BTreeSet<u32>,
}

impl Shelf {
    fn give_back(&mut self, per_unit: &[(Sku, u32)], units: u32) {
        for (sku, each) in per_unit {
            *self.stock.entry(sku.clone()).or_default() += each * units;
        }
    }

    fn state(&mut self, attempt: u32) -> Answer {
        let r = &self.reservations[&attempt];
        if r.units == r.shipped {
            self.reservations.remove(&attempt);
            self.closed.insert(attempt);
            return Answer::Closed { attempt };
        }
        Answer::Stands {
            attempt,
            units: r.units,
            picked: r.picked,
            short: r.short,
            shipped: r.shipped,
        }
    }

    pub fn serve(&mut self, request: &Request, now: Timestamp) -> Answer {
        let attempt = request.attempt().attempt;
        if let Request::Reserve {
            units,
            per_unit,
            partial,
            not_after,
            ..
        } = request
        {
            return self.reserve(attempt, *units, per_unit, *partial, now > *not_after);
        }
        let Some(r) = self.reservations.get_mut(&attempt) else {
            self.closed.insert(attempt);
            return Answer::Closed { attempt };
        };
        match request {
            Request::Release { keep, .. } => {
                let kept = r.units.min((*keep).max(r.picked));
                let (per_unit, freed) = (r.per_unit.clone(), r.units - kept);
                r.units = kept;
                self.give_back(&per_unit, freed);
            }
            Request::Pick { picked, short, .. } => {
                r.picked = r.picked.max((*picked).min(r.units));
                let missing = short.saturating_sub(r.short).min(r.units - r.picked);
                r.units -= missing;
                r.short += missing;
            }
            Request::Ship { shipped, .. } => r.shipped = r.shipped.max((*shipped).min(r.picked)),
            Request::Reserve { .. } => {}
        }
        self.state(attempt)
    }

    fn reserve(
        &mut self,
        attempt: u32,
        units: u32,
        per_unit: &[(Sku, u32)],
        partial: bool,
        late: bool,
    ) -> Answer {
        if self.reservations.contains_key(&attempt) {
            return self.state(attempt);
        }
        if self.closed.contains(&attempt) {
            return Answer::Refused {
                attempt,
                available: 0,
                reason: "closed".into(),
            };
        }
        self.closed.insert(attempt);
        if late {
            return Answer::Refused {
                attempt,
                available: 0,
                reason: "expired".into(),
            };
        }
        let could = |(sku, each): &(Sku, u32)| self.stock.get(sku).copied().unwrap_or(0) / each;
        let available = per_unit.iter().map(could).min().unwrap_or(0);
        let granted = available.min(units);
        if granted == 0 || (granted < units && !partial) {
            return Answer::Refused {
                attempt,
                available,
                reason: "insufficient".into(),
            };
        }
        self.closed.remove(&attempt);
        for (sku, each) in per_unit {
            *self.stock.get_mut(sku).expect("it is available") -= each * granted;
        }
        let per_unit = per_unit.to_vec();
        let reservation = Reservation {
            per_unit,
            units: granted,
            picked: 0,
            short: 0,
            shipped: 0,
        };
        self.reservations.insert(attempt, reservation);
        self.state(attempt)
    }

    /// A count finds less: unpicked units of the latest reservation are taken away.
    pub fn displace(&mut self, units: u32) {
        let Some((&attempt, r)) = self
            .reservations
            .iter_mut()
            .rev()
            .find(|(_, r)| r.units > r.picked)
        else {
            return;
        };
        r.units -= units.min(r.units - r.picked);
        self.displaced.insert(attempt, r.units);
        self.state(attempt);
    }

    pub fn reserved(&self) -> u32 {
        self.reservations
            .values()
            .map(|r| r.units - r.shipped)
            .sum()
    }
}
