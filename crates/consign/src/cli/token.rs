//! `consign token`: a token with which operators show that they are operators.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::exit::Failure;
use crate::token_file;

/// Draws a token for the admin port.
///
/// The file is what `admin.token_file` of a node names, and `--token-file` of `consign cluster`. It has
/// mode 0600; one that is there is never written over. To replace a token, put a new one on the first
/// line of the file, above the old one: a node reads it again within a second or two and takes both, clients
/// present the first. Then take the old one out. A file that a node cannot use changes nothing there, and
/// its log says why.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign token --out admin.token     a new file, for [admin] token_file = \"admin.token\"
  consign token                       a token on stdout")]
pub(crate) struct Token {
    /// The file to make; without it the token is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let token = token_file::drawn()?;
        let Some(path) = self.out else {
            return Ok(writeln!(std::io::stdout(), "{token}")?);
        };
        let shown = path.display();
        match token_file::write_new(&path, &token) {
            Ok(()) => Ok(writeln!(std::io::stdout(), "made {shown} with one token")?),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Failure::Usage(anyhow::anyhow!(
                    "{shown} is there already and stays as it is: name another file, or put the output of `consign token` on its first line"
                )))
            }
            Err(error) => Err(error).with_context(|| format!("cannot write {shown}"))?,
        }
    }
}
