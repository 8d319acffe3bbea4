//! What the service is started with, and what comes beside every call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use consign_domain::time::Timestamp;
use consign_runtime::{CommandKey, Remote, ReplicaOptions};
use serde::{Deserialize, Serialize};

/// What the service is started with.
#[derive(Clone)]
pub struct ConsignOptions {
    /// Where `journal.log` and `state.redb` lie.
    pub data: PathBuf,
    /// Partitions; fixed when the data directory is made.
    pub partitions: u16,
    /// Outside commands in flight at most; over it the caller hears "busy".
    pub permits: usize,
    /// How much journal may pile up before a checkpoint, in bytes.
    pub journal_bytes_max: u64,
    /// How long history is kept.
    pub history_retention: Duration,
    /// How many clean entity states are kept in memory.
    pub resident_max: usize,
    /// Cache of each database, in bytes.
    pub cache_bytes: usize,
    /// The other nodes; none when there are none.
    pub cluster: Option<ClusterOptions>,
}

/// A node's place among others.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Which replica this node is, and how it reaches the others.
    pub replicas: ReplicaOptions,
    /// The way to the entities of other nodes.
    pub remote: Arc<dyn Remote>,
}

impl ConsignOptions {
    /// The defaults for a data directory.
    #[must_use]
    pub fn new(data: PathBuf) -> ConsignOptions {
        ConsignOptions {
            data,
            partitions: 8,
            permits: 512,
            journal_bytes_max: 80 << 20,
            history_retention: Duration::from_secs(10 * 366 * 86_400),
            resident_max: 8_192,
            cache_bytes: 128 << 20,
            cluster: None,
        }
    }
}

/// What comes beside every call that may change something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallMeta {
    /// The principal.
    pub by: CompactString,
    /// When it happened in the world, if the caller says so.
    pub occurred_at: Option<Timestamp>,
    /// The idempotency key with the hash of the body.
    pub key: Option<CommandKey>,
    /// The version that the caller believes in (`If-Match`).
    pub expected_version: Option<u64>,
    /// Runs through spans.
    pub request_id: Option<CompactString>,
    /// Answer when durable rather than when the outcome stands (`Prefer: respond-async`).
    pub respond_async: bool,
    /// How long to wait for the outcome before answering with what is durable.
    pub settle_timeout: Duration,
}

impl CallMeta {
    /// A call by `by` with the defaults: wait for the outcome, ten seconds at most.
    #[must_use]
    pub fn by(by: &str) -> CallMeta {
        CallMeta {
            by: by.into(),
            occurred_at: None,
            key: None,
            expected_version: None,
            request_id: None,
            respond_async: false,
            settle_timeout: Duration::from_secs(10),
        }
    }
}
