//! A partition's Raft log in the node's journal: Raft's entry with index N is the journal's N + 1.
//!
//! In: what Raft wants kept. Out: the same after any crash. Entries can be read from the moment on
//! at which they are on their way to the disk, so that other replicas get them at the same time;
//! Raft hears that they are durable from the committer, and no task of its waits for a disk.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, CommittedLeaderId, EntryPayload, LogState, OptionalSend, RaftLogId, RaftLogReader,
    StorageIOError, Vote,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::messages::{decode, encode};
use super::positions::Positions;
use super::{Groups, LogId, RaftEntry, StorageError};
use crate::error::AppendError;
use crate::journal::Journal;
use crate::log::{Committed, Done, Entry, PartitionId};

/// Bytes of entries that are sent to a replica at once, over which none joins them.
const SENT_BYTES_MAX: u64 = 4 << 20;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// What is noted about a partition beside its entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) vote: Option<Vote<u64>>,
    /// The last entry that Raft has let go of.
    pub(crate) purged: Option<LogId>,
    /// Records up to there.
    pub(crate) records: u64,
}

/// The log of one group; a handle.
#[derive(Clone)]
pub(crate) struct GroupLog {
    partition: PartitionId,
    journal: Arc<Journal>,
    pub(crate) positions: Arc<Mutex<Positions>>,
    pub(crate) word: Arc<Mutex<Word>>,
}

/// The journal's index of Raft's entry.
pub(crate) fn journal_index(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |id| id.index + 1)
}

impl GroupLog {
    /// The log as the journal has it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn open(journal: &Arc<Journal>, partition: PartitionId) -> Result<GroupLog, String> {
        let word = journal.word(partition);
        let word: Word = word
            .map(|word| decode(&word).map_err(|error| error.to_string()))
            .transpose()?
            .unwrap_or_default();
        let purged = journal_index(word.purged);
        if purged + 1 < journal.first_index(partition) {
            return Err(format!(
                "partition {partition} lacks the end of its purged entries"
            ));
        }
        let mut positions = Positions::after(purged, word.records);
        for (index, entry) in journal.tail(partition, purged + 1, usize::MAX) {
            positions.push(records_in(&from_journal(index, &entry)?));
        }
        Ok(GroupLog {
            partition,
            journal: Arc::clone(journal),
            positions: Arc::new(Mutex::new(positions)),
            word: Arc::new(Mutex::new(word)),
        })
    }

    /// Entries from `from` on (the journal's index), until `bytes_max` or `to`.
    pub(crate) fn read(
        &self,
        from: u64,
        to: u64,
        bytes_max: u64,
    ) -> Result<Vec<RaftEntry>, String> {
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (index, entry) in self.journal.tail(self.partition, from, count) {
            bytes += entry.size();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(from_journal(index, &entry)?);
        }
        Ok(entries)
    }

    /// The last entry that is in the log or was.
    pub(crate) fn last(&self) -> Result<Option<LogId>, String> {
        let last = self.journal.appended_index(self.partition);
        let entry = self.journal.tail(self.partition, last, 1).pop();
        match entry {
            Some((index, entry)) => Ok(Some(*from_journal(index, &entry)?.get_log_id())),
            None => Ok(self.word.lock().purged),
        }
    }

    /// Lets go of entries up to `upto`, which had `records` before their end, if the caller knows. Where
    /// the log does not reach so far, it goes on after it. Done when that is durable.
    pub(crate) fn let_go(
        &self,
        upto: LogId,
        records: Option<u64>,
    ) -> impl Future<Output = Result<(), AppendError>> + use<> {
        let index = journal_index(Some(upto));
        let jumps = index > self.journal.appended_index(self.partition);
        let (tell, hear) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        let mut positions = self.positions.lock();
        match records.or_else(|| positions.before(index + 1)) {
            None => {
                drop(positions);
                tracing::error!(partition = %self.partition, %upto, "cannot let go of what is not there");
                done(Err(AppendError::NoPartition {
                    partition: self.partition,
                }));
            }
            Some(records) => {
                if jumps {
                    *positions = Positions::after(index, records);
                } else {
                    positions.purge(index);
                }
                drop(positions);
                let mut word = self.word.lock();
                if word.purged.is_none_or(|purged| purged.index < upto.index) {
                    (word.purged, word.records) = (Some(upto), records);
                }
                if jumps {
                    self.journal.jump(self.partition, index, unheard());
                }
                self.journal.note(self.partition, encode(&*word), done);
            }
        }
        async move {
            let closed = AppendError::Stopped {
                reason: "the journal is closed".to_owned(),
            };
            hear.await.map_or(Err(closed), |result| result.map(drop))
        }
    }
}

