//! How a leader gives its log to the others, and knows that it still leads.
//!
//! Holds: an entry of this term is committed once most voters have it durably, and all before it with
//! it; a read's place is confirmed by most voters after the read was asked for.

use std::collections::BTreeMap;

use crate::membership::Membership;
use crate::message::{Body, Entry, Payload};
use crate::peer::{Flow, Peer};
use crate::raft::{Log, Raft, Role};
use crate::terms::Mark;

/// Bytes of entries in a message, over which none joins them.
const SENT_BYTES_MAX: u64 = 1 << 20;

/// Names a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadId(pub u64);

/// Why nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// This node does not lead, or is giving the lead away.
    NotLeader,
    /// An earlier change of the group is not committed yet.
    ChangeUnderWay,
    /// More than one voter would change at once.
    TooMuchAtOnce,
}

/// What a leader keeps.
#[derive(Debug, Default)]
pub(crate) struct Leading {
    peers: BTreeMap<u64, Peer>,
    /// Counts questions whether it still leads.
    round: u64,
    reads: Vec<Read>,
    next_heartbeat: u64,
    /// To whom the lead is being given, and until when that may take.
    giving_to: Option<(u64, u64)>,
}

/// A read that waits for most voters' word.
#[derive(Debug)]
struct Read {
    id: ReadId,
    index: u64,
    round: u64,
}

impl Leading {
    /// Takes all reads off: they have no answer.
    pub(crate) fn fail_reads(&mut self) -> Vec<(ReadId, Option<u64>)> {
        self.reads.drain(..).map(|read| (read.id, None)).collect()
    }
}

impl<L: Log> Raft<L> {
    /// Has been elected.
    pub(crate) fn begin_to_lead(&mut self) {
        self.leader = Some(self.options.node);
        self.role = Role::Leader(Leading {
            next_heartbeat: self.now + self.options.heartbeat,
            ..Leading::default()
        });
        self.meet_peers();
        // The caller decides what comes first; others hear of it at once either way.
        self.heartbeat();
    }

    /// Makes `peers` those who are in the group.
    fn meet_peers(&mut self) {
        let (now, last, me) = (self.now, self.terms.last().index, self.options.node);
        let nodes: Vec<u64> = self.membership().nodes().map(|(node, _)| node).collect();
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        leading.peers.retain(|node, _| nodes.contains(node));
        for node in nodes.into_iter().filter(|node| *node != me) {
            let peer = leading.peers.entry(node);
            peer.or_insert_with(|| Peer::new(last, now));
        }
    }

    /// Whether most voters were heard at `since` or later.
    pub(crate) fn has_quorum_since(&self, leading: &Leading, since: u64) -> bool {
        let heard = |node: &u64| {
            *node == self.options.node
                || leading
                    .peers
                    .get(node)
                    .is_some_and(|peer| peer.heard_at >= since)
        };
        let membership = self.membership();
        membership.is_quorum(membership.voters.keys().filter(|node| heard(node)).count())
    }

    pub(crate) fn tick_leader(&mut self) {
        let now = self.now;
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let since = now.saturating_sub(self.options.quorum);
        if !self.has_quorum_since(leading, since) {
            return self.follow(self.vote.term, None);
        }
        let beats = now >= leading.next_heartbeat;
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if leading.giving_to.is_some_and(|(_, until)| now >= until) {
            leading.giving_to = None;
        }
        if beats {
            leading.next_heartbeat = now + self.options.heartbeat;
            leading.peers.values_mut().for_each(Peer::ask_again);
            return self.heartbeat();
        }
        // Nothing came that would have told them.
        let untold: Vec<u64> = leading
            .peers
            .iter()
            .filter(|(_, peer)| {
                matches!(peer.flow, Flow::Streaming(_)) && peer.commit_told < self.committed
            })
            .map(|(node, _)| *node)
            .collect();
        for node in untold {
            self.say_alive(node);
        }
    }

