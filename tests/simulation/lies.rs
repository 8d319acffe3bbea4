//! Seams that lie: each breaks a law on purpose, and the simulation must find it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_cluster::NodeLines;
use consign_runtime::{Answering, ReplicaWire};

use crate::faults::Faults;
use crate::machine::Machine;

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Disks say that they have synced, and have not; power fails everywhere at once (L2).
    SyncsForgotten,
    /// Answers are not remembered, so that what is asked again is done again (L3).
    AnswersForgotten,
    /// What a replica says to another one reaches all: a vote for one is a vote for each (L4, L2).
    VotesForAll,
    /// Nobody says on which disk it stands, and disks get lost: what a node has forgotten counts (L2).
    DisksUnsaid,
}

impl Lie {
    /// All of them.
    pub const ALL: [Lie; 4] = [
        Lie::SyncsForgotten,
        Lie::AnswersForgotten,
        Lie::VotesForAll,
        Lie::DisksUnsaid,
    ];

    /// On how many nodes it is told.
    pub fn nodes(self) -> u64 {
        match self {
            Lie::SyncsForgotten | Lie::AnswersForgotten | Lie::DisksUnsaid => 3,
            // The more there are, the more of them campaign at once.
            Lie::VotesForAll => 5,
        }
    }

    /// What the finding says, or one of these.
    pub fn breaks(self) -> &'static [&'static str] {
        match self {
            // What is gone may first be seen by a node that finds its own two files apart.
            Lie::SyncsForgotten => &["L2", "does not start", "a law is broken"],
            Lie::AnswersForgotten => &["L3"],
            Lie::DisksUnsaid => &["L2", "L3", "L4", "a law is broken", "does not serve"],
            Lie::VotesForAll => &["L4", "L2", "L3", "does not start", "a law is broken"],
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Lie> {
        Lie::ALL.into_iter().find(|lie| format!("{lie:?}") == name)
    }

    /// Tells it, before anything starts.
    pub fn tell(self, machines: &[Arc<Machine>], faults: &mut Faults) {
        if self == Lie::SyncsForgotten {
            faults.one_socket = true;
        }
        faults.disks_get_lost = self == Lie::DisksUnsaid;
        faults.kills_take_disks = self == Lie::DisksUnsaid;
        for machine in machines {
            if self == Lie::SyncsForgotten {
                machine.log.forget_syncs();
                machine.state.forget_syncs();
            }
            machine.hear_lie(self);
        }
    }
}

/// Tells everybody what was meant for one.
pub struct TellsAll {
    /// The way to the others.
    pub lines: Arc<NodeLines>,
    /// How many there are.
    pub nodes: u64,
}

impl ReplicaWire for TellsAll {
    fn ask(&self, node: u64, question: Bytes, within: Duration, bulk: bool) -> Answering {
        ReplicaWire::ask(&*self.lines, node, question, within, bulk)
    }

    fn tell(&self, _: u64, message: Bytes) {
        for node in 1..=self.nodes {
            ReplicaWire::tell(&*self.lines, node, message.clone());
        }
    }

    fn locate(&self, node: u64, address: &str) {
        self.lines.locate(node, address);
    }

    fn tells_disks(&self) -> bool {
        self.lines.tells_disks()
    }

    fn hang_up(&self, node: u64) {
        self.lines.hang_up(node);
    }
}
