//! The disk on which a node stands: drawn when its directory was made, and never again.
//!
//! In: a store, and whether its groups hold anything. Out: the disk's name, and what a node says of it to
//! others. Holds: a copy of a directory's rows is another disk, so no backup and no snapshot has them.

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::messages::{decode, encode};
use super::replicas::{Replicas, ReplicasError};
use super::store::GroupLog;
use crate::error::StoreError;
use crate::state::{DISKS, StateStore, Table, Write};
use consign_raft::Raft;

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

/// What a directory says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnDisk {
    pub(super) disk: DiskId,
}

fn own_key() -> Vec<u8> {
    [DISKS, b"own"].concat()
}

impl OwnDisk {
    /// What the directory says, or what it says from now on: one of the format before says nothing.
    pub(super) fn open(state: &StateStore) -> Result<OwnDisk, StoreError> {
        if let Some(row) = state.get(Table::Meta, &own_key())? {
            let read = decode(&row).map_err(std::io::Error::other);
            return read.map_err(StoreError::log("read which disk this is"));
        }
        let own = OwnDisk {
            disk: DiskId(rand::random()),
        };
        own.save(state)?;
        tracing::info!(disk = %own.disk, "this is a disk that no node has stood on");
        Ok(own)
    }

    fn save(&self, state: &StateStore) -> Result<(), StoreError> {
        state.write(&[Write {
            table: Table::Meta,
            key: own_key(),
            value: Some(encode(self).to_vec()),
        }])
    }
}

/// Whether a group has never had anything but, at most, a vote.
pub(super) fn has_nothing(raft: &Raft<GroupLog>) -> bool {
    raft.terms().last().index == 0 && raft.membership_at().is_none()
}

impl Replicas {
    /// What this node says of its disk; none before it runs.
    #[must_use]
    pub fn disk(&self) -> Option<DiskWord> {
        let running = self.running.get()?;
        let has_nothing = |group: &std::sync::Arc<Group>| group.look(has_nothing);
        Some(DiskWord {
            disk: running.own_disk.disk,
            is_empty: running.groups.iter().all(has_nothing),
        })
    }

    /// Which disk this is.
    pub(super) async fn open_own_disk(&self) -> Result<OwnDisk, ReplicasError> {
        let state = std::sync::Arc::clone(&self.state);
        let opening = self.journal.threads().run(move || OwnDisk::open(&state));
        let opened = opening.await.map_err(|error| error.to_string());
        let opened = opened.and_then(|opened| opened.map_err(|error| error.to_string()));
        opened.map_err(ReplicasError::Log)
    }
}
