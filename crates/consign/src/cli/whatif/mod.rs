//! `consign whatif`: recorded orders sourced again by a draft, before it decides about real ones.

mod chart;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use consign_orchestrator::{MovedOrder, Recorded, Recording, Report, Strategy, replay};
use consign_simulator::Client;
use serde_json::json;

use crate::cli::{node_options, strategy};
use crate::exit::Failure;
use crate::progress::Progress;

/// Sources recorded orders again by a draft, and prints what it would have come to beside what happened.
///
/// The very code that sources live orders decides, with stock carried forward as it would have been under
/// the draft. Nothing on the node changes: it hands its record out, and the replay runs here. Given several
/// times, `--strategy` compares several drafts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign whatif --strategy draft.toml
  consign whatif --strategy draft.toml --orders 2026-11-01..2026-12-01 --chart november.svg
  consign whatif --strategy 3 --strategy built-in --save november.jsonl.gz
  consign whatif --strategy draft.toml --orders november.jsonl.gz --json

Amounts are in minor units, by the draft's own weights on both sides: what happened is priced as the draft
prices it. `regret` is what a rule's preferences cost: money paid beyond the plan that ignores them.")]
pub(crate) struct Whatif {
    /// A file in TOML, or in JSON when its name ends so; the number of a drafted version; or `built-in`.
    #[arg(long = "strategy", value_name = "FILE", required = true)]
    strategies: Vec<String>,
    /// Orders placed in a time, `2026-11-01..2026-12-01` (days begin at midnight UTC; moments as in RFC 3339; one
    /// side may be missing), or a file that `--save` wrote. Without it, all orders.
    #[arg(long, value_name = "SINCE..UNTIL|FILE")]
    orders: Option<String>,
    /// Any node.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Keep what the node recorded, to be replayed again; zipped when the name ends in .gz.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Draw the comparison, as SVG.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Write what becomes of each order, as JSON lines.
    #[arg(long, value_name = "FILE")]
    each_order: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Whatif {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut progress = Progress::new(self.json);
        let lines = self.lines(&mut progress)?;
        progress.end();
        let recording = Recording::read(lines).map_err(|error| anyhow!(error))?;
        let mut reports = Vec::with_capacity(self.strategies.len());
        for named in &self.strategies {
            let draft = drafted(named, &recording).map_err(Failure::Usage)?;
            let total = recording.entries() as u64;
            let report = replay(&recording, &draft, |done| {
                progress.tell("replayed", done, total);
            });
            progress.end();
            reports.push(report.map_err(|error| {
                Failure::Usage(anyhow!(
                    "{named} cannot decide: {}: {}",
                    error.place,
                    error.reason
                ))
            })?);
        }
        if let Some(file) = &self.chart {
            chart::draw(&reports, file)?;
        }
        if let Some(file) = &self.each_order {
            write_each(&reports, file)?;
        }
        self.print(&recording, &reports)
    }

    fn print(&self, recording: &Recording, reports: &[Report]) -> Result<(), Failure> {
        let mut out = std::io::stdout();
        if self.json {
            let (since, until) = recording.window();
            let bound = |at: i64| (at != i64::MIN && at != i64::MAX).then_some(at);
            let window = json!({"since_us": bound(since.0), "until_us": bound(until.0)});
            let said = json!({"window": window, "reports": reports});
            writeln!(out, "{said}").context("cannot print")?;
        } else {
            write!(out, "{}", table::text(reports)).context("cannot print")?;
        }
        Ok(())
    }

    /// The recording's lines, from a file or from a node.
    fn lines(&self, progress: &mut Progress) -> Result<Vec<Recorded>, Failure> {
        match self.orders.as_deref() {
            Some(orders) if !orders.contains("..") => {
                from_file(Path::new(orders)).map_err(Failure::Usage)
            }
            orders => {
                let path = path_of(orders.unwrap_or(".."));
                let asking = self.asked_for(&path, progress);
                Ok(node_options::runtime(1)?.block_on(asking)?)
            }
        }
    }

