//! Where the log goes: stderr, so that stdout stays what the user asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::Failure;
use crate::settings::{LogFormat, LogSettings};

/// Libraries that are heard less, unless the setting names them. ractor opens two spans of level
/// `info` for each actor, which lives for one order.
const QUIET: [(&str, &str); 1] = [("ractor", "warn")];

fn with_quiet_libraries(level: &str) -> String {
    let quiet = QUIET.iter().filter(|(name, _)| !level.contains(name));
    let quiet = quiet.map(|(name, heard)| format!("{name}={heard},"));
    quiet.chain([level.to_owned()]).collect()
}

/// Installs the process's log. `RUST_LOG` is not read: one setting decides, `log.level`.
///
/// # Errors
/// When `log.level` is not a level or a list of `target=level`.
pub(crate) fn install(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(with_quiet_libraries(&settings.level)).map_err(|error| {
        Failure::usage(anyhow::anyhow!("log.level = {:?}: {error}", settings.level))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let as_json = match settings.format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    let installed = match as_json {
        true => {
            let layer = layer.json().flatten_event(true).with_current_span(true);
            registry.with(layer).try_init()
        }
        false => {
            let layer = layer.with_ansi(on_terminal);
            registry.with(layer).try_init()
        }
    };
    // A second call, as in tests, keeps the first log.
    drop(installed);
    Ok(())
}
