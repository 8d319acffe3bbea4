//! Reading `journal.log` back: which rows count, and whether any that should is damaged or missing.
//!
//! In: segments in any order, some of them written over in part. Out: rows in the order in which
//! they were written, or a refusal. Rows that are kept have no gap (see [`crate::segments`]), so:
//! where the keys stop before a later row, or a frame that cannot be reached holds something that no
//! checkpoint has, the file is damaged.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::OpenError;
use crate::frame::{ALIGN_BYTES, HEAD_BYTES, Head};
use crate::header::HEADER_BYTES;
use crate::row::{self, Held, Row};
use crate::segments::{Run, SegmentLog, is_dead};

/// A frame, read back.
struct Found {
    key: u64,
    row: Bytes,
    bytes: u64,
}

/// Sees a row and its key.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(u64, &Row) -> Result<(), OpenError>;

impl SegmentLog {
    /// Hands all rows that are kept to `visit`, in order, and is ready for the next row. Rows that
    /// a checkpoint has taken over may be among them.
    pub(crate) fn recover(&self, visit: Visit<'_>) -> Result<(), OpenError> {
        let header = self.header();
        let purged = header.purged;
        let segments = self.places().segments;
        let (firsts, unreadable) = self.firsts(segments)?;
        let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
        let mut last = 0;
        for (first, segment) in firsts {
            if let Some((_, before)) = runs.last_key_value()
                && first != last + 1
            {
                self.ensure_nothing_lives(self.rest_of(before), last, &purged)?;
                if runs.values().any(|run| !run.is_dead(&purged)) {
                    return Err(missing(last));
                }
                runs.clear();
            }
            let run = self.walk(first, segment, &mut last, visit)?;
            runs.insert(first, run);
        }
        if let Some((_, current)) = runs.last_key_value() {
            self.ensure_nothing_lives(self.rest_of(current), last, &purged)?;
        }
        for segment in unreadable {
            let whole = segment * self.segment_bytes..(segment + 1) * self.segment_bytes;
            self.ensure_nothing_lives(whole, last, &purged)?;
        }
        if last < header.last_row {
            if runs.values().any(|run| !run.is_dead(&purged)) {
                return Err(missing(last));
            }
            // The last rows are gone, as they may: they were purged, and written over in part.
            runs.clear();
            last = header.last_row;
        }
        let mut places = self.places();
        places.free = (0..segments).collect();
        for run in runs.values() {
            places
                .free
                .retain(|segment| !run.numbers().contains(segment));
        }
        places.runs = runs;
        places.let_go(&purged);
        (places.written, places.durable) = (last, last);
        drop(places);
        // What was read may lie in the machine's memory only; from here on it is built upon.
        self.file.sync_data().map_err(OpenError::Log)
    }

    /// Hands the rows that are durable by now to `visit`, in order, while others are appended. No
    /// segment may be used again meanwhile: there must be no [`SegmentLog::note`].
    pub(crate) fn each_row(&self, visit: Visit<'_>) -> Result<(), OpenError> {
        let places = self.places();
        let (runs, durable) = (places.runs.clone(), places.durable);
        drop(places);
        let mut last = 0;
        for (first, run) in runs.iter().filter(|(first, _)| **first <= durable) {
            self.walk(*first, run.segment, &mut last, &mut |key, row| {
                if key <= durable {
                    visit(key, row)
                } else {
                    Ok(())
                }
            })?;
        }
        if last < durable && !runs.is_empty() {
            return Err(missing(last));
        }
        Ok(())
    }

    /// The key and place of each segment's first frame, by key; and segments without one.
    fn firsts(&self, segments: u64) -> Result<(BTreeMap<u64, u64>, Vec<u64>), OpenError> {
        let mut firsts = BTreeMap::new();
        let mut unreadable = Vec::new();
        let mut segment = 0;
        while segment < segments {
            let offset = segment * self.segment_bytes;
            match self.frame_at(offset, segments * self.segment_bytes - offset)? {
                Some(found) => {
                    firsts.insert(found.key, segment);
                    segment += found.bytes.div_ceil(self.segment_bytes);
                }
                None => {
                    unreadable.push(segment);
                    segment += 1;
                }
            }
        }
        Ok((firsts, unreadable))
    }

