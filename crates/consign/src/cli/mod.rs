//! The command line: what can be asked for, one file each.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Order orchestration from "buy" to delivered: takes orders, reserves stock, drives pick, pack and ship.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  consign demo                                     a real week of orders, on a node of its own
  consign serve --config cluster-config/one-node.toml
  consign import products products.csv --target http://127.0.0.1:8080
  consign simulate --target http://127.0.0.1:8080 --orders 10000 --concurrency 64 --json
  consign verify --target http://127.0.0.1:8080

Exit codes: 0 done, 1 failed or a law is broken, 2 wrong usage. Logs go to standard error;
CONSIGN_LOG=debug shows more. Settings may also come from the environment: CONSIGN__NODE__DATA=/srv/consign.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves one node until it is told to stop
    Serve(serve::Serve),
}

/// Does what was asked.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Serve(serve) => serve.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("consign: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime for commands that serve or call.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
