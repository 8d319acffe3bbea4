//! `consign restore`: a backup becomes a data directory.

use std::path::PathBuf;

use anyhow::anyhow;
use consign_journal::BackupManifest;

use crate::exit::Failure;
use crate::settings::is_address;

/// The number of a node that runs alone.
const LONE_NODE: u64 = 1;

/// Makes a data directory from a backup, of a node alone or of any node of a cluster.
///
/// Checks every row against the backup's checksums, and never writes over anything: the directory
/// must be empty or new. A restore that was broken off leaves a directory that does not start.
///
/// What comes out is one node, whatever was backed up. Without flags it runs alone. With --address it
/// is the first node of a new cluster: its number must be the lowest in `cluster.members`, the others
/// start with empty directories and are taken in with `consign cluster join`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign restore /backups/monday --data /var/lib/consign-again
  consign serve --data /var/lib/consign-again

  consign restore /backups/monday --data data/node1 --address 10.0.0.1:9080
  consign serve --config cluster-config/three-nodes.toml --node 1 --data data/node1
  consign cluster join 2 10.0.0.2:9080       once node 2 runs, on an empty directory")]
pub(crate) struct Restore {
    /// The backup: a directory that `consign backup` wrote.
    from: PathBuf,
    /// The data directory to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The number of the node that it is for; a node that runs alone is 1.
    #[arg(long, value_name = "N", default_value_t = LONE_NODE,
          value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,
    /// Where other nodes will reach it, as in `cluster.members`; without it the node runs alone.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let address = self.checked_address().map_err(Failure::Usage)?;
        let manifest = consign_journal::restore_as(&self.from, &self.data, self.node, address)?;
        if self.json {
            let mut report = serde_json::to_value(&manifest)?;
            report["node"] = self.node.into();
            report["address"] = address.into();
            println!("{report}");
        } else {
            self.print(&manifest);
        }
        Ok(())
    }

    /// Empty for a node alone.
    fn checked_address(&self) -> anyhow::Result<&str> {
        match self.address.as_deref() {
            None if self.node == LONE_NODE => Ok(""),
            None => Err(anyhow!(
                "--node {} is a node of a cluster, so --address must say where others reach it; a node alone is node {LONE_NODE}",
                self.node
            )),
            Some(address) if is_address(address) => Ok(address),
            Some(address) => Err(anyhow!(
                "--address is {address:?}; expected the host:port where other nodes reach this one, as in cluster.members"
            )),
        }
    }

    fn print(&self, manifest: &BackupManifest) {
        println!(
            "{} holds what {} held: {} journal rows, {} state rows, {} partitions",
            self.data.display(),
            self.from.display(),
            manifest.journal_rows,
            manifest.state_rows,
            manifest.partitions,
        );
        match &self.address {
            None => println!("It is the data of a node that runs alone."),
            Some(address) => println!(
                "It is the data of node {} at {address}, as yet the only one of its cluster. Start it with all \
                 nodes in cluster.members, its number the lowest, then the others on empty directories, and \
                 take them in: consign cluster join NUMBER HOST:PORT",
                self.node
            ),
        }
    }
}
