//! Checkpoints: what changed moves from the journal's tail into `state.redb`, in bounded slices.
//!
//! In: states published by commits, records of the tail. Out: rows that carry the index they
//! reflect, so that replay skips what is there; history; then the published index; and only then
//! a shorter journal. Never blocks a commit: it takes a snapshot of one entity at a time.
//! Its cost follows what changed, not what is stored. One entity's rows always lie in one slice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use consign_journal::{Log, PartitionId};
use parking_lot::Mutex;

use crate::erased::EntityWrites;
use crate::node::UpkeepError;
use crate::options::{JOURNAL_OVERRUN_MAX, NodeOptions};
use crate::rows;
use crate::shared::{NodeInner, Stores};
use crate::store::{Store, Table, write};
use crate::types::{EntityRef, ReadError};

/// Bytes of one slice, over which no further entity joins it.
const SLICE_BYTES: usize = 16 << 20;
/// Rows of one slice that come one by one.
const SLICE_ROWS: usize = 65_536;
/// Records read from the tail at once.
const TAIL_RECORDS: usize = 2_048;
/// Forgotten commands and history rows that one checkpoint deletes at most.
const PRUNED_ROWS_MAX: usize = 200_000;
/// How often the bounds are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When checkpoints happen, and that only one does.
pub(crate) struct Checkpointer {
    running: Mutex<()>,
    closed: AtomicBool,
    automatic: bool,
    journal_bytes_max: u64,
    dirty_max: usize,
    history_retention_ms: i64,
}

impl Checkpointer {
    pub(crate) fn new(options: &NodeOptions) -> Checkpointer {
        Checkpointer {
            running: Mutex::new(()),
            closed: AtomicBool::new(false),
            automatic: options.checkpoints,
            journal_bytes_max: options.journal_bytes_max,
            dirty_max: options.dirty_max,
            history_retention_ms: i64::try_from(options.history_retention.as_millis())
                .unwrap_or(i64::MAX),
        }
    }

    /// No checkpoint starts any more; waits for the one that runs.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.running.lock());
    }
}

/// Looks at the bounds until the node closes, at once after a start too: a node that dies often
/// must still get ahead of its journal. Runs on a thread of its own.
pub(crate) fn watch(node: &std::sync::Weak<NodeInner>) {
    loop {
        let Some(node) = node.upgrade() else { return };
        let checkpointer = &node.checkpointer;
        if checkpointer.closed.load(Ordering::SeqCst) {
            return;
        }
        let Some(stores) = node.stores() else { return };
        let bytes = stores.journal.tail_bytes();
        drop(stores);
        node.admission.set_overrun(
            bytes
                > checkpointer
                    .journal_bytes_max
                    .saturating_mul(JOURNAL_OVERRUN_MAX),
        );
        let dirty = node.dirty.load(Ordering::Relaxed);
        metrics::gauge!("consign_runtime_dirty_entities").set(dirty as f64);
        metrics::gauge!("consign_runtime_journal_tail_bytes").set(bytes as f64);
        let due = bytes >= checkpointer.journal_bytes_max || dirty >= checkpointer.dirty_max;
        if checkpointer.automatic
            && due
            && let Err(error) = node.checkpoint()
        {
            tracing::error!(%error, "the checkpoint failed");
        }
        node.commands.sweep();
        drop(node);
        std::thread::sleep(LOOK_EVERY);
    }
}

impl NodeInner {
    /// Writes a checkpoint. A failure stops the node: what was taken is only in the journal then.
    pub(crate) fn checkpoint(&self) -> Result<(), UpkeepError> {
        let _running = self.checkpointer.running.lock();
        if self.checkpointer.closed.load(Ordering::SeqCst) {
            return Err(UpkeepError::Closed);
        }
        let stores = self.stores().ok_or(UpkeepError::Closed)?;
        let started = Instant::now();
        let result = self.write_checkpoint(&stores);
        match &result {
            Ok(()) => {
                metrics::histogram!("consign_runtime_checkpoint_seconds").record(started.elapsed());
                metrics::counter!("consign_runtime_checkpoints_total").increment(1);
            }
            Err(error) => self.stop_because(&format!("cannot write a checkpoint: {error}")),
        }
        result
    }

    /// Copies both stores while no checkpoint runs: a consistent prefix.
    pub(crate) fn backup(&self, target: &Path) -> Result<(), UpkeepError> {
        let _running = self.checkpointer.running.lock();
        let stores = self.stores().ok_or(UpkeepError::Closed)?;
        crate::store::backup(&stores, target)
    }

    fn write_checkpoint(&self, stores: &Stores) -> Result<(), UpkeepError> {
        let store = Store(Arc::clone(&stores.state));
        // Read before the states: every record up to here is in what is written below.
        let upto = self.applied_upto();
        let published: Vec<u64> = self
            .published
            .iter()
            .map(|at| at.load(Ordering::Acquire))
            .collect();
        if upto == published {
            return Ok(());
        }
        // History first: an entity whose records it holds may leave memory as soon as it is written.
        let records = write_history(stores, &store, &published, &upto)?;
        for host in self.all_hosts() {
            host.settle(&upto);
        }
        let entities = self.write_entities(&store)?;
        self.write_commands(&store)?;
        store.publish(&upto)?;
        let purged = upto
            .iter()
            .zip(0_u16..)
            .map(|(index, partition)| (PartitionId(partition), *index));
        for (published, index) in self.published.iter().zip(&upto) {
            published.store(*index, Ordering::Release);
        }
        stores.journal.purge(&purged.collect::<Vec<_>>())?;
        self.overlay.compact(|entity| {
            self.host(entity.kind())
                .is_some_and(|host| host.is_unindexed(entity))
        });
        self.prune(&store)?;
        tracing::info!(entities, records, "checkpoint");
        Ok(())
    }

