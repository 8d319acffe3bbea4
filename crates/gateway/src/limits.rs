//! The bounds of the edge (L8): what one request may be, and how much may be under way at once.
//! Over any of them the client hears so; nothing queues without a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

use crate::problem::Problem;

/// The largest body of one request. An order of 2,000 lines fits.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a refused body that are read and thrown away, so that its client hears the refusal.
pub const DISCARDED_BYTES_MAX: usize = 8 << 20;
/// Bytes of bodies held for all requests at once.
pub const BODIES_BYTES_MAX: usize = 64 << 20;
/// The longest line of a batch.
pub const BATCH_LINE_BYTES_MAX: usize = 1 << 20;
/// Lines of one batch that are worked on at once.
pub const BATCH_LINES_IN_FLIGHT_MAX: usize = 64;
/// Batches that run at once.
pub const BATCHES_MAX: usize = 64;
/// Event streams that are open at once.
pub const EVENT_STREAMS_MAX: usize = 256;
/// Requests under way at once.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 2_048;
/// Connections open at once.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Items of a page when the client does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Items of a page at most.
pub const PAGE_ITEMS_MAX: usize = 500;
/// How long a request may take until its response's head.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an order's caller waits for the outcome before it hears 202.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a batch's client may send nothing.
pub const BATCH_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take over a request's head, and how long a kept connection may idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long open requests may take once the server is told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// When a shed client should come again.
pub const SHED_RETRY_MS: u64 = 1_000;

/// A number of things under way, with a bound.
#[derive(Clone, Debug)]
pub struct Bound(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    taken: AtomicUsize,
    most: usize,
    what: &'static str,
}

impl Bound {
    /// At most `most` of `what`.
    #[must_use]
    pub fn new(what: &'static str, most: usize) -> Bound {
        Bound(Arc::new(Counted {
            taken: AtomicUsize::new(0),
            most,
            what,
        }))
    }

    /// Takes `count`, given back when the answer is dropped.
    ///
    /// # Errors
    /// 429 when the bound would be passed.
    pub fn take(&self, count: usize) -> Result<Taken, Problem> {
        let mut taken = Taken {
            bound: self.clone(),
            count: 0,
        };
        taken.grow(count)?;
        Ok(taken)
    }

    /// How many are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    #[cold]
    fn refusal(&self) -> Problem {
        let Counted { most, what, .. } = &*self.0;
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("more than {most} {what} are under way; nothing was done, send the request again later"),
        )
        .retry_after(SHED_RETRY_MS)
    }
}

/// Part of a bound that is in use.
#[derive(Debug)]
pub struct Taken {
    bound: Bound,
    count: usize,
}

impl Taken {
    /// Takes `more` of the same.
    ///
    /// # Errors
    /// 429 when the bound would be passed; what was taken before stays taken.
    pub fn grow(&mut self, more: usize) -> Result<(), Problem> {
        let counted = &self.bound.0;
        let before = counted.taken.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > counted.most {
            counted.taken.fetch_sub(more, Ordering::Relaxed);
            return Err(self.bound.refusal());
        }
        self.count += more;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.bound.0.taken.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_comes_back() {
        let bound = Bound::new("things", 3);
        let two = bound.take(2).expect("room");
        let refused = bound.take(2).expect_err("no room");
        assert_eq!(
            (refused.status.as_u16(), refused.retry_after_ms),
            (429, Some(SHED_RETRY_MS))
        );
        assert_eq!(bound.taken(), 2);
        let mut one = bound.take(1).expect("room");
        assert!(one.grow(1).is_err());
        assert_eq!(bound.taken(), 3);
        drop((two, one));
        assert_eq!(bound.taken(), 0);
    }
}
