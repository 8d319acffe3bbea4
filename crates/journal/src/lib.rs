//! The durable log of a node and its checkpoints: bytes in, the same bytes out after any crash (L2).
//!
//! In: entries for partitions. Out: an index for each, once it is on disk; and after a restart
//! every entry that was acknowledged, in order, without a gap. Knows partitions, entities' keys
//! and bytes; never knows what an entity is.
//!
//! - [`Journal`] is the log, `journal.log`: one committer thread, one row per commit ([`row`]).
//! - [`StateStore`] is what a checkpoint wrote, `state.redb`: parts, indexes, history.

mod backup;
mod committer;
mod error;
#[cfg(feature = "fault")]
pub mod fault;
mod format;
mod frame;
mod header;
mod journal;
mod log;
mod log_file;
mod recovery;
mod replicated;
mod restore;
pub mod row;
mod segments;
mod state;
mod survey;
mod tail;
mod take;
mod threads;

pub use backup::BackupManifest;
pub use error::{AppendError, BackupError, OpenError, StoreError};
pub use format::FORMAT_VERSION;
pub use journal::{Journal, Options, Recovered};
pub use log::{Committed, Done, Entry, Health, PartitionId};
pub use redb::StorageBackend;
pub use replicated::{
    Alone, AnswerError, Answering, DiskId, DiskStatus, DiskWord, GroupStatus, LeaderId, Machine,
    NextPart, Position, ReplicaOptions, ReplicaWire, Replicas, ReplicasError, Timing, VisitRow,
    WireError,
};
pub use restore::{restore, restore_as};
pub use segments::SEGMENT_BYTES;
pub use state::{Rows, StateStore, Table, Write};
pub use threads::{Threads, WorkFailed};