    /// Writes every changed entity, by key, in slices.
    fn write_entities(&self, store: &Store) -> Result<usize, UpkeepError> {
        let mut dirty: Vec<EntityRef> = self
            .all_hosts()
            .iter()
            .flat_map(|host| host.dirty())
            .collect();
        dirty.sort_unstable();
        let mut slice = Vec::new();
        let mut slice_bytes = 0;
        for entity in &dirty {
            let Some(host) = self.host(entity.kind()) else {
                continue;
            };
            if let Some(changed) = host.changed(entity, store)? {
                slice_bytes += changed.bytes;
                slice.push(changed);
            }
            if slice_bytes >= SLICE_BYTES {
                self.write_slice(store, std::mem::take(&mut slice))?;
                slice_bytes = 0;
            }
        }
        self.write_slice(store, slice)?;
        Ok(dirty.len())
    }

    fn write_slice(&self, store: &Store, slice: Vec<EntityWrites>) -> Result<(), UpkeepError> {
        if slice.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::new();
        let mut written = Vec::with_capacity(slice.len());
        for entity in slice {
            writes.extend(entity.writes);
            written.push((entity.entity, entity.bytes));
        }
        // Deletions first: a key that moves from one entity to another stays.
        writes.sort_by_key(|write| write.value.is_some());
        store.write(&writes)?;
        self.overlay.remove(written.into_iter(), |entity, bytes| {
            self.host(entity.kind())
                .is_none_or(|host| host.written(entity, bytes))
        });
        Ok(())
    }

    /// Moves the answers of keyed commands to disk.
    fn write_commands(&self, store: &Store) -> Result<(), UpkeepError> {
        let recent = self.commands.recent();
        for slice in recent.chunks(SLICE_ROWS) {
            let mut writes = Vec::with_capacity(slice.len() * 2);
            for (id, done) in slice {
                let row = rows::encode_command(done).map_err(ReadError::from)?;
                writes.push(write(Table::Commands, id.to_be_bytes().to_vec(), Some(row)));
                let by_time = rows::command_time_key(done.recorded_at, *id);
                writes.push(write(Table::CommandsByTime, by_time, Some(Vec::new())));
            }
            store.write(&writes)?;
            self.commands.moved(slice.iter().map(|(id, _)| *id));
        }
        Ok(())
    }

    /// Deletes what is older than it is kept, a bounded number of rows at a time.
    fn prune(&self, store: &Store) -> Result<(), UpkeepError> {
        let now = self.now();
        let oldest =
            rows::command_time_key(now.plus_millis(self.command_memory_ms.saturating_neg()), 0);
        let mut writes = Vec::new();
        store.each_command_before(&oldest, &mut |key| {
            writes.push(write(Table::CommandsByTime, key.to_vec(), None));
            if let Some(id) = key.last_chunk::<16>() {
                writes.push(write(Table::Commands, id.to_vec(), None));
            }
            writes.len() < PRUNED_ROWS_MAX
        })?;
        for slice in writes.chunks(SLICE_ROWS) {
            store.write(slice)?;
        }
        let before = now.plus_millis(self.checkpointer.history_retention_ms.saturating_neg());
        for partition in 0..self.partitions {
            store.prune_history(PartitionId(partition), before, PRUNED_ROWS_MAX)?;
        }
        Ok(())
    }
}

/// Moves records from the tail into history, and lists them by entity.
fn write_history(
    stores: &Stores,
    store: &Store,
    published: &[u64],
    upto: &[u64],
) -> Result<usize, UpkeepError> {
    let mut total = 0;
    let mut by_entity: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for ((from, upto), partition) in published.iter().zip(upto).zip(0_u16..) {
        let mut next = from + 1;
        while next <= *upto {
            let records = stores
                .journal
                .tail(PartitionId(partition), next, TAIL_RECORDS);
            let before = next;
            let mut rows = Vec::with_capacity(records.len());
            for (index, entry) in records {
                if index != next || index > *upto {
                    break;
                }
                rows.push((index, rows::encode_history(&entry.entity, &entry.body)));
                by_entity
                    .entry(entry.entity.to_vec())
                    .or_default()
                    .push(index);
                next += 1;
            }
            if next == before {
                let what = format!("record {next} of partition {partition} is not in the tail");
                return Err(UpkeepError::Read(ReadError::Decode(what)));
            }
            total += rows.len();
            store.write_history(PartitionId(partition), rows)?;
        }
    }
    let mut writes = Vec::new();
    for (entity, indexes) in by_entity {
        let mut key = rows::parts_prefix(&entity);
        key.extend_from_slice(&indexes.first().copied().unwrap_or(0).to_be_bytes());
        writes.push(write(
            Table::EntityHistory,
            key,
            Some(rows::encode_indexes(&indexes)),
        ));
        if writes.len() >= SLICE_ROWS {
            store.write(&std::mem::take(&mut writes))?;
        }
    }
    store.write(&writes)?;
    Ok(total)
}
