//! Sends the orders, in a closed loop or at a rate, and tallies the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::tally::Tally;
use super::workload::Workload;
use super::{BATCH_ORDERS, SimulateOptions, Transport};
use crate::http::{Client, ClientError, encoded};

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Which order or page comes next, and when it is due.
pub(super) struct Pace {
    next: AtomicU64,
    orders: u64,
    start: Instant,
    interval: Option<Duration>,
}

impl Pace {
    /// So many from now on, at a rate or as fast as they are taken.
    pub(super) fn of(orders: u64, rate: Option<f64>) -> Pace {
        Pace {
            next: AtomicU64::new(0),
            orders,
            start: Instant::now(),
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate.max(1e-3))),
        }
    }

    /// Takes up to `count` orders; none when all are taken.
    pub(super) fn take(&self, count: u64) -> Option<std::ops::Range<u64>> {
        let from = self.next.fetch_add(count, Ordering::Relaxed);
        (from < self.orders).then(|| from..(from + count).min(self.orders))
    }

    /// Waits until order `nth` is due; gives the moment from which its latency counts.
    pub(super) async fn due(&self, nth: u64) -> Instant {
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
    let pace = Arc::new(Pace::of(options.orders, options.rate));
    // One for all: figures that many would keep apart do not fit into a processor's cache.
    let tally = Arc::new(Mutex::new(Tally::since(pace.start)));
    let workers = match options.transport {
        Transport::Http => options.concurrency,
        Transport::Batch => options.concurrency.div_ceil(BATCH_ORDERS),
    };
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        let worker = Worker {
            client: Arc::clone(client),
            workload: Arc::clone(workload),
            pace: Arc::clone(&pace),
            tally: Arc::clone(&tally),
        };
        let (transport, complete) = (options.transport, options.complete);
        tasks.spawn(async move {
            match transport {
                Transport::Http => worker.singles(complete).await,
                Transport::Batch => worker.batches().await,
            }
        });
    }
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(joined) => joined.expect("workers do not panic"),
                None => break,
            },
            _ = ticks.tick() => {
                let taken = pace.next.load(Ordering::Relaxed).min(options.orders);
                progress("orders", taken, options.orders);
            }
        }
    }
    progress("orders", options.orders, options.orders);
    let tally = Arc::into_inner(tally).expect("all workers have ended");
    Ok(tally.into_inner())
}

/// Sends orders on a connection of its own, as long as there are any.
struct Worker {
    client: Arc<Client>,
    workload: Arc<Workload>,
    pace: Arc<Pace>,
    tally: Arc<Mutex<Tally>>,
}

impl Worker {
    async fn singles(&self, complete: bool) {
        let mut connection = Connection::new(&self.client);
        let (mut key, mut body) = (String::new(), String::new());
        while let Some(range) = self.pace.take(1) {
            key.clear();
            self.workload.write_key(range.start, &mut key);
            body.clear();
            body.push('{');
            self.workload.write_order(range.start, &mut body);
            let since = self.pace.due(range.start).await;
            let headers = [
                ("content-type", "application/json"),
                ("idempotency-key", key.as_str()),
            ];
            let answer = connection
                .post("/v1/orders", &headers, body.as_bytes())
                .await;
            let placed = {
                let mut tally = self.tally.lock();
                tally.sent += 1;
                match answer {
                    Ok(answer) => {
                        tally.count(answer.status, answer.body, since);
                        (complete && answer.status == 201).then_some(answer.body)
                    }
                    Err(error) => {
                        tally.error(error.to_string());
                        None
                    }
                }
            };
            if let Some(order) = placed {
                let order: Value = serde_json::from_slice(order).unwrap_or_default();
                let fulfilled = fulfil(&self.client, &order).await;
                let mut tally = self.tally.lock();
                match fulfilled {
                    Ok(()) => tally.completed += 1,
                    Err(error) => tally.error(error.to_string()),
                }
            }
        }
    }

    async fn batches(&self) {
        let mut connection = Connection::new(&self.client);
        let mut body = String::new();
        while let Some(range) = self.pace.take(BATCH_ORDERS as u64) {
            let since = self.pace.due(range.start).await;
            let count = range.end - range.start;
            body.clear();
            for nth in range {
                body.push_str(r#"{"idempotency_key":""#);
                self.workload.write_key(nth, &mut body);
                body.push_str(r#"","#);
                self.workload.write_order(nth, &mut body);
                body.push('\n');
            }
            let headers = [("content-type", "application/x-ndjson")];
            let answer = connection
                .post("/v1/orders/batch", &headers, body.as_bytes())
                .await;
            let mut tally = self.tally.lock();
            tally.sent += count;
            match answer {
                Ok(answer) if answer.status == 200 => {
                    tally.count_batch(answer.body, count, since);
                }
                Ok(answer) if answer.status == 429 => tally.refused += count,
                Ok(answer) => {
                    let what = String::from_utf8_lossy(answer.body);
                    let what = format!("batch: {} {what}", answer.status);
                    (0..count).for_each(|_| tally.error(what.clone()));
                }
                Err(error) => (0..count).for_each(|_| tally.error(error.to_string())),
            }
        }
    }
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
