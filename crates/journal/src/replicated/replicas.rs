//! All partitions' groups on this node.
//!
//! In: a journal and a store that were opened together, and a [`Machine`] that takes records in. Out:
//! a log that acknowledges what a quorum has, reads that miss nothing, and who leads what.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use openraft::{BasicNode, EntryPayload, Raft, SnapshotPolicy};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::batch::LeaderId;
use super::group::Group;
use super::messages::{Answer, AnswerError, Lines, Question, SnapshotPart, ask, decode, encode};
use super::reads::Rounds;
use super::snapshots::{Arriving, file_of, install};
use super::state_machine::{SnapshotData, StateMachine, meta_of};
use super::store::{GroupLog, journal_index};
use super::wire::{Alone, ReplicaWire};
use super::{Groups, LogId, Membership};
use crate::backup::BackupManifest;
use crate::error::{AppendError, BackupError, StoreError};
use crate::journal::Journal;
use crate::log::{Done, Entry, Health, PartitionId};
use crate::state::{Rows, StateStore, Table};

/// How long a checkpoint waits until Raft has let go of what it holds.
const LET_GO_MAX: Duration = Duration::from_secs(2);
/// How often it looks.
const LET_GO_LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a round of read indexes may take.
const READ_ROUND_MAX: Duration = Duration::from_millis(1_500);

/// When replicas give each other up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells its followers that it lives.
    pub heartbeat: Duration,
    /// After how long without that they elect another.
    pub election: Duration,
    /// A leader that has had no quorum for so long decides nothing more.
    pub seal_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat: Duration::from_millis(150),
            election: Duration::from_millis(500),
            seal_after: Duration::from_millis(1_500),
        }
    }
}

/// Which replica this is, and how it reaches the others.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// This node's number.
    pub node: u64,
    /// The nodes that make up the cluster when it is first started, with their addresses; only this
    /// one when it runs alone; none when it waits to be taken in.
    pub members: BTreeMap<u64, String>,
    /// When replicas give each other up.
    pub timing: Timing,
    /// The way to the others.
    pub wire: Arc<dyn ReplicaWire>,
}

impl fmt::Debug for ReplicaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaOptions")
            .field("node", &self.node)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl ReplicaOptions {
    /// The number of a node that runs alone.
    const LONE_NODE: u64 = 1;

    /// One voter.
    #[must_use]
    pub fn alone() -> ReplicaOptions {
        ReplicaOptions {
            node: Self::LONE_NODE,
            members: BTreeMap::from([(Self::LONE_NODE, String::new())]),
            timing: Timing::default(),
            wire: Arc::new(Alone),
        }
    }
}

/// Takes committed records in, and hears who leads. Called on Raft's tasks: must not wait for them.
pub trait Machine: Send + Sync + 'static {
    /// A record that nobody here waits for: decided elsewhere, or before a restart.
    ///
    /// # Errors
    /// Why it cannot be taken in; the partition stops.
    fn apply(&self, partition: PartitionId, index: u64, entry: &Entry) -> Result<(), String>;
    /// Some records were taken in, here or by those who appended them.
    fn applied(&self);
    /// This node leads from here on: everything acknowledged by anybody is taken in.
    fn lead(&self, partition: PartitionId, lead: LeaderId);
    /// It does no more.
    fn follow(&self, partition: PartitionId);
    /// Somebody leads who did not before: what was sent to that partition may have been lost.
    fn leader_changed(&self, partition: PartitionId);
    /// Hands over all rows of a partition that a store holds, until `visit` says false.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn each_row(
        &self,
        partition: PartitionId,
        rows: &Rows,
        visit: VisitRow<'_>,
    ) -> Result<(), String>;
    /// Puts `parts` in the place of all that is there of a partition, on disk and in memory, and
    /// publishes `position` with the last of it. Done again when it was interrupted.
    ///
    /// # Errors
    /// Why it cannot be done; the partition stops.
    fn replace(
        &self,
        partition: PartitionId,
        position: &Position,
        parts: NextPart<'_>,
    ) -> Result<(), String>;
    /// A group cannot go on.
    fn failed(&self, reason: &str);
}

/// Sees a row, and says whether to go on.
pub type VisitRow<'a> = &'a mut dyn FnMut(Table, &[u8], &[u8]) -> bool;

/// Gives the next rows of a snapshot: table, key, value; none at its end.
pub type NextPart<'a> =
    &'a mut dyn FnMut() -> Result<Option<Vec<(Table, Vec<u8>, Vec<u8>)>>, String>;

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

