//! Why the store did not do what it was asked.

use std::path::PathBuf;

use crate::log::PartitionId;

/// Why an append is not durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// This node does not lead the partition, or no more: it was not done.
    #[error("partition {partition} is not led here")]
    Deposed {
        /// Which.
        partition: PartitionId,
    },
    /// This node lost the partition while it was under way: it may have been done.
    #[error("partition {partition} was lost on the way: the outcome is not known")]
    Unknown {
        /// Which.
        partition: PartitionId,
    },
    /// A write or sync failed, now or before; the entry may or may not be found after a restart.
    #[error("the journal has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// It cannot be written as a row.
    #[error("an entry of {bytes} bytes is more than {max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// There is no such partition.
    #[error("there is no partition {partition}")]
    NoPartition {
        /// Which.
        partition: PartitionId,
    },
}

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb says so.
    #[error("cannot {what}: {source}")]
    Redb {
        /// What was tried.
        what: &'static str,
        /// redb's word.
        source: Box<redb::Error>,
    },
    /// The file system says so, of `journal.log`.
    #[error("cannot {what}: {source}")]
    Log {
        /// What was tried.
        what: &'static str,
        /// Its word.
        source: std::io::Error,
    },
    /// A row is not what was written.
    #[error("{what} is damaged")]
    Damaged {
        /// Which row.
        what: String,
    },
}

impl StoreError {
    pub(crate) fn log(what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
        move |source| StoreError::Log { what, source }
    }

    pub(crate) fn redb(what: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
        move |source| StoreError::Redb {
            what,
            source: Box::new(source),
        }
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or read.
    #[error("cannot use {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// redb says so (another process has it open, or the file is damaged).
    #[error("cannot open {file}: {source}")]
    Database {
        /// Which file.
        file: &'static str,
        /// redb's word.
        source: Box<redb::Error>,
    },
    /// The file system says so, of `journal.log`.
    #[error("cannot open journal.log: {0}")]
    Log(std::io::Error),
    /// Neither of its headers can be read.
    #[error("journal.log has no readable header: restore a backup, its rows cannot be trusted")]
    DamagedLog,
    /// Written by another version of Consign.
    #[error(
        "{file} has format version {found}, this binary reads {supported}: start the version that \
         wrote it, or restore a backup into an empty directory"
    )]
    FormatVersion {
        /// Which file.
        file: &'static str,
        /// What it has.
        found: u64,
        /// What this binary reads.
        supported: u64,
    },
    /// The number of partitions is fixed when the directory is made.
    #[error(
        "the data has {found} partitions, the configuration says {asked}: set partitions = {found}, \
         or start with an empty directory"
    )]
    Partitions {
        /// What the data has.
        found: u16,
        /// What was asked for.
        asked: u16,
    },
    /// A row's checksum does not match what it holds.
    #[error(
        "journal row {row} is damaged ({what}): restore a backup, the log after it cannot be trusted"
    )]
    DamagedRow {
        /// The row's key.
        row: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An index is missing: an acknowledged entry would be lost silently.
    #[error(
        "partition {partition} has entry {found} where {expected} should be (journal row {row}): restore a backup"
    )]
    Gap {
        /// Whose.
        partition: PartitionId,
        /// The index that should come.
        expected: u64,
        /// The index that is there.
        found: u64,
        /// The row that holds it.
        row: u64,
    },
    /// The two files are not of one node at one time: one was lost, swapped or brought back alone.
    #[error(
        "state.redb holds partition {partition} up to entry {checkpoint}, journal.log goes on after \
         {purged} and ends with {last}: the files do not belong together, restore a backup of both"
    )]
    Apart {
        /// Whose.
        partition: PartitionId,
        /// The last index that the published checkpoint reflects.
        checkpoint: u64,
        /// The last index that the log no longer holds.
        purged: u64,
        /// The last index that the log holds.
        last: u64,
    },
    /// A restore was broken off: rows may be missing, or its groups be those of another cluster.
    #[error(
        "{path} says that a restore began to write this directory and did not end; it is no node's data:          remove {dir} and restore into it again"
    )]
    Unfinished {
        /// The file that says so.
        path: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// A row could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a backup or a restore did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target must be empty or absent: nothing is ever overwritten.
    #[error("{path} is not empty; choose an empty or new directory")]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// It is not a backup, or not a whole one.
    #[error("{path} is not a whole backup: {what}")]
    NotABackup {
        /// Which.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// A partition's rows are being replaced by what another node sends: a copy would be half of each.
    #[error(
        "partition {partition} was getting a snapshot from another node; try again once the node \
         has it, into another directory"
    )]
    SnapshotArrives {
        /// Which.
        partition: PartitionId,
    },
    /// A partition's log is not one that a replica left, or could not be written.
    #[error("cannot make partition {partition} a group of one node: {what}")]
    Reshape {
        /// Which.
        partition: PartitionId,
        /// What is wrong.
        what: String,
    },
    /// The file system says so.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A store says so.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}
