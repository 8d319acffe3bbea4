//! What a node is started with. Every bound has its name and unit here (L8).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consign_journal::{ReplicaOptions, SEGMENT_BYTES, StorageBackend, Threads};

use crate::clock::{Clock, SystemClock};
use crate::remote::Remote;

/// Outside commands in flight at most, by default.
pub const PERMITS_DEFAULT: usize = 512;
/// Outside commands that may wait for each permit: more would wait for longer than they may.
pub const WAITING_PER_PERMIT_MAX: usize = 4;
/// Journal that may pile up before a checkpoint, in bytes, by default.
pub const JOURNAL_BYTES_MAX_DEFAULT: u64 = 80 << 20;
/// How long a command's answer is remembered, by default.
pub const COMMAND_MEMORY_DEFAULT: Duration = Duration::from_secs(24 * 3_600);
/// Over this many times the journal's bound, nothing is admitted until a checkpoint caught up.
pub(crate) const JOURNAL_OVERRUN_MAX: u64 = 4;

/// What a node is started with.
pub struct NodeOptions {
    /// Where the databases lie.
    pub dir: PathBuf,
    /// Partitions; fixed when the directory is made.
    pub partitions: u16,
    /// Outside commands in flight at most.
    pub permits: usize,
    /// Outside commands that wait for a permit at most.
    pub waiting_max: usize,
    /// How long a command waits for a permit at most.
    pub admission_wait: Duration,
    /// Entity states kept in memory although a checkpoint holds them, per kind.
    pub resident_max: usize,
    /// Actors kept per kind while they only wait for answers.
    pub actors_max: usize,
    /// Changed entities that start a checkpoint, over all kinds.
    pub dirty_max: usize,
    /// Journal bytes that start a checkpoint.
    pub journal_bytes_max: u64,
    /// How long a command's answer is remembered.
    pub command_memory: Duration,
    /// How long history is kept.
    pub history_retention: Duration,
    /// Cache of the state, in bytes.
    pub cache_bytes: usize,
    /// Pending entities woken per second after a start.
    pub wakes_per_second: u32,
    /// Whether checkpoints happen by themselves; else only when asked.
    pub checkpoints: bool,
    /// How long until an effect without an answer is sent again, the first time.
    pub resend_after: Duration,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Which replica this node is, and how it reaches the others.
    pub replicas: ReplicaOptions,
    /// The way to the entities of other nodes; none when there are no other nodes.
    pub remote: Option<Arc<dyn Remote>>,
    /// Whether slow work has threads of its own; only a simulation goes without.
    pub threads: Threads,
    /// Bytes of a segment of the log; fixed when the directory is made.
    pub segment_bytes: u64,
    /// In place of `journal.log`'s file, for fault tests.
    pub journal_backend: Option<Box<dyn StorageBackend>>,
    /// In place of `state.redb`'s file, for fault tests.
    pub state_backend: Option<Box<dyn StorageBackend>>,
}

impl std::fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeOptions")
            .field("dir", &self.dir)
            .field("partitions", &self.partitions)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

impl NodeOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(dir: PathBuf) -> NodeOptions {
        NodeOptions {
            dir,
            partitions: 8,
            permits: PERMITS_DEFAULT,
            waiting_max: WAITING_PER_PERMIT_MAX * PERMITS_DEFAULT,
            admission_wait: Duration::from_millis(500),
            resident_max: 8_192,
            actors_max: 20_000,
            dirty_max: 131_072,
            journal_bytes_max: JOURNAL_BYTES_MAX_DEFAULT,
            command_memory: COMMAND_MEMORY_DEFAULT,
            history_retention: Duration::from_secs(10 * 366 * 86_400),
            cache_bytes: 128 << 20,
            wakes_per_second: 2_000,
            checkpoints: true,
            resend_after: Duration::from_secs(1),
            clock: Arc::new(SystemClock::default()),
            replicas: ReplicaOptions::alone(),
            remote: None,
            threads: Threads::Own,
            segment_bytes: SEGMENT_BYTES,
            journal_backend: None,
            state_backend: None,
        }
    }
}
