//! What a node's driver does after Raft was brought something, and what is checked of it.

use consign_raft::{Body, Mark, Message, Payload, Vote};

use crate::disk::{Image, Tell, key_of};
use crate::event::Event;
use crate::profile::Lie;
use crate::random::digest;
use crate::world::{MS, World};

impl World {
    /// Does what follows from what a node's Raft was brought.
    pub fn settle(&mut self, id: u64) {
        self.look_at_log(id);
        self.look_at_commits(id);
        self.mind_lead(id);
        self.send_messages(id);
        self.answer_reads(id);
        self.acknowledge(id);
        self.apply(id);
        self.begin_flush(id);
        self.send_snapshots(id);
    }

    fn look_at_log(&mut self, id: u64) {
        let disk = self.node(id).disk.clone();
        for (at, before, key) in std::mem::take(&mut disk.change().appended) {
            self.laws.appended(id, at, before, key);
        }
        let node = self.node(id);
        let Some(raft) = &node.raft else { return };
        let halted = raft.halted().map(str::to_owned);
        let (term, upto) = (raft.vote().term, raft.durable_upto());
        let at = raft.terms().at(upto);
        let state = disk.look();
        // Of a jump it hears a little later.
        let is_durable = node.installing.is_some()
            || upto <= state.durable.purged.index
            || state.durable.term_at(upto) == at;
        let laws = &mut self.laws;
        laws.check("not halted", halted.is_none(), || {
            format!("node {id} halts: {halted:?}")
        });
        laws.check_inside("promises", is_durable, || {
            format!("node {id} takes {upto} for durable")
        });
        let node = self.node(id);
        let before = std::mem::replace(&mut node.term_seen, term);
        self.laws.check("forward", before <= term, || {
            format!("node {id} went from term {before} to {term}")
        });
    }

    fn look_at_commits(&mut self, id: u64) {
        let node = self.node(id);
        let Some(raft) = &node.raft else { return };
        let (seen, committed, term) = (node.committed_seen, raft.committed(), raft.vote().term);
        node.committed_seen = committed;
        self.laws.check("forward", committed >= seen, || {
            format!("node {id} knew {seen} to be committed, now {committed}")
        });
        for index in seen + 1..=committed {
            let disk = self.node(id).disk.clone();
            let state = disk.look();
            let entry = state.memory.entry(index);
            let (at, key) = entry.map_or((Mark::default(), 0), |entry| {
                let term = entry.term;
                (Mark { term, index }, key_of(&entry.payload))
            });
            self.laws.check("one value", at.index > 0, || {
                format!("node {id} commits {index}, which it does not have")
            });
            if self.laws.broken.is_none() && self.laws.commits(id, at, key, term) {
                self.note(&[index, key]);
                self.count("committed", 1);
                self.look_at_quorum(id, at);
            }
        }
    }

    /// Most voters must have what is newly committed.
    fn look_at_quorum(&mut self, id: u64, at: Mark) {
        let Some(raft) = &self.node(id).raft else {
            return;
        };
        let membership = raft.membership().clone();
        let has = |id: &&u64| {
            let mut nodes = self.nodes.iter();
            let has = |image: &Image| image.purged.index >= at.index || is_at(image, at);
            nodes.any(|node| node.id == **id && has(&node.disk.look().durable))
        };
        let count = membership.voters.keys().filter(has).count();
        self.laws
            .check_inside("quorum", membership.is_quorum(count), || {
                format!("node {id} commits {at:?} and {count} of {membership:?} have it")
            });
    }

    /// A leader's first entry is nothing.
    fn mind_lead(&mut self, id: u64) {
        let node = self.node(id);
        let Some(raft) = &mut node.raft else { return };
        let term = raft.vote().term;
        if !raft.leads() || node.led_term == term {
            return;
        }
        node.led_term = term;
        let terms = raft.terms().clone();
        let proposed = raft.propose(Payload::Blank);
        self.say(|| format!("{id} leads in term {term}"));
        self.count("leaders", 1);
        self.laws.leads(id, term);
        self.laws.check("alive", proposed.is_ok(), || {
            format!("node {id} leads and proposes nothing: {proposed:?}")
        });
        for (index, chosen) in (1..).zip(self.laws.chosen.clone()) {
            let has = index < terms.purged().index || terms.at(index) == Some(chosen.term);
            self.laws
                .check("completeness", has || chosen.in_term >= term, || {
                    format!("node {id} leads in term {term} and lacks {index}: {chosen:?}")
                });
        }
        self.look_at_log(id);
    }

