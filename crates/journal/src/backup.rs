//! A whole copy while work goes on.
//!
//! In: a running node's files: the log up to its last durable row, the state under one transaction.
//! Out: a directory with fresh files and a manifest that counts and sums every row; [`crate::restore`]
//! makes a data directory of it. The caller sees to it that no checkpoint runs in between, so that the
//! copy is a prefix of the node's commits.

use std::path::Path;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{BackupError, OpenError, StoreError};
use crate::format::FORMAT_VERSION;
use crate::journal::{JOURNAL_FILE, Journal, STATE_FILE, open_database, open_log_file};
use crate::log::PartitionId;
use crate::recovery::{ensure_together, recover};
use crate::segments::{SEGMENT_BYTES, SegmentLog};
use crate::state::{DISKS, StateStore, Table};

pub(crate) const MANIFEST_FILE: &str = "manifest.json";
/// Rows that one transaction of a copy holds at most.
const ROWS_PER_SLICE: usize = 20_000;
/// Cache of a copy's databases, in bytes.
const COPY_CACHE_BYTES: usize = 16 << 20;

/// What a backup says of itself; written last, so that half a backup has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupManifest {
    /// The files' format.
    pub format_version: u64,
    /// The data's partitions.
    pub partitions: u16,
    /// Rows of the log.
    pub journal_rows: u64,
    /// Rows of the state.
    pub state_rows: u64,
    /// Over all keys and values of the log.
    pub journal_xxh3: String,
    /// Over all keys and values of the state.
    pub state_xxh3: String,
}

/// Counts and sums rows.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    sum: Xxh3,
}

impl Tally {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        for bytes in [key, value] {
            self.sum.update(&(bytes.len() as u64).to_le_bytes());
            self.sum.update(bytes);
        }
    }
    fn note(&mut self, purged: &[(PartitionId, u64)]) {
        for (PartitionId(partition), index) in purged {
            self.sum.update(&partition.to_le_bytes());
            self.sum.update(&index.to_le_bytes());
        }
    }
    pub(crate) fn text(&self) -> String {
        format!("{:016x}", self.sum.digest())
    }
}

impl Journal {
    /// Copies this log and `state` into `target`, which must be empty or absent. Blocks the caller,
    /// not the node. No checkpoint may run between the call and its first rows: hold its lock.
    ///
    /// # Errors
    /// When `target` is in use or cannot be written, or a replica was getting a snapshot meanwhile.
    pub fn backup(&self, state: &StateStore, target: &Path) -> Result<BackupManifest, BackupError> {
        ensure_empty(target)?;
        std::fs::create_dir_all(target).map_err(io("make", target))?;
        // The log first: the state must not be older than it, and none of it is purged meanwhile.
        let journal = copy_journal(self, target)?;
        let rows = state.database().begin_read();
        let rows = rows.map_err(|error| StoreError::redb("begin a backup")(error.into()))?;
        let state = copy_state(&rows, target, self.partitions())?;
        ensure_settled(target, self.partitions())?;
        let manifest = BackupManifest {
            format_version: FORMAT_VERSION,
            partitions: self.partitions(),
            journal_rows: journal.rows,
            state_rows: state.rows,
            journal_xxh3: journal.text(),
            state_xxh3: state.text(),
        };
        write_manifest(target, &manifest)?;
        Ok(manifest)
    }
}

/// The error of a file operation.
pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    move |source| BackupError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn not_whole(backup: &Path, what: String) -> BackupError {
    BackupError::NotABackup {
        path: backup.to_owned(),
        what,
    }
}

pub(crate) fn ensure_empty(dir: &Path) -> Result<(), BackupError> {
    let in_use = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(io("read", dir)(source)),
    };
    if in_use {
        Err(BackupError::NotEmpty {
            path: dir.to_owned(),
        })
    } else {
        Ok(())
    }
}

fn write_manifest(target: &Path, manifest: &BackupManifest) -> Result<(), BackupError> {
    let path = target.join(MANIFEST_FILE);
    let text = serde_json::to_vec_pretty(manifest).expect("numbers and texts are JSON");
    let written = std::fs::write(&path, text)
        .and_then(|()| std::fs::File::open(&path)?.sync_all())
        .and_then(|()| std::fs::File::open(target)?.sync_all());
    written.map_err(io("write", &path))
}

fn copied<T>(result: Result<T, redb::Error>) -> Result<T, BackupError> {
    result.map_err(|error| StoreError::redb("copy rows")(error).into())
}

