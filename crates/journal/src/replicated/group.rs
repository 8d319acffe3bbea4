//! One partition's group on this node: what waits, who leads, what is applied.
//!
//! ```text
//! follower ──elected, own first entry applied──► leader ──no quorum, or another term──► follower
//! ```
//! In: appends of this node's actors, and Raft's word on who leads. Out: batches, one in flight, each
//! holding all that waited; and for each append what became of it. An append is acknowledged when its
//! batch is applied. It is *deposed* when it was never proposed, *unknown* when it may have been.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::{Raft, ServerState};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::Groups;
use super::batch::{Batch, LeaderId};
use super::machine::Machine;
use super::replicas::Position;
use super::store::GroupLog;
use crate::error::AppendError;
use crate::log::{Done, Entry, PartitionId};
use crate::state::StateStore;

/// Entries of one batch at most.
const BATCH_ENTRIES_MAX: usize = 8_192;
/// Bytes after which a batch takes no further entry.
const BATCH_BYTES_MAX: u64 = 1 << 20;
/// How often a leader looks whether it still has a quorum.
const QUORUM_LOOK_EVERY: Duration = Duration::from_millis(100);

/// An append that waits for its batch.
struct Waiting {
    lead: LeaderId,
    entry: Entry,
    done: Done,
}

/// The batch in flight.
struct InFlight {
    ticket: u64,
    dones: Vec<Done>,
}

pub(crate) struct Group {
    pub(crate) partition: PartitionId,
    pub(crate) log: GroupLog,
    pub(crate) machine: Arc<dyn Machine>,
    waiting: Mutex<Vec<Waiting>>,
    work: Notify,
    in_flight: Mutex<Option<InFlight>>,
    tickets: AtomicU64,
    /// Set while the lead is being moved: nothing more is decided here.
    sealed: AtomicBool,
    /// Who may append here: this node, once its own first entry in its term is applied.
    lead: Mutex<Option<LeaderId>>,
    pub(crate) applied: Mutex<Position>,
    /// Records that a quorum has and that are being applied here, or are: they may be read.
    pub(crate) committed: AtomicU64,
    /// Raft's entry that was applied last, as the journal counts; for those who wait.
    pub(crate) applied_entry: watch::Sender<u64>,
}

impl Group {
    pub(crate) fn new(
        partition: PartitionId,
        log: GroupLog,
        machine: Arc<dyn Machine>,
        applied: Position,
    ) -> Group {
        Group {
            partition,
            log,
            machine,
            waiting: Mutex::default(),
            work: Notify::new(),
            in_flight: Mutex::default(),
            // Batches of an earlier run of this process must not pass for ours.
            tickets: AtomicU64::new(rand::random::<u64>() >> 1),
            sealed: AtomicBool::new(false),
            lead: Mutex::default(),
            committed: AtomicU64::new(applied.records),
            applied_entry: watch::Sender::new(applied.entry()),
            applied: Mutex::new(applied),
        }
    }

    /// Takes an append in, decided under `lead`.
    pub(crate) fn append(&self, lead: LeaderId, entry: Entry, done: Done) {
        if *self.lead.lock() != Some(lead) {
            return done(Err(self.deposed()));
        }
        self.waiting.lock().push(Waiting { lead, entry, done });
        self.work.notify_one();
    }

    /// Under whom this node may append.
    pub(crate) fn lead(&self) -> Option<LeaderId> {
        *self.lead.lock()
    }

