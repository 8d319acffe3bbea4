//! All entities of one kind on this node: routing, loading, publishing.
//!
//! In: commands for ids. Out: each on its way to the one actor of its entity. Routing is
//! synchronous under a shard's lock: a mail goes to the mailbox that stands there, or a new actor
//! takes its place with it; so an actor that retires under the same lock leaves no mail behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use consign_domain::entity::Entity;
use consign_journal::{AppendError, Committed, Entry, LeaderId, PartitionId};
use parking_lot::Mutex;
use ractor::{ActorRef, ActorRuntime};

use crate::actor::{EntityActor, EntityState};
use crate::batch::{Fate, Finished};
use crate::behaviour::Behaviour;
use crate::codec;
use crate::mailbox::{Asker, Errand, Mail, Mailbox, Sent};
use crate::metering::HostMetrics;
use crate::quarantine::Quarantine;
use crate::rows::Head;
use crate::shared::NodeInner;
use crate::supervision::Failed;
use crate::types::{EntityRef, Health, Peer, ReadError, TellError, partition_of};
use crate::warm::{Next, Warm};

const SHARDS: usize = 64;
/// Actors without an entity that are kept for the next ones; an idle one takes some 7 KB.
const IDLE_ACTORS_MAX: usize = 1_024;

type Slots<E> = HashMap<<E as Entity>::Id, Arc<Mailbox<E>>>;

/// What all parts of a host share.
pub(crate) struct HostInner<E: Entity> {
    pub(crate) node: Arc<NodeInner>,
    pub(crate) behaviour: Arc<dyn Behaviour<E>>,
    pub(crate) warm: Warm<E>,
    pub(crate) quarantine: Quarantine<E::Id>,
    pub(crate) metrics: HostMetrics,
    /// Whether entities of this kind stay in memory.
    pub(crate) resident: bool,
    pub(crate) supervisor: OnceLock<ActorRef<Failed<E>>>,
    slots: Vec<Mutex<Slots<E>>>,
    /// Actors that live, as an entity.
    actors: AtomicUsize,
    /// Actors that have retired and may become another entity; none once the host has ended.
    idle: Mutex<Option<Vec<ActorRef<Errand<E>>>>>,
    hasher: std::hash::RandomState,
}

/// An entity as the disk has it.
pub(crate) struct Loaded<E> {
    pub(crate) state: Arc<E>,
    pub(crate) index: u64,
    pub(crate) bytes: usize,
}

impl<E: Entity> HostInner<E> {
    pub(crate) fn new(node: Arc<NodeInner>, behaviour: Arc<dyn Behaviour<E>>) -> HostInner<E> {
        let resident = behaviour.preload();
        let clean_max = if resident {
            usize::MAX
        } else {
            node.resident_max
        };
        HostInner {
            warm: Warm::new(clean_max, Arc::clone(&node.dirty)),
            quarantine: Quarantine::default(),
            metrics: HostMetrics::new(E::KIND),
            resident,
            supervisor: OnceLock::new(),
            slots: (0..SHARDS).map(|_| Mutex::default()).collect(),
            actors: AtomicUsize::new(0),
            idle: Mutex::new(Some(Vec::new())),
            hasher: std::hash::RandomState::new(),
            node,
            behaviour,
        }
    }

