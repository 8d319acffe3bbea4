//! The command line: one file per subcommand, and here what they share.

mod backup;
mod certs;
mod cluster;
mod demo;
mod explain;
mod import;
mod node_options;
mod restore;
mod serve;
mod simulate;
mod strategy;
mod token;
mod trial;
mod verify;
mod whatif;

use crate::exit::{CODES_HELP, Failure};

/// Order orchestration in one process: from "buy" to delivered, returned, and the books balanced.
#[derive(Debug, clap::Parser)]
#[command(
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{CODES_HELP}")
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  consign demo                                         a real week of orders, on a node of its own
  consign serve --config cluster-config/one-node.toml  a node that stays
  consign import products FILE.csv --target http://127.0.0.1:8080
  consign simulate --target http://127.0.0.1:8080 --orders 100000 --concurrency 64
  consign explain ORDER                                why it is served from where it is
  consign strategy list                                how orders are sourced
  consign whatif --strategy draft.toml                 what it would have done with recorded orders
  consign verify --target http://127.0.0.1:8080        recounts everything from outside";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Import(import::Import),
    Simulate(Box<simulate::Simulate>),
    Verify(verify::Verify),
    Explain(explain::Explain),
    ReplayDecision(explain::ReplayDecision),
    Strategy(strategy::Strategy),
    Whatif(whatif::Whatif),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Certs(certs::Certs),
    Cluster(cluster::Cluster),
    Token(token::Token),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With the exit code's reason.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Demo(demo) => demo.run(),
            Command::Serve(serve) => serve.run(),
            Command::Import(import) => import.run(),
            Command::Simulate(simulate) => simulate.run(),
            Command::Verify(verify) => verify.run(),
            Command::Explain(explain) => explain.run(),
            Command::ReplayDecision(replay) => replay.run(),
            Command::Strategy(strategy) => strategy.run(),
            Command::Whatif(whatif) => whatif.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Certs(certs) => certs.run(),
            Command::Cluster(cluster) => cluster.run(),
            Command::Token(token) => token.run(),
        }
    }
}
