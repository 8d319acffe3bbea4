//! The one mechanism that order, location, carrier and catalogue share (`decide`, `apply`,
//! `pending`, `wakeup`), seen from above by a runtime that does not know what an order is.
//!
//! Effects and timers are derived from state: an effect stays in [`Entity::pending`] until an
//! event records its outcome, so recovery is "load, ask `pending` and `wakeup`, carry on".

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::hash::Hash;

use compact_str::CompactString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::time::Timestamp;

/// Who is acting and when; comes in with each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The runtime's clock, never behind what this entity has already recorded.
    pub now: Timestamp,
    /// When it happened in the world, if the caller says so; may be past. Else it is `now`.
    pub occurred_at: Option<Timestamp>,
    /// The principal, e.g. `api`, `system`, `location:LEEDS`.
    pub by: CompactString,
}

impl Context {
    /// The stamp that this context's events will carry.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            recorded_at: self.now,
            occurred_at: self.occurred_at.unwrap_or(self.now),
            by: self.by.clone(),
        }
    }
}

/// What is recorded beside each event: who acted, when it happened, when it was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Stamp {
    /// When the event became part of the entity; never backwards within one entity.
    pub recorded_at: Timestamp,
    /// When it happened in the world; may lie before `recorded_at`.
    pub occurred_at: Timestamp,
    /// The principal that acted.
    pub by: CompactString,
}

/// What a command comes to: events to record, personal data to keep apart, an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<Event, Private, Reply> {
    /// In order; empty means "nothing changes", which is a success.
    pub events: Vec<Event>,
    /// Replaces the entity's personal record when present; stored apart from events.
    pub private: Option<Private>,
    /// What the caller hears once the events are durable.
    pub reply: Reply,
}

/// The decision type of an entity.
pub type DecisionOf<E> =
    Decision<<E as Entity>::Event, <E as Entity>::Private, <E as Entity>::Reply>;

/// A message or call that must happen until an event records that it did.
pub trait Effect: Clone + Debug + Send + Sync + 'static {
    /// Names the effect within its entity. Two effects with one key are the same effect, so that
    /// a runtime can tell what it has sent already.
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;
    /// The effect's name.
    fn key(&self) -> Self::Key;
}

/// A state machine that the runtime can keep as an actor, store in parts and wake.
pub trait Entity: Clone + Debug + Send + Sync + Sized + 'static {
    /// Stable name of the kind: part of stored keys, logs and metrics. `order`, `location`, …
    const KIND: &'static str;
    /// Stable number of the kind, in stored keys.
    const KIND_CODE: u8;
    /// Whether the whole state is one part. It is then stored beside the entity's version, in one
    /// row instead of two.
    const ONE_PART: bool = false;

    /// How the entity is addressed. `Display` and `FromStr` round-trip.
    type Id: Clone + Eq + Ord + Hash + Debug + Display + std::str::FromStr + Send + Sync + 'static;
    /// Imperatives.
    type Command: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Past participles.
    type Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Personal data, erasable without touching events. `()` where there is none.
    type Private: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it asks of others.
    type Effect: Effect;
    /// What a caller hears; stored with a remembered command, so that a repeat hears the same (L3).
    type Reply: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Why a command is refused.
    type Rejection: std::error::Error
        + Clone
        + PartialEq
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// Names one stored part of the state.
    type PartKey: Clone
        + Eq
        + Ord
        + Hash
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// One stored part of the state.
    type Part: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The state before the first event.
    fn empty(id: Self::Id) -> Self;
    /// The entity's name.
    fn id(&self) -> &Self::Id;
    /// How many events have been applied; 0 means that it does not exist yet.
    fn version(&self) -> u64;
    /// `recorded_at` of the last event applied, [`Timestamp::ZERO`] if none.
    fn recorded_at(&self) -> Timestamp;

    /// Says what `command` means for this state. Reads no clock, does no IO, changes nothing.
    ///
    /// # Errors
    /// The rejection, when the command is not allowed in this state.
    fn decide(
        &self,
        command: &Self::Command,
        context: &Context,
    ) -> Result<DecisionOf<Self>, Self::Rejection>;

    /// Takes one event in. Total: every event that `decide` ever produced can be applied to the
    /// state that it was decided on.
    fn apply(&mut self, event: &Self::Event, stamp: &Stamp);

    /// Takes the personal record in, beside the events of the same decision.
    fn apply_private(&mut self, private: &Self::Private);

    /// The personal record, if there is one. It is stored beside the parts, never in them.
    fn private(&self) -> Option<Self::Private>;

    /// Effects not yet confirmed, in the order in which they should leave.
    fn pending(&self) -> Vec<Self::Effect>;

    /// Whether [`Entity::pending`] is non-empty, without building it.
    fn has_pending(&self) -> bool {
        !self.pending().is_empty()
    }

    /// The next moment at which time alone matters.
    fn wakeup(&self) -> Option<Timestamp>;

    /// The command that the runtime sends when `wakeup` is due.
    fn wake_command(now: Timestamp) -> Self::Command;

    /// Whether what the last outside command began has come to its end: a caller who asked for
    /// the outcome, and not only for durability, is answered when this holds.
    fn settled(&self) -> bool {
        !self.has_pending()
    }

    /// The parts that `event` changes, whatever the state, pushed to `parts`. May name too many,
    /// never too few.
    fn touched_parts(event: &Self::Event, parts: &mut Vec<Self::PartKey>);

    /// The part to store, or `None` when it no longer exists and its row is to be deleted. Borrowed
    /// where the whole state is the part: nothing is copied only to be encoded.
    fn part(&self, key: &Self::PartKey) -> Option<Cow<'_, Self::Part>>;

    /// The state from its stored parts, in key order. The inverse of [`Entity::part`] over all parts.
    fn assemble(id: Self::Id, parts: Vec<(Self::PartKey, Self::Part)>) -> Self;
}
