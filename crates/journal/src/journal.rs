//! The journal: opening, appending, purging.
//!
//! In: a directory. Out: what it held that no checkpoint has taken over; then a log that takes
//! appends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use redb::{Database, StorageBackend};

use crate::committer::{Append, Committer, ENTRY_BYTES_MAX, Order};
use crate::error::{AppendError, OpenError, StoreError};
use crate::log::{Committed, Done, Entry, Health, PartitionId};
use crate::log_file::LogFile;
use crate::recovery::{ensure_together, recover};
use crate::restore::ensure_finished;
use crate::row::NoteKind;
use crate::segments::{SEGMENT_BYTES, SegmentLog};
use crate::state::StateStore;
use crate::tail::{PartitionTail, Tail};
use crate::threads::Threads;

/// How a data directory is opened.
pub struct Options {
    /// Where the two files lie.
    pub dir: PathBuf,
    /// Partitions; fixed when the directory is made.
    pub partitions: u16,
    /// Cache of the state's database, in bytes.
    pub cache_bytes: usize,
    /// Bytes of a segment of the log; fixed when the directory is made.
    pub segment_bytes: u64,
    /// In place of `journal.log`, for fault tests.
    pub journal_backend: Option<Box<dyn redb::StorageBackend>>,
    /// In place of `state.redb`'s file, for fault tests.
    pub state_backend: Option<Box<dyn redb::StorageBackend>>,
    /// Microseconds since the epoch: written into each row, so that clocks never fall behind it.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Whether the committer has a thread; if not, it is opened inside a tokio runtime.
    pub threads: Threads,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The defaults for a directory; the time is the system's.
    #[must_use]
    pub fn new(dir: PathBuf) -> Options {
        let now = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |since| {
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            })
        };
        Options {
            dir,
            partitions: 8,
            cache_bytes: 128 << 20,
            segment_bytes: SEGMENT_BYTES,
            journal_backend: None,
            state_backend: None,
            now: Arc::new(now),
            threads: Threads::Own,
        }
    }
}

/// What a directory held.
#[derive(Debug)]
pub struct Recovered {
    /// The log, ready for appends.
    pub journal: Arc<Journal>,
    /// What checkpoints wrote.
    pub state: Arc<StateStore>,
    /// The latest time that the log has seen, µs since the epoch; 0 if it is new.
    pub time_floor: i64,
}

/// The log.
pub struct Journal {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    committer: Committer,
    threads: Threads,
}

/// What the committer and the callers share.
pub(crate) struct Shared {
    pub(crate) log: SegmentLog,
    pub(crate) tail: Tail,
    pub(crate) now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(crate) partitions: u16,
    /// By partition, the newest word that was noted.
    words: Mutex<Vec<Option<Bytes>>>,
    failed: RwLock<Option<String>>,
    hear_failure: RwLock<Vec<HearFailure>>,
}

type HearFailure = Box<dyn Fn(&str) + Send + Sync>;

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.read().clone()
    }

    pub(crate) fn fail(&self, reason: &str) {
        let first = self.failed.write().replace(reason.to_owned()).is_none();
        tracing::error!(
            reason,
            "the journal has stopped: nothing more is acknowledged"
        );
        if first {
            for hear in self.hear_failure.read().iter() {
                hear(reason);
            }
        }
    }

    pub(crate) fn last_indexes(&self) -> Vec<u64> {
        (0..self.partitions)
            .map(|partition| self.tail.last_index(PartitionId(partition)))
            .collect()
    }
}

impl Journal {
    /// Opens or makes a data directory and recovers what it holds.
    ///
    /// # Errors
    /// When the files cannot be opened, are of another format or shape, or are damaged, or when a
    /// restore into the directory did not end.
    pub fn open(options: Options) -> Result<Recovered, OpenError> {
        if options.journal_backend.is_none() {
            ensure_finished(&options.dir)?;
        }
        Journal::open_unfinished(options)
    }

    /// The same for a restore, which has not ended yet.
    pub(crate) fn open_unfinished(options: Options) -> Result<Recovered, OpenError> {
        let Options {
            dir,
            partitions,
            cache_bytes,
            segment_bytes,
            journal_backend,
            state_backend,
            now,
            threads,
        } = options;
        if journal_backend.is_none() || state_backend.is_none() {
            std::fs::create_dir_all(&dir).map_err(|source| OpenError::Directory {
                path: dir.clone(),
                source,
            })?;
        }
        let file = match journal_backend {
            Some(file) => file,
            None => open_log_file(&dir).map_err(OpenError::Log)?,
        };
        let log = SegmentLog::open(file, partitions, segment_bytes)?;
        let found = recover(&log)?;
        let state = open_database(&dir, STATE_FILE, state_backend, cache_bytes)?;
        crate::format::check(&state, STATE_FILE, partitions)?;
        let state = StateStore::new(state);
        ensure_together(&state, &found)?;
        let shared = Arc::new(Shared {
            log,
            tail: found.tail,
            now,
            partitions,
            words: Mutex::new(found.words),
            failed: RwLock::new(None),
            hear_failure: RwLock::new(Vec::new()),
        });
        let (orders, inbox) = crossbeam_channel::unbounded();
        let committer = Committer::start(threads, &shared, inbox)
            .map_err(|source| OpenError::Directory { path: dir, source })?;
        let journal = Journal {
            shared,
            orders,
            committer,
            threads,
        };
        Ok(Recovered {
            journal: Arc::new(journal),
            state: Arc::new(state),
            time_floor: found.time_floor,
        })
    }

