//! Checkpoints, purges, and snapshots on their way from a leader's checkpoint to who is far behind.
//!
//! ```text
//! wanted ─► checkpoint travels ─► begin_install ─► rows in place ─► jump durable ─► installed
//!    └──────────── outcome: up to there, or not; not after a while at the latest ────────┘
//! ```

use consign_raft::{Mark, Raft};

use crate::disk::{Snapshot, Write};
use crate::event::Event;
use crate::world::{MS, World};

/// After how long nobody waits for a snapshot's outcome, ms.
const OUTCOME_MAX: u64 = 4_000;

impl World {
    /// A node keeps what it has applied, and lets go of some of its log.
    pub fn keep(&mut self, id: u64) {
        let every = self.profile.keep_every;
        let after = self.random.between(every / 4, every);
        self.later(after * MS, id, Event::Keeps);
        let (checkpoints, purges) = (self.random.chance(800), self.random.chance(600));
        let node = self.node(id);
        let disk = node.disk.clone();
        if checkpoints && node.installing.is_none() {
            disk.change().checkpoint = node.applied.clone();
        }
        let (from, to) = {
            let state = disk.look();
            (state.memory.purged.index, state.checkpoint.mark.index)
        };
        if !purges || to <= from {
            return;
        }
        let index = self.random.between(from + 1, to);
        let Some(term) = disk.look().memory.term_at(index) else {
            return;
        };
        self.say(|| format!("{id} purges up to {index}"));
        self.count("purges", 1);
        self.act(id, |raft, _| {
            raft.purge(index);
            disk.write(Write::Purge(Mark { term, index }));
        });
    }

    /// Sends what is wanted: what was checkpointed last.
    pub fn send_snapshots(&mut self, id: u64) {
        let node = self.node(id);
        let Some(raft) = &mut node.raft else { return };
        let (term, wanted) = (raft.vote().term, raft.take_snapshots_wanted());
        for to in wanted {
            let snapshot = self.node(id).disk.look().checkpoint.clone();
            self.tickets += 1;
            let ticket = self.tickets;
            self.node(id).sending.insert(ticket);
            self.say(|| format!("{id} sends {to} a snapshot {:?}", snapshot.mark));
            let never = Event::SnapshotOutcome {
                to,
                upto: None,
                ticket,
            };
            self.later(OUTCOME_MAX * MS, id, never);
            let is_chaos = self.calm_since.is_none();
            if snapshot.mark.index == 0 || is_chaos && self.random.chance(100) {
                continue;
            }
            self.count("snapshots sent", 1);
            // Now and then it comes when nobody waits for it any more.
            let most = if is_chaos && self.random.chance(200) {
                8_000
            } else {
                300
            };
            let after = self.random.between(5, most);
            let arrives = Event::SnapshotArrives {
                from: id,
                term,
                snapshot,
                ticket,
            };
            self.later_in_any_life(after * MS, to, arrives);
        }
    }

    pub fn snapshot_arrives(
        &mut self,
        id: u64,
        (from, term, ticket): (u64, u64, u64),
        snapshot: Snapshot,
    ) {
        let mark = snapshot.mark;
        let mut wanted = false;
        self.act(id, |raft, _| wanted = raft.begin_install(from, term, mark));
        self.say(|| format!("a snapshot {mark:?} arrives at {id}, wanted: {wanted}"));
        if !wanted {
            let has = |raft: &Raft<_>| {
                raft.committed() >= mark.index || raft.terms().at(mark.index) == Some(mark.term)
            };
            let has = self.node(id).raft.as_ref().is_some_and(has);
            return self.report_snapshot(id, (from, ticket), has.then_some(mark.index));
        }
        self.node(id).installing = Some((from, ticket));
        let most = if self.random.chance(200) { 2_500 } else { 200 };
        let after = self.random.between(1, most);
        self.later(after * MS, id, Event::SnapshotPlaced(snapshot));
    }

    pub fn snapshot_placed(&mut self, id: u64, snapshot: Snapshot) {
        if self.random.chance(100)
            && let Some(to) = self.node(id).installing.take()
        {
            self.count("snapshots failed", 1);
            self.act(id, |raft, _| raft.not_installed());
            return self.report_snapshot(id, to, None);
        }
        self.act(id, |raft, _| {
            let disk = raft.log().clone();
            disk.write(Write::Jump(snapshot));
        });
    }

    /// A snapshot is in place, durably.
    pub fn snapshot_installed(&mut self, id: u64, snapshot: Snapshot) {
        let Some(to) = self.node(id).installing.take() else {
            return;
        };
        self.count("snapshots installed", 1);
        let (mark, digest) = (snapshot.mark, snapshot.digest);
        let is_chosen = self.laws.digest_at(mark.index) == Some(digest);
        self.laws.check("applied", is_chosen, || {
            format!("node {id} has a snapshot of something else: {mark:?}")
        });
        let membership = snapshot.membership.clone();
        let node = self.node(id);
        node.committed_seen = node.committed_seen.max(mark.index);
        node.applied = snapshot;
        self.act(id, |raft, _| raft.installed(mark, membership));
        self.report_snapshot(id, to, Some(mark.index));
    }

    /// The sender hears of it, if nothing is in between.
    fn report_snapshot(&mut self, id: u64, (to, ticket): (u64, u64), upto: Option<u64>) {
        let now = self.now;
        if self
            .cut_off
            .get(&(id, to))
            .is_some_and(|until| *until > now)
        {
            return;
        }
        let after = self.random.between(1, 20);
        let outcome = Event::SnapshotOutcome {
            to: id,
            upto,
            ticket,
        };
        self.later(after * MS, to, outcome);
    }

    pub fn snapshot_outcome(&mut self, id: u64, to: u64, upto: Option<u64>, ticket: u64) {
        if self.node(id).sending.remove(&ticket) {
            self.act(id, |raft, _| raft.snapshot_sent(to, upto));
        }
    }
}
