//! What users of a kind of entity hold: ask, tell, read, history.

use std::sync::Arc;

use consign_domain::entity::Entity;
use tokio::sync::oneshot;

use crate::codec::{self, Record};
use crate::commands::KeyError;
use crate::host::HostInner;
use crate::mailbox::{Asker, Hold, Line, Mail, Outcome, Outside, Patience, Sent};
use crate::types::{
    AskError, Asked, Call, Claim, CommandKey, DecodedRecord, EntityRef, Happened, Health,
    KeyReused, Peer, ReadError, Remembered, StoredRecord, Wait,
};

/// All entities of one kind; cheap to clone.
pub struct Host<E: Entity>(pub(crate) Arc<HostInner<E>>);

impl<E: Entity> Clone for Host<E> {
    fn clone(&self) -> Self {
        Host(Arc::clone(&self.0))
    }
}

pub(crate) type Answer<E> = Result<Asked<E>, AskError<<E as Entity>::Rejection>>;

impl<E: Entity> Host<E> {
    /// A message between entities: never waits, takes no permit, may be lost. The reply goes to
    /// `from` through [`crate::Behaviour::answered`].
    pub fn tell(&self, id: E::Id, command: E::Command, from: Peer) {
        self.0.tell(&id, command, from);
    }

    /// An outside command. Dropping the future does not undo it.
    ///
    /// # Errors
    /// The entity's refusal, or why there is no answer.
    pub async fn ask(&self, id: E::Id, command: E::Command, call: Call) -> Answer<E> {
        let asked = self.ask_anywhere(id, command, call, false).await?;
        Ok(asked.1)
    }

    /// As [`Host::ask`], of the entity that an earlier command with this key went to, else of
    /// `candidate`: two requests with one key and two freshly minted ids concern one entity (L3).
    ///
    /// # Errors
    /// As [`Host::ask`]; also when the key came with another body, or to another kind of entity.
    pub async fn ask_claiming(
        &self,
        candidate: E::Id,
        command: E::Command,
        call: Call,
    ) -> Result<(E::Id, Asked<E>), AskError<E::Rejection>> {
        self.ask_anywhere(candidate, command, call, true).await
    }

    /// Asks an entity of this node.
    pub(crate) async fn ask_here(
        &self,
        candidate: E::Id,
        command: E::Command,
        mut call: Call,
        claims: bool,
    ) -> Result<(E::Id, Asked<E>), AskError<E::Rejection>> {
        let id = match call.key.filter(|_| claims) {
            Some(key) => {
                let Claim { id, first } = self.claim(key, candidate)?;
                call.id_is_drawn &= first;
                id
            }
            None => candidate,
        };
        let asked = self.ask_id(id.clone(), command, call).await?;
        Ok((id, asked))
    }

    async fn ask_id(&self, id: E::Id, command: E::Command, mut call: Call) -> Answer<E> {
        self.serving()?;
        if self.0.quarantine.holds(&id) {
            return Err(AskError::Quarantined);
        }
        let permit = self.0.node.admission.admit().await?;
        let mut hold = None;
        if let Some(key) = call.key {
            let done = self.hold(key, &id)?;
            hold = Some(Hold {
                commands: Arc::clone(&self.0.node.commands),
                id: key.id,
            });
            call.id_is_drawn &= done.is_none();
            if let Some(asked) = self.answered_before(&id, done, call.wait)? {
                return Ok(asked);
            }
        }
        let patience = (call.wait == Wait::Settled).then(|| Arc::new(Patience::default()));
        let (reply, answered) = oneshot::channel();
        let line = Line {
            reply,
            patience: patience.clone(),
            hold,
            permit,
        };
        let outside = Outside {
            by: call.by,
            occurred_at: call.occurred_at,
            key: call.key,
            expected_version: call.expected_version,
            request_id: call.request_id,
            id_is_drawn: call.id_is_drawn,
            line,
        };
        let mail = Mail::Command(Sent {
            command,
            asker: Asker::Outside(Box::new(outside)),
        });
        if self.0.send(&id, mail).is_err() {
            if !self.0.lives_here(&id) {
                return Err(AskError::Moved);
            }
            return Err(AskError::Unavailable {
                reason: "no room in the mailbox".into(),
            });
        }
        let Some(patience) = patience else {
            return heard(answered.await);
        };
        let mut answered = answered;
        match tokio::time::timeout(call.settle_timeout, &mut answered).await {
            Ok(result) => heard(result),
            Err(_) => self.impatient(&id, &patience, answered).await,
        }
    }

    /// The outcome took too long: what is durable will do.
    async fn impatient(
        &self,
        id: &E::Id,
        patience: &Patience<E>,
        answered: oneshot::Receiver<Answer<E>>,
    ) -> Answer<E> {
        let durable = std::mem::replace(&mut *patience.0.lock(), Outcome::Impatient);
        match durable {
            Outcome::Durable(asked) => {
                drop(answered);
                self.0.nudge(id, Mail::Nudge);
                Ok(*asked)
            }
            Outcome::Open | Outcome::Impatient => heard(answered.await),
        }
    }

    fn serving(&self) -> Result<(), AskError<E::Rejection>> {
        if self.0.node.is_serving() {
            return Ok(());
        }
        let reason = match self.0.node.health() {
            Health::Serving => return Ok(()),
            Health::Starting => "the node is starting".into(),
            Health::Draining => "the node is shutting down".into(),
            Health::Stopped { reason } => reason.into(),
        };
        Err(AskError::Stopped { reason })
    }

