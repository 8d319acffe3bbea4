//! A running node: the service behind its listener, and the way to its end.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use consign_gateway::GatewayOptions;
use consign_orchestrator::{Consign, Readiness};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// How often a serving node looks whether its journal still works.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);

/// A node that serves.
pub struct Running {
    /// The service, for commands of this process.
    pub service: Consign,
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Opens the data directory and starts to serve.
    ///
    /// # Errors
    /// When the data cannot be opened or the port is taken.
    pub async fn start(config: &Config) -> anyhow::Result<Running> {
        let data = config.node.data.display().to_string();
        let service =
            Consign::open(config.service()).await.with_context(|| format!("cannot open the data in {data}"))?;
        let wanted = SocketAddr::new(config.http.address, config.http.port);
        let listener =
            TcpListener::bind(wanted).await.with_context(|| format!("cannot listen on {wanted}"))?;
        let address = listener.local_addr().context("cannot tell the port")?;
        let router = consign_gateway::router(service.clone(), GatewayOptions::default());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let server = tokio::spawn(consign_gateway::serve(listener, router, async move {
            stopping.cancelled().await;
        }));
        Ok(Running { service, address, stop, server })
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until a signal comes or the journal fails.
    ///
    /// # Errors
    /// When the journal failed: nothing was acknowledged since, and the reason is told.
    pub async fn until_stopped(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let failed = async {
            loop {
                if let Readiness::NotReady { reason } = self.service.readiness() {
                    return reason;
                }
                tokio::time::sleep(HEALTH_INTERVAL).await;
            }
        };
        let failure = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            reason = failed => Some(reason),
        };
        if let Some(reason) = failure {
            tracing::error!(reason, "consign stops serving: what was not acknowledged is to be retried after a restart");
            self.stop.cancel();
            anyhow::bail!("stopped serving: {reason}");
        }
        tracing::info!("told to stop: finishing what is in flight");
        self.stop().await
    }

    /// Takes no more requests, lets open ones end, writes a last checkpoint.
    ///
    /// # Errors
    /// When the server task broke.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.server.await.context("the server task broke")?.context("the server broke")?;
        self.service.shutdown().await;
        Ok(())
    }
}

/// Tells, in one line on standard output, where the node is reached.
///
/// # Errors
/// When standard output is closed.
pub fn announce(url: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "consign is serving on {url}").and_then(|()| out.flush()).context("cannot write to standard output")
}
