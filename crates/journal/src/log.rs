//! What a log is to those above it: the interface that Raft will sit behind.

use std::fmt;

use bytes::Bytes;

use crate::error::{AppendError, StoreError};

/// A partition's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One entity's batch of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entity's key; at most 65,535 bytes.
    pub entity: Bytes,
    /// The entity's version that the batch was decided on.
    pub expected: u64,
    /// The batch.
    pub body: Bytes,
    /// What must not enter history: personal data. Lives in the log until the next checkpoint.
    pub private: Option<Bytes>,
}

impl Entry {
    /// Bytes that it takes up in memory and on disk, without overhead.
    #[must_use]
    pub fn size(&self) -> u64 {
        let private = self.private.as_ref().map_or(0, Bytes::len);
        (self.entity.len() + self.body.len() + private) as u64
    }
}

/// Where a durable entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The partition.
    pub partition: PartitionId,
    /// Counts the partition's entries, from 1, without a gap.
    pub index: u64,
}

/// Hears what became of an append, on the committer's thread: must be quick, must not block.
pub type Done = Box<dyn FnOnce(Result<Committed, AppendError>) + Send>;

/// Whether the log takes appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Serving,
    /// A write or a sync failed: nothing more is acknowledged until a restart.
    Failed(String),
}

/// A durable log of several partitions.
pub trait Log: Send + Sync {
    /// Appends `entry`; `done` hears its index once it is durable. Never blocks; what is in flight
    /// is bounded by admission above.
    fn append(&self, partition: PartitionId, entry: Entry, done: Done);
    /// The index of the last durable entry; 0 if there is none.
    fn last_index(&self, partition: PartitionId) -> u64;
    /// The index of the first entry that is not purged; `last_index + 1` if there is none.
    fn first_index(&self, partition: PartitionId) -> u64;
    /// Durable entries from `from` on, at most `entries_max`, from memory. Empty if `from` is purged.
    fn tail(&self, partition: PartitionId, from: u64, entries_max: usize) -> Vec<(u64, Entry)>;
    /// Registers who hears, on the committer's thread, the number of commits so far after each.
    fn on_commit(&self, hear: Box<dyn Fn(u64) + Send + Sync>);
    /// Registers who hears that the log has failed, and why.
    fn on_failure(&self, hear: Box<dyn Fn(&str) + Send + Sync>);
    /// Forgets entries up to and including these indexes, after a checkpoint that holds them.
    ///
    /// # Errors
    /// When the store refuses; then nothing is forgotten.
    fn purge(&self, upto: &[(PartitionId, u64)]) -> Result<(), StoreError>;
    /// Bytes of all entries that are not purged.
    fn tail_bytes(&self) -> u64;
    /// Whether it takes appends.
    fn health(&self) -> Health;
}
