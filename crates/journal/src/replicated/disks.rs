//! The disk on which a node stands, and those by which it knows the others.
//!
//! ```text
//! unknown ──it comes with data, or another vouches──► known ──it comes with another──► strange
//!                                                         ▲                              │
//!                                                         └─── it was out everywhere ────┘
//! ```
//! A node that has lost its disk has forgotten its votes and its entries, and would vote and acknowledge
//! as if it had never done so. In: on which disk each peer says that it stands. Out: whether anything of
//! it counts. What is remembered is durable, and holds for this node alone: no backup and no snapshot has
//! it. Holds: as long as a node is in any group, no other disk of it counts here than the one it is known
//! by; and to a node with data an empty disk is strange until somebody vouches for it, who has seen it
//! found the cluster, or has seen its node out of all groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::disk_rows::{KNOWN, RETURNING, all_of, founds_key, key_of, own_key, read, row};
use super::disk_words::{DiskId, DiskStatus, DiskWord, Known, Returning};
use crate::error::StoreError;
use crate::state::{StateStore, Table};

/// Who came with a strange disk and has not come again for so long is told of no more. A peer dials at
/// least every other second.
const STRANGE_FOR: Duration = Duration::from_secs(5);

/// How a peer was met last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    /// None when it spoke version 1.
    pub(super) word: Option<DiskWord>,
    pub(super) counts: bool,
    at: Instant,
}

#[derive(Debug, Default)]
struct Book {
    /// Durable.
    known: BTreeMap<u64, Known>,
    /// Durable.
    returning: BTreeMap<u64, Returning>,
    met: BTreeMap<u64, Met>,
    /// Whether a peer takes the disk of this node.
    taken_by: BTreeMap<u64, bool>,
}

impl Book {
    /// What a peer was met with counts no more, if `other` says so of it: it must come again. Gives
    /// whether it did.
    fn distrust(&mut self, node: u64, other: impl Fn(&Met) -> bool) -> bool {
        let counted = self.met.get(&node).is_some_and(other);
        if counted {
            self.met.remove(&node);
        }
        counted
    }
}

/// All that a node knows of disks.
#[derive(Debug)]
pub(super) struct Disks {
    state: Arc<StateStore>,
    own: DiskId,
    /// This disk was there when the cluster was founded by it, or is that of a founder.
    founds: AtomicBool,
    is_unknown: AtomicBool,
    book: Mutex<Book>,
}

impl Disks {
    /// What the directory says. One that says nothing is a disk from here on; `is_new` when there is
    /// nothing else in it either.
    pub(super) fn open(state: &Arc<StateStore>, is_new: bool) -> Result<Disks, StoreError> {
        let own = match state.get(Table::Meta, &own_key())? {
            Some(bytes) => read(&bytes)?,
            None => {
                let own = DiskId(rand::random());
                let mut rows = vec![row(own_key(), Some(&own))];
                // Of the format before: whoever founds had begun to.
                rows.extend((!is_new).then(|| row(founds_key(), Some(&()))));
                state.write(&rows)?;
                tracing::info!(disk = %own, "this is a disk on which no node has stood");
                own
            }
        };
        Ok(Disks {
            state: Arc::clone(state),
            own,
            founds: AtomicBool::new(state.get(Table::Meta, &founds_key())?.is_some()),
            is_unknown: AtomicBool::new(false),
            book: Mutex::new(Book {
                known: all_of(state, KNOWN)?,
                returning: all_of(state, RETURNING)?,
                ..Book::default()
            }),
        })
    }

    pub(super) fn own(&self) -> DiskId {
        self.own
    }

    /// Whether what this disk lacks of a cluster may be founded by its node.
    pub(super) fn founds(&self) -> bool {
        self.founds.load(Ordering::SeqCst)
    }

