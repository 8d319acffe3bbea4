//! Structured logs on standard error: text on a terminal, JSON elsewhere. `CONSIGN_LOG` filters,
//! in the syntax of `tracing` (`info`, `consign_journal=debug`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging; `default` is the filter when `CONSIGN_LOG` is not set.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env("CONSIGN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
