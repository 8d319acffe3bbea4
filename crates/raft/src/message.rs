//! What replicas of a group say to each other, and what is in their log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::membership::Membership;
use crate::terms::Mark;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Under which term it was written.
    pub term: u64,
    /// What it is.
    pub payload: Payload,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a leader's first entry, which commits those before it.
    Blank,
    /// What the group is for.
    Data(Bytes),
    /// Who is in the group from here on, committed or not.
    Membership(Membership),
}

/// For whom a node votes, and in which term it is. Must be durable before anybody hears of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Counts elections.
    pub term: u64,
    /// Whom this node has given its vote of that term.
    pub given_to: Option<u64>,
}

/// What one replica tells another. May be lost, repeated and overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender's term; of a [`Body::MayI`] and what grants it, the one that would be next.
    pub term: u64,
    /// What it tells.
    pub body: Body,
}

impl Message {
    /// Whether another message of the same leader, made at the same time, says the same. Looks at no
    /// entry: what comes after the same one, and is as long, is the same.
    #[must_use]
    pub fn says_the_same(&self, other: &Message) -> bool {
        let head = |message: &Message| match &message.body {
            Body::Append {
                prev,
                commit,
                round,
                entries,
            } => Some((message.term, *prev, *commit, *round, entries.len())),
            _ => None,
        };
        head(self).is_some_and(|head_of_this| Some(head_of_this) == head(other))
    }
}

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A leader's: these entries come after `prev`; also that it lives, when there are none.
    Append {
        /// The entry before them.
        prev: Mark,
        /// Up to where a quorum has the log.
        commit: u64,
        /// Counts the leader's questions whether it still leads.
        round: u64,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// A follower's: it has the leader's log up to there, durably.
    Has {
        /// Up to where.
        index: u64,
        /// The last round that it heard of.
        round: u64,
    },
    /// A follower's: `prev` is not in its log.
    Lacks {
        /// The entry that the leader named.
        prev: u64,
        /// The last one that may be the same in both logs.
        hint: u64,
        /// The last round that it heard of.
        round: u64,
    },
    /// Would you vote for me? Asked before a term is spent on it.
    MayI {
        /// The asker's last entry.
        last: Mark,
    },
    /// The answer to that.
    YouMay {
        /// Yes.
        granted: bool,
    },
    /// Vote for me.
    Elect {
        /// The asker's last entry.
        last: Mark,
        /// The leader itself wants it: its lease does not count.
        handed_over: bool,
    },
    /// The answer to that.
    Voted {
        /// Yes.
        granted: bool,
    },
    /// A leader's: take over from me, now.
    TakeOver,
    /// The answer to [`Body::MayI`] of a node that is in the group no more.
    YouAreOut {
        /// A committed entry as of which that is so.
        as_of: Mark,
    },
}
