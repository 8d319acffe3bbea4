//! `journal.redb`: opening, appending, purging.
//!
//! In: a directory. Out: what it held that no checkpoint has taken over; then a log that takes
//! appends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use redb::{Database, TableDefinition};

use crate::committer::{self, Append, ENTRY_BYTES_MAX, Order, ROWS};
use crate::error::{AppendError, OpenError, StoreError};
use crate::log::{Done, Entry, Health, Log, PartitionId};
use crate::recovery::{ensure_together, recover};
use crate::state::StateStore;
use crate::tail::{LiveRows, Tail};

/// Per partition, the last index that a checkpoint has taken over; and under [`TIME_FLOOR`] the
/// latest time of a row that is gone.
pub(crate) const PURGED: TableDefinition<'static, u32, u64> = TableDefinition::new("purged");
/// Key in [`PURGED`] beyond all partitions.
pub(crate) const TIME_FLOOR: u32 = u32::MAX;
/// Rows that one purge transaction deletes at most, so that commits wait only briefly.
const PURGE_ROWS_PER_SLICE: usize = 512;

/// How a data directory is opened.
pub struct Options {
    /// Where the two files lie.
    pub dir: PathBuf,
    /// Partitions; fixed when the directory is made.
    pub partitions: u16,
    /// Cache of each database, in bytes.
    pub cache_bytes: usize,
    /// In place of `journal.redb`'s file, for fault tests.
    pub journal_backend: Option<Box<dyn redb::StorageBackend>>,
    /// In place of `state.redb`'s file, for fault tests.
    pub state_backend: Option<Box<dyn redb::StorageBackend>>,
    /// Microseconds since the epoch: written into each row, so that clocks never fall behind it.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
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
            cache_bytes: 64 << 20,
            journal_backend: None,
            state_backend: None,
            now: Arc::new(now),
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
    /// Entries that no checkpoint has taken over, in the order in which they became durable.
    pub entries: Vec<(PartitionId, u64, Arc<Entry>)>,
    /// The latest time that the log has seen, µs since the epoch; 0 if it is new.
    pub time_floor: i64,
}

/// The log.
pub struct Journal {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the committer and the callers share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) tail: Tail,
    pub(crate) live: Mutex<LiveRows>,
    pub(crate) now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(crate) partitions: u16,
    time_floor: AtomicI64,
    failed: RwLock<Option<String>>,
    commits: AtomicU64,
    hear_commit: RwLock<Vec<HearCommit>>,
    hear_failure: RwLock<Vec<HearFailure>>,
}

type HearCommit = Box<dyn Fn(u64) + Send + Sync>;
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

    pub(crate) fn committed(&self) {
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        for hear in self.hear_commit.read().iter() {
            hear(commits);
        }
    }
}

impl Journal {
    /// Opens or makes a data directory and recovers what it holds.
    ///
    /// # Errors
    /// When the files cannot be opened, are of another format or shape, or are damaged.
    pub fn open(options: Options) -> Result<Recovered, OpenError> {
        let Options {
            dir,
            partitions,
            cache_bytes,
            journal_backend,
            state_backend,
            now,
        } = options;
        if journal_backend.is_none() || state_backend.is_none() {
            std::fs::create_dir_all(&dir).map_err(|source| OpenError::Directory {
                path: dir.clone(),
                source,
            })?;
        }
        let database = open_database(&dir, JOURNAL_FILE, journal_backend, cache_bytes)?;
        crate::format::check(&database, JOURNAL_FILE, partitions)?;
        let state = open_database(&dir, STATE_FILE, state_backend, cache_bytes)?;
        crate::format::check(&state, STATE_FILE, partitions)?;
        let found = recover(&database, partitions)?;
        let state = StateStore::new(state);
        ensure_together(&state, &found)?;
        let shared = Arc::new(Shared {
            database,
            tail: Tail::new(&found.purged),
            live: Mutex::new(found.live),
            now,
            partitions,
            time_floor: AtomicI64::new(found.time_floor),
            failed: RwLock::new(None),
            commits: AtomicU64::new(0),
            hear_commit: RwLock::new(Vec::new()),
            hear_failure: RwLock::new(Vec::new()),
        });
        for (partition, index, entry) in &found.entries {
            shared.tail.push(*partition, *index, Arc::clone(entry));
        }
        let (orders, inbox) = crossbeam_channel::unbounded();
        let theirs = Arc::clone(&shared);
        let next_row = found.next_row;
        let committer = std::thread::Builder::new()
            .name("consign-commit".to_owned())
            .spawn(move || committer::run_to_its_end(&theirs, &inbox, next_row))
            .map_err(|source| OpenError::Directory { path: dir, source })?;
        let journal = Journal {
            shared,
            orders,
            committer: Mutex::new(Some(committer)),
        };
        Ok(Recovered {
            journal: Arc::new(journal),
            state: Arc::new(state),
            entries: found.entries,
            time_floor: found.time_floor,
        })
    }

