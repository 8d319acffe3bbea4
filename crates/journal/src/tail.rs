//! Everything durable that no checkpoint has taken over yet, in memory, by partition and index.
//!
//! In: rows that the committer made durable. Out: entries by index, read off their rows. Rows stay
//! as they were written: entries of their own would take twice the memory. Bounded by the journal's
//! bound on bytes, because a checkpoint purges it. Holds: indexes have no gap.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::log::{Entry, PartitionId};
use crate::row;

/// The tails of all partitions.
#[derive(Debug)]
pub(crate) struct Tail {
    partitions: Vec<RwLock<PartitionTail>>,
}

#[derive(Debug, Default)]
struct PartitionTail {
    /// Index of the first entry below.
    first: u64,
    entries: VecDeque<Place>,
    bytes: u64,
}

/// Where an entry lies.
#[derive(Debug)]
struct Place {
    /// The row, shared by the entries in it; goes with the last of them.
    row: Arc<Bytes>,
    at: u32,
    /// Of [`Entry::size`].
    bytes: u32,
}

impl Place {
    fn entry(&self) -> Entry {
        let piece = row::piece(&self.row, self.at as usize);
        piece.expect("the row was whole when it was taken in").entry
    }
}

impl Tail {
    /// Tails that continue after `last` of each partition.
    pub(crate) fn new(last: &[u64]) -> Tail {
        let tail = |last: &u64| {
            RwLock::new(PartitionTail {
                first: last + 1,
                ..PartitionTail::default()
            })
        };
        Tail {
            partitions: last.iter().map(tail).collect(),
        }
    }

    fn of(&self, partition: PartitionId) -> Option<&RwLock<PartitionTail>> {
        self.partitions.get(usize::from(partition.0))
    }

    /// Takes in the next entry of a partition, of `bytes`, which begins at `at` of `row`; its index
    /// must be the next one.
    pub(crate) fn push(
        &self,
        partition: PartitionId,
        index: u64,
        row: &Arc<Bytes>,
        at: usize,
        bytes: u64,
    ) {
        let mut tail = self.partitions[usize::from(partition.0)].write();
        assert_eq!(
            index,
            tail.first + tail.entries.len() as u64,
            "indexes have no gap"
        );
        let small = "rows have bounds far below";
        tail.bytes += bytes;
        tail.entries.push_back(Place {
            row: Arc::clone(row),
            at: at.try_into().expect(small),
            bytes: bytes.try_into().expect(small),
        });
    }

    pub(crate) fn first_index(&self, partition: PartitionId) -> u64 {
        self.of(partition).map_or(1, |tail| tail.read().first)
    }

    pub(crate) fn last_index(&self, partition: PartitionId) -> u64 {
        self.of(partition).map_or(0, |tail| {
            let tail = tail.read();
            tail.first + tail.entries.len() as u64 - 1
        })
    }

    pub(crate) fn read(&self, partition: PartitionId, from: u64, max: usize) -> Vec<(u64, Entry)> {
        let Some(tail) = self.of(partition) else {
            return Vec::new();
        };
        let tail = tail.read();
        let Some(skip) = from.checked_sub(tail.first) else {
            return Vec::new();
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let entries = tail.entries.iter().skip(skip).take(max).map(Place::entry);
        (from..).zip(entries).collect()
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
        guard.bytes -= gone.iter().map(|place| u64::from(place.bytes)).sum::<u64>();
        guard.first += count as u64;
        // Freeing takes far longer than unlinking; commits of the partition must not wait for it.
        drop(guard);
        drop(gone);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.partitions.iter().map(|tail| tail.read().bytes).sum()
    }
}
