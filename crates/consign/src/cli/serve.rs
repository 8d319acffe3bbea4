//! `consign serve`: one node until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::Config;
use crate::node::{Running, announce};

/// Serves one node until it is told to stop.
///
/// Prints one line when it is ready: `consign is serving on http://127.0.0.1:8080`. SIGTERM and
/// SIGINT let open requests end and write a last checkpoint. If the disk fails it says why,
/// acknowledges nothing more and ends with exit code 1.
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file, e.g. cluster-config/one-node.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, in place of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port, in place of the configured one; 0 takes a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

impl Serve {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = match Config::load(self.config.as_deref()) {
            Ok(config) => config,
            Err(error) => {
                eprintln!("consign: {error:#}");
                return Ok(ExitCode::from(2));
            }
        };
        if let Some(data) = self.data {
            config.node.data = data;
        }
        if let Some(port) = self.port {
            config.http.port = port;
        }
        crate::logging::start("info");
        super::runtime()?.block_on(async {
            let node = Running::start(&config).await?;
            announce(&node.url())?;
            node.until_stopped().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
