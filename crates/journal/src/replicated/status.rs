//! How the groups stand, as this node sees them.

use std::sync::Arc;

use consign_raft::Raft;

use super::group::Group;
use super::replicas::Replicas;
use super::store::GroupLog;
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
    /// Whether this node was taken out of the group; the rest is what it saw last.
    pub taken_out: bool,
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
    pub fn leader(&self, partition: PartitionId) -> Option<u64> {
        self.group(partition)?.look(Raft::leader)
    }

    /// The nodes that have a partition, as far as is known here.
    #[must_use]
    pub fn members(&self, partition: PartitionId) -> Vec<u64> {
        let members = |raft: &Raft<GroupLog>| {
            let nodes = raft.membership().nodes();
            nodes.map(|(node, _)| node).collect()
        };
        self.group(partition)
            .map_or_else(Vec::new, |group| group.look(members))
    }

    /// How all groups stand.
    #[must_use]
    pub fn status(&self) -> Vec<GroupStatus> {
        let status = |group: &Arc<Group>| {
            group.look(|raft| {
                let membership = raft.membership();
                let nodes = membership.nodes();
                GroupStatus {
                    partition: group.partition.0,
                    leader: raft.leader(),
                    term: raft.vote().term,
                    taken_out: raft.is_out(),
                    voters: membership.voters.keys().copied().collect(),
                    learners: membership.learners.keys().copied().collect(),
                    members: nodes.map(|(node, at)| (node, at.to_owned())).collect(),
                    last_index: raft.terms().last().index,
                    applied_index: *group.applied_entry.borrow(),
                }
            })
        };
        let running = self.running.get();
        let groups = running.into_iter().flat_map(|running| &running.groups);
        groups.map(status).collect()
    }
}
