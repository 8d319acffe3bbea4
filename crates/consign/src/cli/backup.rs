//! `consign backup`: a consistent copy, from a running node or from a directory at rest.

use std::path::{Path, PathBuf};

use consign_journal::{Journal, OpenError, Options, Recovered};

use crate::admin::{self, Request};
use crate::cli::node_options::{self, NodeArguments};
use crate::exit::Failure;

/// Copies everything durable, also while the node serves.
///
/// A node that runs on the data takes the backup itself, through the socket `admin.sock` in its
/// data directory, and goes on serving; otherwise the files are read directly. The target must be
/// an empty or new directory; its manifest, with the checksums of all rows, is written last.
///
/// Any node of a cluster will do, as each has everything: one that runs first makes sure that it has all
/// that any other acknowledged before. One at rest cannot, and gives what it had when it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign backup /backups/monday --data /var/lib/consign
  consign backup /backups/monday --config cluster-config/one-node.toml
  consign restore /backups/monday --data /var/lib/consign-again")]
pub(crate) struct Backup {
    /// Where to: an empty or new directory on this machine.
    target: PathBuf,
    #[command(flatten)]
    node: NodeArguments,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let settings = self.node.settings()?;
        let data = settings.storage.data.clone();
        if !data.is_dir() {
            let missing = anyhow::anyhow!("there is no data directory {}", data.display());
            return Err(Failure::Usage(missing));
        }
        let target = std::path::absolute(&self.target)?;
        let request = Request::Backup {
            target: target.clone(),
        };
        let runtime = node_options::runtime(1)?;
        let online = runtime.block_on(admin::ask(&data, &request))?.is_some();
        if !online {
            copy_at_rest(&data, settings.storage.partitions, &target)?;
        }
        let taken = if online { "online" } else { "at rest" };
        if self.json {
            let report = serde_json::json!({ "target": target, "data": data, "taken": taken });
            println!("{report}");
        } else {
            println!(
                "{} is a whole backup of {} (taken {taken})",
                target.display(),
                data.display()
            );
        }
        Ok(())
    }
}

/// Reads the files of a directory that no node runs on. How many partitions they have is theirs
/// to say; the configuration's number is only where to begin.
fn copy_at_rest(data: &Path, partitions: u16, target: &Path) -> Result<(), Failure> {
    let recovered = match open(data, partitions) {
        Err(OpenError::Partitions { found, .. }) => open(data, found),
        opened => opened,
    }?;
    recovered.journal.backup(&recovered.state, target)?;
    recovered.journal.close();
    Ok(())
}

fn open(data: &Path, partitions: u16) -> Result<Recovered, OpenError> {
    Journal::open(Options {
        partitions,
        ..Options::new(data.to_owned())
    })
}
