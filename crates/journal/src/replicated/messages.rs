//! What replicas ask each other, beside Raft's own messages; and how all of it becomes bytes.

use std::time::Duration;

use bytes::Bytes;
use consign_raft::Mark;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::disk_words::Known;
use super::moves::Change;
use super::replicas::Position;
use super::snapshots::PartRows;
use super::wire::{ReplicaWire, WireError};

/// The longest message that is decoded, in bytes.
const MESSAGE_BYTES_MAX: usize = 72 << 20;
const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MESSAGE_BYTES_MAX>,
> = bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>();

/// A question to a replica.
#[derive(Serialize, Deserialize)]
pub(crate) enum Question {
    /// Up to where must one have read, so that nothing acknowledged by now is missed?
    ReadIndexes(Vec<u16>),
    /// A part of a snapshot.
    Snapshot(Box<SnapshotPart>),
    /// Take the next step of a change, if you lead this partition.
    Change(u16, Change),
    /// By which disk do you know this node? Only for those who speak version 2.
    Disk(u64),
}

/// A part of a snapshot on its way.
#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    pub(crate) partition: u16,
    /// Who leads, and in which term.
    pub(crate) leader: u64,
    pub(crate) term: u64,
    /// Which snapshot.
    pub(crate) position: Position,
    /// Counts its parts from 0.
    pub(crate) nth: u64,
    /// Rows: table, key, value.
    pub(crate) rows: PartRows,
    /// Whether it is the last part.
    pub(crate) last: bool,
}

/// The answer.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// By partition asked for; none of those that this node does not lead.
    ReadIndexes(Vec<Option<u64>>),
    /// Where it stands then, once it has the last part; none before.
    Snapshot(Option<Mark>),
    /// Whether nothing is left to do, or why it cannot be done.
    Changed(Result<bool, String>),
    /// What is known of it.
    Disk(Known),
}

/// Why a replica's question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is none of ours.
    #[error("cannot decode: {0}")]
    Decode(String),
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(u16),
    /// It cannot be done.
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let bytes = bincode::serde::encode_to_vec(value, CONFIG);
    Bytes::from(bytes.expect("messages are far below the limit, and have nothing that cannot be"))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AnswerError> {
    let (value, _) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| AnswerError::Decode(error.to_string()))?;
    Ok(value)
}

/// Asks a replica something that it answers in kind.
pub(crate) async fn ask(
    wire: &dyn ReplicaWire,
    node: u64,
    question: &Question,
    within: Duration,
) -> Result<Answer, WireError> {
    let bulk = matches!(question, Question::Snapshot(_));
    let answer = wire.ask(node, encode(question), within, bulk).await?;
    decode(&answer).map_err(|error| WireError::NoAnswer(error.to_string()))
}
