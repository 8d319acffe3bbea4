//! A commit's row, byte by byte. Everything that one commit made durable is one row under a
//! node-wide rising key; all numbers are little-endian. A piece with index 0 is a note about its
//! partition: `entity` says what (`NoteKind`), `expected` is its number.
//!
//! ```text
//! row     = version u8 (1) | written_at i64 (µs since the epoch) | count u32 | piece × count | xxh3-64 of all before u64
//! piece   = partition u16 | index u64 | expected u64 | entity_len u16 | body_len u32 | private_len u32 (0xffff_ffff: none)
//!           | entity | body | private
//! ```

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::log::{Entry, PartitionId};
use crate::take::take;

/// The layout above.
const ROW_VERSION: u8 = 1;
/// Stands for "no private record".
const NO_PRIVATE: u32 = u32::MAX;
/// Bytes before the first piece.
const HEAD_BYTES: usize = 1 + 8 + 4;
/// Bytes of the checksum.
const SUM_BYTES: usize = 8;

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoteKind {
    /// `body` is the newest word of who stands above, whose affair it is.
    Word,
    /// Entries from number `expected` on do not count: others come in their place.
    Cut,
    /// All entries so far do not count: the next one comes after number `expected`.
    Jump,
}

impl NoteKind {
    const ALL: [NoteKind; 3] = [NoteKind::Word, NoteKind::Cut, NoteKind::Jump];

    /// The note as it stands in a row.
    pub(crate) fn entry(self, number: u64, body: Bytes) -> Entry {
        Entry {
            entity: Bytes::from_static(match self {
                NoteKind::Word => b"word",
                NoteKind::Cut => b"cut",
                NoteKind::Jump => b"jump",
            }),
            expected: number,
            body,
            private: None,
        }
    }

    /// What a piece with index 0 says.
    pub(crate) fn of(entry: &Entry) -> Option<NoteKind> {
        let said = |kind: &NoteKind| kind.entry(0, Bytes::new()).entity == entry.entity;
        NoteKind::ALL.into_iter().find(said)
    }
}

/// One entry in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose.
    pub partition: PartitionId,
    /// Its place there.
    pub index: u64,
    /// What.
    pub entry: Entry,
}

/// Writes a row piece by piece.
#[derive(Debug)]
pub struct RowWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl RowWriter {
    /// Starts a row that is written at `written_at` (µs since the epoch), reusing `bytes`.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>, written_at: i64) -> RowWriter {
        bytes.clear();
        bytes.push(ROW_VERSION);
        bytes.extend_from_slice(&written_at.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        RowWriter { bytes, count: 0 }
    }

    /// Adds an entry. Lengths are checked by the append.
    pub fn push(&mut self, partition: PartitionId, index: u64, entry: &Entry) {
        let private = entry.private.as_ref();
        let out = &mut self.bytes;
        out.extend_from_slice(&partition.0.to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&entry.expected.to_le_bytes());
        out.extend_from_slice(&(entry.entity.len() as u16).to_le_bytes());
        out.extend_from_slice(&(entry.body.len() as u32).to_le_bytes());
        let private_len = private.map_or(NO_PRIVATE, |private| private.len() as u32);
        out.extend_from_slice(&private_len.to_le_bytes());
        out.extend_from_slice(&entry.entity);
        out.extend_from_slice(&entry.body);
        if let Some(private) = private {
            out.extend_from_slice(private);
        }
        self.count += 1;
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The row.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[9..HEAD_BYTES].copy_from_slice(&self.count.to_le_bytes());
        let sum = xxh3_64(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.bytes
    }
}

/// A row, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As it was written.
    pub bytes: Bytes,
    /// When it was written, µs since the epoch.
    pub written_at: i64,
    /// What it holds.
    pub pieces: Vec<Piece>,
}

impl Row {
    /// The last index of each partition in it.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut held = Held::new();
        for piece in &self.pieces {
            note_last(&mut held, piece.partition, piece.index);
        }
        held
    }
}

/// The last index of each partition in a row, or in several.
pub type Held = Vec<(PartitionId, u64)>;

/// Takes note of the next entry of a partition.
pub(crate) fn note_last(held: &mut Held, partition: PartitionId, index: u64) {
    match held.iter_mut().find(|(of, _)| *of == partition) {
        // What was cut off may have had a higher index; notes have none.
        Some((_, last)) => *last = (*last).max(index),
        None => held.push((partition, index)),
    }
}

