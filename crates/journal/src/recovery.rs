//! What the log holds when it is opened, checked row by row, and whether `state.redb` belongs to it.
//!
//! In: both files. Out: entries in order, or why they cannot be trusted. Holds L2: a damaged row
//! or a missing index is refused, never skipped.

use bytes::Bytes;

use crate::error::OpenError;
use crate::log::PartitionId;
use crate::row::{NoteKind, Piece};
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
    /// By partition, the newest word that was noted.
    pub(crate) words: Vec<Option<Bytes>>,
    /// No clock may go behind this.
    pub(crate) time_floor: i64,
}

/// Reads all rows in key order and checks them.
pub(crate) fn recover(log: &SegmentLog) -> Result<Found, OpenError> {
    let header = log.header();
    let mut known = header.known;
    let mut found = Found {
        words: vec![None; header.purged.len()],
        last: header.purged.clone(),
        tail: Tail::new(&header.purged),
        purged: header.purged,
        time_floor: header.time_floor,
    };
    let mut last_row = 0;
    log.recover(&mut |key, row| {
        last_row = key;
        found.time_floor = found.time_floor.max(row.written_at);
        for piece in &row.pieces {
            if piece.index == 0 {
                let is_later = key > header.last_row;
                found.note(key, piece, is_later.then_some(&mut known))?;
            } else {
                found.take(key, piece)?;
            }
        }
        Ok(())
    })?;
    if found
        .last
        .iter()
        .zip(&known)
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

impl Found {
    /// Takes in the next entry of a partition.
    fn take(&mut self, row: u64, piece: &Piece) -> Result<(), OpenError> {
        let at = usize::from(piece.partition.0);
        let (Some(last), Some(purged)) = (self.last.get_mut(at), self.purged.get(at)) else {
            return Err(no_partition(row));
        };
        if piece.index <= *purged {
            return Ok(());
        }
        if piece.index != *last + 1 {
            return Err(OpenError::Gap {
                partition: piece.partition,
                expected: *last + 1,
                found: piece.index,
                row,
            });
        }
        *last = piece.index;
        // Copies, without the rest of the row: it is kept only as long as what lies in it.
        self.tail.lock(piece.partition).push(piece.entry.copied());
        self.tail.durable(piece.partition, piece.index);
        Ok(())
    }

    /// Takes in a note. `known` is what must be there, if the note is younger than that.
    fn note(
        &mut self,
        row: u64,
        piece: &Piece,
        known: Option<&mut Vec<u64>>,
    ) -> Result<(), OpenError> {
        let (at, number) = (usize::from(piece.partition.0), piece.entry.expected);
        let (Some(last), Some(purged)) = (self.last.get_mut(at), self.purged.get_mut(at)) else {
            return Err(no_partition(row));
        };
        match NoteKind::of(&piece.entry) {
            Some(NoteKind::Word) => self.words[at] = Some(piece.entry.copied().body),
            // What was purged since then has been written again, or it would not have been purged.
            Some(NoteKind::Cut) if number > *purged && number <= *last => {
                *last = number - 1;
                self.tail.lock(piece.partition).cut(number);
                if let Some(known) = known {
                    known[at] = known[at].min(*last);
                }
            }
            Some(NoteKind::Jump) if number > *purged => {
                (*last, *purged) = (number, number);
                self.tail.lock(piece.partition).jump(number);
            }
            Some(NoteKind::Cut | NoteKind::Jump) => {}
            None => {
                let what = "it holds a note that this version does not know";
                return Err(OpenError::DamagedRow { row, what });
            }
        }
        Ok(())
    }
}

fn no_partition(row: u64) -> OpenError {
    let what = "it names a partition that does not exist";
    OpenError::DamagedRow { row, what }
}

/// A checkpoint is published after its entries are durable and before they are purged. Files that
/// say otherwise would lose what was acknowledged, or give its indexes to something else.
pub(crate) fn ensure_together(state: &StateStore, found: &Found) -> Result<(), OpenError> {
    for ((partition, purged), last) in (0..).map(PartitionId).zip(&found.purged).zip(&found.last) {
        if state.is_installing(partition)?.is_some() {
            // A snapshot is being put in the place of both; that goes on after this.
            continue;
        }
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
