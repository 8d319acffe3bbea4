//! Files of bearer tokens: one token a line, for the owner's eyes only.
//!
//! In: a path. Out: the tokens, or an error that says which line is wrong and why; what a line holds
//! is never shown. Several lines are several tokens, so that one can be replaced while both are
//! taken: a node takes any of them, a client presents the first.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// Shorter ones could be guessed.
const TOKEN_CHARS_MIN: usize = 32;
/// Longer ones are no tokens but something else that was named by mistake.
const TOKEN_CHARS_MAX: usize = 512;
/// Two are needed to replace one.
const TOKENS_MAX: usize = 16;
/// As many as that may have, with blank lines.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Rights of others than the owner.
const MODE_OF_OTHERS: u32 = 0o077;
/// A token that is drawn here has twice as many characters: its bytes in hexadecimal.
const TOKEN_BYTES: usize = 32;

/// Reads the tokens of a file.
///
/// # Errors
/// When there is no such file, others than its owner may read it, or it holds no token, too many,
/// or one that does not serve.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let shown = path.display();
    let mut text = String::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no file {shown}: `consign token --out {shown}` makes one")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let found = file
        .metadata()
        .with_context(|| format!("cannot read {shown}"))?;
    if !found.is_file() {
        bail!("{shown} is no file");
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        bail!(
            "{shown} has mode {mode:04o}, so others than its owner may reach its tokens: `chmod 600 {shown}`, and draw new ones if they may have been read"
        );
    }
    if found.len() > FILE_BYTES_MAX {
        bail!(
            "{shown} has {} bytes and may have {FILE_BYTES_MAX}: it is to hold tokens, one a line",
            found.len()
        );
    }
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {shown}"))?;
    parse(&text).with_context(|| shown.to_string())
}

/// Reads the tokens of a text; blank lines hold none.
fn parse(text: &str) -> anyhow::Result<Vec<String>> {
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let chars = line.chars().count();
        if chars < TOKEN_CHARS_MIN {
            bail!(
                "line {number} has {chars} characters and a token at least {TOKEN_CHARS_MIN}, as a shorter one could be guessed: draw one with `consign token`"
            );
        }
        // What the syntax of the header takes (RFC 6750, section 2.1).
        let of_a_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if chars > TOKEN_CHARS_MAX || !line.bytes().all(of_a_token) {
            bail!(
                "line {number} is no token: it may have up to {TOKEN_CHARS_MAX} letters and digits of ASCII and -._~+/=, and nothing beside it on its line"
            );
        }
        tokens.push(line.to_owned());
    }
    match tokens.len() {
        0 => bail!("there is no token in it: draw one with `consign token`"),
        1..=TOKENS_MAX => Ok(tokens),
        count => bail!("there are {count} tokens in it and may be {TOKENS_MAX}: take old ones out"),
    }
}

/// A new token.
///
/// # Errors
/// When the system has no random numbers.
pub(crate) fn drawn() -> anyhow::Result<String> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .context("the system gives no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a new file with one token, never over one that is there, and never readable by others
/// for a moment.
///
/// # Errors
/// When there is something of that name, or it cannot be written.
pub(crate) fn write_new(path: &Path, token: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    const FIRST: &str = "0123456789abcdef0123456789abcdef";
    const SECOND: &str = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4-._~+/==";

    fn holding(text: &str, mode: u32) -> (TempDir, PathBuf) {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("tokens");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        (home, path)
    }

    #[track_caller]
    fn refused(text: &str, mode: u32, with: &[&str]) {
        let (_home, path) = holding(text, mode);
        let said = format!("{:#}", read(&path).expect_err("refused"));
        let path = path.display().to_string();
        for part in with.iter().copied().chain([path.as_str()]) {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
        for line in text.lines().filter(|line| line.len() > 8) {
            assert!(!said.contains(line), "what it holds is shown: {said}");
        }
    }

    #[test]
    fn each_line_is_a_token() {
        let text = format!("{FIRST}\r\n\n  {SECOND}  ");
        for mode in [0o600, 0o400, 0o700] {
            let (_home, path) = holding(&text, mode);
            assert_eq!(read(&path).expect("good tokens"), [FIRST, SECOND]);
        }
    }

    #[test]
    fn a_file_that_others_may_reach_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o601] {
            refused(FIRST, mode, &[&format!("{mode:04o}"), "chmod 600"]);
        }
    }

    #[test]
    fn an_empty_file_is_refused() {
        for text in ["", "\n", " \r\n\t\n"] {
            refused(text, 0o600, &["no token", "consign token"]);
        }
    }

    #[test]
    fn a_line_that_is_no_token_is_named_and_not_shown() {
        let short = &FIRST[1..];
        refused(short, 0o600, &["line 1", "31 characters", "at least 32"]);
        refused(
            &format!("{FIRST}\n\nshort"),
            0o600,
            &["line 3", "5 characters"],
        );
        for line in [
            "# the token of the night shift, from Monday on",
            "0123456789abcdef 0123456789abcdef",
            "0123456789abcdef0123456789abcdeé",
            &"x".repeat(513),
        ] {
            refused(&format!("{FIRST}\n{line}"), 0o600, &["line 2 is no token"]);
        }
    }

    #[test]
    fn more_than_tokens_are_not_read() {
        let lines = |count: usize| vec![FIRST; count].join("\n");
        let (_home, path) = holding(&lines(16), 0o600);
        assert_eq!(read(&path).expect("as many as may be").len(), 16);
        refused(&lines(17), 0o600, &["17", "16"]);
        refused(&"x\n".repeat(10_000), 0o600, &["20000 bytes", "16384"]);
        let (_home, path) = holding("", 0o600);
        std::fs::write(&path, [0xff; 40]).expect("written");
        read(&path).expect_err("no text");
        let home = tempfile::tempdir().expect("a directory");
        let said = format!("{:#}", read(home.path()).expect_err("a directory"));
        assert!(said.contains("is no file"), "{said}");
        let said = format!("{:#}", read(&home.path().join("none")).expect_err("none"));
        assert!(said.contains("consign token --out"), "{said}");
    }

    #[test]
    fn what_is_drawn_serves_and_never_repeats() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("token");
        let (one, other) = (drawn().expect("drawn"), drawn().expect("drawn"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 2 * TOKEN_BYTES);
        write_new(&path, &one).expect("written");
        let again = write_new(&path, &other).expect_err("it is there");
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).expect("good tokens"), [one]);
    }
}
