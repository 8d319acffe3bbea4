//! What clients asked and what they were answered, in order: the evidence that the laws are judged by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

/// From when to when something was asked: it took effect between the two, if it did.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it was asked first.
    pub asked: Duration,
    /// When the answer came; none if none did.
    pub answered: Option<Duration>,
}

/// Stock that was moved by a client.
#[derive(Clone, Debug)]
pub struct Move {
    /// Where.
    pub location: String,
    /// What.
    pub sku: String,
    /// Change of units on hand.
    pub units: i64,
    /// When.
    pub span: Span,
}

/// Stock as a client saw it.
#[derive(Clone, Debug)]
pub struct Look {
    /// Where.
    pub location: String,
    /// What.
    pub sku: String,
    /// Units on hand.
    pub on_hand: i64,
    /// Units reserved.
    pub reserved: i64,
    /// When it was asked and answered.
    pub asked: Duration,
    /// When it was answered.
    pub answered: Duration,
}

/// An order that a client placed.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The order's id, if the client was told.
    pub id: Option<String>,
    /// Units by SKU.
    pub units: BTreeMap<String, u64>,
    /// When.
    pub span: Span,
}

/// Everything that clients did.
#[derive(Default)]
pub struct Records {
    /// Movements by reference, which is their key, too.
    pub moves: BTreeMap<String, Move>,
    /// Looks, in the order of their answers.
    pub looks: Vec<Look>,
    /// Orders by external id.
    pub placed: BTreeMap<String, Placed>,
    /// Changes that were acknowledged, by order.
    pub cancelled: BTreeMap<String, u64>,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests of which no client knows what became of them.
    pub unknown: u64,
    /// Laws that an answer broke on the spot.
    pub broken: Vec<String>,
}

/// The records, and a hash of all that happened in its order: what a replay must give again.
#[derive(Clone)]
pub struct History(Arc<Mutex<Told>>);

struct Told {
    records: Records,
    trace: Xxh3,
    aloud: bool,
}

impl History {
    /// An empty one; told aloud if somebody wants to read along.
    pub fn new(aloud: bool) -> History {
        History(Arc::new(Mutex::new(Told {
            records: Records::default(),
            trace: Xxh3::new(),
            aloud,
        })))
    }

    /// Something happened.
    pub fn tell(&self, at: Duration, what: &str) {
        let mut told = self.0.lock();
        let line = format!("{:>9.3} {what}\n", at.as_secs_f64());
        told.trace.update(line.as_bytes());
        if told.aloud {
            eprint!("{line}");
        }
    }

    /// The hash of all that was told.
    pub fn trace(&self) -> u64 {
        self.0.lock().trace.digest()
    }

    /// Looks at the records, or writes in them.
    pub fn records<T>(&self, with: impl FnOnce(&mut Records) -> T) -> T {
        with(&mut self.0.lock().records)
    }
}
