//! All partitions' groups on this node.
//!
//! In: a journal and a store that were opened together, and a [`Machine`] that takes records in. Out:
//! a log that acknowledges what a quorum has, reads that miss nothing, and who leads what.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use consign_raft::{Mark, Membership, Payload, RaftOptions};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::batch::{Batch, LeaderId};
use super::disks::Disks;
use super::group::Group;
use super::linearizable::ReadIndexes;
use super::machine::Machine;
use super::options::ReplicaOptions;
use super::readmission::have_nothing;
use super::reads::Rounds;
use super::snapshots::{Arriving, file_of, install};
use super::store::{GroupLog, records_in};
use super::wire::ReplicaWire;
use crate::backup::BackupManifest;
use crate::error::{AppendError, BackupError};
use crate::journal::Journal;
use crate::log::{Done, Entry, Health, PartitionId};
use crate::state::StateStore;

/// Up to where a partition is applied, or published by a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub(crate) records: u64,
    pub(crate) mark: Mark,
    pub(crate) membership: Membership,
}

impl Position {
    /// Records, from the beginning on.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The entry of the journal that holds the last of them.
    pub(crate) fn entry(&self) -> u64 {
        self.mark.index
    }
}

/// Why replicas cannot do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplicasError {
    /// The log cannot be what Raft left.
    #[error("the journal cannot be replicated: {0}")]
    Log(String),
    /// The partition's leader says so.
    #[error("{0}")]
    Refused(String),
    /// Nobody who leads the partition could be asked in time.
    #[error("partition {partition} has no leader that can be reached: {why}")]
    NoLeader {
        /// Which.
        partition: u16,
        /// Why.
        why: String,
    },
    /// This node lacks partitions.
    #[error("{}", taken_out(.partitions, .of))]
    TakenOut {
        /// So many.
        partitions: usize,
        /// Of so many.
        of: usize,
    },
    /// So many others know this node by another disk that it can do nothing.
    #[error("node {node} stands on another disk than the one by which the others know it")]
    DiskUnknown {
        /// This node.
        node: u64,
    },
    /// They are not running.
    #[error("the replicas are not running")]
    NotRunning,
}

fn taken_out(partitions: &usize, of: &usize) -> String {
    match of - partitions {
        0 => "this node has been taken out of the cluster".to_owned(),
        _ => {
            format!("this node has been taken out of {partitions} of the cluster's {of} partitions")
        }
    }
}

/// How often groups hear what time it is.
const TICK_EVERY: Duration = Duration::from_millis(10);

/// After how many of those it is measured how old what is applied here may be.
const TICKS_PER_LOOK: u64 = 25;

/// What runs once started.
pub(crate) struct Running {
    pub(super) disks: Arc<Disks>,
    pub(crate) groups: Vec<Arc<Group>>,
}

