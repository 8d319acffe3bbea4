//! How a follower takes a leader's entries in.
//!
//! Holds: what is the same index and term is the same entry, and so are all before it; what is
//! committed is never cut; a leader hears of no entry that is not durable here.

use crate::membership::Membership;
use crate::message::{Body, Entry};
use crate::raft::{Log, Raft};
use crate::terms::{Mark, Terms};

impl<L: Log> Raft<L> {
    /// Takes entries of this term's leader in.
    pub(crate) fn take_append(
        &mut self,
        from: u64,
        prev: Mark,
        commit: u64,
        round: u64,
        entries: Vec<Entry>,
    ) {
        if self.leads() {
            return self.halt("two nodes lead in one term");
        }
        if self.leader != Some(from) {
            self.follow(self.vote.term, Some(from));
        }
        self.heard_at = self.now;
        self.is_out = false;
        self.be_patient();
        self.round_heard = self.round_heard.max(round);
        self.commit_heard = commit;
        if self.installing {
            return self.say_what_is_here(from);
        }
        let purged = self.terms.purged().index;
        let agrees = prev.index < purged || self.terms.at(prev.index) == Some(prev.term);
        if !agrees {
            let hint = if prev.index > self.terms.last().index {
                self.terms.last().index
            } else {
                self.terms.before_run_of(prev.index)
            };
            return self.lacks(from, prev.index, hint.max(self.committed), round);
        }
        let last = prev.index + entries.len() as u64;
        let is_new = |at: u64, entry: &Entry| at > purged && self.terms.at(at) != Some(entry.term);
        let first_new = (prev.index + 1..)
            .zip(&entries)
            .position(|(at, entry)| is_new(at, entry));
        let mut wrote = false;
        if let Some(first_new) = first_new {
            let from_index = prev.index + 1 + first_new as u64;
            if from_index <= self.terms.last().index && !self.cut(from_index) {
                return;
            }
            self.write(entries.into_iter().skip(first_new).collect());
            wrote = true;
        }
        self.verified = self.verified.max(last);
        self.committed = self.committed.max(commit.min(self.verified));
        if !wrote {
            self.say_what_is_here(from);
        }
    }

    /// Forgets entries that the leader does not have.
    fn cut(&mut self, from: u64) -> bool {
        if from <= self.committed {
            self.halt("a leader lacks what is committed");
            return false;
        }
        self.terms.cut(from);
        self.memberships.retain(|(index, _)| *index < from);
        self.durable = self.durable.min(from - 1);
        self.forget_unsaved(from);
        self.log.cut(from);
        true
    }

    /// Tells the leader how much of its log is durable here, once its term is: who forgot the term in
    /// a crash could let an older one's leader cut what it has told of.
    pub(crate) fn say_what_is_here(&mut self, leader: u64) {
        if self.saved_term < self.vote.term {
            return;
        }
        let body = Body::Has {
            index: self.durable.min(self.verified),
            round: self.round_heard,
        };
        self.send(leader, self.vote.term, body);
    }

    pub(crate) fn lacks(&mut self, to: u64, prev: u64, hint: u64, round: u64) {
        self.send(to, self.vote.term, Body::Lacks { prev, hint, round });
    }

    /// Whether a leader's snapshot that ends at `at` is wanted; from here on entries have to wait
    /// until [`Raft::installed`] or [`Raft::not_installed`].
    pub fn begin_install(&mut self, leader: u64, term: u64, at: Mark) -> bool {
        if term < self.vote.term || at.index <= self.committed || self.installing || self.leads() {
            return false;
        }
        if self.halted().is_some() {
            return false;
        }
        // What came after it may be counted on already, and would be lost.
        if self.terms.at(at.index) == Some(at.term) {
            return false;
        }
        if term > self.vote.term || self.leader != Some(leader) {
            self.follow(term, Some(leader));
        }
        self.heard_at = self.now;
        self.is_out = false;
        self.installing = true;
        true
    }

    /// The snapshot did not come to be.
    pub fn not_installed(&mut self) {
        self.installing = false;
    }

    /// A snapshot stands in place of the log up to `at`, durably; no entries come after it.
    pub fn installed(&mut self, at: Mark, membership: Membership) {
        self.installing = false;
        self.terms = Terms::after(at);
        self.forget_unsaved(0);
        self.memberships = vec![(at.index, membership)];
        (self.durable, self.committed, self.verified) = (at.index, at.index, at.index);
        if let Some(leader) = self.leader {
            self.say_what_is_here(leader);
        }
    }
}
