//! Peak-sale load from another process, and a count from outside of what was promised.
//!
//! In: a target and how hard to drive it. Out: rates, latencies, the server's CPU time per order,
//! and `oversold_units`, computed from the answers that this client got and the inventory it reads.

mod answer;
mod connection;
mod drive;
mod pages;
mod response;
mod seed;
mod tally;
mod workload;

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::http::{Client, ClientError};
use pages::Pages;
pub use pages::PagesReport;
use tally::Tally;
use workload::Workload;

/// How orders are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// One order a request.
    #[default]
    Http,
    /// NDJSON batches of [`BATCH_ORDERS`] orders.
    Batch,
}

/// Orders of one batch.
pub const BATCH_ORDERS: usize = 64;

/// How hard to drive what.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// `http://host:port`.
    pub target: String,
    /// The cluster's other nodes, whose CPU counts too.
    pub beside: Vec<String>,
    /// Orders to send.
    pub orders: u64,
    /// Orders in flight at once (closed loop).
    pub concurrency: usize,
    /// Orders per second, whether or not answers come (open loop); at most `concurrency` wait at once.
    pub rate: Option<f64>,
    /// SKUs to choose from.
    pub skus: u32,
    /// Locations to choose from.
    pub locations: u32,
    /// Zipf exponent of the choice of SKU.
    pub skew: f64,
    /// Lines of an order: from, to.
    pub lines: (u32, u32),
    /// Every order is one unit of one SKU at one location.
    pub hot_sku: bool,
    /// Units of each SKU at each location.
    pub stock: u32,
    /// How orders are sent.
    pub transport: Transport,
    /// Repeats the same run.
    pub seed: u64,
    /// Names what is seeded, so that later runs with the name find it there; else each run has
    /// products and locations of its own.
    pub shop: Option<String>,
    /// Drives each order on to delivered.
    pub complete: bool,
    /// Product pages per second that ask what could be had, while orders flow.
    pub pages_per_s: Option<f64>,
}

impl SimulateOptions {
    /// The defaults for a target.
    #[must_use]
    pub fn new(target: &str) -> SimulateOptions {
        SimulateOptions {
            target: target.to_owned(),
            beside: Vec::new(),
            orders: 10_000,
            concurrency: 64,
            rate: None,
            skus: 10_000,
            locations: 50,
            skew: 0.99,
            lines: (1, 4),
            hot_sku: false,
            stock: 1_000_000,
            transport: Transport::Http,
            seed: 1,
            shop: None,
            complete: false,
            pages_per_s: None,
        }
    }
}

/// Latencies in milliseconds, from the intended send time under an open loop.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1,000 are faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct SimulateReport {
    /// Orders sent.
    pub orders_sent: u64,
    /// Orders answered with every unit reserved.
    pub orders_allocated: u64,
    /// Orders answered with some unit waiting for stock.
    pub orders_backordered: u64,
    /// Orders that the server was too busy for (429).
    pub orders_refused: u64,
    /// Orders taken, whose outcome was not there in time (202).
    pub orders_accepted: u64,
    /// Answers that are none of these, and requests without an answer.
    pub errors: u64,
    /// The first few errors, for people.
    pub error_samples: Vec<String>,
    /// Units reserved, by the answers.
    pub units_reserved: u64,
    /// From the first order to the last answer.
    pub duration_s: f64,
    /// Orders that were answered with an outcome, per second.
    pub orders_per_s: f64,
    /// Latencies of answered orders.
    pub latency_ms: Latency,
    /// The longest time in which no order was answered with an outcome, ms, to 10 ms.
    pub longest_gap_ms: u64,
    /// What product pages heard meanwhile, if they were asked for.
    pub pages: Option<PagesReport>,
    /// Units promised beyond what there was, recounted from answers and inventory.
    pub oversold_units: u64,
    /// CPU time of the server, with that of the nodes beside it, per order with an outcome; `None`
    /// if one does not show it.
    pub server_cpu_us_per_order: Option<f64>,
}

