//! `consign verify`: a recount of everything, from outside.

use consign_simulator::verify::{self, VerifyOptions, VerifyReport};

use crate::cli::node_options;
use crate::exit::Failure;
use crate::progress::Progress;

/// Recounts everything through the public interface.
///
/// Each SKU's balance at each location against its movements, every reservation against a live
/// order, every order's money, every lifecycle. Ends with exit code 3 at the first law that is
/// broken, and shows the evidence. Reads only; may run beside traffic.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign verify --target http://127.0.0.1:8080
  consign verify --target http://127.0.0.1:8080 --json | jq .orders_by_status")]
pub(crate) struct Verify {
    /// The node: http://host:port.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Orders looked at side by side.
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    concurrency: Option<u16>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut options = VerifyOptions::new(&self.target);
        if let Some(concurrency) = self.concurrency {
            options.concurrency = usize::from(concurrency);
        }
        let mut progress = Progress::new(self.json);
        let counting = verify::verify(&options, |stage, done| progress.count(stage, done));
        let report = node_options::runtime(0)?.block_on(counting)?;
        progress.end();
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print_report(&report);
        }
        match report.laws_broken.first() {
            None => Ok(()),
            Some(broken) => Err(Failure::LawBroken(format!(
                "{}: {}",
                broken.law, broken.what
            ))),
        }
    }
}

fn print_report(report: &VerifyReport) {
    println!("orders        {:>12}", report.orders);
    for (status, orders) in &report.orders_by_status {
        println!("  {status:<16}{orders:>8}");
    }
    println!("their events  {:>12}", report.events);
    println!("locations     {:>12}", report.locations);
    println!("balances      {:>12}", report.balances);
    println!("movements     {:>12}", report.movements);
    println!("reservations  {:>12}", report.reservations);
    for law in &report.laws_checked {
        println!("checked       {law}");
    }
    for broken in &report.laws_broken {
        println!(
            "BROKEN        {}: {}\n{:#}",
            broken.law, broken.what, broken.evidence
        );
    }
    if report.laws_broken.is_empty() {
        println!("No law is broken.");
    }
}
