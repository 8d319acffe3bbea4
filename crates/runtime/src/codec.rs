//! The one place that knows how values become bytes: a version byte, then bincode.
//!
//! In: values of the runtime and the domain. Out: bytes for journal and state rows, and back.
//! Every decode is bounded ([`DECODE_BYTES_MAX`]) and refuses versions that it does not know, so
//! that another codec can take over behind the version byte. Golden files hold the format still.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use consign_domain::entity::Stamp;
use consign_domain::time::Timestamp;

/// Stands before every encoded value.
pub(crate) const FORMAT: u8 = 1;
/// The largest value that is decoded, in bytes.
pub(crate) const DECODE_BYTES_MAX: usize = 64 << 20;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_BYTES_MAX>,
> = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

/// Room to encode into that a thread keeps at most, in bytes.
const ROOM_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Where values are encoded.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why a value could not become bytes, or bytes a value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodecError {
    /// The value does not fit the format.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The bytes are no value of the wanted type.
    #[error("cannot decode: {0}")]
    Decode(String),
    /// The bytes are of another version.
    #[error("format version {found}, but this build knows {FORMAT}")]
    Version {
        /// The byte found.
        found: u8,
    },
}

/// One entity's batch, as one journal row holds it.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct Record<Event> {
    /// The entity's version before the first event.
    pub(crate) expected: u64,
    /// One per command that changed something or must be remembered.
    pub(crate) steps: Vec<Step<Event>>,
}

/// What one command came to.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct Step<Event> {
    /// Who and when.
    pub(crate) stamp: Stamp,
    /// Present when a repetition must hear the same answer.
    pub(crate) keyed: Option<Keyed>,
    /// In order; may be empty for a keyed command that changed nothing.
    pub(crate) events: Vec<Event>,
}

/// A keyed command's name and first answer.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct Keyed {
    /// Hash of principal and key.
    pub(crate) id: u128,
    /// Hash of the body.
    pub(crate) body: u128,
    /// The encoded reply.
    #[serde(with = "serde_bytes")]
    pub(crate) reply: Vec<u8>,
}

/// Turns a value into bytes, for rows of those above as well.
///
/// # Errors
/// When the value does not fit the format.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    // Taken, not borrowed: a value that encodes another one finds none, and makes its own.
    let mut bytes = ROOM.take();
    bytes.clear();
    bytes.push(FORMAT);
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIG)
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    // A copy of the right size costs less than growing one, and holds no room that is not used.
    let encoded = bytes.as_slice().to_vec();
    if bytes.capacity() <= ROOM_BYTES_MAX {
        ROOM.set(bytes);
    }
    Ok(encoded)
}

/// Turns bytes into a value; bytes left over are an error.
///
/// # Errors
/// When the bytes are of another version or no value of the wanted type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, rest) = bytes
        .split_first()
        .ok_or_else(|| CodecError::Decode("no bytes".to_owned()))?;
    if *version != FORMAT {
        return Err(CodecError::Version { found: *version });
    }
    let (value, used) = bincode::serde::decode_from_slice(rest, CONFIG)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    if used != rest.len() {
        let left = rest.len() - used;
        return Err(CodecError::Decode(format!("{left} bytes left over")));
    }
    Ok(value)
}

/// When the first step of an encoded record was recorded, whatever its events are.
pub(crate) fn first_recorded_at(record: &[u8]) -> Result<Timestamp, CodecError> {
    let rest = record
        .strip_prefix(&[FORMAT])
        .ok_or_else(|| CodecError::Decode("no record".to_owned()))?;
    // The record's version, the number of steps, and the stamp that the first step starts with.
    let ((_, _, stamp), _): ((u64, u64, Stamp), usize) =
        bincode::serde::decode_from_slice(rest, CONFIG)
            .map_err(|error| CodecError::Decode(error.to_string()))?;
    Ok(stamp.recorded_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<(u32, String)> {
        let stamp = Stamp {
            recorded_at: Timestamp(1_700_000_000_000_000),
            occurred_at: Timestamp(-5),
            by: "api".into(),
        };
        let keyed = Keyed {
            id: u128::MAX - 1,
            body: 7,
            reply: vec![FORMAT, 9],
        };
        Record {
            expected: 300,
            steps: vec![
                Step {
                    stamp: stamp.clone(),
                    keyed: Some(keyed),
                    events: vec![(1, "taken".into())],
                },
                Step {
                    stamp,
                    keyed: None,
                    events: vec![],
                },
            ],
        }
    }

    /// Rows written by this build must be readable by every later one.
    #[test]
    fn a_record_has_the_bytes_of_the_golden_file() {
        let bytes = encode(&record()).expect("encodes");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../golden/record-v1.hex").trim());
        assert_eq!(
            decode::<Record<(u32, String)>>(&bytes).expect("decodes"),
            record()
        );
    }

    #[test]
    fn a_records_time_is_read_without_knowing_its_events() {
        let bytes = encode(&record()).expect("encodes");
        assert_eq!(
            first_recorded_at(&bytes).expect("reads"),
            Timestamp(1_700_000_000_000_000)
        );
    }

    #[test]
    fn other_versions_and_torn_bytes_are_refused() {
        let mut bytes = encode(&record()).expect("encodes");
        let torn = &bytes[..bytes.len() - 1];
        assert!(matches!(
            decode::<Record<(u32, String)>>(torn),
            Err(CodecError::Decode(_))
        ));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            decode::<Record<(u32, String)>>(&longer),
            Err(CodecError::Decode(_))
        ));
        bytes[0] = FORMAT + 1;
        assert!(matches!(
            decode::<Record<(u32, String)>>(&bytes),
            Err(CodecError::Version { found: 2 })
        ));
        assert!(decode::<u8>(&[]).is_err());
    }
}
