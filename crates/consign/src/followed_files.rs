//! Reads an admin port's files again while a node runs, so that tokens are replaced or revoked, and a
//! certificate renewed, without a restart.
//!
//! In: what reads a setting's files and puts them in force. Out: that, done whenever they change. Files
//! that do not serve, or are gone, change nothing and are logged once: a slip of the pen must neither
//! lock operators out nor let anybody in.

use std::sync::Arc;
use std::time::Duration;

/// How often files are read; so long a revoked token may still be taken. They are small, and what they
/// hold is compared: the times of files are coarse, and links to them may be exchanged.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the files of a setting as long as it is polled. `put_in_force` reads them and says whether
/// what they hold is a change.
pub(crate) async fn follow(
    setting: &'static str,
    put_in_force: impl Fn() -> anyhow::Result<bool> + Send + Sync + 'static,
) {
    let put_in_force = Arc::new(put_in_force);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut wrong: Option<String> = None;
    loop {
        ticks.tick().await;
        let put_in_force = Arc::clone(&put_in_force);
        let read = tokio::task::spawn_blocking(move || put_in_force()).await;
        match read.unwrap_or_else(|panicked| Err(panicked.into())) {
            Ok(changed) => {
                if changed || wrong.is_some() {
                    tracing::info!(changed, "{setting} is in force as it is now");
                }
                wrong = None;
            }
            Err(error) => {
                let error = format!("{error:#}");
                if wrong.as_ref() != Some(&error) {
                    tracing::warn!(error, "{setting} does not serve; all stays as it was");
                }
                wrong = Some(error);
            }
        }
    }
}
