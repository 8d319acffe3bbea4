//! What all hosts of a node share: stores, clock, directories, health.
//!
//! In: what hosts, actors and the committer report. Out: what they need of each other without
//! knowing each other. Holds L2: once it has stopped, nothing more is taken or sent.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use consign_domain::time::Timestamp;
use consign_journal::{LeaderId, PartitionId, Replicas, StateStore, Threads};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::checkpoint::Checkpointer;
use crate::clock::RaisedClock;
use crate::commands::Commands;
use crate::erased::AnyHost;
use crate::options::NodeOptions;
use crate::overlay::{Overlay, Row};
use crate::remote::{Bytesing, Remote, Waiters};
use crate::rows;
use crate::store::Store;
use crate::timers::Timers;
use crate::types::{EntityRef, Health, ReadError, Remembered};
use crate::written_keys::WrittenKeys;

/// The reason given when nothing is wrong.
pub(crate) const SHUT_DOWN: &str = "shut down";

/// Answers what those above the runtime ask each other.
pub(crate) type Service = Box<dyn Fn(Bytes) -> Bytesing + Send + Sync>;

/// The replicated log, and what checkpoints wrote.
pub(crate) struct Stores {
    pub(crate) log: Arc<Replicas>,
    pub(crate) state: Arc<StateStore>,
}

/// For how long after a change of leader messages are easily lost.
const LEADER_SETTLES_MS: u64 = 2_000;
/// How long until an effect without an answer is sent again in that time: most were lost, not slow.
const UNSETTLED_RESEND_AFTER_MS: u64 = 50;

