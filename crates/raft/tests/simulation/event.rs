//! What happens, and when.

use std::cmp::Ordering;

use consign_raft::Message;

use crate::disk::{Snapshot, Tell};

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time goes by at a node.
    Tick,
    Arrives {
        from: u64,
        message: Message,
    },
    /// A disk has done some of its work.
    Flushed,
    /// A driver hears of it.
    Told(Vec<Tell>),
    /// A pause ends.
    Resumes,
    /// The power fails.
    Crashes,
    /// A node that is down is started.
    Starts,
    /// A node may checkpoint and purge.
    Keeps,
    /// All of a snapshot is there.
    SnapshotArrives {
        from: u64,
        term: u64,
        snapshot: Snapshot,
        ticket: u64,
    },
    /// A snapshot's rows are in place.
    SnapshotPlaced(Snapshot),
    /// What became of a snapshot that was sent.
    SnapshotOutcome {
        to: u64,
        upto: Option<u64>,
        ticket: u64,
    },
    /// A client asks for something.
    Asks,
    /// An operator changes the group.
    Changes,
    /// An operator moves the lead.
    HandsOver,
    /// Something goes wrong.
    Fault,
    /// It is looked whether all is well.
    Looks,
}

impl Event {
    /// Whether a node that stands still does not see it.
    pub fn waits(&self) -> bool {
        matches!(
            self,
            Event::Tick
                | Event::Arrives { .. }
                | Event::Told(_)
                | Event::Keeps
                | Event::SnapshotArrives { .. }
                | Event::SnapshotPlaced(_)
                | Event::SnapshotOutcome { .. }
        )
    }

    /// A number for each kind.
    pub fn code(&self) -> u64 {
        match self {
            Event::Tick => 1,
            Event::Arrives { .. } => 2,
            Event::Flushed => 3,
            Event::Told(_) => 4,
            Event::Resumes => 5,
            Event::Starts => 6,
            Event::Keeps => 7,
            Event::SnapshotArrives { .. } => 8,
            Event::SnapshotPlaced(_) => 9,
            Event::SnapshotOutcome { .. } => 10,
            Event::Asks => 11,
            Event::Changes => 12,
            Event::HandsOver => 13,
            Event::Fault => 14,
            Event::Looks => 15,
            Event::Crashes => 16,
        }
    }
}

/// An event in line: the earliest is the greatest.
#[derive(Debug)]
pub struct Due {
    pub at_us: u64,
    /// What was put in line first comes first.
    pub nth: u64,
    /// Whom it befalls; 0 is nobody.
    pub node: u64,
    /// Whom in which life; none if in any.
    pub life: Option<u64>,
    pub event: Event,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at_us, other.nth).cmp(&(self.at_us, self.nth))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
