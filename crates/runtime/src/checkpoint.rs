//! Checkpoints: what changed moves from the journal's tail into `state.redb`, in bounded slices.
//!
//! In: states published by commits, records of the tail. Out: rows that carry the index they
//! reflect, so that replay skips what is there; history; then the published index; and only then
//! a shorter journal. Never blocks a commit: it takes a snapshot of one entity at a time.
//! Its cost follows what changed, not what is stored. One entity's rows always lie in one slice.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use consign_domain::time::Timestamp;
use consign_journal::{PartitionId, Position};
use parking_lot::Mutex;

use crate::erased::EntityWrites;
use crate::node::UpkeepError;
use crate::options::{JOURNAL_OVERRUN_MAX, NodeOptions};
use crate::rows::{self, BlockWriter};
use crate::shared::{NodeInner, Stores};
use crate::store::{Store, Table, Write, history_key, write, write_bytes};
use crate::types::{EntityRef, ReadError};

/// Bytes of one slice, over which no further entity joins it.
const SLICE_BYTES: usize = 8 << 20;
/// Rows of one slice that come one by one.
const SLICE_ROWS: usize = 16_384;
/// Records read from the tail at once.
const TAIL_RECORDS: usize = 1_024;
/// Bytes of a block of history, over which no further record joins it: what a page of 32 KiB holds.
const BLOCK_BYTES: usize = 28 << 10;
/// Blocks of history that one checkpoint deletes at most in each partition.
const PRUNED_BLOCKS_MAX: usize = 2_000;
/// How often the bounds are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks from one sweep of the keys in use to the next: it walks over all of a minute.
const SWEEP_LOOKS: u32 = 10;

/// Looks without a commit after which a checkpoint is written although no bound is reached,
const QUIET_LOOKS: u32 = 5;
/// if the journal's tail has at least so many bytes.
const QUIET_BYTES_MIN: u64 = 1 << 20;

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

    /// No checkpoint runs while the guard lives.
    pub(crate) fn pause(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.running.lock()
    }

    /// No checkpoint starts any more; waits for the one that runs.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.running.lock());
    }
}

