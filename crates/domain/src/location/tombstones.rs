//! Names of what is over, each until a moment after which it cannot come up again.

use std::hash::{Hash, Hasher};

use imbl::OrdMap;

use super::types::Ended;
use crate::ids::{AttemptId, OrderId};
use crate::time::Timestamp;

/// Stored parts that tombstones are spread over, so that one more rewrites little.
pub(crate) const TOMBSTONE_BUCKETS: u8 = 64;
/// Bits of a place that say the bucket.
const BUCKET_BITS: u32 = TOMBSTONE_BUCKETS.trailing_zeros();
/// Tombstones that one event looks at, to clear away what has ended.
const SEEN_PER_EVENT: usize = 8;
/// 2^64 over the golden ratio: multiples of it fall evenly over all places.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tombstones by place, which is a hash of the name: so a bucket's lie side by side, and those next
/// to any place are a fair sample of all. An index by end would take as much memory again, and a busy
/// location has a hundred thousand of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombstones(OrdMap<(u64, Ended), Timestamp>);

impl Tombstones {
    /// Whether `name` is over and may still come up. One that is past its end means nothing, whether
    /// it has been cleared away yet or not: so clearing is never observed.
    pub(crate) fn stands(&self, name: &Ended, now: Timestamp) -> bool {
        let until = self.0.get(&(place_of(name), name.clone()));
        until.is_some_and(|until| *until >= now)
    }

    pub(crate) fn put(&mut self, name: Ended, until: Timestamp) {
        self.0.insert((place_of(&name), name), until);
    }

    /// Clears away what ended before `now` among some of them; each event, being of another
    /// `version`, looks elsewhere.
    pub(crate) fn clear_ended(&mut self, version: u64, now: Timestamp) {
        if self.0.is_empty() {
            return;
        }
        let from = least_at(version.wrapping_mul(STRIDE));
        let around = self.0.range(from..).chain(self.0.iter());
        let ended = around
            .take(SEEN_PER_EVENT)
            .filter(|(_, until)| **until < now);
        let ended: Vec<_> = ended.map(|(key, _)| key.clone()).collect();
        for key in ended {
            self.0.remove(&key);
        }
    }

    pub(crate) fn in_bucket(&self, bucket: u8) -> Vec<(Ended, Timestamp)> {
        let from = least_at(u64::from(bucket).rotate_right(BUCKET_BITS));
        let here = self.0.range(from..);
        here.take_while(|((_, name), _)| bucket_of(name) == bucket)
            .map(|((_, name), until)| (name.clone(), *until))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Before everything at a place.
fn least_at(place: u64) -> (u64, Ended) {
    let least = AttemptId {
        order: OrderId::LEAST,
        line: 0,
        attempt: 0,
    };
    (place, Ended::Attempt(least))
}

/// Where a tombstone is stored.
pub(crate) fn bucket_of(name: &Ended) -> u8 {
    (place_of(name) >> (u64::BITS - BUCKET_BITS)) as u8
}

/// Where a tombstone lies among all: its bucket, then the rest of the hash.
fn place_of(name: &Ended) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    match name {
        Ended::Attempt(attempt) => attempt.order.as_str().hash(&mut hasher),
        Ended::Return(id) => id.order.as_str().hash(&mut hasher),
        Ended::Hold(hold) => hold.as_str().hash(&mut hasher),
    }
    hasher.finish().rotate_right(BUCKET_BITS)
}

/// FNV-1a: the same on every machine and in every version, as stored parts need it.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(nth: u32) -> Ended {
        let order = OrderId::new(&format!("order-{}", nth / 2)).expect("an id");
        Ended::Attempt(AttemptId {
            order,
            line: nth % 2,
            attempt: 1,
        })
    }

    #[test]
    fn each_tombstone_lies_in_its_bucket_and_nowhere_else() {
        let mut all = Tombstones::default();
        (0..2_000).for_each(|nth| all.put(name(nth), Timestamp(i64::from(nth))));
        let mut found = BTreeSet::new();
        for bucket in 0..TOMBSTONE_BUCKETS {
            for (name, _) in all.in_bucket(bucket) {
                assert_eq!(bucket_of(&name), bucket);
                assert!(found.insert(name), "in two buckets");
            }
        }
        assert_eq!(found.len(), all.len());
    }

    /// With one more at each event and a thousand that stand at any time, the dead stay few (L8).
    #[test]
    fn the_ended_go_as_new_ones_come() {
        let mut all = Tombstones::default();
        for nth in 0..20_000 {
            let now = Timestamp(i64::from(nth));
            all.put(name(nth), Timestamp(now.0 + 1_000));
            all.clear_ended(u64::from(nth), now);
        }
        assert!(all.len() < 1_300, "{} are kept", all.len());
        assert!(all.stands(&name(19_500), Timestamp(20_000)));
    }
}
