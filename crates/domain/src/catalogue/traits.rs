//! What is particular about a product: the special handling that it needs, and named attributes of
//! the retailer's own.
//!
//! In: names and values as a client wrote them. Out: the same, checked and in byte order. They are
//! kept beside [`Product`](super::Product), whose stored bytes they must not change, and put with it:
//! a product put without any has none.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

use super::command::CatalogueRejection;
use super::decide::invalid;

/// Special handling that one product needs at most, in names.
pub const HANDLING_MAX: usize = 16;
/// Attributes of one product at most.
pub const ATTRIBUTES_MAX: usize = 32;
/// Bytes of the name of a handling or of an attribute at most.
pub const TRAIT_NAME_BYTES_MAX: usize = 32;
/// Bytes of an attribute's value at most.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 64;

/// What is particular about a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Special handling that it needs: `hazardous`, `fragile`, `oversize`, `cold_chain`,
    /// `age_restricted`, or a name of the retailer's own.
    pub handling: BTreeSet<CompactString>,
    /// The retailer's own attributes: value by name.
    pub attributes: BTreeMap<CompactString, CompactString>,
}

impl Traits {
    /// Whether there is nothing particular.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.handling.is_empty() && self.attributes.is_empty()
    }

    /// Each attribute as rules name it: `season=summer`.
    pub fn attribute_words(&self) -> impl Iterator<Item = CompactString> {
        let word =
            |(name, value): (&CompactString, &CompactString)| format_compact!("{name}={value}");
        self.attributes.iter().map(word)
    }
}

/// Whether a text may name a handling or an attribute: 1 to 32 bytes of lower-case letters, digits,
/// `_` and `-`. So no name holds the `=` that [`Traits::attribute_words`] writes.
#[must_use]
pub fn is_trait_name(text: &str) -> bool {
    let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=TRAIT_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(letter)
}

/// Whether a text may be an attribute's value: 1 to 64 bytes without control characters.
#[must_use]
pub fn is_attribute_value(text: &str) -> bool {
    (1..=ATTRIBUTE_VALUE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

pub(super) fn check(traits: &Traits) -> Result<(), CatalogueRejection> {
    if traits.handling.len() > HANDLING_MAX {
        return Err(invalid("/handling", "too_many"));
    }
    if traits.attributes.len() > ATTRIBUTES_MAX {
        return Err(invalid("/attributes", "too_many"));
    }
    if !traits.handling.iter().all(|name| is_trait_name(name)) {
        return Err(invalid("/handling", "invalid_value"));
    }
    let sane = |(name, value): (&CompactString, &CompactString)| {
        is_trait_name(name) && is_attribute_value(value)
    };
    if !traits.attributes.iter().all(sane) {
        return Err(invalid("/attributes", "invalid_value"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_have_bounds() {
        for good in ["fragile", "cold_chain", "un-1263", &"a".repeat(32)] {
            assert!(is_trait_name(good), "{good}");
        }
        for bad in ["", "Fragile", "a b", "a=b", "é", &"a".repeat(33)] {
            assert!(!is_trait_name(bad), "{bad}");
        }
        assert!(is_attribute_value("été = summer"));
        for bad in ["", "a\nb", &"a".repeat(65)] {
            assert!(!is_attribute_value(bad), "{bad}");
        }
    }
}