    /// It may, because no other founder has anything; they are known from here on by what they came with.
    pub(super) fn found(&self) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        let met: Vec<(u64, Known)> = book
            .met
            .iter()
            .filter_map(|(node, met)| {
                let disk = Some(met.word.filter(|_| met.counts)?.disk);
                Some((*node, Known { disk, as_of: 0 }))
            })
            .collect();
        let mut rows = vec![row(founds_key(), Some(&()))];
        rows.extend(
            met.iter()
                .map(|(node, known)| row(key_of(KNOWN, *node), Some(known))),
        );
        self.state.write(&rows)?;
        book.known.extend(met);
        self.founds.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// A peer comes with a disk. Gives whether it counts. This node is empty itself, or has data; the
    /// peer is in a group, or in none that is known here.
    pub(super) fn meet(
        &self,
        node: u64,
        word: Option<DiskWord>,
        (is_empty, is_member): (bool, bool),
    ) -> Result<bool, StoreError> {
        let mut book = self.book.lock();
        let known = book.known.get(&node).copied().unwrap_or_default();
        let counts = match (word, known.disk) {
            // Who speaks version 1 says nothing.
            (None, _) => true,
            (Some(word), Some(disk)) => word.disk == disk,
            // It may have been lost and replaced.
            (Some(word), None) if word.is_empty && !is_empty => false,
            (Some(word), None) => {
                if is_member && !word.is_empty {
                    let disk = Some(word.disk);
                    self.remember(&mut book, node, Known { disk, ..known })?;
                }
                true
            }
        };
        let at = Instant::now();
        let met = Met { word, counts, at };
        let before = book.met.insert(node, met);
        let is_news = before.is_none_or(|before| before.counts || before.word != word);
        let word = word.filter(|_| !counts && is_news);
        if let Some(word) = word.filter(|_| !is_member) {
            tracing::info!(node, disk = %word.disk, "a node waits to be taken in");
        } else if let Some(word) = word {
            tracing::error!(
                node,
                disk = %word.disk,
                known = ?known.disk.map(|disk| disk.to_string()),
                is_empty = word.is_empty,
                "a node comes with another disk: nothing of it counts"
            );
        }
        Ok(counts)
    }

    fn remember(&self, book: &mut Book, node: u64, known: Known) -> Result<(), StoreError> {
        self.state
            .write(&[row(key_of(KNOWN, node), Some(&known))])?;
        book.known.insert(node, known);
        Ok(())
    }

    /// By which disk a node is known.
    pub(super) fn known(&self, node: u64) -> Known {
        let book = self.book.lock();
        book.known.get(&node).copied().unwrap_or_default()
    }

    /// Takes another's word on a node, if it is later than what is known, or nothing is. Gives whether
    /// a connection counts no more.
    pub(super) fn learn(&self, node: u64, known: Known) -> Result<bool, StoreError> {
        let mut book = self.book.lock();
        let before = book.known.get(&node).copied().unwrap_or_default();
        let is_first = before.disk.is_none() && known.disk.is_some();
        if known.as_of < before.as_of || (known.as_of == before.as_of && !is_first) {
            return Ok(false);
        }
        self.remember(&mut book, node, known)?;
        let other = |met: &Met| {
            let disk = met.word.map(|word| word.disk);
            met.counts && disk.is_some() && known.disk.is_some() && disk != known.disk
        };
        Ok(book.distrust(node, other))
    }

