//! A backup becomes a data directory.
//!
//! In: what [`Journal::backup`] wrote. Out: a directory that opens, every row of it checked; as it was,
//! or as that of a group of one node. Holds: half a directory never opens. A file marks it from before
//! the first byte until the last one is on the disk.
//!
//! [`Journal::backup`]: crate::Journal::backup

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use crate::backup::{BackupManifest, MANIFEST_FILE, ensure_empty, io, not_whole, tally};
use crate::error::{BackupError, OpenError};
use crate::format::FORMAT_VERSION;
use crate::journal::{JOURNAL_FILE, STATE_FILE};
use crate::replicated::reshape::reshape;

/// Lies in a directory that is being made.
const UNFINISHED_FILE: &str = "restore.unfinished";
/// What it holds, for those who look.
const UNFINISHED_TEXT: &str = "A restore that has not ended is writing this directory, or was.\n";

/// Copies a backup into `dir`, which must be empty or absent, after checking every row of it.
///
/// # Errors
/// When the backup is not whole, or `dir` is in use.
pub fn restore(backup: &Path, dir: &Path) -> Result<BackupManifest, BackupError> {
    restore_then(backup, dir, |_| Ok(()))
}

/// As [`restore`], and makes `node` the only voter of every partition, whatever cluster the backup is
/// of. Other nodes reach it at `address`, `host:port`; it is empty for a node that runs alone, which is
/// node 1.
///
/// # Errors
/// As [`restore`], or when a partition's log cannot be what a replica left.
pub fn restore_as(
    backup: &Path,
    dir: &Path,
    node: u64,
    address: &str,
) -> Result<BackupManifest, BackupError> {
    restore_then(backup, dir, |manifest| {
        reshape(dir, manifest.partitions, node, address)
    })
}

/// Refuses a directory that a restore began and did not end.
pub(crate) fn ensure_finished(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(UNFINISHED_FILE);
    if path.exists() {
        let dir = dir.to_owned();
        return Err(OpenError::Unfinished { path, dir });
    }
    Ok(())
}

/// Makes a directory from a backup; `finish` does what is left to do before it may open.
fn restore_then(
    backup: &Path,
    dir: &Path,
    finish: impl FnOnce(&BackupManifest) -> Result<(), BackupError>,
) -> Result<BackupManifest, BackupError> {
    let manifest = read_manifest(backup)?;
    ensure_finished(dir)?;
    ensure_empty(dir)?;
    std::fs::create_dir_all(dir).map_err(io("make", dir))?;
    mark(dir)?;
    let made = copy_checked(backup, dir, &manifest).and_then(|()| finish(&manifest));
    if made.is_err() {
        // It would stand in the way of the next try.
        for file in [JOURNAL_FILE, STATE_FILE] {
            remove(&dir.join(file))?;
        }
    }
    remove(&dir.join(UNFINISHED_FILE))?;
    sync(dir)?;
    made.map(|()| manifest)
}

fn read_manifest(backup: &Path) -> Result<BackupManifest, BackupError> {
    let not_whole = |error: &dyn std::fmt::Display| {
        let what = format!("{MANIFEST_FILE}: {error}");
        not_whole(backup, what)
    };
    let text = std::fs::read(backup.join(MANIFEST_FILE)).map_err(|error| not_whole(&error))?;
    let manifest: BackupManifest =
        serde_json::from_slice(&text).map_err(|error| not_whole(&error))?;
    if manifest.format_version != FORMAT_VERSION {
        let (found, supported) = (manifest.format_version, FORMAT_VERSION);
        return Err(OpenError::FormatVersion {
            file: MANIFEST_FILE,
            found,
            supported,
        }
        .into());
    }
    Ok(manifest)
}

/// Says that the directory is not one yet.
fn mark(dir: &Path) -> Result<(), BackupError> {
    let path = dir.join(UNFINISHED_FILE);
    std::fs::write(&path, UNFINISHED_TEXT).map_err(io("write", &path))?;
    sync(&path)?;
    sync(dir)
}

/// Copies both files and counts what arrived.
fn copy_checked(backup: &Path, dir: &Path, manifest: &BackupManifest) -> Result<(), BackupError> {
    let not_whole = |what| not_whole(backup, what);
    for file in [JOURNAL_FILE, STATE_FILE] {
        let to = dir.join(file);
        std::fs::copy(backup.join(file), &to)
            .map_err(|error| not_whole(format!("{file}: {error}")))?;
        sync(&to)?;
    }
    sync(dir)?;
    let (journal, state) = tally(dir, manifest.partitions)?;
    let found = (journal.rows, journal.text(), state.rows, state.text());
    let said = (
        manifest.journal_rows,
        manifest.journal_xxh3.clone(),
        manifest.state_rows,
        manifest.state_xxh3.clone(),
    );
    if found != said {
        return Err(not_whole(
            "its rows do not add up to what its manifest says".to_owned(),
        ));
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(io("sync", path))
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(io("remove", path)(source)),
        _ => Ok(()),
    }
}
