//! `consign restore`: a backup becomes a data directory.

use std::path::PathBuf;

use crate::exit::Failure;

/// Makes a data directory from a backup.
///
/// Checks every row against the backup's checksums, and never writes over anything: the directory
/// must be empty or new.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign restore /backups/monday --data /var/lib/consign-again
  consign serve --data /var/lib/consign-again")]
pub(crate) struct Restore {
    /// The backup: a directory that `consign backup` wrote.
    from: PathBuf,
    /// The data directory to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let manifest = consign_journal::restore(&self.from, &self.data)?;
        if self.json {
            println!("{}", serde_json::to_string(&manifest)?);
        } else {
            println!(
                "{} holds what {} held: {} journal rows, {} state rows, {} partitions",
                self.data.display(),
                self.from.display(),
                manifest.journal_rows,
                manifest.state_rows,
                manifest.partitions,
            );
        }
        Ok(())
    }
}
