//! The replay of real invoices: a week of an online retailer's, or any file of the same format.
//!
//! In: a target that serves, and a file (the week is part of the program). Out: orders placed, split,
//! reserved, backordered, picked, packed, shipped, scanned, delivered, cancelled and sent back through
//! the public interface, and a report in which every line of the file is accounted for. Running it
//! again against the same server changes nothing: every request carries a key made of the file.

mod countries;
mod fulfil;
mod invoices;
mod places;
mod placing;
mod plan;
mod replay;
mod report;
mod stock;
mod undo;

use std::path::PathBuf;
use std::time::Instant;

use crate::http::{Client, ClientError};
use crate::verify::{VerifyOptions, verify};
use invoices::InvoiceFile;
use plan::Plan;
use replay::Replay;

pub use report::{DemoReport, LineShare, Money};

/// Requests under way at once, unless told otherwise.
pub const CONCURRENCY_DEFAULT: usize = 32;

/// What is replayed where.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// `http://host:port`.
    pub target: String,
    /// The invoices, `.csv` or `.csv.gz`; without it, the week that is part of the program.
    pub orders: Option<PathBuf>,
    /// Requests under way at once.
    pub concurrency: usize,
}

impl DemoOptions {
    /// The defaults for a target.
    #[must_use]
    pub fn new(target: &str) -> DemoOptions {
        DemoOptions {
            target: target.to_owned(),
            orders: None,
            concurrency: CONCURRENCY_DEFAULT,
        }
    }
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The file cannot be read, or is of another format.
    #[error("{name} cannot be read as invoices: {reason}")]
    File {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The server does not answer, or does not take what every demo begins with.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl DemoError {
    fn file(name: &str, reason: &dyn std::fmt::Display) -> DemoError {
        DemoError::File {
            name: name.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Stocks the target, replays the file, recounts everything. `progress` is told what is being done,
/// how much of it is done, and of how much.
///
/// # Errors
/// When the file cannot be read, or the target does not answer. What the server refuses of a file is
/// in the report.
pub async fn demo(
    options: &DemoOptions,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<DemoReport, DemoError> {
    let started = Instant::now();
    let file = InvoiceFile::open(options.orders.as_deref())?;
    let plan = Plan::of(&file);
    let client = Client::new(&options.target)?;
    let mut replay = Replay::new(&client, &file, plan, options.concurrency.max(1));
    replay.run(&mut progress).await?;
    let checked = VerifyOptions {
        concurrency: options.concurrency.max(1),
        ..VerifyOptions::new(&options.target)
    };
    let laws = verify(&checked, |what, done| progress(what, done, 0)).await?;
    let account = replay.plan.account(&file);
    let mut report = DemoReport::new(&file, &account, &replay.counts, laws);
    report.duration_s = started.elapsed().as_secs_f64();
    Ok(report)
}