    /// Gives the lead up at once, and does not take it again before it is unsealed.
    pub(crate) fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::SeqCst);
        if sealed && let Some(lead) = self.lead() {
            self.give_up(lead);
        }
    }

    fn deposed(&self) -> AppendError {
        AppendError::Deposed {
            partition: self.partition,
        }
    }

    fn unknown(&self) -> AppendError {
        AppendError::Unknown {
            partition: self.partition,
        }
    }

    /// Who waits for the batch with this ticket, if it was made here and is still waited for.
    pub(crate) fn take_in_flight(&self, ticket: u64) -> Option<Vec<Done>> {
        let mut in_flight = self.in_flight.lock();
        let is_it = in_flight.as_ref().is_some_and(|it| it.ticket == ticket);
        is_it.then(|| in_flight.take()).flatten().map(|it| it.dones)
    }

    /// Proposes all that waits, batch by batch.
    pub(crate) async fn propose(self: Arc<Self>, raft: Raft<Groups>) {
        loop {
            self.work.notified().await;
            while let Some((lead, entries, dones)) = self.gather() {
                self.propose_batch(&raft, lead, &entries, dones).await;
            }
        }
    }

    /// All that waits, up to a batch's bounds, under one leader.
    fn gather(&self) -> Option<(LeaderId, Vec<Entry>, Vec<Done>)> {
        let mut waiting = self.waiting.lock();
        let lead = waiting.first()?.lead;
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.entry.size();
            waiting.lead == lead && (bytes <= BATCH_BYTES_MAX || bytes == waiting.entry.size())
        };
        let count = waiting
            .iter()
            .take(BATCH_ENTRIES_MAX)
            .take_while(fits)
            .count();
        let taken: Vec<Waiting> = waiting.drain(..count).collect();
        drop(waiting);
        let pairs = taken.into_iter().map(|it| (it.entry, it.done));
        let (entries, dones) = pairs.unzip();
        Some((lead, entries, dones))
    }

    /// Proposes a batch; those who wait for it hear what became of it.
    async fn propose_batch(
        &self,
        raft: &Raft<Groups>,
        lead: LeaderId,
        entries: &[Entry],
        dones: Vec<Done>,
    ) {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let batch = Batch::of(lead, ticket, entries.iter());
        *self.in_flight.lock() = Some(InFlight { ticket, dones });
        // A leader that was deposed meanwhile has answered what it knew of; this came too late.
        if *self.lead.lock() != Some(lead) {
            for done in self.take_in_flight(ticket).into_iter().flatten() {
                done(Err(self.deposed()));
            }
            return;
        }
        let written = raft.client_write(batch).await;
        let unheard = self.take_in_flight(ticket);
        let Err(error) = written else { return };
        tracing::debug!(partition = %self.partition, %error, "a batch was not committed here");
        for done in unheard.into_iter().flatten() {
            done(Err(self.unknown()));
        }
    }

    /// Follows Raft's word on who leads; takes over and gives up.
    pub(crate) async fn watch(self: Arc<Self>, raft: Raft<Groups>, seal_after: Duration) {
        let mut metrics = raft.server_metrics();
        let mut leader_before = None;
        let mut looks = tokio::time::interval(QUORUM_LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let seal_after_ms = u64::try_from(seal_after.as_millis()).unwrap_or(u64::MAX);
        loop {
            let wanted = {
                let quorum = raft
                    .metrics()
                    .borrow()
                    .millis_since_quorum_ack
                    .is_none_or(|millis| millis < seal_after_ms);
                let metrics = metrics.borrow_and_update();
                let leads = metrics.state == ServerState::Leader && metrics.vote.is_committed();
                let leader = metrics.vote.leader_id();
                let sealed = self.sealed.load(Ordering::SeqCst);
                (leads && quorum && !sealed).then_some(LeaderId {
                    term: leader.term,
                    node: leader.node_id,
                })
            };
            let current = self.lead();
            if current != wanted {
                if let Some(lead) = current {
                    self.give_up(lead);
                }
                if let Some(lead) = wanted {
                    let taking = self.take_over(&raft, lead);
                    // Without a quorum it would take for ever; the next look tries again.
                    let _ = tokio::time::timeout(seal_after, taking).await;
                }
            }
            let leader = metrics.borrow().current_leader;
            if leader != leader_before && leader.is_some() {
                self.machine.leader_changed(self.partition);
            }
            leader_before = leader;
            tokio::select! {
                biased;
                changed = metrics.changed() => if changed.is_err() { return },
                _ = looks.tick() => {}
            }
        }
    }

    /// Leads once an entry of its own is applied: everything that was acknowledged before is, too.
    async fn take_over(&self, raft: &Raft<Groups>, lead: LeaderId) {
        // Apart from what is in flight: nobody waits for it but this.
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let first = Batch::of(lead, ticket, [].iter());
        if raft.client_write(first).await.is_err() {
            return;
        }
        if self.sealed.load(Ordering::SeqCst) {
            return;
        }
        tracing::info!(partition = %self.partition, %lead, "leads");
        *self.lead.lock() = Some(lead);
        let (machine, partition) = (Arc::clone(&self.machine), self.partition);
        let told = tokio::task::spawn_blocking(move || machine.lead(partition, lead));
        if told.await.is_err() {
            tracing::error!(partition = %self.partition, "the machine failed to take over");
        }
        // Given up meanwhile, because the lead is being moved: that word may have come first.
        if self.lead() != Some(lead) {
            self.machine.follow(self.partition);
        }
    }

    /// Nothing more is decided here. Who waits hears so: it was not done, or it may have been.
    fn give_up(&self, lead: LeaderId) {
        tracing::warn!(partition = %self.partition, %lead, "leads no more");
        *self.lead.lock() = None;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for waiting in waiting {
            (waiting.done)(Err(self.deposed()));
        }
        let in_flight = self.in_flight.lock().take();
        for done in in_flight.map(|it| it.dones).into_iter().flatten() {
            done(Err(self.unknown()));
        }
        self.machine.follow(self.partition);
    }

    /// Rows have been replaced by those of a snapshot: the log goes on after it.
    pub(crate) async fn settle_at(
        &self,
        state: &StateStore,
        position: Position,
        file: &Path,
    ) -> Result<(), String> {
        if let Some(log_id) = position.log_id {
            let jumped = self.log.let_go(log_id, Some(position.records));
            // Without it the mark must stay.
            jumped.await.map_err(|error| error.to_string())?;
        }
        tracing::info!(partition = %self.partition, records = position.records, "has a snapshot");
        let entry = position.entry();
        self.committed.store(position.records, Ordering::Release);
        *self.applied.lock() = position;
        self.applied_entry.send_replace(entry);
        let unmarked = state.write(&[StateStore::installing(self.partition, None)]);
        unmarked.map_err(|error| error.to_string())?;
        // It would only be written over by the next one.
        let _ = std::fs::remove_file(file);
        Ok(())
    }

    /// Gives up for good: the node closes.
    pub(crate) fn close(&self) {
        if let Some(lead) = self.lead() {
            self.give_up(lead);
        }
    }
}
