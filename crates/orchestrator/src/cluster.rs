//! The cluster's shape: who is in, who leads. Every step can be repeated.

use std::time::Duration;

use compact_str::ToCompactString;
use consign_runtime::{DiskStatus, PartitionId, ReplicasError};

use crate::error::ServiceError;
use crate::service::Consign;

impl Consign {
    /// Takes a node into the cluster, or goes on doing so; gives the partitions that it is not in yet
    /// when the time is over.
    ///
    /// # Errors
    /// `ClusterRefused` with the reason.
    pub async fn cluster_join(
        &self,
        node: u64,
        address: &str,
        within: Duration,
    ) -> Result<usize, ServiceError> {
        self.ensure_cluster()?;
        Ok(self.inner.node.join(node, address, within).await?)
    }

    /// Takes a node out, or goes on doing so: one that runs gives its leads away first. Gives the
    /// partitions that it is still in when the time is over.
    ///
    /// # Errors
    /// `ClusterRefused` with the reason.
    pub async fn cluster_leave(&self, node: u64, within: Duration) -> Result<usize, ServiceError> {
        self.ensure_cluster()?;
        Ok(self.inner.node.leave(node, within).await?)
    }

    /// Has a node lead a partition; says whether it does when the time is over.
    ///
    /// # Errors
    /// `ClusterRefused` with the reason.
    pub async fn cluster_lead(
        &self,
        partition: u16,
        node: u64,
        within: Duration,
    ) -> Result<bool, ServiceError> {
        self.ensure_cluster()?;
        let partition = PartitionId(partition);
        Ok(self.inner.node.transfer(partition, node, within).await?)
    }

    /// Gives all that this node leads to other nodes, before it stops.
    pub async fn hand_over(&self) {
        self.inner.node.hand_over().await;
    }

    /// Refuses at once what this node cannot do because it was taken out of the cluster, or of a part, or
    /// because the others do not know its disk.
    ///
    /// # Errors
    /// `TakenOut`, `DiskUnknown`.
    pub fn ensure_in(&self) -> Result<(), ServiceError> {
        Ok(self.inner.node.ensure_in()?)
    }

    /// How this node stands with others' disks, and they with its own.
    #[must_use]
    pub fn disk_status(&self) -> DiskStatus {
        self.inner.node.disk_status()
    }

    fn ensure_cluster(&self) -> Result<(), ServiceError> {
        if self.is_alone() {
            let reason = "this node runs alone: give it the table [cluster]".into();
            return Err(ServiceError::ClusterRefused { reason });
        }
        Ok(())
    }
}

impl From<ReplicasError> for ServiceError {
    fn from(error: ReplicasError) -> ServiceError {
        let reason = error.to_compact_string();
        match error {
            ReplicasError::NoLeader { .. } => ServiceError::Unreachable { reason },
            ReplicasError::TakenOut { .. } => ServiceError::TakenOut { reason },
            ReplicasError::DiskUnknown { .. } => ServiceError::DiskUnknown { reason },
            _ => ServiceError::ClusterRefused { reason },
        }
    }
}
