//! `state.redb`: what checkpoints wrote. Ordered tables of bytes; one transaction a slice.
//!
//! In: slices of rows from a checkpoint. Out: rows by key or by range. Has quick-repair on, so
//! that opening it after a crash takes no walk over the file.

use std::ops::Bound;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::error::StoreError;
use crate::log::PartitionId;
use crate::replicated::Position;
use crate::replicated::messages::{decode, encode};

/// The tables of `state.redb`. What keys and values mean is its users' affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Per entity: the index that its rows reflect, and more.
    Heads,
    /// Parts of entities.
    Parts,
    /// Personal records, apart.
    Private,
    /// Rows by which entities are found.
    Index,
    /// Entities that must be looked at after a start.
    Attention,
    /// Remembered commands by id, of one generation.
    CommandsEven,
    /// Remembered commands by id, of the generation before or after.
    CommandsOdd,
    /// Records that left the log, in blocks, by (partition, last index).
    History,
    /// Where an entity's records are, when its head has no room for that.
    EntityHistory,
    /// Facts, such as the published checkpoint.
    Meta,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 10] = [
        Table::Heads,
        Table::Parts,
        Table::Private,
        Table::Index,
        Table::Attention,
        Table::CommandsEven,
        Table::CommandsOdd,
        Table::History,
        Table::EntityHistory,
        Table::Meta,
    ];

    pub(crate) fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }

    /// Its number on the way to another replica.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Table::Heads => "heads",
            Table::Parts => "parts",
            Table::Private => "private",
            Table::Index => "index",
            Table::Attention => "attention",
            Table::CommandsEven => "commands_even",
            Table::CommandsOdd => "commands_odd",
            Table::History => "history",
            Table::EntityHistory => "entity_history",
            Table::Meta => "meta",
        }
    }
}

/// Begins the keys of [`Table::Meta`] that hold for this very disk: no copy of the rows has them.
pub(crate) const DISKS: &[u8] = b"disks/";

/// One row to put, or to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// Which.
    pub key: Vec<u8>,
    /// What; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// The rows of one moment.
pub struct Rows(redb::ReadTransaction);

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// The store.
#[derive(Debug)]
pub struct StateStore {
    database: Database,
}

impl StateStore {
    pub(crate) fn new(database: Database) -> StateStore {
        StateStore { database }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// All rows as they are now. Keep it short: while it lives, the file grows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let read = self.database.begin_read();
        read.map(Rows)
            .map_err(|error| StoreError::redb("read the state")(error.into()))
    }

