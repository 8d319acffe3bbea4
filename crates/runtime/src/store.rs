//! The runtime's view of `state.redb`: which row is where. Short read transactions, because an
//! open one makes the file grow; long walks go a chunk at a time within one of them only where a
//! consistent view is needed.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use consign_domain::time::Timestamp;
use consign_journal::{PartitionId, Position, StateStore, StoreError};

use crate::codec;
use crate::node::UpkeepError;
use crate::rows::{self, KeptRecord};
use crate::shared::Stores;
use crate::types::ReadError;

pub(crate) use consign_journal::{Table, Write};

/// Rows read at once on a walk.
const WALK_ROWS: usize = 512;
/// Blocks of history read at once: whoever reads one record copies one block.
const BLOCKS_AT_ONCE: usize = 1;
/// The generation of commands that was written last.
const COMMAND_GENERATION: &[u8] = b"command generation";

/// The rows of entities, commands, index and history.
#[derive(Clone, Debug)]
pub(crate) struct Store(pub(crate) Arc<StateStore>);

/// Sees a key and its value; false ends the walk.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// Makes a row to write; `None` deletes it.
pub(crate) fn write(table: Table, key: Vec<u8>, value: Option<Vec<u8>>) -> Write {
    Write { table, key, value }
}

/// Bytes of a row to write.
pub(crate) fn write_bytes(write: &Write) -> usize {
    write.key.len() + write.value.as_ref().map_or(0, Vec::len)
}

/// Copies both stores.
pub(crate) fn backup(stores: &Stores, target: &Path) -> Result<(), UpkeepError> {
    stores.log.backup(target)?;
    Ok(())
}

