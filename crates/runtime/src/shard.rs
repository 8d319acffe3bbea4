//! A part of the committed states in memory: which of them are packed, and which leave.
//!
//! In: looks, changes and checkpoints, which mark the entries. Out: bounded room. An entry that the
//! disk does not reflect stays; it is packed when nobody looks at it. One that the disk reflects
//! leaves when there are too many, the ones not looked at first.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use consign_domain::entity::Entity;

use crate::codec::CodecError;
use crate::held::Held;
use crate::touched::Touched;

/// What the disk does not have of an entity.
#[derive(Debug)]
pub(crate) struct Unwritten<E: Entity> {
    pub(crate) parts: Touched<E::PartKey>,
    pub(crate) private: Option<Bytes>,
}

/// A committed state, and how it stands with the disk.
#[derive(Debug)]
pub(crate) struct Entry<E: Entity> {
    pub(crate) state: Held<E>,
    /// The last record that the state reflects.
    pub(crate) index: u64,
    pub(crate) unwritten: Option<Unwritten<E>>,
    /// A checkpoint is writing it.
    pub(crate) writing: bool,
    /// Its records that its head on disk does not list yet, or history does not hold yet.
    pub(crate) recent: Vec<u64>,
    /// Looked at since somebody last came by who makes room.
    pub(crate) used: bool,
    /// Its index rows may differ from the disk's.
    pub(crate) unindexed: bool,
    /// The disk has rows of it.
    pub(crate) stored: bool,
    /// It stands among the clean ones.
    pub(crate) in_clean: bool,
    /// Encoded size, roughly.
    pub(crate) weight: usize,
}

impl<E: Entity> Entry<E> {
    /// A state that nobody has changed or looked at.
    pub(crate) fn new(state: Held<E>, index: u64, stored: bool, weight: usize) -> Entry<E> {
        Entry {
            state,
            index,
            unwritten: None,
            writing: false,
            recent: Vec::new(),
            used: false,
            unindexed: false,
            stored,
            in_clean: false,
            weight,
        }
    }

    pub(crate) fn lies_on_disk(&self) -> bool {
        self.unwritten.is_none() && !self.writing && self.recent.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct Shard<E: Entity> {
    pub(crate) entries: HashMap<E::Id, Entry<E>>,
    /// What may leave: the disk reflects it, or did when it came here.
    clean: VecDeque<E::Id>,
    clean_weight: usize,
    /// What may be packed: changed, and whole, or so it was when it came here.
    loose: VecDeque<E::Id>,
    /// Counts the entries that have left.
    pub(crate) evictions: u64,
}

impl<E: Entity> Default for Shard<E> {
    fn default() -> Self {
        Shard {
            entries: HashMap::new(),
            clean: VecDeque::new(),
            clean_weight: 0,
            loose: VecDeque::new(),
            evictions: 0,
        }
    }
}

impl<E: Entity> Shard<E> {
    /// The disk reflects this entry: it may leave, and does at once when nobody has looked at it
    /// for so long that it was packed.
    pub(crate) fn is_clean(&mut self, id: &E::Id) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if entry.in_clean {
            return;
        }
        if entry.state.is_packed() {
            self.entries.remove(id);
            self.evictions += 1;
        } else {
            entry.in_clean = true;
            self.clean_weight += entry.weight;
            self.clean.push_back(id.clone());
        }
    }

    /// This entry has changed, or is whole again: it may be packed.
    pub(crate) fn is_loose(&mut self, id: &E::Id) {
        self.loose.push_back(id.clone());
    }

    pub(crate) fn loose(&self) -> usize {
        self.loose.len()
    }

    /// Lets clean entries leave that are over `count` or over `weight`, with a second chance: what
    /// was looked at since the last time goes to the back of the queue.
    pub(crate) fn evict(&mut self, count: usize, weight: usize) {
        let mut chances = self.clean.len();
        while self.clean.len() > count || self.clean_weight > weight {
            let Some(id) = self.clean.pop_front() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if !entry.lies_on_disk() {
                entry.in_clean = false;
                self.clean_weight = self.clean_weight.saturating_sub(entry.weight);
            } else if entry.used && chances > 0 {
                entry.used = false;
                chances -= 1;
                self.clean.push_back(id);
            } else {
                self.clean_weight = self.clean_weight.saturating_sub(entry.weight);
                self.entries.remove(&id);
                self.evictions += 1;
            }
        }
        if self.clean.is_empty() {
            self.clean_weight = 0;
        }
    }

    /// Packs the oldest loose entry, or spends one of its second `chances`.
    pub(crate) fn pack_oldest(&mut self, chances: &mut usize) -> Result<(), CodecError> {
        let Some(id) = self.loose.pop_front() else {
            return Ok(());
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return Ok(());
        };
        let Some(unwritten) = &entry.unwritten else {
            return Ok(());
        };
        if entry.used && *chances > 0 {
            entry.used = false;
            *chances -= 1;
            self.loose.push_back(id);
            return Ok(());
        }
        match unwritten.parts.first() {
            Some(key) => entry.state.pack(key, unwritten.private.as_ref()),
            None => Ok(()),
        }
    }

    /// Entries that are packed.
    pub(crate) fn packed(&self) -> usize {
        let packed = |entry: &&Entry<E>| entry.state.is_packed();
        self.entries.values().filter(packed).count()
    }

    /// Forgets entries; gives how many of them the disk did not reflect.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&E::Id) -> bool) -> usize {
        let mut dirty = 0;
        let clean_weight = &mut self.clean_weight;
        self.entries.retain(|id, entry| {
            let gone = is_gone(id);
            if gone {
                dirty += usize::from(entry.unwritten.is_some());
                if entry.in_clean {
                    *clean_weight = clean_weight.saturating_sub(entry.weight);
                }
            }
            !gone
        });
        let entries = &self.entries;
        self.clean.retain(|id| entries.contains_key(id));
        self.evictions += 1;
        dirty
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.clean.clear();
        self.loose.clear();
    }
}
