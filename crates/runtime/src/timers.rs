//! When time alone matters to an entity, and when that is next.
//!
//! In: wakeups of committed states. Out: the entities whose moment has come. Durable by
//! construction: a wakeup is derived from state, so after a start the index is built again from
//! attention rows and replayed states.

use std::collections::{BTreeSet, HashMap};

use consign_domain::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::EntityRef;

/// How long until an entity is woken again that did not react to being woken, in milliseconds.
const WAKE_AGAIN_AFTER_MS: i64 = 30_000;

#[derive(Debug, Default)]
struct Index {
    by_time: BTreeSet<(Timestamp, EntityRef)>,
    by_entity: HashMap<EntityRef, Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    index: Mutex<Index>,
    /// Told when an earlier moment than all others comes in.
    pub(crate) earlier: Notify,
}

impl Timers {
    /// Replaces the entity's wakeup.
    pub(crate) fn set(&self, entity: &EntityRef, at: Option<Timestamp>) {
        let mut index = self.index.lock();
        if let Some(old) = index.by_entity.remove(entity) {
            index.by_time.remove(&(old, entity.clone()));
        }
        let Some(at) = at else { return };
        let is_first = index.by_time.first().is_none_or(|(first, _)| at < *first);
        index.by_entity.insert(entity.clone(), at);
        index.by_time.insert((at, entity.clone()));
        drop(index);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// The next moment.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.index.lock().by_time.first().map(|(at, _)| *at)
    }

    /// Up to `limit` entities whose moment has come; each comes again later unless its state says
    /// otherwise.
    pub(crate) fn due(&self, now: Timestamp, limit: usize) -> Vec<EntityRef> {
        let mut index = self.index.lock();
        let mut due = Vec::new();
        while due.len() < limit
            && let Some((at, _)) = index.by_time.first()
            && *at <= now
            && let Some((_, entity)) = index.by_time.pop_first()
        {
            due.push(entity);
        }
        let again = now.plus_millis(WAKE_AGAIN_AFTER_MS);
        for entity in &due {
            index.by_entity.insert(entity.clone(), again);
            index.by_time.insert((again, entity.clone()));
        }
        due
    }

    /// Forgets the moments of entities that are not `kept`.
    pub(crate) fn retain(&self, kept: impl Fn(&EntityRef) -> bool) {
        let mut index = self.index.lock();
        index.by_time.retain(|(_, entity)| kept(entity));
        index.by_entity.retain(|entity, _| kept(entity));
    }

    pub(crate) fn len(&self) -> usize {
        self.index.lock().by_entity.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(name: &str) -> EntityRef {
        EntityRef::from_bytes(name.as_bytes()).expect("kind and id")
    }

    #[test]
    fn what_is_due_comes_in_order_and_again_until_its_state_says_otherwise() {
        let timers = Timers::default();
        timers.set(&entity("1b"), Some(Timestamp(20)));
        timers.set(&entity("1a"), Some(Timestamp(10)));
        timers.set(&entity("1c"), Some(Timestamp(90)));
        timers.set(&entity("1b"), Some(Timestamp(15)));
        assert_eq!(
            timers.due(Timestamp(50), 10),
            vec![entity("1a"), entity("1b")]
        );
        assert_eq!(timers.due(Timestamp(50), 10), vec![]);
        timers.set(&entity("1a"), None);
        assert_eq!(timers.next(), Some(Timestamp(90)));
        assert_eq!(timers.due(Timestamp(100_000_000), 1), vec![entity("1c")]);
        assert_eq!(timers.due(Timestamp(100_000_000), 9), vec![entity("1b")]);
    }
}
