//! A replica: what it keeps, what it is given, what it gives.

use std::collections::{BTreeSet, VecDeque};

use crate::lead::{Leading, ReadId};
use crate::membership::Membership;
use crate::message::{Body, Entry, Message, Payload, Vote};
use crate::terms::{Mark, Terms};

/// Where a replica keeps what must survive. Calls take effect in the order in which they are made:
/// what is durable has all before it durable, too.
pub trait Log {
    /// Keeps an entry, the next one. When `tell`, [`Raft::durable`] must hear once it is durable.
    fn append(&mut self, at: Mark, entry: Entry, tell: bool);
    /// Forgets entries from `from` on.
    fn cut(&mut self, from: u64);
    /// Entries from `from` on: one at least if there are any, more until `bytes_max`.
    fn read(&self, from: u64, bytes_max: u64) -> Vec<Entry>;
    /// Keeps a vote; [`Raft::vote_saved`] must hear once it is durable.
    fn save_vote(&mut self, vote: Vote);
}

/// Who a replica is, and its patience, in the unit of the time that it is given.
#[derive(Clone, Copy, Debug)]
pub struct RaftOptions {
    /// This node.
    pub node: u64,
    /// How often a leader says that it lives.
    pub heartbeat: u64,
    /// How long a follower waits for that at least; half as long again at most.
    pub election: u64,
    /// How long a leader goes on without a quorum.
    pub quorum: u64,
    /// Draws the followers' patience.
    pub seed: u64,
}

/// What was kept of an earlier life.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The vote saved last.
    pub vote: Vote,
    /// The log's shape; all of it is durable.
    pub terms: Terms,
    /// Who was in the group from which entry on, in order: all that are in the log, and the one before.
    pub memberships: Vec<(u64, Membership)>,
    /// Up to where the log is committed for certain.
    pub committed: u64,
}

/// What a replica does.
#[derive(Debug)]
pub(crate) enum Role {
    Follower,
    /// Asks whether it would be elected; who said yes.
    Asking(BTreeSet<u64>),
    /// Wants to be elected; who said yes.
    Candidate(BTreeSet<u64>),
    Leader(Leading),
}

/// What waits until the vote is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AfterVote {
    /// Ask the others for theirs.
    Campaign { handed_over: bool },
    /// Tell a candidate that it has it.
    Grant(u64),
}

/// One replica of a group.
#[derive(Debug)]
pub struct Raft<L> {
    pub(crate) options: RaftOptions,
    pub(crate) log: L,
    pub(crate) terms: Terms,
    pub(crate) vote: Vote,
    /// The last term that is durable here.
    pub(crate) saved_term: u64,
    pub(crate) after_vote: Option<AfterVote>,
    /// Who was in the group from which entry on; the last one counts.
    pub(crate) memberships: Vec<(u64, Membership)>,
    pub(crate) role: Role,
    pub(crate) leader: Option<u64>,
    pub(crate) committed: u64,
    /// Up to where this node's log is durable.
    pub(crate) durable: u64,
    /// What is on its way to the disk, in order; whether it still counts, or was cut meanwhile.
    pub(crate) unsaved: VecDeque<(Mark, bool)>,
    /// Up to where this log is known to be its leader's.
    pub(crate) verified: u64,
    /// The last of the leader's rounds that was heard of.
    pub(crate) round_heard: u64,
    /// Up to where the leader said last that the log is committed.
    pub(crate) commit_heard: u64,
    pub(crate) now: u64,
    /// When the leader was heard last.
    pub(crate) heard_at: u64,
    /// When patience ends.
    pub(crate) deadline: u64,
    random: u64,
    pub(crate) outbox: Vec<(u64, Message)>,
    pub(crate) snapshots_wanted: Vec<u64>,
    pub(crate) reads_ready: Vec<(ReadId, Option<u64>)>,
    /// Set while rows are replaced by a snapshot's: entries are not taken meanwhile.
    pub(crate) installing: bool,
    /// Others know that this node is in the group no more.
    pub(crate) is_out: bool,
    /// Why this replica does nothing any more.
    halted: Option<String>,
}

