//! What this node hears of other replicas: Raft's messages, read indexes, parts of snapshots, changes.

use std::sync::Arc;

use bytes::Bytes;
use consign_raft::Mark;

use super::group::Group;
use super::messages::{Answer, AnswerError, Question, SnapshotPart, decode, encode};
use super::replicas::{Position, Replicas};
use super::snapshots::{Arriving, install};
use crate::state::StateStore;

impl Replicas {
    /// Takes another replica's message; what cannot be read is nothing.
    pub fn hear(&self, from: u64, message: &[u8]) {
        let decoded = decode::<(u16, consign_raft::Message)>(message);
        match (self.running(), decoded) {
            (Ok(running), Ok((partition, message))) => {
                if let Some(group) = running.groups.get(usize::from(partition)) {
                    group.receive(from, message);
                }
            }
            (Err(_), _) => {}
            (_, Err(error)) => tracing::warn!(from, %error, "a replica's message is none"),
        }
    }

    /// Answers another replica.
    ///
    /// # Errors
    /// When the question is none, or it cannot be done.
    pub async fn answer(&self, question: Bytes) -> Result<Bytes, AnswerError> {
        let answer = match decode::<Question>(&question)? {
            Question::ReadIndexes(partitions) => {
                Answer::ReadIndexes(self.own_read_indexes(&partitions).await)
            }
            Question::Change(partition, change) => {
                Answer::Changed(self.take_step(partition, &change).await)
            }
            Question::Disk(node) => Answer::Disk(self.known(node)),
            Question::Snapshot(part) => Answer::Snapshot(self.take_snapshot_part(*part).await?),
        };
        Ok(encode(&answer))
    }

    /// Takes a part of a snapshot in, and puts it into place when it is whole.
    async fn take_snapshot_part(&self, part: SnapshotPart) -> Result<Option<Mark>, AnswerError> {
        let refused = |error: &dyn std::fmt::Display| AnswerError::Refused(error.to_string());
        let running = self.running().map_err(|error| refused(&error))?;
        let group = running.groups.get(usize::from(part.partition));
        let group = group.ok_or(AnswerError::NoPartition(part.partition))?;
        let (leader, term) = (part.leader, part.term);
        let (arriving, dir) = (Arc::clone(&self.arriving), self.dir.clone());
        let taking = move || {
            let mut arriving = arriving.lock();
            Arriving::take(arriving.entry(part.partition).or_default(), &dir, &part)
        };
        let taken = self.journal.threads().run(taking).await;
        let taken = taken.map_err(|error| refused(&error))?;
        let Some((position, file)) = taken.map_err(AnswerError::Refused)? else {
            return Ok(None);
        };
        let mark = position.mark;
        if !group.begin_install(leader, term, mark).await {
            let here = group.look(|raft| raft.terms().last().min(mark));
            return if here == mark {
                Ok(Some(mark))
            } else {
                Err(AnswerError::Refused(
                    "that snapshot is not wanted".to_owned(),
                ))
            };
        }
        let (state, machine) = (Arc::clone(&self.state), Arc::clone(&group.machine));
        let (partition, at, from) = (group.partition, position.clone(), file.clone());
        let installing = move || install(&*machine, &state, partition, &at, &from);
        let installed = self.journal.threads().run(installing).await;
        let installed = installed
            .map_err(|error| error.to_string())
            .and_then(|installed| installed);
        let settled = match installed {
            Ok(()) => group.settle_at(&self.state, position, &file).await,
            Err(error) => Err(error),
        };
        if let Err(what) = settled {
            group.machine.failed(&what);
            return Err(AnswerError::Refused(what));
        }
        Ok(Some(mark))
    }
}

impl Group {
    /// Whether a snapshot is wanted; then nothing is applied until it is in place.
    async fn begin_install(&self, leader: u64, term: u64, at: Mark) -> bool {
        loop {
            let begun = self.act(|core| {
                let wait = core.applying;
                (!wait).then(|| core.raft.begin_install(leader, term, at))
            });
            match begun {
                Some(begun) => return begun,
                None => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    }

    /// Rows have been replaced by those of a snapshot: the log goes on after it.
    async fn settle_at(
        &self,
        state: &StateStore,
        position: Position,
        file: &std::path::Path,
    ) -> Result<(), String> {
        // Without it the mark must stay.
        let jumped = self.log.jump(position.mark, position.records).await;
        jumped.map_err(|error| error.to_string())?;
        tracing::info!(partition = %self.partition, records = position.records, "has a snapshot");
        let unmarked = state.write(&[StateStore::installing(self.partition, None)]);
        unmarked.map_err(|error| error.to_string())?;
        // It would only be written over by the next one.
        let _ = std::fs::remove_file(file);
        let (mark, membership) = (position.mark, position.membership.clone());
        let committed = &self.committed;
        committed.store(position.records, std::sync::atomic::Ordering::Release);
        *self.applied.lock() = position;
        self.applied_entry.send_replace(mark.index);
        self.act(|core| core.raft.installed(mark, membership));
        Ok(())
    }
}
