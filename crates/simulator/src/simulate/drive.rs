//! Sends the orders, in a closed loop or at a rate, and tallies the answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::workload::Workload;
use super::{BATCH_ORDERS, SimulateOptions, Transport};
use crate::http::{Client, ClientError, encoded};

/// Errors whose words are kept.
const SAMPLES_MAX: usize = 5;
/// Latencies up to a minute, in microseconds, to three digits.
const LATENCY_MAX_US: u64 = 60_000_000;
/// What gaps between answers are measured in.
const GAP_RESOLUTION_MS: u128 = 10;
/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// What the answers were.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    /// Hundredths of a second since the start in which an order was answered.
    answered: BTreeSet<u32>,
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
    pub(super) reserved: HashMap<String, u64>,
}

impl Tally {
    fn since(start: Instant) -> Tally {
        Tally {
            start,
            answered: BTreeSet::new(),
            sent: 0,
            allocated: 0,
            backordered: 0,
            accepted: 0,
            refused: 0,
            completed: 0,
            errors: 0,
            samples: Vec::new(),
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds in order"),
            reserved: HashMap::new(),
        }
    }

    fn merge(&mut self, other: Tally) {
        self.answered.extend(other.answered);
        self.sent += other.sent;
        self.allocated += other.allocated;
        self.backordered += other.backordered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.completed += other.completed;
        self.errors += other.errors;
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES_MAX);
        self.latency.add(&other.latency).expect("the same bounds");
        for (sku, units) in other.reserved {
            *self.reserved.entry(sku).or_default() += units;
        }
    }

    fn error(&mut self, what: String) {
        self.errors += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(what);
        }
    }

    /// Counts one order's answer.
    fn count(&mut self, status: u16, order: &[u8], since: Instant) {
        match status {
            201 => match serde_json::from_slice::<OrderAnswer<'_>>(order) {
                Ok(order) => self.count_placed(order, since),
                Err(_) => self.error("an order that is not understood".to_owned()),
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

    fn time(&mut self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(LATENCY_MAX_US);
        self.latency.saturating_record(micros);
        let at = self.start.elapsed().as_millis() / GAP_RESOLUTION_MS;
        self.answered.insert(u32::try_from(at).unwrap_or(u32::MAX));
    }

    /// The longest time in which no order was answered, ms, to the resolution.
    pub(super) fn longest_gap_ms(&self) -> u64 {
        let pairs = self.answered.iter().zip(self.answered.iter().skip(1));
        let slots = pairs.map(|(earlier, later)| later - earlier).max();
        u64::from(slots.unwrap_or(0)) * GAP_RESOLUTION_MS as u64
    }

    fn count_placed(&mut self, order: OrderAnswer<'_>, since: Instant) {
        self.time(since);
        let mut short = 0;
        for line in order.lines {
            short += line.backordered;
            let reserved: u64 = line.allocations.iter().map(|at| at.quantity).sum();
            match self.reserved.get_mut(line.sku) {
                Some(units) => *units += reserved,
                None => drop(self.reserved.insert(line.sku.to_owned(), reserved)),
            }
        }
        if short == 0 && order.status != "backordered" {
            self.allocated += 1;
        } else {
            self.backordered += 1;
        }
    }
}

/// What of an order's answer is looked at.
#[derive(serde::Deserialize)]
struct OrderAnswer<'a> {
    status: &'a str,
    #[serde(borrow)]
    lines: Vec<LineAnswer<'a>>,
}

#[derive(serde::Deserialize)]
struct LineAnswer<'a> {
    sku: &'a str,
    allocations: Vec<Allocation>,
    backordered: u64,
}

#[derive(serde::Deserialize)]
struct Allocation {
    quantity: u64,
}

/// Which order comes next, and when it is due.
struct Pace {
    next: AtomicU64,
    orders: u64,
    start: Instant,
    interval: Option<Duration>,
}

impl Pace {
    /// Takes up to `count` orders; none when all are taken.
    fn take(&self, count: u64) -> Option<std::ops::Range<u64>> {
        let from = self.next.fetch_add(count, Ordering::Relaxed);
        (from < self.orders).then(|| from..(from + count).min(self.orders))
    }

    /// Waits until order `nth` is due; gives the moment from which its latency counts.
    async fn due(&self, nth: u64) -> Instant {
        let Some(interval) = self.interval else {
            return Instant::now();
        };
        let due = self.start + interval.mul_f64(nth as f64);
        tokio::time::sleep_until(due.into()).await;
        due
    }
}

