//! Which replica a node is, how it reaches the others, and when they give each other up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::wire::{Alone, ReplicaWire};

/// When replicas give each other up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells its followers that it lives.
    pub heartbeat: Duration,
    /// After how long without that they elect another.
    pub election: Duration,
    /// A leader that has had no quorum for so long decides nothing more.
    pub seal_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(150),
            election: Duration::from_millis(500),
            seal_after: Duration::from_millis(1_500),
        }
    }
}

/// Which replica this is, and how it reaches the others.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// This node's number.
    pub node: u64,
    /// The nodes that make up the cluster when it is first started, with their addresses; only this
    /// one when it runs alone; none when it waits to be taken in.
    pub members: BTreeMap<u64, String>,
    /// When replicas give each other up.
    pub timing: Timing,
    /// The way to the others.
    pub wire: Arc<dyn ReplicaWire>,
}

impl fmt::Debug for ReplicaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaOptions")
            .field("node", &self.node)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl ReplicaOptions {
    /// The number of a node that runs alone.
    const LONE_NODE: u64 = 1;

    /// One voter.
    #[must_use]
    pub fn alone() -> ReplicaOptions {
        ReplicaOptions {
            node: Self::LONE_NODE,
            members: BTreeMap::from([(Self::LONE_NODE, String::new())]),
            timing: Timing::default(),
            wire: Arc::new(Alone),
        }
    }
}
