//! A partition's rows, all tables together: out for a snapshot, in from one.
//!
//! In: a partition. Out: every row of `state.redb` that belongs to one of its entities. Rows lie by
//! entity, not by partition, so all are walked; a snapshot is rare. Coming in, they take the place of
//! what was there, on disk and in memory: whatever this node knew of the partition is behind.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::Ordering;

use consign_journal::{NextPart, PartitionId, Position, Rows, StateStore, Table, Write};

use crate::rows;
use crate::shared::NodeInner;
use crate::store::{Store, write};
use crate::types::EntityRef;

/// Rows read at once.
const ROWS_AT_ONCE: usize = 512;
/// Rows deleted in one slice.
const DELETED_AT_ONCE: usize = 16_384;

/// Sees a row; false ends the walk.
type Visit<'a> = &'a mut dyn FnMut(Table, &[u8], &[u8]) -> bool;

impl NodeInner {
    /// Hands over a partition's rows.
    pub(crate) fn each_row_of(
        &self,
        partition: PartitionId,
        rows: &Rows,
        visit: Visit<'_>,
    ) -> Result<(), String> {
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
            let mut from: Bound<Vec<u8>> = Bound::Unbounded;
            loop {
                let bound = from.as_ref().map(Vec::as_slice);
                let some = rows.scan(table, bound, Bound::Unbounded, false, ROWS_AT_ONCE);
                let some = some.map_err(|error| error.to_string())?;
                for (key, value) in &some {
                    if self.partition_of_row(table, key, value)? == Some(partition)
                        && !visit(table, key, value)
                    {
                        return Ok(());
                    }
                }
                let full = some.len() == ROWS_AT_ONCE;
                match some.into_iter().next_back() {
                    Some((last, _)) if full => from = Bound::Excluded(last),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// The partition that a row belongs to.
    fn partition_of_row(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<PartitionId>, String> {
        let entity = match table {
            Table::Heads | Table::Private | Table::Attention => EntityRef::from_bytes(key),
            // Ids hold no zero byte; the kind before it may be one.
            Table::Parts | Table::EntityHistory => {
                let end = key.iter().skip(1).position(|byte| *byte == 0);
                end.and_then(|end| EntityRef::from_bytes(&key[..=end]))
            }
            Table::Index => {
                let (owner, _) = rows::decode_index(value).map_err(|error| error.to_string())?;
                EntityRef::from_bytes(owner)
            }
            Table::CommandsEven | Table::CommandsOdd => {
                let done = rows::decode_command(value).map_err(|error| error.to_string())?;
                Some(done.entity)
            }
            Table::History => {
                let partition = key.first_chunk().copied().map(u16::from_be_bytes);
                return Ok(partition.map(PartitionId));
            }
            Table::Meta => return Ok(None),
        };
        match entity {
            Some(entity) => Ok(Some(self.partition_of(&entity))),
            None => Err(format!("a row of {} names no entity", table.name())),
        }
    }

    /// Puts a snapshot's rows in the place of a partition's.
    pub(crate) fn replace_rows_of(
        &self,
        partition: PartitionId,
        position: &Position,
        parts: NextPart<'_>,
    ) -> Result<(), String> {
        let _no_checkpoint = self.checkpointer.pause();
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let store = self.store().map_err(|error| text(&error))?;
        // What is past its time goes now: on a disk that is new, or was away for long, the next checkpoint
        // would take the answers that come with the snapshot for such.
        self.commands_table(&store).map_err(|error| text(&error))?;
        self.delete_rows_of(partition, &store)?;
        self.forget(partition);
        let mut entities = BTreeSet::new();
        while let Some(part) = parts()? {
            let mut writes: Vec<Write> = Vec::with_capacity(part.len());
            for (table, key, value) in part {
                match table {
                    Table::Heads => entities.extend(EntityRef::from_bytes(&key)),
                    Table::CommandsEven | Table::CommandsOdd => {
                        let id = key.first_chunk().copied().map(u128::from_be_bytes);
                        id.into_iter()
                            .for_each(|id| self.written_keys.insert(table, id));
                    }
                    _ => {}
                }
                writes.push(write(table, key, Some(value)));
            }
            store.write(&writes).map_err(|error| text(&error))?;
        }
        let published = [StateStore::publication_at(partition, position)];
        store.write(&published).map_err(|error| text(&error))?;
        let PartitionId(at) = partition;
        self.published[usize::from(at)].store(position.records(), Ordering::Release);
        self.applied(partition, position.records());
        for entity in entities {
            if let Some(host) = self.host(entity.kind()).filter(|host| host.preloads()) {
                host.reload(&entity).map_err(|error| text(&error))?;
            }
        }
        Ok(())
    }

    fn delete_rows_of(&self, partition: PartitionId, store: &Store) -> Result<(), String> {
        let rows = store.0.rows().map_err(|error| error.to_string())?;
        let mut writes = Vec::new();
        let mut failed = None;
        self.each_row_of(partition, &rows, &mut |table, key, _| {
            writes.push(write(table, key.to_vec(), None));
            if writes.len() >= DELETED_AT_ONCE {
                failed = store.write(&std::mem::take(&mut writes)).err();
            }
            failed.is_none()
        })?;
        match failed.map_or_else(|| store.write(&writes), Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Forgets what is in memory of a partition.
    fn forget(&self, partition: PartitionId) {
        let is_its = |entity: &EntityRef| self.partition_of(entity) == partition;
        for host in self.all_hosts() {
            host.forget(&is_its);
        }
        self.overlay.forget(&is_its);
        self.commands.forget(&is_its);
    }
}
