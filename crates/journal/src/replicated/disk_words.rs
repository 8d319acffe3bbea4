//! What is said and remembered of disks.

use serde::{Deserialize, Serialize};

/// Names a disk: a data directory, from when it was made until it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskId(pub u128);

impl std::fmt::Display for DiskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "disk-{:08x}", self.0 >> 96)
    }
}

/// What a node says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskWord {
    /// Which it is.
    pub disk: DiskId,
    /// Nothing of any partition is on it.
    pub is_empty: bool,
}

/// How this node stands with others' disks, and they with its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskStatus {
    /// So many others do not take this node's disk that it can do nothing.
    pub is_unknown: bool,
    /// Members that come with another disk than the one they are known by, or with an empty one that
    /// nobody knows.
    pub strange: Vec<u64>,
}

/// By which disk a node is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// None as long as it has not come.
    pub(super) disk: Option<DiskId>,
    /// The entry of partition 0 as of which no other disk of it counts; 0 at first sight. Of two words
    /// on one node, the later counts.
    pub(super) as_of: u64,
}

/// A node that is taken out of all groups and in again, because it came with this disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Returning {
    pub(super) disk: DiskId,
    pub(super) address: String,
}
