//! A port of this process: taken first, served once there is something to serve, then ended in order.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use consign_gateway::{Router, Tls};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A port that is taken. Who connects waits until it is served.
pub(crate) struct TakenPort {
    listener: TcpListener,
    address: SocketAddr,
}

/// A port that is served.
pub(crate) struct ServedPort {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl TakenPort {
    /// Takes the port at `asked`, which `setting` has named; port 0 is any free one.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) async fn take(asked: SocketAddr, setting: &str) -> anyhow::Result<TakenPort> {
        let listener = TcpListener::bind(asked)
            .await
            .with_context(|| format!("cannot listen on {asked} ({setting})"))?;
        let address = listener.local_addr()?;
        Ok(TakenPort { listener, address })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves it from here on, inside TLS if there is any.
    pub(crate) fn serve(self, router: Router, tls: Option<Tls>) -> ServedPort {
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async {
            // A dropped sender means the same as a sent word: stop.
            let _ = stopped.await;
        };
        ServedPort {
            address: self.address,
            stop,
            server: tokio::spawn(consign_gateway::serve(self.listener, router, tls, until)),
        }
    }
}

impl ServedPort {
    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets open requests end. It stops taking new ones at once, not when this is awaited.
    pub(crate) fn stop(self) -> impl Future<Output = anyhow::Result<()>> {
        // The server may have ended by itself; then nobody listens.
        let _ = self.stop.send(());
        async move {
            let served = self.server.await.context("the server failed")?;
            served.context("the server failed")
        }
    }
}
