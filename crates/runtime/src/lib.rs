//! Keeps entities as actors: durable, restarted, timed, bounded. Knows the `Entity` trait, not
//! what an order is.
//!
//! In: outside commands that were admitted, and messages between entities. Out: replies and
//! effects, each only after the events behind it are durable (L2), each command once in effect
//! (L3), every queue with a named bound (L8).
//!
//! | room | what it holds |
//! |---|---|
//! | [`Node`], [`NodeBuilder`] | one node: stores, hosts, recovery, checkpoints |
//! | `shape`, `leadership`, `remote` | a node among the others: who is in, who leads, entities elsewhere |
//! | [`Host`] | all entities of one kind: ask, tell, read, history |
//! | [`Behaviour`] | what a kind does beyond deciding |
//! | `actor`, `batch`, `mailbox` | the actor's loop, its decisions, its mails |
//! | `warm`, `shard`, `held`, `overlay`, `commands`, `timers` | what is committed and not yet checkpointed |
//! | `checkpoint`, `recovery`, `store`, `rows`, `codec` | the way to disk and back |

mod actor;
mod admission;
mod answer;
mod batch;
mod behaviour;
mod checkpoint;
mod clock;
mod codec;
mod commands;
mod entity_rows;
mod erased;
mod handle;
mod held;
mod history;
mod host;
mod leadership;
mod mailbox;
mod metering;
mod node;
mod options;
mod overlay;
mod quarantine;
mod recovery;
mod remote;
mod replica_rows;
mod rows;
mod shape;
mod shard;
mod shared;
mod store;
mod supervision;
mod timers;
mod touched;
mod types;
mod warm;
mod written_keys;

pub use admission::Permit;
pub use behaviour::Behaviour;
pub use clock::{Clock, ManualClock, SystemClock};
pub use codec::{CodecError, decode, encode};
pub use consign_journal::{
    Answering, BackupError, BackupManifest, DiskId, DiskStatus, DiskWord, GroupStatus, OpenError,
    PartitionId, ReplicaOptions, ReplicaWire, ReplicasError, StorageBackend, StoreError, Threads,
    Timing, WireError, WorkFailed, restore,
};
pub use handle::Host;
pub use node::{Node, NodeStats, StartError, UpkeepError};
pub use options::{
    COMMAND_MEMORY_DEFAULT, JOURNAL_BYTES_MAX_DEFAULT, NodeOptions, PERMITS_DEFAULT,
    WAITING_PER_PERMIT_MAX,
};
pub use recovery::NodeBuilder;
pub use remote::Remote;
pub use types::{
    Answers, AskError, Asked, Busy, Call, Claim, CommandKey, DecodedRecord, EntityRef, Happened,
    Health, IndexRow, KeyReused, Peer, ReadError, RecordsError, Remembered, StoredRecord,
    TellError, Wait, partition_of,
};
