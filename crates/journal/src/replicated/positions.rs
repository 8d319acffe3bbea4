//! Which record is in which entry of a partition's log.
//!
//! In: entries as they are appended, cut and purged. Out: for a record, the entry that holds it, and
//! how many records come before that. It follows from the log alone, so it is the same on every
//! replica.

use std::collections::VecDeque;

/// The records of the entries that are in the log. Entries have the journal's indexes, from 1.
#[derive(Debug)]
pub(crate) struct Positions {
    /// The entry that `before` begins with.
    first: u64,
    /// For each entry, the records before it.
    before: VecDeque<u64>,
    /// Records in all entries so far, purged ones included.
    total: u64,
}

impl Positions {
    /// A log that continues after entry `purged`, up to which there were `records`.
    pub(crate) fn after(purged: u64, records: u64) -> Positions {
        Positions {
            first: purged + 1,
            before: VecDeque::new(),
            total: records,
        }
    }

    /// The next entry holds `records`.
    pub(crate) fn push(&mut self, records: u64) {
        self.before.push_back(self.total);
        self.total += records;
    }

    /// Entries from `from` on are gone.
    pub(crate) fn cut(&mut self, from: u64) {
        let kept = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(before) = self.before.get(kept) {
            self.total = *before;
            self.before.truncate(kept);
        }
    }

    /// Entries up to `upto` are gone.
    pub(crate) fn purge(&mut self, upto: u64) {
        while self.first <= upto && self.before.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Records before entry `entry`, if it is here or the next to come.
    pub(crate) fn before(&self, entry: u64) -> Option<u64> {
        let at = usize::try_from(entry.checked_sub(self.first)?).ok()?;
        match self.before.get(at) {
            Some(before) => Some(*before),
            None => (at == self.before.len()).then_some(self.total),
        }
    }

    /// The first record that is here, from 1; one past the last if there is none.
    pub(crate) fn first_record(&self) -> u64 {
        self.before.front().copied().unwrap_or(self.total) + 1
    }

    /// The entry that holds a record, from 1, and the records before that entry.
    pub(crate) fn find(&self, record: u64) -> Option<(u64, u64)> {
        if record > self.total || record < self.first_record() {
            return None;
        }
        // The last entry with fewer records before it: those after it without any come later.
        let at = self
            .before
            .partition_point(|before| *before < record)
            .checked_sub(1)?;
        Some((self.first + at as u64, self.before[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_where_they_are_whatever_was_cut_and_purged() {
        let mut positions = Positions::after(4, 10);
        for records in [0, 3, 0, 2, 1] {
            positions.push(records);
        }
        let found = |positions: &Positions, record| positions.find(record);
        assert_eq!(found(&positions, 10), None);
        assert_eq!(found(&positions, 11), Some((6, 10)));
        assert_eq!(found(&positions, 13), Some((6, 10)));
        assert_eq!(found(&positions, 14), Some((8, 13)));
        assert_eq!(found(&positions, 16), Some((9, 15)));
        assert_eq!(found(&positions, 17), None);
        positions.cut(9);
        assert_eq!(found(&positions, 16), None);
        assert_eq!(positions.before(9), Some(15));
        positions.push(4);
        assert_eq!(found(&positions, 19), Some((9, 15)));
        positions.purge(6);
        assert_eq!(positions.first_record(), 14);
        assert_eq!(found(&positions, 13), None);
        assert_eq!(found(&positions, 14), Some((8, 13)));
        assert_eq!(positions.before(6), None);
    }
}
