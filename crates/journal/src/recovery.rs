//! What the log holds when it is opened, checked row by row, and whether `state.redb` belongs to it.
//!
//! In: both databases. Out: entries in order, or why they cannot be trusted. Holds L2: a damaged row
//! or a missing index is refused, never skipped.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable};

use crate::committer::ROWS;
use crate::error::{OpenError, StoreError};
use crate::journal::{PURGED, TIME_FLOOR};
use crate::log::{Entry, PartitionId};
use crate::row;
use crate::state::StateStore;
use crate::tail::LiveRows;

/// What the log held.
pub(crate) struct Found {
    /// By partition, the last index that the log no longer holds.
    pub(crate) purged: Vec<u64>,
    /// By partition, the last index that the log holds.
    pub(crate) last: Vec<u64>,
    /// What no checkpoint has taken over, in the order of the rows.
    pub(crate) entries: Vec<(PartitionId, u64, Arc<Entry>)>,
    /// Which row holds what.
    pub(crate) live: LiveRows,
    /// The next row's key.
    pub(crate) next_row: u64,
    /// No clock may go behind this.
    pub(crate) time_floor: i64,
}

/// Reads all rows in key order and checks them.
pub(crate) fn recover(database: &Database, partitions: u16) -> Result<Found, OpenError> {
    let wrap = |error: redb::Error| OpenError::Store(StoreError::redb("read the journal")(error));
    let read = database.begin_read().map_err(|error| wrap(error.into()))?;
    let (purged, mut time_floor) = read_purged(&read, partitions).map_err(wrap)?;
    let mut last = purged.clone();
    let mut found = Found {
        purged,
        last: last.clone(),
        entries: Vec::new(),
        live: LiveRows::default(),
        next_row: 1,
        time_floor,
    };
    let rows = match read.open_table(ROWS) {
        Ok(rows) => rows,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(found),
        Err(error) => return Err(wrap(error.into())),
    };
    for item in rows.iter().map_err(|error| wrap(error.into()))? {
        let (key, value) = item.map_err(|error| wrap(error.into()))?;
        let key = key.value();
        let bytes = Bytes::copy_from_slice(value.value());
        let row = row::read(&bytes).map_err(|what| OpenError::DamagedRow { row: key, what })?;
        time_floor = time_floor.max(row.written_at);
        found.next_row = key + 1;
        let mut held: Vec<(PartitionId, u64)> = Vec::new();
        for piece in row.pieces {
            let slot =
                last.get_mut(usize::from(piece.partition.0))
                    .ok_or(OpenError::DamagedRow {
                        row: key,
                        what: "it names a partition that does not exist",
                    })?;
            held.retain(|(partition, _)| *partition != piece.partition);
            held.push((piece.partition, piece.index));
            if piece.index <= found.purged[usize::from(piece.partition.0)] {
                continue;
            }
            if piece.index != *slot + 1 {
                return Err(OpenError::Gap {
                    partition: piece.partition,
                    expected: *slot + 1,
                    found: piece.index,
                    row: key,
                });
            }
            *slot = piece.index;
            found
                .entries
                .push((piece.partition, piece.index, Arc::new(piece.entry)));
        }
        found.live.insert(key, held);
    }
    found.time_floor = time_floor;
    found.last = last;
    Ok(found)
}

/// A checkpoint is published after its entries are durable and before they are purged. Files that
/// say otherwise would lose what was acknowledged, or give its indexes to something else.
pub(crate) fn ensure_together(state: &StateStore, found: &Found) -> Result<(), OpenError> {
    for ((partition, purged), last) in (0..).map(PartitionId).zip(&found.purged).zip(&found.last) {
        let checkpoint = state.checkpoint_of(partition)?;
        if checkpoint < *purged || checkpoint > *last {
            return Err(OpenError::Apart {
                partition,
                checkpoint,
                purged: *purged,
                last: *last,
            });
        }
    }
    Ok(())
}

fn read_purged(
    read: &redb::ReadTransaction,
    partitions: u16,
) -> Result<(Vec<u64>, i64), redb::Error> {
    let mut purged = vec![0; usize::from(partitions)];
    let table = match read.open_table(PURGED) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((purged, 0)),
        Err(error) => return Err(error.into()),
    };
    for (partition, index) in (0..).zip(purged.iter_mut()) {
        *index = table.get(partition)?.map_or(0, |value| value.value());
    }
    let floor = table
        .get(TIME_FLOOR)?
        .map_or(0, |value| value.value().cast_signed());
    Ok((purged, floor))
}
