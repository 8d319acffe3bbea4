//! Entities that live on other nodes: the same questions and messages, as bytes.
//!
//! In: what is asked of an entity that another node has, or what another node asks of ours. Out: the
//! same answer as if it lived here. A question is put again, with the same key, until its deadline, as
//! long as the entity moves or its node cannot be reached: whoever did it remembers the key (L3). A
//! message is sent once and may be lost; its effect is still pending.
//!
//! An answer says which record it rests on. It is given here once that record is applied here, too, so
//! that whoever hears it can read its own writes on this node.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use compact_str::{CompactString, ToCompactString};
use consign_domain::entity::Entity;
use consign_journal::{Answering, PartitionId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::codec;
use crate::handle::Host;
use crate::host::HostInner;
use crate::types::{AskError, Asked, Call, CommandKey, EntityRef, Peer};

/// How long until a question is put again whose entity has moved.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(30);
/// How often who waits for a record looks whether its node was taken out.
const OUT_LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often what concerns an entity is passed on by nodes that do not have it.
const PASSED_ON_MAX: u8 = 2;
/// How much longer than its asker an answer may take on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Reaches the entities of other nodes.
pub trait Remote: Send + Sync + 'static {
    /// Asks a node and waits for its answer.
    fn ask(&self, node: u64, question: Bytes, within: Duration) -> Answering;
    /// Whether there is a connection to a node.
    fn is_reachable(&self, node: u64) -> bool;
    /// Sends a message, or drops it: never waits.
    fn tell(&self, node: u64, message: Bytes);
    /// Whether messages between entities of this very node go this way, too. Only a simulation, which
    /// has its way with them, says so.
    fn carries_own(&self) -> bool {
        false
    }
}

/// What a node sends another about entities.
#[derive(Serialize, Deserialize)]
pub(crate) enum Parcel {
    /// A message between entities.
    Tell(ToldOf),
    /// A question from outside.
    Ask(AskOf),
    /// Something that those above the runtime ask each other.
    Service(ByteBuf),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ToldOf {
    pub(crate) kind: u8,
    /// How often it was passed on.
    passed_on: u8,
    id: CompactString,
    command: ByteBuf,
    from: Option<ByteBuf>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AskOf {
    pub(crate) kind: u8,
    /// How often it was passed on.
    passed_on: u8,
    id: CompactString,
    command: ByteBuf,
    call: Call,
    claims: bool,
}

/// What came of it there.
#[derive(Serialize, Deserialize)]
struct Answered {
    id: CompactString,
    reply: ByteBuf,
    replayed: bool,
    settled: bool,
    /// The last record that was applied there.
    index: u64,
}

/// A future of bytes.
pub(crate) type Bytesing = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Those who wait until a record is applied here.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// By record.
    waiting: Mutex<BTreeMap<u64, Vec<oneshot::Sender<()>>>>,
    /// The lowest record that anybody waits for; `u64::MAX` when nobody does.
    lowest: AtomicU64,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters {
            waiting: Mutex::default(),
            lowest: AtomicU64::new(u64::MAX),
        }
    }
}

impl Waiters {
    /// Records up to `index` are applied.
    pub(crate) fn applied(&self, index: u64) {
        if index < self.lowest.load(Ordering::SeqCst) {
            return;
        }
        let mut waiting = self.waiting.lock();
        let later = waiting.split_off(&(index + 1));
        let there = std::mem::replace(&mut *waiting, later);
        let lowest = waiting
            .first_key_value()
            .map_or(u64::MAX, |(lowest, _)| *lowest);
        self.lowest.store(lowest, Ordering::SeqCst);
        drop(waiting);
        for waiter in there.into_values().flatten() {
            let _ = waiter.send(());
        }
    }

    /// Waits for a record; `now` says which is applied already.
    async fn until(&self, index: u64, now: impl Fn() -> u64) {
        if now() >= index {
            return;
        }
        let (tell, hear) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            waiting.entry(index).or_default().push(tell);
            self.lowest.fetch_min(index, Ordering::SeqCst);
        }
        // It may have been applied between the look and the note.
        self.applied(now());
        let _ = hear.await;
    }
}