    fn slots(&self, id: &E::Id) -> &Mutex<Slots<E>> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one(id) % SHARDS as u64;
        &self.slots[usize::try_from(hash).unwrap_or_default()]
    }

    /// The host's own time, for what is not durable.
    pub(crate) fn now_ms(&self) -> u64 {
        self.node.uptime_ms()
    }

    pub(crate) fn partition(&self, entity: &EntityRef) -> PartitionId {
        PartitionId(partition_of(entity.id(), self.node.partitions))
    }

    /// Whether the entity lives on this node.
    pub(crate) fn lives_here(&self, id: &E::Id) -> bool {
        self.node.leads(self.partition(&EntityRef::of::<E>(id)))
    }

    /// Brings a mail to its entity. Gives it back when the mailbox is full, or the entity lives
    /// elsewhere.
    pub(crate) fn send(self: &Arc<Self>, id: &E::Id, mail: Mail<E>) -> Result<(), Mail<E>> {
        let mut slots = self.slots(id).lock();
        if let Some(mailbox) = slots.get(id) {
            return mailbox.put(mail);
        }
        // Under the lock: whoever gives a partition up comes by afterwards.
        if !self.lives_here(id) {
            return Err(mail);
        }
        let mailbox = Arc::new(Mailbox::new());
        mailbox.put(mail)?;
        slots.insert(id.clone(), Arc::clone(&mailbox));
        self.actors.fetch_add(1, Ordering::Relaxed);
        self.spawn(id, &mailbox);
        Ok(())
    }

    /// A message between entities. One that finds no room is dropped: its effect stays pending.
    pub(crate) fn tell(self: &Arc<Self>, id: &E::Id, command: E::Command, from: Peer) {
        let goes_out = if self.lives_here(id) {
            self.node.carries_own()
        } else {
            !self.node.is_alone()
        };
        if !goes_out {
            self.tell_here(id, command, from);
        } else if self.node.takes_messages() {
            self.tell_there(id, &command, &from);
        }
    }

    /// A message that has come to the node of its entity.
    pub(crate) fn tell_here(self: &Arc<Self>, id: &E::Id, command: E::Command, from: Peer) {
        if !self.node.takes_messages() {
            return;
        }
        if self.quarantine.holds(id) {
            if !from.is_nobody() {
                self.behaviour
                    .answered(id, vec![(from, Err(TellError::Quarantined))]);
            }
            return;
        }
        let mail = Mail::Command(Sent {
            command,
            asker: Asker::Peer(from),
        });
        if self.send(id, mail).is_err() {
            self.metrics.dropped.increment(1);
        }
    }

    /// Gives a mail to the actor, if there is one.
    pub(crate) fn nudge(&self, id: &E::Id, mail: Mail<E>) {
        let slots = self.slots(id).lock();
        if let Some(mailbox) = slots.get(id) {
            let _ = mailbox.put(mail);
        }
    }

    /// Puts an actor into the place: one that is idle, else a new one.
    pub(crate) fn spawn(self: &Arc<Self>, id: &E::Id, mailbox: &Arc<Mailbox<E>>) {
        let Some(handle) = self.node.runtime.get() else {
            return;
        };
        self.metrics.spawned.increment(1);
        let state = EntityState::new(Arc::clone(self), id.clone(), Arc::clone(mailbox), 0);
        let mut state = Box::new(state);
        let idle = self.idle.lock().as_mut().and_then(Vec::pop);
        if let Some(actor) = idle {
            match mailbox.embody(actor, state) {
                Ok(()) => return,
                Err(given_back) => state = given_back,
            }
        }
        let _inside = handle.enter();
        match ActorRuntime::spawn_instant(None, EntityActor::<E>::default(), state) {
            Ok((actor, _)) => mailbox.occupy(actor),
            // Only a name that is taken can fail, and these have none.
            Err(error) => tracing::error!(kind = E::KIND, entity = %id, %error, "cannot spawn"),
        }
    }

    /// Keeps an actor that has retired for the next entity, or ends it.
    pub(crate) fn idle(&self, actor: ActorRef<Errand<E>>) {
        match self.idle.lock().as_mut() {
            Some(idle) if idle.len() < IDLE_ACTORS_MAX => idle.push(actor),
            _ => actor.stop(None),
        }
    }

    /// Actors that wait for an entity.
    pub(crate) fn idle_actors(&self) -> usize {
        self.idle.lock().as_ref().map_or(0, Vec::len)
    }

    /// Ends all actors that are idle, and those that will be.
    pub(crate) fn end_idle(&self) {
        for actor in self.idle.lock().take().into_iter().flatten() {
            actor.stop(None);
        }
    }

    /// Takes an actor out of its place, if it has received all that was sent.
    pub(crate) fn retire(&self, id: &E::Id, mailbox: &Arc<Mailbox<E>>, received: u64) -> bool {
        let mut slots = self.slots(id).lock();
        if !mailbox.is_done(received) {
            return false;
        }
        if slots
            .get(id)
            .is_some_and(|place| Arc::ptr_eq(place, mailbox))
        {
            slots.remove(id);
            self.actors.fetch_sub(1, Ordering::Relaxed);
        }
        self.metrics.retired.increment(1);
        true
    }

    /// Takes a place away with all mails in it.
    pub(crate) fn abandon(&self, id: &E::Id, mailbox: &Arc<Mailbox<E>>) -> Vec<Mail<E>> {
        let mut slots = self.slots(id).lock();
        let mut mails = Vec::new();
        mailbox.take(&mut mails);
        if slots
            .get(id)
            .is_some_and(|place| Arc::ptr_eq(place, mailbox))
        {
            slots.remove(id);
            self.actors.fetch_sub(1, Ordering::Relaxed);
        }
        mails
    }

    /// Actors that live.
    pub(crate) fn resident_actors(&self) -> usize {
        self.actors.load(Ordering::Relaxed)
    }

    /// Whether actors that only wait for answers should leave.
    pub(crate) fn is_crowded(&self) -> bool {
        self.resident_actors() > self.node.actors_max
    }

    /// All places, a shard at a time.
    pub(crate) fn each_place(&self, mut visit: impl FnMut(&E::Id, &Arc<Mailbox<E>>)) {
        for slots in &self.slots {
            for (id, mailbox) in slots.lock().iter() {
                visit(id, mailbox);
            }
        }
    }

    /// Forgets all places: the host has ended.
    pub(crate) fn clear_places(&self) {
        for slots in &self.slots {
            slots.lock().clear();
        }
    }

    /// Writes a decided batch; its mailbox hears when that has ended.
    pub(crate) fn append(
        self: &Arc<Self>,
        lead: Option<LeaderId>,
        entity: &EntityRef,
        id: &E::Id,
        mailbox: &Arc<Mailbox<E>>,
        body: Bytes,
        mut finished: Box<Finished<E>>,
    ) {
        mailbox.set_in_flight();
        let Some(stores) = self.node.stores() else {
            finished.fate = Fate::Stopped("the node is closed".into());
            return mailbox.finish(finished);
        };
        let partition = self.partition(entity);
        let Some(lead) = lead else {
            finished.fate = Fate::Lost("the partition is led elsewhere".into());
            return mailbox.finish(finished);
        };
        let entry = Entry {
            entity: Bytes::from(entity.to_bytes()),
            expected: finished.expected,
            body,
            private: finished.private.clone(),
        };
        let (host, mailbox) = (Arc::clone(self), Arc::clone(mailbox));
        let (id, entity) = (id.clone(), entity.clone());
        let done = move |result| host.complete(&id, entity, &mailbox, finished, result);
        stores.log.append(partition, lead, entry, Box::new(done));
    }

    /// In the order of records: a quorum has the batch, so its state becomes the newest. What
    /// checkpoints and readers see follows the journal, not the actors' pace.
    fn complete(
        &self,
        id: &E::Id,
        entity: EntityRef,
        mailbox: &Mailbox<E>,
        mut finished: Box<Finished<E>>,
        result: Result<Committed, AppendError>,
    ) {
        finished.fate = match result {
            Ok(committed) => {
                let fate = self.publish(id, entity, &mut finished, committed.index);
                self.node.applied(committed.partition, committed.index);
                fate
            }
            Err(error @ (AppendError::TooLarge { .. } | AppendError::NoPartition { .. })) => {
                tracing::error!(kind = E::KIND, entity = %id, %error, "the journal refuses a batch");
                Fate::Refused(error.to_string().into())
            }
            Err(error @ (AppendError::Deposed { .. } | AppendError::Unknown { .. })) => {
                match self.node.health() {
                    Health::Stopped { reason } => Fate::Stopped(reason.into()),
                    _ => Fate::Lost(error.to_string().into()),
                }
            }
            Err(error) => {
                let reason = error.to_string();
                self.node.stop_because(&reason);
                Fate::Stopped(reason.into())
            }
        };
        mailbox.finish(finished);
    }

    fn publish(
        &self,
        id: &E::Id,
        entity: EntityRef,
        finished: &mut Finished<E>,
        index: u64,
    ) -> Fate {
        if finished.changes() {
            let touched = std::mem::take(&mut finished.touched);
            let private = finished.private.take();
            let next = match &finished.state {
                Some(state) => Next::State(state),
                None => Next::Steps(&finished.steps),
            };
            let expected = finished.expected;
            match self
                .warm
                .publish(id, expected, next, index, touched, private)
            {
                Some(true) => self.node.overlay.changed(entity),
                Some(false) => {}
                None => {
                    tracing::error!(kind = E::KIND, entity = %id, index, "a record was decided on an overtaken state");
                    return Fate::Fenced;
                }
            }
        }
        for (key, remembered) in finished.keyed.drain(..) {
            self.node.commands.record(key, remembered);
        }
        Fate::Durable
    }

    /// The newest committed state, if the entity exists.
    pub(crate) fn read(&self, id: &E::Id) -> Result<Option<Arc<E>>, ReadError> {
        let seen = match self.warm.get(id) {
            Ok(state) => return Ok((state.version() > 0).then_some(state)),
            Err(seen) => seen,
        };
        let Some(loaded) = self.load(id)? else {
            return Ok(None);
        };
        self.warm
            .keep(id, &loaded.state, loaded.index, loaded.bytes, seen);
        Ok((loaded.state.version() > 0).then_some(loaded.state))
    }

    pub(crate) fn load_or_empty(&self, id: &E::Id) -> Result<Arc<E>, ReadError> {
        match self.warm.get(id) {
            Ok(state) => Ok(state),
            Err(_) => {
                let state = self.read(id)?;
                Ok(state.unwrap_or_else(|| Arc::new(E::empty(id.clone()))))
            }
        }
    }

    /// As [`HostInner::load_or_empty`], of an entity that the disk cannot have.
    pub(crate) fn in_memory_or_empty(&self, id: &E::Id) -> Arc<E> {
        let state = self.warm.get(id);
        state.unwrap_or_else(|_| Arc::new(E::empty(id.clone())))
    }

    /// The entity as the disk has it.
    pub(crate) fn load(&self, id: &E::Id) -> Result<Option<Loaded<E>>, ReadError> {
        let entity = EntityRef::of::<E>(id).to_bytes();
        let store = self.node.store()?;
        let Some(head) = store.head(&entity)? else {
            return Ok(None);
        };
        let mut bytes = head.len();
        let head: Head = codec::decode(&head)?;
        self.metrics.loaded.increment(1);
        let mut parts: Vec<(E::PartKey, E::Part)> = Vec::new();
        let mut wrong = None;
        let mut take_in = |key: &[u8], value: &[u8]| {
            match (codec::decode(key), codec::decode(value)) {
                (Ok(key), Ok(part)) => parts.push((key, part)),
                (Err(error), _) | (_, Err(error)) => wrong = Some(error),
            }
            wrong.is_none()
        };
        if let Some((key, value)) = &head.part {
            take_in(key, value);
        }
        if !E::ONE_PART {
            let prefix_bytes = entity.len() + 1;
            store.each_part(&entity, &mut |key, value| {
                bytes += key.len() + value.len();
                take_in(&key[prefix_bytes..], value)
            })?;
        }
        if let Some(error) = wrong {
            return Err(error.into());
        }
        parts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut state = E::assemble(id.clone(), parts);
        if let Some(private) = store.private(&entity)? {
            bytes += private.len();
            state.apply_private(&codec::decode(&private)?);
        }
        Ok(Some(Loaded {
            state: Arc::new(state),
            index: head.index,
            bytes,
        }))
    }

    /// Commands of the entity panicked, or its actor failed: repeatedly so sets it aside.
    pub(crate) fn failed(&self, id: &E::Id, times: u32) {
        self.metrics.panics.increment(u64::from(times));
        if self.quarantine.count(id, times) {
            tracing::error!(kind = E::KIND, entity = %id, "quarantined after repeated failures");
        }
    }

    /// The entity's actor ended without having retired.
    pub(crate) fn actor_failed(&self, id: &E::Id, mailbox: &Arc<Mailbox<E>>) {
        mailbox.vacate();
        if self.node.takes_messages()
            && let Some(supervisor) = self.supervisor.get()
        {
            let failed = Failed {
                id: id.clone(),
                mailbox: Arc::clone(mailbox),
            };
            let _ = supervisor.send_message(failed);
        }
    }
}
