//! Whether slow work has threads of its own.
//!
//! In a server it has: the disk must not hold up those who poll sockets. In a simulation, which must
//! replay exactly, everything happens on the one thread that polls.

use std::time::Duration;

use futures::future::Either;

/// Where work is done that waits for the disk.
#[derive(Clone, Copy, Debug, Default)]
pub enum Threads {
    /// On threads of its own.
    #[default]
    Own,
    /// Where it is asked for.
    None {
        /// How long the next row takes to be written to the log.
        write_takes: fn() -> Duration,
    },
}

/// Work that ended in a panic, or was never begun because the process ends.
#[derive(Debug, thiserror::Error)]
#[error("it failed inside: {0}")]
pub struct WorkFailed(String);

impl Threads {
    /// Begins `work` at once; the future gives what it gave.
    ///
    /// # Errors
    /// When it panicked on its thread.
    pub fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, WorkFailed>> + Send {
        let begun = match self {
            Threads::Own => Either::Left(tokio::task::spawn_blocking(work)),
            Threads::None { .. } => Either::Right(work()),
        };
        async {
            match begun {
                Either::Left(thread) => thread.await.map_err(|e| WorkFailed(e.to_string())),
                Either::Right(done) => Ok(done),
            }
        }
    }
}
