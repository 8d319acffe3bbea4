//! Reads that may walk over many stored rows, kept off the threads that serve sockets.

use axum::http::StatusCode;
use consign_orchestrator::{ServiceError, Threads};

use crate::problem::Problem;

/// Runs `read` where it may block, if there is such a place.
///
/// # Errors
/// What `read` says; 500 when it panics.
pub async fn blocking<T: Send + 'static>(
    threads: Threads,
    read: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, Problem> {
    match threads.run(read).await {
        Ok(outcome) => outcome.map_err(Problem::from),
        Err(error) => {
            tracing::error!(%error, "a read failed inside");
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the read failed inside; report the request id",
            ))
        }
    }
}