/// Nobody waits: what comes after it in the journal is durable only if this is.
fn unheard() -> Box<dyn FnOnce(Result<Committed, AppendError>) + Send> {
    Box::new(|_| {})
}

/// How many records an entry is.
fn records_in(entry: &RaftEntry) -> u64 {
    match &entry.payload {
        EntryPayload::Normal(batch) => {
            let leader = entry.log_id.leader_id;
            batch.records_under(leader.term, leader.node_id)
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

fn to_journal(entry: RaftEntry) -> (LogId, u64, Entry) {
    let log_id = entry.log_id;
    let records = records_in(&entry);
    let (kind, body) = match entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(Batch(bytes)) => (BATCH, bytes),
        EntryPayload::Membership(membership) => (MEMBERSHIP, encode(&membership)),
    };
    let mut name = vec![kind];
    name.extend_from_slice(&log_id.leader_id.node_id.to_le_bytes());
    let entry = Entry {
        entity: Bytes::from(name),
        expected: log_id.leader_id.term,
        body,
        private: None,
    };
    (log_id, records, entry)
}

fn from_journal(index: u64, entry: &Entry) -> Result<RaftEntry, String> {
    let wrong = |what: &str| format!("entry {index} of the journal is not Raft's: {what}");
    let (kind, node) = entry.entity.split_first().ok_or_else(|| wrong("no kind"))?;
    let node = node.try_into().map_err(|_| wrong("no node"))?;
    let leader = CommittedLeaderId::new(entry.expected, u64::from_le_bytes(node));
    let payload = match *kind {
        BLANK => EntryPayload::Blank,
        BATCH => EntryPayload::Normal(Batch(entry.body.clone())),
        MEMBERSHIP => {
            let membership = decode(&entry.body).map_err(|error| wrong(&error.to_string()))?;
            EntryPayload::Membership(membership)
        }
        _ => return Err(wrong("its kind is unknown")),
    };
    Ok(RaftEntry {
        log_id: LogId::new(leader, index - 1),
        payload,
    })
}

fn cannot_read(what: String) -> StorageError {
    StorageIOError::read_logs(AnyError::error(what)).into()
}

impl RaftLogReader<Groups> for GroupLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(to) => to + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX - 1,
        };
        self.read(from + 1, to + 1, u64::MAX).map_err(cannot_read)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        self.read(start + 1, end + 1, SENT_BYTES_MAX)
            .map_err(cannot_read)
    }
}

impl RaftLogStorage<Groups> for GroupLog {
    type LogReader = GroupLog;

    async fn get_log_state(&mut self) -> Result<LogState<Groups>, StorageError> {
        let last_log_id = self.last().map_err(cannot_read)?;
        let last_purged_log_id = self.word.lock().purged;
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> GroupLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError> {
        let (tell, hear) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        let word = {
            let mut word = self.word.lock();
            word.vote = Some(*vote);
            encode(&*word)
        };
        self.journal.note(self.partition, word, done);
        let failed = match hear.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => AnyError::new(&error),
            Err(error) => AnyError::new(&error),
        };
        Err(StorageIOError::write_vote(failed).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError> {
        Ok(self.word.lock().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<Groups>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut flushed = Some(flushed);
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let (log_id, records, entry) = to_journal(entry);
            let expected = self.journal.appended_index(self.partition) + 1;
            if journal_index(Some(log_id)) != expected {
                let what = format!("{log_id} does not come next, {} does", expected - 1);
                return Err(StorageIOError::write_logs(AnyError::error(what)).into());
            }
            self.positions.lock().push(records);
            let last = entries.peek().is_none();
            let flushed = last.then(|| flushed.take()).flatten();
            let done = move |result: Result<Committed, AppendError>| {
                if let Some(flushed) = flushed {
                    flushed.log_io_completed(result.map(drop).map_err(std::io::Error::other));
                }
            };
            self.journal.append(self.partition, entry, Box::new(done));
        }
        if let Some(flushed) = flushed {
            flushed.log_io_completed(Ok(()));
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let from = journal_index(Some(log_id));
        self.positions.lock().cut(from);
        self.journal.cut(self.partition, from, unheard());
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        // Nobody needs to wait: what is not let go of yet is let go of after a restart.
        drop(self.let_go(log_id, None));
        Ok(())
    }
}