    fn hold(
        &self,
        key: CommandKey,
        id: &E::Id,
    ) -> Result<Option<Remembered>, AskError<E::Rejection>> {
        let node = &self.0.node;
        let held = node
            .commands
            .hold(key, EntityRef::of::<E>(id), &|id| node.command_on_disk(id));
        held.map_err(|error| match error {
            KeyError::Reused(reused) => AskError::KeyReused(reused),
            KeyError::Read(error) => unavailable(&error),
        })
    }

    /// The first answer, when it can be given without the entity.
    fn answered_before(
        &self,
        id: &E::Id,
        done: Option<Remembered>,
        wait: Wait,
    ) -> Result<Option<Asked<E>>, AskError<E::Rejection>> {
        let Some(done) = done else { return Ok(None) };
        let state = self
            .0
            .load_or_empty(id)
            .map_err(|error| unavailable(&error))?;
        let settled = state.settled();
        if wait == Wait::Settled && !settled {
            return Ok(None);
        }
        let reply = self.reply_of(&done).map_err(|error| unavailable(&error))?;
        Ok(Some(Asked {
            reply,
            replayed: true,
            state,
            settled,
        }))
    }

    /// Decodes a remembered command's reply.
    ///
    /// # Errors
    /// When it is not a reply of this kind.
    pub fn reply_of(&self, done: &Remembered) -> Result<E::Reply, ReadError> {
        Ok(codec::decode(&done.reply)?)
    }

    /// Brings a key into use before its command is sent: says whom the command concerns, which is
    /// `candidate` unless an earlier command with this key went elsewhere.
    ///
    /// # Errors
    /// When the key came with another body, or to another kind of entity.
    pub fn claim(
        &self,
        key: CommandKey,
        candidate: E::Id,
    ) -> Result<Claim<E>, AskError<E::Rejection>> {
        let node = &self.0.node;
        let entity = EntityRef::of::<E>(&candidate);
        match node
            .commands
            .claim(key, entity, &|id| node.command_on_disk(id))
        {
            Ok((entity, first)) => match entity.id_as::<E>() {
                Some(id) => Ok(Claim { id, first }),
                None => Err(AskError::KeyReused(KeyReused { entity })),
            },
            Err(KeyError::Reused(reused)) => Err(AskError::KeyReused(reused)),
            Err(KeyError::Read(error)) => Err(unavailable(&error)),
        }
    }

    /// The newest committed state; wakes no actor, takes no permit.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(&self, id: &E::Id) -> Result<Option<Arc<E>>, ReadError> {
        self.0.read(id)
    }

    /// The state as it was at `version`, folded from history; personal data as of now.
    ///
    /// # Errors
    /// `Expired` when history no longer reaches back, else when the store cannot be read.
    pub fn read_at(&self, id: &E::Id, version: u64) -> Result<Option<E>, ReadError> {
        let Some(now) = self.read(id)?.filter(|now| now.version() >= version) else {
            return Ok(None);
        };
        let mut state = E::empty(id.clone());
        self.0.each_event(id, 0, &mut |happened| {
            state.apply(&happened.event, &happened.stamp);
            happened.version < version
        })?;
        if let Some(private) = now.private() {
            state.apply_private(&private);
        }
        Ok(Some(state))
    }

    /// Up to `limit` events after version `after_version`, oldest first.
    ///
    /// # Errors
    /// `Expired` when history no longer reaches back, else when the store cannot be read.
    pub fn history(
        &self,
        id: &E::Id,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Happened<E>>, ReadError> {
        let mut events = Vec::new();
        if limit > 0 {
            self.0.each_event(id, after_version, &mut |happened| {
                events.push(happened);
                events.len() < limit
            })?;
        }
        Ok(events)
    }

    /// Decodes a record of this kind, for streams of what happened.
    ///
    /// # Errors
    /// When it is not a record of this kind.
    pub fn decode(&self, record: &StoredRecord) -> Result<DecodedRecord<E>, ReadError> {
        let id = EntityRef::from_bytes(&record.entity)
            .and_then(|entity| entity.id_as::<E>())
            .ok_or_else(|| ReadError::Decode(format!("not a record of kind {}", E::KIND)))?;
        let Record { expected, steps } = codec::decode::<Record<E::Event>>(&record.body)?;
        let items = steps.into_iter().flat_map(|step| {
            let stamp = step.stamp;
            step.events
                .into_iter()
                .map(move |event| (stamp.clone(), event))
        });
        Ok(DecodedRecord {
            id,
            first_version: expected + 1,
            items: items.collect(),
        })
    }

    /// Entities set aside after repeated failures.
    #[must_use]
    pub fn quarantined(&self) -> Vec<E::Id> {
        self.0.quarantine.all()
    }

    /// Gives an entity that was set aside its chances anew; says whether it was.
    #[must_use]
    pub fn lift_quarantine(&self, id: &E::Id) -> bool {
        self.0.quarantine.lift(id)
    }

    /// Actors that live.
    #[must_use]
    pub fn resident_actors(&self) -> usize {
        self.0.resident_actors()
    }
}

fn heard<E: Entity>(result: Result<Answer<E>, oneshot::error::RecvError>) -> Answer<E> {
    let reason = "the actor failed before it could answer".into();
    result.unwrap_or(Err(AskError::Unavailable { reason }))
}

fn unavailable<R: std::error::Error>(error: &ReadError) -> AskError<R> {
    AskError::Unavailable {
        reason: compact_str::format_compact!("{error}"),
    }
}