    /// Writes what waits and ends the committer; later appends are answered `Stopped`.
    pub fn close(&self) {
        // A send fails only when the committer is gone already.
        let _ = self.orders.send(Order::Stop);
        let committer = self.committer.lock().take();
        if let Some(committer) = committer
            && committer.join().is_err()
        {
            self.shared.fail("the committer panicked");
        }
        let mut failed = self.shared.failed.write();
        failed.get_or_insert_with(|| "the journal is closed".to_owned());
    }

    pub(crate) fn database(&self) -> &Database {
        &self.shared.database
    }

    pub(crate) fn partitions(&self) -> u16 {
        self.shared.partitions
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log for Journal {
    fn append(&self, partition: PartitionId, entry: Entry, done: Done) {
        if partition.0 >= self.shared.partitions {
            return done(Err(AppendError::NoPartition { partition }));
        }
        let bytes = entry.size();
        if bytes > ENTRY_BYTES_MAX || entry.entity.len() > usize::from(u16::MAX) {
            return done(Err(AppendError::TooLarge {
                bytes,
                max: ENTRY_BYTES_MAX,
            }));
        }
        if let Some(reason) = self.shared.failure() {
            return done(Err(AppendError::Stopped { reason }));
        }
        let order = Order::Append(Append {
            partition,
            entry,
            done,
        });
        if let Err(crossbeam_channel::SendError(Order::Append(append))) = self.orders.send(order) {
            let reason = "the committer has ended".to_owned();
            (append.done)(Err(AppendError::Stopped { reason }));
        }
    }

    fn last_index(&self, partition: PartitionId) -> u64 {
        self.shared.tail.last_index(partition)
    }

    fn first_index(&self, partition: PartitionId) -> u64 {
        self.shared.tail.first_index(partition)
    }

    fn tail(
        &self,
        partition: PartitionId,
        from: u64,
        entries_max: usize,
    ) -> Vec<(u64, Arc<Entry>)> {
        self.shared.tail.read(partition, from, entries_max)
    }

    fn on_commit(&self, hear: Box<dyn Fn(u64) + Send + Sync>) {
        self.shared.hear_commit.write().push(hear);
    }

    fn on_failure(&self, hear: Box<dyn Fn(&str) + Send + Sync>) {
        self.shared.hear_failure.write().push(hear);
    }

    fn purge(&self, upto: &[(PartitionId, u64)]) -> Result<(), StoreError> {
        let dead = self.shared.live.lock().dead(upto);
        let floor = self
            .shared
            .time_floor
            .load(Ordering::Relaxed)
            .max((self.shared.now)());
        let mut slices: Vec<&[u64]> = dead.chunks(PURGE_ROWS_PER_SLICE).collect();
        if slices.is_empty() {
            slices.push(&[]);
        }
        // What is purged is noted first: a row that outlives its note holds nothing that counts.
        for (nth, rows) in slices.into_iter().enumerate() {
            let note = (nth == 0).then_some(upto);
            purge_rows(&self.shared.database, rows, note, floor)
                .map_err(StoreError::redb("purge the journal"))?;
            self.shared.live.lock().remove(rows);
        }
        self.shared.time_floor.store(floor, Ordering::Relaxed);
        for (partition, index) in upto {
            self.shared.tail.purge(*partition, *index);
        }
        metrics::gauge!("consign_journal_tail_bytes").set(self.tail_bytes() as f64);
        Ok(())
    }

    fn tail_bytes(&self) -> u64 {
        self.shared.tail.bytes()
    }

    fn health(&self) -> Health {
        self.shared
            .failure()
            .map_or(Health::Serving, Health::Failed)
    }
}

pub(crate) const JOURNAL_FILE: &str = "journal.redb";
pub(crate) const STATE_FILE: &str = "state.redb";

pub(crate) fn open_database(
    dir: &std::path::Path,
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

fn purge_rows(
    database: &Database,
    rows: &[u64],
    note: Option<&[(PartitionId, u64)]>,
    floor: i64,
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut purged = write.open_table(PURGED)?;
        for (partition, index) in note.unwrap_or_default() {
            purged.insert(u32::from(partition.0), index)?;
        }
        purged.insert(TIME_FLOOR, floor.max(0).cast_unsigned())?;
        let mut table = write.open_table(ROWS)?;
        for row in rows {
            table.remove(row)?;
        }
    }
    write.commit()?;
    Ok(())
}
