//! How the groups stand, as this node sees them.

use std::sync::Arc;

use openraft::Raft;

use super::Groups;
use super::group::Group;
use super::replicas::Replicas;
use crate::log::PartitionId;

/// How a group stands, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Which partition.
    pub partition: u16,
    /// Who leads it, if anybody is known to.
    pub leader: Option<u64>,
    /// Counts elections.
    pub term: u64,
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who only listens.
    pub learners: Vec<u64>,
    /// Where each of them is reached.
    pub members: Vec<(u64, String)>,
    /// Entries in the log here.
    pub last_index: u64,
    /// Entries applied here.
    pub applied_index: u64,
}

impl Replicas {
    /// The node that leads a partition, as far as is known here.
    #[must_use]
    pub fn leader(&self, PartitionId(partition): PartitionId) -> Option<u64> {
        let raft = self.running.get()?.rafts.get(usize::from(partition))?;
        raft.metrics().borrow().current_leader
    }

    /// The nodes that have a partition, as far as is known here.
    #[must_use]
    pub fn members(&self, PartitionId(partition): PartitionId) -> Vec<u64> {
        let running = self.running.get();
        let raft = running.and_then(|it| it.rafts.get(usize::from(partition)));
        let Some(raft) = raft else { return Vec::new() };
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership().nodes();
        members.map(|(node, _)| *node).collect()
    }

    /// How all groups stand.
    #[must_use]
    pub fn status(&self) -> Vec<GroupStatus> {
        let Some(running) = self.running.get() else {
            return Vec::new();
        };
        let status = |(group, raft): (&Arc<Group>, &Raft<Groups>)| {
            let metrics = raft.metrics().borrow().clone();
            let membership = metrics.membership_config.membership();
            GroupStatus {
                partition: group.partition.0,
                leader: metrics.current_leader,
                term: metrics.current_term,
                voters: membership.voter_ids().collect(),
                learners: membership.learner_ids().collect(),
                members: membership
                    .nodes()
                    .map(|(node, place)| (*node, place.addr.clone()))
                    .collect(),
                last_index: metrics.last_log_index.map_or(0, |index| index + 1),
                applied_index: group.applied.lock().entry(),
            }
        };
        running
            .groups
            .iter()
            .zip(&running.rafts)
            .map(status)
            .collect()
    }
}
