//! Who uses a group: clients propose and read, an operator changes the group and moves the lead.

use bytes::Bytes;
use consign_raft::{Membership, Payload, Raft, ReadId};

use crate::event::Event;
use crate::profile::Lie;
use crate::world::{MS, NODES, World};

/// Entries that a learner may lack and still be given a vote.
const KEEPS_UP: u64 = 3;
const VOTERS_MAX: usize = 5;

impl World {
    /// A client asks one of those who believe to lead.
    pub fn client_asks(&mut self) {
        let is_calm = self.calm_since.is_some();
        let every = if is_calm {
            300
        } else {
            self.profile.client_every
        };
        let after = self.random.between(1, every);
        self.later(after * MS, 0, Event::Asks);
        if is_calm && self.fresh {
            return;
        }
        let Some(id) = self.some_leader() else { return };
        if is_calm || self.random.chance(650) {
            let burst = if self.random.chance(100) { 15 } else { 1 };
            (0..burst).for_each(|_| self.propose(id));
        } else {
            self.read(id);
        }
    }

    /// Who leads, or believes so; a node that stands still does nothing.
    pub fn some_leader(&mut self) -> Option<u64> {
        let now = self.now;
        let leads = self
            .nodes
            .iter()
            .filter(|node| node.leads() && node.paused_until <= now);
        let leaders: Vec<u64> = leads.map(|node| node.id).collect();
        self.random.pick(&leaders)
    }

    fn propose(&mut self, id: u64) {
        self.keys += 1;
        let key = self.keys;
        let payload = Payload::Data(Bytes::copy_from_slice(&key.to_le_bytes()));
        let mut proposed = None;
        self.act(id, |raft, _| proposed = raft.propose(payload).ok());
        let Some(at) = proposed else { return };
        self.say(|| format!("{id} is proposed {key} at {at:?}"));
        self.count("proposed", 1);
        self.node(id).own.push((at, key));
        if self.lies(Lie::AcksAppended) {
            self.laws.acknowledge(at.index, key);
        }
        // One that is alone may have committed it already.
        self.settle(id);
    }

    fn read(&mut self, id: u64) {
        let floor = self.laws.committed();
        self.tickets += 1;
        let read = self.tickets;
        if self.lies(Lie::ReadsAtOnce) {
            let committed = self.node(id).raft.as_ref().map(Raft::committed);
            return self.look_at_read(id, floor, committed.unwrap_or_default());
        }
        if self.lies(Lie::ReadsJoin)
            && let Some(joined) = self.node(id).reads.values_mut().next()
        {
            *joined = floor;
            return;
        }
        self.node(id).reads.insert(read, floor);
        self.act(id, |raft, _| raft.read(ReadId(read)));
    }

    /// One change of the group: a node listens, gets a vote, or is out.
    pub fn operator_changes(&mut self) {
        let Some(every) = self
            .profile
            .change_every
            .filter(|_| self.calm_since.is_none())
        else {
            return;
        };
        let after = self.random.between(every / 4, every);
        self.later(after * MS, 0, Event::Changes);
        let Some(id) = self.some_leader() else { return };
        let Some(next) = self.next_membership(id) else {
            return;
        };
        let said = format!("{next:?}");
        let mut changed = None;
        self.act(id, |raft, _| changed = raft.change(next).ok());
        if let Some(at) = changed {
            self.say(|| format!("{id} changes the group at {at:?}: {said}"));
            self.count("changes", 1);
        }
    }

    fn next_membership(&mut self, leader: u64) -> Option<Membership> {
        let mut random = self.random.clone();
        let raft = self.node(leader).raft.as_ref()?;
        let mut next = raft.membership().clone();
        let last = raft.terms().last().index;
        let learners: Vec<u64> = next.learners.keys().copied().collect();
        let voters: Vec<u64> = next.voters.keys().copied().collect();
        let is_out = |id: &u64| !voters.contains(id) && !learners.contains(id);
        let others: Vec<u64> = (1..=NODES).filter(is_out).collect();
        let keeps_up = |id: u64| raft.has(id).is_some_and(|has| has + KEEPS_UP >= last);
        match (random.pick(&learners), random.below(10)) {
            (Some(learner), 0) => {
                next.learners.remove(&learner);
            }
            (Some(learner), _) if voters.len() < VOTERS_MAX => {
                // Now and then one that has nothing yet.
                if !keeps_up(learner) && !random.chance(50) {
                    return None;
                }
                next.learners.remove(&learner);
                next.voters.insert(learner, String::new());
            }
            (_, 0..5) if voters.len() > 1 => {
                next.voters.remove(&random.pick(&voters)?);
            }
            _ => {
                next.learners.insert(random.pick(&others)?, String::new());
            }
        }
        self.random = random;
        Some(next)
    }

    /// The lead moves to another voter.
    pub fn operator_hands_over(&mut self) {
        let Some(every) = self
            .profile
            .hand_over_every
            .filter(|_| self.calm_since.is_none())
        else {
            return;
        };
        let after = self.random.between(every / 4, every);
        self.later(after * MS, 0, Event::HandsOver);
        let Some(id) = self.some_leader() else { return };
        let to = self.random.between(1, NODES);
        let mut handed = false;
        self.act(id, |raft, _| handed = raft.hand_over(to).is_ok());
        if handed {
            self.say(|| format!("{id} hands over to {to}"));
            self.count("hand-overs", 1);
        }
    }
}