    /// Writes what waits and ends the committer; later appends are answered `Stopped`.
    pub fn close(&self) {
        self.committer.end(&self.shared, &self.orders);
        let mut failed = self.shared.failed.write();
        if failed.is_none() {
            // From here on it is known what must be there: damage to the last row shows, too. If it
            // cannot be noted, everything is there all the same.
            let floor = (self.shared.now)();
            if let Err(error) = self.shared.log.note(&[], self.shared.last_indexes(), floor) {
                tracing::warn!(%error, "the journal's end could not be noted");
            }
            *failed = Some("the journal is closed".to_owned());
        }
    }

    /// Appends `entry`; `done` hears its index once it is durable. Never blocks; what is in flight
    /// is bounded by admission above. The entry can be read at once ([`Journal::tail`]).
    pub fn append(&self, partition: PartitionId, entry: Entry, done: Done) {
        let bytes = entry.size();
        if bytes > ENTRY_BYTES_MAX || entry.entity.len() > usize::from(u16::MAX) {
            return done(Err(AppendError::TooLarge {
                bytes,
                max: ENTRY_BYTES_MAX,
            }));
        }
        self.order(partition, done, |tail| (tail.push(entry.clone()), entry));
    }

    /// Forgets entries from `from` on, durable or not: others will come in their place. `done`
    /// hears when nothing brings them back.
    pub fn cut(&self, partition: PartitionId, from: u64, done: Done) {
        self.order(partition, done, |tail| {
            tail.cut(from);
            (0, NoteKind::Cut.entry(from, Bytes::new()))
        });
    }

    /// Forgets all entries of a partition: the next one comes after `to`, whose checkpoint must be
    /// published.
    pub fn jump(&self, partition: PartitionId, to: u64, done: Done) {
        self.order(partition, done, |tail| {
            tail.jump(to);
            (0, NoteKind::Jump.entry(to, Bytes::new()))
        });
    }

    /// Notes a word about a partition, in place of the one before; `done` hears once it is durable.
    pub fn note(&self, partition: PartitionId, word: Bytes, done: Done) {
        self.order(partition, done, |_| {
            self.shared.words.lock()[usize::from(partition.0)] = Some(word.clone());
            (0, NoteKind::Word.entry(0, word))
        });
    }

    /// The newest word about a partition.
    #[must_use]
    pub fn word(&self, PartitionId(partition): PartitionId) -> Option<Bytes> {
        self.shared
            .words
            .lock()
            .get(usize::from(partition))?
            .clone()
    }

    /// Changes a partition's tail, and sends what is to be written in the same order.
    fn order(
        &self,
        partition: PartitionId,
        done: Done,
        change: impl FnOnce(&mut PartitionTail) -> (u64, Entry),
    ) {
        if partition.0 >= self.shared.partitions {
            return done(Err(AppendError::NoPartition { partition }));
        }
        if let Some(reason) = self.shared.failure() {
            return done(Err(AppendError::Stopped { reason }));
        }
        let mut tail = self.shared.tail.lock(partition);
        let (index, entry) = change(&mut tail);
        let sent = self.orders.send(Order::Append(Append {
            partition,
            index,
            entry,
            done,
        }));
        drop(tail);
        if let Err(crossbeam_channel::SendError(Order::Append(append))) = sent {
            let reason = "the committer has ended".to_owned();
            (append.done)(Err(AppendError::Stopped { reason }));
        }
        self.committer.something_waits(&self.shared);
    }

    /// Whether slow work has threads of its own.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// The index of the last durable entry; 0 if there is none.
    #[must_use]
    pub fn last_index(&self, partition: PartitionId) -> u64 {
        self.shared.tail.last_index(partition)
    }

    /// The index of the last entry, durable or on its way to the disk; 0 if there is none.
    #[must_use]
    pub fn appended_index(&self, partition: PartitionId) -> u64 {
        self.shared.tail.appended(partition)
    }

