//! Which command ids may lie on disk. Nearly every command from outside is new; this says so
//! without asking the disk (3-4 % of a placed order's CPU).
//!
//! In: ids as checkpoints write them, and after a start those that are there. Out: "no", which is
//! certain, or "maybe". Bounded (L8): with more ids than it is made for it says "maybe" more often,
//! and only costs more. Until all that was there before the start is in it, it always says "maybe".

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use fastbloom::AtomicBloomFilter;

use crate::shared::NodeInner;
use crate::store::Table;
use crate::types::ReadError;

/// Bits per generation of commands: ten for each of three million ids.
const BITS: usize = 1 << 25;
/// Bits that stand for one id.
const BITS_PER_ID: u32 = 5;
/// Ids read from disk at once.
const IDS_AT_ONCE: usize = 4_096;

/// One filter for each of the two generations that are on disk.
pub(crate) struct WrittenKeys {
    even: AtomicBloomFilter,
    odd: AtomicBloomFilter,
    complete: AtomicBool,
}

impl Default for WrittenKeys {
    fn default() -> Self {
        let filter = || AtomicBloomFilter::with_num_bits(BITS).hashes(BITS_PER_ID);
        WrittenKeys {
            even: filter(),
            odd: filter(),
            complete: AtomicBool::new(false),
        }
    }
}

impl WrittenKeys {
    fn of(&self, table: Table) -> &AtomicBloomFilter {
        match table {
            Table::CommandsEven => &self.even,
            _ => &self.odd,
        }
    }

    /// Before an id's answer leaves memory for `table`.
    pub(crate) fn insert(&self, table: Table, id: u128) {
        self.of(table).insert_hash(hash_of(id));
    }

    /// After all of a table was forgotten.
    pub(crate) fn clear(&self, table: Table) {
        self.of(table).clear();
    }

    /// Whether the disk must be asked.
    pub(crate) fn may_hold(&self, id: u128) -> bool {
        let hash = hash_of(id);
        !self.complete.load(Ordering::Acquire)
            || self.even.contains_hash(hash)
            || self.odd.contains_hash(hash)
    }
}

/// An id is a hash already; half of it will do.
fn hash_of(id: u128) -> u64 {
    id as u64
}

/// Takes in what was on disk before the start, while the node serves. Runs on a thread of its own.
pub(crate) fn fill(node: &Weak<NodeInner>) {
    match take_in_all(node) {
        Ok(true) => tracing::debug!("all command ids on disk are known"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the disk is asked about every command"),
    }
}

/// False when the node went away meanwhile.
fn take_in_all(node: &Weak<NodeInner>) -> Result<bool, ReadError> {
    for table in [Table::CommandsEven, Table::CommandsOdd] {
        let mut after = None;
        loop {
            let Some(node) = node.upgrade() else {
                return Ok(false);
            };
            let Ok(store) = node.store() else {
                return Ok(false);
            };
            let ids = store.command_ids(table, after, IDS_AT_ONCE)?;
            for id in &ids {
                node.written_keys.insert(table, *id);
            }
            after = ids.last().copied();
            if after.is_none() {
                break;
            }
        }
    }
    let alive = node.upgrade();
    if let Some(node) = &alive {
        node.written_keys.complete.store(true, Ordering::Release);
    }
    Ok(alive.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_maybe_until_it_is_complete_and_then_only_of_what_was_written() {
        let keys = WrittenKeys::default();
        let id = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        assert!(keys.may_hold(id(1)), "nothing is certain yet");
        keys.complete.store(true, Ordering::Release);
        for n in 0..10_000 {
            keys.insert(
                [Table::CommandsEven, Table::CommandsOdd][n % 2],
                id(n as u128),
            );
        }
        assert!((0..10_000).all(|n| keys.may_hold(id(n))), "no id is missed");
        let wrong = (10_000..20_000).filter(|n| keys.may_hold(id(*n))).count();
        assert!(wrong < 100, "{wrong} of 10,000 unknown ids may be there");
        keys.clear(Table::CommandsEven);
        assert!(
            !keys.may_hold(id(2)) && keys.may_hold(id(3)),
            "one generation is forgotten"
        );
    }
}
