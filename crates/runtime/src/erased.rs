//! A host without its kind: what the node asks of all hosts alike.

use std::sync::Arc;

use consign_domain::entity::Entity;
use consign_domain::time::Timestamp;
use consign_journal::{Entry, PartitionId};
use ractor::ActorRuntime;
use serde_bytes::ByteBuf;

use crate::batch::take_in;
use crate::codec::{self, Record};
use crate::entity_rows::{attention_of, list_records, write_index};
use crate::host::HostInner;
use crate::mailbox::{Asker, Mail, Sent};
use crate::overlay::Row;
use crate::remote::{AskOf, Bytesing, ToldOf};
use crate::rows::{self, Attention, Head};
use crate::store::{Store, Table, Write, write, write_bytes};
use crate::supervision::Supervisor;
use crate::types::{EntityRef, Peer, ReadError, Remembered};

/// What a checkpoint writes of one entity.
pub(crate) struct EntityWrites {
    pub(crate) entity: EntityRef,
    pub(crate) writes: Vec<Write>,
    pub(crate) bytes: usize,
}

/// What the node asks of a host, whatever its kind.
pub(crate) trait AnyHost: Send + Sync {
    fn kind_code(&self) -> u8;
    fn kind(&self) -> &'static str;
    fn preloads(&self) -> bool;
    /// Brings all stored entities into memory.
    fn load_all(&self) -> Result<usize, ReadError>;
    /// Takes a record of the journal's tail in again.
    fn replay(
        &self,
        partition: PartitionId,
        index: u64,
        entry: &Entry,
    ) -> Result<Timestamp, ReadError>;
    /// Why the entity must be looked at, from its state in memory.
    fn attention(&self, entity: &EntityRef) -> Option<Attention>;
    /// The entities in memory whose state the disk does not have yet, or not for certain.
    fn unsettled(&self) -> Vec<EntityRef>;
    /// Takes in a message from another node.
    fn told(self: Arc<Self>, told: ToldOf);
    /// Answers a question of another node.
    fn asked(self: Arc<Self>, asked: AskOf) -> Bytesing;
    /// Forgets entities that are in memory: the disk knows better.
    fn forget(&self, is_gone: &dyn Fn(&EntityRef) -> bool);
    /// Brings an entity that stays in memory there, as the disk has it.
    fn reload(&self, entity: &EntityRef) -> Result<(), ReadError>;
    /// Tells the actors of a partition's entities that it is led elsewhere.
    fn moved(&self, partition: PartitionId);
    /// Tells the behaviour of every entity in memory.
    fn recovered(&self);
    fn start(self: Arc<Self>);
    /// Wakes an entity that has something pending.
    fn wake_pending(self: Arc<Self>, entity: &EntityRef);
    /// Wakes an entity whose moment has come.
    fn wake_due(self: Arc<Self>, entity: &EntityRef, now: Timestamp);
    /// Has actors send again at once what nobody has answered.
    fn resend(&self);
    /// Reminds actors whose effects are due again.
    fn remind(&self);
    fn dirty(&self) -> Vec<EntityRef>;
    /// Packs what waits for a checkpoint and was not looked at for a while.
    fn pack(&self) -> Result<(), ReadError>;
    fn changed(&self, entity: &EntityRef, store: &Store)
    -> Result<Option<EntityWrites>, ReadError>;
    /// What was taken is on disk; says whether the entity has not changed meanwhile.
    fn written(&self, entity: &EntityRef, bytes: usize) -> bool;
    /// History and heads have all records up to `upto`, by partition.
    fn settle(&self, upto: &[u64]);
    fn index_rows(&self, entity: &EntityRef) -> Option<Vec<Row>>;
    fn is_unindexed(&self, entity: &EntityRef) -> bool;
    fn resident_actors(&self) -> usize;
    fn idle_actors(&self) -> usize;
    fn warm_states(&self) -> usize;
    fn packed_states(&self) -> usize;
    fn quarantined(&self) -> usize;
    /// Ends all actors.
    fn end(&self);
}

impl<E: Entity> AnyHost for HostInner<E> {
    fn kind_code(&self) -> u8 {
        E::KIND_CODE
    }