/// Looks at the bounds until the node closes, at once after a start too: a node that dies often
/// must still get ahead of its journal. Runs on a thread of its own.
pub(crate) fn watch(node: &Weak<NodeInner>) {
    let mut watch = Watch::default();
    while watch.look(node) {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The same where there are no threads.
pub(crate) async fn watch_in_place(node: Weak<NodeInner>) {
    let mut watch = Watch::default();
    while watch.look(&node) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Watch {
    seen: Vec<u64>,
    quiet_looks: u32,
    looks: u32,
}

impl Watch {
    /// Looks at the bounds, and writes a checkpoint if it is due. False when the node has closed.
    fn look(&mut self, node: &Weak<NodeInner>) -> bool {
        let Some(node) = node.upgrade() else {
            return false;
        };
        let checkpointer = &node.checkpointer;
        if checkpointer.closed.load(Ordering::SeqCst) {
            return false;
        }
        let Some(stores) = node.stores() else {
            return false;
        };
        let bytes = stores.log.tail_bytes();
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
        let upto = node.applied_upto();
        let quiet_looks = if upto == self.seen {
            self.quiet_looks + 1
        } else {
            0
        };
        self.quiet_looks = quiet_looks;
        self.seen = upto;
        // A quiet moment is the best one: what is put away now need not be put away in a peak.
        let due = bytes >= checkpointer.journal_bytes_max
            || dirty >= checkpointer.dirty_max
            || (quiet_looks == QUIET_LOOKS && bytes >= QUIET_BYTES_MIN);
        if checkpointer.automatic
            && due
            && let Err(error) = node.checkpoint()
        {
            tracing::error!(%error, "the checkpoint failed");
        }
        if let Err(error) = node.pack() {
            tracing::error!(%error, "states cannot be packed");
        }
        self.looks = (self.looks + 1) % SWEEP_LOOKS;
        if self.looks == 0 {
            node.commands.sweep();
        }
        true
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

    /// Keeps what waits for a checkpoint small.
    pub(crate) fn pack(&self) -> Result<(), ReadError> {
        self.all_hosts().iter().try_for_each(|host| host.pack())
    }

    /// Copies both stores while no checkpoint runs: a consistent prefix.
    pub(crate) fn backup(&self, target: &Path) -> Result<(), UpkeepError> {
        let _running = self.checkpointer.running.lock();
        let stores = self.stores().ok_or(UpkeepError::Closed)?;
        crate::store::backup(&stores, target)
    }

    fn write_checkpoint(&self, stores: &Stores) -> Result<(), UpkeepError> {
        let started = Instant::now();
        let store = Store(Arc::clone(&stores.state));
        // Read before the states: every record up to here is in what is written below.
        let positions = stores.log.positions();
        let upto: Vec<u64> = positions.iter().map(Position::records).collect();
        let published: Vec<u64> = self
            .published
            .iter()
            .map(|at| at.load(Ordering::Acquire))
            .collect();
        if upto == published {
            return Ok(());
        }
        let records = write_history(stores, &store, &published, &upto)?;
        let entities = self.write_entities(&store)?;
        self.write_commands(&store)?;
        store.publish(&positions)?;
        // History and heads have its records now: an entity that was written may leave memory.
        for host in self.all_hosts() {
            host.settle(&upto);
        }
        for (published, index) in self.published.iter().zip(&upto) {
            published.store(*index, Ordering::Release);
        }
        stores.log.purge(&positions)?;
        self.overlay.compact(|entity| {
            self.host(entity.kind())
                .is_some_and(|host| host.is_unindexed(entity))
        });
        self.prune(&store)?;
        tracing::info!(entities, records, elapsed = ?started.elapsed(), "checkpoint");
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
                // Others change meanwhile.
                self.pack()?;
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

    /// The table for answers of commands from now on; what is past its time is deleted.
    pub(crate) fn commands_table(&self, store: &Store) -> Result<Table, ReadError> {
        let lifetime = Timestamp::ZERO.plus_millis(self.command_memory_ms.max(1));
        let generation = self.now().0.div_euclid(lifetime.0);
        store.commands_of(generation, |table| self.written_keys.clear(table))
    }

    /// Moves the answers of keyed commands to disk.
    fn write_commands(&self, store: &Store) -> Result<(), UpkeepError> {
        let table = self.commands_table(store)?;
        let mut slice = Vec::new();
        let mut writes = Vec::new();
        for shard in self.commands.shards() {
            let recent = self.commands.recent(shard);
            for (id, done) in &recent {
                let row = rows::encode_command(done).map_err(ReadError::from)?;
                writes.push(write(table, id.to_be_bytes().to_vec(), Some(row)));
            }
            slice.extend(recent.into_iter().map(|(id, _)| id));
            if writes.len() >= SLICE_ROWS {
                self.move_commands(store, table, &std::mem::take(&mut writes), &mut slice)?;
            }
        }
        self.move_commands(store, table, &writes, &mut slice)
    }

    fn move_commands(
        &self,
        store: &Store,
        table: Table,
        writes: &[Write],
        ids: &mut Vec<u128>,
    ) -> Result<(), UpkeepError> {
        store.write(writes)?;
        for id in ids.iter() {
            self.written_keys.insert(table, *id);
        }
        self.commands.moved(ids.drain(..));
        Ok(())
    }

    /// Deletes history that is older than it is kept, a bounded part at a time.
    fn prune(&self, store: &Store) -> Result<(), UpkeepError> {
        let now = self.now();
        let before = now.plus_millis(self.checkpointer.history_retention_ms.saturating_neg());
        for partition in 0..self.partitions {
            store.prune_history(PartitionId(partition), before, PRUNED_BLOCKS_MAX)?;
        }
        Ok(())
    }
}

/// Moves records from the tail into blocks of history. A block never lies across the published
/// index, so that what a checkpoint leaves behind that does not end can be deleted by the next.
fn write_history(
    stores: &Stores,
    store: &Store,
    published: &[u64],
    upto: &[u64],
) -> Result<usize, UpkeepError> {
    let mut total = 0;
    let mut slice = Slice::default();
    for ((from, upto), partition) in published.iter().zip(upto).zip(0_u16..) {
        let partition = PartitionId(partition);
        for left_behind in store.unpublished_history(partition, *from)? {
            slice.push(left_behind);
        }
        let mut block = BlockWriter::default();
        let mut next = from + 1;
        while next <= *upto {
            let before = next;
            for (index, entry) in stores.log.tail(partition, next, TAIL_RECORDS) {
                if index != next || index > *upto {
                    break;
                }
                block.push(index, &entry.entity, &entry.body);
                next += 1;
                if block.len() >= BLOCK_BYTES {
                    slice.push_block(partition, &mut block);
                }
            }
            if next == before {
                let what = format!("record {next} of {partition} is not in the tail");
                return Err(UpkeepError::Read(ReadError::Decode(what)));
            }
            if slice.bytes >= SLICE_BYTES {
                store.write(&slice.take())?;
            }
        }
        slice.push_block(partition, &mut block);
        total += usize::try_from(upto - from).unwrap_or(usize::MAX);
    }
    store.write(&slice.take())?;
    Ok(total)
}

/// Rows to be written together.
#[derive(Debug, Default)]
struct Slice {
    writes: Vec<Write>,
    bytes: usize,
}

impl Slice {
    fn push(&mut self, write: Write) {
        self.bytes += write_bytes(&write);
        self.writes.push(write);
    }

    fn push_block(&mut self, partition: PartitionId, block: &mut BlockWriter) {
        if let Some((last, row)) = block.take() {
            let key = history_key(partition, last);
            self.push(write(Table::History, key, Some(row)));
        }
    }

    fn take(&mut self) -> Vec<Write> {
        self.bytes = 0;
        std::mem::take(&mut self.writes)
    }
}
