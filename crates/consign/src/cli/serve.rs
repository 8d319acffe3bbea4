//! `consign serve`: one node until it is told to stop.

use std::io::Write as _;

use crate::cli::node_options::{self, NodeArguments};
use crate::exit::Failure;
use crate::logging;
use crate::node::{self, RunningNode};

/// Serves one node until it is told to stop.
///
/// Prints one line on stdout when it is ready: `consign is serving on http://127.0.0.1:8080`. The
/// log goes to stderr. SIGINT and SIGTERM let open requests end and write a last checkpoint. When
/// storage fails, nothing more is acknowledged: clients hear why for a moment, then the process
/// ends with exit code 4.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign serve --config cluster-config/one-node.toml
  consign serve --data /var/lib/consign --port 8080
  consign serve --config cluster-config/three-nodes.toml --node 2 --data data/node2 --port 8081
  CONSIGN__LOG__FORMAT=json consign serve --data /var/lib/consign

Then: http://127.0.0.1:8080/docs to try every route, /metrics for Prometheus, /readyz for probes.")]
pub(crate) struct Serve {
    #[command(flatten)]
    node: NodeArguments,
    /// The port, in place of the configuration's; 0 takes any free one.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// The number of this node in its cluster, in place of the configuration's.
    ///
    /// So one configuration serves every node; cluster-config/three-nodes.toml is one. 0 runs one
    /// node alone.
    #[arg(long = "node", value_name = "I")]
    number: Option<u64>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.node.settings_with(|settings| {
            settings.server.port = self.port.unwrap_or(settings.server.port);
            settings.cluster.node = self.number.unwrap_or(settings.cluster.node);
        })?;
        logging::install(&settings.log)?;
        if self.number.is_none()
            && settings.cluster.node == 0
            && !settings.cluster.members.is_empty()
        {
            // A forgotten flag; whoever means it says `--node 0`.
            tracing::warn!(
                "this node runs alone, as neither --node nor cluster.node says which of cluster.members it is"
            );
        }
        let admin_port = settings.admin.port().map_err(Failure::Usage)?;
        node_options::runtime(settings.runtime.threads)?.block_on(async {
            let stop = node::told_to_stop()?;
            let node = RunningNode::start(&settings, admin_port.as_ref()).await?;
            // Whoever started the process waits for this line; a closed stdout is its choice.
            let _ = writeln!(std::io::stdout(), "consign is serving on {}", node.url());
            node.run_until(stop).await
        })
    }
}
