//! Who may come in: permits for outside work, never for messages between entities.
//!
//! In: outside commands. Out: a [`Permit`] that travels with the command until its reply, or a
//! typed "busy, retry after". Waiting is bounded in number and time (L8). Because entities never
//! wait for a permit, two of them can never wait for each other's room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::Busy;

/// What a refused caller is told to wait, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// The right to have one outside command in flight.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    total: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait_max: Duration,
    /// Set while the journal is far over its bound.
    overrun: AtomicBool,
}

impl Admission {
    pub(crate) fn new(total: usize, waiting_max: usize, wait_max: Duration) -> Admission {
        Admission {
            permits: Arc::new(Semaphore::new(total)),
            total,
            waiting: AtomicUsize::new(0),
            waiting_max,
            wait_max,
            overrun: AtomicBool::new(false),
        }
    }

    /// A permit, if there is one right now.
    pub(crate) fn try_admit(&self) -> Result<Permit, Busy> {
        if self.overrun.load(Ordering::Relaxed) {
            return Err(busy());
        }
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(_) => Err(busy()),
        }
    }

    /// A permit, waiting for it a bounded time among a bounded number.
    pub(crate) async fn admit(&self) -> Result<Permit, Busy> {
        if let Ok(permit) = self.try_admit() {
            return Ok(permit);
        }
        if self.overrun.load(Ordering::Relaxed) {
            return Err(busy());
        }
        let _waiting = Waiting::enter(self).ok_or_else(busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.wait_max, permit).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    pub(crate) fn set_overrun(&self, overrun: bool) {
        self.overrun.store(overrun, Ordering::Relaxed);
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.total.saturating_sub(self.permits.available_permits())
    }
}

fn busy() -> Busy {
    metrics::counter!("consign_runtime_busy_total").increment(1);
    Busy {
        retry_after_ms: RETRY_AFTER_MS,
    }
}

/// Counts one that waits, however its wait ends.
struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn enter(admission: &'a Admission) -> Option<Waiting<'a>> {
        let before = admission.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(admission);
        (before < admission.waiting_max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_come_back_and_waiting_is_bounded() {
        let admission = Admission::new(1, 1, Duration::from_millis(100));
        let first = admission.admit().await.expect("free");
        assert_eq!(admission.in_flight(), 1);
        assert!(admission.try_admit().is_err());
        let (second, third) = tokio::join!(admission.admit(), admission.admit());
        assert!(second.is_err() && third.is_err());
        drop(first);
        assert!(admission.admit().await.is_ok());
        admission.set_overrun(true);
        assert!(admission.admit().await.is_err());
    }
}