impl Store {
    pub(crate) fn head(&self, entity: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Heads, entity)?)
    }

    pub(crate) fn private(&self, entity: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Private, entity)?)
    }

    /// The commands with an id, of either generation: one that was forgotten may lie in the other.
    pub(crate) fn commands(&self, id: u128) -> Result<impl Iterator<Item = Vec<u8>>, ReadError> {
        let (moment, id) = (self.0.rows()?, id.to_be_bytes());
        let even = moment.get(Table::CommandsEven, &id)?;
        Ok(even.into_iter().chain(moment.get(Table::CommandsOdd, &id)?))
    }

    /// Up to `max` ids of commands after one, rising.
    pub(crate) fn command_ids(
        &self,
        table: Table,
        after: Option<u128>,
        max: usize,
    ) -> Result<Vec<u128>, ReadError> {
        let after = after.map(u128::to_be_bytes);
        let from = after
            .as_ref()
            .map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_slice()));
        let rows = self.0.scan(table, from, Bound::Unbounded, false, max)?;
        let id = |(key, _): (Vec<u8>, Vec<u8>)| key.first_chunk().copied().map(u128::from_be_bytes);
        Ok(rows.into_iter().filter_map(id).collect())
    }

    /// The table for commands of a generation. Commands of the one before stay; older ones, which
    /// are past their time, are deleted, and `cleared` hears of it.
    pub(crate) fn commands_of(
        &self,
        generation: i64,
        cleared: impl Fn(Table),
    ) -> Result<Table, ReadError> {
        let table = |generation: i64| match generation.rem_euclid(2) {
            0 => Table::CommandsEven,
            _ => Table::CommandsOdd,
        };
        let last = self.0.get(Table::Meta, COMMAND_GENERATION)?;
        let last = last.and_then(|bytes| bytes.first_chunk().copied());
        let last = last.map_or(i64::MIN, i64::from_be_bytes);
        if generation > last {
            let clear = |table| self.0.clear(table).map(|()| cleared(table));
            clear(table(generation))?;
            if generation.saturating_sub(1) > last {
                clear(table(generation - 1))?;
            }
            let now = generation.to_be_bytes().to_vec();
            self.write(&[write(Table::Meta, COMMAND_GENERATION.to_vec(), Some(now))])?;
        }
        Ok(table(generation.max(last)))
    }

    pub(crate) fn index_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Index, key)?)
    }

    /// All parts of an entity, of one moment.
    pub(crate) fn each_part(&self, entity: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.walk_prefix(Table::Parts, &rows::parts_prefix(entity), visit)
    }

    /// The lists of an entity's records, oldest first.
    pub(crate) fn each_history_list(
        &self,
        entity: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), ReadError> {
        let prefix = rows::parts_prefix(entity);
        self.walk_prefix(Table::EntityHistory, &prefix, &mut |_, value| visit(value))
    }

    /// The keys of all stored entities of a kind.
    pub(crate) fn each_head(
        &self,
        kind: u8,
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), ReadError> {
        self.walk_prefix(Table::Heads, &[kind], &mut |key, _| visit(key))
    }

    /// All entities that must be looked at after a start.
    pub(crate) fn each_attention(&self, visit: Visit<'_>) -> Result<(), ReadError> {
        self.walk(
            Table::Attention,
            (Bound::Unbounded, Bound::Unbounded),
            false,
            WALK_ROWS,
            visit,
        )
    }

    pub(crate) fn scan_index(
        &self,
        bounds: (Bound<&Vec<u8>>, Bound<&Vec<u8>>),
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        let bounds = (bounds.0.map(Vec::as_slice), bounds.1.map(Vec::as_slice));
        self.walk(Table::Index, bounds, reverse, WALK_ROWS, visit)
    }

    /// A record that history holds.
    pub(crate) fn history(
        &self,
        partition: PartitionId,
        index: u64,
    ) -> Result<Option<KeptRecord>, ReadError> {
        let found = self.history_from(partition, index, 1)?.into_iter().next();
        Ok(found.filter(|record| record.index == index))
    }

    /// Up to `max` records that history holds, from `from` on.
    pub(crate) fn history_from(
        &self,
        partition: PartitionId,
        from: u64,
        max: usize,
    ) -> Result<Vec<KeptRecord>, ReadError> {
        let mut records = Vec::new();
        let mut wrong = None;
        self.each_block(partition, from, &mut |_, block| {
            match rows::decode_block(block.to_vec(), from) {
                Ok(of_block) => records.extend(of_block),
                Err(error) => wrong = Some(error),
            }
            wrong.is_none() && records.len() < max
        })?;
        records.truncate(max);
        wrong.map_or(Ok(records), Err)
    }

    /// The blocks that hold records from `from` on, by the key of their row.
    fn each_block(
        &self,
        partition: PartitionId,
        from: u64,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        let first = history_key(partition, from);
        let last = history_key(partition, u64::MAX);
        let bounds = (
            Bound::Included(first.as_slice()),
            Bound::Included(last.as_slice()),
        );
        self.walk(Table::History, bounds, false, BLOCKS_AT_ONCE, visit)
    }

    /// Rows that delete what a checkpoint that did not end left behind `published`.
    pub(crate) fn unpublished_history(
        &self,
        partition: PartitionId,
        published: u64,
    ) -> Result<Vec<Write>, ReadError> {
        let mut writes = Vec::new();
        self.each_block(partition, published + 1, &mut |key, _| {
            writes.push(write(Table::History, key.to_vec(), None));
            true
        })?;
        Ok(writes)
    }

    /// Writes a slice: all of it or nothing.
    pub(crate) fn write(&self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            Ok(())
        } else {
            self.0.write(writes)
        }
    }

    /// From here on the state reflects every record up to these positions, by partition.
    pub(crate) fn publish(&self, upto: &[Position]) -> Result<(), StoreError> {
        self.write(&StateStore::publication_of(upto))
    }

    /// The records that the state reflects.
    pub(crate) fn published(&self, partition: PartitionId) -> Result<u64, ReadError> {
        let position = self.0.position_of(partition)?;
        Ok(position.map_or(0, |position| position.records()))
    }

    /// Deletes at most `max` blocks of a partition whose records were all written before a moment.
    pub(crate) fn prune_history(
        &self,
        partition: PartitionId,
        before: Timestamp,
        max: usize,
    ) -> Result<(), UpkeepError> {
        let mut writes = Vec::new();
        let mut wrong = None;
        self.each_block(partition, 0, &mut |key, block| {
            match is_older(block, before) {
                Ok(true) => writes.push(write(Table::History, key.to_vec(), None)),
                Ok(false) => return false,
                Err(error) => wrong = Some(error),
            }
            wrong.is_none() && writes.len() < max
        })?;
        if let Some(error) = wrong {
            return Err(error.into());
        }
        self.write(&writes)?;
        Ok(())
    }

    fn walk_prefix(&self, table: Table, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let end = rows::end_of(prefix);
        self.walk(
            table,
            (Bound::Included(prefix), Bound::Excluded(&end)),
            false,
            WALK_ROWS,
            visit,
        )
    }

    /// Visits the rows of a range, all of one moment.
    fn walk(
        &self,
        table: Table,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        at_once: usize,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        let moment = self.0.rows()?;
        let (mut from, mut to) = (from.map(<[u8]>::to_vec), to.map(<[u8]>::to_vec));
        loop {
            let bounds = (
                from.as_ref().map(Vec::as_slice),
                to.as_ref().map(Vec::as_slice),
            );
            let found = moment.scan(table, bounds.0, bounds.1, reverse, at_once)?;
            for (key, value) in &found {
                if !visit(key, value) {
                    return Ok(());
                }
            }
            let full = found.len() == at_once;
            match found.into_iter().next_back() {
                Some((last, _)) if full && reverse => to = Bound::Excluded(last),
                Some((last, _)) if full => from = Bound::Excluded(last),
                _ => return Ok(()),
            }
        }
    }
}

/// Whether all records of a block were written before a moment.
fn is_older(block: &[u8], before: Timestamp) -> Result<bool, ReadError> {
    match rows::decode_block(block.to_vec(), 0)?.last() {
        Some(record) => Ok(codec::first_recorded_at(&record.body)? < before),
        None => Ok(true),
    }
}

/// The key of the block that ends with `index`.
pub(crate) fn history_key(PartitionId(partition): PartitionId, index: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(10);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> ReadError {
        ReadError::Store(error.to_string())
    }
}
