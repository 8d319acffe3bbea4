//! The words that the runtime and its users share: who, what is asked, what comes back.
//!
//! An [`EntityRef`] is kind and id as they stand in stored keys. A [`Peer`] is opaque here: only
//! the behaviour that made it knows what it means.

use std::any::Any;
use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use consign_domain::entity::{Entity, Stamp};
use consign_domain::time::Timestamp;
use consign_journal::PartitionId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Where the entity with this id lives, out of `partitions`.
#[must_use]
pub fn partition_of(id: &str, partitions: u16) -> u16 {
    let bucket = xxh3_64(id.as_bytes()) % u64::from(partitions.max(1));
    u16::try_from(bucket).expect("a remainder by a 16-bit number has 16 bits")
}

/// An entity of any kind: the kind's code and the id's text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityRef {
    kind: u8,
    id: CompactString,
}

impl EntityRef {
    /// The reference to an entity of kind `E`.
    #[must_use]
    pub fn of<E: Entity>(id: &E::Id) -> EntityRef {
        use compact_str::ToCompactString;
        EntityRef {
            kind: E::KIND_CODE,
            id: id.to_compact_string(),
        }
    }

    /// From its stored form: the kind's code, then the id's text.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<EntityRef> {
        let (kind, id) = bytes.split_first()?;
        let id = std::str::from_utf8(id).ok()?;
        Some(EntityRef {
            kind: *kind,
            id: id.into(),
        })
    }

    /// Its stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.id.len());
        bytes.push(self.kind);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes
    }

    /// The kind's code.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The id's text.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id, if this is an entity of kind `E`.
    #[must_use]
    pub fn id_as<E: Entity>(&self) -> Option<E::Id> {
        if self.kind == E::KIND_CODE {
            E::Id::from_str(&self.id).ok()
        } else {
            None
        }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Debug for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// Names an outside command, so that its repetition is recognised (L3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandKey {
    /// Hash of principal and key.
    pub id: u128,
    /// Hash of the body: the same id with another body is refused.
    pub body: u128,
}

/// What an asker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// That the command's events are durable.
    Durable,
    /// That, beyond it, what the command began has come to its end ([`Entity::settled`]).
    Settled,
}

/// What comes beside an outside command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The principal.
    pub by: CompactString,
    /// When it happened in the world, if the caller says so.
    pub occurred_at: Option<Timestamp>,
    /// Makes a repetition harmless.
    pub key: Option<CommandKey>,
    /// What to wait for.
    pub wait: Wait,
    /// With [`Wait::Settled`], how long until the caller is answered with what is durable.
    pub settle_timeout: Duration,
    /// Refuses the command unless the entity has this version.
    pub expected_version: Option<u64>,
    /// Runs through spans.
    pub request_id: Option<CompactString>,
    /// Whether the id was drawn for this command: if nothing in memory has it, nothing has, and the
    /// disk is not asked. Nobody else may have heard of the id, so it does not leave this node.
    #[serde(skip)]
    pub id_is_drawn: bool,
}

impl Call {
    /// A call by `by` that waits for durability and carries nothing else.
    #[must_use]
    pub fn by(by: &str) -> Call {
        Call {
            by: by.into(),
            occurred_at: None,
            key: None,
            wait: Wait::Durable,
            settle_timeout: Duration::from_secs(10),
            expected_version: None,
            request_id: None,
            id_is_drawn: false,
        }
    }
}

/// The answer to an outside command.
#[derive(Clone, Debug)]
pub struct Asked<E: Entity> {
    /// What the entity said.
    pub reply: E::Reply,
    /// Whether this is the remembered answer to an earlier, equal command.
    pub replayed: bool,
    /// The durable state with the command's events in it, or a later one.
    pub state: Arc<E>,
    /// Whether what the command began has come to its end.
    pub settled: bool,
}

/// Why an outside command got no answer, or a refusal.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(bound = "R: Serialize + serde::de::DeserializeOwned")]
pub enum AskError<R: std::error::Error + 'static> {
    /// The entity refuses.
    #[error(transparent)]
    Rejected(R),
    /// The entity has another version than expected.
    #[error("the version is {current}")]
    VersionMismatch {
        /// The version that stands.
        current: u64,
    },
    /// The key came with another body, or for another entity.
    #[error(transparent)]
    KeyReused(#[from] KeyReused),
    /// Too much is in flight; nothing was done.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The entity lives on another node by now: whether it was done is known there.
    #[error("the entity has moved to another node")]
    Moved,
    /// The entity is set aside after repeated panics.
    #[error("set aside after repeated failures")]
    Quarantined,
    /// The command panicked and changed nothing.
    #[error("the command failed inside and changed nothing")]
    Panicked,
    /// The node no longer serves.
    #[error("the node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: CompactString,
    },
    /// Whether it was done is not known, or it could not be tried: repeat with the same key.
    #[error("the outcome is not known, retry: {reason}")]
    Unavailable {
        /// Why.
        reason: CompactString,
    },
}

/// Why an entity got no reply from another.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TellError<R: std::error::Error + 'static> {
    /// It refuses.
    #[error(transparent)]
    Rejected(R),
    /// The command panicked there.
    #[error("the command failed inside and changed nothing")]
    Panicked,
    /// It is set aside; final until an operator acts.
    #[error("set aside after repeated failures")]
    Quarantined,
}

