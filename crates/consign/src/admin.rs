//! The operator's way into a running node: a Unix socket in its data directory.
//!
//! In: one JSON line per connection, e.g. `{"command":"backup","target":"/backups/monday"}`. Out:
//! one JSON line, [`Answer`]. There is no password: whoever may write into the data directory
//! (mode 0600) owns the data anyway, and nobody reaches it through the network.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use consign_orchestrator::{Consign, ServiceError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the data directory.
const SOCKET_FILE: &str = "admin.sock";
/// Bytes that one request, or one answer, may have.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Paths longer than this don't fit into a socket's address (108 bytes with its end, unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What an operator may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Writes a consistent copy of everything durable, while work goes on.
    Backup {
        /// An empty or new directory, absolute, on the node's machine.
        target: PathBuf,
    },
}

/// What the operator hears.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// It is not, and why.
    Failed(String),
}

/// The socket of a data directory, while a node runs on it.
pub(crate) struct AdminSocket {
    path: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl AdminSocket {
    /// Opens the socket of `data`. The data directory is locked by its databases at this point,
    /// so a socket that lies there is one that a killed process left behind.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn open(data: &Path, consign: Consign) -> anyhow::Result<AdminSocket> {
        let path = socket_path(data)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accepting = tokio::spawn(async move {
            // One at a time: a second backup would only slow down the first.
            while let Ok((stream, _)) = listener.accept().await {
                if let Err(error) = attend(stream, &consign).await {
                    tracing::warn!(%error, "an operator's request failed");
                }
            }
        });
        Ok(AdminSocket { path, accepting })
    }

    /// Takes no more requests, and removes the socket.
    pub(crate) fn close(self) {
        self.accepting.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "cannot remove the admin socket");
        }
    }
}

async fn attend(stream: UnixStream, consign: &Consign) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut request = BufReader::new(read.take(LINE_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIMEOUT, request.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Backup { target }) => match consign.backup(&target).await {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed(refusal(&error)),
        },
        Err(error) => Answer::Failed(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(())
}

/// What an operator can do about a backup that was not taken.
fn refusal(error: &ServiceError) -> String {
    match error {
        ServiceError::Unreachable { .. } => format!(
            "{error}; a backup now might lack what other nodes acknowledged. Bring a quorum back and ask \
             again. If it is gone for good, stop this node and ask again: a backup at rest holds what \
             this node has"
        ),
        other => other.to_string(),
    }
}

/// Asks the node that runs on `data`; `None` when none does.
///
/// # Errors
/// When there is a node, and it refuses or breaks off.
pub(crate) async fn ask(data: &Path, request: &Request) -> anyhow::Result<Option<()>> {
    let path = socket_path(data)?;
    let mut stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot reach {}", path.display()));
        }
    };
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    let mut answer = String::new();
    stream
        .take(LINE_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    match serde_json::from_str(&answer).context("the node broke off")? {
        Answer::Done => Ok(Some(())),
        Answer::Failed(reason) => bail!("the node refuses: {reason}"),
    }
}

/// Where the socket lies. A node whose path is too long for one serves without it: its backups
/// are taken while it is stopped.
fn socket_path(data: &Path) -> anyhow::Result<PathBuf> {
    let data = std::path::absolute(data)?;
    let path = data.join(SOCKET_FILE);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(path);
    }
    bail!(
        "the path {} is too long for a socket ({} bytes, at most {SOCKET_PATH_BYTES_MAX}): \
         choose a shorter data directory",
        path.display(),
        path.as_os_str().len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_documented() {
        let text = r#"{"command":"backup","target":"/backups/monday"}"#;
        let Request::Backup { target } = serde_json::from_str(text).expect("a request");
        assert_eq!(target, Path::new("/backups/monday"));
        assert!(serde_json::from_str::<Request>(r#"{"command":"format_disk"}"#).is_err());
    }

    #[test]
    fn a_path_too_long_is_refused_with_its_length() {
        let long = PathBuf::from("/").join("d".repeat(200));
        let said = socket_path(&long).expect_err("too long").to_string();
        assert!(said.contains("too long"), "{said}");
    }
}