    fn send_messages(&mut self, id: u64) {
        let Some(raft) = &mut self.node(id).raft else {
            return;
        };
        let messages = raft.take_messages();
        let is_repeated = |pair: &&[(u64, Message)]| pair[0].1.says_the_same(&pair[1].1);
        for pair in messages.windows(2).filter(is_repeated) {
            self.laws
                .check("same", pair[0].1 == pair[1].1, || format!("{pair:?}"));
        }
        let raft = self.node(id).raft.as_ref();
        let is_out = raft.is_some_and(consign_raft::Raft::is_out);
        for (to, message) in messages {
            self.look_at_promise(id, to, &message);
            let campaigns = matches!(message.body, Body::MayI { .. } | Body::Elect { .. });
            self.laws.check("quiet", !(is_out && campaigns), || {
                format!("node {id} is out and sends {to} {message:?}")
            });
            let tells_out = matches!(message.body, Body::YouAreOut { .. });
            self.count("told that they are out", u64::from(tells_out));
            self.send(id, to, message);
        }
    }

    /// What a node says is durable there must be.
    fn look_at_promise(&mut self, id: u64, to: u64, message: &Message) {
        let disk = self.node(id).disk.clone();
        let state = disk.look();
        let (term, durable) = (message.term, &state.durable);
        let vote_is = |given_to| durable.vote == Vote { term, given_to };
        let keeps = match &message.body {
            Body::Voted { granted: true } => vote_is(Some(to)),
            Body::Elect { last, .. } => {
                vote_is(Some(id)) && (last.index < durable.purged.index || is_at(durable, *last))
            }
            Body::Has { index, .. } => {
                let at = state.memory.term_at(*index);
                let is_gone = *index < state.memory.purged.index;
                durable.vote.term >= term
                    && (*index <= durable.purged.index || is_gone || durable.term_at(*index) == at)
            }
            _ => true,
        };
        self.laws.check_inside("promises", keeps, || {
            format!("node {id} promises {to} {message:?} with {durable:?}")
        });
    }

    /// A message goes its way, or ways, or none.
    fn send(&mut self, from: u64, to: u64, message: Message) {
        let now = self.now;
        let profile = self.profile.clone();
        let is_chaos = self.calm_since.is_none();
        let cut_off = self
            .cut_off
            .get(&(from, to))
            .is_some_and(|until| *until > now);
        let lost = if now < self.lossy_until {
            300
        } else {
            profile.lost
        };
        if to == 0 || to > crate::world::NODES || cut_off || is_chaos && self.random.chance(lost) {
            return self.count("messages lost", 1);
        }
        let copies = 1 + u64::from(self.random.chance(profile.repeated));
        self.count("messages repeated", copies - 1);
        for _ in 0..copies {
            let is_late = is_chaos && self.random.chance(profile.late);
            self.count("messages late", u64::from(is_late));
            let after = match is_late {
                true => self.random.between(10 * MS, 2_000 * MS),
                false => self.random.between(300, profile.way_max * MS),
            };
            let message = message.clone();
            self.later_in_any_life(after, to, Event::Arrives { from, message });
        }
    }

    fn answer_reads(&mut self, id: u64) {
        let Some(raft) = &mut self.node(id).raft else {
            return;
        };
        for (read, index) in raft.take_reads() {
            let floor = self.node(id).reads.remove(&read.0);
            let (Some(floor), Some(index)) = (floor, index) else {
                continue;
            };
            self.look_at_read(id, floor, index);
        }
    }

    pub fn look_at_read(&mut self, id: u64, floor: u64, index: u64) {
        self.count("reads", 1);
        self.laws.check("reads", index >= floor, || {
            format!("node {id} reads at {index}, {floor} was committed before")
        });
    }

