//! What replicas say to each other, and how Raft's own calls become that.

use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, OptionalSend, Snapshot, Vote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::Groups;
use super::group::Group;
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
/// How long a replica that cannot be reached is left alone before it is tried again.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

/// A question to a replica.
#[derive(Serialize, Deserialize)]
pub(crate) enum Question {
    /// Raft: take these entries.
    Append(u16, AppendEntriesRequest<Groups>),
    /// Raft: vote for me.
    Vote(u16, VoteRequest<u64>),
    /// Up to where must one have read, so that nothing acknowledged by now is missed?
    ReadIndexes(Vec<u16>),
    /// A part of a snapshot.
    Snapshot(Box<SnapshotPart>),
    /// Campaign for this partition: its leader leaves.
    Elect(u16),
    /// Take the next step of a change, if you lead this partition.
    Change(u16, Change),
}

/// A part of a snapshot on its way.
#[derive(Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    pub(crate) partition: u16,
    pub(crate) vote: Vote<u64>,
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
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
    /// By partition asked for; none of those that this node does not lead.
    ReadIndexes(Vec<Option<u64>>),
    Snapshot(Option<SnapshotResponse<u64>>),
    /// Whether nothing is left to do, or why it cannot be done.
    Changed(Result<bool, String>),
    Done,
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
    /// Raft will not.
    #[error("{0}")]
    Raft(String),
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

/// Makes the lines to the replicas of one partition.
pub(crate) struct Lines {
    pub(crate) group: Arc<Group>,
    pub(crate) wire: Arc<dyn ReplicaWire>,
}

/// The line to one replica.
pub(crate) struct Line {
    group: Arc<Group>,
    node: u64,
    wire: Arc<dyn ReplicaWire>,
}

impl RaftNetworkFactory<Groups> for Lines {
    type Network = Line;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Line {
        self.wire.locate(target, &node.addr);
        Line {
            group: Arc::clone(&self.group),
            node: target,
            wire: Arc::clone(&self.wire),
        }
    }
}

type RpcResult<T> = Result<T, RPCError<u64, BasicNode, RaftError<u64>>>;

impl Line {
    async fn ask(&self, question: Question, within: Duration) -> RpcResult<Answer> {
        let answer = ask(&*self.wire, self.node, &question, within).await;
        answer.map_err(|error| match error {
            WireError::NotSent(_) => Unreachable::new(&error).into(),
            WireError::NoAnswer(_) => NetworkError::new(&error).into(),
        })
    }
}

fn strange() -> NetworkError {
    NetworkError::new(&AnyError::error("it answered another question"))
}

impl RaftNetwork<Groups> for Line {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Groups>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<u64>> {
        let question = Question::Append(self.group.partition.0, rpc);
        match self.ask(question, option.hard_ttl()).await? {
            Answer::Append(response) => Ok(response),
            _ => Err(strange().into()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<u64>> {
        let question = Question::Vote(self.group.partition.0, rpc);
        match self.ask(question, option.hard_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(strange().into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Groups>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Groups, Fatal<u64>>> {
        let sending = super::snapshots::send(
            (&*self.wire, Arc::clone(&self.group.machine)),
            (self.group.partition, self.node),
            vote,
            snapshot,
            option.hard_ttl(),
        );
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = sending => sent.map_err(|error| NetworkError::new(&error).into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}
