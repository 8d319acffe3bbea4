//! What Consign's entities are and may do: pure state machines, no clock, no randomness, no IO (L10).
//!
//! In: a state and a command. Out: events and a reply, or a rejection. Everything that moves an
//! entity goes through [`entity::Entity::decide`] and [`entity::Entity::apply`].

pub mod by_sku;
pub mod carrier;
pub mod catalogue;
pub mod entity;
pub mod ids;
pub mod location;
pub mod money;
pub mod order;
pub mod reservation;
pub mod time;