    /// The index of the first entry that is not purged; one past the last if there is none.
    #[must_use]
    pub fn first_index(&self, partition: PartitionId) -> u64 {
        self.shared.tail.first_index(partition)
    }

    /// Entries from `from` on, durable or on their way to the disk, at most `entries_max`, from
    /// memory. Empty if `from` is purged.
    #[must_use]
    pub fn tail(&self, partition: PartitionId, from: u64, entries_max: usize) -> Vec<(u64, Entry)> {
        self.shared.tail.read(partition, from, entries_max)
    }

    /// As [`Journal::tail`]: one at least if there is one, more until `bytes_max`.
    pub(crate) fn tail_bytes_max(
        &self,
        partition: PartitionId,
        from: u64,
        entries_max: usize,
        bytes_max: u64,
    ) -> Vec<(u64, Entry)> {
        let tail = &self.shared.tail;
        tail.read_bytes(partition, (from, entries_max), bytes_max)
    }

    /// Registers who hears that the log has failed, and why.
    pub fn on_failure(&self, hear: Box<dyn Fn(&str) + Send + Sync>) {
        self.shared.hear_failure.write().push(hear);
    }

    /// Forgets entries up to and including these indexes, after a checkpoint that holds them.
    ///
    /// # Errors
    /// When the store refuses; then nothing is forgotten.
    pub fn purge(&self, upto: &[(PartitionId, u64)]) -> Result<(), StoreError> {
        // Words would go with the rows that they stand in: they are written again before.
        self.note_words_again()?;
        let (known, floor) = (self.shared.last_indexes(), (self.shared.now)());
        self.shared
            .log
            .note(upto, known, floor)
            .map_err(StoreError::log("purge the journal"))?;
        for (partition, index) in upto {
            self.shared.tail.purge(*partition, *index);
        }
        metrics::gauge!("consign_journal_tail_bytes").set(self.tail_bytes() as f64);
        Ok(())
    }

    fn note_words_again(&self) -> Result<(), StoreError> {
        let words = self.shared.words.lock().clone();
        let (tell, hear) = crossbeam_channel::unbounded();
        for (partition, word) in (0..).map(PartitionId).zip(words) {
            if word.is_none() {
                continue;
            }
            let tell = tell.clone();
            let done = Box::new(move |result: Result<Committed, AppendError>| {
                let _ = tell.send(result);
            });
            self.order(partition, done, |_| {
                // The newest by now, not the one seen above: this note comes after any other.
                let words = self.shared.words.lock();
                let word = words[usize::from(partition.0)].clone().unwrap_or_default();
                (0, NoteKind::Word.entry(0, word))
            });
        }
        drop(tell);
        self.committer.commit_in_place(&self.shared);
        hear.iter().try_for_each(|result| match result {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::log("purge the journal")(std::io::Error::other(
                error,
            ))),
        })
    }

    /// Bytes of the entries that are not purged and come before `upto`, or are it.
    #[must_use]
    pub fn bytes_upto(&self, partition: PartitionId, upto: u64) -> u64 {
        self.shared.tail.bytes_upto(partition, upto)
    }

    /// Bytes of all entries that are not purged.
    #[must_use]
    pub fn tail_bytes(&self) -> u64 {
        self.shared.tail.bytes()
    }

    /// Whether it takes appends.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared
            .failure()
            .map_or(Health::Serving, Health::Failed)
    }

    pub(crate) fn log(&self) -> &SegmentLog {
        &self.shared.log
    }

    /// Partitions.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.shared.partitions
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) const JOURNAL_FILE: &str = "journal.log";
pub(crate) const STATE_FILE: &str = "state.redb";

/// Opens the log's file, or makes it.
pub(crate) fn open_log_file(dir: &Path) -> std::io::Result<Box<dyn StorageBackend>> {
    let file = LogFile::open(&dir.join(JOURNAL_FILE))?;
    // A new file is there after a crash only if its directory says so.
    File::open(dir)?.sync_all()?;
    Ok(Box::new(file))
}

pub(crate) fn open_database(
    dir: &Path,
    file: &'static str,
    backend: Option<Box<dyn redb::StorageBackend>>,
    cache_bytes: usize,
) -> Result<Database, OpenError> {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let opened = match backend {
        Some(backend) => builder.create_with_backend(Boxed(backend)),
        None => builder.create(dir.join(file)),
    };
    opened.map_err(|error| OpenError::Database {
        file,
        source: Box::new(error.into()),
    })
}

/// A backend behind a pointer, as redb wants a type.
#[derive(Debug)]
struct Boxed(Box<dyn redb::StorageBackend>);

impl redb::StorageBackend for Boxed {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
    fn close(&self) -> Result<(), std::io::Error> {
        self.0.close()
    }
}
