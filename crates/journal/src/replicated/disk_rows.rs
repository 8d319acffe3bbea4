//! The rows of `state.redb` that hold what is remembered of disks. They hold for this disk alone, so no
//! copy of the state has them.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::messages::{decode, encode};
use crate::error::StoreError;
use crate::state::{DISKS, StateStore, Table, Write};

pub(super) fn own_key() -> Vec<u8> {
    [DISKS, b"own"].concat()
}

pub(super) fn founds_key() -> Vec<u8> {
    [DISKS, b"founds"].concat()
}

pub(super) fn key_of(what: &[u8], node: u64) -> Vec<u8> {
    [DISKS, what, &node.to_be_bytes()].concat()
}

pub(super) fn row(key: Vec<u8>, value: Option<&impl Serialize>) -> Write {
    let value = value.map(|value| encode(value).to_vec());
    Write {
        table: Table::Meta,
        key,
        value,
    }
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let read = decode(bytes).map_err(std::io::Error::other);
    read.map_err(StoreError::log("read what is known of disks"))
}

pub(super) const KNOWN: &[u8] = b"known/";
pub(super) const RETURNING: &[u8] = b"returning/";

/// All rows of a kind, by node.
pub(super) fn all_of<T: DeserializeOwned>(
    state: &StateStore,
    what: &[u8],
) -> Result<BTreeMap<u64, T>, StoreError> {
    let (first, last) = (key_of(what, 0), key_of(what, u64::MAX));
    let rows = state.scan(
        Table::Meta,
        Bound::Included(&first),
        Bound::Included(&last),
        false,
        usize::MAX,
    )?;
    let mut all = BTreeMap::new();
    for (key, value) in rows {
        if let Some(node) = key.last_chunk() {
            all.insert(u64::from_be_bytes(*node), read(&value)?);
        }
    }
    Ok(all)
}
