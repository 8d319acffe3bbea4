//! Everything appended that no checkpoint has taken over yet, in memory, by partition and index.
//!
//! In: entries, from the moment on at which they are on their way to the disk, so that they can be
//! sent to other nodes at the same time; and word of which are durable. Out: entries by index.
//! Bounded by the journal's bound on bytes, because a checkpoint purges it. Holds: indexes have no
//! gap.

use std::collections::VecDeque;

use parking_lot::{RwLock, RwLockWriteGuard};

use crate::log::{Entry, PartitionId};

/// The tails of all partitions.
#[derive(Debug)]
pub(crate) struct Tail {
    partitions: Vec<RwLock<PartitionTail>>,
}

/// The tail of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionTail {
    /// Index of the first entry below.
    first: u64,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// The last entry that is on disk.
    durable: u64,
}

impl PartitionTail {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes in the next entry; gives its index.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let index = self.next();
        self.bytes += entry.size();
        self.entries.push_back(entry);
        index
    }

    /// Forgets entries from `from` on: others will come in their place.
    pub(crate) fn cut(&mut self, from: u64) {
        let kept = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        while self.entries.len() > kept {
            if let Some(gone) = self.entries.pop_back() {
                self.bytes -= gone.size();
            }
        }
        self.durable = self.durable.min(self.next() - 1);
    }

    /// Forgets everything: the next entry comes after `to`.
    pub(crate) fn jump(&mut self, to: u64) {
        *self = PartitionTail {
            first: to + 1,
            durable: to,
            ..PartitionTail::default()
        };
    }
}

impl Tail {
    /// Tails that continue after `last` of each partition.
    pub(crate) fn new(last: &[u64]) -> Tail {
        let tail = |last: &u64| {
            let mut tail = PartitionTail::default();
            tail.jump(*last);
            RwLock::new(tail)
        };
        Tail {
            partitions: last.iter().map(tail).collect(),
        }
    }

    fn of(&self, partition: PartitionId) -> Option<&RwLock<PartitionTail>> {
        self.partitions.get(usize::from(partition.0))
    }

    /// A partition's tail, to be changed while nobody else does. The partition must exist.
    pub(crate) fn lock(&self, partition: PartitionId) -> RwLockWriteGuard<'_, PartitionTail> {
        self.partitions[usize::from(partition.0)].write()
    }

    /// Entries up to `index` are on disk.
    pub(crate) fn durable(&self, partition: PartitionId, index: u64) {
        let mut tail = self.lock(partition);
        // What was cut meanwhile does not count.
        tail.durable = index.min(tail.next() - 1).max(tail.durable);
    }

    pub(crate) fn first_index(&self, partition: PartitionId) -> u64 {
        self.of(partition).map_or(1, |tail| tail.read().first)
    }

    /// The last entry, on disk or on its way there.
    pub(crate) fn appended(&self, partition: PartitionId) -> u64 {
        self.of(partition).map_or(0, |tail| tail.read().next() - 1)
    }

    /// The last entry on disk.
    pub(crate) fn last_index(&self, partition: PartitionId) -> u64 {
        self.of(partition).map_or(0, |tail| tail.read().durable)
    }

    /// Entries from `from` on, `max` at most.
    pub(crate) fn read(&self, partition: PartitionId, from: u64, max: usize) -> Vec<(u64, Entry)> {
        self.read_bytes(partition, (from, max), u64::MAX)
    }

    /// As [`Tail::read`]: one at least if there is one, more until `bytes_max`.
    pub(crate) fn read_bytes(
        &self,
        partition: PartitionId,
        (from, max): (u64, usize),
        bytes_max: u64,
    ) -> Vec<(u64, Entry)> {
        let Some(tail) = self.of(partition) else {
            return Vec::new();
        };
        let tail = tail.read();
        let Some(skip) = from.checked_sub(tail.first) else {
            return Vec::new();
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let is_first = bytes == 0;
            bytes += entry.size();
            is_first || bytes <= bytes_max
        };
        let entries = tail.entries.iter().skip(skip).take(max).take_while(fits);
        // Not `(from..)` first: it would count past the last number there is.
        let numbered = entries.cloned().zip(from..);
        numbered.map(|(entry, index)| (index, entry)).collect()
    }

    /// Forgets entries up to and including `upto`.
    pub(crate) fn purge(&self, partition: PartitionId, upto: u64) {
        let Some(tail) = self.of(partition) else {
            return;
        };
        let mut guard = tail.write();
        let count = (upto + 1).saturating_sub(guard.first);
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(guard.entries.len());
        let kept = guard.entries.split_off(count);
        let gone = std::mem::replace(&mut guard.entries, kept);
        guard.bytes -= gone.iter().map(Entry::size).sum::<u64>();
        guard.first += count as u64;
        // Freeing takes far longer than unlinking; commits of the partition must not wait for it.
        drop(guard);
        drop(gone);
    }

    /// Bytes of the entries up to `upto`.
    pub(crate) fn bytes_upto(&self, partition: PartitionId, upto: u64) -> u64 {
        let Some(tail) = self.of(partition) else {
            return 0;
        };
        let tail = tail.read();
        let count = (upto + 1).saturating_sub(tail.first);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        tail.entries.iter().take(count).map(Entry::size).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.partitions.iter().map(|tail| tail.read().bytes).sum()
    }
}
