//! The runtime's view of `state.redb`: which row is where. Short read transactions, because an
//! open one makes the file grow; long walks go a chunk at a time within one of them only where a
//! consistent view is needed.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use consign_domain::time::Timestamp;
use consign_journal::{PartitionId, StateStore, StoreError};

use crate::codec;
use crate::node::UpkeepError;
use crate::rows;
use crate::shared::Stores;
use crate::types::ReadError;

pub(crate) use consign_journal::{Table, Write};

/// Rows read at once on a walk.
const WALK_ROWS: usize = 512;

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
    stores.journal.backup(&stores.state, target)?;
    Ok(())
}

impl Store {
    pub(crate) fn head(&self, entity: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Heads, entity)?)
    }

    pub(crate) fn private(&self, entity: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Private, entity)?)
    }

    pub(crate) fn command(&self, id: u128) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::Commands, &id.to_be_bytes())?)
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
            visit,
        )
    }

    /// Commands that were done before the moment in `key`.
    pub(crate) fn each_command_before(
        &self,
        key: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), ReadError> {
        let bounds = (Bound::Unbounded, Bound::Excluded(key));
        self.walk(Table::CommandsByTime, bounds, false, &mut |key, _| {
            visit(key)
        })
    }

    pub(crate) fn scan_index(
        &self,
        bounds: (Bound<&Vec<u8>>, Bound<&Vec<u8>>),
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        let bounds = (bounds.0.map(Vec::as_slice), bounds.1.map(Vec::as_slice));
        self.walk(Table::Index, bounds, reverse, visit)
    }

    pub(crate) fn history(
        &self,
        partition: PartitionId,
        index: u64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(Table::History, &history_key(partition, index))?)
    }

    /// Up to `max` records that history holds, from `from` on.
    pub(crate) fn history_from(
        &self,
        partition: PartitionId,
        from: u64,
        max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let (first, last) = (
            history_key(partition, from),
            history_key(partition, u64::MAX),
        );
        let bounds = (
            Bound::Included(first.as_slice()),
            Bound::Included(last.as_slice()),
        );
        let rows = self
            .0
            .scan(Table::History, bounds.0, bounds.1, false, max)?;
        let index = |key: &[u8]| {
            key.last_chunk::<8>()
                .map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        Ok(rows
            .into_iter()
            .map(|(key, row)| (index(&key), row))
            .collect())
    }

    /// Writes a slice: all of it or nothing.
    pub(crate) fn write(&self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            Ok(())
        } else {
            self.0.write(writes)
        }
    }

    pub(crate) fn write_history(
        &self,
        partition: PartitionId,
        records: Vec<(u64, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let row = |(index, row)| write(Table::History, history_key(partition, index), Some(row));
        self.write(&records.into_iter().map(row).collect::<Vec<_>>())
    }

    /// From here on the state reflects every record up to these indexes, by partition.
    pub(crate) fn publish(&self, upto: &[u64]) -> Result<(), StoreError> {
        let indexes = upto
            .iter()
            .zip(0_u16..)
            .map(|(index, partition)| (PartitionId(partition), *index));
        self.write(&StateStore::publication(&indexes.collect::<Vec<_>>()))
    }

    pub(crate) fn published(&self, partition: PartitionId) -> Result<u64, ReadError> {
        Ok(self.0.checkpoint_of(partition)?)
    }

    /// Deletes at most `max` records of a partition that were written before a moment.
    pub(crate) fn prune_history(
        &self,
        partition: PartitionId,
        before: Timestamp,
        max: usize,
    ) -> Result<(), UpkeepError> {
        let mut deleted = 0;
        while deleted < max {
            let rows = self.history_from(partition, 0, WALK_ROWS)?;
            let mut writes = Vec::new();
            for (index, row) in &rows {
                let (_, body) = rows::decode_index(row)?;
                if codec::first_recorded_at(body).map_err(ReadError::from)? >= before {
                    break;
                }
                writes.push(write(Table::History, history_key(partition, *index), None));
            }
            self.write(&writes)?;
            deleted += writes.len();
            if writes.len() < WALK_ROWS {
                break;
            }
        }
        Ok(())
    }

    fn walk_prefix(&self, table: Table, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let end = rows::end_of(prefix);
        self.walk(
            table,
            (Bound::Included(prefix), Bound::Excluded(&end)),
            false,
            visit,
        )
    }

    /// Visits the rows of a range, all of one moment.
    fn walk(
        &self,
        table: Table,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        let moment = self.0.rows()?;
        let (mut from, mut to) = (from.map(<[u8]>::to_vec), to.map(<[u8]>::to_vec));
        loop {
            let bounds = (
                from.as_ref().map(Vec::as_slice),
                to.as_ref().map(Vec::as_slice),
            );
            let found = moment.scan(table, bounds.0, bounds.1, reverse, WALK_ROWS)?;
            for (key, value) in &found {
                if !visit(key, value) {
                    return Ok(());
                }
            }
            let full = found.len() == WALK_ROWS;
            match found.into_iter().next_back() {
                Some((last, _)) if full && reverse => to = Bound::Excluded(last),
                Some((last, _)) if full => from = Bound::Excluded(last),
                _ => return Ok(()),
            }
        }
    }
}

fn history_key(PartitionId(partition): PartitionId, index: u64) -> Vec<u8> {
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
