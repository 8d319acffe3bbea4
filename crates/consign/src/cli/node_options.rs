//! What the commands that need a data directory or a node share on the command line.

use std::path::PathBuf;

use crate::exit::Failure;
use crate::settings::Settings;

/// Which node: by a file, or by its directory.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArguments {
    /// The configuration; cluster-config/template.toml explains every setting.
    ///
    /// Without it the defaults hold. `CONSIGN__TABLE__KEY` in the environment is over both, e.g.
    /// CONSIGN__SERVER__PORT=80.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory, in place of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl NodeArguments {
    /// The settings with what the command line says over them.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        self.settings_with(|_| {})
    }

    /// The same, for a command with flags of its own: `over` sets what those say.
    ///
    /// # Errors
    /// When the configuration is wrong with all of that over it.
    pub(crate) fn settings_with(
        &self,
        over: impl FnOnce(&mut Settings),
    ) -> Result<Settings, Failure> {
        let with_flags = |settings: &mut Settings| {
            if let Some(data) = &self.data {
                settings.storage.data.clone_from(data);
            }
            over(settings);
        };
        Settings::load(self.config.as_deref(), with_flags).map_err(Failure::Usage)
    }
}

/// The runtime that a command runs on; 0 threads means one per core.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}
