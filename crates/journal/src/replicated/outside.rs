//! Partitions whose groups this node was taken out of, or may not be in with the disk it stands on.
//!
//! In: Raft's word on it. Out: how many they are, cheaply, as every request asks; and an end to what
//! would wait for entries that do not come any more.

use std::sync::atomic::Ordering;

use consign_raft::Raft;

use super::group::Group;
use super::replicas::{Replicas, ReplicasError};
use super::store::GroupLog;
use crate::log::PartitionId;

impl Group {
    /// Whether this node was taken out, as others say.
    pub(crate) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// Looks whether it was, or is in again.
    pub(super) fn mind_out(&self, raft: &Raft<GroupLog>) {
        let is_out = raft.is_out();
        if self.is_out.swap(is_out, Ordering::Relaxed) == is_out {
            return;
        }
        if is_out {
            tracing::warn!(partition = %self.partition, "this node has been taken out");
            // Who waits for an entry looks again, and sees that it does not come.
            self.applied_entry.send_modify(|_| {});
        } else {
            tracing::info!(partition = %self.partition, "this node is in again");
        }
    }
}

impl Replicas {
    /// Whether this node was taken out of a partition.
    #[must_use]
    pub fn is_out_of(&self, partition: PartitionId) -> bool {
        self.group(partition).is_some_and(|group| group.is_out())
    }

    /// Refuses what a node cannot do that was taken out of partitions, or whose disk the others do not
    /// know. Costs next to nothing.
    ///
    /// # Errors
    /// Of how many, or that it stands on another disk.
    pub fn ensure_in(&self) -> Result<(), ReplicasError> {
        let running = self.running.get();
        if running.is_some_and(|running| running.disks.is_unknown()) {
            return Err(ReplicasError::DiskUnknown { node: self.node() });
        }
        let groups = running.into_iter().flat_map(|running| &running.groups);
        match groups.filter(|group| group.is_out()).count() {
            0 => Ok(()),
            partitions => Err(ReplicasError::TakenOut {
                partitions,
                of: usize::from(self.partitions()),
            }),
        }
    }
}
