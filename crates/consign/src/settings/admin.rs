//! The table `[admin]`: where operators change the cluster, and who is one.
//!
//! In: the table as it was read, and the file of tokens that it names. Out: the address and the
//! tokens of the admin port, or an error that says what was given and what is expected. Files are
//! read when a node starts and not before: other commands need no tokens. From then on they are
//! followed ([`crate::followed_files`]).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use consign_gateway::{AdminTokens, Tls};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::followed_files::follow;
use crate::token_file;

/// The port of operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AdminSettings {
    /// Empty when there is none.
    pub(crate) listen: String,
    pub(crate) token_file: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) allow_plaintext: bool,
}

/// What an admin port is opened with.
#[derive(Clone, Debug)]
pub(crate) struct AdminPort {
    pub(crate) listen: SocketAddr,
    pub(crate) token_file: PathBuf,
    pub(crate) tokens: AdminTokens,
    /// Without it, plain HTTP is spoken.
    pub(crate) tls: Option<(TlsFiles, Tls)>,
}

/// Where what TLS takes is read.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// Reads them.
    ///
    /// # Errors
    /// When one cannot be read, or they do not fit together.
    fn read(&self) -> anyhow::Result<Tls> {
        let read = |path: &PathBuf, setting: &'static str| {
            let text = std::fs::read_to_string(path);
            text.with_context(|| format!("{setting}: cannot read {}", path.display()))
        };
        let certificate = read(&self.certificate, "admin.certificate")?;
        let key = read(&self.key, "admin.key")?;
        Tls::from_pem(&certificate, &key).with_context(|| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            format!("admin.certificate ({certificate}) and admin.key ({key}) do not serve")
        })
    }
}

impl AdminPort {
    /// Follows the port's files, until what is returned is dropped.
    pub(crate) fn follow_files(&self) -> JoinSet<()> {
        let mut following = JoinSet::new();
        let (file, tokens) = (self.token_file.clone(), self.tokens.clone());
        following.spawn(follow("admin.token_file", move || {
            let found = token_file::read(&file)?;
            Ok(tokens.replace(found.iter().map(String::as_str)))
        }));
        if let Some((files, tls)) = self.tls.clone() {
            following.spawn(follow("admin.certificate", move || {
                Ok(tls.replace(&files.read()?))
            }));
        }
        following
    }
}

