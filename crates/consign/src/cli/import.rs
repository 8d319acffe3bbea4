//! `consign import`: definitions, stock and orders from files.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::ValueEnum;
use consign_simulator::import::{self, ImportError, ImportKind, ImportOptions, ImportReport};

use crate::cli::node_options;
use crate::exit::Failure;
use crate::progress::Progress;

/// Sends a file's rows to a running node, and names every row that it does not take.
///
/// CSV with a header row, or JSON Lines in the shape of the API; both may be gzipped. Importing a
/// file again changes nothing: what was taken is recognised by its key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Columns of a CSV file (those with * may be left out):
  products   sku, name, kind*, weight_grams*, handling* (fragile cold_chain),
             attributes* (season=summer; size=xl)
  locations  id, name, kind, country, latitude, longitude, time_zone
  inventory  location, sku, quantity, reference*
  orders     one row a line, rows of one order together: external_id, channel, currency, placed_at*,
             customer, country, latitude*, longitude*, service_level*, sku, quantity, unit_price

Examples:
  consign import products products.csv --target http://127.0.0.1:8080
  consign import inventory stock.jsonl.gz --target http://127.0.0.1:8080 --json

Ends with exit code 1 when a row was not taken; the others are.")]
pub(crate) struct Import {
    /// What the file holds.
    #[arg(value_enum)]
    kind: Kind,
    /// The file: .csv, .jsonl or .ndjson, each also with .gz.
    file: PathBuf,
    /// The node: http://host:port.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Rows under way at once.
    #[arg(long, value_name = "C", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    concurrency: u16,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Products.
    Products,
    /// Locations.
    Locations,
    /// Receipts of stock.
    Inventory,
    /// Orders.
    Orders,
}

impl From<Kind> for ImportKind {
    fn from(kind: Kind) -> ImportKind {
        match kind {
            Kind::Products => ImportKind::Products,
            Kind::Locations => ImportKind::Locations,
            Kind::Inventory => ImportKind::Inventory,
            Kind::Orders => ImportKind::Orders,
        }
    }
}

impl Import {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let options = ImportOptions {
            kind: self.kind.into(),
            file: self.file.clone(),
            target: self.target.clone(),
            concurrency: usize::from(self.concurrency),
        };
        let mut progress = Progress::new(self.json);
        let importing = import::import(&options, |done| progress.count("rows", done));
        let outcome = node_options::runtime(0)?.block_on(importing);
        progress.end();
        let report = outcome.map_err(|error| match error {
            ImportError::Client(error) => Failure::from(error),
            wrong_file => Failure::usage(wrong_file),
        })?;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print_report(&report);
        }
        match report.failed {
            0 => Ok(()),
            failed => Err(anyhow!("{failed} of {} were not taken", report.read).into()),
        }
    }
}

fn print_report(report: &ImportReport) {
    for fault in &report.faults {
        println!("line {}: {}", fault.line, fault.reason);
    }
    let told = report.faults.len() as u64;
    if report.failed > told {
        println!("… and {} more", report.failed - told);
    }
    println!(
        "{} read, {} taken, {} not taken",
        report.read, report.taken, report.failed
    );
}
