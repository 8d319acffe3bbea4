//! `consign certs`: certificates with which the nodes of a cluster know each other.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use consign_cluster::NodeId;
use consign_cluster::certs::{self, Pair};

use crate::exit::Failure;

/// Makes an authority for a cluster, and a certificate for each of its nodes.
///
/// Writes `authority.pem`, `authority.key`, and for each node N `node-N.pem` and `node-N.key`. What is
/// there already is kept: run it again with a larger number when nodes join. Only the certificate of
/// the authority and a node's own two files belong on that node; keep `authority.key` elsewhere, as
/// whoever has it can make nodes. A production cluster may bring certificates of its own, if each
/// names its node as `node-N.consign`.
///
/// With `--admin HOST`, a certificate for the admin port of that host, too: `admin-HOST.pem` and
/// `admin-HOST.key`, for `admin.certificate` and `admin.key`. Those who trust `authority.pem` trust it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign certs ./certs --nodes 3
  consign certs ./certs --nodes 5      two more nodes; the first three keep theirs
  consign certs ./certs --admin 10.0.0.1 --admin node-2.example.com")]
pub(crate) struct Certs {
    /// Where to; made when it is not there.
    dir: PathBuf,
    /// For nodes 1 to N.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    nodes: u64,
    /// For the admin port of this host, by the name or IP address that operators use; may be repeated.
    ///
    /// Each is good for localhost, 127.0.0.1 and ::1, too, for those who come through ssh.
    #[arg(long, value_name = "HOST", value_parser = certs::host)]
    admin: Vec<String>,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

impl Certs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        let mut made = Vec::new();
        let (authority, is_new) = kept_or_made(&self.dir, "authority", certs::authority)?;
        made.extend(is_new.then(|| "authority".to_owned()));
        for node in (1..=self.nodes).map(NodeId) {
            let name = node.to_string();
            let (_, is_new) = kept_or_made(&self.dir, &name, || certs::node(&authority, node))?;
            made.extend(is_new.then_some(name));
        }
        for host in &self.admin {
            let name = format!("admin-{host}");
            let (_, is_new) = kept_or_made(&self.dir, &name, || certs::admin(&authority, host))?;
            made.extend(is_new.then_some(name));
        }
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "dir": self.dir, "nodes": self.nodes, "made": made })
            );
        } else if made.is_empty() {
            println!("{} has all of them already", self.dir.display());
        } else {
            println!("made in {}: {}", self.dir.display(), made.join(", "));
        }
        Ok(())
    }
}

/// The pair of files of that name, and whether it is new.
fn kept_or_made(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> Result<Pair, certs::CertificateError>,
) -> Result<(Pair, bool), Failure> {
    let (public, private) = (
        dir.join(format!("{name}.pem")),
        dir.join(format!("{name}.key")),
    );
    match (public.exists(), private.exists()) {
        (true, true) => {
            let pair = Pair {
                certificate: read(&public)?,
                key: read(&private)?,
            };
            Ok((pair, false))
        }
        (false, false) => {
            let pair =
                make().with_context(|| format!("with the authority in {}", dir.display()))?;
            write_new(&private, &pair.key, 0o600)?;
            write_new(&public, &pair.certificate, 0o644)?;
            Ok((pair, true))
        }
        (has_public, _) => {
            let (there, missing) = match has_public {
                true => (&public, &private),
                false => (&private, &public),
            };
            Err(Failure::Usage(anyhow::anyhow!(
                "{} is there, but {} is not: bring it back, or move the other away",
                there.display(),
                missing.display()
            )))
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Never over a file that is there, and never readable by others for a moment.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
