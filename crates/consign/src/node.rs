//! One node in this process: the service, its HTTP interface, its admin port and socket.
//!
//! In: [`Settings`]. Out: a node that serves until it is told to stop, or until its storage fails:
//! then it refuses for a moment, so that clients hear why, and ends with an error (L2: nothing is
//! acknowledged after a failed write).

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use consign_gateway::GatewayOptions;
use consign_orchestrator::{Consign, ConsignOptions, Readiness};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::task::JoinSet;

use crate::admin::AdminSocket;
use crate::cluster::ClusterEnd;
use crate::exit::Failure;
use crate::listening::{ServedPort, TakenPort};
use crate::settings::{AdminPort, Settings};

/// How often the node's health is looked at.
const HEALTH_EVERY: Duration = Duration::from_millis(200);
/// How long a node with failed storage goes on refusing before its process ends.
const REFUSE_FOR: Duration = Duration::from_secs(2);
/// Upper bounds of the buckets of every histogram of seconds.
const SECONDS_BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// A node that serves.
pub(crate) struct RunningNode {
    consign: Consign,
    public: ServedPort,
    admin_port: Option<ServedPort>,
    /// Those who follow the admin port's files.
    following: Option<JoinSet<()>>,
    admin: Option<AdminSocket>,
    cluster: Option<ClusterEnd>,
}

impl RunningNode {
    /// Opens the data directory, recovers, and listens, also on the admin port if there is to be one.
    /// Must run inside a tokio runtime.
    ///
    /// # Errors
    /// When an address is taken, or the data cannot be opened.
    pub(crate) async fn start(
        settings: &Settings,
        admin_port: Option<&AdminPort>,
    ) -> anyhow::Result<RunningNode> {
        let asked = SocketAddr::new(settings.server.address, settings.server.port);
        // Before the data is opened: a port that is taken is found at once, not after a recovery.
        let public = TakenPort::take(asked, "server.port").await?;
        let admin_port = match admin_port {
            Some(port) => Some((TakenPort::take(port.listen, "admin.listen").await?, port)),
            None => None,
        };
        let metrics = metrics_handle()?;
        let data = &settings.storage.data;
        let cluster = ClusterEnd::open(&settings.cluster).await?;
        let options = ConsignOptions {
            cluster: cluster.as_ref().map(ClusterEnd::options),
            ..settings.consign()
        };
        let consign = Consign::open(options)
            .await
            .with_context(|| format!("cannot open {}", data.display()))?;
        if let Some(cluster) = &cluster {
            cluster.answer_for(&consign);
        }
        let admin = match AdminSocket::open(data, consign.clone()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("no online backups: {error:#}");
                None
            }
        };
        let options = GatewayOptions {
            metrics: Some(metrics),
            admin_port: admin_port.as_ref().map(|(port, _)| port.address().port()),
            ..settings.gateway()
        };
        if admin_port.is_none() && !consign.is_alone() {
            warn_of_open_operations(settings);
        }
        let router = consign_gateway::router(consign.clone(), options.clone());
        let following = admin_port.as_ref().map(|(_, with)| with.follow_files());
        let admin_port = admin_port.map(|(port, with)| {
            let tls = with.tls.as_ref().map(|(_, tls)| tls.clone());
            tracing::info!(address = %port.address(), tls = tls.is_some(), "operators are served on the admin port");
            let tokens = with.tokens.clone();
            let router = consign_gateway::admin_router(consign.clone(), options, tokens);
            port.serve(router, tls)
        });
        Ok(RunningNode {
            consign,
            public: public.serve(router, None),
            admin_port,
            following,
            admin,
            cluster,
        })
    }

    /// Where it serves, for people and for `--target`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public.address())
    }

    /// Serves until `ended` is done or storage fails, then stops in order.
    ///
    /// # Errors
    /// When storage failed: the reason.
    pub(crate) async fn run_until(self, ended: impl Future<Output = ()>) -> Result<(), Failure> {
        let failure = tokio::select! {
            () = ended => None,
            reason = self.failed() => Some(reason),
        };
        if let Some(reason) = &failure {
            tracing::error!(reason, "storage failed; refusing, then stopping");
            tokio::time::sleep(REFUSE_FOR).await;
        }
        self.stop().await?;
        match failure {
            None => Ok(()),
            Some(reason) => Err(Failure::Stopped(reason)),
        }
    }

    /// Done when the node can serve no more.
    async fn failed(&self) -> String {
        loop {
            tokio::time::sleep(HEALTH_EVERY).await;
            if let Readiness::Stopped { reason } = self.consign.readiness() {
                return reason;
            }
        }
    }

    /// Lets open requests end, then writes a last checkpoint.
    ///
    /// # Errors
    /// When the server had failed.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // Requests go on meanwhile: they are answered where their entities live by then.
        self.consign.hand_over().await;
        // Both take nothing new from here on, then each may take its time.
        let stopping = (self.public.stop(), self.admin_port.map(ServedPort::stop));
        let served = stopping.0.await;
        let served_operators = match stopping.1 {
            Some(stopped) => stopped.await,
            None => Ok(()),
        };
        drop(self.following);
        if let Some(admin) = self.admin {
            admin.close();
        }
        self.consign.shutdown().await;
        if let Some(cluster) = self.cluster {
            cluster.close();
        }
        served.and(served_operators)
    }
}

/// Whoever reaches the only port of a cluster's node may take nodes out of the cluster.
fn warn_of_open_operations(settings: &Settings) {
    let address = settings.server.address;
    if !address.to_canonical().is_loopback() {
        tracing::warn!(
            %address,
            "anybody who reaches this node's port can change the cluster: set admin.listen and admin.token_file"
        );
    }
}

/// The process's metrics; installed once, also when a process runs several nodes after another.
fn metrics_handle() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Catches SIGINT and SIGTERM from now on; the future is done at the first of them. Call it before
/// telling anyone that the node serves: whoever hears that may send a signal at once.
///
/// # Errors
/// When the system refuses the handlers.
pub(crate) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("told to stop; letting open requests end");
    })
}