    async fn asked_for(
        &self,
        path: &str,
        progress: &mut Progress,
    ) -> anyhow::Result<Vec<Recorded>> {
        let client = Client::new(&self.target)?;
        let mut kept = self.save.as_deref().map(Saved::create).transpose()?;
        let mut lines = Vec::new();
        let each = |line: &[u8]| -> anyhow::Result<()> {
            lines.push(serde_json::from_slice(line).context("a line is not understood")?);
            if let Some(kept) = &mut kept {
                kept.write(line)?;
            }
            if lines.len() % 1_000 == 0 {
                progress.count("recorded", lines.len() as u64);
            }
            Ok(())
        };
        client.each_line(path, each).await?;
        if let Some(kept) = kept {
            kept.finish()?;
        }
        Ok(lines)
    }
}

/// The route that hands out what was recorded in a time.
fn path_of(window: &str) -> String {
    let (since, until) = window.split_once("..").unwrap_or((window, ""));
    let day = |text: &str| match text.contains(['T', 't', ' ']) {
        true => text.to_owned(),
        false => format!("{text}T00:00:00Z"),
    };
    let asked = [("since", since), ("until", until)];
    let asked = asked.iter().filter(|(_, text)| !text.is_empty());
    let asked: Vec<String> = asked
        .map(|(name, text)| format!("{name}={}", consign_simulator::http::encoded(&day(text))))
        .collect();
    match asked.is_empty() {
        true => "/v1/recording".to_owned(),
        false => format!("/v1/recording?{}", asked.join("&")),
    }
}

/// A strategy by the name that the command line gives it.
fn drafted(named: &str, recording: &Recording) -> anyhow::Result<Strategy> {
    if named == "built-in" {
        return Ok(Strategy::built_in());
    }
    if let Ok(number) = named.parse::<u32>() {
        if number == 0 {
            return Ok(Strategy::built_in());
        }
        let (_, text) = recording
            .strategy(number)
            .with_context(|| format!("no version {number} was drafted there"))?;
        return serde_json::from_str(text).context("the version is not understood");
    }
    let read = strategy::read(Path::new(named))?;
    serde_json::from_value(read).with_context(|| format!("{named} is no strategy"))
}

/// A line for each order and draft.
fn write_each(reports: &[Report], file: &Path) -> anyhow::Result<()> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        strategy: &'a str,
        #[serde(flatten)]
        order: &'a MovedOrder,
    }
    let shown = file.display();
    let made = File::create(file).with_context(|| format!("cannot write {shown}"))?;
    let mut made = BufWriter::new(made);
    for report in reports {
        let strategy = report.strategy.as_str();
        for order in &report.each {
            serde_json::to_writer(&mut made, &Line { strategy, order })?;
            made.write_all(b"\n")?;
        }
    }
    made.flush()
        .with_context(|| format!("cannot write {shown}"))
}

fn is_zipped(file: &Path) -> bool {
    file.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("gz"))
}

fn from_file(file: &Path) -> anyhow::Result<Vec<Recorded>> {
    let shown = file.display();
    let opened = File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let reader: Box<dyn BufRead> = match is_zipped(file) {
        true => Box::new(BufReader::new(flate2::read::GzDecoder::new(opened))),
        false => Box::new(BufReader::new(opened)),
    };
    let mut lines = Vec::new();
    for (nth, line) in (1..).zip(reader.lines()) {
        let line = line.with_context(|| format!("cannot read line {nth} of {shown}"))?;
        let read = serde_json::from_str(&line);
        lines.push(read.with_context(|| format!("line {nth} of {shown} is not understood"))?);
    }
    Ok(lines)
}

/// A file that keeps a recording.
enum Saved {
    Plain(BufWriter<File>),
    Zipped(flate2::write::GzEncoder<BufWriter<File>>),
}

impl Saved {
    fn create(file: &Path) -> anyhow::Result<Saved> {
        let shown = file.display();
        let made = File::create(file).with_context(|| format!("cannot write {shown}"))?;
        let made = BufWriter::new(made);
        Ok(match is_zipped(file) {
            true => {
                let fast = flate2::Compression::fast();
                Saved::Zipped(flate2::write::GzEncoder::new(made, fast))
            }
            false => Saved::Plain(made),
        })
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let into: &mut dyn Write = match self {
            Saved::Plain(file) => file,
            Saved::Zipped(file) => file,
        };
        into.write_all(line)?;
        into.write_all(b"\n")
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Saved::Plain(mut file) => file.flush(),
            Saved::Zipped(file) => file.finish()?.flush(),
        }
    }
}
