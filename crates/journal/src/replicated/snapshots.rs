//! Snapshots: what a checkpoint published of a partition, on its way to a replica that is too far
//! behind for the log.
//!
//! ```text
//! leader:  rows of one moment ─► parts ─► replica: a file of its own, synced ─► Raft takes it
//!                                         ─► mark, rows replaced, published, log jumps, mark gone
//! ```
//! In: rows of a store. Out: the same rows in another. Parts are bounded and travel on a lane of their
//! own. A crash in the middle of replacing rows finds the mark and the whole file, and does it again;
//! before that nothing of it counts.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consign_raft::Mark;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;

use super::group::Group;
use super::machine::Machine;
use super::messages::{Answer, Question, SnapshotPart, ask, decode, encode};
use super::replicas::Position;
use super::wire::{ReplicaWire, WireError};
use crate::log::PartitionId;
use crate::state::{Rows, StateStore, Table};
use crate::threads::Threads;

/// How long a replica may take for a part.
const PART_MAX: Duration = Duration::from_secs(10);
/// How long it may take to put all of them into place.
const INSTALL_MAX: Duration = Duration::from_secs(60);
/// How long a replica that took no snapshot is left alone.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Bytes of rows in a part, over which no further row joins it.
const PART_BYTES: usize = 1 << 20;
/// The longest part that is read back from a file, in bytes.
const PART_BYTES_MAX: u32 = 256 << 20;

/// Rows on their way: table, key, value.
pub(crate) type PartRows = Vec<(u8, Vec<u8>, Vec<u8>)>;

/// What is sent after another.
enum Piece {
    Rows(PartRows),
    Failed(String),
}

/// The file that gathers a partition's snapshot.
pub(crate) fn file_of(dir: &Path, PartitionId(partition): PartitionId) -> PathBuf {
    dir.join(format!("snapshot-{partition}.part"))
}

impl Group {
    /// Sends snapshots to those that need one, one after another, as long as the node lives.
    pub(crate) async fn send_snapshots(self: Arc<Self>, node: u64, state: Arc<StateStore>) {
        loop {
            let wanted = std::mem::take(&mut *self.wants_snapshot.lock());
            for (to, term) in wanted {
                let from = (self.partition, node, term);
                let sent = send(
                    (&*self.wire, &self.machine),
                    from,
                    to,
                    &state,
                    self.log.threads(),
                );
                let sent = sent.await;
                if let Err(error) = &sent {
                    tracing::info!(partition = %self.partition, to, %error, "a snapshot was not taken");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                let upto = sent.ok().map(|mark| mark.index);
                self.act(|core| core.raft.snapshot_sent(to, upto));
            }
            self.snapshots_wanted.notified().await;
        }
    }
}

/// Sends what the store has published of a partition to another replica; gives where that stands then.
async fn send(
    (wire, machine): (&dyn ReplicaWire, &Arc<dyn Machine>),
    (partition, leader, term): (PartitionId, u64, u64),
    to: u64,
    state: &StateStore,
    threads: Threads,
) -> Result<Mark, WireError> {
    let not_sent = |what: String| WireError::NotSent(what);
    let rows = state.rows().map_err(|error| not_sent(error.to_string()))?;
    let position = rows.position_of(partition);
    let position = position.map_err(|error| not_sent(error.to_string()))?;
    let position = position.ok_or_else(|| not_sent("nothing is published".to_owned()))?;
    tracing::info!(%partition, to, records = position.records, "sends a snapshot");
    let (pieces, mut waiting) = Pieces::channel(threads);
    let reader = Arc::clone(machine);
    let reading = threads.run(move || read(&*reader, partition, &rows, &pieces));
    let (mut nth, mut held) = (0, None);
    loop {
        let next = waiting.next().await;
        let part_of = |nth, rows, last| {
            Question::Snapshot(Box::new(SnapshotPart {
                partition: partition.0,
                leader,
                term,
                position: position.clone(),
                nth,
                rows,
                last,
            }))
        };
        match (held.take(), next) {
            (_, Some(Piece::Failed(what))) => return Err(not_sent(what)),
            (None, Some(Piece::Rows(rows))) => held = Some(rows),
            (Some(rows), Some(Piece::Rows(more))) => {
                ask(wire, to, &part_of(nth, rows, false), PART_MAX).await?;
                (nth, held) = (nth + 1, Some(more));
            }
            (rows, None) => {
                let last = part_of(nth, rows.unwrap_or_default(), true);
                // It replaces its rows before it answers.
                let answer = ask(wire, to, &last, INSTALL_MAX).await?;
                let _ = reading.await;
                return match answer {
                    Answer::Snapshot(Some(mark)) => Ok(mark),
                    _ => Err(WireError::NoAnswer(
                        "it did not take the snapshot".to_owned(),
                    )),
                };
            }
        }
    }
}

/// Where pieces go that have been read.
enum Pieces {
    /// They wait for room there.
    Few(mpsc::Sender<Piece>),
    /// Who takes them is on the same thread, and comes later.
    All(mpsc::UnboundedSender<Piece>),
}

impl Pieces {
    fn channel(threads: Threads) -> (Pieces, BoxStream<'static, Piece>) {
        match threads {
            Threads::Own => {
                let (pieces, mut waiting) = mpsc::channel(2);
                let taken = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
                (Pieces::Few(pieces), taken.boxed())
            }
            Threads::None { .. } => {
                let (pieces, mut waiting) = mpsc::unbounded_channel();
                let taken = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
                (Pieces::All(pieces), taken.boxed())
            }
        }
    }