impl AdminSettings {
    /// Refuses what would leave the cluster open to others than operators, or nobody in.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.address().map(drop)
    }

    /// Where the port is; nothing when there is to be none.
    fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        let (given, has_tokens) = (self.listen.trim(), !self.token_file.as_os_str().is_empty());
        if given.is_empty() {
            if has_tokens {
                // Whoever wrote it believes that tokens are asked for.
                bail!(
                    "admin.token_file is set and admin.listen is not, so no port would ask for a token: set admin.listen = \"127.0.0.1:9180\" too, or neither"
                );
            }
            return Ok(None);
        }
        let address: SocketAddr = given.parse().ok().with_context(|| {
            format!("admin.listen is {given:?}; expected \"address:port\" with an IP address, e.g. \"127.0.0.1:9180\"")
        })?;
        if !has_tokens {
            bail!(
                "admin.listen is set and admin.token_file is not, so nobody could use the admin port: `consign token --out FILE` makes such a file"
            );
        }
        let has_tls = self.has_tls()?;
        if !address.ip().to_canonical().is_loopback() && !has_tls && !self.allow_plaintext {
            bail!(
                "admin.listen is {address}, which other machines can reach, and without admin.certificate and admin.key the admin port speaks no TLS: whoever listens on the way would read the token; set both (`consign certs DIR --admin HOST` makes such files), listen on 127.0.0.1 and come through ssh, or set admin.allow_plaintext = true if nobody else is on that network"
            );
        }
        Ok(Some(address))
    }

    /// Whether there is to be TLS. Half of what it takes is a mistake.
    fn has_tls(&self) -> anyhow::Result<bool> {
        let given = |path: &PathBuf| !path.as_os_str().is_empty();
        match (given(&self.certificate), given(&self.key)) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => bail!("admin.certificate is set and admin.key is not: TLS takes both"),
            (false, true) => bail!("admin.key is set and admin.certificate is not: TLS takes both"),
        }
    }

    /// Reads what TLS takes; nothing when there is to be none.
    fn tls(&self) -> anyhow::Result<Option<(TlsFiles, Tls)>> {
        if !self.has_tls()? {
            return Ok(None);
        }
        let files = TlsFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        let tls = files.read()?;
        Ok(Some((files, tls)))
    }

    /// Reads the tokens; nothing when there is to be no admin port.
    ///
    /// # Errors
    /// When the file of tokens cannot be read, is not private, or holds none that serve; when what TLS
    /// takes cannot be read; and as for [`AdminSettings::check`].
    pub(crate) fn port(&self) -> anyhow::Result<Option<AdminPort>> {
        let Some(listen) = self.address()? else {
            return Ok(None);
        };
        let tokens = token_file::read(&self.token_file).context("admin.token_file")?;
        Ok(Some(AdminPort {
            listen,
            token_file: self.token_file.clone(),
            tokens: AdminTokens::new(tokens.iter().map(String::as_str)),
            tls: self.tls()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(listen: &str) -> AdminSettings {
        AdminSettings {
            listen: listen.to_owned(),
            token_file: PathBuf::from("token"),
            ..AdminSettings::default()
        }
    }

    #[track_caller]
    fn refused(settings: &AdminSettings, with: &[&str]) {
        let said = format!("{:#}", settings.check().expect_err("refused"));
        for part in with {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }

    #[test]
    fn without_the_table_there_is_no_port() {
        let port = AdminSettings::default().port().expect("good settings");
        assert!(port.is_none());
    }

    #[test]
    fn half_a_table_is_refused_with_the_other_half() {
        let without_tokens = AdminSettings {
            token_file: PathBuf::new(),
            ..at("127.0.0.1:9180")
        };
        refused(
            &without_tokens,
            &["admin.token_file is not", "consign token --out"],
        );
        refused(&at(""), &["admin.listen is not", "127.0.0.1:9180"]);
    }

    #[test]
    fn an_address_that_cannot_be_understood_is_shown_with_what_is_expected() {
        for given in [
            "9180",
            "127.0.0.1",
            "localhost:9180",
            "127.0.0.1:70000",
            "::1:9180",
            "http://127.0.0.1:9180",
        ] {
            refused(&at(given), &[&format!("{given:?}"), "address:port"]);
        }
    }

    #[test]
    fn other_machines_come_in_only_where_that_is_said() {
        for loopback in [
            "127.0.0.1:9180",
            "127.9.9.9:1",
            "[::1]:9180",
            "[::ffff:127.0.0.1]:9180",
        ] {
            at(loopback).check().expect("loopback");
        }
        for open in ["0.0.0.0:9180", "10.0.0.1:9180", "[::]:9180"] {
            refused(&at(open), &[open, "no TLS", "admin.allow_plaintext = true"]);
            let meant = AdminSettings {
                allow_plaintext: true,
                ..at(open)
            };
            meant.check().expect("it is meant");
            let inside_tls = AdminSettings {
                certificate: PathBuf::from("admin.pem"),
                key: PathBuf::from("admin.key"),
                ..at(open)
            };
            inside_tls.check().expect("nobody reads on the way");
        }
        let without_key = AdminSettings {
            certificate: PathBuf::from("admin.pem"),
            ..at("127.0.0.1:9180")
        };
        refused(&without_key, &["admin.key is not"]);
        let without_certificate = AdminSettings {
            key: PathBuf::from("admin.key"),
            ..at("127.0.0.1:9180")
        };
        refused(&without_certificate, &["admin.certificate is not"]);
    }

    #[test]
    fn a_port_needs_its_tokens_when_it_is_opened() {
        let home = tempfile::tempdir().expect("a directory");
        let settings = AdminSettings {
            token_file: home.path().join("none"),
            ..at("127.0.0.1:9180")
        };
        settings.check().expect("files are not looked at yet");
        let said = format!("{:#}", settings.port().expect_err("there is no file"));
        assert!(said.contains("admin.token_file"), "{said}");
        token_file::write_new(&settings.token_file, &token_file::drawn().expect("drawn"))
            .expect("written");
        let port = settings.port().expect("good settings").expect("a port");
        assert_eq!(port.listen.to_string(), "127.0.0.1:9180");
        assert_eq!(format!("{:?}", port.tokens), "1 tokens");
    }
}
