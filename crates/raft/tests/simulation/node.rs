//! A simulated node: a Raft, its disk, its clock, and what its driver keeps beside.

use std::collections::{BTreeMap, BTreeSet};

use consign_raft::{Mark, Raft, RaftOptions};

use crate::disk::{Disk, Snapshot};
use crate::event::Event;
use crate::random::Random;

/// Heartbeat, patience, and how long a leader goes on without a quorum, ms.
const HEARTBEAT: u64 = 150;
const ELECTION: u64 = 500;
const QUORUM: u64 = 1_500;

pub struct Node {
    pub id: u64,
    pub disk: Disk,
    /// None while it is down.
    pub raft: Option<Raft<Disk>>,
    /// Counts its starts: what was meant for an earlier life is lost.
    pub life: u64,
    /// Its milliseconds, in thousandths.
    rate: u64,
    born_us: u64,
    /// Stands still until then, and what is for it waits.
    pub paused_until: u64,
    pub backlog: Vec<Event>,
    pub applied: Snapshot,
    /// The last term in which it led.
    pub led_term: u64,
    /// What it has proposed, by place.
    pub own: Vec<(Mark, u64)>,
    /// Reads that wait, and where they must be at least.
    pub reads: BTreeMap<u64, u64>,
    pub committed_seen: u64,
    pub term_seen: u64,
    pub flushing: bool,
    /// When the last thing of its disk is told.
    pub told_at: u64,
    pub slow_until: u64,
    /// Crashes as soon as something is on its way to its disk.
    pub doomed: bool,
    /// Snapshots on their way from here.
    pub sending: BTreeSet<u64>,
    /// Who hears of the snapshot that is being put into place.
    pub installing: Option<(u64, u64)>,
}

impl Node {
    pub fn new(id: u64, rate: u64, disk: Disk) -> Node {
        Node {
            id,
            disk,
            raft: None,
            life: 0,
            rate,
            born_us: 0,
            paused_until: 0,
            backlog: Vec::new(),
            applied: Snapshot::default(),
            led_term: 0,
            own: Vec::new(),
            reads: BTreeMap::new(),
            committed_seen: 0,
            term_seen: 0,
            flushing: false,
            told_at: 0,
            slow_until: 0,
            doomed: false,
            sending: BTreeSet::new(),
            installing: None,
        }
    }

    /// Begins to live, with what its disk holds.
    pub fn start(&mut self, now_us: u64, random: &mut Random) {
        let options = RaftOptions {
            node: self.id,
            heartbeat: HEARTBEAT,
            election: ELECTION,
            quorum: QUORUM,
            seed: random.next(),
        };
        self.life += 1;
        self.born_us = now_us;
        let restored = self.disk.restored();
        self.applied = self.disk.look().checkpoint.clone();
        self.committed_seen = restored.committed.min(self.applied.mark.index);
        self.term_seen = restored.vote.term;
        self.raft = Some(Raft::new(options, self.disk.clone(), restored, 0));
    }

    /// Loses all that is not durable; gives how many writes those are.
    pub fn crash(&mut self, survives: usize) -> usize {
        self.raft = None;
        self.life += 1;
        self.paused_until = 0;
        self.backlog.clear();
        self.led_term = 0;
        self.own.clear();
        self.reads.clear();
        self.flushing = false;
        self.doomed = false;
        self.sending.clear();
        self.installing = None;
        self.disk.crash(survives)
    }

    /// What its clock says.
    pub fn clock_ms(&self, now_us: u64) -> u64 {
        (now_us - self.born_us) * self.rate / 1_000_000
    }

    pub fn leads(&self) -> bool {
        self.raft.as_ref().is_some_and(Raft::leads)
    }
}
