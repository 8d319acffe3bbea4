//! What must hold of a group, whatever befalls it; and what all nodes together know, to check it by.
//!
//! | law | what it says |
//! |---|---|
//! | one leader | a term has one leader at most |
//! | log matching | the same place and term is the same entry, and so is the one before it |
//! | one value | an index is committed with one entry only |
//! | completeness | a leader's log has all that was committed in earlier terms |
//! | quorum | what a leader commits is durable at most voters |
//! | promises | what a node says is durable there: its vote, its term, how much of the log it has |
//! | one vote | a node's durable vote is never contradicted by a later one |
//! | forward | in a node's life, what is committed and its term never go back |
//! | reads | a read's place is behind all that anybody knew committed when it was asked for |
//! | acknowledged | what was acknowledged is committed, at that place |
//! | applied | only what is durable and committed is applied, and nothing while rows are replaced |
//! | quiet | a node that is out of the group asks for no votes |
//! | alive | without faults a leader is found, a proposal commits, all members have all, who was taken out knows it; it stays so |

use std::collections::{BTreeMap, HashMap};

use consign_raft::{Mark, Vote};

use crate::random::digest;

/// A law that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    pub law: &'static str,
    pub how: String,
}

/// A committed entry.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    pub term: u64,
    pub key: u64,
    /// Of all entries up to here.
    pub digest: u64,
    /// The term of the leader who committed it.
    pub in_term: u64,
}

/// What all nodes together know.
#[derive(Debug, Default)]
pub struct Laws {
    pub broken: Option<Broken>,
    /// Only what a client could see counts, not what nodes promise each other.
    pub only_outcomes: bool,
    leaders: BTreeMap<u64, u64>,
    /// Each entry's term before, and key.
    entries: HashMap<Mark, (u64, u64)>,
    pub chosen: Vec<Chosen>,
    acknowledged: BTreeMap<u64, u64>,
    votes: BTreeMap<u64, Vote>,
}

impl Laws {
    pub fn check(&mut self, law: &'static str, holds: bool, how: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(Broken { law, how: how() });
        }
    }

    /// As [`Laws::check`], of what outcomes follow from.
    pub fn check_inside(&mut self, law: &'static str, holds: bool, how: impl FnOnce() -> String) {
        self.check(law, holds || self.only_outcomes, how);
    }

    /// How much is known to be committed by anybody.
    pub fn committed(&self) -> u64 {
        self.chosen.len() as u64
    }

    pub fn chosen_at(&self, index: u64) -> Option<&Chosen> {
        let nth = index.checked_sub(1)?;
        self.chosen.get(usize::try_from(nth).ok()?)
    }

    /// Of all that is committed up to there.
    pub fn digest_at(&self, index: u64) -> Option<u64> {
        match index {
            0 => Some(0),
            _ => self.chosen_at(index).map(|chosen| chosen.digest),
        }
    }

    /// A node leads. Says whether that is news.
    pub fn leads(&mut self, node: u64, term: u64) -> bool {
        let before = self.leaders.insert(term, node);
        self.check("one leader", before.is_none_or(|it| it == node), || {
            format!("{before:?} and {node} lead in term {term}")
        });
        before.is_none()
    }

    /// A node has appended an entry.
    pub fn appended(&mut self, node: u64, at: Mark, before: u64, key: u64) {
        let same = *self.entries.entry(at).or_insert((before, key));
        self.check("log matching", same == (before, key), || {
            format!("node {node} has another entry at {at:?}")
        });
    }

    /// A node knows that an entry is committed. Says whether that is news.
    pub fn commits(&mut self, node: u64, at: Mark, key: u64, in_term: u64) -> bool {
        if let Some(chosen) = self.chosen_at(at.index).copied() {
            let same = (chosen.term, chosen.key) == (at.term, key);
            self.check("one value", same, || {
                format!("node {node} commits {at:?} {key:x}, others {chosen:?}")
            });
            return false;
        }
        let follows = at.index == self.committed() + 1;
        self.check("one value", follows, || format!("{at:?} leaves a gap"));
        let before = self.chosen.last().map_or(0, |chosen| chosen.digest);
        self.chosen.push(Chosen {
            term: at.term,
            key,
            digest: digest(before, &[at.term, key]),
            in_term,
        });
        let told = self.acknowledged.get(&at.index).copied();
        self.check("acknowledged", told.is_none_or(|told| told == key), || {
            format!("{told:?} was acknowledged at {at:?}, {key:x} is committed")
        });
        true
    }

    /// A client hears that its proposal is committed.
    pub fn acknowledge(&mut self, index: u64, key: u64) {
        let chosen = self.chosen_at(index).map(|chosen| chosen.key);
        self.check("acknowledged", chosen.is_none_or(|it| it == key), || {
            format!("{key:x} is acknowledged at {index}, {chosen:?} is committed")
        });
        let before = self.acknowledged.insert(index, key);
        self.check("acknowledged", before.is_none_or(|it| it == key), || {
            format!("{before:?} and {key:x} are acknowledged at {index}")
        });
    }

    /// A node's disk holds a vote.
    pub fn votes(&mut self, node: u64, vote: Vote) {
        let before = self.votes.insert(node, vote).unwrap_or_default();
        let agrees = vote.term > before.term
            || vote.term == before.term && (before.given_to.is_none() || before == vote);
        self.check_inside("one vote", agrees, || {
            format!("node {node} had {before:?}, has {vote:?}")
        });
    }

    /// All is over: everything acknowledged is committed.
    pub fn end(&mut self) {
        let last = self.acknowledged.keys().next_back().copied().unwrap_or(0);
        self.check("acknowledged", last <= self.committed(), || {
            format!("{last} was acknowledged and is not committed")
        });
    }
}