impl<L: Log> Raft<L> {
    /// A replica as it was kept, a follower. An empty one knows nobody and waits to be spoken to.
    pub fn new(options: RaftOptions, log: L, restored: Restored, now: u64) -> Raft<L> {
        let durable = restored.terms.last().index;
        let committed = restored.committed.max(restored.terms.purged().index);
        let mut raft = Raft {
            options,
            log,
            terms: restored.terms,
            vote: restored.vote,
            saved_term: restored.vote.term,
            after_vote: None,
            memberships: restored.memberships,
            role: Role::Follower,
            leader: None,
            committed,
            durable,
            unsaved: VecDeque::new(),
            verified: committed,
            round_heard: 0,
            commit_heard: 0,
            now,
            heard_at: 0,
            deadline: 0,
            random: options.seed ^ options.node.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            outbox: Vec::new(),
            snapshots_wanted: Vec::new(),
            reads_ready: Vec::new(),
            installing: false,
            is_out: false,
            halted: None,
        };
        raft.be_patient();
        // Nobody else could lead it.
        if raft.is_alone() {
            raft.deadline = now;
        }
        raft
    }

    /// Founds a group: its first entry says who is in it. Only one node may, and only when it has
    /// nothing.
    pub fn found(&mut self, membership: Membership) {
        if self.terms.last().index > 0 || !self.memberships.is_empty() {
            return;
        }
        let term = self.vote.term + 1;
        self.vote = Vote {
            term,
            given_to: Some(self.options.node),
        };
        self.log.save_vote(self.vote);
        self.write(vec![Entry {
            term,
            payload: Payload::Membership(membership),
        }]);
        self.deadline = self.now;
    }

