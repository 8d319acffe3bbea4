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
  CONSIGN__LOG__FORMAT=json consign serve --data /var/lib/consign

Then: http://127.0.0.1:8080/docs to try every route, /metrics for Prometheus, /readyz for probes.")]
pub(crate) struct Serve {
    #[command(flatten)]
    node: NodeArguments,
    /// The port, in place of the configuration's; 0 takes any free one.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut settings = self.node.settings()?;
        if let Some(port) = self.port {
            settings.server.port = port;
        }
        logging::install(&settings.log)?;
        node_options::runtime(settings.runtime.threads)?.block_on(async {
            let stop = node::told_to_stop()?;
            let node = RunningNode::start(&settings).await?;
            // Whoever started the process waits for this line; a closed stdout is its choice.
            let _ = writeln!(std::io::stdout(), "consign is serving on {}", node.url());
            node.run_until(stop).await
        })
    }
}
