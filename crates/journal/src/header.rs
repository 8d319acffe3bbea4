//! The first bytes of `journal.log`: which file this is, and what is known of its rows.
//!
//! ```text
//! slot = magic "cnsgnlog" | format u32 | partitions u16 | zero u16 | segment_bytes u64 | seed u64
//!      | sequence u64 | last_row u64 | time_floor i64 | (purged u64 | known u64) × partitions | xxh3-64 of all before
//! ```
//! All numbers are little-endian. There are two slots; a header is written into the one that is not
//! the newest, so that a torn write leaves the other. The valid slot with the higher sequence counts.

use xxhash_rust::xxh3::xxh3_64;

use crate::format::FORMAT_VERSION;
use crate::take::take;

const MAGIC: [u8; 8] = *b"cnsgnlog";
/// Bytes from one slot to the next, whatever the partitions.
pub(crate) const SLOT_BYTES: u64 = 64 << 10;
/// Bytes before the first segment.
pub(crate) const HEADER_BYTES: u64 = 2 * SLOT_BYTES;
/// Partitions whose figures have room in a slot.
pub(crate) const PARTITIONS_MAX: u16 = 4_000;

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of a segment; fixed when the file is made.
    pub(crate) segment_bytes: u64,
    /// Goes into every frame's checksum, so that no frame can be forged inside what a row holds.
    pub(crate) seed: u64,
    /// Counts the headers written.
    pub(crate) sequence: u64,
    /// The last row when this was written: rows to come have higher keys.
    pub(crate) last_row: u64,
    /// No clock may go behind this, µs since the epoch.
    pub(crate) time_floor: i64,
    /// By partition, the last index that a checkpoint has taken over.
    pub(crate) purged: Vec<u64>,
    /// By partition, the last index that was durable when this was written: it must be there.
    pub(crate) known: Vec<u64>,
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing that can be read: never written, torn, or damaged.
    Unreadable,
    /// Another format's.
    Format(u64),
    /// A header.
    Valid(Header),
}

impl Header {
    /// The bytes of a slot.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let partitions = u16::try_from(self.purged.len()).expect("checked on opening");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(FORMAT_VERSION as u32).to_le_bytes());
        bytes.extend_from_slice(&partitions.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        for number in [self.segment_bytes, self.seed, self.sequence, self.last_row] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.time_floor.to_le_bytes());
        for (purged, known) in self.purged.iter().zip(&self.known) {
            bytes.extend_from_slice(&purged.to_le_bytes());
            bytes.extend_from_slice(&known.to_le_bytes());
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// Where the header with this sequence is written.
    pub(crate) fn place(sequence: u64) -> u64 {
        (sequence % 2) * SLOT_BYTES
    }
}

/// Reads a slot.
pub(crate) fn read(slot: &[u8]) -> Slot {
    if !slot.starts_with(&MAGIC) {
        return Slot::Unreadable;
    }
    try_read(slot).unwrap_or(Slot::Unreadable)
}

fn try_read(slot: &[u8]) -> Result<Slot, &'static str> {
    let mut at = MAGIC.len();
    let format = u64::from(u32::from_le_bytes(take(slot, &mut at)?));
    if format != FORMAT_VERSION {
        return Ok(Slot::Format(format));
    }
    let partitions = u16::from_le_bytes(take(slot, &mut at)?);
    let _: [u8; 2] = take(slot, &mut at)?;
    let mut number = || take(slot, &mut at).map(u64::from_le_bytes);
    let mut header = Header {
        segment_bytes: number()?,
        seed: number()?,
        sequence: number()?,
        last_row: number()?,
        time_floor: number()?.cast_signed(),
        purged: Vec::new(),
        known: Vec::new(),
    };
    for _ in 0..partitions {
        header.purged.push(number()?);
        header.known.push(number()?);
    }
    let end = at;
    let sum = u64::from_le_bytes(take(slot, &mut at)?);
    let whole = sum == xxh3_64(&slot[..end]) && header.segment_bytes > 0;
    Ok(if whole {
        Slot::Valid(header)
    } else {
        Slot::Unreadable
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            segment_bytes: 4_096,
            seed: 5,
            sequence: 7,
            last_row: 9,
            time_floor: -1,
            purged: vec![3, 0],
            known: vec![4, 1],
        }
    }

    /// The layout is a contract with files on disk.
    #[test]
    fn a_slot_is_these_bytes() {
        let bytes = header().to_bytes();
        let golden = "636e73676e6c6f67030000000200000000100000000000000500000000000000\
                      070000000000000009000000000000\
                      00ffffffffffffffff03000000000000000400000000000000\
                      00000000000000000100000000000000";
        let hex: String = bytes[..bytes.len() - 8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, golden);
        assert_eq!(read(&bytes), Slot::Valid(header()));
    }

    #[test]
    fn whatever_bit_is_flipped_the_slot_does_not_count() {
        let bytes = header().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&wrong), Slot::Valid(_)), "bit {bit}");
        }
        assert_eq!(read(&[0; 4_096]), Slot::Unreadable);
        assert_eq!(read(&bytes[..40]), Slot::Unreadable);
    }

    #[test]
    fn the_slots_take_turns_and_have_room_for_all_partitions() {
        assert_ne!(Header::place(1), Header::place(2));
        let purged = vec![u64::MAX; usize::from(PARTITIONS_MAX)];
        let known = purged.clone();
        let bytes = Header {
            purged,
            known,
            ..header()
        }
        .to_bytes();
        assert!(bytes.len() as u64 <= SLOT_BYTES, "{}", bytes.len());
    }
}