    /// Hands a run's rows to `visit`, from its first on, as long as their keys rise by one.
    fn walk(
        &self,
        first: u64,
        segment: u64,
        last: &mut u64,
        visit: Visit<'_>,
    ) -> Result<Run, OpenError> {
        let start = segment * self.segment_bytes;
        let mut run = Run {
            segment,
            segments: 0,
            used: 0,
            held: Held::new(),
        };
        let mut room = u64::MAX;
        let mut key = first;
        while let Some(found) = self.frame_at(start + run.used, room - run.used)? {
            if found.key != key {
                break;
            }
            let row =
                row::read(&found.row).map_err(|what| OpenError::DamagedRow { row: key, what })?;
            run.hold(&row.held());
            visit(key, &row)?;
            *last = key;
            key += 1;
            run.used += found.bytes;
            if run.segments == 0 {
                run.segments = found.bytes.div_ceil(self.segment_bytes);
                room = run.segments * self.segment_bytes;
            }
        }
        Ok(run)
    }

    /// A run's bytes behind its last frame.
    fn rest_of(&self, run: &Run) -> std::ops::Range<u64> {
        let start = run.segment * self.segment_bytes;
        start + run.used..start + run.segments * self.segment_bytes
    }

    /// Refuses a range in which there is a whole frame with something that no checkpoint has: the
    /// way to it is damaged.
    fn ensure_nothing_lives(
        &self,
        range: std::ops::Range<u64>,
        last: u64,
        purged: &[u64],
    ) -> Result<(), OpenError> {
        let bytes = self.bytes_at(range.start, range.end - range.start)?;
        let mut at = 0;
        while at < bytes.len() {
            let found = frame_in(&bytes.slice(at..), self.seed);
            at += match &found {
                Some(found) => usize::try_from(found.bytes).unwrap_or(usize::MAX),
                None => ALIGN_BYTES,
            };
            if let Some(Ok(row)) = found.map(|found| row::read(&found.row))
                && !is_dead(&row.held(), purged)
            {
                return Err(missing(last));
            }
        }
        Ok(())
    }

    /// The whole frame at an offset behind the header, if there is one that takes up `room` at most.
    fn frame_at(&self, offset: u64, room: u64) -> Result<Option<Found>, OpenError> {
        let Some(head) = Head::read(&self.bytes_at(offset, HEAD_BYTES as u64)?) else {
            return Ok(None);
        };
        let end = self.rows_bytes()?;
        let Some(bytes) = head.frame_bytes(room.min(end.saturating_sub(offset))) else {
            return Ok(None);
        };
        Ok(frame_in(&self.bytes_at(offset, bytes)?, self.seed))
    }

    /// Up to `max` bytes at an offset behind the header; fewer at the file's end.
    fn bytes_at(&self, offset: u64, max: u64) -> Result<Bytes, OpenError> {
        let end = self.rows_bytes()?;
        let length = usize::try_from(max.min(end.saturating_sub(offset))).unwrap_or_default();
        let mut bytes = vec![0; length];
        if length > 0 {
            self.file
                .read(HEADER_BYTES + offset, &mut bytes)
                .map_err(OpenError::Log)?;
        }
        Ok(Bytes::from(bytes))
    }

    /// Bytes behind the header.
    fn rows_bytes(&self) -> Result<u64, OpenError> {
        let length = self.file.len().map_err(OpenError::Log)?;
        Ok(length.saturating_sub(HEADER_BYTES))
    }
}

/// The whole frame at the beginning of `bytes`, if there is one.
fn frame_in(bytes: &Bytes, seed: u64) -> Option<Found> {
    let head = Head::read(bytes)?;
    let frame_bytes = head.frame_bytes(bytes.len() as u64)?;
    Some(Found {
        key: head.key,
        row: head.row(seed, bytes)?,
        bytes: frame_bytes,
    })
}

fn missing(last: u64) -> OpenError {
    OpenError::DamagedRow {
        row: last + 1,
        what: "it cannot be read, and later ones are there or it was known to be",
    }
}