    /// Who proposed something hears that it is committed.
    fn acknowledge(&mut self, id: u64) {
        let node = self.node(id);
        let Some(raft) = &node.raft else { return };
        let committed = raft.committed();
        let is_due = |(at, _): &mut (Mark, u64)| at.index <= committed;
        let due: Vec<(Mark, u64)> = node.own.extract_if(.., is_due).collect();
        let is_ours = |(at, _): &(Mark, u64)| raft.terms().at(at.index) == Some(at.term);
        for (at, key) in due.into_iter().filter(is_ours).collect::<Vec<_>>() {
            self.count("acknowledged", 1);
            self.laws.acknowledge(at.index, key);
            self.fresh |= key >= self.fresh_from;
        }
    }

    fn apply(&mut self, id: u64) {
        let node = self.node(id);
        let Some(raft) = &node.raft else { return };
        let (upto, disk) = (raft.applicable(), node.disk.clone());
        let before = node.applied.mark.index;
        if upto <= before {
            return;
        }
        let state = disk.look();
        let mut applied = node.applied.clone();
        for index in before + 1..=upto {
            let Some(entry) = state.memory.entry(index) else {
                break;
            };
            let term = entry.term;
            applied.mark = Mark { term, index };
            applied.digest = digest(applied.digest, &[term, key_of(&entry.payload)]);
            if let Payload::Membership(membership) = &entry.payload {
                applied.membership = membership.clone();
            }
        }
        let is_whole = node.installing.is_none();
        node.applied = applied.clone();
        let is_chosen = self.laws.digest_at(upto) == Some(applied.digest);
        let laws = &mut self.laws;
        laws.check("applied", is_chosen && is_whole, || {
            format!("node {id} has applied {applied:?}, whole {is_whole}")
        });
        laws.check_inside("applied", is_at(&state.durable, applied.mark), || {
            format!("node {id} applies {applied:?} before it is durable")
        });
    }

    fn begin_flush(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        let (flushing, disk) = (node.flushing, node.disk.clone());
        let early = std::mem::take(&mut disk.change().told_early);
        if !early.is_empty() {
            self.later(100, id, Event::Told(early));
        }
        if flushing || disk.look().queue.is_empty() {
            return;
        }
        let node = self.node(id);
        node.flushing = true;
        let is_slow = node.slow_until > now;
        let most = if is_slow { 900 } else { self.profile.flush_max };
        let after = self.random.between(200, most * MS);
        self.later(after, id, Event::Flushed);
        if std::mem::take(&mut self.node(id).doomed) {
            let after = self.random.between(0, after);
            self.later(after, id, Event::Crashes);
        }
    }

    /// A disk has done some of its work; its node hears of it a little later, in order.
    pub fn flushed(&mut self, id: u64) {
        let now = self.now;
        let disk = self.node(id).disk.clone();
        let queued = disk.look().queue.len() as u64;
        // All that was there, mostly.
        let count = match self.random.chance(700) {
            true => queued,
            false => self.random.between(1, queued.max(1)),
        };
        let tells = disk.flush(usize::try_from(count).unwrap_or(usize::MAX));
        let vote = disk.look().durable.vote;
        self.laws.votes(id, vote);
        let after = self.random.between(10, 800);
        let node = self.node(id);
        node.flushing = false;
        node.told_at = node.told_at.max(now + after);
        let after = node.told_at - now;
        if !tells.is_empty() {
            self.later(after, id, Event::Told(tells));
        }
        self.begin_flush(id);
    }

    pub fn told(&mut self, id: u64, tells: Vec<Tell>) {
        for tell in tells {
            match tell {
                Tell::Durable(mark) => self.act(id, |raft, _| raft.durable(mark)),
                Tell::Vote(vote) => self.act(id, |raft, _| raft.vote_saved(vote)),
                Tell::Jumped(snapshot) => self.snapshot_installed(id, snapshot),
            }
        }
    }

    pub fn lies(&self, lie: Lie) -> bool {
        self.ask.lie == Some(lie)
    }
}

/// Whether an entry is there, or the last that is gone.
fn is_at(image: &Image, at: Mark) -> bool {
    image.term_at(at.index) == Some(at.term)
}