    /// Time goes by; to be called a few times a heartbeat.
    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        if self.halted.is_some() {
            return;
        }
        if matches!(self.role, Role::Leader(_)) {
            self.tick_leader();
        } else if self.now >= self.deadline && self.may_lead() {
            self.ask_before_campaign();
        } else if self.now >= self.deadline {
            self.ask_whether_in();
        }
    }

    /// Takes a message of another replica.
    pub fn receive(&mut self, now: u64, from: u64, message: Message) {
        self.now = self.now.max(now);
        if self.halted.is_some() {
            return;
        }
        let Message { term, body } = message;
        if term > self.vote.term {
            match &body {
                // The term is not theirs yet, or of a group that this node is not in.
                Body::MayI { .. } | Body::YouMay { granted: true } | Body::YouAreOut { .. } => {}
                // While a leader is heard, nobody is helped to depose it.
                Body::Elect { handed_over, .. } if !handed_over && self.has_leader() => return,
                Body::Append { .. } => self.follow(term, Some(from)),
                _ => self.follow(term, None),
            }
        }
        match body {
            Body::Append { .. } if term < self.vote.term => {
                self.lacks(from, 0, 0, 0);
            }
            Body::Append {
                prev,
                commit,
                round,
                entries,
            } => self.take_append(from, prev, commit, round, entries),
            Body::MayI { last } => self.answer_ask(from, term, last),
            Body::Elect { last, .. } => self.answer_candidate(from, term, last),
            Body::YouMay { granted } if term == self.vote.term + 1 => self.count_ask(from, granted),
            Body::YouAreOut { as_of } => self.hear_out(as_of),
            _ if term < self.vote.term => {}
            Body::Voted { granted } => self.count_vote(from, granted),
            Body::TakeOver if self.leader == Some(from) => {
                self.campaign(true);
            }
            Body::Has { index, round } => self.peer_has(from, index, round),
            Body::Lacks { prev, hint, round } => self.peer_lacks(from, prev, hint, round),
            Body::YouMay { .. } | Body::TakeOver => {}
        }
    }

    /// Entries up to there are durable; to be told in the order in which they were appended.
    pub fn durable(&mut self, upto: Mark) {
        if self.halted.is_some() {
            return;
        }
        let Some(nth) = self.unsaved.iter().position(|(mark, _)| *mark == upto) else {
            return;
        };
        // The same entry may have been cut and come again: that it was durable once does not count.
        let counts = self.unsaved.drain(..=nth).next_back();
        if counts.is_none_or(|(_, counts)| !counts) {
            return;
        }
        self.durable = self.durable.max(upto.index);
        match (&self.role, self.leader) {
            (Role::Leader(_), _) => self.commit(),
            (_, Some(leader)) => self.say_what_is_here(leader),
            _ => {}
        }
    }

    /// This node's store has failed, or its time is over: it takes no part any more.
    pub fn halt(&mut self, reason: &str) {
        if self.halted.is_none() {
            self.follow(self.vote.term, None);
            self.after_vote = None;
            self.halted = Some(reason.to_owned());
        }
    }

    /// Why this replica takes no part any more.
    #[must_use]
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Entries up to `upto`, which are committed, are kept elsewhere: the log begins after them.
    pub fn purge(&mut self, upto: u64) {
        let upto = upto.min(self.committed);
        self.terms.purge(upto);
        let from = |(index, _): &(u64, Membership)| *index > upto;
        let first = self.memberships.iter().position(from);
        let gone = first.unwrap_or(self.memberships.len()).saturating_sub(1);
        self.memberships.drain(..gone);
    }

    /// What is to be sent by now.
    pub fn take_messages(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.outbox)
    }

    /// Replicas that need a snapshot by now.
    pub fn take_snapshots_wanted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.snapshots_wanted)
    }

    /// Reads whose outcome is known by now: up to where one must have read, if this node still led.
    pub fn take_reads(&mut self) -> Vec<(ReadId, Option<u64>)> {
        std::mem::take(&mut self.reads_ready)
    }

    /// Up to where the log is committed and durable here: it may be applied. Nothing may while a
    /// snapshot takes the place of what was applied.
    #[must_use]
    pub fn applicable(&self) -> u64 {
        if self.installing {
            return 0;
        }
        self.committed.min(self.durable)
    }

    /// Up to where the log is known to be committed.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The log's shape.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Up to where the log is durable here.
    #[must_use]
    pub fn durable_upto(&self) -> u64 {
        self.durable
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &L {
        &self.log
    }

    /// This node's term and vote.
    #[must_use]
    pub fn vote(&self) -> Vote {
        self.vote
    }

    /// Who leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        self.leader
    }

    /// Whether this node leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// When this node knew last up to where the log is committed, and up to where that was: its own
    /// word now if it leads, else its leader's.
    #[must_use]
    pub fn commit_heard(&self) -> (u64, u64) {
        if self.leads() {
            (self.now, self.committed)
        } else {
            (self.heard_at, self.commit_heard)
        }
    }

    /// Who is in the group.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        static NOBODY: Membership = Membership {
            voters: std::collections::BTreeMap::new(),
            learners: std::collections::BTreeMap::new(),
        };
        self.memberships
            .last()
            .map_or(&NOBODY, |(_, membership)| membership)
    }

    /// The entry that says who is in the group; none if nobody knows.
    #[must_use]
    pub fn membership_at(&self) -> Option<u64> {
        self.memberships.last().map(|(index, _)| *index)
    }

    /// Whether this node is the only one that votes.
    pub(crate) fn is_alone(&self) -> bool {
        let membership = self.membership();
        membership.voters.len() == 1 && membership.votes(self.options.node)
    }

    pub(crate) fn send(&mut self, to: u64, term: u64, body: Body) {
        self.outbox.push((to, Message { term, body }));
    }

    /// Keeps entries, the next ones; hears when the last of them is durable.
    pub(crate) fn write(&mut self, entries: Vec<Entry>) {
        let count = entries.len();
        for (nth, entry) in entries.into_iter().enumerate() {
            self.terms.push(entry.term);
            let at = self.terms.last();
            if let Payload::Membership(membership) = &entry.payload {
                self.memberships.push((at.index, membership.clone()));
            }
            let tell = nth + 1 == count;
            if tell {
                self.unsaved.push_back((at, true));
            }
            self.log.append(at, entry, tell);
        }
    }

    /// What is on its way to the disk from `from` on does not count any more.
    pub(crate) fn forget_unsaved(&mut self, from: u64) {
        for (mark, counts) in &mut self.unsaved {
            *counts &= mark.index < from;
        }
    }

    /// Goes back to following, in `term`.
    pub(crate) fn follow(&mut self, term: u64, leader: Option<u64>) {
        if term > self.vote.term {
            self.vote = Vote {
                term,
                given_to: None,
            };
            self.after_vote = None;
            self.log.save_vote(self.vote);
        }
        if let Role::Leader(leading) = &mut self.role {
            let failed = leading.fail_reads();
            self.reads_ready.extend(failed);
        }
        self.role = Role::Follower;
        self.leader = leader;
        self.verified = self.committed;
        self.round_heard = 0;
        self.be_patient();
    }

    /// Waits for a leader from now on, for a drawn while.
    pub(crate) fn be_patient(&mut self) {
        // xorshift64*: how long matters to nobody, only that two nodes differ.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let drawn = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        let spread = (self.options.election / 2).max(1);
        self.deadline = self.now + self.options.election + drawn % spread;
    }
}