/// Reads a row back.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn read(row: &Bytes) -> Result<Row, &'static str> {
    let body_len = row
        .len()
        .checked_sub(SUM_BYTES)
        .ok_or("shorter than a checksum")?;
    let (body, sum) = row.split_at(body_len);
    if xxh3_64(body).to_le_bytes() != sum {
        return Err("its checksum does not match");
    }
    let mut at = 0;
    let [version] = take::<1>(body, &mut at)?;
    if version != ROW_VERSION {
        return Err("its layout is unknown");
    }
    let written_at = i64::from_le_bytes(take(body, &mut at)?);
    let count = u32::from_le_bytes(take(body, &mut at)?);
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push(read_piece(row, body.len(), &mut at)?);
    }
    if at == body.len() {
        Ok(Row {
            bytes: row.clone(),
            written_at,
            pieces,
        })
    } else {
        Err("it holds more than it counts")
    }
}

fn read_piece(row: &Bytes, end: usize, at: &mut usize) -> Result<Piece, &'static str> {
    let head = &row[..end];
    let partition = PartitionId(u16::from_le_bytes(take(head, at)?));
    let index = u64::from_le_bytes(take(head, at)?);
    let expected = u64::from_le_bytes(take(head, at)?);
    let entity_len = usize::from(u16::from_le_bytes(take(head, at)?));
    let body_len = u32::from_le_bytes(take(head, at)?) as usize;
    let private_len = u32::from_le_bytes(take(head, at)?);
    let entity = slice(row, end, at, entity_len)?;
    let body = slice(row, end, at, body_len)?;
    let private = match private_len {
        NO_PRIVATE => None,
        length => Some(slice(row, end, at, length as usize)?),
    };
    let entry = Entry {
        entity,
        expected,
        body,
        private,
    };
    Ok(Piece {
        partition,
        index,
        entry,
    })
}

fn slice(row: &Bytes, end: usize, at: &mut usize, len: usize) -> Result<Bytes, &'static str> {
    let stop = at
        .checked_add(len)
        .filter(|stop| *stop <= end)
        .ok_or("it is cut off")?;
    let bytes = row.slice(*at..stop);
    *at = stop;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(entity: &[u8], body: &[u8], private: Option<&[u8]>) -> Entry {
        Entry {
            entity: Bytes::copy_from_slice(entity),
            expected: 7,
            body: Bytes::copy_from_slice(body),
            private: private.map(Bytes::copy_from_slice),
        }
    }

    /// The layout is a contract with files on disk.
    #[test]
    fn a_row_is_these_bytes() {
        let mut writer = RowWriter::new(Vec::new(), 1);
        writer.push(PartitionId(2), 3, &entry(b"ab", b"cde", Some(b"f")));
        let row = writer.finish();
        let golden: &[u8] = &[
            1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0,
            0, 0, 2, 0, 3, 0, 0, 0, 1, 0, 0, 0, b'a', b'b', b'c', b'd', b'e', b'f',
        ];
        assert_eq!(&row[..golden.len()], golden);
        assert_eq!(row.len(), golden.len() + SUM_BYTES);
    }

    proptest! {
        #[test]
        fn rows_come_back(entries in proptest::collection::vec((any::<u16>(), any::<u64>(),
            proptest::collection::vec(any::<u8>(), 0..20), proptest::collection::vec(any::<u8>(), 0..50),
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))), 0..8))
        {
            let mut writer = RowWriter::new(Vec::new(), 42);
            let mut pieces = Vec::new();
            for (partition, index, entity, body, private) in entries {
                let entry = entry(&entity, &body, private.as_deref());
                writer.push(PartitionId(partition), index, &entry);
                pieces.push(Piece { partition: PartitionId(partition), index, entry });
            }
            let row = Bytes::from(writer.finish());
            prop_assert_eq!(read(&row), Ok(Row { bytes: row.clone(), written_at: 42, pieces }));
        }

        #[test]
        fn one_flipped_bit_is_found(bit in 0_usize..400) {
            let mut writer = RowWriter::new(Vec::new(), 42);
            writer.push(PartitionId(1), 9, &entry(b"entity", b"body of it", None));
            let mut row = writer.finish();
            let bit = bit % (row.len() * 8);
            row[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(&Bytes::from(row)).is_err());
        }

        #[test]
        fn noise_is_an_error_not_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&Bytes::from(noise)).is_err());
        }
    }
}
