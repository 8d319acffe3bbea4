//! A row in its frame, as it lies in a segment.
//!
//! ```text
//! frame = row_len u64 | key u64 | sum u64 | row | zeros up to a multiple of 8
//! ```
//! All numbers are little-endian. The sum is xxh3-64 over length, key and row, seeded with a number
//! that only the file knows: nothing that a row holds can pass for a frame.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::take::take;

/// Bytes before the row.
pub(crate) const HEAD_BYTES: usize = 24;
/// Frames begin at multiples of this.
pub(crate) const ALIGN_BYTES: usize = 8;

/// What a frame says before its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    row_len: u64,
    /// The row's key.
    pub(crate) key: u64,
    sum: u64,
}

/// The bytes of a row's frame.
pub(crate) fn write(seed: u64, key: u64, row: &[u8]) -> Vec<u8> {
    let row_len = row.len() as u64;
    let mut bytes = Vec::with_capacity((HEAD_BYTES + row.len()).next_multiple_of(ALIGN_BYTES));
    for number in [row_len, key, sum(seed, row_len, key, row)] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(row);
    bytes.resize(bytes.len().next_multiple_of(ALIGN_BYTES), 0);
    bytes
}

impl Head {
    /// The head at the beginning of `bytes`; none where no frame can be.
    pub(crate) fn read(bytes: &[u8]) -> Option<Head> {
        let mut at = 0;
        let mut number = || take(bytes, &mut at).map(u64::from_le_bytes).ok();
        let head = Head {
            row_len: number()?,
            key: number()?,
            sum: number()?,
        };
        (head.row_len > 0 && head.key > 0).then_some(head)
    }

    /// Bytes from this frame to the next; none if that is more than `room`.
    pub(crate) fn frame_bytes(&self, room: u64) -> Option<u64> {
        let bytes = self.row_len.checked_add(HEAD_BYTES as u64)?;
        let bytes = bytes.checked_next_multiple_of(ALIGN_BYTES as u64)?;
        (bytes <= room).then_some(bytes)
    }

    /// The row, if `frame`, which holds this whole frame, holds what was written.
    pub(crate) fn row(&self, seed: u64, frame: &Bytes) -> Option<Bytes> {
        let end = HEAD_BYTES.checked_add(usize::try_from(self.row_len).ok()?)?;
        let row = frame.get(HEAD_BYTES..end)?;
        let is_whole = sum(seed, self.row_len, self.key, row) == self.sum;
        is_whole.then(|| frame.slice(HEAD_BYTES..end))
    }
}

fn sum(seed: u64, row_len: u64, key: u64, row: &[u8]) -> u64 {
    let mut sum = Xxh3::with_seed(seed);
    sum.update(&row_len.to_le_bytes());
    sum.update(&key.to_le_bytes());
    sum.update(row);
    sum.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout is a contract with files on disk.
    #[test]
    fn a_frame_is_these_bytes() {
        let bytes = write(5, 7, b"row");
        assert_eq!(bytes.len(), 32);
        assert_eq!(
            bytes[..16],
            [3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[16..24], 0xa7e6_6ed9_e8c0_dac6_u64.to_le_bytes());
        assert_eq!(bytes[24..], *b"row\0\0\0\0\0");
    }

    #[test]
    fn a_frame_comes_back_unless_it_was_changed_or_is_of_another_file() {
        let bytes = Bytes::from(write(5, 7, b"a row of some length"));
        let head = Head::read(&bytes).expect("a head");
        assert_eq!(head.frame_bytes(48), Some(48));
        assert_eq!(head.frame_bytes(47), None);
        assert_eq!(
            head.row(5, &bytes).as_deref(),
            Some(b"a row of some length".as_slice())
        );
        assert_eq!(head.row(6, &bytes), None);
        for bit in 0..44 * 8 {
            let mut wrong = bytes.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let wrong = Bytes::from(wrong);
            let row = Head::read(&wrong).and_then(|head| head.row(5, &wrong));
            assert_eq!(row, None, "bit {bit}");
        }
    }

    #[test]
    fn nothing_is_no_frame() {
        assert!(Head::read(&[0; 64]).is_none());
        assert!(Head::read(&[1; 23]).is_none());
        let huge = Head::read(&[0xff; 24]).expect("numbers");
        assert_eq!(huge.frame_bytes(u64::MAX), None);
    }
}
