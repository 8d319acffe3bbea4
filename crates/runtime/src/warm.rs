//! Committed states in memory: everything that changed since the last checkpoint, and a bounded
//! number of states that the disk has as well.
//!
//! In: commits, states read from disk, checkpoints. Out: the newest committed state of an entity,
//! and what a checkpoint must write of it. An entry that the disk does not yet reflect is never
//! let go; an absent entry means that the disk has the newest state.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use consign_domain::entity::Entity;
use parking_lot::Mutex;

use crate::codec::Step;
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
    /// Its records that [`Warm::settle`] has not seen in its head, rising.
    pub(crate) recent: Vec<u64>,
}

#[derive(Debug)]
struct Unwritten<E: Entity> {
    parts: Touched<E::PartKey>,
    private: Option<Bytes>,
}

#[derive(Debug)]
struct Entry<E: Entity> {
    state: Arc<E>,
    /// The last record that the state reflects.
    index: u64,
    unwritten: Option<Unwritten<E>>,
    /// A checkpoint is writing it.
    writing: bool,
    /// Its records that its head on disk does not list yet, or history does not hold yet.
    recent: Vec<u64>,
    /// Looked at since eviction last came by.
    used: bool,
    /// Its index rows may differ from the disk's.
    unindexed: bool,
    in_clean: bool,
    /// Encoded size, roughly.
    weight: usize,
}

#[derive(Debug)]
struct Shard<E: Entity> {
    entries: HashMap<E::Id, Entry<E>>,
    clean: VecDeque<E::Id>,
    clean_weight: usize,
    evictions: u64,
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
        let shard = || Shard {
            entries: HashMap::new(),
            clean: VecDeque::new(),
            clean_weight: 0,
            evictions: 0,
        };
        Warm {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
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
        match shard.entries.get_mut(id) {
            Some(entry) => {
                entry.used = true;
                Ok(Arc::clone(&entry.state))
            }
            None => Err(Seen { evictions }),
        }
    }

    /// Takes in a state just read from disk, unless it may have been overtaken since [`Warm::get`].
    pub(crate) fn keep(&self, id: &E::Id, state: &Arc<E>, index: u64, weight: usize, seen: Seen) {
        let mut shard = self.shard(id).lock();
        if shard.evictions != seen.evictions || shard.entries.contains_key(id) {
            return;
        }
        let entry = Entry {
            state: Arc::clone(state),
            index,
            unwritten: None,
            writing: false,
            recent: Vec::new(),
            used: false,
            unindexed: false,
            in_clean: true,
            weight,
        };
        shard.entries.insert(id.clone(), entry);
        shard.clean.push_back(id.clone());
        shard.clean_weight += weight;
        self.evict(&mut shard);
    }

