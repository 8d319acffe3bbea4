//! Entities set aside after repeated failures, until an operator lifts it.
//!
//! In: failures per entity. Out: whether an entity is set aside. Kept in memory: a restart gives
//! every entity its chances anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Failures after which an entity is set aside.
pub(crate) const FAILURES_MAX: u32 = 3;
/// Entities whose failures are counted at most; beyond it the counts start anew.
const COUNTED_MAX: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Quarantine<Id> {
    failures: Mutex<HashMap<Id, u32>>,
    /// How many are set aside: almost always none, which is cheap to see.
    held: AtomicUsize,
}

impl<Id> Default for Quarantine<Id> {
    fn default() -> Self {
        Quarantine {
            failures: Mutex::default(),
            held: AtomicUsize::new(0),
        }
    }
}

impl<Id: Eq + Hash + Clone> Quarantine<Id> {
    /// Counts failures; says whether that sets the entity aside now.
    pub(crate) fn count(&self, id: &Id, times: u32) -> bool {
        let mut failures = self.failures.lock();
        if failures.len() >= COUNTED_MAX {
            failures.retain(|_, count| *count >= FAILURES_MAX);
        }
        let count = failures.entry(id.clone()).or_insert(0);
        let before = *count;
        *count = count.saturating_add(times);
        let now_held = before < FAILURES_MAX && *count >= FAILURES_MAX;
        if now_held {
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        now_held
    }

    pub(crate) fn holds(&self, id: &Id) -> bool {
        self.held.load(Ordering::Relaxed) > 0
            && self
                .failures
                .lock()
                .get(id)
                .is_some_and(|count| *count >= FAILURES_MAX)
    }

    /// Gives the entity its chances anew; says whether it was set aside.
    pub(crate) fn lift(&self, id: &Id) -> bool {
        let was_held = self
            .failures
            .lock()
            .remove(id)
            .is_some_and(|count| count >= FAILURES_MAX);
        if was_held {
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        was_held
    }

    pub(crate) fn all(&self) -> Vec<Id> {
        let failures = self.failures.lock();
        let held = failures.iter().filter(|(_, count)| **count >= FAILURES_MAX);
        held.map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_failure_sets_aside_until_lifted() {
        let quarantine = Quarantine::default();
        assert!(!quarantine.count(&1, 2));
        assert!(!quarantine.holds(&1));
        assert!(quarantine.count(&1, 1));
        assert!(!quarantine.count(&1, 1));
        assert!(quarantine.holds(&1) && !quarantine.holds(&2));
        assert_eq!(quarantine.all(), vec![1]);
        assert!(quarantine.lift(&1));
        assert!(!quarantine.holds(&1) && !quarantine.lift(&1));
    }
}
