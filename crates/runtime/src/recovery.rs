//! From a directory to a serving node: stores, hosts, replay, wakeups.
//!
//! In: checkpointed rows and the journal's tail. Out: every acknowledged state (L2), the answers
//! of keyed commands (L3). Nothing special about it: load, take in what the log hands over, and carry
//! on with what is led here ([`crate::leadership`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use consign_domain::entity::Entity;
use consign_domain::time::Timestamp;
use consign_journal::{Journal, Options, PartitionId, Replicas, Threads};

use crate::behaviour::Behaviour;
use crate::checkpoint;
use crate::clock::RaisedClock;
use crate::handle::Host;
use crate::host::HostInner;
use crate::leadership::Leadership;
use crate::node::{Node, StartError};
use crate::options::NodeOptions;
use crate::shared::{NodeInner, Stores};
use crate::types::{Health, ReadError};
use crate::written_keys;

/// Entities whose moment has come that are woken at once, at most.
const DUE_AT_ONCE_MAX: usize = 512;
/// How long the timer task sleeps at most: a clock may be moved from outside.
const TIMER_SLEEP_MAX: Duration = Duration::from_millis(250);
/// How often actors are reminded of unanswered effects.
const REMIND_EVERY: Duration = Duration::from_millis(100);
/// How long a node tries to read before it says that it is out of touch.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// How often it does.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How often a node that starts looks whether it leads all partitions.
const LEADS_LOOK_EVERY: Duration = Duration::from_millis(2);

/// Says that a node of a cluster serves, once it has read all that was acknowledged; and then, as
/// long as it lives, whether it still can.
async fn serve_when_read(node: std::sync::Weak<NodeInner>) {
    loop {
        let Some(alive) = node.upgrade() else { return };
        let Some(stores) = alive.stores() else { return };
        drop(alive);
        let read = stores.log.read(READ_WITHIN).await;
        drop(stores);
        let Some(alive) = node.upgrade() else { return };
        let why_not = read.err().map(|error| error.to_string());
        if why_not.is_none() && alive.health() == Health::Starting {
            tracing::info!("serves: everything that was acknowledged is here");
            alive.set_health(Health::Serving);
        }
        let before = std::mem::replace(&mut *alive.out_of_touch.lock(), why_not.clone());
        match (before, why_not) {
            (None, Some(reason)) => tracing::warn!(reason, "out of touch with the cluster"),
            (Some(_), None) => tracing::info!("in touch with the cluster"),
            _ => {}
        }
        drop(alive);
        tokio::time::sleep(READ_EVERY).await;
    }
}

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
            threads: options.threads,
            segment_bytes: options.segment_bytes,
            ..Options::new(options.dir.clone())
        })?;
        clock.raise_to(Timestamp(recovered.time_floor));
        let log = Replicas::new(
            &options.dir,
            recovered.journal,
            Arc::clone(&recovered.state),
            options.replicas.clone(),
        );
        let log = Arc::new(log);
        let stores = Stores {
            log: Arc::clone(&log),
            state: recovered.state,
        };
        let node = Arc::new(NodeInner::new(&options, stores, clock));
        for partition in 0..options.partitions {
            let at = usize::from(partition);
            let partition = PartitionId(partition);
            let published = node.store()?.published(partition)?;
            node.applied(partition, published);
            node.published[at].store(published, Ordering::Release);
        }
        let hears = Arc::downgrade(&node);
        log.on_failure(Box::new(move |reason| {
            if let Some(node) = hears.upgrade() {
                node.stop_because(reason);
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
        let _ = node.runtime.set(runtime);
        for host in node.all_hosts() {
            Arc::clone(&host).start();
        }
        let preloading = Arc::clone(&node);
        let preloaded = node.threads.run(move || preloading.preload()).await;
        let preloaded = preloaded.map_err(|error| ReadError::Decode(error.to_string()));
        let stores = node.open_stores()?;
        let machine = Arc::new(Leadership::of(&node, wakes_per_second));
        let run = match preloaded.and_then(|preloaded| preloaded) {
            Ok(()) => stores.log.start(machine).await.map_err(StartError::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = run {
            node.close();
            return Err(error);
        }
        node.begin()?;
        if stores.log.is_alone() {
            node.until_it_leads_all().await?;
            tracing::info!(elapsed = ?started.elapsed(), "recovered");
            node.set_health(Health::Serving);
        } else {
            let joining = tokio::spawn(serve_when_read(Arc::downgrade(&node)));
            node.tasks.lock().push(joining.abort_handle());
        }
        Ok(Node(node))
    }
}

impl NodeInner {
    /// Brings kinds that stay in memory there, as the last checkpoint had them.
    fn preload(&self) -> Result<(), ReadError> {
        for host in self.all_hosts().iter().filter(|host| host.preloads()) {
            let loaded = host.load_all()?;
            tracing::debug!(kind = host.kind(), loaded, "preloaded");
            host.recovered();
        }
        Ok(())
    }

    /// Waits until a node that runs alone leads all partitions: then it has taken in all records.
    async fn until_it_leads_all(&self) -> Result<(), StartError> {
        while !self.leads_all() {
            if let Health::Stopped { reason } = self.health() {
                return Err(ReadError::Decode(reason).into());
            }
            tokio::time::sleep(LEADS_LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Starts what runs beside the actors.
    fn begin(self: &Arc<Self>) -> Result<(), StartError> {
        let timers = tokio::spawn(run_timers(Arc::downgrade(self)));
        let reminders = tokio::spawn(run_reminders(Arc::downgrade(self)));
        self.tasks
            .lock()
            .extend([timers, reminders].map(|task| task.abort_handle()));
        let thread = |name: &str, work: fn(&std::sync::Weak<NodeInner>)| {
            let node = Arc::downgrade(self);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&node))
                .map_err(|error| ReadError::Store(format!("cannot start a thread: {error}")))
        };
        if let Threads::None { .. } = self.threads {
            let watching = tokio::spawn(checkpoint::watch_in_place(Arc::downgrade(self)));
            self.tasks.lock().push(watching.abort_handle());
            written_keys::fill(&Arc::downgrade(self));
            return Ok(());
        }
        thread("consign-checkpoint", checkpoint::watch)?;
        thread("consign-keys", written_keys::fill)?;
        Ok(())
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
