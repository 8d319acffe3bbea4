//! A hash of a JSON value that does not see white space or the order of members.
//!
//! It tells whether a request that comes again with a known `Idempotency-Key` is the same request
//! (L3). It is computed while parsing, without building a tree. Members are summed, so their order
//! does not matter; elements are chained, so theirs does.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// The hash of one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHash(pub u128);

impl BodyHash {
    /// The hash of a JSON text; `None` if it is none.
    #[must_use]
    pub fn of(json: &[u8]) -> Option<BodyHash> {
        serde_json::from_slice(json).ok()
    }

    /// This object without one of its members, a text.
    #[must_use]
    pub fn without(self, member: &str, text: &str) -> BodyHash {
        let pair = chain(
            scalar(Kind::Text, member.as_bytes()).0,
            scalar(Kind::Text, text.as_bytes()).0,
        );
        BodyHash(self.0.wrapping_sub(pair))
    }

    /// This value as the body of a request with this method and path.
    #[must_use]
    pub fn addressed(self, method: &str, path: &str) -> u128 {
        chain(
            chain(self.0, xxh3_128(method.as_bytes())),
            xxh3_128(path.as_bytes()),
        )
    }
}

/// Mixes `next` into `so_far`; order matters.
fn chain(so_far: u128, next: u128) -> u128 {
    let mut bytes = [0_u8; 32];
    bytes[..16].copy_from_slice(&so_far.to_le_bytes());
    bytes[16..].copy_from_slice(&next.to_le_bytes());
    xxh3_128(&bytes)
}

/// Seeds that keep kinds of values apart.
#[derive(Clone, Copy)]
enum Kind {
    Null = 1,
    Bool,
    Integer,
    Float,
    Text,
    Sequence,
    Map,
}

fn scalar(kind: Kind, bytes: &[u8]) -> BodyHash {
    BodyHash(xxh3_128_with_seed(bytes, kind as u64))
}

impl<'de> Deserialize<'de> for BodyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BodyHash, D::Error> {
        deserializer.deserialize_any(HashVisitor)
    }
}

struct HashVisitor;

impl<'de> Visitor<'de> for HashVisitor {
    type Value = BodyHash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Null, &[]))
    }
    fn visit_bool<E>(self, value: bool) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Bool, &[u8::from(value)]))
    }
    fn visit_u64<E>(self, value: u64) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Integer, &i128::from(value).to_le_bytes()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Integer, &i128::from(value).to_le_bytes()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Float, &value.to_bits().to_le_bytes()))
    }
    fn visit_str<E>(self, value: &str) -> Result<BodyHash, E> {
        Ok(scalar(Kind::Text, value.as_bytes()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<BodyHash, A::Error> {
        let mut hash = scalar(Kind::Sequence, &[]).0;
        while let Some(element) = elements.next_element::<BodyHash>()? {
            hash = chain(hash, element.0);
        }
        Ok(BodyHash(hash))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<BodyHash, A::Error> {
        let mut hash = scalar(Kind::Map, &[]).0;
        while let Some((key, value)) = members.next_entry::<BodyHash, BodyHash>()? {
            hash = hash.wrapping_add(chain(key.0, value.0));
        }
        Ok(BodyHash(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(json: &str) -> BodyHash {
        BodyHash::of(json.as_bytes()).expect("valid JSON")
    }

    #[test]
    fn white_space_and_member_order_do_not_matter() {
        assert_eq!(
            hash(r#"{"a":1,"b":[true,null]}"#),
            hash("{ \"b\" : [true, null],\n \"a\":1 }")
        );
        assert_eq!(hash(r#""\u0041""#), hash(r#""A""#));
    }

    #[test]
    fn a_member_can_be_left_out() {
        assert_eq!(
            hash(r#"{"a":1,"key":"k"}"#).without("key", "k"),
            hash(r#"{"a":1}"#)
        );
    }

    #[test]
    fn every_other_difference_matters() {
        let texts = [
            "null",
            "0",
            "1",
            "1.5",
            "true",
            "false",
            "\"\"",
            "\"1\"",
            "[]",
            "{}",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[[1,2]]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
        ];
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                assert_ne!(hash(a), hash(b), "{a} and {b}");
            }
        }
        assert_ne!(
            hash("{}").addressed("POST", "/a"),
            hash("{}").addressed("POST", "/b")
        );
    }
}
