//! Whether the other end of a connection is still there: bytes that come or go are its pulse.
//!
//! Counted in bytes and not in frames, because a large frame over a slow line takes longer than a
//! node may be silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

/// How long the other end may give no sign of life; it is pinged more often. A replica's election
/// comes well before.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// The last sign of life.
#[derive(Clone)]
pub(crate) struct Alive(Arc<Mutex<Instant>>);

impl Alive {
    pub(crate) fn now() -> Alive {
        Alive(Arc::new(Mutex::new(Instant::now())))
    }

    /// There was one.
    pub(crate) fn sign(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Ends when there was no sign for too long.
    pub(crate) async fn silence(&self) {
        loop {
            let end = *self.0.lock() + SILENCE_MAX;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A reader whose bytes are signs of life.
pub(crate) struct Watched<R>(pub(crate) R, pub(crate) Alive);

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.0).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.1.sign();
        }
        Poll::Ready(read)
    }
}
