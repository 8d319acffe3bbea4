//! What the end-to-end tests share: a real `consign` process, a client for it, a shop to fill it
//! with, and a recount of the laws from outside.
//!
//! In: the path of the binary. Out: answers as the network gave them. Knows nothing of the crates
//! behind the binary: what these tests hold is what any client can see.
//!
//! The tests lie in the folders beside `src/`, one a theme; `crates/consign/Cargo.toml` names them.

mod client;
mod events;
mod ports;
mod process;
mod recount;
mod shop;

pub use client::{Client, Connecting, Reply, Request, Socket};
pub use events::{EventStream, Happened};
pub use ports::addresses;
pub use process::{Node, Ran, Setting, eventually, file, run};
pub use recount::{Books, recount};
pub use shop::{Shop, amount, order};