    /// Tells everybody that it leads.
    fn heartbeat(&mut self) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let nodes: Vec<u64> = leading.peers.keys().copied().collect();
        for node in nodes {
            self.say_alive(node);
        }
    }

    fn say_alive(&mut self, node: u64) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let Some(peer) = leading.peers.get_mut(&node) else {
            return;
        };
        let prev = match &peer.flow {
            Flow::Snapshot => 0,
            Flow::Probing { .. } | Flow::Streaming(_) => peer.next - 1,
        };
        peer.commit_told = self.committed;
        let round = leading.round;
        // Before the log's beginning nothing can be said; the first entry of all has nothing before it.
        let prev = match self.terms.at(prev) {
            Some(term) => Mark { term, index: prev },
            None => Mark::default(),
        };
        let body = Body::Append {
            prev,
            commit: self.committed,
            round,
            entries: Vec::new(),
        };
        self.send(node, self.vote.term, body);
        self.send_entries(node);
    }

    /// Sends a peer what it lacks, as far as it takes it.
    fn send_entries(&mut self, node: u64) {
        loop {
            let last = self.terms.last().index;
            let Role::Leader(leading) = &mut self.role else {
                return;
            };
            let round = leading.round;
            let Some(peer) = leading.peers.get_mut(&node) else {
                return;
            };
            if peer.next > last {
                return;
            }
            let before = peer.next - 1;
            let Some(term) = self.terms.at(before) else {
                // Who is away would not take it.
                let is_there = peer.heard_at + self.options.election > self.now;
                if is_there && peer.flow != Flow::Snapshot {
                    peer.flow = Flow::Snapshot;
                    self.snapshots_wanted.push(node);
                }
                return;
            };
            if !peer.takes_more() {
                return;
            }
            let entries = self.log.read(peer.next, SENT_BYTES_MAX);
            if entries.is_empty() {
                return;
            }
            peer.sent(before + entries.len() as u64);
            peer.commit_told = self.committed;
            let body = Body::Append {
                prev: Mark {
                    term,
                    index: before,
                },
                commit: self.committed,
                round,
                entries,
            };
            self.send(node, self.vote.term, body);
        }
    }

    /// Appends an entry, if this node leads; gives its place.
    ///
    /// # Errors
    /// Why it does not.
    pub fn propose(&mut self, payload: Payload) -> Result<Mark, ProposeError> {
        let Role::Leader(leading) = &self.role else {
            return Err(ProposeError::NotLeader);
        };
        if leading.giving_to.is_some() {
            return Err(ProposeError::NotLeader);
        }
        let changes = matches!(payload, Payload::Membership(_));
        if let Payload::Membership(next) = &payload {
            let is_own = self.terms.at(self.committed) == Some(self.vote.term);
            let changed_at = self.memberships.last().map_or(0, |(index, _)| *index);
            if !is_own || changed_at > self.committed {
                return Err(ProposeError::ChangeUnderWay);
            }
            if !self.membership().overlaps(next) {
                return Err(ProposeError::TooMuchAtOnce);
            }
        }
        self.write(vec![Entry {
            term: self.vote.term,
            payload,
        }]);
        if changes {
            self.meet_peers();
        }
        self.send_to_all();
        Ok(self.terms.last())
    }

    fn send_to_all(&mut self) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let nodes: Vec<u64> = leading.peers.keys().copied().collect();
        for node in nodes {
            self.send_entries(node);
        }
    }

    /// Commits what most voters have durably.
    pub(crate) fn commit(&mut self) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let has = |node: &u64| match leading.peers.get(node) {
            _ if *node == self.options.node => self.durable,
            Some(peer) => peer.has,
            None => 0,
        };
        let membership = self.membership();
        let mut all: Vec<u64> = membership.voters.keys().map(has).collect();
        all.sort_unstable();
        // So many have it or more: a majority.
        let Some(most) = all.get(all.len().saturating_sub(1) / 2).copied() else {
            return;
        };
        if most <= self.committed || self.terms.at(most) != Some(self.vote.term) {
            return;
        }
        self.committed = most;
        let (changed_at, membership) = match self.memberships.last() {
            Some((index, membership)) => (*index, membership),
            None => return,
        };
        // It took itself out, and now that is so.
        if changed_at <= most && !membership.votes(self.options.node) {
            self.heartbeat();
            self.follow(self.vote.term, None);
        }
    }

    pub(crate) fn peer_has(&mut self, from: u64, index: u64, round: u64) {
        let (now, last) = (self.now, self.terms.last().index);
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let Some(peer) = leading.peers.get_mut(&from) else {
            return;
        };
        peer.heard_at = now;
        peer.round = peer.round.max(round);
        let before = peer.has;
        peer.has_upto(index);
        let (news, has_all) = (peer.has > before, peer.has == last);
        if news {
            self.commit();
        }
        self.settle_reads();
        if has_all {
            self.give_lead_to(from);
        }
        self.send_entries(from);
    }

    pub(crate) fn peer_lacks(&mut self, from: u64, prev: u64, hint: u64, round: u64) {
        let now = self.now;
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let Some(peer) = leading.peers.get_mut(&from) else {
            return;
        };
        peer.heard_at = now;
        peer.round = peer.round.max(round);
        if peer.lacks(prev, hint) {
            self.send_entries(from);
        }
        self.settle_reads();
    }

    /// A snapshot has been sent to a peer: it has everything up to there, or does not if that failed.
    pub fn snapshot_sent(&mut self, to: u64, upto: Option<u64>) {
        let last = self.terms.last().index;
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if let Some(peer) = leading.peers.get_mut(&to)
            && peer.flow == Flow::Snapshot
        {
            // What is durable there it says itself.
            peer.flow = Flow::Probing { asked: false };
            peer.next = upto.unwrap_or(0).min(last).max(peer.has) + 1;
        }
        self.send_entries(to);
    }

    /// Asks up to where one must have read so that nothing acknowledged by now is missed;
    /// [`Raft::take_reads`] has the answer once most voters have said that this node still leads.
    pub fn read(&mut self, id: ReadId) {
        let index = self.committed;
        // Until an entry of its own is committed, a leader does not know what is.
        let knows = self.terms.at(index) == Some(self.vote.term);
        let Role::Leader(leading) = &mut self.role else {
            return self.reads_ready.push((id, None));
        };
        if !knows {
            return self.reads_ready.push((id, None));
        }
        leading.round += 1;
        let round = leading.round;
        leading.reads.push(Read { id, index, round });
        self.heartbeat();
        self.settle_reads();
    }

    /// Answers reads whose round most voters have confirmed.
    fn settle_reads(&mut self) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        if leading.reads.is_empty() {
            return;
        }
        let confirmed = |node: &u64| match leading.peers.get(node) {
            _ if *node == self.options.node => leading.round,
            Some(peer) => peer.round,
            None => 0,
        };
        let voters = &self.membership().voters;
        let mut rounds: Vec<u64> = voters.keys().map(confirmed).collect();
        rounds.sort_unstable();
        let most = rounds.get(rounds.len().saturating_sub(1) / 2).copied();
        let most = most.unwrap_or_default();
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let is_settled = |read: &mut Read| read.round <= most;
        let settled = leading.reads.extract_if(.., is_settled);
        let settled = settled.map(|read| (read.id, Some(read.index)));
        self.reads_ready.extend(settled);
    }

    /// Gives the lead to another voter, once it has everything: nothing is proposed from here on, until
    /// it leads or its time is over.
    ///
    /// # Errors
    /// When this node does not lead, or the other is no other voter.
    pub fn hand_over(&mut self, to: u64) -> Result<(), ProposeError> {
        let last = self.terms.last().index;
        let until = self.now + self.options.election;
        let votes = to != self.options.node && self.membership().votes(to);
        let Role::Leader(leading) = &mut self.role else {
            return Err(ProposeError::NotLeader);
        };
        let peer = leading.peers.get(&to).filter(|_| votes);
        let has_all = peer.ok_or(ProposeError::NotLeader)?.has == last;
        leading.giving_to = Some((to, until));
        if has_all {
            self.give_lead_to(to);
        }
        Ok(())
    }

    fn give_lead_to(&mut self, node: u64) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        if leading.giving_to.is_some_and(|(to, _)| to == node) {
            self.send(node, self.vote.term, Body::TakeOver);
        }
    }

    /// Up to where a replica has the log durably, as far as this leader knows.
    #[must_use]
    pub fn has(&self, node: u64) -> Option<u64> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        leading.peers.get(&node).map(|peer| peer.has)
    }

    /// For how long a replica has not been heard, as far as this leader knows.
    #[must_use]
    pub fn silence_of(&self, node: u64) -> Option<u64> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        let peer = leading.peers.get(&node)?;
        Some(self.now.saturating_sub(peer.heard_at))
    }

    /// Who is in the group as the leader sees it: for changes of it.
    ///
    /// # Errors
    /// As [`Raft::propose`].
    pub fn change(&mut self, membership: Membership) -> Result<Mark, ProposeError> {
        self.propose(Payload::Membership(membership))
    }
}
