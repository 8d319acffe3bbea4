//! One node: its stores, its hosts, and what they share.
//!
//! In: outside work that was admitted, questions about what is committed. Out: health, records,
//! index rows, checkpoints and backups. A [`Node`] is a handle; after [`Node::shutdown`] it lets
//! go of the stores even if handles remain.

use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use consign_domain::time::Timestamp;
use consign_journal::{DiskWord, PartitionId, Threads, WireError};
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admission::Permit;
use crate::codec;
use crate::options::NodeOptions;
use crate::recovery::NodeBuilder;
use crate::remote::Parcel;
use crate::shared::{NodeInner, SHUT_DOWN};
use crate::store::Store;
use crate::types::{
    Busy, EntityRef, Health, IndexRow, ReadError, RecordsError, Remembered, StoredRecord,
};

/// How long [`Node::shutdown`] waits for what is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Records read at once for a stream, at most.
const RECORDS_MAX: usize = 4_096;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] consign_journal::OpenError),
    /// What it holds cannot be read.
    #[error("cannot recover: {0}")]
    Recover(#[from] ReadError),
    /// The replicas cannot run.
    #[error("cannot run the replicas: {0}")]
    Replicas(#[from] consign_journal::ReplicasError),
    /// Not called inside a tokio runtime.
    #[error("a node starts inside a tokio runtime")]
    NoRuntime,
}

/// Why a checkpoint or a backup did not happen.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The state could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] consign_journal::StoreError),
    /// The backup failed.
    #[error(transparent)]
    Backup(#[from] consign_journal::BackupError),
    /// The node is closed, or closing.
    #[error("the node is closed")]
    Closed,
}

/// A node at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Outside commands in flight.
    pub in_flight: usize,
    /// Actors that are an entity.
    pub actors: usize,
    /// Actors that wait to become one.
    pub idle_actors: usize,
    /// States in memory.
    pub warm_states: usize,
    /// Of those, how many are packed because nobody looked at them for a while.
    pub packed_states: usize,
    /// Entities changed since the last checkpoint.
    pub dirty: usize,
    /// Journal bytes since then.
    pub journal_bytes: u64,
    /// Entities that wait for a moment.
    pub timers: usize,
    /// Entities set aside.
    pub quarantined: usize,
}

/// A handle to the node; cheap to clone.
#[derive(Clone)]
pub struct Node(pub(crate) Arc<NodeInner>);

impl Node {
    /// Opens the stores of a node; hosts are added to the builder before it starts.
    ///
    /// # Errors
    /// When they cannot be opened, are damaged, or are of another format.
    pub fn builder(options: NodeOptions) -> Result<NodeBuilder, StartError> {
        NodeBuilder::open(options)
    }

    /// A permit for outside work, if there is one right now.
    ///
    /// # Errors
    /// When there is none: come again.
    pub fn admit(&self) -> Result<Permit, Busy> {
        self.0.admission.try_admit()
    }

