//! A `consign` process: started, killed, started again.
//!
//! In: the binary, settings, a data directory. Out: a [`Client`] that reaches it. A node dies with
//! its test; when the test fails, the end of the node's log is shown.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;

/// How long a node may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command line may run.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// How much of a failed test's log is shown.
const LOG_SHOWN_BYTES: usize = 6_000;

/// A setting that differs from the defaults, as an environment variable.
pub type Setting = (&'static str, &'static str);

/// A node that serves, and what it takes to start it again.
pub struct Node {
    binary: &'static str,
    settings: Vec<Setting>,
    /// What is put before the binary on the command line, e.g. a limit.
    prefix: Vec<String>,
    data: PathBuf,
    log: PathBuf,
    child: Child,
    client: Client,
    /// Removed at the end.
    _home: TempDir,
}

impl Deref for Node {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Node {
    /// Starts a node on an empty data directory.
    pub async fn start(binary: &'static str) -> Node {
        Node::start_with(binary, &[]).await
    }

    /// The same, with settings.
    pub async fn start_with(binary: &'static str, settings: &[Setting]) -> Node {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let data = home.path().join("data");
        Node::start_on(binary, settings, &[], home, data).await
    }

    /// The same, on a given data directory, behind a command that limits it.
    ///
    /// # Panics
    /// When it does not come to serve.
    pub async fn start_on(
        binary: &'static str,
        settings: &[Setting],
        prefix: &[String],
        home: TempDir,
        data: PathBuf,
    ) -> Node {
        let log = home.path().join("log");
        let started = spawn(binary, settings, prefix, &data, &log).await;
        let (child, address) = started.unwrap_or_else(|reason| panic!("{reason}\n{}", tail(&log)));
        Node {
            binary,
            settings: settings.to_vec(),
            prefix: prefix.to_vec(),
            data,
            log,
            child,
            client: Client::new(address),
            _home: home,
        }
    }

    /// The client; also by dereference.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: no goodbye, no flush.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Starts it again on the same data, after [`Node::kill`] or [`Node::stop`].
    ///
    /// # Panics
    /// When it does not come to serve.
    pub async fn restart(&mut self) {
        let started = spawn(
            self.binary,
            &self.settings,
            &self.prefix,
            &self.data,
            &self.log,
        )
        .await;
        let (child, address) =
            started.unwrap_or_else(|reason| panic!("{reason}\n{}", tail(&self.log)));
        self.child = child;
        self.client.moved_to(address);
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn stop(&mut self) -> ExitStatus {
        if let Some(pid) = self.child.id() {
            let sent = Command::new("kill")
                .arg("-TERM")
                .arg(pid.to_string())
                .status()
                .await;
            assert!(sent.expect("kill can be run").success());
        }
        self.ended().await
    }

    /// From the next start on it has this setting, too, or in place of another.
    pub fn set(&mut self, setting: Setting) {
        self.settings.retain(|(key, _)| *key != setting.0);
        self.settings.push(setting);
    }

    /// From the next start on, nothing limits it.
    pub fn lift_limit(&mut self) {
        self.prefix.clear();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(START_TIMEOUT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("the node does not end\n{}", tail(&self.log)))
            .expect("a child can be waited for")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the node's log ends with:\n{}", tail(&self.log));
        }
    }
}

async fn spawn(
    binary: &str,
    settings: &[Setting],
    prefix: &[String],
    data: &Path,
    log: &Path,
) -> Result<(Child, SocketAddr), String> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(|e| e.to_string())?;
    let words: Vec<&str> = prefix.iter().map(String::as_str).chain([binary]).collect();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["serve", "--port", "0", "--data"])
        .arg(data);
    command
        .arg("--config")
        .arg(repository().join("cluster-config/one-node.toml"));
    command.envs(settings.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log))
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|e| format!("cannot start {words:?}: {e}"))?;
    let out = child.stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(out).lines();
    let first = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
    let first = first.map_err(|_| "the node does not come to serve".to_owned())?;
    let Some(line) = first.map_err(|e| e.to_string())? else {
        return Err(format!("the node ended at once: {:?}", child.wait().await));
    };
    let address = line
        .rsplit("http://")
        .next()
        .and_then(|a| a.trim().trim_end_matches('/').parse().ok());
    let address = address.ok_or_else(|| format!("no address in {line:?}"))?;
    // A full pipe would stop the node.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, address))
}

/// The repository's top.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the repository")
        .to_owned()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_SHOWN_BYTES);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

/// How a command line ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code, or the negative number of the signal that ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out.trim()).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Itself, if the exit code is 0.
    ///
    /// # Panics
    /// When it is not.
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs `consign` with these arguments until it ends.
///
/// # Panics
/// When it cannot be run or does not end in time.
pub async fn run<S: AsRef<str>>(binary: &str, arguments: impl IntoIterator<Item = S>) -> Ran {
    let mut command = Command::new(binary);
    command
        .args(arguments.into_iter().map(|a| a.as_ref().to_owned()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let shown = format!("{command:?}");
    let ended = tokio::time::timeout(RUN_TIMEOUT, command.output()).await;
    let output = ended
        .unwrap_or_else(|_| panic!("{shown} does not end"))
        .expect("the binary can be run");
    Ran {
        code: output
            .status
            .code()
            .unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks until `condition` gives something, or fails after half a minute.
///
/// # Panics
/// When it never does.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(20);
    let started = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// A file with this content in `dir`.
///
/// # Panics
/// When it cannot be written.
pub fn file(dir: &Path, name: &str, content: &str) -> PathBuf {
    use std::io::Write;
    let path = dir.join(name);
    let mut file = File::create(&path).expect("a file can be made");
    file.write_all(content.as_bytes())
        .expect("a file can be written");
    path
}
