//! One partition's group on this node: Raft, driven; what waits, who leads, what is applied.
//!
//! ```text
//! append ─► waiting ─► batch ─► Raft ─► journal and other nodes ─► committed ─► applied: its `Done`s
//! follower ──elected, own first entry applied──► leader ──deposed, or no quorum──► follower
//! ```
//! In: appends of this node's actors, messages of other replicas, word of what is durable, time. Out:
//! batches, one in flight, each holding all that waited; and for each append what became of it: it is
//! acknowledged when its batch is applied, *deposed* when it was never proposed, *unknown* when it may
//! have been. No task of its own moves it: whoever brings something carries it to its end, one at a
//! time, so an entry wakes nobody who does not wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use consign_raft::{Mark, Message, Payload, Raft, RaftOptions, ReadId, Restored, Vote};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::batch::{Batch, LeaderId};
use super::machine::Machine;
use super::messages::encode;
use super::replicas::Position;
use super::store::GroupLog;
use super::wire::ReplicaWire;
use crate::error::AppendError;
use crate::log::{Done, Entry, PartitionId};

/// Entries of one batch at most.
const BATCH_ENTRIES_MAX: usize = 8_192;
/// Bytes after which a batch takes no further entry.
const BATCH_BYTES_MAX: u64 = 1 << 20;

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

/// What is changed by one at a time.
pub(super) struct Core {
    pub(super) raft: Raft<GroupLog>,
    waiting: Vec<Waiting>,
    in_flight: Option<InFlight>,
    tickets: u64,
    /// Somebody applies entries right now.
    pub(super) applying: bool,
    /// This node's lead, and the entry that must be applied before it counts.
    pub(super) lead_after: Option<(LeaderId, u64)>,
    reads: HashMap<ReadId, oneshot::Sender<Option<u64>>>,
    reads_asked: u64,
    /// The entry whose membership the lines are made for.
    located_at: Option<u64>,
    leader_seen: Option<u64>,
}

pub(crate) struct Group {
    pub(crate) partition: PartitionId,
    node: u64,
    pub(crate) log: GroupLog,
    pub(crate) machine: Arc<dyn Machine>,
    pub(super) wire: Arc<dyn ReplicaWire>,
    core: Mutex<Core>,
    began: Instant,
    /// Others know that this node was taken out.
    pub(super) is_out: AtomicBool,
    /// Set while the lead is being moved: nothing more is decided here.
    pub(super) sealed: AtomicBool,
    /// Who may append here: this node, once its own first entry in its term is applied.
    pub(super) lead: Mutex<Option<LeaderId>>,
    /// Who leads has changed, or may have.
    pub(super) lead_changed: Notify,
    /// Replicas that need a snapshot.
    pub(super) snapshots_wanted: Notify,
    pub(super) wants_snapshot: Mutex<Vec<(u64, u64)>>,
    /// Why the journal keeps nothing any more.
    journal_failure: Mutex<Option<String>>,
    pub(crate) applied: Mutex<Position>,
    /// Records that a quorum has and that are being applied here, or are: they may be read.
    pub(crate) committed: AtomicU64,
    /// The entry that was applied last; for those who wait.
    pub(crate) applied_entry: watch::Sender<u64>,
    /// Since when nothing is missing here that was committed by then, ms of this group's life.
    fresh_at: AtomicU64,
}

impl Group {
    pub(crate) fn new(
        partition: PartitionId,
        options: RaftOptions,
        (log, restored): (GroupLog, Restored),
        (machine, wire): (Arc<dyn Machine>, Arc<dyn ReplicaWire>),
        applied: Position,
    ) -> Arc<Group> {
        Arc::new_cyclic(|group| {
            let log = log.heard_by(group.clone());
            let core = Core {
                raft: Raft::new(options, log.clone(), restored, 0),
                waiting: Vec::new(),
                in_flight: None,
                // Batches of an earlier run of this process must not pass for ours.
                tickets: rand::random::<u64>() >> 1,
                applying: false,
                lead_after: None,
                reads: HashMap::new(),
                reads_asked: 0,
                located_at: None,
                leader_seen: None,
            };
            Group {
                partition,
                node: options.node,
                log,
                machine,
                wire,
                core: Mutex::new(core),
                began: Instant::now(),
                is_out: AtomicBool::new(false),
                sealed: AtomicBool::new(false),
                lead: Mutex::default(),
                lead_changed: Notify::new(),
                snapshots_wanted: Notify::new(),
                wants_snapshot: Mutex::default(),
                journal_failure: Mutex::default(),
                committed: AtomicU64::new(applied.records),
                applied_entry: watch::Sender::new(applied.entry()),
                applied: Mutex::new(applied),
                fresh_at: AtomicU64::new(0),
            }
        })
    }