    /// From here on a node is known by this disk: it was out of all groups as of an entry of partition 0.
    pub(super) fn replace(&self, node: u64, disk: DiskId, at: u64) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        let before = book.known.get(&node).copied().unwrap_or_default();
        let known = Known {
            disk: Some(disk),
            as_of: at.max(before.as_of + 1),
        };
        self.remember(&mut book, node, known)
    }

    /// Those members who came and are not remembered.
    pub(super) fn unremembered(&self, members: &BTreeSet<u64>) -> Vec<u64> {
        let book = self.book.lock();
        let came = |node: &u64| {
            let met = book.met.get(node).filter(|met| met.counts);
            met.is_some_and(|met| met.word.is_some())
        };
        let is_unknown = |node: &u64| book.known.get(node).is_none_or(|it| it.disk.is_none());
        let unremembered = members.iter().filter(|node| is_unknown(node) && came(node));
        unremembered.copied().collect()
    }

    /// A member for whom nobody vouches is remembered, if it came with data. If not, gives that its
    /// connections count no more: it comes again.
    pub(super) fn remember_as_met(&self, node: u64) -> Result<bool, StoreError> {
        let mut book = self.book.lock();
        let known = book.known.get(&node).copied().unwrap_or_default();
        let met = book.met.get(&node).filter(|met| met.counts);
        let Some(word) = met
            .and_then(|met| met.word)
            .filter(|_| known.disk.is_none())
        else {
            return Ok(false);
        };
        if word.is_empty {
            return Ok(book.distrust(node, |_| true));
        }
        let disk = Some(word.disk);
        self.remember(&mut book, node, Known { disk, ..known })?;
        Ok(false)
    }

    /// How a peer was met last.
    pub(super) fn met(&self, node: u64) -> Option<Met> {
        self.book.lock().met.get(&node).copied()
    }

    /// Those whose word on others can be asked for.
    pub(super) fn can_be_asked(&self) -> Vec<u64> {
        let book = self.book.lock();
        let can = |met: &Met| met.counts && met.word.is_some();
        let met = book.met.iter().filter(|(_, met)| can(met));
        met.map(|(node, _)| *node).collect()
    }

    /// Those who come with a disk that does not count.
    pub(super) fn strange(&self) -> Vec<(u64, DiskWord)> {
        let book = self.book.lock();
        let is_strange = |node: &u64, met: &Met| {
            let word = met.word.filter(|_| !met.counts)?;
            let disk = book.known.get(node).and_then(|known| known.disk);
            let is_other = disk != Some(word.disk);
            (is_other && met.at.elapsed() < STRANGE_FOR).then_some((*node, word))
        };
        let met = book.met.iter();
        met.filter_map(|(node, met)| is_strange(node, met))
            .collect()
    }

    /// Those who are taken out and in again.
    pub(super) fn returning(&self) -> BTreeMap<u64, Returning> {
        self.book.lock().returning.clone()
    }

    /// A node is taken out and in again from here on, or that is over.
    pub(super) fn returns(
        &self,
        node: u64,
        returning: Option<Returning>,
    ) -> Result<(), StoreError> {
        let mut book = self.book.lock();
        if book.returning.get(&node) == returning.as_ref() {
            return Ok(());
        }
        self.state
            .write(&[row(key_of(RETURNING, node), returning.as_ref())])?;
        match returning {
            Some(returning) => book.returning.insert(node, returning),
            None => book.returning.remove(&node),
        };
        Ok(())
    }

    /// A peer refuses this node's disk, or takes it. `of` so many nodes there are with this one.
    pub(super) fn refused(&self, peer: u64, is_refused: bool, of: usize) {
        let mut book = self.book.lock();
        let before = book.taken_by.insert(peer, !is_refused);
        let takers = book.taken_by.values().filter(|takes| **takes).count();
        let is_refused_by_any = takers < book.taken_by.len();
        let is_unknown = is_refused_by_any && takers < of / 2;
        self.is_unknown.store(is_unknown, Ordering::SeqCst);
        if is_refused && before != Some(false) {
            tracing::error!(peer, disk = %self.own, "a node does not know this one by its disk: nothing of it counts there");
        } else if !is_refused && before == Some(false) {
            tracing::info!(peer, disk = %self.own, "a node takes this one's disk now");
        }
    }

    /// Whether the others do not take this node's disk. Costs next to nothing.
    pub(super) fn is_unknown(&self) -> bool {
        self.is_unknown.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self, members: &BTreeSet<u64>) -> DiskStatus {
        let strange = self.strange().into_iter().map(|(node, _)| node);
        DiskStatus {
            is_unknown: self.is_unknown(),
            strange: strange.filter(|node| members.contains(node)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Options};

    /// Opens what lies in a directory.
    fn open(dir: &std::path::Path, is_new: bool) -> Disks {
        let opened = Journal::open(Options {
            partitions: 1,
            ..Options::new(dir.to_owned())
        });
        Disks::open(&opened.expect("opens").state, is_new).expect("reads")
    }

    fn empty(disk: u128) -> Option<DiskWord> {
        Some(DiskWord {
            disk: DiskId(disk),
            is_empty: true,
        })
    }

    fn with_data(disk: u128) -> Option<DiskWord> {
        empty(disk).map(|word| DiskWord {
            is_empty: false,
            ..word
        })
    }

    const MEMBER: (bool, bool) = (false, true);

    #[test]
    fn a_directory_is_one_disk_for_ever() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = open(dir.path(), true).own();
        assert_eq!(open(dir.path(), false).own(), own);
        let other = tempfile::tempdir().expect("a directory");
        assert_ne!(open(other.path(), true).own(), own);
    }

    #[test]
    fn a_member_counts_on_the_disk_that_it_is_known_by() {
        let dir = tempfile::tempdir().expect("a directory");
        let disks = open(dir.path(), true);
        assert!(disks.meet(3, with_data(1), MEMBER).expect("writes"));
        drop(disks);
        let disks = open(dir.path(), false);
        for other in [empty(2), with_data(2)] {
            assert!(!disks.meet(3, other, MEMBER).expect("reads"));
        }
        assert_eq!(disks.strange(), [(3, with_data(2).expect("one"))]);
        assert!(disks.meet(3, with_data(1), MEMBER).expect("reads"));
        assert!(disks.strange().is_empty());
        // Who speaks version 1 says nothing.
        assert!(disks.meet(3, None, MEMBER).expect("reads"));
    }

    #[test]
    fn an_empty_disk_counts_with_data_once_somebody_vouches_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let disks = open(dir.path(), true);
        assert!(!disks.meet(3, empty(1), MEMBER).expect("reads"));
        assert!(!disks.meet(3, empty(1), (false, false)).expect("reads"));
        disks.replace(3, DiskId(1), 7).expect("writes");
        assert!(disks.meet(3, empty(1), MEMBER).expect("reads"));
        // Among nodes that have nothing yet, everybody counts.
        assert!(disks.meet(4, empty(4), (true, false)).expect("reads"));
        assert!(disks.unremembered(&BTreeSet::from([3, 4])) == [4]);
        assert!(disks.remember_as_met(4).expect("reads"), "it comes again");
        assert!(!disks.meet(4, empty(4), MEMBER).expect("reads"));
    }

    #[test]
    fn of_two_words_the_later_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        let disks = open(dir.path(), true);
        assert!(disks.meet(3, with_data(1), MEMBER).expect("writes"));
        let word = |disk: Option<u128>, as_of| Known {
            disk: disk.map(DiskId),
            as_of,
        };
        // At first sight two nodes may have seen different disks: none is later.
        assert!(!disks.learn(3, word(Some(2), 0)).expect("reads"));
        assert_eq!(disks.known(3), word(Some(1), 0));
        assert!(disks.learn(3, word(Some(2), 9)).expect("writes"), "cut off");
        assert!(!disks.learn(3, word(Some(1), 8)).expect("reads"));
        assert_eq!(disks.known(3), word(Some(2), 9));
        disks.replace(3, DiskId(4), 7).expect("writes");
        drop(disks);
        let disks = open(dir.path(), false);
        assert_eq!(disks.known(3), word(Some(4), 10), "later than all before");
        // Of a node of which nothing is known, any word is news.
        assert!(!disks.learn(5, word(None, 0)).expect("reads"));
        assert!(!disks.learn(5, word(Some(6), 0)).expect("writes"));
        assert_eq!(disks.known(5), word(Some(6), 0));
    }

    #[test]
    fn a_node_is_unknown_when_those_who_take_it_are_no_quorum_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let disks = open(dir.path(), true);
        disks.refused(2, true, 3);
        assert!(disks.is_unknown());
        // One that has not heard yet does no harm.
        disks.refused(1, false, 3);
        assert!(!disks.is_unknown());
        disks.refused(1, true, 3);
        assert!(disks.is_unknown());
        disks.refused(2, false, 3);
        assert!(!disks.is_unknown());
    }

    #[test]
    fn a_founder_knows_those_whom_it_met_and_goes_on_after_a_crash() {
        let dir = tempfile::tempdir().expect("a directory");
        let disks = open(dir.path(), true);
        assert!(disks.meet(2, empty(2), (true, false)).expect("reads"));
        assert!(!disks.founds());
        disks.found().expect("writes");
        drop(disks);
        let disks = open(dir.path(), false);
        assert!(disks.founds());
        assert!(!disks.meet(2, empty(3), MEMBER).expect("reads"));
        assert!(disks.meet(2, empty(2), MEMBER).expect("reads"));
    }

    #[test]
    fn a_copy_is_another_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = Journal::open(Options {
            partitions: 1,
            ..Options::new(dir.path().join("data"))
        });
        let opened = opened.expect("opens");
        let disks = Disks::open(&opened.state, true).expect("writes");
        assert!(disks.meet(3, with_data(1), MEMBER).expect("writes"));
        let (copy, restored) = (dir.path().join("copy"), dir.path().join("restored"));
        let copied = opened.journal.backup(&opened.state, &copy);
        copied.expect("copies");
        crate::restore(&copy, &restored).expect("restores");
        let there = open(&restored, false);
        assert_ne!(there.own(), disks.own());
        assert_eq!(there.known(3), Known::default());
    }
}
