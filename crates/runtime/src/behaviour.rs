//! What a kind of entity does beyond deciding: where its effects go, who hears its replies, which
//! rows find it. The only thing that the runtime knows of a domain besides [`Entity`].

use std::sync::Arc;

use consign_domain::entity::Entity;

use crate::types::{Answers, Peer};

/// How a kind of entity acts on the rest of the system. No method may block: all but
/// [`Behaviour::index`] run inside the entity's actor.
pub trait Behaviour<E: Entity>: Send + Sync + 'static {
    /// Carries out effects that are pending in a durable state: those that are new, or those that
    /// went unanswered for a while. Groups them by receiver itself.
    fn perform(&self, id: &E::Id, effects: Vec<E::Effect>);

    /// Hands one batch's replies to the entities that asked.
    fn answered(&self, id: &E::Id, to: Answers<E>);

    /// Hears of every durable change, in the entity's order.
    fn committed(&self, state: &Arc<E>, events: &[E::Event]);

    /// Hears of each entity of a kind that is loaded at start ([`Behaviour::preload`]).
    fn recovered(&self, _state: &Arc<E>) {}

    /// The rows by which the entity is found: key and value. Keys are unique over all entities.
    fn index(&self, state: &E) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// Who sent a message, from what [`Peer::new`] was given there; none if that is none of ours.
    fn peer(&self, _tag: &[u8]) -> Option<Peer> {
        None
    }

    /// Whether all entities of this kind are loaded at start and stay in memory.
    fn preload(&self) -> bool {
        false
    }
}
