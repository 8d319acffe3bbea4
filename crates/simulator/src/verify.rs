//! A recount of everything through the public interface, by rules of its own: the vocabulary's, not
//! the server's code.
//!
//! In: a target. Out: what was counted, and the first law that does not hold, with its evidence.
//! Orders and locations confirm one another by message, so a count that does not come out while
//! messages are under way is made again before it is believed.

mod orders;
mod stock;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::http::{Client, ClientError};

/// How often a count that does not come out is made again.
const ATTEMPTS_MAX: u32 = 6;
/// The pause before the second count; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What is recounted where.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// `http://host:port`.
    pub target: String,
    /// Orders looked at side by side.
    pub concurrency: usize,
}

impl VerifyOptions {
    /// The defaults for a target.
    #[must_use]
    pub fn new(target: &str) -> VerifyOptions {
        VerifyOptions {
            target: target.to_owned(),
            concurrency: 16,
        }
    }
}

/// A law that does not hold.
#[derive(Clone, Debug, Serialize)]
pub struct BrokenLaw {
    /// Which, e.g. `L5`.
    pub law: &'static str,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What shows it.
    pub evidence: Value,
}

/// What was counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Laws that were checked, with what was checked about them.
    pub laws_checked: Vec<&'static str>,
    /// The first law that does not hold; empty when all do.
    pub laws_broken: Vec<BrokenLaw>,
    /// Orders.
    pub orders: u64,
    /// Orders by status.
    pub orders_by_status: BTreeMap<String, u64>,
    /// Events of orders.
    pub events: u64,
    /// Locations.
    pub locations: u64,
    /// SKUs at locations.
    pub balances: u64,
    /// Movements.
    pub movements: u64,
    /// Reservations that hold units.
    pub reservations: u64,
}

const LAWS: [&str; 5] = [
    "L1: at every location and SKU, reserved + damaged is at most on hand",
    "L5: every reserved unit belongs to a live order that knows of it, and the other way round",
    "L6: every order's postings are double-entry and give its totals",
    "L7: every order's units add up, its status follows from them, its history has no gap and goes forward",
    "L2: movements sum to balances",
];

/// Why a count ended.
pub(crate) enum Halt {
    /// A law does not hold.
    Broken(Box<BrokenLaw>),
    /// There was no answer.
    Client(ClientError),
}

impl From<ClientError> for Halt {
    fn from(error: ClientError) -> Halt {
        Halt::Client(error)
    }
}

pub(crate) fn broken(law: &'static str, what: String, evidence: Value) -> Halt {
    Halt::Broken(Box::new(BrokenLaw {
        law,
        what,
        evidence,
    }))
}

/// Recounts everything.
///
/// # Errors
/// When the target does not answer. A broken law is no error: it is in the report.
pub async fn verify(
    options: &VerifyOptions,
    mut progress: impl FnMut(&str, u64),
) -> Result<VerifyReport, ClientError> {
    let client = Client::new(&options.target)?;
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let mut report = VerifyReport {
            laws_checked: LAWS.to_vec(),
            ..VerifyReport::default()
        };
        match count(&client, options, &mut report, &mut progress).await {
            Ok(()) => return Ok(report),
            Err(Halt::Client(error)) => return Err(error),
            Err(Halt::Broken(law)) if attempt == ATTEMPTS_MAX => {
                report.laws_broken.push(*law);
                return Ok(report);
            }
            Err(Halt::Broken(_)) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    unreachable!("the last attempt returns")
}

async fn count(
    client: &Client,
    options: &VerifyOptions,
    report: &mut VerifyReport,
    progress: &mut impl FnMut(&str, u64),
) -> Result<(), Halt> {
    let mut promises = orders::Promises::default();
    orders::count(client, options, report, &mut promises, progress).await?;
    stock::count(client, report, promises, progress).await
}