/// Seeds the target, drives it, recounts.
///
/// # Errors
/// When the target cannot be reached or refuses to be seeded.
pub async fn simulate(
    options: &SimulateOptions,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<SimulateReport, ClientError> {
    let client = std::sync::Arc::new(Client::new(&options.target)?);
    let beside = options.beside.iter().map(|url| Client::new(url));
    let nodes = Nodes {
        target: std::sync::Arc::clone(&client),
        beside: beside.collect::<Result<_, _>>()?,
    };
    let workload = std::sync::Arc::new(Workload::new(options));
    // Who cannot be reached is heard of before shelves are filled.
    nodes.cpu_seconds().await?;
    seed::seed(&client, &workload, &mut progress).await?;
    nodes.settle().await?;
    let cpu_before = nodes.cpu_seconds().await?;
    let started = std::time::Instant::now();
    let pages = options
        .pages_per_s
        .map(|rate| Pages::begin(&client, &workload, rate));
    let tally = drive::drive(&client, &workload, options, &mut progress).await?;
    let elapsed = started.elapsed();
    let pages = match pages {
        Some(pages) => Some(pages.end().await),
        None => None,
    };
    let cpu_after = nodes.cpu_seconds().await?;
    let oversold_units = seed::oversold(&client, &workload, &tally).await?;
    let cpu = cpu_before.zip(cpu_after);
    Ok(SimulateReport {
        pages,
        ..report(&tally, elapsed, cpu, oversold_units)
    })
}

/// The nodes that work on a run's orders.
struct Nodes {
    target: std::sync::Arc<Client>,
    beside: Vec<Client>,
}

impl Nodes {
    /// What all have used so far; none if one does not show it.
    async fn cpu_seconds(&self) -> Result<Option<f64>, ClientError> {
        let mut sum = 0.0;
        for node in std::iter::once(&*self.target).chain(&self.beside) {
            let Some(used) = node.metric("process_cpu_seconds_total").await? else {
                return Ok(None);
            };
            sum += used;
        }
        Ok(Some(sum))
    }

    /// Waits until they have put away what they were seeded with, as a peer's `CHECKPOINT` does: what
    /// is measured is orders, not the filling of shelves.
    async fn settle(&self) -> Result<(), ClientError> {
        const LOOK_EVERY: Duration = Duration::from_millis(250);
        const LOOKS_MAX: u32 = 240;
        const IDLE_CPU_SECONDS: f64 = 0.02;
        const IDLE_LOOKS: u32 = 3;
        let idle_max = IDLE_CPU_SECONDS * (1 + self.beside.len()) as f64;
        let mut before = self.cpu_seconds().await?;
        let mut idle = 0;
        for _ in 0..LOOKS_MAX {
            if idle == IDLE_LOOKS || before.is_none() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.cpu_seconds().await?;
            let used = now.zip(before).map_or(0.0, |(now, before)| now - before);
            idle = if used <= idle_max { idle + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }
}

fn report(
    tally: &Tally,
    elapsed: Duration,
    cpu: Option<(f64, f64)>,
    oversold_units: u64,
) -> SimulateReport {
    let answered = tally.allocated + tally.backordered + tally.accepted;
    let per_order = |(before, after): (f64, f64)| (after - before) * 1e6 / answered.max(1) as f64;
    SimulateReport {
        orders_sent: tally.sent,
        orders_allocated: tally.allocated,
        orders_backordered: tally.backordered,
        orders_refused: tally.refused,
        orders_accepted: tally.accepted,
        errors: tally.errors,
        error_samples: tally.samples.clone(),
        units_reserved: tally.reserved.values().sum(),
        duration_s: elapsed.as_secs_f64(),
        orders_per_s: answered as f64 / elapsed.as_secs_f64().max(1e-9),
        latency_ms: quantiles(&tally.latency),
        longest_gap_ms: tally.longest_gap_ms(),
        pages: None,
        oversold_units,
        server_cpu_us_per_order: cpu.map(per_order),
    }
}

/// Of latencies in microseconds.
fn quantiles(latency: &Histogram<u64>) -> Latency {
    let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: latency.max() as f64 / 1_000.0,
    }
}
