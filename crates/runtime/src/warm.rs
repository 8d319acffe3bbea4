//! Committed states in memory: everything that changed since the last checkpoint, and a bounded
//! number of states that the disk has as well.
//!
//! In: commits, states read from disk, checkpoints. Out: the newest committed state of an entity,
//! and what a checkpoint must write of it. An entry that the disk does not yet reflect is never
//! let go; an absent entry means that the disk has the newest state. What waits for a checkpoint
//! and is not looked at meanwhile is packed, so that many can wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use consign_domain::entity::Entity;
use parking_lot::Mutex;

use crate::codec::{CodecError, Step};
use crate::held::Held;
use crate::shard::{Entry, Shard, Unwritten};
use crate::touched::Touched;

const SHARDS: usize = 64;
/// Encoded bytes of clean states kept per kind; in memory a state is a few times larger.
const CLEAN_BYTES_MAX: usize = 48 << 20;

/// Where a state came from: tells whether it may still be kept as the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    evictions: u64,
}

/// How the newest state comes about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next<'a, E: Entity> {
    /// It is this.
    State(&'a Arc<E>),
    /// By taking these in where it lies: nobody else has it, as a rule, so nothing is copied.
    Steps(&'a [Step<E::Event>]),
}

/// What a checkpoint writes of one entity.
#[derive(Debug)]
pub(crate) struct Changed<E: Entity> {
    pub(crate) state: Arc<E>,
    pub(crate) index: u64,
    pub(crate) parts: Touched<E::PartKey>,
    pub(crate) private: Option<Bytes>,
    /// Whether the disk has rows of it already.
    pub(crate) stored: bool,
    /// Its records that [`Warm::settle`] has not seen in its head, rising.
    pub(crate) recent: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct Warm<E: Entity> {
    shards: Vec<Mutex<Shard<E>>>,
    hasher: std::hash::RandomState,
    clean_max: usize,
    /// Changed since the last checkpoint, over all kinds.
    dirty: Arc<AtomicUsize>,
}

impl<E: Entity> Warm<E> {
    /// Keeps about `clean_max` clean states; `usize::MAX` keeps all.
    pub(crate) fn new(clean_max: usize, dirty: Arc<AtomicUsize>) -> Warm<E> {
        Warm {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: std::hash::RandomState::new(),
            clean_max: if clean_max == usize::MAX {
                clean_max
            } else {
                clean_max.div_ceil(SHARDS)
            },
            dirty,
        }
    }

    fn shard(&self, id: &E::Id) -> &Mutex<Shard<E>> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one(id) % SHARDS as u64;
        &self.shards[usize::try_from(hash).unwrap_or_default()]
    }

    /// The newest state, if it is in memory; else a mark for [`Warm::keep`].
    pub(crate) fn get(&self, id: &E::Id) -> Result<Arc<E>, Seen> {
        let mut shard = self.shard(id).lock();
        let evictions = shard.evictions;
        let Some(entry) = shard.entries.get_mut(id) else {
            return Err(Seen { evictions });
        };
        entry.used = true;
        let was_packed = entry.state.is_packed();
        let state = Arc::clone(entry.state.whole(id));
        if was_packed {
            shard.is_loose(id);
        }
        Ok(state)
    }

    /// The newest state, if it is in memory, for somebody who looks once.
    pub(crate) fn look(&self, id: &E::Id) -> Option<Arc<E>> {
        let shard = self.shard(id).lock();
        shard.entries.get(id).map(|entry| entry.state.look(id))
    }

    /// Takes in a state just read from disk, unless it may have been overtaken since [`Warm::get`].
    pub(crate) fn keep(&self, id: &E::Id, state: &Arc<E>, index: u64, weight: usize, seen: Seen) {
        let mut shard = self.shard(id).lock();
        if shard.evictions != seen.evictions || shard.entries.contains_key(id) {
            return;
        }
        let entry = Entry::new(Held::Whole(Arc::clone(state)), index, true, weight);
        shard.entries.insert(id.clone(), entry);
        shard.is_clean(id);
        self.evict(&mut shard);
    }

    /// Takes in a state for replay, which must find it: it is not let go before a checkpoint.
    pub(crate) fn bring_in(&self, id: &E::Id, state: Arc<E>, index: u64, weight: usize) {
        let stored = state.version() > 0;
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.entry(id.clone());
        entry.or_insert_with(|| Entry::new(Held::Whole(state), index, stored, weight));
    }

    /// Makes `next` the newest state, if it was decided on the newest: the fence of L4. Says `Some`
    /// of whether the entity must be queued for the index; `None` when the versions do not match.
    pub(crate) fn publish(
        &self,
        id: &E::Id,
        expected: u64,
        next: Next<'_, E>,
        index: u64,
        touched: Touched<E::PartKey>,
        private: Option<Bytes>,
    ) -> Option<bool> {
        let shard = &mut *self.shard(id).lock();
        if let Some(entry) = shard.entries.get_mut(id) {
            if entry.state.version() != expected {
                return None;
            }
            let was_loose = entry.unwritten.is_some() && !entry.state.is_packed();
            match next {
                Next::State(state) => entry.state = Held::Whole(Arc::clone(state)),
                Next::Steps(steps) => apply_all(Arc::make_mut(entry.state.whole(id)), steps),
            }
            entry.index = index;
            entry.recent.push(index);
            entry.used = true;
            match &mut entry.unwritten {
                Some(unwritten) => {
                    unwritten.parts.append(touched);
                    unwritten.private = private.or(unwritten.private.take());
                }
                None => {
                    entry.unwritten = Some(Unwritten {
                        parts: touched,
                        private,
                    });
                    self.dirty.fetch_add(1, Ordering::Relaxed);
                }
            }
            let newly_unindexed = !std::mem::replace(&mut entry.unindexed, true);
            if self.packs() && !was_loose {
                shard.is_loose(id);
            }
            return Some(newly_unindexed);
        }
        let state = match next {
            Next::State(state) => Arc::clone(state),
            Next::Steps(_) if expected > 0 => return None,
            Next::Steps(steps) => {
                let mut state = E::empty(id.clone());
                apply_all(&mut state, steps);
                Arc::new(state)
            }
        };
        let entry = Entry {
            unwritten: Some(Unwritten {
                parts: touched,
                private,
            }),
            recent: vec![index],
            used: true,
            unindexed: true,
            ..Entry::new(Held::Whole(state), index, expected > 0, 0)
        };
        shard.entries.insert(id.clone(), entry);
        if self.packs() {
            shard.is_loose(id);
        }
        self.dirty.fetch_add(1, Ordering::Relaxed);
        Some(true)
    }

    /// Changes an entry during replay, when nobody else has it: no copy is made.
    pub(crate) fn replay<T>(
        &self,
        id: &E::Id,
        index: u64,
        change: impl FnOnce(&mut E, &mut Touched<E::PartKey>, &mut Option<Bytes>) -> T,
    ) -> Option<T> {
        let shard = &mut *self.shard(id).lock();
        let entry = shard.entries.get_mut(id)?;
        entry.recent.push(index);
        if index <= entry.index {
            return None;
        }
        entry.index = index;
        let was_loose = entry.unwritten.is_some() && !entry.state.is_packed();
        if entry.unwritten.is_none() {
            self.dirty.fetch_add(1, Ordering::Relaxed);
        }
        let unwritten = entry.unwritten.get_or_insert_with(|| Unwritten {
            parts: Touched::default(),
            private: None,
        });
        let changed = change(
            Arc::make_mut(entry.state.whole(id)),
            &mut unwritten.parts,
            &mut unwritten.private,
        );
        if self.packs() && !was_loose {
            shard.is_loose(id);
        }
        Some(changed)
    }

    /// Whether the entity's index rows are newly in doubt; asked once per entity by replay.
    pub(crate) fn mark_unindexed(&self, id: &E::Id) -> bool {
        let mut shard = self.shard(id).lock();
        shard
            .entries
            .get_mut(id)
            .is_some_and(|entry| !std::mem::replace(&mut entry.unindexed, true))
    }

    /// The state of an entity whose index rows may differ from the disk's.
    pub(crate) fn unindexed(&self, id: &E::Id) -> Option<Arc<E>> {
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.get_mut(id)?;
        // Queued anew by the next commit.
        std::mem::replace(&mut entry.unindexed, false).then(|| entry.state.look(id))
    }

    pub(crate) fn is_unindexed(&self, id: &E::Id) -> bool {
        self.shard(id)
            .lock()
            .entries
            .get(id)
            .is_some_and(|entry| entry.unindexed)
    }

    /// Its newest records, rising; a checkpoint may have listed some of them already.
    pub(crate) fn recent(&self, id: &E::Id) -> Vec<u64> {
        let shard = self.shard(id).lock();
        shard
            .entries
            .get(id)
            .map_or_else(Vec::new, |entry| entry.recent.clone())
    }

    /// Everything that the disk does not reflect.
    pub(crate) fn dirty(&self) -> Vec<E::Id> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let dirty = shard
                .entries
                .iter()
                .filter(|(_, entry)| entry.unwritten.is_some());
            ids.extend(dirty.map(|(id, _)| id.clone()));
        }
        ids
    }

    /// Everything that the disk does not reflect, or not for certain yet.
    pub(crate) fn unsettled(&self) -> Vec<E::Id> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let unsettled = shard
                .entries
                .iter()
                .filter(|(_, entry)| !entry.lies_on_disk());
            ids.extend(unsettled.map(|(id, _)| id.clone()));
        }
        ids
    }

    /// Takes what a checkpoint must write of an entity.
    pub(crate) fn take_changed(&self, id: &E::Id) -> Option<Changed<E>> {
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.get_mut(id)?;
        let Unwritten { parts, private } = entry.unwritten.take()?;
        entry.writing = true;
        self.dirty.fetch_sub(1, Ordering::Relaxed);
        Some(Changed {
            state: entry.state.look(id),
            index: entry.index,
            parts,
            private,
            stored: entry.stored,
            recent: entry.recent.clone(),
        })
    }

    /// What was taken is on disk, `bytes` of it. Says whether the entity has not changed meanwhile.
    pub(crate) fn written(&self, id: &E::Id, bytes: usize) -> bool {
        let shard = &mut *self.shard(id).lock();
        let Some(entry) = shard.entries.get_mut(id) else {
            return true;
        };
        entry.writing = false;
        entry.stored = true;
        if !entry.in_clean {
            entry.weight = entry.weight.max(bytes);
        }
        let clean = entry.unwritten.is_none();
        if clean {
            entry.unindexed = false;
        }
        if entry.lies_on_disk() {
            shard.is_clean(id);
            self.evict(shard);
        }
        clean
    }

    /// History and heads have all records up to `upto` by partition: lets go of what the disk has.
    pub(crate) fn settle(&self, upto_of: impl Fn(&E::Id) -> u64) {
        for shard in &self.shards {
            let shard = &mut *shard.lock();
            let mut settled = Vec::new();
            for (id, entry) in &mut shard.entries {
                if !entry.recent.is_empty() {
                    let upto = upto_of(id);
                    entry.recent.retain(|index| *index > upto);
                }
                if entry.lies_on_disk() && !entry.in_clean {
                    settled.push(id.clone());
                }
            }
            settled.iter().for_each(|id| shard.is_clean(id));
            self.evict(shard);
        }
    }

    /// Forgets states: the disk knows better.
    pub(crate) fn forget(&self, is_gone: impl Fn(&E::Id) -> bool) {
        for shard in &self.shards {
            let dirty = shard.lock().forget(&is_gone);
            self.dirty.fetch_sub(dirty, Ordering::Relaxed);
        }
    }

    /// All states in memory.
    pub(crate) fn all(&self) -> Vec<Arc<E>> {
        let mut states = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            states.extend(shard.entries.iter().map(|(id, entry)| entry.state.look(id)));
        }
        states
    }

    /// Whether states of this kind are ever packed.
    fn packs(&self) -> bool {
        E::ONE_PART && self.clean_max != usize::MAX
    }

    /// Packs what waits for a checkpoint and was not looked at for a while, until about as many
    /// states are whole as clean ones are kept.
    pub(crate) fn pack(&self) -> Result<(), CodecError> {
        if !self.packs() {
            return Ok(());
        }
        for shard in &self.shards {
            let mut chances = shard.lock().loose();
            loop {
                // An entity at a time: commits wait for the shard.
                let mut shard = shard.lock();
                if shard.loose() <= self.clean_max {
                    break;
                }
                shard.pack_oldest(&mut chances)?;
            }
        }
        Ok(())
    }

    /// States in memory.
    pub(crate) fn len(&self) -> usize {
        self.sum(|shard| shard.entries.len())
    }

    /// States in memory that are packed.
    pub(crate) fn packed(&self) -> usize {
        self.sum(Shard::packed)
    }

    fn sum(&self, count: impl Fn(&Shard<E>) -> usize) -> usize {
        self.shards.iter().map(|shard| count(&shard.lock())).sum()
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().clear();
        }
    }

    fn evict(&self, shard: &mut Shard<E>) {
        if self.clean_max != usize::MAX {
            shard.evict(self.clean_max, CLEAN_BYTES_MAX / SHARDS);
        }
    }
}

fn apply_all<E: Entity>(state: &mut E, steps: &[Step<E::Event>]) {
    for step in steps {
        for event in &step.events {
            state.apply(event, &step.stamp);
        }
    }
}
