//! What this node answers other replicas: Raft's calls, read indexes, parts of snapshots, changes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::raft::SnapshotResponse;

use super::group::Group;
use super::machine::Machine;
use super::messages::{Answer, AnswerError, Question, SnapshotPart, decode, encode};
use super::replicas::{Replicas, ReplicasError};
use super::snapshots::{Arriving, file_of, install};
use super::state_machine::{SnapshotData, meta_of};

impl Replicas {
    /// Answers another replica.
    ///
    /// # Errors
    /// When the question is none, or Raft will not.
    pub async fn answer(&self, question: Bytes) -> Result<Bytes, AnswerError> {
        let raft_error = |error: &dyn fmt::Display| AnswerError::Raft(error.to_string());
        let running = self.running().map_err(|error| raft_error(&error))?;
        let raft = |partition: u16| {
            let raft = running.rafts.get(usize::from(partition));
            raft.ok_or(AnswerError::NoPartition(partition))
        };
        let answer = match decode::<Question>(&question)? {
            Question::Append(partition, request) => {
                let response = raft(partition)?.append_entries(request).await;
                Answer::Append(response.map_err(|error| raft_error(&error))?)
            }
            Question::Vote(partition, request) => {
                let response = raft(partition)?.vote(request).await;
                Answer::Vote(response.map_err(|error| raft_error(&error))?)
            }
            Question::ReadIndexes(partitions) => {
                Answer::ReadIndexes(self.own_read_indexes(&partitions).await)
            }
            Question::Elect(partition) => {
                let elected = raft(partition)?.trigger().elect().await;
                elected.map_err(|error| raft_error(&error))?;
                Answer::Done
            }
            Question::Change(partition, change) => {
                Answer::Changed(self.take_step(partition, &change).await)
            }
            Question::Snapshot(part) => Answer::Snapshot(self.take_snapshot_part(*part).await?),
        };
        Ok(encode(&answer))
    }

    /// Takes a part of a snapshot in; Raft judges it when it is whole.
    async fn take_snapshot_part(
        &self,
        part: SnapshotPart,
    ) -> Result<Option<SnapshotResponse<u64>>, AnswerError> {
        let raft_error = |error: &dyn fmt::Display| AnswerError::Raft(error.to_string());
        let running = self.running().map_err(|error| raft_error(&error))?;
        let at = usize::from(part.partition);
        let raft = running.rafts.get(at);
        let raft = raft.ok_or(AnswerError::NoPartition(part.partition))?;
        let vote = part.vote;
        let (arriving, dir) = (Arc::clone(&self.arriving), self.dir.clone());
        let taking = move || {
            let mut arriving = arriving.lock();
            Arriving::take(arriving.entry(part.partition).or_default(), &dir, &part)
        };
        let taken = tokio::task::spawn_blocking(taking).await;
        let taken = taken.map_err(|error| raft_error(&error))?;
        let Some((position, file)) = taken.map_err(AnswerError::Raft)? else {
            return Ok(None);
        };
        let snapshot = openraft::Snapshot {
            meta: meta_of(&position),
            snapshot: Box::new(SnapshotData::Arrived(position, file)),
        };
        let installed = raft.install_full_snapshot(vote, snapshot).await;
        installed.map(Some).map_err(|error| raft_error(&error))
    }

    /// Goes on with a snapshot that was being put into place when the node stopped.
    pub(super) async fn finish_snapshot(
        &self,
        machine: &Arc<dyn Machine>,
        group: &Group,
    ) -> Result<(), ReplicasError> {
        let failed = |what: String| ReplicasError::Log(what);
        let file = file_of(&self.dir, group.partition);
        let marked = self.state.is_installing(group.partition);
        let Some(position) = marked.map_err(|error| failed(error.to_string()))? else {
            // What has not arrived whole is sent again.
            let _ = std::fs::remove_file(&file);
            return Ok(());
        };
        install(&**machine, &self.state, group.partition, &position, &file).map_err(failed)?;
        let settled = group.settle_at(&self.state, position, &file).await;
        settled.map_err(failed)
    }
}