fn copy_journal(journal: &Journal, target: &Path) -> Result<Tally, BackupError> {
    let path = target.join(JOURNAL_FILE);
    let file = open_log_file(target).map_err(io("make", &path))?;
    let copy = SegmentLog::open(file, journal.partitions(), SEGMENT_BYTES)?;
    let mut known = vec![0; usize::from(journal.partitions())];
    let mut tally = Tally::default();
    let mut failed = None;
    let header = journal.log().header();
    journal.log().each_row(&mut |_, row| {
        if failed.is_some() {
            return Ok(());
        }
        tally.add(&[], &row.bytes);
        failed = copy.write(&row.bytes, &row.held()).err();
        Ok(())
    })?;
    let purged: Vec<(PartitionId, u64)> = (0..).map(PartitionId).zip(header.purged).collect();
    for ((_, purged), known) in purged.iter().zip(&mut known) {
        *known = (*known).max(*purged);
    }
    let written = failed.map_or(Ok(()), Err);
    let noted = written
        .and_then(|()| copy.sync())
        .and_then(|()| copy.note(&purged, known, header.time_floor));
    noted.map_err(io("write", &path))?;
    tally.note(&purged);
    Ok(tally)
}

fn copy_state(
    rows: &ReadTransaction,
    target: &Path,
    partitions: u16,
) -> Result<Tally, BackupError> {
    let copy = StateStore::new(open_database(target, STATE_FILE, None, COPY_CACHE_BYTES)?);
    crate::format::check(copy.database(), STATE_FILE, partitions)?;
    let mut tally = Tally::default();
    copied(each_state_row(rows, |table, slice| {
        let mut write = copy.database().begin_write()?;
        write.set_quick_repair(true);
        {
            let mut rows = write.open_table(table.definition())?;
            for (key, value) in slice {
                tally.add(key, value);
                rows.insert(key.as_slice(), value.as_slice())?;
            }
        }
        write.commit()?;
        Ok(())
    }))?;
    Ok(tally)
}

/// Hands all rows of a state to `take`, table by table, slice by slice; but those about disks: a copy is
/// another disk.
fn each_state_row(
    rows: &ReadTransaction,
    mut take: impl FnMut(Table, &[(Vec<u8>, Vec<u8>)]) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    for table in Table::ALL {
        let Some(rows) = known(rows.open_table(table.definition()))? else {
            continue;
        };
        let mut slice = Vec::new();
        for item in rows.iter()? {
            let (key, value) = item?;
            if table == Table::Meta && key.value().starts_with(DISKS) {
                continue;
            }
            slice.push((key.value().to_vec(), value.value().to_vec()));
            if slice.len() >= ROWS_PER_SLICE {
                take(table, &slice)?;
                slice.clear();
            }
        }
        take(table, &slice)?;
    }
    Ok(())
}

/// Refuses a copy of a moment in which a partition got a snapshot from another node: that replaces rows
/// and jumps in the log, one after the other, and what has arrived lies in a file of its own.
fn ensure_settled(target: &Path, partitions: u16) -> Result<(), BackupError> {
    let file = open_log_file(target).map_err(io("open", &target.join(JOURNAL_FILE)))?;
    let found = recover(&SegmentLog::open(file, partitions, SEGMENT_BYTES)?)?;
    let state = StateStore::new(open_database(target, STATE_FILE, None, COPY_CACHE_BYTES)?);
    for partition in (0..partitions).map(PartitionId) {
        if state.is_installing(partition)?.is_some() {
            return Err(BackupError::SnapshotArrives { partition });
        }
    }
    match ensure_together(&state, &found) {
        Err(OpenError::Apart { partition, .. }) => Err(BackupError::SnapshotArrives { partition }),
        checked => Ok(checked?),
    }
}

/// Counts and sums what lies in `dir`.
pub(crate) fn tally(dir: &Path, partitions: u16) -> Result<(Tally, Tally), BackupError> {
    let file = open_log_file(dir).map_err(io("open", &dir.join(JOURNAL_FILE)))?;
    let log = SegmentLog::open(file, partitions, SEGMENT_BYTES)?;
    let (mut of_journal, mut of_state) = (Tally::default(), Tally::default());
    log.recover(&mut |_, row| {
        of_journal.add(&[], &row.bytes);
        Ok(())
    })?;
    of_journal.note(
        &(0..)
            .map(PartitionId)
            .zip(log.header().purged)
            .collect::<Vec<_>>(),
    );
    let state = open_database(dir, STATE_FILE, None, COPY_CACHE_BYTES)?;
    let rows = copied(state.begin_read().map_err(redb::Error::from))?;
    copied(each_state_row(&rows, |_, slice| {
        slice
            .iter()
            .for_each(|(key, value)| of_state.add(key, value));
        Ok(())
    }))?;
    Ok((of_journal, of_state))
}

fn known<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
