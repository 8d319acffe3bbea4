//! What a group's committed entries do: they reach those who appended them, else the machine.
//!
//! In: committed entries, in order. Out: each record once, on every replica alike. Holds L4: a batch
//! that was committed under another leader than it was decided under is nothing. Its state lies in
//! `state.redb`, where checkpoints put it, so a snapshot is what a checkpoint published.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, BasicNode, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageIOError, StoredMembership,
};

use super::batch::{Batch, LeaderId};
use super::group::Group;
use super::replicas::Position;
use super::snapshots;
use super::{Groups, LogId, Membership, RaftEntry, StorageError};
use crate::error::{AppendError, StoreError};
use crate::log::Committed;
use crate::state::StateStore;

/// A snapshot: what the store has published, or what has arrived of another's.
#[derive(Debug)]
pub(crate) enum SnapshotData {
    /// Read when it is sent.
    Published(Weak<StateStore>),
    /// Whole in a file.
    Arrived(Position, PathBuf),
}

/// The machine as Raft sees it.
#[derive(Clone)]
pub(crate) struct StateMachine {
    pub(crate) group: Arc<Group>,
    pub(crate) state: Arc<StateStore>,
}

impl StateMachine {
    /// Applies a batch that was committed under `log_id`'s leader, after `before` records; gives how
    /// many there are then.
    fn take(&self, log_id: LogId, batch: &Batch, before: u64) -> Result<u64, String> {
        let group = &*self.group;
        let head = batch.head();
        let waiting = group.take_in_flight(head.ticket);
        let committed_under = LeaderId {
            term: log_id.leader_id.term,
            node: log_id.leader_id.node_id,
        };
        if head.lead != committed_under {
            tracing::warn!(partition = %group.partition, decided = %head.lead, %committed_under, "a batch was committed under another leader than it was decided under: it is nothing");
            let partition = group.partition;
            for done in waiting.into_iter().flatten() {
                done(Err(AppendError::Deposed { partition }));
            }
            return Ok(before);
        }
        let after = before + u64::from(head.count);
        group.committed.store(after, Ordering::Release);
        match waiting {
            Some(dones) => {
                for (index, done) in (before + 1..).zip(dones) {
                    let partition = group.partition;
                    done(Ok(Committed { partition, index }));
                }
            }
            None => {
                for (index, entry) in (before + 1..).zip(batch.items()?) {
                    group.machine.apply(group.partition, index, &entry)?;
                }
            }
        }
        Ok(after)
    }

    /// The snapshot that is there: what was published last.
    fn published(&self) -> Result<Option<Snapshot<Groups>>, StoreError> {
        let position = self.state.position_of(self.group.partition)?;
        Ok(position
            .filter(|position| position.log_id.is_some())
            .map(|position| Snapshot {
                meta: meta_of(&position),
                snapshot: Box::new(SnapshotData::Published(Arc::downgrade(&self.state))),
            }))
    }
}

fn cannot_read(error: StoreError) -> StorageError {
    StorageIOError::read_snapshot(None, AnyError::new(&error)).into()
}

pub(crate) fn meta_of(position: &Position) -> SnapshotMeta<u64, BasicNode> {
    SnapshotMeta {
        last_log_id: position.log_id,
        last_membership: position.membership.clone(),
        snapshot_id: position.entry().to_string(),
    }
}

impl RaftStateMachine<Groups> for StateMachine {
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let applied = self.group.applied.lock();
        Ok((applied.log_id, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            let mut records = self.group.applied.lock().records;
            let mut changed = None;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => match self.take(log_id, &batch, records) {
                    Ok(after) => records = after,
                    Err(what) => {
                        let partition = self.group.partition;
                        self.group.machine.failed(&format!(
                            "entry {log_id} of partition {partition} cannot be applied: {what}"
                        ));
                        return Err(StorageIOError::apply(log_id, AnyError::error(what)).into());
                    }
                },
                EntryPayload::Membership(membership) => {
                    changed = Some(StoredMembership::new(Some(log_id), membership));
                }
            }
            // All of it at once: a checkpoint may look at any moment.
            let mut position = self.group.applied.lock();
            (position.records, position.log_id) = (records, Some(log_id));
            if let Some(membership) = changed {
                position.membership = membership;
            }
            drop(position);
            applied.push(());
        }
        let entry = self.group.applied.lock().entry();
        self.group.applied_entry.send_replace(entry);
        self.group.machine.applied();
        Ok(applied)
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        // Parts are gathered apart; Raft sees a snapshot when it is whole.
        Ok(Box::new(SnapshotData::Published(Weak::new())))
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let SnapshotData::Arrived(position, path) = *snapshot else {
            return Ok(());
        };
        let failed = |what: String| {
            self.group.machine.failed(&what);
            StorageIOError::write_snapshot(None, AnyError::error(what)).into()
        };
        let (machine, state) = (Arc::clone(&self.group.machine), Arc::clone(&self.state));
        let (partition, at, file) = (self.group.partition, position.clone(), path.clone());
        let installing = move || snapshots::install(&*machine, &state, partition, &at, &file);
        let installed = tokio::task::spawn_blocking(installing).await;
        installed
            .map_err(|error| error.to_string())
            .and_then(|installed| installed)
            .map_err(&failed)?;
        self.group
            .settle_at(&self.state, position, &path)
            .await
            .map_err(&failed)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Groups>>, StorageError> {
        self.published().map_err(cannot_read)
    }
}

impl RaftSnapshotBuilder<Groups> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Groups>, StorageError> {
        self.published().map_err(cannot_read)?.ok_or_else(|| {
            let nothing = AnyError::error("no checkpoint is published yet");
            StorageIOError::read_snapshot(None, nothing).into()
        })
    }
}
