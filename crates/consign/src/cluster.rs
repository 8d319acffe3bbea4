//! This process among the nodes of a cluster: its certificates, its transport, its lines.
//!
//! In: the table `[cluster]`. Out: what the service needs to replicate and to reach entities of other
//! nodes. The transport listens before the service opens, and answers once it has.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use consign_cluster::{
    ClusterId, Ears, Identity, NodeId, NodeLines, SystemNetwork, Transport, TransportOptions,
    WIRE_VERSION_OLDEST,
};
use consign_orchestrator::{ClusterOptions, Consign, ReplicaOptions, Timing};

use crate::settings::ClusterSettings;

/// This node's end of all lines to others.
pub(crate) struct ClusterEnd {
    lines: Arc<NodeLines>,
    transport: Transport,
    options: ClusterOptions,
}

impl ClusterEnd {
    /// Listens for other nodes; `None` for a node that runs alone.
    ///
    /// # Errors
    /// When a certificate cannot be read, or the address cannot be listened at.
    pub(crate) async fn open(settings: &ClusterSettings) -> anyhow::Result<Option<ClusterEnd>> {
        if settings.node == 0 {
            return Ok(None);
        }
        let node = NodeId(settings.node);
        let dir = &settings.certificates;
        let authority = read(&dir.join("authority.pem"))?;
        let certificate = read(&dir.join(format!("{node}.pem")))?;
        let key = read(&dir.join(format!("{node}.key")))?;
        let identity = Identity::from_pem(&authority, &certificate, &key)
            .with_context(|| format!("the certificates in {} do not serve", dir.display()))?;
        // Nodes with certificates of one authority are one cluster.
        let cluster = ClusterId(xxhash_rust::xxh3::xxh3_128(authority.as_bytes()));
        let listen = settings.listen_address()?;
        let lines = Arc::new(NodeLines::default());
        let options = TransportOptions {
            versions: (WIRE_VERSION_OLDEST, settings.wire_version_newest),
            ..TransportOptions::new(cluster, node, &listen, identity)
        };
        let ears = Arc::new(Ears(Arc::clone(&lines)));
        let transport = Transport::start(SystemNetwork, options, ears)
            .await
            .with_context(|| format!("cannot listen for other nodes on {listen}"))?;
        tracing::info!(%listen, newest = settings.wire_version_newest, "other nodes are heard");
        let members = settings.members()?;
        for (other, address) in members.iter().filter(|(other, _)| *other != node.0) {
            transport.set_peer(NodeId(*other), address);
        }
        lines.speak(transport.clone());
        let options = ClusterOptions {
            replicas: ReplicaOptions {
                node: node.0,
                members: members.into_iter().collect(),
                timing: Timing {
                    heartbeat: Duration::from_millis(settings.heartbeat_ms),
                    election: Duration::from_millis(settings.election_timeout_ms),
                    seal_after: Duration::from_millis(settings.seal_after_ms),
                },
                wire: Arc::clone(&lines) as _,
            },
            remote: Arc::clone(&lines) as _,
        };
        Ok(Some(ClusterEnd {
            lines,
            transport,
            options,
        }))
    }

    /// What the service is opened with.
    pub(crate) fn options(&self) -> ClusterOptions {
        self.options.clone()
    }

    /// Answers other nodes from here on.
    pub(crate) fn answer_for(&self, consign: &Consign) {
        self.lines.answer_for(consign.node());
    }

    /// Leaves.
    pub(crate) fn close(&self) {
        self.transport.stop();
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read {}; `consign certs` makes certificates",
            path.display()
        )
    })
}
