//! `consign`: the one binary. Serves, rehearses, imports, verifies, copies and restores.
//!
//! In: a command line, a configuration file, the environment. Out: exit code 0 when what was asked
//! for is done, 1 when it failed or a law is broken, 2 when the command line or the configuration
//! is wrong. Holds the wiring and nothing else.

mod cli;
mod config;
mod logging;
mod node;

use std::process::ExitCode;

use clap::Parser;

/// Half as much again as the system's allocator under many small entities (design: 0.86 of the CPU).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
