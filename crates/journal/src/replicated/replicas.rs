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

use openraft::{BasicNode, EntryPayload, Raft, SnapshotPolicy};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::batch::LeaderId;
use super::group::Group;
use super::linearizable::ReadIndexes;
use super::machine::Machine;
use super::messages::Lines;
use super::options::ReplicaOptions;
use super::reads::Rounds;
use super::snapshots::Arriving;
use super::state_machine::StateMachine;
use super::store::{GroupLog, journal_index};
use super::wire::ReplicaWire;
use super::{Groups, LogId, Membership};
use crate::backup::BackupManifest;
use crate::error::{AppendError, BackupError};
use crate::journal::Journal;
use crate::log::{Done, Entry, Health, PartitionId};
use crate::state::StateStore;

/// Up to where a partition is applied, or published by a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub(crate) records: u64,
    pub(crate) log_id: Option<LogId>,
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
        journal_index(self.log_id)
    }
}

/// Why replicas cannot do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplicasError {
    /// The log cannot be what Raft left.
    #[error("the journal cannot be replicated: {0}")]
    Log(String),
    /// Raft says so.
    #[error("{0}")]
    Raft(String),
    /// Nobody who leads the partition could be asked in time.
    #[error("partition {partition} has no leader that can be reached: {why}")]
    NoLeader {
        /// Which.
        partition: u16,
        /// Why.
        why: String,
    },
    /// They are not running.
    #[error("the replicas are not running")]
    NotRunning,
}

/// The longest time until a follower that hears nothing campaigns, from the shortest.
fn longest_election(shortest: Duration) -> Duration {
    shortest + (shortest / 4).max(Duration::from_millis(1))
}

/// What runs once started.
pub(crate) struct Running {
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) rafts: Vec<Raft<Groups>>,
    pub(super) runtime: Handle,
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
    tasks: Mutex<Vec<AbortHandle>>,
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
        let mut running = Running {
            groups: Vec::new(),
            rafts: Vec::new(),
            runtime: Handle::current(),
        };
        for partition in (0..self.journal.partitions()).map(PartitionId) {
            let log = GroupLog::open(&self.journal, partition).map_err(ReplicasError::Log)?;
            let applied = self
                .state
                .position_of(partition)
                .map_err(|error| ReplicasError::Log(error.to_string()))?
                .unwrap_or_default();
            self.kept_from.lock()[usize::from(partition.0)] = applied.entry();
            let group = Group::new(partition, log, Arc::clone(&machine), applied);
            let group = Arc::new(group);
            self.finish_snapshot(&machine, &group).await?;
            let raft = self.raft(&group).await?;
            running.groups.push(group);
            running.rafts.push(raft);
        }
        let pairs: Vec<_> = running
            .groups
            .iter()
            .cloned()
            .zip(running.rafts.clone())
            .collect();
        if self.running.set(running).is_err() {
            return Err(ReplicasError::Log("they run already".to_owned()));
        }
        for (group, raft) in pairs {
            self.begin(&raft).await?;
            let proposing = tokio::spawn(Arc::clone(&group).propose(raft.clone()));
            let watching = tokio::spawn(group.watch(raft, self.options.timing.seal_after));
            self.tasks
                .lock()
                .extend([proposing.abort_handle(), watching.abort_handle()]);
        }
        if !self.is_alone() {
            let balancing = tokio::spawn(Arc::clone(self).keep_balance());
            self.tasks.lock().push(balancing.abort_handle());
        }
        Ok(())
    }

    async fn raft(&self, group: &Arc<Group>) -> Result<Raft<Groups>, ReplicasError> {
        let lines = Lines {
            group: Arc::clone(group),
            wire: Arc::clone(&self.options.wire),
        };
        let state_machine = StateMachine {
            group: Arc::clone(group),
            state: Arc::clone(&self.state),
        };
        let config = self.config()?;
        let log = group.log.clone();
        let raft = Raft::new(self.options.node, config, lines, log, state_machine).await;
        raft.map_err(|error| ReplicasError::Raft(error.to_string()))
    }

    fn config(&self) -> Result<Arc<openraft::Config>, ReplicasError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let timing = self.options.timing;
        let election = millis(timing.election);
        let config = openraft::Config {
            cluster_name: "consign".to_owned(),
            heartbeat_interval: millis(timing.heartbeat),
            election_timeout_min: election,
            // A follower gives a leader up after the longest timeout and one that it draws.
            election_timeout_max: millis(longest_election(timing.election)),
            install_snapshot_timeout: 10_000,
            // Checkpoints decide when there is a snapshot, and what may go then.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            ..openraft::Config::default()
        };
        let config = config.validate();
        config
            .map(Arc::new)
            .map_err(|error| ReplicasError::Raft(error.to_string()))
    }

    /// Founds the cluster, if this node is the first of its founders and has never met it. One alone
    /// founds it: votes of several would overtake each other.
    async fn begin(&self, raft: &Raft<Groups>) -> Result<(), ReplicasError> {
        let failed = |error: &dyn fmt::Display| ReplicasError::Raft(error.to_string());
        let initialized = raft
            .is_initialized()
            .await
            .map_err(|error| failed(&error))?;
        let first = self.options.members.first_key_value();
        if initialized || first.is_none_or(|(first, _)| *first != self.options.node) {
            return Ok(());
        }
        let members = self.options.members.iter();
        let members: BTreeMap<u64, BasicNode> = members
            .map(|(node, address)| (*node, BasicNode::new(address)))
            .collect();
        raft.initialize(members)
            .await
            .map_err(|error| failed(&error))
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

    /// How long followers of a leader refuse any other.
    pub(crate) fn lease(&self) -> Duration {
        longest_election(self.options.timing.election)
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
            let Ok(mut found) = group.log.read(entry, entry + 1, u64::MAX) else {
                break;
            };
            let Some(found) = found.pop() else { break };
            if let EntryPayload::Normal(batch) = &found.payload {
                let leader = found.log_id.leader_id;
                if batch.records_under(leader.term, leader.node_id) > 0 {
                    let items = batch.items().unwrap_or_default();
                    let numbered = (before + 1..).zip(items);
                    before += u64::from(batch.head().count);
                    records.extend(numbered.filter(|(at, _)| *at >= from && *at <= last));
                }
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
        let raft = self.running()?.rafts.get(usize::from(partition));
        let raft = raft.ok_or(ReplicasError::NotRunning)?;
        let batch = super::batch::Batch::of(lead, 0, [entry].into_iter());
        let written = raft.client_write(batch).await;
        let failed = |error: &dyn fmt::Display| ReplicasError::Raft(error.to_string());
        written.map(drop).map_err(|error| failed(&error))
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

    /// Ends all groups; appends are answered, and the journal closes.
    pub async fn shutdown(&self) {
        self.stop();
        if let Some(running) = self.running.get() {
            for raft in &running.rafts {
                // It fails only when the group has ended already.
                let _ = raft.shutdown().await;
            }
        }
        self.journal.close();
    }

    /// Takes no more appends; those that wait are answered.
    fn stop(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        for group in self
            .running
            .get()
            .into_iter()
            .flat_map(|running| &running.groups)
        {
            group.close();
        }
    }
}
