//! The rows of `state.redb` as the runtime lays them out: keys and values, and back.
//!
//! An entity's key is its kind's code and its id's text. Ids hold no zero byte, so a zero byte
//! ends the id where something follows. Numbers in keys are big-endian: byte order is list order.

use bytes::Bytes;
use consign_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{self, CodecError};
use crate::types::{EntityRef, ReadError, Remembered};

/// What a checkpoint says of an entity, beside its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The last record of its partition that its rows reflect.
    pub(crate) index: u64,
    /// Its version.
    pub(crate) version: u64,
    /// The keys of its index rows, so that the next checkpoint can take away what no longer holds.
    pub(crate) index_keys: Vec<ByteBuf>,
    /// Whether it has an attention row.
    pub(crate) attention: bool,
    /// Its records that `EntityHistory` does not list, as [`encode_indexes`] writes them.
    #[serde(with = "serde_bytes")]
    pub(crate) records: Vec<u8>,
    /// The encoded key and value of the only part of an entity that has only one.
    pub(crate) part: Option<(ByteBuf, ByteBuf)>,
}

/// What is kept of a record: everything but its personal part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptRecord {
    pub(crate) index: u64,
    pub(crate) entity: Bytes,
    pub(crate) body: Bytes,
}

/// Records of one partition, one after another, as one row of history.
#[derive(Debug, Default)]
pub(crate) struct BlockWriter {
    last: u64,
    row: Vec<u8>,
}

/// Why an entity must be looked at after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attention {
    /// Whether it has effects that nobody has confirmed.
    pub(crate) pending: bool,
    /// When time alone matters to it.
    pub(crate) wakeup: Option<Timestamp>,
}

/// A remembered command as its row holds it.
#[derive(Serialize, Deserialize)]
struct CommandRow {
    #[serde(with = "serde_bytes")]
    entity: Vec<u8>,
    body: u128,
    #[serde(with = "serde_bytes")]
    reply: Vec<u8>,
    version: u64,
    recorded_at: Timestamp,
}

/// The prefix of all keys of the entity's parts.
pub(crate) fn parts_prefix(entity: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(entity.len() + 16);
    key.extend_from_slice(entity);
    key.push(0);
    key
}

/// The first key after all that start with `prefix`.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; 64]
}

pub(crate) fn encode_index(owner: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(2 + owner.len() + value.len());
    let length = u16::try_from(owner.len()).expect("ids are bounded to far less than 64 KiB");
    row.extend_from_slice(&length.to_be_bytes());
    row.extend_from_slice(owner);
    row.extend_from_slice(value);
    row
}

/// Owner and value of an index row.
pub(crate) fn decode_index(row: &[u8]) -> Result<(&[u8], &[u8]), ReadError> {
    let wrong = || ReadError::Decode("an index row is cut off".to_owned());
    let (length, rest) = row.split_first_chunk::<2>().ok_or_else(wrong)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .ok_or_else(wrong)
}

pub(crate) fn encode_command(done: &Remembered) -> Result<Vec<u8>, CodecError> {
    codec::encode(&CommandRow {
        entity: done.entity.to_bytes(),
        body: done.body,
        reply: done.reply.to_vec(),
        version: done.version,
        recorded_at: done.recorded_at,
    })
}

pub(crate) fn decode_command(row: &[u8]) -> Result<Remembered, ReadError> {
    let row: CommandRow = codec::decode(row)?;
    let entity = EntityRef::from_bytes(&row.entity)
        .ok_or_else(|| ReadError::Decode("a command row names no entity".to_owned()))?;
    Ok(Remembered {
        entity,
        body: row.body,
        reply: Bytes::from(row.reply),
        version: row.version,
        recorded_at: row.recorded_at,
    })
}

impl BlockWriter {
    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.row.len()
    }

    /// Adds the next record of the partition.
    pub(crate) fn push(&mut self, index: u64, entity: &[u8], body: &[u8]) {
        if self.row.is_empty() {
            self.row.extend_from_slice(&index.to_be_bytes());
        }
        self.last = index;
        let short = u16::try_from(entity.len()).expect("ids are bounded to far less than 64 KiB");
        let long = u32::try_from(body.len()).expect("entries are bounded to far less than 4 GiB");
        self.row.extend_from_slice(&short.to_be_bytes());
        self.row.extend_from_slice(&long.to_be_bytes());
        self.row.extend_from_slice(entity);
        self.row.extend_from_slice(body);
    }

    /// The last index and the row, if there is any record; begins anew.
    pub(crate) fn take(&mut self) -> Option<(u64, Vec<u8>)> {
        (!self.row.is_empty()).then(|| (self.last, std::mem::take(&mut self.row)))
    }
}