    /// Takes in a state for replay, which must find it: it is not let go before a checkpoint.
    pub(crate) fn bring_in(&self, id: &E::Id, state: Arc<E>, index: u64, weight: usize) {
        let entry = Entry {
            state,
            index,
            unwritten: None,
            writing: false,
            recent: Vec::new(),
            used: false,
            unindexed: false,
            in_clean: false,
            weight,
        };
        self.shard(id)
            .lock()
            .entries
            .entry(id.clone())
            .or_insert(entry);
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
        let mut shard = self.shard(id).lock();
        if let Some(entry) = shard.entries.get_mut(id) {
            if entry.state.version() != expected {
                return None;
            }
            match next {
                Next::State(state) => entry.state = Arc::clone(state),
                Next::Steps(steps) => apply_all(Arc::make_mut(&mut entry.state), steps),
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
            return Some(!std::mem::replace(&mut entry.unindexed, true));
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
            state,
            index,
            unwritten: Some(Unwritten {
                parts: touched,
                private,
            }),
            writing: false,
            recent: vec![index],
            used: true,
            unindexed: true,
            in_clean: false,
            weight: 0,
        };
        shard.entries.insert(id.clone(), entry);
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
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.get_mut(id)?;
        entry.recent.push(index);
        if index <= entry.index {
            return None;
        }
        entry.index = index;
        if entry.unwritten.is_none() {
            self.dirty.fetch_add(1, Ordering::Relaxed);
        }
        let unwritten = entry.unwritten.get_or_insert_with(|| Unwritten {
            parts: Touched::default(),
            private: None,
        });
        Some(change(
            Arc::make_mut(&mut entry.state),
            &mut unwritten.parts,
            &mut unwritten.private,
        ))
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
        std::mem::replace(&mut entry.unindexed, false).then(|| Arc::clone(&entry.state))
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

    /// Takes what a checkpoint must write of an entity.
    pub(crate) fn take_changed(&self, id: &E::Id) -> Option<Changed<E>> {
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.get_mut(id)?;
        let Unwritten { parts, private } = entry.unwritten.take()?;
        entry.writing = true;
        self.dirty.fetch_sub(1, Ordering::Relaxed);
        Some(Changed {
            state: Arc::clone(&entry.state),
            index: entry.index,
            parts,
            private,
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
        if !entry.in_clean {
            entry.weight = entry.weight.max(bytes);
        }
        let clean = entry.unwritten.is_none();
        if clean {
            entry.unindexed = false;
        }
        if entry.lies_on_disk() && !entry.in_clean {
            entry.in_clean = true;
            shard.clean_weight += entry.weight;
            shard.clean.push_back(id.clone());
            self.evict(shard);
        }
        clean
    }

    /// History and heads have all records up to `upto` by partition: lets go of what the disk has.
    pub(crate) fn settle(&self, upto_of: impl Fn(&E::Id) -> u64) {
        for shard in &self.shards {
            let shard = &mut *shard.lock();
            for (id, entry) in &mut shard.entries {
                if !entry.recent.is_empty() {
                    let upto = upto_of(id);
                    entry.recent.retain(|index| *index > upto);
                }
                if entry.lies_on_disk() && !entry.in_clean {
                    entry.in_clean = true;
                    shard.clean.push_back(id.clone());
                    shard.clean_weight += entry.weight;
                }
            }
            self.evict(shard);
        }
    }

    /// All states in memory.
    pub(crate) fn all(&self) -> Vec<Arc<E>> {
        let mut states = Vec::new();
        for shard in &self.shards {
            states.extend(
                shard
                    .lock()
                    .entries
                    .values()
                    .map(|entry| Arc::clone(&entry.state)),
            );
        }
        states
    }

    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().entries.len())
            .sum()
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.entries.clear();
            shard.clean.clear();
        }
    }

    /// Second chance: what was looked at since the last time goes to the back of the queue.
    fn evict(&self, shard: &mut Shard<E>) {
        if self.clean_max == usize::MAX {
            return;
        }
        let weight_max = CLEAN_BYTES_MAX / SHARDS;
        let mut chances = shard.clean.len();
        while shard.clean.len() > self.clean_max || shard.clean_weight > weight_max {
            let Some(id) = shard.clean.pop_front() else {
                return;
            };
            let Some(entry) = shard.entries.get_mut(&id) else {
                continue;
            };
            if !entry.lies_on_disk() {
                entry.in_clean = false;
                shard.clean_weight = shard.clean_weight.saturating_sub(entry.weight);
            } else if entry.used && chances > 0 {
                entry.used = false;
                chances -= 1;
                shard.clean.push_back(id);
            } else {
                shard.clean_weight = shard.clean_weight.saturating_sub(entry.weight);
                shard.entries.remove(&id);
                shard.evictions += 1;
            }
        }
        if shard.clean.is_empty() {
            shard.clean_weight = 0;
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

impl<E: Entity> Entry<E> {
    fn lies_on_disk(&self) -> bool {
        self.unwritten.is_none() && !self.writing && self.recent.is_empty()
    }
}
