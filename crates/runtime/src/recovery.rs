//! From a directory to a serving node: stores, hosts, replay, wakeups.
//!
//! In: checkpointed rows and the journal's tail. Out: every acknowledged state (L2), the answers
//! of keyed commands (L3), the timers, and the entities that have something pending, woken at a
//! bounded rate. Nothing special about it: load, ask `pending` and `wakeup`, carry on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use consign_domain::entity::Entity;
use consign_domain::time::Timestamp;
use consign_journal::{Journal, Log, Options, PartitionId};

use crate::behaviour::Behaviour;
use crate::checkpoint;
use crate::clock::RaisedClock;
use crate::codec;
use crate::handle::Host;
use crate::host::HostInner;
use crate::node::{Node, StartError};
use crate::options::NodeOptions;
use crate::rows::Attention;
use crate::shared::{NodeInner, Stores};
use crate::types::{EntityRef, Health, ReadError};
use crate::written_keys;

/// Entities whose moment has come that are woken at once, at most.
const DUE_AT_ONCE_MAX: usize = 512;
/// Records after which replay looks at how much memory its states take.
const REPLAYED_AT_ONCE: usize = 4_096;
/// How long the timer task sleeps at most: a clock may be moved from outside.
const TIMER_SLEEP_MAX: Duration = Duration::from_millis(250);
/// How often actors are reminded of unanswered effects.
const REMIND_EVERY: Duration = Duration::from_millis(100);
/// How often pending entities are woken after a start.
const WAKE_EVERY: Duration = Duration::from_millis(10);

/// A node that does not serve yet: hosts are added, then it starts.
pub struct NodeBuilder {
    node: Arc<NodeInner>,
    wakes_per_second: u32,
}

impl NodeBuilder {
    pub(crate) fn open(mut options: NodeOptions) -> Result<NodeBuilder, StartError> {
        let clock = Arc::new(RaisedClock::new(Arc::clone(&options.clock)));
        let theirs = Arc::clone(&clock);
        let recovered = Journal::open(Options {
            partitions: options.partitions,
            cache_bytes: options.cache_bytes,
            journal_backend: options.journal_backend.take(),
            state_backend: options.state_backend.take(),
            now: Arc::new(move || theirs.now().0),
            ..Options::new(options.dir.clone())
        })?;
        clock.raise_to(Timestamp(recovered.time_floor));
        let journal = Arc::clone(&recovered.journal);
        let stores = Stores {
            journal: recovered.journal,
            state: recovered.state,
        };
        let node = Arc::new(NodeInner::new(&options, stores, clock));
        for partition in 0..options.partitions {
            let at = usize::from(partition);
            let partition = PartitionId(partition);
            node.applied(partition, journal.last_index(partition));
            node.published[at].store(node.store()?.published(partition)?, Ordering::Release);
        }
        let hears = Arc::downgrade(&node);
        journal.on_failure(Box::new(move |reason| {
            if let Some(node) = hears.upgrade() {
                node.stop_because(reason);
            }
        }));
        let hears = Arc::downgrade(&node);
        journal.on_commit(Box::new(move |commits| {
            if let Some(node) = hears.upgrade() {
                node.committed(commits);
            }
        }));
        Ok(NodeBuilder {
            node,
            wakes_per_second: options.wakes_per_second.max(1),
        })
    }

    /// Adds a kind of entity.
    pub fn host<E: Entity>(&mut self, behaviour: Arc<dyn Behaviour<E>>) -> Host<E> {
        let host = Arc::new(HostInner::new(Arc::clone(&self.node), behaviour));
        self.node.hosts.write().push(Arc::clone(&host) as _);
        Host(host)
    }

    /// The node, for behaviours that need it; it serves once started.
    #[must_use]
    pub fn node(&self) -> Node {
        Node(Arc::clone(&self.node))
    }

    /// Recovers what the stores hold and begins to serve.
    ///
    /// # Errors
    /// When what they hold cannot be read, or is of a kind that no host is for.
    pub async fn start(self) -> Result<Node, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let NodeBuilder {
            node,
            wakes_per_second,
        } = self;
        let started = Instant::now();
        let recovering = Arc::clone(&node);
        let recovered = tokio::task::spawn_blocking(move || recovering.recover())
            .await
            .map_err(|error| ReadError::Decode(error.to_string()))?;
        let (records, pending) = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                node.close();
                return Err(error);
            }
        };
        let _ = node.runtime.set(runtime);
        for host in node.all_hosts() {
            if host.preloads() {
                host.recovered();
            }
            host.start();
        }
        node.set_health(Health::Serving);
        tracing::info!(records, pending = pending.len(), elapsed = ?started.elapsed(), "recovered");
        node.begin(pending, wakes_per_second)?;
        Ok(Node(node))
    }
}

