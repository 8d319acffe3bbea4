//! A node's disk: what Raft wants kept becomes durable later, in order; a crash loses the rest.
//!
//! ```text
//! Log calls ─► memory at once; queue ──flushed, a prefix at a time──► durable ─► told, later still
//! ```
//! In: writes. Out: entries as they are in memory; after a crash, what a prefix of the queue left.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use consign_raft::{Entry, Log, Mark, Membership, Payload, Restored, Terms, Vote};

use crate::profile::Lie;
use crate::random::digest;

/// What a state machine holds that has applied everything up to `mark`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub mark: Mark,
    pub membership: Membership,
    /// Of all entries up to there.
    pub digest: u64,
}

/// A change of what is kept.
#[derive(Clone, Debug)]
pub enum Write {
    Append {
        at: Mark,
        entry: Entry,
        tell: bool,
    },
    Cut(u64),
    Vote(Vote),
    Purge(Mark),
    /// A snapshot stands in place of the log.
    Jump(Snapshot),
}

/// What the driver tells Raft once it is durable.
#[derive(Clone, Debug)]
pub enum Tell {
    Durable(Mark),
    Vote(Vote),
    Jumped(Snapshot),
}

/// What a disk holds, or will.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub purged: Mark,
    pub entries: VecDeque<Entry>,
    pub vote: Vote,
}

impl Image {
    pub fn last(&self) -> u64 {
        self.purged.index + self.entries.len() as u64
    }

    pub fn entry(&self, index: u64) -> Option<&Entry> {
        let nth = index.checked_sub(self.purged.index + 1)?;
        self.entries.get(usize::try_from(nth).ok()?)
    }

