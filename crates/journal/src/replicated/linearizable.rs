//! Reads that miss nothing: up to where one must have read is asked of those who lead, in rounds that
//! all readers share, and then this node's own replica is enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::messages::{Answer, Question, ask};
use super::replicas::{Replicas, ReplicasError};
use crate::log::PartitionId;

/// How long a round of read indexes may take.
const READ_ROUND_MAX: Duration = Duration::from_millis(1_500);

/// By partition, up to where one must have read; or why that is not known.
pub(super) type ReadIndexes = Result<Arc<Vec<Option<u64>>>, String>;

impl Replicas {
    /// Waits until everything that was acknowledged by anybody before this call is applied here.
    ///
    /// # Errors
    /// When a partition has no leader that answers in time; at once when this node was taken out of one.
    pub async fn read(&self, within: Duration) -> Result<(), ReplicasError> {
        if self.is_alone() {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + within;
        let mut left: Vec<u16> = (0..self.journal.partitions()).collect();
        loop {
            self.ensure_in()?;
            let tried = tokio::time::timeout_at(deadline, self.read_once(&mut left)).await;
            let why = match tried {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => "it took too long".to_owned(),
            };
            let again = tokio::time::Instant::now() + Duration::from_millis(50);
            if again >= deadline {
                let partition = left.first().copied().unwrap_or_default();
                return Err(ReplicasError::NoLeader { partition, why });
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Asks each leader once, and takes those partitions off the list that are read.
    async fn read_once(&self, left: &mut Vec<u16>) -> Result<(), String> {
        let mut by_leader: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        for partition in left.iter() {
            let leader = self
                .leader(PartitionId(*partition))
                .ok_or("nobody leads it")?;
            by_leader.entry(leader).or_default().push(*partition);
        }
        for (leader, partitions) in by_leader {
            let indexes = self.read_indexes(leader).await?;
            for partition in partitions {
                let index = indexes.get(usize::from(partition)).copied().flatten();
                let index = index.ok_or("who led it does no more")?;
                self.applied_upto(PartitionId(partition), index).await?;
                left.retain(|waiting| *waiting != partition);
            }
        }
        Ok(())
    }

    /// Waits until an entry is applied here.
    pub(super) async fn applied_upto(
        &self,
        partition: PartitionId,
        entry: u64,
    ) -> Result<(), String> {
        let group = self.group(partition).ok_or("there is no such partition")?;
        let mut applied = group.applied_entry.subscribe();
        let is_known = |applied: &u64| *applied >= entry || group.is_out();
        let reached = applied.wait_for(is_known).await;
        match reached.map(|applied| *applied >= entry) {
            Ok(true) => Ok(()),
            Ok(false) => Err("this node has been taken out of it".to_owned()),
            Err(_) => Err("the node closes".to_owned()),
        }
    }

    /// Of all that a node leads, up to where one must have read: one round for all who ask.
    async fn read_indexes(&self, node: u64) -> Result<Arc<Vec<Option<u64>>>, String> {
        let rounds = Arc::clone(self.reads.lock().entry(node).or_default());
        let all: Vec<u16> = (0..self.journal.partitions()).collect();
        let round = || async {
            if node == self.options.node {
                return Ok(Arc::new(self.own_read_indexes(&all).await));
            }
            let question = Question::ReadIndexes(all.clone());
            match ask(&*self.options.wire, node, &question, READ_ROUND_MAX).await {
                Ok(Answer::ReadIndexes(indexes)) => Ok(Arc::new(indexes)),
                Ok(_) => Err("it answered another question".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let outcome = rounds.join(round).await;
        outcome.unwrap_or_else(|| Err("whoever asked for all was dropped".to_owned()))
    }

    /// Of those partitions that this node leads: confirmed by a quorum.
    pub(super) async fn own_read_indexes(&self, partitions: &[u16]) -> Vec<Option<u64>> {
        let index = |partition: &u16| {
            let group = self.group(PartitionId(*partition)).map(Arc::clone);
            async move { group?.read_index().await }
        };
        futures::future::join_all(partitions.iter().map(index)).await
    }
}