impl<E: Entity> Host<E> {
    /// Asks the entity wherever it lives, until `call`'s patience ends.
    pub(crate) async fn ask_anywhere(
        &self,
        id: E::Id,
        command: E::Command,
        mut call: Call,
        claims: bool,
    ) -> Result<(E::Id, Asked<E>), AskError<E::Rejection>> {
        let node = &self.0.node;
        if node.is_alone() {
            return match self.ask_here(id, command, call, claims).await {
                Err(AskError::Moved) => Err(moved()),
                other => other,
            };
        }
        // Without a key it could not be asked again.
        call.key.get_or_insert_with(|| CommandKey {
            id: rand::random(),
            body: 0,
        });
        let deadline = Instant::now() + call.settle_timeout;
        let partition = self.0.partition(&EntityRef::of::<E>(&id));
        loop {
            let tried = if node.leads(partition) {
                let (id, command) = (id.clone(), command.clone());
                self.ask_here(id, command, call.clone(), claims).await
            } else {
                match node.way_to(partition) {
                    Some(leader) => self.ask_there(leader, &id, &command, &call, claims).await,
                    None => Err(AskError::Moved),
                }
            };
            match tried {
                // Its records do not come here any more.
                Err(AskError::Moved) if node.is_out_of(partition) => return Err(taken_out()),
                Err(AskError::Moved) => {}
                other => return other,
            }
            if Instant::now() + ASK_AGAIN_AFTER >= deadline {
                return Err(moved());
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
            // Whoever had it may have done it.
            call.id_is_drawn = false;
            call.settle_timeout = deadline.saturating_duration_since(Instant::now());
        }
    }

    async fn ask_there(
        &self,
        leader: u64,
        id: &E::Id,
        command: &E::Command,
        call: &Call,
        claims: bool,
    ) -> Result<(E::Id, Asked<E>), AskError<E::Rejection>> {
        let node = &self.0.node;
        let Some(remote) = &node.remote else {
            return Err(AskError::Moved);
        };
        let parcel = Parcel::Ask(AskOf {
            kind: E::KIND_CODE,
            passed_on: 0,
            id: id.to_compact_string(),
            command: encoded(command)?,
            call: call.clone(),
            claims,
        });
        let question = Bytes::from(encoded(&parcel)?.into_vec());
        let within = call.settle_timeout + ON_ITS_WAY;
        // It never left, or it is not known what came of it: either way it is asked again.
        let answer = remote.ask(leader, question, within).await;
        let answer = answer.map_err(|_| AskError::Moved)?;
        let answer: Result<Answered, AskError<E::Rejection>> = decoded(&answer)?;
        let answered = answer?;
        let id: E::Id = answered.id.parse().map_err(|_| strange())?;
        let partition = self.0.partition(&EntityRef::of::<E>(&id));
        if !node.applied_here(partition, answered.index, within).await {
            return Err(AskError::Moved);
        }
        let state = self.0.load_or_empty(&id);
        let state = state.map_err(|error| AskError::Unavailable {
            reason: error.to_compact_string(),
        })?;
        let asked = Asked {
            reply: decoded(&answered.reply)?,
            replayed: answered.replayed,
            state,
            settled: answered.settled,
        };
        Ok((id, asked))
    }
}

fn encoded<T: Serialize, R: std::error::Error>(value: &T) -> Result<ByteBuf, AskError<R>> {
    let bytes = codec::encode(value);
    bytes
        .map(ByteBuf::from)
        .map_err(|error| AskError::Unavailable {
            reason: error.to_compact_string(),
        })
}

fn decoded<T: serde::de::DeserializeOwned, R: std::error::Error>(
    bytes: &[u8],
) -> Result<T, AskError<R>> {
    codec::decode(bytes).map_err(|error| AskError::Unavailable {
        reason: error.to_compact_string(),
    })
}

fn strange<R: std::error::Error>() -> AskError<R> {
    AskError::Unavailable {
        reason: "another node answered what cannot be understood".into(),
    }
}

fn moved<R: std::error::Error>() -> AskError<R> {
    AskError::Unavailable {
        reason: "nobody who leads its partition answered in time".into(),
    }
}

fn taken_out<R: std::error::Error>() -> AskError<R> {
    AskError::Unavailable {
        reason: "this node has been taken out of the cluster; ask another".into(),
    }
}

impl<E: Entity> HostInner<E> {
    /// Sends a message to where the entity lives. One that does not arrive is sent again.
    pub(crate) fn tell_there(&self, id: &E::Id, command: &E::Command, from: &Peer) {
        let entity = EntityRef::of::<E>(id);
        let Ok(command) = codec::encode(command) else {
            return self.metrics.dropped.increment(1);
        };
        let told = ToldOf {
            kind: E::KIND_CODE,
            passed_on: 0,
            id: id.to_compact_string(),
            command: ByteBuf::from(command),
            from: from.encoded().map(ByteBuf::from),
        };
        self.pass_on(self.partition(&entity), told);
    }

