//! One replica of a group that agrees on a log by Raft: pure, without clock, disk, network or task.
//!
//! ```text
//! tick, messages, proposals, "durable" ─► Raft ─► messages, log writes, up to where it is committed
//! ```
//! In: what happens, one thing at a time, and what time it is. Out: what is to be sent, and through
//! [`Log`] what is to be kept; how far the log is committed; who leads. The same inputs give the same
//! outputs, so all of it can be simulated ([`tests/simulation`]). Nobody is told anything that is not
//! durable first: votes wait for [`Raft::vote_saved`], acknowledgements for [`Raft::durable`].
//!
//! As in Ongaro's dissertation, with asking before campaigning (§9.6), leases of followers and a leader
//! that steps down without a quorum (§6.2), changes of one voter at a time (§4.1), rounds for reads
//! (§6.4) and handing the lead over (§3.10).
//!
//! | room | what it holds |
//! |---|---|
//! | [`Raft`] | a replica's state, and what moves it |
//! | `election`, `follow`, `lead` | how one comes to lead; how entries are taken in; how they are given |
//! | `outside` | how one learns that it is in the group no more |
//! | `peer` | what a leader knows of another replica |
//! | [`Terms`] | the shape of a log |
//! | [`Membership`] | who is in the group |
//!
//! [`tests/simulation`]: https://doc.rust-lang.org/cargo/guide/project-layout.html

mod election;
mod follow;
mod lead;
mod membership;
mod message;
mod outside;
mod peer;
mod raft;
mod terms;

pub use lead::{ProposeError, ReadId};
pub use membership::Membership;
pub use message::{Body, Entry, Message, Payload, Vote};
pub use raft::{Log, Raft, RaftOptions, Restored};
pub use terms::{Mark, Terms};
