//! The journal as replicas of it agree on it: one Raft group for each partition, over one log.
//!
//! ```text
//! append ─► waiting ─► one batch ─► consign-raft: this node's log and the others' (a quorum)
//!                         ▲              │ committed
//!                         └─ next ◄──────┴─► applied: `Done` of who appended, else `Machine`
//! ```
//! In: entries of those who lead a partition. Out: the same entries, in the same order, on every
//! replica. Each batch carries under which leader it was decided, and counts for nothing when it was
//! committed under another: a deposed leader's writes are refused where they are applied (L4). One
//! batch of a partition is in flight at a time and holds all that waited. A node alone is the same
//! thing with one voter.
//!
//! Records are counted apart from Raft's entries: a batch holds many, and an election's none.

mod answers;
mod apply;
mod batch;
mod disk_rows;
mod disk_words;
mod disks;
mod founding;
mod group;
mod lead;
mod linearizable;
mod machine;
pub(crate) mod messages;
mod moves;
mod options;
mod outside;
mod positions;
mod purge;
mod readmission;
mod reads;
mod replicas;
pub(crate) mod reshape;
mod snapshots;
mod status;
mod store;
mod wire;

pub use batch::LeaderId;
pub use disk_words::{DiskId, DiskStatus, DiskWord};
pub use machine::{Machine, NextPart, VisitRow};
pub use messages::AnswerError;
pub use options::{ReplicaOptions, Timing};
pub use replicas::{Position, Replicas, ReplicasError};
pub use status::GroupStatus;
pub use wire::{Alone, Answering, ReplicaWire, WireError};
