//! A node among the others: what it may read, who is in, who leads.
//!
//! In: what operators and readers want. Out: the same from the replicas of the log, which agree with the
//! other nodes' on it. Every change can be asked for again.

use std::sync::Arc;
use std::time::Duration;

use consign_journal::{DiskStatus, GroupStatus, PartitionId, Replicas, ReplicasError};

use crate::node::Node;

impl Node {
    /// Why this node cannot read what others acknowledge; none when it can.
    #[must_use]
    pub fn out_of_touch(&self) -> Option<String> {
        self.0.out_of_touch.lock().clone()
    }

    /// Refuses what a node cannot do that was taken out of the cluster, or of a part of it, or whose disk
    /// the others do not know.
    ///
    /// # Errors
    /// Which of these.
    pub fn ensure_in(&self) -> Result<(), ReplicasError> {
        self.0
            .stores()
            .map_or(Ok(()), |stores| stores.log.ensure_in())
    }

    /// Whether this node leads a partition: its entities live here.
    #[must_use]
    pub fn leads(&self, partition: PartitionId) -> bool {
        self.0.leads(partition)
    }

    /// Waits until everything that was acknowledged by any node before this call can be read here.
    ///
    /// # Errors
    /// When a partition has no leader that answers in time; at once when this node was taken out of one.
    pub async fn read(&self, within: Duration) -> Result<(), ReplicasError> {
        self.log()?.read(within).await
    }

    /// Gives all that this node leads to other nodes; their entities move there.
    pub async fn hand_over(&self) {
        if let Some(stores) = self.0.stores().filter(|_| !self.is_alone()) {
            stores.log.hand_over().await;
        }
    }

    /// Takes a node into the cluster, or goes on doing so; gives the partitions that are left.
    ///
    /// # Errors
    /// When a partition's leader refuses.
    pub async fn join(
        &self,
        node: u64,
        address: &str,
        within: Duration,
    ) -> Result<usize, ReplicasError> {
        self.log()?.join(node, address, within).await
    }

    /// Takes a node out of the cluster, or goes on doing so; gives the partitions that are left.
    ///
    /// # Errors
    /// When a partition's leader refuses.
    pub async fn leave(&self, node: u64, within: Duration) -> Result<usize, ReplicasError> {
        self.log()?.leave(node, within).await
    }

    /// Has a node lead a partition; says whether it does.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn transfer(
        &self,
        partition: PartitionId,
        to: u64,
        within: Duration,
    ) -> Result<bool, ReplicasError> {
        self.log()?.transfer(partition, to, within).await
    }

    fn log(&self) -> Result<Arc<Replicas>, ReplicasError> {
        let stores = self.0.stores().ok_or(ReplicasError::NotRunning)?;
        Ok(Arc::clone(&stores.log))
    }

    /// How this node stands with others' disks, and they with its own.
    #[must_use]
    pub fn disk_status(&self) -> DiskStatus {
        let stores = self.0.stores();
        stores.map_or_else(DiskStatus::default, |stores| stores.log.disk_status())
    }

    /// This node's number, and how all partitions stand.
    #[must_use]
    pub fn replicas(&self) -> (u64, Vec<GroupStatus>) {
        let stores = self.0.stores();
        stores.map_or((0, Vec::new()), |stores| {
            (stores.log.node(), stores.log.status())
        })
    }
}
