//! The figures of one of two versions that are compared.

use consign_domain::money::Minor;

use crate::plan::Sourced;

/// Parts into which each doubling of the time is divided: a time is known to an eighth.
const PARTS: u64 = 8;
/// Times are told apart up to 2³² microseconds.
const BUCKETS: usize = (PARTS + PARTS * (32 - 3)) as usize;

/// One decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Locations that serve.
    pub shipments: usize,
    /// Units that find a location.
    pub served: u64,
    /// Units that find none.
    pub short: u64,
    /// What the plan costs, in minor units; by the same weights for both versions.
    pub cost: Minor,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl Observed {
    /// A plan, what it costs, and how long it took to make.
    #[must_use]
    pub fn of(plan: &Sourced, cost: Minor, micros: u64) -> Observed {
        let allotments = plan.allotments.iter();
        let short = plan.short.iter();
        Observed {
            shipments: plan.locations.len(),
            served: allotments.map(|served| u64::from(served.units)).sum(),
            short: short.map(|(_, units)| u64::from(*units)).sum(),
            cost,
            micros,
        }
    }
}

/// The figures of a version's decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arm {
    /// Decisions.
    pub decisions: u64,
    /// Those that came to more than one shipment.
    pub split: u64,
    /// Units that found a location.
    pub served: u64,
    /// Units that found none.
    pub short: u64,
    /// What all plans cost, in minor units.
    pub cost: u128,
    /// Reservations that locations granted.
    pub granted: u64,
    /// Reservations that locations refused.
    pub refused: u64,
    times: Times,
}

impl Arm {
    /// Counts a decision.
    pub fn observe(&mut self, observed: &Observed) {
        self.decisions += 1;
        self.split += u64::from(observed.shipments > 1);
        self.served += observed.served;
        self.short += observed.short;
        self.cost += u128::try_from(observed.cost).unwrap_or(0);
        self.times.add(observed.micros);
    }

    /// What a unit costs, in tenths of minor units; `None` when none was served.
    #[must_use]
    pub fn cost_per_unit_tenths(&self) -> Option<u128> {
        let served = u128::from(self.served);
        (served > 0).then(|| (self.cost * 10 + served / 2) / served)
    }

    /// Microseconds within which `permille` of a thousand decisions were made: an upper bound, at most
    /// an eighth too large. 0 when there is no decision.
    #[must_use]
    pub fn micros_at(&self, permille: u64) -> u64 {
        self.times.at(permille)
    }
}

/// How often something took how long. Bounded: it grows with no count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Times {
    /// Empty before the first.
    counts: Vec<u64>,
    longest: u64,
}

impl Times {
    fn add(&mut self, micros: u64) {
        self.counts.resize(BUCKETS, 0);
        self.counts[bucket(micros)] += 1;
        self.longest = self.longest.max(micros);
    }

    fn at(&self, permille: u64) -> u64 {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return last_of(at).min(self.longest);
            }
        }
        0
    }
}

/// Times below eight have a bucket each; above, each doubling has eight.
fn bucket(micros: u64) -> usize {
    let micros = micros.min(u64::from(u32::MAX));
    if micros < PARTS {
        return micros as usize;
    }
    let doublings = u64::from(micros.ilog2()) - 3;
    (PARTS + doublings * PARTS + (micros >> doublings) - PARTS) as usize
}

/// The longest time in a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (doublings, part) = ((bucket - PARTS) / PARTS, (bucket - PARTS) % PARTS);
    ((PARTS + part + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_known_to_an_eighth(mut all in prop::collection::vec(0..5_000_000_u64, 1..200)) {
            let mut times = Times::default();
            for micros in &all {
                times.add(*micros);
            }
            all.sort_unstable();
            for permille in [1, 500, 990, 1_000] {
                let nth = (all.len() as u64 * permille).div_ceil(1_000).max(1) as usize;
                let (exact, told) = (all[nth - 1], times.at(permille));
                prop_assert!(exact <= told && told <= exact + exact / 8, "{exact} {told}");
            }
        }
    }

    #[test]
    fn every_time_has_a_bucket() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(last_of(BUCKETS - 1), u64::from(u32::MAX));
        assert_eq!(Times::default().at(990), 0);
    }
}
