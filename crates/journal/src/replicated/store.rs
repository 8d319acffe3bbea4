//! A partition's Raft log in the node's journal.
//!
//! In: what Raft wants kept. Out: the same after any crash. Entries can be read from the moment on
//! at which they are on their way to the disk, so that other replicas get them at the same time;
//! the group hears from the committer what is durable.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use consign_raft::{Log, Mark, Membership, Payload, Restored, Terms, Vote};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::group::Group;
use super::messages::{decode, encode};
use super::positions::Positions;
use super::replicas::Position;
use crate::error::AppendError;
use crate::journal::Journal;
use crate::log::{Committed, Done, Entry, PartitionId};
use crate::threads::Threads;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// What is noted about a partition beside its entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Word {
    vote: Vote,
    /// The last entry that is gone from the log.
    purged: Mark,
    /// Records up to there.
    records: u64,
}

/// The log of one group; a handle.
#[derive(Clone, Debug)]
pub(crate) struct GroupLog {
    partition: PartitionId,
    journal: Arc<Journal>,
    pub(crate) positions: Arc<Mutex<Positions>>,
    word: Arc<Mutex<Word>>,
    /// Who hears what is durable.
    hears: Weak<Group>,
}

impl GroupLog {
    /// The log as the journal has it, and what Raft goes on from: `applied` is what a checkpoint holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn open(
        journal: &Arc<Journal>,
        partition: PartitionId,
        applied: &Position,
    ) -> Result<(GroupLog, Restored), String> {
        let word = journal.word(partition);
        let word: Word = word
            .map(|word| decode(&word).map_err(|error| error.to_string()))
            .transpose()?
            .unwrap_or_default();
        if word.purged.index + 1 < journal.first_index(partition) {
            return Err(format!(
                "partition {partition} lacks the end of its purged entries"
            ));
        }
        let mut terms = Terms::after(word.purged);
        let mut positions = Positions::after(word.purged.index, word.records);
        let mut memberships: Vec<(u64, Membership)> = Vec::new();
        if !applied.membership.voters.is_empty() {
            memberships.push((applied.entry(), applied.membership.clone()));
        }
        for (index, entry) in journal.tail(partition, word.purged.index + 1, usize::MAX) {
            let entry = from_journal(index, &entry)?;
            terms.push(entry.term);
            positions.push(records_in(&entry));
            match entry.payload {
                Payload::Membership(membership) if index > applied.entry() => {
                    memberships.push((index, membership));
                }
                Payload::Membership(_) | Payload::Blank | Payload::Data(_) => {}
            }
        }
        let log = GroupLog {
            partition,
            journal: Arc::clone(journal),
            positions: Arc::new(Mutex::new(positions)),
            word: Arc::new(Mutex::new(word.clone())),
            hears: Weak::new(),
        };
        let restored = Restored {
            vote: word.vote,
            terms,
            memberships,
            committed: applied.entry(),
        };
        Ok((log, restored))
    }

    /// The same log, heard by `group`.
    pub(crate) fn heard_by(self, group: Weak<Group>) -> GroupLog {
        GroupLog {
            hears: group,
            ..self
        }
    }

    /// Entries from `from` on, until `bytes_max`.
    pub(crate) fn entries(
        &self,
        from: u64,
        upto: u64,
        bytes_max: u64,
    ) -> Result<Vec<consign_raft::Entry>, String> {
        let count = usize::try_from((upto + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        for (index, entry) in self
            .journal
            .tail_bytes_max(self.partition, from, count, bytes_max)
        {
            entries.push(from_journal(index, &entry)?);
        }
        Ok(entries)
    }

    /// Whether slow work has threads of its own.
    pub(crate) fn threads(&self) -> Threads {
        self.journal.threads()
    }

    /// The last entry that is gone from the beginning.
    pub(crate) fn purged(&self) -> u64 {
        self.word.lock().purged.index
    }

    /// Lets go of entries up to `upto`, which are in the log.
    pub(crate) fn let_go(&self, upto: Mark) {
        if upto.index <= self.purged() {
            return;
        }
        let records = {
            let mut positions = self.positions.lock();
            let records = positions.before(upto.index + 1);
            positions.purge(upto.index);
            records
        };
        if let Some(records) = records {
            // Nobody waits: what is not let go of yet is let go of after a restart.
            self.note(Some((upto, records)), None, unheard());
        }
    }

    /// Goes on after a snapshot that ends at `at`; done when that is durable.
    pub(crate) async fn jump(&self, at: Mark, records: u64) -> Result<(), AppendError> {
        let (tell, hear) = tokio::sync::oneshot::channel();
        *self.positions.lock() = Positions::after(at.index, records);
        self.journal.jump(self.partition, at.index, unheard());
        let done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        self.note(Some((at, records)), None, done);
        let closed = AppendError::Stopped {
            reason: "the journal is closed".to_owned(),
        };
        hear.await.map_or(Err(closed), |result| result.map(drop))
    }

    /// Notes the word with what has changed.
    fn note(&self, purged: Option<(Mark, u64)>, vote: Option<Vote>, done: Done) {
        // Held until the journal has it: words must get there in the order of their changes.
        let mut word = self.word.lock();
        if let Some((purged, records)) = purged
            && word.purged.index < purged.index
        {
            (word.purged, word.records) = (purged, records);
        }
        word.vote = vote.unwrap_or(word.vote);
        self.journal.note(self.partition, encode(&*word), done);
    }

    /// Tells the group once something is durable; that the journal has failed is heard on another
    /// thread, as this may be one that holds the group.
    fn then(&self, told: impl FnOnce(&Group) + Send + 'static) -> Done {
        let hears = self.hears.clone();
        Box::new(move |result: Result<Committed, AppendError>| {
            let Some(group) = hears.upgrade() else { return };
            match result {
                Ok(_) => told(&group),
                Err(error) => group.journal_failed(&error.to_string()),
            }
        })
    }
}

impl Log for GroupLog {
    fn append(&mut self, at: Mark, entry: consign_raft::Entry, tell: bool) {
        self.positions.lock().push(records_in(&entry));
        let done = if tell {
            self.then(move |group| group.durable(at))
        } else {
            unheard()
        };
        self.journal.append(self.partition, to_journal(entry), done);
    }

    fn cut(&mut self, from: u64) {
        self.positions.lock().cut(from);
        self.journal.cut(self.partition, from, unheard());
    }

    fn read(&self, from: u64, bytes_max: u64) -> Vec<consign_raft::Entry> {
        let read = self.entries(from, u64::MAX - 1, bytes_max);
        read.unwrap_or_else(|error| {
            tracing::error!(partition = %self.partition, error, "the log cannot be read");
            Vec::new()
        })
    }

    fn save_vote(&mut self, vote: Vote) {
        let done = self.then(move |group| group.vote_saved(vote));
        self.note(None, Some(vote), done);
    }
}

/// Nobody waits: what comes after it in the journal is durable only if this is.
fn unheard() -> Done {
    Box::new(|_| {})
}

/// How many records an entry is.
pub(crate) fn records_in(entry: &consign_raft::Entry) -> u64 {
    match &entry.payload {
        Payload::Data(bytes) => Batch(bytes.clone()).records_under(entry.term),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

fn to_journal(entry: consign_raft::Entry) -> Entry {
    let (kind, body) = match entry.payload {
        Payload::Blank => (&[BLANK], Bytes::new()),
        Payload::Data(bytes) => (&[BATCH], bytes),
        Payload::Membership(membership) => (&[MEMBERSHIP], encode(&membership)),
    };
    Entry {
        entity: Bytes::from_static(kind),
        expected: entry.term,
        body,
        private: None,
    }
}

fn from_journal(index: u64, entry: &Entry) -> Result<consign_raft::Entry, String> {
    let wrong = |what: &str| format!("entry {index} of the journal is not Raft's: {what}");
    let payload = match entry.entity[..] {
        [BLANK] => Payload::Blank,
        [BATCH] => Payload::Data(entry.body.clone()),
        [MEMBERSHIP] => {
            let membership = decode(&entry.body).map_err(|error| wrong(&error.to_string()))?;
            Payload::Membership(membership)
        }
        _ => return Err(wrong("its kind is unknown")),
    };
    Ok(consign_raft::Entry {
        term: entry.expected,
        payload,
    })
}