    /// The term of an entry that is there, or is the last that is gone.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.purged.index {
            return Some(self.purged.term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    fn keep_before(&mut self, from: u64) {
        let kept = from.saturating_sub(self.purged.index + 1);
        self.entries
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    fn take(&mut self, write: &Write) {
        match write {
            Write::Append { at, entry, .. } => {
                // A disk that has lied may hold another entry there.
                self.keep_before(at.index);
                self.entries.push_back(entry.clone());
            }
            Write::Cut(from) => self.keep_before(*from),
            Write::Vote(vote) => self.vote = *vote,
            Write::Purge(mark) => {
                while self.purged.index < mark.index && self.entries.pop_front().is_some() {
                    self.purged.index += 1;
                }
                self.purged = *mark;
            }
            Write::Jump(snapshot) => {
                self.purged = snapshot.mark;
                self.entries.clear();
            }
        }
    }
}

/// All of a disk.
#[derive(Debug, Default)]
pub struct State {
    pub memory: Image,
    pub durable: Image,
    pub queue: VecDeque<Write>,
    /// What the state machine's store holds, durably.
    pub checkpoint: Snapshot,
    /// Appended since this was looked at last: place, term before, key.
    pub appended: Vec<(Mark, u64, u64)>,
    /// Entries of one read at most.
    pub read_max: usize,
    /// What is told of writes that are not durable, by a disk or driver that lies.
    pub told_early: Vec<Tell>,
    pub lie: Option<Lie>,
}

/// A handle of a disk: its node's Raft has another.
#[derive(Clone, Debug, Default)]
pub struct Disk(Rc<RefCell<State>>);

impl Disk {
    pub fn look(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub fn change(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    pub fn write(&self, mut write: Write) {
        let mut state = self.change();
        state.memory.take(&write);
        match (state.lie, &mut write) {
            (Some(Lie::DurableEarly), Write::Append { at, tell, .. }) if *tell => {
                *tell = false;
                state.told_early.push(Tell::Durable(*at));
            }
            (Some(Lie::VotesEarly), Write::Vote(vote)) => {
                state.told_early.push(Tell::Vote(*vote));
            }
            (Some(Lie::InstalledEarly), Write::Jump(snapshot)) => {
                state.told_early.push(Tell::Jumped(snapshot.clone()));
            }
            _ => {}
        }
        state.queue.push_back(write);
    }

    /// Makes the first `count` writes durable; gives what is to be told of them.
    pub fn flush(&self, count: usize) -> Vec<Tell> {
        let mut state = self.change();
        let mut tells = Vec::new();
        for _ in 0..count {
            let Some(write) = state.queue.pop_front() else {
                break;
            };
            let is_vote = matches!(write, Write::Vote(_));
            if !(is_vote && state.lie == Some(Lie::VotesForgotten)) {
                state.durable.take(&write);
            }
            if let Write::Jump(snapshot) = &write {
                state.checkpoint = snapshot.clone();
            }
            tells.extend(Tell::of(&write));
        }
        tells
    }

    /// The power fails: of what was not durable, the first `survives` writes turn out to be.
    pub fn crash(&self, survives: usize) -> usize {
        self.flush(survives);
        let mut state = self.change();
        let lost = state.queue.len();
        state.queue.clear();
        state.told_early.clear();
        state.memory = state.durable.clone();
        lost
    }

    /// What a node begins its next life with.
    pub fn restored(&self) -> Restored {
        let state = self.look();
        let mut terms = Terms::after(state.durable.purged);
        let checkpoint = &state.checkpoint;
        let mut memberships = Vec::new();
        if !checkpoint.membership.voters.is_empty() {
            memberships.push((checkpoint.mark.index, checkpoint.membership.clone()));
        }
        for (index, entry) in (state.durable.purged.index + 1..).zip(&state.durable.entries) {
            terms.push(entry.term);
            match &entry.payload {
                Payload::Membership(membership) if index > checkpoint.mark.index => {
                    memberships.push((index, membership.clone()));
                }
                Payload::Membership(_) | Payload::Blank | Payload::Data(_) => {}
            }
        }
        let vote = state.durable.vote;
        let committed = match state.lie {
            Some(Lie::AllIsCommitted) => state.durable.last(),
            _ => checkpoint.mark.index,
        };
        Restored {
            vote,
            terms,
            memberships,
            committed,
        }
    }
}

impl Tell {
    fn of(write: &Write) -> Option<Tell> {
        match write {
            Write::Append { at, tell: true, .. } => Some(Tell::Durable(*at)),
            Write::Vote(vote) => Some(Tell::Vote(*vote)),
            Write::Jump(snapshot) => Some(Tell::Jumped(snapshot.clone())),
            Write::Append { .. } | Write::Cut(_) | Write::Purge(_) => None,
        }
    }
}

impl Log for Disk {
    fn append(&mut self, at: Mark, entry: Entry, tell: bool) {
        {
            let mut state = self.change();
            assert_eq!(at.index, state.memory.last() + 1, "entries have no gap");
            let before = state.memory.term_at(at.index - 1).unwrap_or_default();
            let key = key_of(&entry.payload);
            state.appended.push((at, before, key));
        }
        self.write(Write::Append { at, entry, tell });
    }

    fn cut(&mut self, from: u64) {
        self.write(Write::Cut(from));
    }

    fn read(&self, from: u64, _bytes_max: u64) -> Vec<Entry> {
        let state = self.look();
        let all = (from..).map_while(|index| state.memory.entry(index).cloned());
        all.take(state.read_max).collect()
    }

    fn save_vote(&mut self, vote: Vote) {
        self.write(Write::Vote(vote));
    }
}

/// What stands for a payload.
pub fn key_of(payload: &Payload) -> u64 {
    match payload {
        Payload::Blank => 1,
        Payload::Data(bytes) => {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[..8]);
            u64::from_le_bytes(number)
        }
        Payload::Membership(membership) => {
            let voters = membership.voters.keys().map(|node| *node + 100);
            let all: Vec<u64> = voters.chain(membership.learners.keys().copied()).collect();
            digest(2, &all)
        }
    }
}
