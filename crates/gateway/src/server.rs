//! Serves a router on a listener: HTTP/1.1 with keep-alive, bounded connections, bounded heads,
//! slow clients cut off, and an orderly end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT};

/// Connections beyond the bound that are told so at once; further ones are closed unanswered.
const REFUSALS_MAX: usize = 64;
/// How long a refused client may take to send its request.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait after an accept failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a connection beyond the bound hears.
const REFUSAL: &str = concat!(
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n",
    "content-type: application/problem+json\r\ncontent-length: 200\r\n\r\n",
    r#"{"type":"urn:consign:problem:too_many_requests","title":"Too many requests","status":429,"code":"too_many_requests","#,
    r#""detail":"too many connections are open; connect again later","retry_after_ms":1000}"#,
);

/// Serves until `shutdown` is done, then lets open requests end, for a bounded time.
///
/// # Errors
/// Never for one connection's sake; only when the listener itself is broken.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Server {
        permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        router,
        stopping: CancellationToken::new(),
        cut: CancellationToken::new(),
        connections: TaskTracker::new(),
    };
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => server.take(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    server.stop().await;
    Ok(())
}

struct Server {
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    router: Router,
    stopping: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    fn take(&self, stream: TcpStream) {
        // Small answers must not wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let connection = attend(
                stream,
                self.router.clone(),
                self.stopping.clone(),
                self.cut.clone(),
                permit,
            );
            self.connections.spawn(connection);
        } else if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.connections.spawn(refuse(stream, permit));
        }
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.connections.wait())
            .await
            .is_err()
        {
            tracing::info!(
                open = self.connections.len(),
                "cutting connections that do not end"
            );
            self.cut.cancel();
            self.connections.wait().await;
        }
    }
}

/// What a connection is told while it is served.
enum Told {
    /// End with the request under way.
    Stop,
    /// End now.
    Cut,
}

/// Serves one connection until it ends.
async fn attend(
    stream: TcpStream,
    router: Router,
    stopping: CancellationToken,
    cut: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(true)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // Looked at only when one of them calls: a token that is asked takes a lock of all connections.
    let mut told = FuturesUnordered::from_iter([
        stopping
            .cancelled_owned()
            .map(|()| Told::Stop)
            .left_future(),
        cut.cancelled_owned().map(|()| Told::Cut).right_future(),
    ]);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            Some(told) = told.next() => match told {
                Told::Stop => connection.as_mut().graceful_shutdown(),
                Told::Cut => return,
            }
        }
    }
}

/// Tells a client that there are too many. Its request is read first, else closing the socket
/// with unread bytes would reset the connection before the answer is seen.
async fn refuse(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let telling = async {
        let mut request = [0_u8; 4_096];
        let _ = stream.read(&mut request).await?;
        stream.write_all(REFUSAL.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whether the client hears it is its own affair.
    let _: Result<io::Result<()>, _> = tokio::time::timeout(REFUSAL_TIMEOUT, telling).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_response() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["code"], "too_many_requests");
    }
}
