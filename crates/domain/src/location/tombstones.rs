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
    until: OrdMap<Ended, Timestamp>,
    ends: OrdSet<(Timestamp, Ended)>,
}

impl Tombstones {
    pub(crate) fn stands(&self, name: &Ended) -> bool {
        self.until.contains_key(name)
    }

    pub(crate) fn put(&mut self, name: Ended, until: Timestamp) {
        if let Some(earlier) = self.until.insert(name.clone(), until) {
            self.ends.remove(&(earlier, name.clone()));
        }
        self.ends.insert((until, name));
    }

    /// Clears away some that ended before `now`.
    pub(crate) fn clear_ended(&mut self, now: Timestamp) {
        for _ in 0..CLEARED_PER_EVENT_MAX {
            let Some((until, name)) = self
                .ends
                .get_min()
                .filter(|(until, _)| *until < now)
                .cloned()
            else {
                return;
            };
            self.until.remove(&name);
            self.ends.remove(&(until, name));
        }
    }

    pub(crate) fn in_bucket(&self, bucket: u8) -> Vec<(Ended, Timestamp)> {
        let here = self
            .until
            .iter()
            .filter(|(name, _)| bucket_of(name) == bucket);
        here.map(|(name, until)| (name.clone(), *until)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

/// Where a tombstone is stored.
pub(crate) fn bucket_of(name: &Ended) -> u8 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    match name {
        Ended::Attempt(attempt) => attempt.order.as_str().hash(&mut hasher),
        Ended::Return(id) => id.order.as_str().hash(&mut hasher),
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
