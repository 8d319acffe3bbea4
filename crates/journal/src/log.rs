//! The words that the log and those above it share: partitions, entries, what became of an append.

use std::fmt;

use bytes::Bytes;

use crate::error::AppendError;

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

    /// The same, in memory of its own.
    pub(crate) fn copied(&self) -> Entry {
        Entry {
            entity: Bytes::copy_from_slice(&self.entity),
            expected: self.expected,
            body: Bytes::copy_from_slice(&self.body),
            private: self.private.as_deref().map(Bytes::copy_from_slice),
        }
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