/// How a group stands, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// Which partition.
    pub partition: u16,
    /// Who leads it, if anybody is known to.
    pub leader: Option<u64>,
    /// Counts elections.
    pub term: u64,
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who only listens.
    pub learners: Vec<u64>,
    /// Where each of them is reached.
    pub members: Vec<(u64, String)>,
    /// Entries in the log here.
    pub last_index: u64,
    /// Entries applied here.
    pub applied_index: u64,
    /// Whether this node leads it and may decide.
    pub leads_here: bool,
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
    runtime: Handle,
}

/// The groups of a node.
pub struct Replicas {
    /// Where snapshots are gathered.
    dir: PathBuf,
    /// By partition, the snapshot that is arriving.
    arriving: Arc<Mutex<BTreeMap<u16, Option<Arriving>>>>,
    journal: Arc<Journal>,
    state: Arc<StateStore>,
    options: ReplicaOptions,
    running: OnceLock<Running>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// By node, rounds of questions for what it leads.
    reads: Mutex<BTreeMap<u64, Arc<Rounds<ReadIndexes>>>>,
    /// By partition, the entry that the checkpoint before the last published.
    kept_from: Mutex<Vec<u64>>,
    /// Bytes in the journal that a published checkpoint holds.
    published_bytes: AtomicU64,
}

