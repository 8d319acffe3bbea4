//! What the answers were, counted as they come.
//!
//! In: each answer, and since when its order counts. Out: how many of which kind, latencies, the
//! gaps between answers, and the units that answers promised, SKU by SKU.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use foldhash::fast::RandomState;
use hdrhistogram::Histogram;

use super::answer::{self, OrderAnswer};

/// Errors whose words are kept.
const SAMPLES_MAX: usize = 5;
/// Latencies up to a minute, in microseconds, to three digits.
const LATENCY_MAX_US: u64 = 60_000_000;
/// What gaps between answers are measured in.
const GAP_RESOLUTION_MS: u128 = 10;

/// Keeps latencies in microseconds.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds in order")
}

/// What the answers were.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    /// Hundredths of a second since the start in which an order was answered.
    answered: BTreeSet<u32>,
    answered_last: Option<u32>,
    pub(super) sent: u64,
    pub(super) allocated: u64,
    pub(super) backordered: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) completed: u64,
    pub(super) errors: u64,
    pub(super) samples: Vec<String>,
    pub(super) latency: Histogram<u64>,
    /// Units that answers promised, by SKU.
    pub(super) reserved: HashMap<String, u64, RandomState>,
}

impl Tally {
    pub(super) fn since(start: Instant) -> Tally {
        Tally {
            start,
            answered: BTreeSet::new(),
            answered_last: None,
            sent: 0,
            allocated: 0,
            backordered: 0,
            accepted: 0,
            refused: 0,
            completed: 0,
            errors: 0,
            samples: Vec::new(),
            latency: latencies(),
            reserved: HashMap::default(),
        }
    }

    /// The longest time in which no order was answered, ms, to the resolution.
    pub(super) fn longest_gap_ms(&self) -> u64 {
        let pairs = self.answered.iter().zip(self.answered.iter().skip(1));
        let slots = pairs.map(|(earlier, later)| later - earlier).max();
        u64::from(slots.unwrap_or(0)) * GAP_RESOLUTION_MS as u64
    }

    pub(super) fn error(&mut self, what: String) {
        self.errors += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(what);
        }
    }

    /// Counts one order's answer.
    pub(super) fn count(&mut self, status: u16, order: &[u8], since: Instant) {
        match status {
            201 => match answer::order(order) {
                Ok(order) => self.count_placed(&order, since),
                Err(error) => self.error(error.to_string()),
            },
            202 => {
                self.time(since);
                self.accepted += 1;
            }
            429 => self.refused += 1,
            status => {
                let text = String::from_utf8_lossy(&order[..order.len().min(300)]).into_owned();
                self.error(format!("{status}: {text}"));
            }
        }
    }

    /// Counts the answer to a batch of `count` orders.
    pub(super) fn count_batch(&mut self, lines: &[u8], count: u64, since: Instant) {
        let mut answered = 0;
        let lines = lines.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            answered += 1;
            match answer::placed_in_line(line) {
                Ok(Some(order)) => self.count_placed(&order, since),
                Ok(None) => self.count_other(line, since),
                Err(error) => self.error(format!("a line of a batch: {error}")),
            }
        }
        for _ in answered..count {
            self.error("a line of a batch without an answer".to_owned());
        }
    }

    /// Counts a line of a batch whose order was not placed.
    fn count_other(&mut self, line: &[u8], since: Instant) {
        match serde_json::from_slice::<BatchAnswer<'_>>(line) {
            Ok(BatchAnswer { status, problem }) => {
                let problem = problem.map_or("", |raw| raw.get());
                self.count(status, problem.as_bytes(), since);
            }
            Err(error) => self.error(format!("a line of a batch that is not understood: {error}")),
        }
    }

    fn count_placed(&mut self, order: &OrderAnswer<'_>, since: Instant) {
        self.time(since);
        let mut short = 0;
        for line in &order.lines {
            short += line.backordered;
            match self.reserved.get_mut(line.sku) {
                Some(units) => *units += line.reserved,
                None => drop(self.reserved.insert(line.sku.to_owned(), line.reserved)),
            }
        }
        if short == 0 && order.status != "backordered" {
            self.allocated += 1;
        } else {
            self.backordered += 1;
        }
    }

    fn time(&mut self, since: Instant) {
        let now = Instant::now();
        let micros = now.saturating_duration_since(since).as_micros();
        self.latency
            .saturating_record(u64::try_from(micros).unwrap_or(LATENCY_MAX_US));
        let at = now.saturating_duration_since(self.start).as_millis() / GAP_RESOLUTION_MS;
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if self.answered_last != Some(at) {
            self.answered_last = Some(at);
            self.answered.insert(at);
        }
    }
}

/// One answer of a batch that placed no order.
#[derive(serde::Deserialize)]
struct BatchAnswer<'a> {
    status: u16,
    #[serde(borrow)]
    problem: Option<&'a serde_json::value::RawValue>,
}
