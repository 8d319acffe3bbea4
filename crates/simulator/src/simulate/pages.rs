//! Product pages that are looked at while orders flow: each asks what could be had of a SKU.
//!
//! In: a target and a rate. Out: how many were answered, and how fast, from the moment a page was meant
//! to be asked for (open loop). It goes on until the orders have ended.

use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::drive::Pace;
use super::tally::latencies;
use super::workload::Workload;
use super::{Latency, quantiles};
use crate::http::Client;

/// Pages that are waited for at once, at most.
const CONNECTIONS: usize = 64;

/// What asking for pages came to.
#[derive(Clone, Debug, Serialize)]
pub struct PagesReport {
    /// Pages answered.
    pub answered: u64,
    /// Pages not answered, or with something else.
    pub errors: u64,
    /// The first error, for people.
    pub error_sample: Option<String>,
    /// Pages answered per second.
    pub per_s: f64,
    /// Latencies of answered pages.
    pub latency_ms: Latency,
}

/// What the answers were so far.
struct Seen {
    latency: Histogram<u64>,
    errors: u64,
    error_sample: Option<String>,
}

/// Pages that are being asked for.
pub(super) struct Pages {
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
    start: Instant,
}

impl Pages {
    /// Begins to ask for `rate` pages a second.
    pub(super) fn begin(client: &Arc<Client>, workload: &Arc<Workload>, rate: f64) -> Pages {
        let start = Instant::now();
        let seen = Arc::new(Mutex::new(Seen {
            latency: latencies(),
            errors: 0,
            error_sample: None,
        }));
        let pace = Arc::new(Pace::of(u64::MAX, Some(rate)));
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, workload) = (Arc::clone(client), Arc::clone(workload));
            let (pace, seen) = (Arc::clone(&pace), Arc::clone(&seen));
            tasks.spawn(async move {
                let mut connection = Connection::new(&client);
                let mut path = String::new();
                while let Some(range) = pace.take(1) {
                    path.clear();
                    workload.write_page(range.start, &mut path);
                    let due = pace.due(range.start).await;
                    let heard = connection.get(&path).await;
                    let mut seen = seen.lock();
                    match heard {
                        Ok(heard) if heard.status == 200 => {
                            let micros = due.elapsed().as_micros();
                            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
                            seen.latency.saturating_record(micros);
                        }
                        Ok(heard) => {
                            let body = String::from_utf8_lossy(heard.body).into_owned();
                            seen.failed(format!("{}: {body}", heard.status));
                        }
                        Err(error) => seen.failed(error.to_string()),
                    }
                }
            });
        }
        Pages { tasks, seen, start }
    }

    /// Ends: pages under way are not waited for.
    pub(super) async fn end(mut self) -> PagesReport {
        let seconds = self.start.elapsed().as_secs_f64();
        self.tasks.shutdown().await;
        let seen = self.seen.lock();
        PagesReport {
            answered: seen.latency.len(),
            errors: seen.errors,
            error_sample: seen.error_sample.clone(),
            per_s: seen.latency.len() as f64 / seconds.max(1e-9),
            latency_ms: quantiles(&seen.latency),
        }
    }
}

impl Seen {
    fn failed(&mut self, what: String) {
        self.errors += 1;
        self.error_sample.get_or_insert(what);
    }
}