    /// False when nobody takes them any more.
    fn push(&self, piece: Piece) -> bool {
        match self {
            Pieces::Few(pieces) => pieces.blocking_send(piece).is_ok(),
            Pieces::All(pieces) => pieces.send(piece).is_ok(),
        }
    }
}

/// Reads a partition's rows, part by part.
fn read(machine: &dyn Machine, partition: PartitionId, rows: &Rows, pieces: &Pieces) {
    let mut part = PartRows::new();
    let mut bytes = 0;
    let mut gone = false;
    let walked = machine.each_row(partition, rows, &mut |table, key, value| {
        bytes += key.len() + value.len();
        part.push((table.code(), key.to_vec(), value.to_vec()));
        if bytes >= PART_BYTES {
            bytes = 0;
            gone = !pieces.push(Piece::Rows(std::mem::take(&mut part)));
        }
        !gone
    });
    let rest = match walked {
        Ok(()) => Piece::Rows(part),
        Err(what) => Piece::Failed(what),
    };
    // Nobody waits for it when the sending has ended.
    pieces.push(rest);
}

/// A snapshot that is arriving.
#[derive(Debug)]
pub(crate) struct Arriving {
    position: Position,
    path: PathBuf,
    file: BufWriter<File>,
    next: u64,
}

impl Arriving {
    /// Takes a part in; gives the whole when it was the last.
    pub(crate) fn take(
        arriving: &mut Option<Arriving>,
        dir: &Path,
        part: &SnapshotPart,
    ) -> Result<Option<(Position, PathBuf)>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot keep a snapshot: {error}");
        if part.nth == 0 {
            let path = file_of(dir, PartitionId(part.partition));
            let file = File::create(&path).map_err(|error| failed(&error))?;
            *arriving = Some(Arriving {
                position: part.position.clone(),
                path,
                file: BufWriter::new(file),
                next: 0,
            });
        }
        let Some(here) = arriving
            .as_mut()
            .filter(|here| here.next == part.nth && here.position == part.position)
        else {
            *arriving = None;
            return Err("a part of a snapshot is missing; begin again".to_owned());
        };
        let bytes = encode(&part.rows);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        here.file
            .write_all(&length.to_le_bytes())
            .and_then(|()| here.file.write_all(&bytes))
            .map_err(|error| failed(&error))?;
        here.next += 1;
        if !part.last {
            return Ok(None);
        }
        let synced = here
            .file
            .flush()
            .and_then(|()| here.file.get_ref().sync_all());
        synced.map_err(|error| failed(&error))?;
        let whole = (here.position.clone(), here.path.clone());
        *arriving = None;
        Ok(Some(whole))
    }
}

/// Replaces a partition's rows by those of a file; again, if it was interrupted.
pub(crate) fn install(
    machine: &dyn Machine,
    state: &StateStore,
    partition: PartitionId,
    position: &Position,
    path: &Path,
) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot install a snapshot: {error}");
    let mark = state.write(&[StateStore::installing(partition, Some(position))]);
    mark.map_err(|error| failed(&error))?;
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut file = BufReader::new(file);
    let mut parts = || {
        let Some(rows) = read_part(&mut file).map_err(|error| failed(&error))? else {
            return Ok(None);
        };
        let named = rows.into_iter().map(|(code, key, value)| {
            let table = table_of(code).ok_or("it has rows of an unknown table")?;
            Ok((table, key, value))
        });
        named.collect::<Result<Vec<_>, String>>().map(Some)
    };
    machine.replace(partition, position, &mut parts)
}

/// The next part of a file; none at its end.
fn read_part(file: &mut impl Read) -> std::io::Result<Option<PartRows>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > PART_BYTES_MAX {
        return Err(std::io::Error::other(
            "a part is longer than any that is written",
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    decode(&bytes).map(Some).map_err(std::io::Error::other)
}

/// The table that a row of a part belongs to.
pub(crate) fn table_of(code: u8) -> Option<Table> {
    Table::ALL.into_iter().find(|table| table.code() == code)
}