    /// Sends a message one step on its way.
    fn pass_on(&self, partition: PartitionId, told: ToldOf) {
        let own = self.node.own_way_to(partition);
        let next = own.or_else(|| self.node.way_to(partition));
        let remote = &self.node.remote;
        match (remote, next, codec::encode(&Parcel::Tell(told))) {
            (Some(remote), Some(next), Ok(bytes)) => remote.tell(next, Bytes::from(bytes)),
            _ => self.metrics.dropped.increment(1),
        }
    }

    /// Takes in a message from another node.
    pub(crate) fn told(self: &std::sync::Arc<Self>, told: ToldOf) {
        let peer = match &told.from {
            Some(from) => self.behaviour.peer(from),
            None => Some(Peer::nobody()),
        };
        let command = codec::decode(&told.command).ok();
        let (Ok(id), Some(command), Some(peer)) = (told.id.parse(), command, peer) else {
            tracing::warn!(kind = E::KIND, entity = %told.id, "a message of another node cannot be understood");
            return;
        };
        if self.lives_here(&id) {
            return self.tell_here(&id, command, peer);
        }
        let partition = self.partition(&EntityRef::of::<E>(&id));
        if told.passed_on < PASSED_ON_MAX {
            let passed_on = told.passed_on + 1;
            self.pass_on(partition, ToldOf { passed_on, ..told });
        }
    }

    /// Passes a question on, and its answer back.
    async fn ask_further(&self, id: &E::Id, asked: &AskOf) -> Option<Bytes> {
        if asked.passed_on >= PASSED_ON_MAX {
            return None;
        }
        let next = self.node.way_to(self.partition(&EntityRef::of::<E>(id)))?;
        let parcel = Parcel::Ask(AskOf {
            passed_on: asked.passed_on + 1,
            ..asked.clone()
        });
        let question = Bytes::from(codec::encode(&parcel).ok()?);
        let within = asked.call.settle_timeout + ON_ITS_WAY;
        self.node
            .remote
            .as_ref()?
            .ask(next, question, within)
            .await
            .ok()
    }

    /// Answers a question of another node.
    pub(crate) fn asked(self: std::sync::Arc<Self>, asked: AskOf) -> Bytesing {
        Box::pin(async move {
            let elsewhere = asked
                .id
                .parse()
                .ok()
                .filter(|id: &E::Id| !self.lives_here(id));
            if let Some(id) = elsewhere
                && let Some(answer) = self.ask_further(&id, &asked).await
            {
                return answer;
            }
            let answer = Host(self).answer(asked).await;
            codec::encode(&answer).map(Bytes::from).unwrap_or_default()
        })
    }
}

impl<E: Entity> Host<E> {
    async fn answer(&self, asked: AskOf) -> Result<Answered, AskError<E::Rejection>> {
        let id: E::Id = asked.id.parse().map_err(|_| strange())?;
        let command = decoded(&asked.command)?;
        if !self.0.lives_here(&id) {
            return Err(AskError::Moved);
        }
        let (id, asked): (E::Id, Asked<E>) =
            self.ask_here(id, command, asked.call, asked.claims).await?;
        let PartitionId(partition) = self.0.partition(&EntityRef::of::<E>(&id));
        Ok(Answered {
            id: id.to_compact_string(),
            reply: encoded(&asked.reply)?,
            replayed: asked.replayed,
            settled: asked.settled,
            index: self.0.node.applied[usize::from(partition)].load(Ordering::Acquire),
        })
    }
}

impl crate::shared::NodeInner {
    /// Waits until a record is applied here; it may not come in time, or not any more.
    async fn applied_here(&self, partition: PartitionId, index: u64, within: Duration) -> bool {
        let at = usize::from(partition.0);
        let now = || self.applied[at].load(Ordering::SeqCst);
        let out = async {
            while !self.is_out_of(partition) {
                tokio::time::sleep(OUT_LOOK_EVERY).await;
            }
        };
        tokio::select! {
            biased;
            reached = tokio::time::timeout(within, self.waiters[at].until(index, now)) => reached.is_ok(),
            () = out => false,
        }
    }
}
