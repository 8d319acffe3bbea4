//! `consign demo`: a real retailer's week on a node of its own.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use consign_simulator::demo::{self, DemoError, DemoOptions, DemoReport};

use crate::cli::node_options;
use crate::exit::Failure;
use crate::logging;
use crate::node::{self, RunningNode};
use crate::progress::Progress;
use crate::settings::Settings;

/// Where the demo serves when nothing else does.
const PORT_WANTED: u16 = 8080;

/// Replays a real retailer's week of orders on a node of its own.
///
/// Starts a node, stocks five locations with 80 % of the week's demand, and sends the invoices of an
/// online gift shop (1 to 7 December 2010, carried in the binary) through the public HTTP interface:
/// orders are placed, split, reserved, picked, packed, shipped, scanned, delivered, cancelled and
/// returned. Every line of the file is accounted for and every law recounted. Then the node stays up
/// for looking around.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign demo
  consign demo --exit --json
  consign demo --orders online-retail-2010-12_2011-08.csv.gz --data /tmp/nine-months

A file for --orders has the columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate,
UnitPrice, CustomerID, Country, as the UCI data set \"Online Retail\" has.")]
pub(crate) struct Demo {
    /// End after the report.
    #[arg(long)]
    exit: bool,
    /// The port; without it 8080, or any free one when that is taken.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Keep the data here; without it it is gone in the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Another file of the same format, .csv or .csv.gz.
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut settings = Settings::load(None, |_| {}).map_err(Failure::Usage)?;
        if settings.log == Settings::default().log {
            // The report is what is wanted here, not the log, unless the environment asks for it.
            "warn".clone_into(&mut settings.log.level);
        }
        logging::install(&settings.log)?;
        let home = tempfile::tempdir().context("cannot make a temporary directory")?;
        let own = || home.path().join("data");
        settings.storage.data = self.data.clone().unwrap_or_else(own);
        node_options::runtime(settings.runtime.threads)?.block_on(self.replay(settings))
    }

    async fn replay(self, mut settings: Settings) -> Result<(), Failure> {
        let stop = node::told_to_stop()?;
        let node = self.start(&mut settings).await?;
        let mut progress = Progress::new(self.json);
        let options = DemoOptions {
            orders: self.orders.clone(),
            ..DemoOptions::new(&node.url())
        };
        let replaying = demo::demo(&options, |stage, done, total| {
            progress.tell(stage, done, total)
        });
        tokio::pin!(stop);
        let outcome = tokio::select! {
            outcome = replaying => outcome,
            () = &mut stop => return Ok(node.stop().await?),
        };
        progress.end();
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                node.stop().await?;
                return Err(match error {
                    DemoError::File { .. } => Failure::usage(error),
                    DemoError::Client(_) => error.into(),
                });
            }
        };
        self.print(&report)?;
        let kept = check(&report);
        if self.exit {
            node.stop().await?;
        } else {
            eprintln!(
                "The node stays at {url}; {url}/docs shows every route. Ctrl-C ends it.",
                url = node.url()
            );
            node.run_until(stop).await?;
        }
        kept.map_err(Failure::LawBroken)
    }

    /// A port that nobody asked for may be another one.
    async fn start(&self, settings: &mut Settings) -> anyhow::Result<RunningNode> {
        settings.server.port = self.port.unwrap_or(if self.exit { 0 } else { PORT_WANTED });
        let admin_port = settings.admin.port()?;
        let started = RunningNode::start(settings, admin_port.as_ref()).await;
        match started {
            Err(error) if self.port.is_none() && is_taken(&error) => {
                settings.server.port = 0;
                RunningNode::start(settings, admin_port.as_ref()).await
            }
            started => started,
        }
    }

    fn print(&self, report: &DemoReport) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(report)?)?;
        } else {
            write!(out, "{}", report.text())?;
        }
        Ok(())
    }
}

/// Every line of the file is taken or skipped, and no law is broken.
fn check(report: &DemoReport) -> Result<(), String> {
    let skipped: u64 = report.lines_skipped.values().sum();
    if report.lines_taken + skipped != report.lines_read {
        return Err(format!(
            "{} lines taken and {skipped} skipped are not the {} of the file",
            report.lines_taken, report.lines_read
        ));
    }
    match report.laws_broken.first() {
        None => Ok(()),
        Some(broken) => Err(format!("{}: {}", broken.law, broken.what)),
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse)
}