/// One batch's replies to the entities that asked.
pub type Answers<E> = Vec<(
    Peer,
    Result<<E as Entity>::Reply, TellError<<E as Entity>::Rejection>>,
)>;

/// The key was used before, on this entity, with another body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the key was used for another command, on {entity}")]
pub struct KeyReused {
    /// The entity that it was used on.
    pub entity: EntityRef,
}

/// Too much outside work is in flight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("busy, retry after {retry_after_ms} ms")]
pub struct Busy {
    /// When to come again.
    pub retry_after_ms: u64,
}

/// Whom a key's command concerns.
#[derive(Clone, Debug)]
pub struct Claim<E: Entity> {
    /// The candidate, or the entity that an earlier command with this key went to.
    pub id: E::Id,
    /// Whether the key is new.
    pub first: bool,
}

/// A command that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Who did it.
    pub entity: EntityRef,
    /// Hash of the body.
    pub body: u128,
    /// The encoded reply.
    pub reply: Bytes,
    /// The entity's version after it.
    pub version: u64,
    /// When it was done.
    pub recorded_at: Timestamp,
}

/// Why stored state could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// A row is not what it should be.
    #[error("a stored row cannot be decoded: {0}")]
    Decode(String),
    /// The history asked for is older than what is kept.
    #[error("history this old is no longer kept")]
    Expired,
}

/// Why a partition's records cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordsError {
    /// They are older than what is kept.
    #[error("records this old are no longer kept")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A committed record of a partition, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Whose log.
    pub partition: PartitionId,
    /// Its place there.
    pub index: u64,
    /// Kind and id ([`EntityRef::from_bytes`]).
    pub entity: Bytes,
    /// The encoded batch.
    pub body: Bytes,
}

/// A record, decoded.
#[derive(Clone, Debug)]
pub struct DecodedRecord<E: Entity> {
    /// Whose.
    pub id: E::Id,
    /// The entity's version after the first event.
    pub first_version: u64,
    /// The events in order, each with who and when.
    pub items: Vec<(Stamp, E::Event)>,
}

/// One event of an entity's history.
#[derive(Clone, Debug)]
pub struct Happened<E: Entity> {
    /// The entity's version after it.
    pub version: u64,
    /// Where it is recorded.
    pub partition: PartitionId,
    /// Its record's place there.
    pub index: u64,
    /// Who and when.
    pub stamp: Stamp,
    /// What.
    pub event: E::Event,
}

/// A row of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// The entity that it belongs to.
    pub owner: EntityRef,
    /// Its value.
    pub value: Vec<u8>,
}

/// Whether the node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Still recovering.
    Starting,
    /// Yes.
    Serving,
    /// It takes no more work and ends what it has.
    Draining,
    /// No.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Names who gets the reply to a message between entities. Opaque to the runtime.
#[derive(Clone)]
pub struct Peer(Option<Arc<dyn Tag>>);

trait Tag: Any + Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn encoded(&self) -> Option<Vec<u8>>;
}

impl<T: Any + Debug + Serialize + Send + Sync> Tag for T {
    fn encoded(&self) -> Option<Vec<u8>> {
        crate::codec::encode(self).ok()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Peer {
    /// Nobody wants the reply.
    #[must_use]
    pub fn nobody() -> Peer {
        Peer(None)
    }

    /// `tag` comes back with the reply in [`crate::Behaviour::answered`].
    pub fn new<T: Any + Debug + Serialize + Send + Sync>(tag: T) -> Peer {
        Peer(Some(Arc::new(tag)))
    }

    /// The tag, if it is a `T`.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        // Through the trait object, not through the `Arc`, which is itself `Any`.
        self.0
            .as_deref()
            .and_then(|tag| tag.as_any().downcast_ref())
    }

    /// The tag as bytes; none if nobody wants the reply.
    pub(crate) fn encoded(&self) -> Option<Vec<u8>> {
        self.0.as_deref().and_then(Tag::encoded)
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.0.is_none()
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(tag) => write!(f, "{tag:?}"),
            None => f.write_str("nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gives_its_tag_back_to_who_knows_its_type() {
        let peer = Peer::new(7_u32);
        assert_eq!(peer.get::<u32>(), Some(&7));
        assert_eq!(peer.get::<u64>(), None);
        assert_eq!(Peer::nobody().get::<u32>(), None);
    }

    #[test]
    fn references_survive_their_stored_form() {
        let entity = EntityRef::from_bytes(b"\x01LEEDS").expect("kind and id");
        assert_eq!((entity.kind(), entity.id()), (1, "LEEDS"));
        assert_eq!(entity.to_bytes(), b"\x01LEEDS");
        assert_eq!(EntityRef::from_bytes(b""), None);
    }

    /// Partitions of stored entities must never move.
    #[test]
    fn partitions_are_stable() {
        let of = |id| partition_of(id, 8);
        assert_eq!(
            [of("a"), of("LEEDS"), of("0QfQxw9cXv0000000000zz")],
            [7, 3, 0]
        );
        assert!((0..100).all(|n| partition_of(&n.to_string(), 3) < 3));
    }
}
