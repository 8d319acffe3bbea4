//! How a replica learns that it is not in its group any more.
//!
//! ```text
//! in ──no leader is heard, and who is asked knows better──► out ──a leader is heard──► in
//! ```
//! A leader says nothing more to a node that it takes out, and one word could be lost; so whoever hears
//! no leader asks, as before a campaign, and those who know answer. In: the answer, and as of which
//! committed entry it holds. Out: silence; a node that is out asks no more and campaigns for nothing.
//!
//! Holds: nobody is put out by what came before it was taken in. An entry that says so lies behind
//! what the answer rests on, and marks grow along what is committed.

use crate::membership::Membership;
use crate::message::Body;
use crate::raft::{Log, Raft};
use crate::terms::Mark;

impl<L: Log> Raft<L> {
    /// Whether this node was taken out of the group, as others say. Only as long as no leader is heard:
    /// one that is heard has taken it in again.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.is_out
    }

    /// Asks those who should know whether this node is in the group at all. It has no vote.
    pub(crate) fn ask_whether_in(&mut self) {
        self.follow(self.vote.term, None);
        if !self.is_out && !self.installing {
            let last = self.terms.last();
            self.tell_other_voters(self.vote.term + 1, &Body::MayI { last });
        }
    }

    /// Tells who is in the group no more, for certain, that it is so. Says whether it did.
    pub(crate) fn tell_if_out(&mut self, node: u64) -> bool {
        let holds = self.memberships_that_may_hold();
        let is_certain = holds.first().is_some_and(|(at, _)| *at <= self.committed);
        let is_in = holds.iter().any(|(_, membership)| membership.has(node));
        let index = self.committed;
        match self.terms.at(index) {
            Some(term) if is_certain && !is_in => {
                let as_of = Mark { term, index };
                self.send(node, self.vote.term, Body::YouAreOut { as_of });
                true
            }
            _ => false,
        }
    }

    /// Another knows that this node is out, as of a committed entry.
    pub(crate) fn hear_out(&mut self, as_of: Mark) {
        let me = self.options.node;
        let mut memberships = self.memberships.iter().rev();
        let taken_in = memberships.find(|(_, membership)| membership.has(me));
        // What is purged came before the last entry that is.
        let taken_in = taken_in.map_or(Mark::default(), |(index, _)| {
            let purged = self.terms.purged();
            let term = self.terms.at(*index);
            term.map_or(purged, |term| Mark {
                term,
                index: *index,
            })
        });
        if self.leader.is_none() && !self.installing && taken_in <= as_of {
            self.follow(self.vote.term, None);
            self.is_out = true;
        }
    }

    /// Whether this node may be elected: it votes, or it did and that it is out is not known to be
    /// committed. Until then it may have what the others cannot do without (§4.2.2).
    pub(crate) fn may_lead(&self) -> bool {
        let mut holds = self.memberships_that_may_hold().iter();
        !self.is_out && holds.any(|(_, membership)| membership.votes(self.options.node))
    }

    /// The last membership that is known to be committed, and those after it.
    fn memberships_that_may_hold(&self) -> &[(u64, Membership)] {
        let is_known = |(index, _): &(u64, Membership)| *index <= self.committed;
        let known = self.memberships.iter().rposition(is_known).unwrap_or(0);
        &self.memberships[known..]
    }
}