    /// Milliseconds of this group's life.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks at Raft, or brings it something; what follows from that is done before this returns.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core.lock();
        let outcome = act(&mut core);
        self.settle(core);
        outcome
    }

    /// Looks at Raft.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Raft<GroupLog>) -> T) -> T {
        look(&self.core.lock().raft)
    }

    /// Takes an append in, decided under `lead`.
    pub(crate) fn append(&self, lead: LeaderId, entry: Entry, done: Done) {
        if *self.lead.lock() != Some(lead) {
            return done(Err(self.deposed()));
        }
        let mut core = self.core.lock();
        core.waiting.push(Waiting { lead, entry, done });
        if core.in_flight.is_none() {
            self.settle(core);
        }
    }

    /// Under whom this node may append.
    pub(crate) fn lead(&self) -> Option<LeaderId> {
        *self.lead.lock()
    }

    /// Time goes by.
    pub(crate) fn tick(&self) {
        let now = self.now();
        self.act(|core| core.raft.tick(now));
    }

    /// How old what is applied here may be, in milliseconds: since when all is here that its leader
    /// had committed by then.
    pub(crate) fn staleness(&self) -> u64 {
        let (heard_at, commit) = self.look(Raft::commit_heard);
        let applied = *self.applied_entry.borrow();
        if applied >= commit {
            self.fresh_at.store(heard_at, Ordering::Relaxed);
        }
        let fresh_at = self.fresh_at.load(Ordering::Relaxed);
        self.now().saturating_sub(fresh_at)
    }

    /// Takes another replica's message.
    pub(crate) fn receive(&self, from: u64, message: Message) {
        let now = self.now();
        self.act(|core| core.raft.receive(now, from, message));
    }

    pub(crate) fn durable(&self, upto: Mark) {
        self.act(|core| core.raft.durable(upto));
    }

    pub(crate) fn vote_saved(&self, vote: Vote) {
        self.act(|core| core.raft.vote_saved(vote));
    }

    /// The journal keeps nothing any more. May be told by a thread that holds the group.
    pub(crate) fn journal_failed(&self, reason: &str) {
        self.journal_failure.lock().get_or_insert(reason.to_owned());
        self.lead_changed.notify_one();
    }

    /// Stops Raft, if the journal has failed.
    pub(super) fn mind_journal(&self) {
        let failure = self.journal_failure.lock().clone();
        if let Some(reason) = failure {
            self.act(|core| core.raft.halt(&reason));
        }
    }

    /// Up to where one must have read, confirmed by a quorum; none when this node does not lead.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        let (tell, hear) = oneshot::channel();
        self.act(|core| {
            core.reads_asked += 1;
            let id = ReadId(core.reads_asked);
            core.reads.insert(id, tell);
            core.raft.read(id);
        });
        hear.await.ok().flatten()
    }

    pub(super) fn deposed(&self) -> AppendError {
        AppendError::Deposed {
            partition: self.partition,
        }
    }

    fn unknown(&self) -> AppendError {
        AppendError::Unknown {
            partition: self.partition,
        }
    }

    /// Does what follows from what has just been brought, until nothing does.
    fn settle<'a>(&'a self, mut core: MutexGuard<'a, Core>) {
        loop {
            self.propose_what_waits(&mut core);
            self.say(&mut core);
            let applicable = core.raft.applicable();
            let applied = *self.applied_entry.borrow();
            if core.applying || applicable <= applied {
                break;
            }
            core.applying = true;
            drop(core);
            let went_well = self.apply(applied + 1, applicable);
            core = self.core.lock();
            core.applying = false;
            if let Err(reason) = went_well {
                core.raft.halt(&reason);
                self.machine.failed(&reason);
                break;
            }
        }
        self.mind_out(&core.raft);
        self.mind_lead(&mut core);
    }

    /// Proposes a leader's first entry, and all that waits unless a batch is in flight.
    fn propose_what_waits(&self, core: &mut Core) {
        let lead = self.raft_lead(&core.raft);
        if core.lead_after.map(|(lead, _)| lead) != lead {
            core.lead_after = None;
            if let Some(lead) = lead
                && let Ok(first) = core.raft.propose(Payload::Blank)
            {
                core.lead_after = Some((lead, first.index));
            }
        }
        while core.in_flight.is_none()
            && let Some((lead, entries, dones)) = gather(&mut core.waiting)
        {
            // Who was deposed meanwhile has answered what it knew of; this came too late.
            if *self.lead.lock() == Some(lead) {
                let ticket = core.tickets;
                core.tickets += 1;
                let Batch(bytes) = Batch::of(lead, ticket, entries.iter());
                if core.raft.propose(Payload::Data(bytes)).is_ok() {
                    core.in_flight = Some(InFlight { ticket, dones });
                    return;
                }
            }
            dones.into_iter().for_each(|done| done(Err(self.deposed())));
        }
    }

    /// This node, if Raft says that it leads and the lead is not being given away.
    fn raft_lead(&self, raft: &Raft<GroupLog>) -> Option<LeaderId> {
        let leads = raft.leads() && !self.sealed.load(Ordering::SeqCst);
        leads.then(|| LeaderId {
            term: raft.vote().term,
            node: self.node,
        })
    }

    /// Sends messages, answers reads, asks for snapshots to be sent.
    fn say(&self, core: &mut Core) {
        let mut before: Option<(Message, bytes::Bytes)> = None;
        let changed_at = core.raft.membership_at();
        if core.located_at != changed_at {
            core.located_at = changed_at;
            for (node, address) in core.raft.membership().nodes() {
                // Who ran alone when that was written has none; what the settings say of it stays.
                if node != self.node && !address.is_empty() {
                    self.wire.locate(node, address);
                }
            }
        }
        for (to, message) in core.raft.take_messages() {
            // To all followers that keep up, the same is said.
            let bytes = match &before {
                Some((said, bytes)) if said.says_the_same(&message) => bytes.clone(),
                _ => encode(&(self.partition.0, &message)),
            };
            self.wire.tell(to, bytes.clone());
            before = Some((message, bytes));
        }
        for (id, index) in core.raft.take_reads() {
            if let Some(tell) = core.reads.remove(&id) {
                // Who asked may have gone.
                let _ = tell.send(index);
            }
        }
        let term = core.raft.vote().term;
        let wanted = core.raft.take_snapshots_wanted();
        if !wanted.is_empty() {
            let wanted = wanted.into_iter().map(|node| (node, term));
            self.wants_snapshot.lock().extend(wanted);
            self.snapshots_wanted.notify_one();
        }
    }

    /// Has the lead taken over, or given up, if that is due.
    fn mind_lead(&self, core: &mut Core) {
        let applied = *self.applied_entry.borrow();
        let due = core
            .lead_after
            .filter(|(_, first)| *first <= applied)
            .map(|(lead, _)| lead);
        let leader = core.raft.leader();
        if due != self.lead() || leader != core.leader_seen {
            core.leader_seen = leader;
            self.lead_changed.notify_one();
        }
    }

    /// Under whom this node should lead by now.
    pub(super) fn due_lead(&self) -> Option<LeaderId> {
        let core = self.core.lock();
        let applied = *self.applied_entry.borrow();
        let (lead, first) = core.lead_after?;
        let is_due = first <= applied && self.raft_lead(&core.raft) == Some(lead);
        is_due.then_some(lead)
    }

    /// Who waits for the batch with this ticket, if it was made here and is still waited for.
    pub(super) fn take_in_flight(&self, ticket: u64) -> Option<Vec<Done>> {
        let in_flight = &mut self.core.lock().in_flight;
        let is_it = in_flight.as_ref().is_some_and(|it| it.ticket == ticket);
        is_it.then(|| in_flight.take()).flatten().map(|it| it.dones)
    }

    /// Nothing more is decided here. Who waits hears so: it was not done, or it may have been.
    pub(super) fn give_up(&self, lead: LeaderId) {
        tracing::warn!(partition = %self.partition, %lead, "leads no more");
        *self.lead.lock() = None;
        let (waiting, in_flight) = {
            let mut core = self.core.lock();
            (std::mem::take(&mut core.waiting), core.in_flight.take())
        };
        for waiting in waiting {
            (waiting.done)(Err(self.deposed()));
        }
        for done in in_flight.into_iter().flat_map(|it| it.dones) {
            done(Err(self.unknown()));
        }
        self.machine.follow(self.partition);
    }
}

/// All that waits, up to a batch's bounds, under one leader.
fn gather(waiting: &mut Vec<Waiting>) -> Option<(LeaderId, Vec<Entry>, Vec<Done>)> {
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
    let taken = waiting.drain(..count);
    let (entries, dones) = taken.map(|it| (it.entry, it.done)).unzip();
    Some((lead, entries, dones))
}
