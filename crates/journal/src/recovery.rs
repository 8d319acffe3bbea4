//! What the log holds when it is opened, checked row by row, and whether `state.redb` belongs to it.
//!
//! In: both files. Out: entries in order, or why they cannot be trusted. Holds L2: a damaged row
//! or a missing index is refused, never skipped.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::OpenError;
use crate::log::PartitionId;
use crate::segments::SegmentLog;
use crate::state::StateStore;
use crate::tail::Tail;

/// What the log held.
pub(crate) struct Found {
    /// By partition, the last index that the log no longer holds.
    pub(crate) purged: Vec<u64>,
    /// By partition, the last index that the log holds.
    pub(crate) last: Vec<u64>,
    /// What no checkpoint has taken over.
    pub(crate) tail: Tail,
    /// No clock may go behind this.
    pub(crate) time_floor: i64,
}

/// Reads all rows in key order and checks them.
pub(crate) fn recover(log: &SegmentLog) -> Result<Found, OpenError> {
    let header = log.header();
    let mut found = Found {
        last: header.purged.clone(),
        tail: Tail::new(&header.purged),
        purged: header.purged,
        time_floor: header.time_floor,
    };
    let mut last_row = 0;
    log.recover(&mut |key, row| {
        last_row = key;
        found.time_floor = found.time_floor.max(row.written_at);
        // A copy, without the rest of the frame that it was read with.
        let kept = Arc::new(Bytes::copy_from_slice(&row.bytes));
        for piece in &row.pieces {
            let at = usize::from(piece.partition.0);
            let (Some(last), Some(purged)) = (found.last.get_mut(at), found.purged.get(at)) else {
                let what = "it names a partition that does not exist";
                return Err(OpenError::DamagedRow { row: key, what });
            };
            if piece.index <= *purged {
                continue;
            }
            if piece.index != *last + 1 {
                return Err(OpenError::Gap {
                    partition: piece.partition,
                    expected: *last + 1,
                    found: piece.index,
                    row: key,
                });
            }
            *last = piece.index;
            let bytes = piece.entry.size();
            found
                .tail
                .push(piece.partition, piece.index, &kept, piece.at, bytes);
        }
        Ok(())
    })?;
    if found
        .last
        .iter()
        .zip(&header.known)
        .any(|(last, known)| last < known)
    {
        let what = "it was durable, and it is missing";
        return Err(OpenError::DamagedRow {
            row: last_row + 1,
            what,
        });
    }
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