    fn kind(&self) -> &'static str {
        E::KIND
    }

    fn preloads(&self) -> bool {
        self.resident
    }

    fn load_all(&self) -> Result<usize, ReadError> {
        let mut entities = Vec::new();
        self.node.store()?.each_head(E::KIND_CODE, &mut |key| {
            entities.extend(EntityRef::from_bytes(key));
            true
        })?;
        for entity in &entities {
            if let Some(id) = entity.id_as::<E>() {
                self.read(&id)?;
            }
        }
        Ok(entities.len())
    }

    fn replay(
        &self,
        partition: PartitionId,
        index: u64,
        entry: &Entry,
    ) -> Result<Timestamp, ReadError> {
        let entity = EntityRef::from_bytes(&entry.entity);
        let (entity, id) = entity
            .and_then(|entity| entity.id_as::<E>().map(|id| (entity, id)))
            .ok_or_else(|| ReadError::Decode("a record names no entity".to_owned()))?;
        let record: Record<E::Event> = codec::decode(&entry.body)?;
        let last = record.steps.iter().map(|step| step.stamp.recorded_at).max();
        let mut version = record.expected;
        for step in &record.steps {
            version += step.events.len() as u64;
            if let Some(keyed) = &step.keyed {
                let remembered = Remembered {
                    entity: entity.clone(),
                    body: keyed.body,
                    reply: keyed.reply.clone().into(),
                    version,
                    recorded_at: step.stamp.recorded_at,
                };
                self.node.commands.record(keyed.id, remembered);
            }
        }
        let last = last.unwrap_or(Timestamp::ZERO);
        if version == record.expected && entry.private.is_none() {
            return Ok(last);
        }
        let private: Option<E::Private> =
            entry.private.as_deref().map(codec::decode).transpose()?;
        self.bring_in(&id)?;
        let fits = self
            .warm
            .replay(&id, index, |state, touched, unwritten_private| {
                // The fence of L4: decided on another state, so it was answered "retry".
                if state.version() != record.expected {
                    return false;
                }
                for step in &record.steps {
                    take_in(state, step, touched);
                }
                if let Some(private) = &private {
                    state.apply_private(private);
                    unwritten_private.clone_from(&entry.private);
                }
                true
            });
        if fits == Some(false) {
            let PartitionId(partition) = partition;
            tracing::warn!(kind = E::KIND, entity = %id, partition, index, "skipped a record that was decided on an overtaken state");
        }
        if fits == Some(true)
            && let Some(state) = self.warm.look(&id)
        {
            for step in record.steps.iter().filter(|step| !step.events.is_empty()) {
                self.behaviour.committed(&state, &step.events);
            }
        }
        if self.warm.mark_unindexed(&id) {
            self.node.overlay.changed(entity);
        }
        Ok(last)
    }

    fn attention(&self, entity: &EntityRef) -> Option<Attention> {
        let state = self.warm.look(&entity.id_as::<E>()?)?;
        attention_of(&*state)
    }

    fn unsettled(&self) -> Vec<EntityRef> {
        let unsettled = self.warm.unsettled();
        unsettled.iter().map(EntityRef::of::<E>).collect()
    }

    fn forget(&self, is_gone: &dyn Fn(&EntityRef) -> bool) {
        self.warm.forget(|id| is_gone(&EntityRef::of::<E>(id)));
    }

    fn reload(&self, entity: &EntityRef) -> Result<(), ReadError> {
        let state = entity.id_as::<E>().map(|id| self.read(&id)).transpose()?;
        if let Some(state) = state.flatten() {
            self.behaviour.recovered(&state);
        }
        Ok(())
    }

    fn told(self: Arc<Self>, told: ToldOf) {
        HostInner::told(&self, told);
    }

    fn asked(self: Arc<Self>, asked: AskOf) -> Bytesing {
        HostInner::asked(self, asked)
    }

    fn moved(&self, partition: PartitionId) {
        self.each_place(|id, mailbox| {
            if self.partition(&EntityRef::of::<E>(id)) == partition {
                // Only commands of other entities find a mailbox full.
                let _ = mailbox.put(Mail::Moved);
            }
        });
    }

    fn recovered(&self) {
        for state in self.warm.all() {
            self.behaviour.recovered(&state);
        }
    }

    fn start(self: Arc<Self>) {
        let Some(handle) = self.node.runtime.get() else {
            return;
        };
        let _inside = handle.enter();
        match ActorRuntime::spawn_instant(None, Supervisor(Arc::clone(&self)), ()) {
            Ok((supervisor, _)) => {
                let _ = self.supervisor.set(supervisor);
            }
            Err(error) => tracing::error!(kind = E::KIND, %error, "cannot spawn the supervisor"),
        }
    }

    fn wake_pending(self: Arc<Self>, entity: &EntityRef) {
        let Some(id) = entity.id_as::<E>() else {
            return;
        };
        match self.read(&id) {
            Ok(Some(state)) if state.has_pending() => {
                if !self.quarantine.holds(&id) {
                    // The mail says nothing: a new actor looks at what is pending by itself.
                    let _ = self.send(&id, Mail::Nudge);
                }
            }
            Ok(_) => self.node.reminders.set(entity, None),
            Err(error) => {
                tracing::error!(kind = E::KIND, entity = %id, %error, "cannot read what is pending")
            }
        }
    }

    fn wake_due(self: Arc<Self>, entity: &EntityRef, now: Timestamp) {
        let Some(id) = entity.id_as::<E>() else {
            return;
        };
        let wakeup = match self.read(&id) {
            Ok(state) => state.and_then(|state| state.wakeup()),
            Err(error) => {
                tracing::error!(kind = E::KIND, entity = %id, %error, "cannot read what is due");
                return;
            }
        };
        if self.quarantine.holds(&id) {
            return;
        }
        let mail = if wakeup.is_some_and(|at| at <= now) {
            let asker = Asker::Peer(Peer::nobody());
            Mail::Command(Sent {
                command: E::wake_command(now),
                asker,
            })
        } else {
            // Its moment has moved. Only the actor sets it anew, so that no two words cross.
            Mail::Nudge
        };
        let _ = self.send(&id, mail);
    }

    fn remind(&self) {
        let now_ms = self.now_ms();
        self.each_place(|_, mailbox| {
            if mailbox.resend_is_due(now_ms) {
                let _ = mailbox.put(Mail::Resend);
            }
        });
    }

    fn resend(&self) {
        self.each_place(|_, mailbox| {
            if mailbox.awaits_answers() {
                let _ = mailbox.put(Mail::ResendAll);
            }
        });
    }

    fn dirty(&self) -> Vec<EntityRef> {
        self.warm.dirty().iter().map(EntityRef::of::<E>).collect()
    }

    fn pack(&self) -> Result<(), ReadError> {
        Ok(self.warm.pack()?)
    }

    fn changed(
        &self,
        entity: &EntityRef,
        store: &Store,
    ) -> Result<Option<EntityWrites>, ReadError> {
        let Some(id) = entity.id_as::<E>() else {
            return Ok(None);
        };
        let Some(changed) = self.warm.take_changed(&id) else {
            return Ok(None);
        };
        let key = entity.to_bytes();
        let old = if changed.stored {
            store.head(&key)?
        } else {
            None
        };
        let mut old: Head = match old {
            Some(row) => codec::decode(&row)?,
            None => Head::default(),
        };
        let mut writes = Vec::new();
        let mut only_part = old.part.take();
        for part_key in changed.parts.into_sorted() {
            let part = changed.state.part(&part_key);
            let part = part.map(|part| codec::encode(&part)).transpose()?;
            let part_key = codec::encode(&part_key)?;
            if E::ONE_PART {
                only_part = part.map(|part| (ByteBuf::from(part_key), ByteBuf::from(part)));
            } else {
                let mut row_key = rows::parts_prefix(&key);
                row_key.extend_from_slice(&part_key);
                writes.push(write(Table::Parts, row_key, part));
            }
        }
        if let Some(private) = changed.private {
            writes.push(write(Table::Private, key.clone(), Some(private.to_vec())));
        }
        let rows = self.behaviour.index(&changed.state);
        let index_keys = write_index(&key, &old.index_keys, rows, store, &mut writes)?;
        let attention = attention_of(&*changed.state);
        if let Some(attention) = &attention {
            writes.push(write(
                Table::Attention,
                key.clone(),
                Some(codec::encode(attention)?),
            ));
        } else if old.attention {
            writes.push(write(Table::Attention, key.clone(), None));
        }
        let records = list_records(&key, &old, &changed.recent, &mut writes)?;
        let head = Head {
            index: changed.index,
            version: changed.state.version(),
            index_keys,
            attention: attention.is_some(),
            records,
            part: only_part,
        };
        writes.push(write(Table::Heads, key, Some(codec::encode(&head)?)));
        let bytes = writes.iter().map(write_bytes).sum();
        Ok(Some(EntityWrites {
            entity: entity.clone(),
            writes,
            bytes,
        }))
    }

    fn written(&self, entity: &EntityRef, bytes: usize) -> bool {
        entity
            .id_as::<E>()
            .is_none_or(|id| self.warm.written(&id, bytes))
    }

    fn settle(&self, upto: &[u64]) {
        self.warm.settle(|id| {
            let PartitionId(partition) = self.partition(&EntityRef::of::<E>(id));
            upto.get(usize::from(partition)).copied().unwrap_or(0)
        });
    }

    fn index_rows(&self, entity: &EntityRef) -> Option<Vec<Row>> {
        let state = self.warm.unindexed(&entity.id_as::<E>()?)?;
        Some(self.behaviour.index(&state))
    }

    fn is_unindexed(&self, entity: &EntityRef) -> bool {
        entity
            .id_as::<E>()
            .is_some_and(|id| self.warm.is_unindexed(&id))
    }

    fn resident_actors(&self) -> usize {
        HostInner::resident_actors(self)
    }

    fn idle_actors(&self) -> usize {
        HostInner::idle_actors(self)
    }

    fn warm_states(&self) -> usize {
        self.warm.len()
    }

    fn packed_states(&self) -> usize {
        self.warm.packed()
    }

    fn quarantined(&self) -> usize {
        self.quarantine.all().len()
    }

    fn end(&self) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.stop(None);
        }
        self.each_place(|_, mailbox| {
            if let Some(actor) = mailbox.actor() {
                actor.stop(None);
            }
        });
        self.end_idle();
        self.clear_places();
        self.warm.clear();
    }
}

impl<E: Entity> HostInner<E> {
    /// Makes sure that replay finds the entity in memory.
    fn bring_in(&self, id: &E::Id) -> Result<(), ReadError> {
        if self.warm.get(id).is_ok() {
            return Ok(());
        }
        match self.load(id)? {
            Some(loaded) => self
                .warm
                .bring_in(id, loaded.state, loaded.index, loaded.bytes),
            None => self.warm.bring_in(id, Arc::new(E::empty(id.clone())), 0, 0),
        }
        Ok(())
    }
}
