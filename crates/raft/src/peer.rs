//! What a leader knows of another replica, and how it sends to it.

use std::collections::VecDeque;

/// Messages with entries that may be on their way to a replica.
const WINDOW: usize = 8;

/// How a replica gets entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Where its log and the leader's agree is being found out, a message at a time.
    Probing {
        /// A message is on its way.
        asked: bool,
    },
    /// It gets entries as they come; the last index of each message on its way.
    Streaming(VecDeque<u64>),
    /// It gets a snapshot: the log does not go back so far.
    Snapshot,
}

/// What a leader knows of another replica.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Up to where it has the leader's log durably.
    pub(crate) has: u64,
    /// What it gets next.
    pub(crate) next: u64,
    pub(crate) flow: Flow,
    /// When it was heard last, ms.
    pub(crate) heard_at: u64,
    /// The last round that it confirmed.
    pub(crate) round: u64,
    /// What it was told of commits.
    pub(crate) commit_told: u64,
}

impl Peer {
    pub(crate) fn new(last: u64, now: u64) -> Peer {
        Peer {
            has: 0,
            next: last + 1,
            flow: Flow::Probing { asked: false },
            heard_at: now,
            round: 0,
            commit_told: 0,
        }
    }

    /// Whether entries may be sent to it now.
    pub(crate) fn takes_more(&self) -> bool {
        match &self.flow {
            Flow::Probing { asked } => !asked,
            Flow::Streaming(on_their_way) => on_their_way.len() < WINDOW,
            Flow::Snapshot => false,
        }
    }

    /// What it was asked may be lost.
    pub(crate) fn ask_again(&mut self) {
        if let Flow::Probing { asked } = &mut self.flow {
            *asked = false;
        }
    }

    /// Entries up to `last` were sent to it.
    pub(crate) fn sent(&mut self, last: u64) {
        match &mut self.flow {
            Flow::Probing { asked } => *asked = true,
            Flow::Streaming(on_their_way) => {
                on_their_way.push_back(last);
                self.next = last + 1;
            }
            Flow::Snapshot => {}
        }
    }

    /// It has the log up to `index`.
    pub(crate) fn has_upto(&mut self, index: u64) {
        self.has = self.has.max(index);
        match &mut self.flow {
            Flow::Probing { .. } if index + 1 >= self.next => {
                self.flow = Flow::Streaming(VecDeque::new());
                self.next = index + 1;
            }
            Flow::Probing { .. } | Flow::Snapshot => {}
            Flow::Streaming(on_their_way) => {
                while on_their_way.front().is_some_and(|last| *last <= index) {
                    on_their_way.pop_front();
                }
            }
        }
        self.next = self.next.max(self.has + 1);
    }

    /// It lacks `prev`, and may have `hint`. Says whether that is news: what it had durably once it
    /// does not lack.
    pub(crate) fn lacks(&mut self, prev: u64, hint: u64) -> bool {
        let is_news = match &self.flow {
            Flow::Probing { .. } => prev + 1 == self.next && prev > self.has,
            Flow::Streaming(_) => prev > self.has,
            Flow::Snapshot => false,
        };
        if is_news {
            self.next = (hint + 1).min(prev).max(self.has + 1);
            self.flow = Flow::Probing { asked: false };
        }
        is_news
    }
}
