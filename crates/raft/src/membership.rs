//! Who is in a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who is in a group, and where each is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Those whose majority decides.
    pub voters: BTreeMap<u64, String>,
    /// Those who only listen.
    pub learners: BTreeMap<u64, String>,
}

impl Membership {
    /// All who are in it.
    pub fn nodes(&self) -> impl Iterator<Item = (u64, &str)> {
        let all = self.voters.iter().chain(&self.learners);
        all.map(|(node, address)| (*node, address.as_str()))
    }

    /// Whether a node votes.
    #[must_use]
    pub fn votes(&self, node: u64) -> bool {
        self.voters.contains_key(&node)
    }

    /// Whether a node only listens.
    #[must_use]
    pub fn listens(&self, node: u64) -> bool {
        self.learners.contains_key(&node)
    }

    /// Whether a node is in it.
    #[must_use]
    pub fn has(&self, node: u64) -> bool {
        self.votes(node) || self.listens(node)
    }

    /// Whether so many voters are a majority.
    #[must_use]
    pub fn is_quorum(&self, count: usize) -> bool {
        count > self.voters.len() / 2
    }

    /// Whether any majority of this and any of `next` have a node in common, because they differ by
    /// one voter at most.
    #[must_use]
    pub fn overlaps(&self, next: &Membership) -> bool {
        let gone = self.voters.keys().filter(|node| !next.votes(**node));
        let come = next.voters.keys().filter(|node| !self.votes(**node));
        !next.voters.is_empty() && gone.count() + come.count() <= 1
    }
}
