//! The shape of a log: from where to where it goes, and under which term each entry was written.
//!
//! In: entries as they are appended, cut and purged. Out: any entry's term. Terms only grow along a
//! log, so a run of one term takes two numbers, however long it is.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// An entry's place: its index, from 1, and the term it was written under. `0, 0` is before all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Mark {
    /// Counts elections.
    pub term: u64,
    /// Counts entries, from 1.
    pub index: u64,
}

/// The terms of a log's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The last entry that is gone from the log's beginning.
    purged: Mark,
    /// First index of each run of one term.
    runs: VecDeque<Mark>,
    last: u64,
}

impl Terms {
    /// A log without entries that goes on after `purged`.
    #[must_use]
    pub fn after(purged: Mark) -> Terms {
        Terms {
            purged,
            runs: VecDeque::new(),
            last: purged.index,
        }
    }

    /// The last entry that is gone from the beginning.
    #[must_use]
    pub fn purged(&self) -> Mark {
        self.purged
    }

    /// The last entry, purged or not.
    #[must_use]
    pub fn last(&self) -> Mark {
        Mark {
            term: self.runs.back().unwrap_or(&self.purged).term,
            index: self.last,
        }
    }

    /// The next entry was written under `term`.
    pub fn push(&mut self, term: u64) {
        self.last += 1;
        if self.runs.back().is_none_or(|run| run.term != term) {
            self.runs.push_back(Mark {
                term,
                index: self.last,
            });
        }
    }

    /// Entries from `from` on are gone.
    pub fn cut(&mut self, from: u64) {
        while self.runs.back().is_some_and(|run| run.index >= from) {
            self.runs.pop_back();
        }
        self.last = self.last.min(from - 1);
    }

    /// Entries up to `upto` are gone, if the log goes so far.
    pub fn purge(&mut self, upto: u64) {
        let Some(term) = self.at(upto).filter(|_| upto > self.purged.index) else {
            return;
        };
        self.purged = Mark { term, index: upto };
        while self.runs.get(1).is_some_and(|next| next.index <= upto + 1) {
            self.runs.pop_front();
        }
        if self.last == upto {
            self.runs.clear();
        } else if let Some(first) = self.runs.front_mut() {
            first.index = first.index.max(upto + 1);
        }
    }

    /// An entry's term; the last purged one's is known, those before it are not.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<u64> {
        if index == self.purged.index {
            return Some(self.purged.term);
        }
        if index < self.purged.index || index > self.last {
            return None;
        }
        let after = self.runs.partition_point(|run| run.index <= index);
        self.runs.get(after.checked_sub(1)?).map(|run| run.term)
    }

    /// The last entry before the run that `index` is in.
    #[must_use]
    pub fn before_run_of(&self, index: u64) -> u64 {
        let after = self.runs.partition_point(|run| run.index <= index);
        let run = after.checked_sub(1).and_then(|at| self.runs.get(at));
        run.map_or(self.purged.index, |run| run.index - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_whatever_was_cut_and_purged() {
        let mut terms = Terms::after(Mark { term: 2, index: 4 });
        for term in [2, 3, 3, 5] {
            terms.push(term);
        }
        let of = |terms: &Terms| (3..10).map(|index| terms.at(index)).collect::<Vec<_>>();
        let some = Some;
        assert_eq!(
            of(&terms),
            [None, some(2), some(2), some(3), some(3), some(5), None]
        );
        assert_eq!(terms.before_run_of(7), 5);
        terms.cut(8);
        assert_eq!(terms.last(), Mark { term: 3, index: 7 });
        terms.purge(6);
        assert_eq!(of(&terms), [None, None, None, some(3), some(3), None, None]);
        terms.cut(7);
        assert_eq!(terms.last(), Mark { term: 3, index: 6 });
        terms.push(9);
        terms.purge(7);
        assert_eq!(terms.last(), Mark { term: 9, index: 7 });
        assert_eq!(terms.before_run_of(7), 7);
        terms.purge(40);
        assert_eq!(terms.purged().index, 7, "it does not go so far");
    }
}