pub(super) async fn drive(
    client: &Arc<Client>,
    workload: &Arc<Workload>,
    options: &SimulateOptions,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<Tally, ClientError> {
    let interval = options
        .rate
        .map(|rate| Duration::from_secs_f64(1.0 / rate.max(1e-3)));
    let pace = Pace {
        next: AtomicU64::new(0),
        orders: options.orders,
        start: Instant::now(),
        interval,
    };
    let pace = Arc::new(pace);
    let workers = match options.transport {
        Transport::Http => options.concurrency,
        Transport::Batch => options.concurrency.div_ceil(BATCH_ORDERS),
    };
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        let (client, workload, pace) =
            (Arc::clone(client), Arc::clone(workload), Arc::clone(&pace));
        let (transport, complete) = (options.transport, options.complete);
        tasks.spawn(async move {
            match transport {
                Transport::Http => singles(&client, &workload, &pace, complete).await,
                Transport::Batch => batches(&client, &workload, &pace).await,
            }
        });
    }
    let mut tally = Tally::since(pace.start);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(joined) => tally.merge(joined.expect("workers do not panic")),
                None => break,
            },
            _ = ticks.tick() => {
                let taken = pace.next.load(Ordering::Relaxed).min(options.orders);
                progress("orders", taken, options.orders);
            }
        }
    }
    progress("orders", options.orders, options.orders);
    Ok(tally)
}

async fn singles(client: &Client, workload: &Workload, pace: &Pace, complete: bool) -> Tally {
    let mut tally = Tally::since(pace.start);
    while let Some(range) = pace.take(1) {
        let order = workload.order(range.start);
        let since = pace.due(range.start).await;
        tally.sent += 1;
        let headers = [("idempotency-key", order.key.as_str())];
        let answer = client
            .send(
                Method::POST,
                "/v1/orders",
                &headers,
                Bytes::from(order.body),
            )
            .await;
        match answer {
            Ok(answer) => {
                tally.count(answer.status.as_u16(), &answer.body, since);
                if complete && answer.status == StatusCode::CREATED {
                    match fulfil(client, &answer.json()).await {
                        Ok(()) => tally.completed += 1,
                        Err(error) => tally.error(error.to_string()),
                    }
                }
            }
            Err(error) => tally.error(error.to_string()),
        }
    }
    tally
}

/// Drives an order's fulfillment orders to delivered.
async fn fulfil(client: &Client, order: &Value) -> Result<(), ClientError> {
    for fulfillment in order["fulfillment_orders"].as_array().into_iter().flatten() {
        let id = fulfillment["id"].as_str().unwrap_or_default();
        for step in ["pick", "pack"] {
            client
                .post(
                    &format!("/v1/fulfillment-orders/{id}/{step}"),
                    &format!("{id}-{step}"),
                    &json!({}),
                )
                .await?;
        }
        let number = format!("T{id}");
        let ship = json!({"tracking_number": number});
        client
            .post(
                &format!("/v1/fulfillment-orders/{id}/ship"),
                &format!("{id}-ship"),
                &ship,
            )
            .await?;
        let scan =
            json!({"tracking_number": number, "status": "delivered", "signature": "A. Customer"});
        client
            .post("/v1/tracking-events", &format!("{id}-scan"), &scan)
            .await?;
    }
    debug_assert!(encoded("-f1") == "-f1", "ids stand in paths as they are");
    Ok(())
}

async fn batches(client: &Client, workload: &Workload, pace: &Pace) -> Tally {
    let mut tally = Tally::since(pace.start);
    while let Some(range) = pace.take(BATCH_ORDERS as u64) {
        let since = pace.due(range.start).await;
        let count = range.end - range.start;
        tally.sent += count;
        let mut body = String::new();
        for order in range.map(|nth| workload.order(nth)) {
            let rest = order.body.strip_prefix('{').unwrap_or_default();
            body.push_str(&format!("{{\"idempotency_key\":\"{}\",{rest}\n", order.key));
        }
        let headers = [("content-type", "application/x-ndjson")];
        match client
            .send(
                Method::POST,
                "/v1/orders/batch",
                &headers,
                Bytes::from(body),
            )
            .await
        {
            Ok(answer) if answer.status == StatusCode::OK => {
                let mut answered = 0;
                for line in answer
                    .body
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    answered += 1;
                    count_line(&mut tally, line, since);
                }
                for _ in answered..count {
                    tally.error("a line of a batch without an answer".to_owned());
                }
            }
            Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => tally.refused += count,
            Ok(answer) => {
                let what = format!(
                    "batch: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                );
                (0..count).for_each(|_| tally.error(what.clone()));
            }
            Err(error) => (0..count).for_each(|_| tally.error(error.to_string())),
        }
    }
    tally
}

/// One answer of a batch.
#[derive(serde::Deserialize)]
struct BatchAnswer<'a> {
    status: u16,
    #[serde(borrow)]
    order: Option<OrderAnswer<'a>>,
    #[serde(borrow)]
    problem: Option<&'a serde_json::value::RawValue>,
}

fn count_line(tally: &mut Tally, line: &[u8], since: Instant) {
    match serde_json::from_slice::<BatchAnswer<'_>>(line) {
        Ok(BatchAnswer {
            status: 201,
            order: Some(order),
            ..
        }) => tally.count_placed(order, since),
        Ok(BatchAnswer {
            status, problem, ..
        }) => {
            let problem = problem.map_or("", |raw| raw.get());
            tally.count(status, problem.as_bytes(), since);
        }
        Err(error) => tally.error(format!("a line of a batch that is not understood: {error}")),
    }
}
