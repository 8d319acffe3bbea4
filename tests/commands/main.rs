//! The command line: demo, simulate, verify, import, backup, restore; and a disk that fails.

mod backup;
mod certs;
mod demo;
mod disk;
mod import;
mod simulate;
mod token;
mod usage;
mod whatif;

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");