    /// What a command with this id answered.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn remembered(&self, id: u128) -> Result<Option<Remembered>, ReadError> {
        self.0
            .commands
            .remembered(id, &|id| self.0.command_on_disk(id))
    }

    /// The index row with this key, as of every committed state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn index_get(&self, key: &[u8]) -> Result<Option<IndexRow>, ReadError> {
        let store = self.0.store()?;
        self.0
            .overlay
            .get(key, &|entity| self.0.index_rows(entity), &store)
    }

    /// Up to `limit` index rows between the bounds, as of every committed state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn index_scan(
        &self,
        from: Bound<Vec<u8>>,
        to: Bound<Vec<u8>>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, IndexRow)>, ReadError> {
        let store = self.0.store()?;
        let rows_of = |entity: &EntityRef| self.0.index_rows(entity);
        self.0
            .overlay
            .scan((from, to), reverse, limit, &rows_of, &store)
    }

    /// Up to `max` committed records of a partition, from index `from` on.
    ///
    /// # Errors
    /// `Expired` when history no longer reaches back to `from`.
    pub fn records(
        &self,
        partition: PartitionId,
        from: u64,
        max: usize,
    ) -> Result<Vec<StoredRecord>, RecordsError> {
        let last = self.last_index(partition);
        let max = max.min(RECORDS_MAX);
        if from > last || max == 0 {
            return Ok(Vec::new());
        }
        let stores = self.0.open_stores()?;
        let mut records = Vec::new();
        let mut next = from.max(1);
        if next < stores.log.first_index(partition) {
            for kept in Store(Arc::clone(&stores.state)).history_from(partition, next, max)? {
                if kept.index != next {
                    break;
                }
                records.push(StoredRecord {
                    partition,
                    index: kept.index,
                    entity: kept.entity,
                    body: kept.body,
                });
                next += 1;
            }
        }
        let left = max - records.len();
        for (index, entry) in stores.log.tail(partition, next, left) {
            if index != next || index > last {
                break;
            }
            records.push(StoredRecord {
                partition,
                index,
                entity: entry.entity,
                body: entry.body,
            });
            next += 1;
        }
        if !records.is_empty() {
            return Ok(records);
        }
        // A checkpoint may have moved them from the tail to history between the two looks.
        match self.0.record(partition, next) {
            Ok((entity, body)) => Ok(vec![StoredRecord {
                partition,
                index: next,
                entity,
                body,
            }]),
            Err(ReadError::Expired) => Err(RecordsError::Expired),
            Err(error) => Err(error.into()),
        }
    }

    /// The last committed record of a partition; 0 if there is none.
    #[must_use]
    pub fn last_index(&self, PartitionId(partition): PartitionId) -> u64 {
        self.0
            .applied
            .get(usize::from(partition))
            .map_or(0, |applied| applied.load(Ordering::Acquire))
    }

    /// The first record of a partition that is kept; one past the last if there is none.
    #[must_use]
    pub fn first_index(&self, partition: PartitionId) -> u64 {
        let Some(stores) = self.0.stores() else {
            return 1;
        };
        let in_history = Store(Arc::clone(&stores.state)).history_from(partition, 0, 1);
        match in_history
            .ok()
            .and_then(|records| records.first().map(|record| record.index))
        {
            Some(index) => index,
            None => stores.log.first_index(partition),
        }
    }

    /// Changes whenever something was committed.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.commits.subscribe()
    }

    /// Takes in a message of another node about entities.
    pub fn told(&self, message: &[u8]) {
        match codec::decode(message) {
            Ok(Parcel::Tell(told)) => {
                if let Some(host) = self.0.host(told.kind) {
                    host.told(told);
                }
            }
            Ok(_) | Err(_) => tracing::warn!("a message of another node cannot be understood"),
        }
    }

    /// Answers a question of another node about entities, or what is above them.
    ///
    /// # Errors
    /// When it is none.
    pub async fn answer(&self, question: &[u8]) -> Result<Bytes, String> {
        let parcel = codec::decode(question).map_err(|error| error.to_string())?;
        let answering = match parcel {
            Parcel::Ask(asked) => {
                let host = self.0.host(asked.kind);
                let host = host.ok_or("there is no such kind of entity")?;
                host.asked(asked)
            }
            Parcel::Service(question) => {
                let service = self.0.service.get().ok_or("nobody answers that yet")?;
                service(Bytes::from(question.into_vec()))
            }
            Parcel::Tell(_) => return Err("that is no question".to_owned()),
        };
        Ok(answering.await)
    }

    /// Takes a message of another replica of the log.
    pub fn hear_replica(&self, from: u64, message: &[u8]) {
        if let Ok(stores) = self.0.open_stores() {
            stores.log.hear(from, message);
        }
    }

    /// Answers a question of another replica of the log.
    ///
    /// # Errors
    /// When it is none, or cannot be done.
    pub async fn answer_replica(&self, question: Bytes) -> Result<Bytes, String> {
        let stores = self.0.open_stores().map_err(|error| error.to_string())?;
        let answer = stores.log.answer(question).await;
        answer.map_err(|error| error.to_string())
    }

    /// What this node says to others of its disk; none before it runs, and once it is closed.
    #[must_use]
    pub fn disk(&self) -> Option<DiskWord> {
        self.0.stores()?.log.disk()
    }

    /// A peer comes with a disk, or, at version 1, says nothing of it. Gives whether anything of it counts.
    pub async fn meet(&self, node: u64, word: Option<DiskWord>) -> bool {
        match self.0.stores() {
            Some(stores) => stores.log.meet(node, word).await,
            None => false,
        }
    }

    /// A peer refuses this node's disk, or takes it.
    pub fn disk_refused(&self, peer: u64, is_refused: bool) {
        if let Some(stores) = self.0.stores() {
            stores.log.disk_refused(peer, is_refused);
        }
    }

    /// Says who answers what those above the runtime ask each other, with [`Node::ask_leader`].
    pub fn on_service(
        &self,
        answer: impl Fn(Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync + 'static,
    ) {
        if self.0.service.set(Box::new(answer)).is_err() {
            tracing::error!("somebody answers already");
        }
    }

    /// Asks the node that leads a partition; none when that is this node, or nobody is known to.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ask_leader(
        &self,
        partition: PartitionId,
        question: Vec<u8>,
        within: Duration,
    ) -> Option<Result<Bytes, WireError>> {
        if self.0.leads(partition) {
            return None;
        }
        let leader = self.0.way_to(partition)?;
        let remote = self.0.remote.as_ref()?;
        let parcel = Parcel::Service(ByteBuf::from(question));
        let bytes = codec::encode(&parcel).ok()?;
        Some(remote.ask(leader, Bytes::from(bytes), within).await)
    }

    /// Whether there are no other nodes.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.is_alone()
    }

    /// Partitions.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.0.partitions
    }

    /// The node's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Whether the node serves.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// The node at a glance.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let hosts = self.0.all_hosts();
        NodeStats {
            in_flight: self.0.admission.in_flight(),
            actors: hosts.iter().map(|host| host.resident_actors()).sum(),
            idle_actors: hosts.iter().map(|host| host.idle_actors()).sum(),
            warm_states: hosts.iter().map(|host| host.warm_states()).sum(),
            packed_states: hosts.iter().map(|host| host.packed_states()).sum(),
            dirty: self.0.dirty.load(Ordering::Relaxed),
            journal_bytes: self.0.stores().map_or(0, |stores| stores.log.tail_bytes()),
            timers: self.0.timers.len(),
            quarantined: hosts.iter().map(|host| host.quarantined()).sum(),
        }
    }

    /// Whether slow work has threads of its own.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.0.threads
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// When the store refuses, after which the node has stopped.
    pub async fn checkpoint_now(&self) -> Result<(), UpkeepError> {
        let node = Arc::clone(&self.0);
        let done = self.0.threads.run(move || node.checkpoint());
        done.await.map_err(|_| UpkeepError::Closed)?
    }

    /// Writes a consistent copy of everything durable into `target`, while work goes on.
    ///
    /// # Errors
    /// When `target` is not empty or cannot be written.
    pub async fn backup(&self, target: &Path) -> Result<(), UpkeepError> {
        let (node, target) = (Arc::clone(&self.0), target.to_owned());
        let done = self.0.threads.run(move || node.backup(&target));
        done.await.map_err(|_| UpkeepError::Closed)?
    }

    /// Takes no more outside work, ends what is in flight, writes a last checkpoint and closes.
    pub async fn shutdown(&self) {
        self.0.set_health(Health::Draining);
        let deadline = Instant::now() + DRAIN_MAX;
        while self.0.admission.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.0.admission.close();
        if matches!(self.0.health(), Health::Draining)
            && let Err(error) = self.checkpoint_now().await
        {
            tracing::error!(%error, "no last checkpoint; the journal holds everything");
        }
        self.halt().await;
    }

    /// Closes at once, as a crash would: what is in the journal is all that remains.
    pub async fn halt(&self) {
        self.0.admission.close();
        self.0.stop_because(SHUT_DOWN);
        if let Some(stores) = self.0.stores() {
            stores.log.shutdown().await;
        }
        let node = Arc::clone(&self.0);
        // A checkpoint that is being written ends first; it holds the stores.
        let closed = self.0.threads.run(move || {
            node.checkpointer.close();
            node.close();
        });
        if closed.await.is_err() {
            tracing::error!("the node did not close cleanly");
        }
    }
}
