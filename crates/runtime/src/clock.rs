//! The node's clock: wall time at start plus monotonic time, never behind what the journal holds.
//!
//! In: the time that the journal recorded last. Out: moments that never go back, although the
//! machine's wall clock may be set back while the node runs or between two runs. Tests put their
//! own [`Clock`] in.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use consign_domain::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + Debug + 'static {
    /// This moment; never before a moment that it told earlier.
    fn now(&self) -> Timestamp;
}

/// Wall time when it was made, advanced by the monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    wall: Timestamp,
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Self {
            wall: Timestamp(micros),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.wall.0.saturating_add(micros))
    }
}

/// A clock that only moves when it is told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(start.0))
    }

    /// Moves on by `millis`.
    pub fn advance_millis(&self, millis: i64) {
        self.0
            .fetch_add(millis.saturating_mul(1_000), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A clock raised so that it starts at or after a floor.
#[derive(Debug)]
pub(crate) struct RaisedClock {
    clock: std::sync::Arc<dyn Clock>,
    raised_by: AtomicI64,
}

impl RaisedClock {
    pub(crate) fn new(clock: std::sync::Arc<dyn Clock>) -> RaisedClock {
        RaisedClock {
            clock,
            raised_by: AtomicI64::new(0),
        }
    }

    /// From now on tells no moment before `floor`.
    pub(crate) fn raise_to(&self, floor: Timestamp) {
        let behind = floor.0.saturating_sub(self.clock.now().0).max(0);
        self.raised_by.fetch_max(behind, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        let raised_by = self.raised_by.load(Ordering::Relaxed);
        Timestamp(self.clock.now().0.saturating_add(raised_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_set_back_between_two_runs_does_not_take_time_back() {
        let clock = RaisedClock::new(std::sync::Arc::new(ManualClock::at(Timestamp(1_000))));
        clock.raise_to(Timestamp(5_000));
        assert_eq!(clock.now(), Timestamp(5_000));
        clock.raise_to(Timestamp(2_000));
        assert_eq!(clock.now(), Timestamp(5_000));
    }

    #[test]
    fn the_system_clock_never_goes_back() {
        let clock = SystemClock::default();
        let first = clock.now();
        assert!(clock.now() >= first && first > Timestamp::ZERO);
    }
}
