//! The `consign` binary: command line, configuration, wiring. Holds no rule of the trade.
//!
//! In: arguments, a TOML file, `CONSIGN__…` variables, signals. Out: a node that serves, or one
//! command's report; and an exit code that scripts can rely on ([`exit::Failure`]). What people
//! asked for goes to stdout, everything else to stderr.

mod admin;
mod allocator;
mod cli;
mod cluster;
mod exit;
mod followed_files;
mod listening;
mod logging;
mod node;
mod progress;
mod settings;
mod token_file;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    allocator::keep_freed_pages();
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("consign: {failure}");
            failure.code()
        }
    }
}