    /// One row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows()?.get(table, key)
    }

    /// Rows of a range, in key order or backwards, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.rows()?.scan(table, from, to, reverse, limit)
    }

    /// Writes a slice: all of it or nothing.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing of the slice is there.
    pub fn write(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write_slice(writes)
            .map_err(StoreError::redb("write the state"))
    }

    fn write_slice(&self, writes: &[Write]) -> Result<(), redb::Error> {
        let mut slice = self.database.begin_write()?;
        slice.set_quick_repair(true);
        slice.set_durability(Durability::Immediate)?;
        // In key order, table by table: neighbours share pages, and a page is then written once.
        let mut sorted: Vec<&Write> = writes.iter().collect();
        sorted.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        for of_table in sorted.chunk_by(|a, b| a.table == b.table) {
            let mut rows = slice.open_table(of_table[0].table.definition())?;
            for write in of_table {
                match &write.value {
                    Some(value) => drop(rows.insert(write.key.as_slice(), value.as_slice())?),
                    None => drop(rows.remove(write.key.as_slice())?),
                }
            }
        }
        slice.commit()?;
        Ok(())
    }

    /// Deletes all rows of a table at once.
    ///
    /// # Errors
    /// When the file cannot be written; then all rows are still there.
    pub fn clear(&self, table: Table) -> Result<(), StoreError> {
        self.try_clear(table)
            .map_err(StoreError::redb("clear a table of the state"))
    }

    fn try_clear(&self, table: Table) -> Result<(), redb::Error> {
        let mut clearing = self.database.begin_write()?;
        clearing.set_quick_repair(true);
        clearing.delete_table(table.definition())?;
        clearing.commit()?;
        Ok(())
    }

    /// Rows that publish a checkpoint: the last index of each partition that the state reflects.
    /// To be part of its last slice.
    #[must_use]
    pub fn publication(indexes: &[(PartitionId, u64)]) -> Vec<Write> {
        let write = |(partition, index): &(PartitionId, u64)| Write {
            table: Table::Meta,
            key: checkpoint_key(*partition),
            value: Some(index.to_be_bytes().to_vec()),
        };
        indexes.iter().map(write).collect()
    }

    /// Rows that publish a checkpoint of replicated partitions up to these positions, in order of
    /// their numbers. To be part of its last slice.
    #[must_use]
    pub fn publication_of(positions: &[Position]) -> Vec<Write> {
        let write = |(partition, position)| StateStore::publication_at(partition, position);
        (0..).map(PartitionId).zip(positions).map(write).collect()
    }

    /// The row that publishes a checkpoint of one partition up to a position.
    #[must_use]
    pub fn publication_at(partition: PartitionId, position: &Position) -> Write {
        let mut value = position.entry().to_be_bytes().to_vec();
        value.extend_from_slice(&encode(position));
        Write {
            table: Table::Meta,
            key: checkpoint_key(partition),
            value: Some(value),
        }
    }

    /// The position of `partition` that a published checkpoint reflects, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn position_of(&self, partition: PartitionId) -> Result<Option<Position>, StoreError> {
        self.rows()?.position_of(partition)
    }

    /// The mark that a partition's rows are being replaced by a snapshot of this position; `None`
    /// takes it away.
    pub(crate) fn installing(partition: PartitionId, position: Option<&Position>) -> Write {
        Write {
            table: Table::Meta,
            key: installing_key(partition),
            value: position.map(|position| encode(position).to_vec()),
        }
    }

    /// The position of the snapshot by which a partition's rows are being replaced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn is_installing(
        &self,
        partition: PartitionId,
    ) -> Result<Option<Position>, StoreError> {
        let mark = self.get(Table::Meta, &installing_key(partition))?;
        mark.map(|mark| decode(&mark).map_err(unreadable))
            .transpose()
    }

    /// The last index of `partition` that a published checkpoint reflects; 0 if none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn checkpoint_of(&self, partition: PartitionId) -> Result<u64, StoreError> {
        let value = self.get(Table::Meta, &checkpoint_key(partition))?;
        Ok(value
            .and_then(|bytes| bytes.first_chunk().copied())
            .map_or(0, u64::from_be_bytes))
    }
}

fn checkpoint_key(partition: PartitionId) -> Vec<u8> {
    let mut key = b"checkpoint/".to_vec();
    key.extend_from_slice(&partition.0.to_be_bytes());
    key
}

fn installing_key(partition: PartitionId) -> Vec<u8> {
    let mut key = b"installing/".to_vec();
    key.extend_from_slice(&partition.0.to_be_bytes());
    key
}

fn unreadable(error: crate::AnswerError) -> StoreError {
    StoreError::log("read a checkpoint's position")(std::io::Error::other(error))
}

impl Rows {
    /// The position of `partition` that a published checkpoint reflects, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn position_of(&self, partition: PartitionId) -> Result<Option<Position>, StoreError> {
        let value = self.get(Table::Meta, &checkpoint_key(partition))?;
        let position = value.as_ref().map(|value| value.get(size_of::<u64>()..));
        let position = position.map(|position| decode(position.unwrap_or_default()));
        position.transpose().map_err(unreadable)
    }

    /// One row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.try_get(table, key)
            .map_err(StoreError::redb("read a row"))
    }

    fn try_get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        let rows = match self.0.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(rows.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Rows of a range, in key order or backwards, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.try_scan(table, from, to, reverse, limit)
            .map_err(StoreError::redb("read rows"))
    }

    fn try_scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<KeyValue>, redb::Error> {
        if is_empty(from, to) {
            return Ok(Vec::new());
        }
        let rows = match self.0.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut range = rows.range::<&[u8]>((from, to))?;
        let mut found = Vec::new();
        while found.len() < limit {
            let item = if reverse {
                range.next_back()
            } else {
                range.next()
            };
            let Some(item) = item else { break };
            let (key, value) = item?;
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }
}

/// Whether no key lies between the two; redb panics on such ranges.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
    }
}