/// The records of a block from index `from` on.
pub(crate) fn decode_block(row: Vec<u8>, from: u64) -> Result<Vec<KeptRecord>, ReadError> {
    let wrong = || ReadError::Decode("a block of history is damaged".to_owned());
    let mut rest = Bytes::from(row);
    let mut take = |count: usize| {
        (rest.len() >= count)
            .then(|| rest.split_to(count))
            .ok_or_else(wrong)
    };
    let number = |bytes: Bytes| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let size = |bytes: Bytes| usize::try_from(number(bytes)).map_err(|_| wrong());
    let mut index = number(take(8)?);
    let mut records = Vec::new();
    while let Ok(short) = take(2) {
        let (short, long) = (size(short)?, size(take(4)?)?);
        let (entity, body) = (take(short)?, take(long)?);
        if index >= from {
            records.push(KeptRecord {
                index,
                entity,
                body,
            });
        }
        index += 1;
    }
    Ok(records)
}

/// Record indexes, rising: differences as little-endian base-128 numbers.
pub(crate) fn encode_indexes(indexes: &[u64]) -> Vec<u8> {
    let mut row = Vec::with_capacity(indexes.len() * 3);
    let mut last = 0;
    for &index in indexes {
        let mut rest = index - last;
        last = index;
        while rest >= 0x80 {
            row.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        row.push(rest as u8);
    }
    row
}

pub(crate) fn decode_indexes(row: &[u8]) -> Result<Vec<u64>, ReadError> {
    let mut indexes = Vec::new();
    let (mut last, mut value, mut shift) = (0_u64, 0_u64, 0_u32);
    for byte in row {
        if shift > 63 {
            return Err(ReadError::Decode("a list of records is damaged".to_owned()));
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            last += value;
            indexes.push(last);
            (value, shift) = (0, 0);
        }
    }
    if shift != 0 {
        return Err(ReadError::Decode("a list of records is cut off".to_owned()));
    }
    Ok(indexes)
}

impl From<CodecError> for ReadError {
    fn from(error: CodecError) -> ReadError {
        ReadError::Decode(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn indexes_survive_their_row(mut indexes in proptest::collection::vec(any::<u64>(), 0..40)) {
            indexes.sort_unstable();
            prop_assert_eq!(decode_indexes(&encode_indexes(&indexes)).expect("decodes"), indexes);
        }

        #[test]
        fn damaged_rows_are_errors_not_panics(row in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode_indexes(&row);
            let _ = decode_index(&row);
            let _ = decode_command(&row);
            let _ = decode_block(row, 0);
        }
    }

    /// Rows written by this build must be readable by every later one.
    #[test]
    fn rows_have_the_bytes_of_the_golden_files() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let head = Head {
            index: 300,
            version: 5,
            index_keys: vec![ByteBuf::from([1, 2])],
            attention: true,
            records: encode_indexes(&[7, 300]),
            part: Some((ByteBuf::from([5]), ByteBuf::from([6, 7]))),
        };
        let bytes = codec::encode(&head).expect("encodes");
        assert_eq!(hex(&bytes), include_str!("../golden/head-v1.hex").trim());
        assert_eq!(codec::decode::<Head>(&bytes).expect("decodes"), head);
        let done = Remembered {
            entity: EntityRef::from_bytes(b"\x01A").expect("kind and id"),
            body: 7,
            reply: Bytes::from_static(&[9]),
            version: 3,
            recorded_at: Timestamp(-5),
        };
        let bytes = encode_command(&done).expect("encodes");
        assert_eq!(hex(&bytes), include_str!("../golden/command-v1.hex").trim());
        assert_eq!(decode_command(&bytes).expect("decodes"), done);
    }

    #[test]
    fn a_block_gives_its_records_back_and_one_cut_off_is_refused() {
        let mut block = BlockWriter::default();
        assert_eq!(block.take(), None);
        for index in 7..10_u64 {
            block.push(index, b"\x01A", format!("body {index}").as_bytes());
        }
        let (last, row) = block.take().expect("records");
        assert_eq!(last, 9);
        let kept = |index: u64| KeptRecord {
            index,
            entity: Bytes::from_static(b"\x01A"),
            body: Bytes::from(format!("body {index}")),
        };
        assert_eq!(
            decode_block(row.clone(), 0).expect("decodes"),
            vec![kept(7), kept(8), kept(9)]
        );
        assert_eq!(
            decode_block(row.clone(), 9).expect("decodes"),
            vec![kept(9)]
        );
        assert!(decode_block(row[..row.len() - 1].to_vec(), 0).is_err());
    }

    #[test]
    fn an_index_row_gives_owner_and_value_back() {
        let row = encode_index(b"\x01A", b"value");
        assert_eq!(
            decode_index(&row).expect("decodes"),
            (&b"\x01A"[..], &b"value"[..])
        );
    }

    #[test]
    fn the_end_of_a_prefix_is_after_all_its_keys() {
        assert_eq!(end_of(b"ab"), b"ac");
        assert_eq!(end_of(b"a\xff"), b"b");
        assert!(end_of(b"\xff\xff").as_slice() > &b"\xff\xff\xff"[..]);
    }
}
