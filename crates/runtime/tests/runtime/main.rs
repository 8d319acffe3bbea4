//! The runtime from outside: a small kind of entity on real stores.

mod actors;
mod durability;
mod faults;
mod model;
mod support;
mod upkeep;
