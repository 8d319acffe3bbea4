//! How a command ends when it does not end well. The codes are part of the command line's
//! interface: `consign --help` lists them, scripts rely on them.

use std::fmt;
use std::process::ExitCode;

/// Listed by `consign --help`.
pub(crate) const CODES_HELP: &str = "\
Exit codes:
  0  done
  1  it did not work; stderr says why
  2  the command line or the configuration is wrong; nothing was done
  3  a law is broken (verify, demo, simulate): the evidence is in the report
  4  the node stopped serving because its storage failed";

/// Why a command ended early, by what the caller can do about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not work.
    Failed(anyhow::Error),
    /// What was asked makes no sense.
    Usage(anyhow::Error),
    /// A law is broken.
    LawBroken(String),
    /// The node's storage failed.
    Stopped(String),
}

impl Failure {
    /// The configuration is wrong.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Usage(error.into())
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::LawBroken(_) => 3,
            Failure::Stopped(_) => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The alternate form of anyhow's error names every cause, outermost first.
            Failure::Failed(error) | Failure::Usage(error) => write!(f, "{error:#}"),
            Failure::LawBroken(evidence) => write!(f, "a law is broken: {evidence}"),
            Failure::Stopped(reason) => write!(f, "stopped serving: {reason}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}