/// What all hosts share.
pub(crate) struct NodeInner {
    stores: RwLock<Option<Arc<Stores>>>,
    pub(crate) partitions: u16,
    pub(crate) resident_max: usize,
    pub(crate) actors_max: usize,
    resend_after_ms: u64,
    /// Until when messages are easily lost, because some partition has just got another leader.
    unsettled_until_ms: AtomicU64,
    pub(crate) command_memory_ms: i64,
    pub(crate) clock: Arc<RaisedClock>,
    pub(crate) threads: Threads,
    started: Instant,
    pub(crate) runtime: OnceLock<tokio::runtime::Handle>,
    pub(crate) hosts: RwLock<Vec<Arc<dyn AnyHost>>>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) written_keys: WrittenKeys,
    pub(crate) overlay: Overlay,
    pub(crate) timers: Timers,
    /// When entities that left while they waited for answers are looked at again.
    pub(crate) reminders: Timers,
    pub(crate) admission: Admission,
    pub(crate) dirty: Arc<AtomicUsize>,
    pub(crate) checkpointer: Checkpointer,
    /// The last record of each partition whose state is published.
    pub(crate) applied: Vec<AtomicU64>,
    /// By partition, those who wait until a record is applied here.
    pub(crate) waiters: Vec<Waiters>,
    /// The way to the entities of other nodes.
    pub(crate) remote: Option<Arc<dyn Remote>>,
    /// Why this node cannot read what others acknowledge, while it cannot.
    pub(crate) out_of_touch: Mutex<Option<String>>,
    /// Answers what those above the runtime ask each other.
    pub(crate) service: OnceLock<Service>,
    /// Whether this node leads a partition: only then do its entities live here.
    leads: Vec<AtomicBool>,
    /// The last record of each partition that history holds.
    pub(crate) published: Vec<AtomicU64>,
    health: Mutex<Health>,
    /// Set once nothing more may leave; cheap to look at.
    stopped: AtomicBool,
    /// Set while outside work is taken; cheap to look at.
    serving: AtomicBool,
    pub(crate) commits: watch::Sender<u64>,
    pub(crate) tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl NodeInner {
    pub(crate) fn new(options: &NodeOptions, stores: Stores, clock: Arc<RaisedClock>) -> NodeInner {
        let counters = || {
            (0..options.partitions)
                .map(|_| AtomicU64::new(0))
                .collect::<Vec<_>>()
        };
        NodeInner {
            stores: RwLock::new(Some(Arc::new(stores))),
            partitions: options.partitions,
            resident_max: options.resident_max,
            actors_max: options.actors_max,
            resend_after_ms: u64::try_from(options.resend_after.as_millis())
                .unwrap_or(u64::MAX / 4),
            unsettled_until_ms: AtomicU64::new(0),
            command_memory_ms: i64::try_from(options.command_memory.as_millis())
                .unwrap_or(i64::MAX),
            clock,
            threads: options.threads,
            started: Instant::now(),
            runtime: OnceLock::new(),
            hosts: RwLock::new(Vec::new()),
            commands: Arc::new(Commands::default()),
            written_keys: WrittenKeys::default(),
            overlay: Overlay::default(),
            timers: Timers::default(),
            reminders: Timers::default(),
            admission: Admission::new(options.permits, options.waiting_max, options.admission_wait),
            dirty: Arc::new(AtomicUsize::new(0)),
            checkpointer: Checkpointer::new(options),
            applied: counters(),
            waiters: (0..options.partitions)
                .map(|_| Waiters::default())
                .collect(),
            remote: options.remote.clone(),
            out_of_touch: Mutex::default(),
            service: OnceLock::new(),
            leads: (0..options.partitions)
                .map(|_| AtomicBool::new(false))
                .collect(),
            published: counters(),
            health: Mutex::new(Health::Starting),
            stopped: AtomicBool::new(false),
            serving: AtomicBool::new(false),
            commits: watch::Sender::new(0),
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn stores(&self) -> Option<Arc<Stores>> {
        self.stores.read().clone()
    }

    pub(crate) fn open_stores(&self) -> Result<Arc<Stores>, ReadError> {
        self.stores()
            .ok_or_else(|| ReadError::Store("the node is closed".to_owned()))
    }

    pub(crate) fn store(&self) -> Result<Store, ReadError> {
        Ok(Store(Arc::clone(&self.open_stores()?.state)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn uptime_ms(&self) -> u64 {
        // One more, because 0 stands for "never" where moments are kept.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
    }

    pub(crate) fn host(&self, kind: u8) -> Option<Arc<dyn AnyHost>> {
        self.hosts
            .read()
            .iter()
            .find(|host| host.kind_code() == kind)
            .cloned()
    }

    pub(crate) fn all_hosts(&self) -> Vec<Arc<dyn AnyHost>> {
        self.hosts.read().clone()
    }

    /// Whether entities of a partition live here.
    pub(crate) fn leads(&self, PartitionId(partition): PartitionId) -> bool {
        let leads = self.leads.get(usize::from(partition));
        leads.is_some_and(|leads| leads.load(Ordering::SeqCst))
    }

    pub(crate) fn set_leads(&self, PartitionId(partition): PartitionId, leads: bool) {
        self.leads[usize::from(partition)].store(leads, Ordering::SeqCst);
    }

    pub(crate) fn leads_all(&self) -> bool {
        self.leads.iter().all(|leads| leads.load(Ordering::SeqCst))
    }

    /// Whether there are no other nodes.
    pub(crate) fn is_alone(&self) -> bool {
        self.remote.is_none()
    }

    /// Another node that leads a partition, or knows who does: the first that can be reached. Who is
    /// no replica of it does not learn who leads it.
    pub(crate) fn way_to(&self, partition: PartitionId) -> Option<u64> {
        let (remote, stores) = (self.remote.as_ref()?, self.stores()?);
        let goes = |node: &u64| *node != stores.log.node() && remote.is_reachable(*node);
        let leader = stores.log.leader(partition).filter(goes);
        leader.or_else(|| stores.log.members(partition).into_iter().find(goes))
    }

    /// Whether messages between this node's own entities go the way of others.
    pub(crate) fn carries_own(&self) -> bool {
        self.remote.as_ref().is_some_and(|it| it.carries_own())
    }

    /// This very node, when it leads a partition and its own messages go the way of others.
    pub(crate) fn own_way_to(&self, partition: PartitionId) -> Option<u64> {
        if !self.carries_own() || !self.leads(partition) {
            return None;
        }
        Some(self.stores()?.log.node())
    }

    /// A partition has got another leader, which may not serve yet, and not everybody knows it.
    pub(crate) fn unsettle(&self) {
        let until_ms = self.uptime_ms() + LEADER_SETTLES_MS;
        self.unsettled_until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// How long until an effect without an answer is sent again, the first time.
    pub(crate) fn resend_after_ms(&self, now_ms: u64) -> u64 {
        let is_unsettled = now_ms < self.unsettled_until_ms.load(Ordering::Relaxed);
        if is_unsettled {
            self.resend_after_ms.min(UNSETTLED_RESEND_AFTER_MS)
        } else {
            self.resend_after_ms
        }
    }

    /// Whether this node was taken out of a partition.
    pub(crate) fn is_out_of(&self, partition: PartitionId) -> bool {
        let stores = self.stores();
        stores.is_some_and(|stores| stores.log.is_out_of(partition))
    }

    /// Under whom records of a partition may be written here.
    pub(crate) fn lead(&self, partition: PartitionId) -> Option<LeaderId> {
        self.stores()?.log.lead(partition)
    }

    /// In the order of records, once one is applied.
    pub(crate) fn applied(&self, PartitionId(partition): PartitionId, index: u64) {
        if let Some(applied) = self.applied.get(usize::from(partition)) {
            applied.store(index, Ordering::SeqCst);
            self.waiters[usize::from(partition)].applied(index);
        }
    }

    /// After the states of some records are published.
    pub(crate) fn committed(&self) {
        if self.commits.receiver_count() > 0 {
            self.commits.send_modify(|commits| *commits += 1);
        }
    }

    pub(crate) fn applied_upto(&self) -> Vec<u64> {
        self.applied
            .iter()
            .map(|applied| applied.load(Ordering::Acquire))
            .collect()
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        let mut current = self.health.lock();
        if !matches!(*current, Health::Stopped { .. }) {
            self.serving
                .store(health == Health::Serving, Ordering::SeqCst);
            *current = health;
        }
    }

    /// Nothing more is acknowledged from here on.
    pub(crate) fn stop_because(&self, reason: &str) {
        let mut health = self.health.lock();
        if !matches!(*health, Health::Stopped { .. }) {
            if reason == SHUT_DOWN {
                tracing::info!("the node closes");
            } else {
                tracing::error!(reason, "the node stops serving");
            }
            *health = Health::Stopped {
                reason: reason.to_owned(),
            };
            self.stopped.store(true, Ordering::SeqCst);
            self.serving.store(false, Ordering::SeqCst);
        }
    }

    /// Whether outside work is taken.
    pub(crate) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Whether messages between entities go on.
    pub(crate) fn takes_messages(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// A command's answer on disk, unless it is too old to count.
    pub(crate) fn command_on_disk(&self, id: u128) -> Result<Option<Remembered>, ReadError> {
        if !self.written_keys.may_hold(id) {
            return Ok(None);
        }
        let forgotten = self
            .now()
            .plus_millis(self.command_memory_ms.saturating_neg());
        for row in self.store()?.commands(id)? {
            let remembered = rows::decode_command(&row)?;
            if remembered.recorded_at >= forgotten {
                return Ok(Some(remembered));
            }
        }
        Ok(None)
    }

    /// A record, wherever it is.
    pub(crate) fn record(
        &self,
        partition: PartitionId,
        index: u64,
    ) -> Result<(Bytes, Bytes), ReadError> {
        let stores = self.open_stores()?;
        if let Some((found, entry)) = stores.log.tail(partition, index, 1).pop()
            && found == index
        {
            return Ok((entry.entity, entry.body));
        }
        // Purged from the tail means that history has it.
        match Store(Arc::clone(&stores.state)).history(partition, index)? {
            Some(record) => Ok((record.entity, record.body)),
            None => Err(ReadError::Expired),
        }
    }

    pub(crate) fn index_rows(&self, entity: &EntityRef) -> Option<Vec<Row>> {
        self.host(entity.kind())?.index_rows(entity)
    }

    /// Lets go of everything, so that the directory can be opened again.
    pub(crate) fn close(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        let hosts = std::mem::take(&mut *self.hosts.write());
        for host in &hosts {
            host.end();
        }
        if let Some(stores) = self.stores.write().take() {
            stores.log.close();
        }
    }
}
