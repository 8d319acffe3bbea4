//! Names of what is over, each until a moment after which it cannot come up again.

use std::hash::{Hash, Hasher};

use imbl::{OrdMap, OrdSet};

use super::types::Ended;
use crate::time::Timestamp;

/// Stored parts that tombstones are spread over, so that one more rewrites little.
pub(crate) const TOMBSTONE_BUCKETS: u8 = 64;
/// Tombstones that one event clears away at most, so that clearing is spread over events.
const CLEARED_PER_EVENT_MAX: usize = 8;

/// Tombstones by name and by end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    /// By the bucket that they are stored in, so that storing a bucket walks only its own.
    buckets: OrdMap<u8, OrdMap<Ended, Timestamp>>,
    ends: OrdSet<(Timestamp, Ended)>,
}

impl Tombstones {
    /// Whether `name` is over and may still come up. One that is past its end means nothing, whether
    /// it has been cleared away yet or not: so clearing is never observed.
    pub(crate) fn stands(&self, name: &Ended, now: Timestamp) -> bool {
        let here = self.buckets.get(&bucket_of(name));
        here.and_then(|here| here.get(name))
            .is_some_and(|until| *until >= now)
    }

    pub(crate) fn put(&mut self, name: Ended, until: Timestamp) {
        let here = self.buckets.entry(bucket_of(&name)).or_default();
        if let Some(earlier) = here.insert(name.clone(), until) {
            self.ends.remove(&(earlier, name.clone()));
        }
        self.ends.insert((until, name));
    }

    /// Clears away some that ended before `now`.
    pub(crate) fn clear_ended(&mut self, now: Timestamp) {
        for _ in 0..CLEARED_PER_EVENT_MAX {
            let Some(oldest) = self
                .ends
                .get_min()
                .filter(|(until, _)| *until < now)
                .cloned()
            else {
                return;
            };
            let bucket = bucket_of(&oldest.1);
            if let Some(here) = self.buckets.get_mut(&bucket) {
                here.remove(&oldest.1);
                if here.is_empty() {
                    self.buckets.remove(&bucket);
                }
            }
            self.ends.remove(&oldest);
        }
    }

    pub(crate) fn in_bucket(&self, bucket: u8) -> Vec<(Ended, Timestamp)> {
        let here = self.buckets.get(&bucket).into_iter().flatten();
        here.map(|(name, until)| (name.clone(), *until)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Where a tombstone is stored.
pub(crate) fn bucket_of(name: &Ended) -> u8 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    match name {
        Ended::Attempt(attempt) => attempt.order.as_str().hash(&mut hasher),
        Ended::Return(id) => id.order.as_str().hash(&mut hasher),
        Ended::Hold(hold) => hold.as_str().hash(&mut hasher),
    }
    u8::try_from(hasher.finish() % u64::from(TOMBSTONE_BUCKETS)).expect("a remainder by 64")
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
