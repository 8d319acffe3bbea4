//! How a replica comes to lead.
//!
//! ```text
//! follower ──patience ends──► asking ──most would──► candidate ──most did──► leader
//!    ▲                           │                       │                     │
//!    └── a leader is heard, or a later term ─────────────┴── or no quorum ─────┘
//! ```
//! Asking costs nobody anything: a node that was cut off does not depose a leader when it is back.

use std::collections::BTreeSet;

use crate::message::{Body, Vote};
use crate::raft::{AfterVote, Log, Raft, Role};
use crate::terms::Mark;

impl<L: Log> Raft<L> {
    /// Whether a leader is heard: nobody is helped to depose it.
    pub(crate) fn has_leader(&self) -> bool {
        match &self.role {
            Role::Leader(leading) => {
                let since = self.now.saturating_sub(self.options.election);
                self.has_quorum_since(leading, since)
            }
            _ => self.leader.is_some() && self.now < self.heard_at + self.options.election,
        }
    }

    /// Asks whether it would be elected.
    pub(crate) fn ask_before_campaign(&mut self) {
        self.leader = None;
        self.be_patient();
        // With a slow disk, a further term would only wait behind this one.
        let waits = matches!(self.after_vote, Some(AfterVote::Campaign { .. }));
        if self.installing || waits {
            return;
        }
        if self.is_alone() {
            return self.campaign(false);
        }
        self.role = Role::Asking(BTreeSet::from([self.options.node]));
        let last = self.terms.last();
        self.tell_other_voters(self.vote.term + 1, &Body::MayI { last });
    }

    /// Wants to be elected: asks for votes once its own is durable.
    pub(crate) fn campaign(&mut self, handed_over: bool) {
        if self.installing || !self.may_lead() {
            return;
        }
        self.vote = Vote {
            term: self.vote.term + 1,
            given_to: Some(self.options.node),
        };
        self.leader = None;
        self.role = Role::Candidate(BTreeSet::new());
        self.be_patient();
        self.after_vote = Some(AfterVote::Campaign { handed_over });
        self.log.save_vote(self.vote);
    }

    /// A vote is durable.
    pub fn vote_saved(&mut self, vote: Vote) {
        let is_news = self.saved_term < vote.term && vote.term == self.vote.term;
        self.saved_term = self.saved_term.max(vote.term);
        if is_news
            && !self.leads()
            && let Some(leader) = self.leader
        {
            self.say_what_is_here(leader);
        }
        if vote != self.vote {
            return;
        }
        match self.after_vote.take() {
            None => {}
            Some(AfterVote::Grant(to)) => {
                self.send(to, vote.term, Body::Voted { granted: true });
            }
            // Another was elected meanwhile.
            Some(AfterVote::Campaign { .. }) if !matches!(self.role, Role::Candidate(_)) => {}
            Some(AfterVote::Campaign { handed_over }) => {
                self.be_patient();
                // Everything before this vote is durable, too.
                let last = self.terms.last();
                self.tell_other_voters(vote.term, &Body::Elect { last, handed_over });
                self.count_vote(self.options.node, true);
            }
        }
    }

    pub(crate) fn answer_ask(&mut self, from: u64, term: u64, last: Mark) {
        if self.tell_if_out(from) {
            return;
        }
        let granted = term > self.vote.term && last >= self.terms.last() && !self.has_leader();
        // Who is behind hears in which term this node is.
        let term = if granted { term } else { self.vote.term };
        self.send(from, term, Body::YouMay { granted });
    }

    pub(crate) fn answer_candidate(&mut self, from: u64, term: u64, last: Mark) {
        let mine = self.vote;
        let is_free = mine.given_to.is_none_or(|to| to == from);
        if term < mine.term || !is_free || last < self.terms.last() || self.leader.is_some() {
            return self.send(from, mine.term, Body::Voted { granted: false });
        }
        self.vote.given_to = Some(from);
        self.after_vote = Some(AfterVote::Grant(from));
        self.be_patient();
        self.log.save_vote(self.vote);
    }

    pub(crate) fn count_ask(&mut self, from: u64, granted: bool) {
        if let Role::Asking(who) = &mut self.role
            && granted
        {
            who.insert(from);
            let who = who.clone();
            if self.is_majority(&who) {
                self.campaign(false);
            }
        }
    }

    pub(crate) fn count_vote(&mut self, from: u64, granted: bool) {
        if let Role::Candidate(who) = &mut self.role
            && granted
        {
            who.insert(from);
            let who = who.clone();
            if self.is_majority(&who) {
                self.begin_to_lead();
            }
        }
    }

    fn is_majority(&self, who: &BTreeSet<u64>) -> bool {
        let membership = self.membership();
        let count = who.iter().filter(|node| membership.votes(**node)).count();
        membership.is_quorum(count)
    }

    pub(crate) fn tell_other_voters(&mut self, term: u64, body: &Body) {
        let me = self.options.node;
        let voters: Vec<u64> = self.membership().voters.keys().copied().collect();
        for to in voters.into_iter().filter(|to| *to != me) {
            self.send(to, term, body.clone());
        }
    }
}
