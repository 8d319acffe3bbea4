//! `consign simulate`: peak-sale load from a process of its own.

use clap::ValueEnum;
use consign_simulator::simulate::{self, Latency, SimulateOptions, SimulateReport, Transport};

use crate::cli::node_options;
use crate::exit::Failure;
use crate::progress::Progress;

/// Drives a running node with orders and recounts what it promised.
///
/// Seeds the target with products, locations and stock of its own, sends orders, and prints rates,
/// latencies and the server's CPU per order. `oversold_units` is counted from outside, from the
/// answers and the inventory it reads. Closed loop with --concurrency; with --rate an open loop,
/// whose latencies count from the moment an order was meant to be sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign simulate --target http://127.0.0.1:8080 --orders 100000 --concurrency 64
  consign simulate --target http://127.0.0.1:8080 --hot-sku --stock 1000 --orders 10000 --concurrency 64 --json
  consign simulate --target http://127.0.0.1:8080 --transport batch --concurrency 512
  consign simulate --target http://127.0.0.1:8080 --rate 2000 --orders 120000 --pages 5000")]
pub(crate) struct Simulate {
    /// The node: http://host:port.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Another node of the same cluster, whose CPU counts too; can be repeated.
    #[arg(long, value_name = "URL")]
    beside: Vec<String>,
    /// How many orders to send.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    orders: u64,
    /// Orders in flight at once. With --rate: at most (1,024 unless given).
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    concurrency: Option<u32>,
    /// Orders per second, whether or not answers come.
    #[arg(long, value_name = "R", value_parser = positive)]
    rate: Option<f64>,
    /// Products to choose from.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    skus: u32,
    /// Locations that stock all of them.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    locations: u32,
    /// How uneven the demand is: the exponent of Zipf's law, 0 for even.
    #[arg(long, value_name = "S", default_value_t = 0.99, value_parser = skew)]
    skew: f64,
    /// Lines of an order: from-to.
    #[arg(long, value_name = "FROM-TO", default_value = "1-4", value_parser = line_range)]
    lines: (u32, u32),
    /// Every order is one unit of one product at one location.
    #[arg(long)]
    hot_sku: bool,
    /// Units of each product at each location.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    stock: u32,
    /// One order a request, or batches of 64.
    #[arg(long, value_enum, default_value_t)]
    transport: TransportArgument,
    /// The same seed draws the same orders.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Name of a shop: the first run with it seeds the shop, later runs order from it. Without it
    /// each run has products and locations of its own.
    #[arg(long, value_name = "NAME", value_parser = shop_name)]
    shop: Option<String>,
    /// Pick, pack, ship and deliver each order too.
    #[arg(long, conflicts_with = "rate")]
    complete: bool,
    /// Product pages per second that ask what could be had, while orders flow; their CPU counts as orders'.
    #[arg(long, value_name = "R", value_parser = positive)]
    pages: Option<f64>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// How orders are sent.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum TransportArgument {
    /// One order a request.
    #[default]
    Http,
    /// NDJSON batches.
    Batch,
}

/// Orders that an open loop lets wait at once, unless told otherwise.
const OPEN_LOOP_CONCURRENCY: u32 = 1_024;
/// Orders in flight of a closed loop, unless told otherwise.
const CLOSED_LOOP_CONCURRENCY: u32 = 64;

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = number.is_finite() && number > 0.0;
    fits.then_some(number)
        .ok_or_else(|| "must be more than 0".to_owned())
}

/// Gray's method draws exponents from 0 up to, not including, 1.
fn skew(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = (0.0..1.0).contains(&number);
    fits.then_some(number)
        .ok_or_else(|| "must be from 0 to below 1".to_owned())
}

/// `1-4`, or `3` for always three.
fn line_range(text: &str) -> Result<(u32, u32), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if 1 <= from && from <= to && to <= 2_000 => Ok((from, to)),
        _ => Err("must be like 1-4, from 1 to 2000".to_owned()),
    }
}

/// A name becomes part of SKUs and of locations' ids.
fn shop_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=24).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("up to 24 letters, digits and hyphens".to_owned())
    }
}

impl Simulate {
    fn options(&self) -> SimulateOptions {
        let concurrency = self.concurrency.unwrap_or(match self.rate {
            Some(_) => OPEN_LOOP_CONCURRENCY,
            None => CLOSED_LOOP_CONCURRENCY,
        });
        SimulateOptions {
            beside: self.beside.clone(),
            orders: self.orders,
            concurrency: concurrency as usize,
            rate: self.rate,
            skus: self.skus,
            locations: self.locations,
            skew: self.skew,
            lines: self.lines,
            hot_sku: self.hot_sku,
            stock: self.stock,
            transport: match self.transport {
                TransportArgument::Http => Transport::Http,
                TransportArgument::Batch => Transport::Batch,
            },
            seed: self.seed,
            shop: self.shop.clone(),
            complete: self.complete,
            pages_per_s: self.pages,
            ..SimulateOptions::new(&self.target)
        }
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut progress = Progress::new(self.json);
        let options = self.options();
        let running = simulate::simulate(&options, |stage, done, total| {
            progress.tell(stage, done, total);
        });
        // Half of the cores at most: the server may share them, and one thread with all connections
        // sleeps and wakes less than two with half of them.
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let report = node_options::runtime((cores / 2).max(1))?.block_on(running)?;
        progress.end();
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print_report(&report);
        }
        match report.oversold_units {
            0 => Ok(()),
            units => Err(Failure::LawBroken(format!(
                "L1: {units} units are oversold"
            ))),
        }
    }
}

fn print_report(report: &SimulateReport) {
    let cpu = report
        .server_cpu_us_per_order
        .map_or("not shown by the server".to_owned(), |us| {
            format!("{us:.0} µs per order")
        });
    println!("orders sent      {:>12}", report.orders_sent);
    println!("  allocated      {:>12}", report.orders_allocated);
    println!("  backordered    {:>12}", report.orders_backordered);
    println!("  outcome later  {:>12}", report.orders_accepted);
    println!("  refused (busy) {:>12}", report.orders_refused);
    println!("  errors         {:>12}", report.errors);
    println!("units reserved   {:>12}", report.units_reserved);
    println!("units oversold   {:>12}", report.oversold_units);
    println!(
        "in               {:>12.1} s, {:.0} orders/s",
        report.duration_s, report.orders_per_s
    );
    println!("longest gap ms   {:>12}", report.longest_gap_ms);
    println!("latency ms       {}", shown(&report.latency_ms));
    println!("server CPU       {cpu}");
    if let Some(pages) = &report.pages {
        println!(
            "product pages    {:>12}, {:.0}/s, {} errors",
            pages.answered, pages.per_s, pages.errors
        );
        println!("latency ms       {}", shown(&pages.latency_ms));
        if let Some(sample) = &pages.error_sample {
            println!("an error: {sample}");
        }
    }
    for sample in &report.error_samples {
        println!("an error: {sample}");
    }
}

fn shown(latency: &Latency) -> String {
    let Latency {
        p50,
        p90,
        p99,
        p999,
        max,
    } = latency;
    format!("p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ranges_read_as_documented() {
        assert_eq!(line_range("1-4"), Ok((1, 4)));
        assert_eq!(line_range("3"), Ok((3, 3)));
        for wrong in ["0-4", "4-1", "1-2001", "a", ""] {
            assert!(line_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_and_skews_have_bounds() {
        assert!(positive("0").is_err() && positive("inf").is_err() && positive("2.5").is_ok());
        assert!(skew("1").is_err() && skew("-0.1").is_err() && skew("0.99").is_ok());
    }
}
