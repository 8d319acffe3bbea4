//! `journal.log`: rows one behind the other, in segments that are used again.
//!
//! ```text
//! file = two header slots | segment × n          segment = frame after frame, from its start
//! ```
//! In: rows; they get keys that rise by one and are never given twice. Out: the same rows after any
//! crash. Segments whose rows are purged are written over from their start, oldest first; a frame
//! left there has a lower key than those before it, and so does not count. A row longer than a
//! segment begins one and runs on into the next ones.
//!
//! Holds L2: a row is there once it is synced, and what is damaged is refused, never skipped. Only
//! the row that was being written when everything stopped is dropped: nobody was told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::error::OpenError;
use crate::frame;
use crate::header::{HEADER_BYTES, Header, PARTITIONS_MAX, SLOT_BYTES, Slot};
use crate::log::PartitionId;
use crate::row::{self, Held};
use crate::{header, journal::JOURNAL_FILE};

/// Bytes of a segment in a new file, unless the options say otherwise.
pub const SEGMENT_BYTES: u64 = 4 << 20;
/// A segment has room for a frame's head and something in it.
const SEGMENT_BYTES_MIN: u64 = 1 << 10;

/// The file.
#[derive(Debug)]
pub(crate) struct SegmentLog {
    pub(crate) file: Box<dyn StorageBackend>,
    pub(crate) segment_bytes: u64,
    pub(crate) seed: u64,
    header: Mutex<Header>,
    places: Mutex<Places>,
}

/// Segments that were begun together: one, or as many as the first row needs.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The first of its segments, counted from 0.
    pub(crate) segment: u64,
    /// How many.
    pub(crate) segments: u64,
    /// Bytes in use.
    pub(crate) used: u64,
    /// What its rows hold.
    pub(crate) held: Held,
}

/// What lies where.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Runs that may hold rows that count, by the key of their first row. All rows from the first
    /// to the last are there. The last run takes the next row, as long as it has room.
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Segments that may be written over.
    pub(crate) free: BTreeSet<u64>,
    /// Segments in the file.
    pub(crate) segments: u64,
    /// The last row written.
    pub(crate) written: u64,
    /// The last row that is durable.
    pub(crate) durable: u64,
}

impl Run {
    /// Takes note of what a row holds.
    pub(crate) fn hold(&mut self, held: &Held) {
        for (partition, index) in held {
            row::note_last(&mut self.held, *partition, *index);
        }
    }

    /// Whether a checkpoint has taken over all that its rows hold.
    pub(crate) fn is_dead(&self, purged: &[u64]) -> bool {
        is_dead(&self.held, purged)
    }

    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.segment..self.segment + self.segments
    }
}

/// Whether a checkpoint has taken over all of it.
pub(crate) fn is_dead(held: &Held, purged: &[u64]) -> bool {
    held.iter().all(|(PartitionId(partition), index)| {
        purged
            .get(usize::from(*partition))
            .is_some_and(|upto| index <= upto)
    })
}

impl Places {
    /// Room for a frame: its offset behind the header, and how many bytes to write there.
    fn take_room(&mut self, key: u64, frame_bytes: u64, segment_bytes: u64) -> (u64, u64) {
        if let Some((_, run)) = self.runs.iter_mut().next_back()
            && run.used + frame_bytes <= run.segments * segment_bytes
        {
            let offset = run.segment * segment_bytes + run.used;
            run.used += frame_bytes;
            return (offset, frame_bytes);
        }
        let segments = frame_bytes.div_ceil(segment_bytes);
        let used_again = self.take_free(segments);
        let segment = used_again.unwrap_or(self.segments);
        // A new segment is written whole, so that later syncs find nothing but data to write.
        let bytes = if used_again.is_some() {
            frame_bytes
        } else {
            self.segments += segments;
            segments * segment_bytes
        };
        let run = Run {
            segment,
            segments,
            used: frame_bytes,
            held: Held::new(),
        };
        self.runs.insert(key, run);
        (segment * segment_bytes, bytes)
    }

    /// The first of `segments` free ones that lie side by side.
    fn take_free(&mut self, segments: u64) -> Option<u64> {
        let mut first = *self.free.first()?;
        let mut next = first;
        for segment in &self.free {
            if *segment != next {
                first = *segment;
            }
            next = segment + 1;
            if next - first == segments {
                self.free.retain(|segment| !(first..next).contains(segment));
                return Some(first);
            }
        }
        None
    }

    /// Frees runs whose rows are all purged, from the oldest on, but never the one in use: so the
    /// rows that are kept have no gap.
    pub(crate) fn let_go(&mut self, purged: &[u64]) {
        while self.runs.len() > 1
            && let Some(oldest) = self.runs.first_entry()
            && oldest.get().is_dead(purged)
        {
            self.free.extend(oldest.remove().numbers());
        }
    }
}

