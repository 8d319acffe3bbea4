//! The rows that follow an entity's state: where its records are listed, what finds it, and why it must
//! be looked at after a start.

use consign_domain::entity::Entity;
use serde_bytes::ByteBuf;

use crate::overlay::Row;
use crate::rows::{self, Attention, Head};
use crate::store::{Store, Table, Write, write};
use crate::types::ReadError;

/// Records that a head lists at most.
const HEAD_RECORDS_MAX: usize = 64;

/// Adds an entity's `recent` records to those that its head lists; a full list becomes a row of
/// its own. Gives the head's new list.
pub(crate) fn list_records(
    owner: &[u8],
    old: &Head,
    recent: &[u64],
    writes: &mut Vec<Write>,
) -> Result<Vec<u8>, ReadError> {
    // What the old head reflects, it lists, or a row does.
    let new = recent.iter().filter(|index| **index > old.index);
    let mut list = rows::decode_indexes(&old.records)?;
    list.extend(new);
    let row = rows::encode_indexes(&list);
    if list.len() <= HEAD_RECORDS_MAX {
        return Ok(row);
    }
    let mut key = rows::parts_prefix(owner);
    key.extend_from_slice(&list[0].to_be_bytes());
    writes.push(write(Table::EntityHistory, key, Some(row)));
    Ok(Vec::new())
}

/// Adds what turns an entity's `old` index rows into `rows`; gives the new keys.
pub(crate) fn write_index(
    owner: &[u8],
    old: &[ByteBuf],
    rows: Vec<Row>,
    store: &Store,
    writes: &mut Vec<Write>,
) -> Result<Vec<ByteBuf>, ReadError> {
    let stays = |old: &ByteBuf| rows.iter().any(|(key, _)| key == old.as_slice());
    for gone in old.iter().filter(|old| !stays(old)) {
        // The key may belong to another entity by now, e.g. when a name moved.
        let row = store.index_row(gone)?;
        let is_ours = |row: &Vec<u8>| rows::decode_index(row).is_ok_and(|(of, _)| of == owner);
        if row.as_ref().is_some_and(is_ours) {
            writes.push(write(Table::Index, gone.to_vec(), None));
        }
    }
    let mut keys = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let row = rows::encode_index(owner, &value);
        writes.push(write(Table::Index, key.clone(), Some(row)));
        keys.push(ByteBuf::from(key));
    }
    Ok(keys)
}

pub(crate) fn attention_of<E: Entity>(state: &E) -> Option<Attention> {
    let attention = Attention {
        pending: state.has_pending(),
        wakeup: state.wakeup(),
    };
    (attention.pending || attention.wakeup.is_some()).then_some(attention)
}