/// By partition, up to where one must have read; or why that is not known.
type ReadIndexes = Result<Arc<Vec<Option<u64>>>, String>;

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

    fn group(&self, PartitionId(partition): PartitionId) -> Option<&Arc<Group>> {
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

    /// The node that leads a partition, as far as is known here.
    #[must_use]
    pub fn leader(&self, PartitionId(partition): PartitionId) -> Option<u64> {
        let raft = self.running.get()?.rafts.get(usize::from(partition))?;
        raft.metrics().borrow().current_leader
    }

    /// Whom to ask about a partition that is not led here: who leads it as far as is known, then
    /// others that have it.
    #[must_use]
    pub fn whom_to_ask(&self, PartitionId(partition): PartitionId) -> Vec<u64> {
        let raft = self
            .running
            .get()
            .and_then(|it| it.rafts.get(usize::from(partition)));
        let Some(raft) = raft else { return Vec::new() };
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader;
        let members = metrics
            .membership_config
            .membership()
            .nodes()
            .map(|(node, _)| *node);
        let others = members.filter(|node| Some(*node) != leader);
        let all = leader.into_iter().chain(others);
        all.filter(|node| *node != self.options.node).collect()
    }

    /// How all groups stand.
    #[must_use]
    pub fn status(&self) -> Vec<GroupStatus> {
        let Some(running) = self.running.get() else {
            return Vec::new();
        };
        let status = |(group, raft): (&Arc<Group>, &Raft<Groups>)| {
            let metrics = raft.metrics().borrow().clone();
            let membership = metrics.membership_config.membership();
            GroupStatus {
                partition: group.partition.0,
                leader: metrics.current_leader,
                term: metrics.current_term,
                voters: membership.voter_ids().collect(),
                learners: membership.learner_ids().collect(),
                members: membership
                    .nodes()
                    .map(|(node, place)| (*node, place.addr.clone()))
                    .collect(),
                last_index: metrics.last_log_index.map_or(0, |index| index + 1),
                applied_index: group.applied.lock().entry(),
                leads_here: group.lead().is_some(),
            }
        };
        running
            .groups
            .iter()
            .zip(&running.rafts)
            .map(status)
            .collect()
    }

    /// A published checkpoint holds everything up to these positions: what no other replica should
    /// need any more may go.
    ///
    /// # Errors
    /// When the store refuses; then nothing is forgotten.
    pub fn purge(&self, published: &[Position]) -> Result<(), StoreError> {
        let Ok(running) = self.running() else {
            return Ok(());
        };
        let mut kept_from = self.kept_from.lock();
        let entries: Vec<u64> = published.iter().map(Position::entry).collect();
        // A replica that was away for a moment shall not need a snapshot for that.
        let upto = if self.is_alone() {
            &entries
        } else {
            &*kept_from
        };
        let letting_go = running.runtime.block_on(self.let_go(running, upto));
        if !letting_go {
            tracing::debug!(
                "Raft has not let go of everything yet; the next checkpoint tries again"
            );
        }
        let gone: Vec<(PartitionId, u64)> = running
            .groups
            .iter()
            .zip(&entries)
            .map(|(group, published)| {
                let purged = journal_index(group.log.word.lock().purged);
                (group.partition, purged.min(*published))
            })
            .collect();
        self.journal.purge(&gone)?;
        let published = running.groups.iter().zip(&entries);
        let bytes =
            published.map(|(group, entry)| self.journal.bytes_upto(group.partition, *entry));
        self.published_bytes.store(bytes.sum(), Ordering::Relaxed);
        *kept_from = entries;
        Ok(())
    }

    /// Has Raft forget entries that a published checkpoint holds. Says whether it has.
    async fn let_go(&self, running: &Running, upto: &[u64]) -> bool {
        for (raft, upto) in running.rafts.iter().zip(upto) {
            if *upto > 0 {
                // Either fails only when the group has ended.
                let _ = raft.trigger().snapshot().await;
                let _ = raft.trigger().purge_log(upto - 1).await;
            }
        }
        let is_gone = || {
            let mut groups = running.groups.iter().zip(upto);
            groups.all(|(group, upto)| journal_index(group.log.word.lock().purged) >= *upto)
        };
        let looking = async {
            while !is_gone() {
                tokio::time::sleep(LET_GO_LOOK_EVERY).await;
                // What was asked for before the snapshot was built is asked for again.
                for (raft, upto) in running
                    .rafts
                    .iter()
                    .zip(upto)
                    .filter(|(_, upto)| **upto > 0)
                {
                    let _ = raft.trigger().purge_log(upto - 1).await;
                }
            }
        };
        tokio::time::timeout(LET_GO_MAX, looking).await.is_ok()
    }

    /// Bytes of all entries that no published checkpoint holds.
    #[must_use]
    pub fn tail_bytes(&self) -> u64 {
        let published = self.published_bytes.load(Ordering::Relaxed);
        self.journal.tail_bytes().saturating_sub(published)
    }

    /// Waits until everything that was acknowledged by anybody before this call is applied here.
    ///
    /// # Errors
    /// When a partition has no leader that answers in time.
    pub async fn read(&self, within: Duration) -> Result<(), ReplicasError> {
        if self.is_alone() {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + within;
        let mut left: Vec<u16> = (0..self.journal.partitions()).collect();
        loop {
            let tried = tokio::time::timeout_at(deadline, self.read_once(&mut left)).await;
            let why = match tried {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => "it took too long".to_owned(),
            };
            let again = tokio::time::Instant::now() + Duration::from_millis(50);
            if again >= deadline {
                let partition = left.first().copied().unwrap_or_default();
                return Err(ReplicasError::NoLeader { partition, why });
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Asks each leader once, and takes those partitions off the list that are read.
    async fn read_once(&self, left: &mut Vec<u16>) -> Result<(), String> {
        let mut by_leader: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        for partition in left.iter() {
            let leader = self
                .leader(PartitionId(*partition))
                .ok_or("nobody leads it")?;
            by_leader.entry(leader).or_default().push(*partition);
        }
        for (leader, partitions) in by_leader {
            let indexes = self.read_indexes(leader).await?;
            for partition in partitions {
                let index = indexes.get(usize::from(partition)).copied().flatten();
                let index = index.ok_or("who led it does no more")?;
                self.applied_upto(PartitionId(partition), index).await?;
                left.retain(|waiting| *waiting != partition);
            }
        }
        Ok(())
    }

    /// Waits until an entry is applied here.
    async fn applied_upto(&self, partition: PartitionId, entry: u64) -> Result<(), String> {
        let group = self.group(partition).ok_or("there is no such partition")?;
        let mut applied = group.applied_entry.subscribe();
        let reached = applied.wait_for(|applied| *applied >= entry).await;
        reached.map(drop).map_err(|_| "the node closes".to_owned())
    }

    /// Of all that a node leads, up to where one must have read: one round for all who ask.
    async fn read_indexes(&self, node: u64) -> Result<Arc<Vec<Option<u64>>>, String> {
        let rounds = Arc::clone(self.reads.lock().entry(node).or_default());
        let all: Vec<u16> = (0..self.journal.partitions()).collect();
        let round = || async {
            if node == self.options.node {
                return Ok(Arc::new(self.own_read_indexes(&all).await));
            }
            let question = Question::ReadIndexes(all.clone());
            match ask(&*self.options.wire, node, &question, READ_ROUND_MAX).await {
                Ok(Answer::ReadIndexes(indexes)) => Ok(Arc::new(indexes)),
                Ok(_) => Err("it answered another question".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let outcome = rounds.join(round).await;
        outcome.unwrap_or_else(|| Err("whoever asked for all was dropped".to_owned()))
    }

    /// Of those partitions that this node leads: confirmed by a quorum.
    async fn own_read_indexes(&self, partitions: &[u16]) -> Vec<Option<u64>> {
        let index = |partition: &u16| {
            // Who is giving the lead away asks nobody: that would make its lease longer.
            let leads = self.lead(PartitionId(*partition)).is_some();
            let raft = self
                .running
                .get()
                .filter(|_| leads)
                .and_then(|running| running.rafts.get(usize::from(*partition)))
                .cloned();
            async move {
                let (read, _) = raft?.get_read_log_id().await.ok()?;
                Some(journal_index(read))
            }
        };
        futures::future::join_all(partitions.iter().map(index)).await
    }

    /// Answers another replica.
    ///
    /// # Errors
    /// When the question is none, or Raft will not.
    pub async fn answer(&self, question: Bytes) -> Result<Bytes, AnswerError> {
        let raft_error = |error: &dyn fmt::Display| AnswerError::Raft(error.to_string());
        let running = self.running().map_err(|error| raft_error(&error))?;
        let raft = |partition: u16| {
            let raft = running.rafts.get(usize::from(partition));
            raft.ok_or(AnswerError::NoPartition(partition))
        };
        let answer = match decode::<Question>(&question)? {
            Question::Append(partition, request) => {
                let response = raft(partition)?.append_entries(request).await;
                Answer::Append(response.map_err(|error| raft_error(&error))?)
            }
            Question::Vote(partition, request) => {
                let response = raft(partition)?.vote(request).await;
                Answer::Vote(response.map_err(|error| raft_error(&error))?)
            }
            Question::ReadIndexes(partitions) => {
                Answer::ReadIndexes(self.own_read_indexes(&partitions).await)
            }
            Question::Elect(partition) => {
                let elected = raft(partition)?.trigger().elect().await;
                elected.map_err(|error| raft_error(&error))?;
                Answer::Done
            }
            Question::Change(partition, change) => {
                Answer::Changed(self.take_step(partition, &change).await)
            }
            Question::Snapshot(part) => Answer::Snapshot(self.take_snapshot_part(*part).await?),
        };
        Ok(encode(&answer))
    }

    /// Takes a part of a snapshot in; Raft judges it when it is whole.
    async fn take_snapshot_part(
        &self,
        part: SnapshotPart,
    ) -> Result<Option<SnapshotResponse<u64>>, AnswerError> {
        let raft_error = |error: &dyn fmt::Display| AnswerError::Raft(error.to_string());
        let running = self.running().map_err(|error| raft_error(&error))?;
        let at = usize::from(part.partition);
        let raft = running.rafts.get(at);
        let raft = raft.ok_or(AnswerError::NoPartition(part.partition))?;
        let vote = part.vote;
        let (arriving, dir) = (Arc::clone(&self.arriving), self.dir.clone());
        let taking = move || {
            let mut arriving = arriving.lock();
            Arriving::take(arriving.entry(part.partition).or_default(), &dir, &part)
        };
        let taken = tokio::task::spawn_blocking(taking).await;
        let taken = taken.map_err(|error| raft_error(&error))?;
        let Some((position, file)) = taken.map_err(AnswerError::Raft)? else {
            return Ok(None);
        };
        let snapshot = openraft::Snapshot {
            meta: meta_of(&position),
            snapshot: Box::new(SnapshotData::Arrived(position, file)),
        };
        let installed = raft.install_full_snapshot(vote, snapshot).await;
        installed.map(Some).map_err(|error| raft_error(&error))
    }

    /// Goes on with a snapshot that was being put into place when the node stopped.
    async fn finish_snapshot(
        &self,
        machine: &Arc<dyn Machine>,
        group: &Group,
    ) -> Result<(), ReplicasError> {
        let failed = |what: String| ReplicasError::Log(what);
        let file = file_of(&self.dir, group.partition);
        let marked = self.state.is_installing(group.partition);
        let Some(position) = marked.map_err(|error| failed(error.to_string()))? else {
            // What has not arrived whole is sent again.
            let _ = std::fs::remove_file(&file);
            return Ok(());
        };
        install(&**machine, &self.state, group.partition, &position, &file).map_err(failed)?;
        let settled = group.settle_at(&self.state, position, &file).await;
        settled.map_err(failed)
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