/// The groups of a node.
pub struct Replicas {
    /// Where snapshots are gathered.
    pub(super) dir: PathBuf,
    /// By partition, the snapshot that is arriving.
    pub(super) arriving: Arc<Mutex<BTreeMap<u16, Option<Arriving>>>>,
    pub(super) journal: Arc<Journal>,
    pub(super) state: Arc<StateStore>,
    pub(super) options: ReplicaOptions,
    pub(super) running: OnceLock<Running>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// By node, rounds of questions for what it leads.
    pub(super) reads: Mutex<BTreeMap<u64, Arc<Rounds<ReadIndexes>>>>,
    /// By partition, the entry that the checkpoint before the last published.
    pub(super) kept_from: Mutex<Vec<u64>>,
    /// Bytes in the journal that a published checkpoint holds.
    pub(super) published_bytes: AtomicU64,
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Replicas {
    /// Groups over a journal and the store that was opened with it in `dir`; they do nothing yet.
    #[must_use]
    pub fn new(
        dir: &Path,
        journal: Arc<Journal>,
        state: Arc<StateStore>,
        options: ReplicaOptions,
    ) -> Replicas {
        let partitions = usize::from(journal.partitions());
        Replicas {
            dir: dir.to_owned(),
            arriving: Arc::default(),
            journal,
            state,
            options,
            running: OnceLock::new(),
            tasks: Mutex::default(),
            reads: Mutex::default(),
            kept_from: Mutex::new(vec![0; partitions]),
            published_bytes: AtomicU64::new(0),
        }
    }

    /// Runs all groups; `machine` takes in what no checkpoint holds.
    ///
    /// # Errors
    /// When the log is not one that Raft can go on with.
    pub async fn start(self: &Arc<Self>, machine: Arc<dyn Machine>) -> Result<(), ReplicasError> {
        let mut groups = Vec::new();
        for partition in (0..self.journal.partitions()).map(PartitionId) {
            self.finish_snapshot(&machine, partition).await?;
            let applied = self.applied_before(partition)?;
            self.kept_from.lock()[usize::from(partition.0)] = applied.entry();
            let log = GroupLog::open(&self.journal, partition, &applied);
            let log = log.map_err(ReplicasError::Log)?;
            let ways = (Arc::clone(&machine), Arc::clone(&self.options.wire));
            groups.push(Group::new(
                partition,
                self.raft_options(partition),
                log,
                ways,
                applied,
            ));
        }
        let running = Running {
            disks: self.open_disks(have_nothing(&groups)).await?,
            groups: groups.clone(),
        };
        if self.running.set(running).is_err() {
            return Err(ReplicasError::Log("they run already".to_owned()));
        }
        let founds = self.founds_at_once();
        let mut tasks = self.tasks.lock();
        for group in &groups {
            if founds {
                self.found(group);
            }
            let state = Arc::clone(&self.state);
            let leading = tokio::spawn(Arc::clone(group).follow_lead());
            let sending = tokio::spawn(Arc::clone(group).send_snapshots(self.node(), state));
            tasks.extend([leading, sending]);
            group.tick();
        }
        if !self.is_alone() {
            let ticking = tokio::spawn(tick(groups));
            let balancing = tokio::spawn(Arc::clone(self).keep_balance());
            let disks = tokio::spawn(Arc::clone(self).keep_disks());
            let readmitting = tokio::spawn(Arc::clone(self).keep_readmitting());
            tasks.extend([ticking, balancing, disks, readmitting]);
        }
        Ok(())
    }

    fn raft_options(&self, PartitionId(partition): PartitionId) -> RaftOptions {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = self.options.timing;
        RaftOptions {
            node: self.options.node,
            heartbeat: millis(timing.heartbeat),
            election: millis(timing.election),
            quorum: millis(timing.seal_after),
            seed: rand::random::<u64>() ^ u64::from(partition),
        }
    }

    /// Up to where a checkpoint holds a partition.
    fn applied_before(&self, partition: PartitionId) -> Result<Position, ReplicasError> {
        let applied = self.state.position_of(partition);
        let applied = applied.map_err(|error| ReplicasError::Log(error.to_string()))?;
        Ok(applied.unwrap_or_default())
    }

    /// Goes on with a snapshot that was being put into place when the node stopped.
    async fn finish_snapshot(
        &self,
        machine: &Arc<dyn Machine>,
        partition: PartitionId,
    ) -> Result<(), ReplicasError> {
        let failed = |error: &dyn fmt::Display| ReplicasError::Log(error.to_string());
        let file = file_of(&self.dir, partition);
        let marked = self.state.is_installing(partition);
        let Some(position) = marked.map_err(|error| failed(&error))? else {
            // What has not arrived whole is sent again.
            let _ = std::fs::remove_file(&file);
            return Ok(());
        };
        let installed = install(&**machine, &self.state, partition, &position, &file);
        installed.map_err(ReplicasError::Log)?;
        let log = GroupLog::open(&self.journal, partition, &position);
        let (log, _) = log.map_err(ReplicasError::Log)?;
        // It may have jumped already.
        if log.purged() < position.entry() {
            let jumped = log.jump(position.mark, position.records).await;
            jumped.map_err(|error| failed(&error))?;
        }
        let unmarked = self.state.write(&[StateStore::installing(partition, None)]);
        unmarked.map_err(|error| failed(&error))?;
        // It would only be written over by the next one.
        let _ = std::fs::remove_file(&file);
        Ok(())
    }

    /// What is known of disks, this one's own name first; `is_new` when nothing else is on it.
    async fn open_disks(&self, is_new: bool) -> Result<Arc<Disks>, ReplicasError> {
        let state = Arc::clone(&self.state);
        let opening = move || Disks::open(&state, is_new);
        let opened = self.journal.threads().run(opening).await;
        let failed = |error: &dyn fmt::Display| ReplicasError::Log(error.to_string());
        let opened = opened.map_err(|error| failed(&error))?;
        opened.map(Arc::new).map_err(|error| failed(&error))
    }

    pub(crate) fn running(&self) -> Result<&Running, ReplicasError> {
        self.running.get().ok_or(ReplicasError::NotRunning)
    }

    pub(crate) fn wire(&self) -> &dyn ReplicaWire {
        &*self.options.wire
    }

    pub(crate) fn partitions(&self) -> u16 {
        self.journal.partitions()
    }

    pub(crate) fn group(&self, PartitionId(partition): PartitionId) -> Option<&Arc<Group>> {
        self.running.get()?.groups.get(usize::from(partition))
    }

    /// This node's number.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.options.node
    }

