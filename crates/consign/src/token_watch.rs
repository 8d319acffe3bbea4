//! Reads an admin port's file of tokens again while a node runs, so that one is replaced or revoked
//! without a restart.
//!
//! In: the file, and the tokens as they were read when the node started. Out: the same tokens, changed
//! when the file is. A file that does not serve, or is gone, changes nothing and is logged once: a slip
//! of the pen must neither lock operators out nor let anybody in.

use std::path::PathBuf;
use std::time::Duration;

use consign_gateway::AdminTokens;

use crate::token_file;

/// How often the file is read; so long a revoked token may still be taken. It is small, and what it
/// holds is compared: the times of files are coarse, and links to them may be exchanged.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the file as long as it is polled.
pub(crate) async fn follow(path: PathBuf, tokens: AdminTokens) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut wrong: Option<String> = None;
    loop {
        ticks.tick().await;
        let file = path.clone();
        let read = tokio::task::spawn_blocking(move || token_file::read(&file)).await;
        let read = read.unwrap_or_else(|panicked| Err(panicked.into()));
        match read {
            Ok(found) => {
                let changed = tokens.replace(found.iter().map(String::as_str));
                if changed || wrong.is_some() {
                    tracing::info!(
                        tokens = found.len(),
                        changed,
                        "admin.token_file is in force as it is now"
                    );
                }
                wrong = None;
            }
            Err(error) => {
                let error = format!("{error:#}");
                if wrong.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "admin.token_file does not serve; the tokens stay as they were"
                    );
                }
                wrong = Some(error);
            }
        }
    }
}