impl SegmentLog {
    /// Opens a file, or makes it. Its rows must be read before it takes any.
    pub(crate) fn open(
        file: Box<dyn StorageBackend>,
        partitions: u16,
        segment_bytes: u64,
    ) -> Result<SegmentLog, OpenError> {
        let fits = |found| {
            if found == partitions && partitions <= PARTITIONS_MAX {
                Ok(())
            } else {
                Err(OpenError::Partitions {
                    found: PARTITIONS_MAX.min(found),
                    asked: partitions,
                })
            }
        };
        fits(partitions)?;
        let header = match read_header(&*file)? {
            Some(header) => header,
            None => make(&*file, partitions, segment_bytes).map_err(OpenError::Log)?,
        };
        fits(u16::try_from(header.purged.len()).unwrap_or(u16::MAX))?;
        let rows_bytes = file
            .len()
            .map_err(OpenError::Log)?
            .saturating_sub(HEADER_BYTES);
        let places = Places {
            segments: rows_bytes.div_ceil(header.segment_bytes),
            ..Places::default()
        };
        Ok(SegmentLog {
            file,
            segment_bytes: header.segment_bytes,
            seed: header.seed,
            header: Mutex::new(header),
            places: Mutex::new(places),
        })
    }

    /// What was noted last.
    pub(crate) fn header(&self) -> Header {
        self.header.lock().clone()
    }

    /// What lies where, now.
    pub(crate) fn places(&self) -> parking_lot::MutexGuard<'_, Places> {
        self.places.lock()
    }

    /// Makes a row durable, as one write and one sync; gives its key. For one caller at a time.
    pub(crate) fn append(&self, row: &[u8], held: &Held) -> io::Result<u64> {
        let key = self.write(row, held)?;
        self.file.sync_data()?;
        self.places.lock().durable = key;
        Ok(key)
    }

    /// Writes a row that is durable only after [`SegmentLog::sync`].
    pub(crate) fn write(&self, row: &[u8], held: &Held) -> io::Result<u64> {
        let mut places = self.places.lock();
        let key = places.written + 1;
        let mut frame = frame::write(self.seed, key, row);
        let (offset, bytes) = places.take_room(key, frame.len() as u64, self.segment_bytes);
        places.written = key;
        if let Some((_, run)) = places.runs.iter_mut().next_back() {
            run.hold(held);
        }
        drop(places);
        frame.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        self.file.write(HEADER_BYTES + offset, &frame)?;
        Ok(key)
    }

    /// Makes all rows durable that were written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let written = self.places.lock().written;
        self.file.sync_data()?;
        self.places.lock().durable = written;
        Ok(())
    }

    /// Notes what a checkpoint has taken over and what is durable; only then are segments used again.
    pub(crate) fn note(
        &self,
        purged: &[(PartitionId, u64)],
        known: Vec<u64>,
        time_floor: i64,
    ) -> io::Result<()> {
        let mut current = self.header.lock();
        let mut header = current.clone();
        header.sequence += 1;
        header.time_floor = header.time_floor.max(time_floor);
        header.last_row = self.places.lock().durable;
        header.known = known;
        for (PartitionId(partition), index) in purged {
            if let Some(upto) = header.purged.get_mut(usize::from(*partition)) {
                *upto = (*upto).max(*index);
            }
        }
        self.file
            .write(Header::place(header.sequence), &header.to_bytes())?;
        self.file.sync_data()?;
        self.places.lock().let_go(&header.purged);
        *current = header;
        Ok(())
    }
}

/// The newest header; none in a file that holds nothing yet.
fn read_header(file: &dyn StorageBackend) -> Result<Option<Header>, OpenError> {
    let length = file.len().map_err(OpenError::Log)?;
    let mut newest: Option<Header> = None;
    let mut other_format = None;
    for offset in [0, SLOT_BYTES] {
        let bytes = length.saturating_sub(offset).min(SLOT_BYTES);
        let mut slot = vec![0; usize::try_from(bytes).unwrap_or_default()];
        if bytes > 0 {
            file.read(offset, &mut slot).map_err(OpenError::Log)?;
        }
        match header::read(&slot) {
            Slot::Valid(header) => {
                let newer = newest
                    .as_ref()
                    .is_none_or(|known| header.sequence > known.sequence);
                newest = if newer { Some(header) } else { newest };
            }
            Slot::Format(found) => other_format = Some(found),
            Slot::Unreadable => {}
        }
    }
    match (newest, other_format) {
        (Some(header), None) => Ok(Some(header)),
        (_, Some(found)) => Err(OpenError::FormatVersion {
            file: JOURNAL_FILE,
            found,
            supported: crate::format::FORMAT_VERSION,
        }),
        // The header is synced before there is anything else: a file of its length alone was not
        // finished, and nobody was told of anything in it.
        (None, None) if length <= HEADER_BYTES => Ok(None),
        (None, None) => Err(OpenError::DamagedLog),
    }
}

fn make(file: &dyn StorageBackend, partitions: u16, segment_bytes: u64) -> io::Result<Header> {
    let none = vec![0; usize::from(partitions)];
    let segment_bytes = segment_bytes.max(SEGMENT_BYTES_MIN);
    let header = Header {
        segment_bytes: segment_bytes.next_multiple_of(frame::ALIGN_BYTES as u64),
        // The standard library's hashers begin with numbers that nobody can foresee.
        seed: RandomState::new().hash_one(JOURNAL_FILE),
        sequence: 0,
        last_row: 0,
        time_floor: 0,
        purged: none.clone(),
        known: none,
    };
    file.set_len(HEADER_BYTES)?;
    file.write(Header::place(header.sequence), &header.to_bytes())?;
    file.sync_data()?;
    Ok(header)
}