    /// Whether this node is a cluster of its own.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let members = &self.options.members;
        members.len() == 1 && members.contains_key(&self.options.node)
    }

    /// Appends a record that was decided under `lead`; `done` hears its index once a quorum has it
    /// and it is applied here. Never blocks.
    pub fn append(&self, partition: PartitionId, lead: LeaderId, entry: Entry, done: Done) {
        let bytes = entry.size();
        let max = crate::committer::ENTRY_BYTES_MAX / 2;
        if bytes > max || entry.entity.len() > usize::from(u16::MAX) {
            return done(Err(AppendError::TooLarge { bytes, max }));
        }
        if let Health::Failed(reason) = self.journal.health() {
            return done(Err(AppendError::Stopped { reason }));
        }
        match self.group(partition) {
            Some(group) => group.append(lead, entry, done),
            None => done(Err(AppendError::NoPartition { partition })),
        }
    }

    /// Up to `max` committed records of a partition from `from` on, of those that no checkpoint has
    /// taken over for good. Empty if `from` is one of them.
    #[must_use]
    pub fn tail(&self, partition: PartitionId, from: u64, max: usize) -> Vec<(u64, Entry)> {
        let Some(group) = self.group(partition) else {
            return Vec::new();
        };
        let last = group.committed.load(Ordering::Acquire);
        let Some((mut entry, mut before)) = group.log.positions.lock().find(from) else {
            return Vec::new();
        };
        let mut records = Vec::new();
        while records.len() < max && before < last {
            let found = group.log.entries(entry, entry, u64::MAX);
            let Some(found) = found.ok().and_then(|mut found| found.pop()) else {
                break;
            };
            let count = records_in(&found);
            if let Payload::Data(bytes) = found.payload
                && count > 0
            {
                let items = Batch(bytes).items().unwrap_or_default();
                let numbered = (before + 1..).zip(items);
                before += count;
                records.extend(numbered.filter(|(at, _)| *at >= from && *at <= last));
            }
            entry += 1;
        }
        records.truncate(max);
        records
    }

    /// The first record that [`Replicas::tail`] has; one past the last if there is none.
    #[must_use]
    pub fn first_index(&self, partition: PartitionId) -> u64 {
        let group = self.group(partition);
        group.map_or(1, |group| group.log.positions.lock().first_record())
    }

    /// Up to where all partitions are applied.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        let groups = self.running.get().map(|running| &running.groups);
        let position = |group: &Arc<Group>| group.applied.lock().clone();
        groups.into_iter().flatten().map(position).collect()
    }

    /// Who may append to a partition here: this node, while it leads.
    #[must_use]
    pub fn lead(&self, partition: PartitionId) -> Option<LeaderId> {
        self.group(partition)?.lead()
    }

    /// Bytes of all entries that no published checkpoint holds.
    #[must_use]
    pub fn tail_bytes(&self) -> u64 {
        let published = self.published_bytes.load(Ordering::Relaxed);
        self.journal.tail_bytes().saturating_sub(published)
    }

    /// Proposes a record as if it had been decided under `lead`, whoever leads: so that tests can
    /// commit what is stale.
    ///
    /// # Errors
    /// When this node does not lead, or no more.
    #[cfg(feature = "fault")]
    pub async fn propose_as(
        &self,
        PartitionId(partition): PartitionId,
        lead: LeaderId,
        entry: &Entry,
    ) -> Result<(), ReplicasError> {
        let group = self.running()?.groups.get(usize::from(partition));
        let group = group.ok_or(ReplicasError::NotRunning)?;
        let Batch(bytes) = Batch::of(lead, 0, [entry].into_iter());
        let proposed = group.act(|core| core.raft.propose(Payload::Data(bytes)));
        let at = proposed.map_err(|why| ReplicasError::Refused(format!("{why:?}")))?;
        let applied = self.applied_upto(PartitionId(partition), at.index).await;
        applied.map_err(ReplicasError::Refused)
    }

    /// Registers who hears that the journal has failed, and why.
    pub fn on_failure(&self, hear: Box<dyn Fn(&str) + Send + Sync>) {
        self.journal.on_failure(hear);
    }

    /// Copies the journal and the state, as [`Journal::backup`].
    ///
    /// # Errors
    /// When `target` is in use or cannot be written.
    pub fn backup(&self, target: &Path) -> Result<BackupManifest, BackupError> {
        self.journal.backup(&self.state, target)
    }

    /// Closes the journal: what is on its way is written, and nothing more is taken.
    pub fn close(&self) {
        self.stop();
        self.journal.close();
    }

    /// As [`Replicas::close`]; when it returns, none of its tasks holds the files any more.
    pub async fn shutdown(&self) {
        let tasks = self.stop();
        self.journal.close();
        // Each was told to end; how it ended says nothing.
        futures::future::join_all(tasks).await;
    }

    /// Takes no more appends; those that wait are answered. Gives the tasks that end now.
    fn stop(&self) -> Vec<JoinHandle<()>> {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.iter().for_each(JoinHandle::abort);
        let running = self.running.get();
        for group in running.into_iter().flat_map(|running| &running.groups) {
            group.close();
        }
        tasks
    }
}

/// Tells groups what time it is, as long as the node lives.
async fn tick(groups: Vec<Arc<Group>>) {
    let mut ticks = tokio::time::interval(TICK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for nth in 0_u64.. {
        ticks.tick().await;
        groups.iter().for_each(|group| group.tick());
        if nth.is_multiple_of(TICKS_PER_LOOK) {
            let staleness = groups.iter().map(|group| group.staleness()).max();
            let seconds = staleness.unwrap_or_default() as f64 / 1_000.0;
            metrics::gauge!("consign_replica_staleness_seconds").set(seconds);
        }
    }
}
