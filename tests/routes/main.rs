//! Every route of a real node, with good input and bad: status, shape, code, pointers, and what a
//! retry hears.

mod amounts;
mod availability;
mod batch;
mod blocks;
mod capacity;
mod definitions;
mod encodings;
mod fulfillment;
mod goods;
mod idempotency;
mod incoming;
mod inventory;
mod lists;
mod operations;
mod orders;
mod promises;
mod reservations;
mod shortage;
mod strategies;
mod trials;

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");