impl NodeInner {
    /// Takes in what the stores hold; gives the number of records in the log, and the entities that
    /// have something pending.
    fn recover(&self) -> Result<(usize, Vec<EntityRef>), StartError> {
        for host in self.all_hosts().iter().filter(|host| host.preloads()) {
            let loaded = host.load_all()?;
            tracing::debug!(kind = host.kind(), loaded, "preloaded");
        }
        let mut attention: BTreeMap<EntityRef, Attention> = BTreeMap::new();
        let mut wrong = None;
        self.store()?.each_attention(&mut |key, value| {
            match (EntityRef::from_bytes(key), codec::decode(value)) {
                (Some(entity), Ok(row)) => drop(attention.insert(entity, row)),
                (None, _) => {
                    wrong = Some(ReadError::Decode(
                        "an attention row names no entity".to_owned(),
                    ))
                }
                (_, Err(error)) => wrong = Some(error.into()),
            }
            wrong.is_none()
        })?;
        if let Some(error) = wrong {
            return Err(error.into());
        }
        let mut records = 0;
        for partition in (0..self.partitions).map(PartitionId) {
            records += self.replay(partition)?;
        }
        for host in self.all_hosts() {
            for entity in host.touched() {
                match host.attention(&entity) {
                    Some(row) => drop(attention.insert(entity, row)),
                    None => drop(attention.remove(&entity)),
                }
            }
        }
        let mut pending = Vec::new();
        for (entity, row) in attention {
            self.timers.set(&entity, row.wakeup);
            if row.pending {
                pending.push(entity);
            }
        }
        Ok((records, pending))
    }

    /// Takes in a partition's records that no checkpoint holds; gives their number.
    fn replay(&self, partition: PartitionId) -> Result<usize, StartError> {
        let stores = self.open_stores()?;
        let first = stores.journal.first_index(partition);
        let mut next = first;
        loop {
            let some = stores.journal.tail(partition, next, REPLAYED_AT_ONCE);
            let Some((last, _)) = some.last() else {
                return Ok(usize::try_from(next - first).unwrap_or(usize::MAX));
            };
            next = last + 1;
            for (index, entry) in &some {
                let kind = entry.entity.first().copied().unwrap_or_default();
                let host = self.host(kind).ok_or(StartError::UnknownKind(kind))?;
                self.clock.raise_to(host.replay(partition, *index, entry)?);
            }
            self.pack()?;
        }
    }

    /// Starts what runs beside the actors.
    fn begin(
        self: &Arc<Self>,
        pending: Vec<EntityRef>,
        wakes_per_second: u32,
    ) -> Result<(), StartError> {
        let wake = tokio::spawn(wake_pending(
            Arc::downgrade(self),
            pending,
            wakes_per_second,
        ));
        let timers = tokio::spawn(run_timers(Arc::downgrade(self)));
        let reminders = tokio::spawn(run_reminders(Arc::downgrade(self)));
        self.tasks
            .lock()
            .extend([wake, timers, reminders].map(|task| task.abort_handle()));
        let thread = |name: &str, work: fn(&std::sync::Weak<NodeInner>)| {
            let node = Arc::downgrade(self);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&node))
                .map_err(|error| ReadError::Store(format!("cannot start a thread: {error}")))
        };
        thread("consign-checkpoint", checkpoint::watch)?;
        thread("consign-keys", written_keys::fill)?;
        Ok(())
    }
}

/// Wakes entities that have something pending, at a bounded rate.
async fn wake_pending(node: std::sync::Weak<NodeInner>, pending: Vec<EntityRef>, per_second: u32) {
    let at_once = usize::try_from(per_second / 100).unwrap_or(1).max(1);
    let mut ticks = tokio::time::interval(WAKE_EVERY);
    for entities in pending.chunks(at_once) {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        for entity in entities {
            if let Some(host) = node.host(entity.kind()) {
                host.wake_pending(entity);
            }
        }
    }
}

/// Wakes entities whose moment has come.
async fn run_timers(node: std::sync::Weak<NodeInner>) {
    loop {
        let Some(alive) = node.upgrade() else { return };
        let now = alive.now();
        let due = alive.timers.due(now, DUE_AT_ONCE_MAX);
        for entity in &due {
            if let Some(host) = alive.host(entity.kind()) {
                host.wake_due(entity, now);
            }
        }
        if due.len() == DUE_AT_ONCE_MAX {
            tokio::task::yield_now().await;
            continue;
        }
        let until = alive
            .timers
            .next()
            .map_or(i64::MAX, |next| next.0.saturating_sub(now.0).max(1_000));
        let until = Duration::from_micros(until.cast_unsigned()).min(TIMER_SLEEP_MAX);
        tokio::select! {
            () = tokio::time::sleep(until) => {}
            () = alive.timers.earlier.notified() => {}
        }
    }
}

/// Reminds actors of effects that went unanswered; one timer for all of them.
async fn run_reminders(node: std::sync::Weak<NodeInner>) {
    let mut ticks = tokio::time::interval(REMIND_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        for entity in node.reminders.due(node.now(), DUE_AT_ONCE_MAX) {
            if let Some(host) = node.host(entity.kind()) {
                host.wake_pending(&entity);
            }
        }
        for host in node.all_hosts() {
            host.remind();
            metrics::gauge!("consign_runtime_actors", "kind" => host.kind())
                .set(host.resident_actors() as f64);
        }
        metrics::gauge!("consign_runtime_in_flight").set(node.admission.in_flight() as f64);
    }
}
