//! The one thread of a node that writes the log: it takes all that waits, makes it durable as one
//! row with one sync, and only then tells anybody. In a simulation it is a task.
//!
//! In: appends of all partitions, in the order in which they came. Out: rows in `journal.log`,
//! and each append's `Done`. Holds: nothing is acknowledged before its sync
//! (L2); after a failed write or sync nothing is acknowledged any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::AppendError;
use crate::journal::Shared;
use crate::log::{Committed, Done, Entry, PartitionId};
use crate::row::{self, Held, RowWriter};
use crate::threads::Threads;

/// Entries of one row at most.
const ROW_ENTRIES_MAX: usize = 8_192;
/// Bytes after which a row takes no further entry.
const ROW_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one entry at most.
pub(crate) const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// What the committer is told.
pub(crate) enum Order {
    /// Make this durable.
    Append(Append),
    /// Write what waits, then end.
    Stop,
}

/// One append.
pub(crate) struct Append {
    pub(crate) partition: PartitionId,
    /// Its place there; 0 for a note.
    pub(crate) index: u64,
    pub(crate) entry: Entry,
    pub(crate) done: Done,
}

/// Who writes the log.
pub(crate) enum Committer {
    Thread(Mutex<Option<JoinHandle<()>>>),
    Task {
        orders: Receiver<Order>,
        something_waits: Arc<Notify>,
        task: AbortHandle,
    },
}

impl Committer {
    pub(crate) fn start(
        threads: Threads,
        shared: &Arc<Shared>,
        orders: Receiver<Order>,
    ) -> std::io::Result<Committer> {
        let shared = Arc::clone(shared);
        match threads {
            Threads::Own => std::thread::Builder::new()
                .name("consign-commit".to_owned())
                .spawn(move || run_to_its_end(&shared, &orders))
                .map(|thread| Committer::Thread(Mutex::new(Some(thread)))),
            Threads::None { write_takes } => Ok(Committer::task(shared, orders, write_takes)),
        }
    }

    /// As a task of the runtime that this is called in.
    fn task(
        shared: Arc<Shared>,
        orders: Receiver<Order>,
        write_takes: fn() -> Duration,
    ) -> Committer {
        let something_waits = Arc::new(Notify::new());
        let heard = Arc::clone(&something_waits);
        let running = run_in_place(shared, orders.clone(), heard, write_takes);
        Committer::Task {
            orders,
            something_waits,
            task: tokio::spawn(running).abort_handle(),
        }
    }

    /// Writes what waits, and ends.
    pub(crate) fn end(&self, shared: &Arc<Shared>, orders: &Sender<Order>) {
        match self {
            Committer::Thread(thread) => {
                // A send fails only when the committer is gone already.
                let _ = orders.send(Order::Stop);
                if let Some(thread) = thread.lock().take()
                    && thread.join().is_err()
                {
                    shared.fail("the committer panicked");
                }
            }
            Committer::Task { task, .. } => {
                task.abort();
                self.commit_in_place(shared);
            }
        }
    }

    /// An append waits; one that can only be refused does not wait for long.
    pub(crate) fn something_waits(&self, shared: &Arc<Shared>) {
        if let Committer::Task {
            something_waits, ..
        } = self
        {
            match shared.failure() {
                Some(_) => self.commit_in_place(shared),
                None => something_waits.notify_one(),
            }
        }
    }

    /// Writes what waits, here and now, if there is no thread that does: for who is about to block.
    pub(crate) fn commit_in_place(&self, shared: &Arc<Shared>) {
        if let Committer::Task { orders, .. } = self {
            commit_all(shared, orders);
        }
    }
}

/// Runs until it is told to stop. A panic is a failure like that of a disk; whoever still waits
/// in the queue is answered either way.
fn run_to_its_end(shared: &Arc<Shared>, orders: &Receiver<Order>) {
    let mut reason = "the journal is closed".to_owned();
    if catch_unwind(AssertUnwindSafe(|| run(shared, orders))).is_err() {
        reason = "the committer panicked".to_owned();
        shared.fail(&reason);
    }
    let mut waiting = Vec::new();
    for order in orders.try_iter() {
        if let Order::Append(append) = order {
            waiting.push(append);
        }
    }
    refuse(&mut waiting, &reason);
}

fn run(shared: &Arc<Shared>, orders: &Receiver<Order>) {
    let mut waiting: Vec<Append> = Vec::new();
    let mut buffer = Vec::new();
    loop {
        let stop = gather(orders, &mut waiting);
        if !waiting.is_empty() {
            buffer = commit(shared, &mut waiting, buffer);
        }
        if stop {
            return;
        }
    }
}

/// The committer as a task: writes what waits whenever it is told that something does.
async fn run_in_place(
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    something_waits: Arc<Notify>,
    write_takes: fn() -> Duration,
) {
    loop {
        something_waits.notified().await;
        tokio::time::sleep(write_takes()).await;
        commit_all(&shared, &orders);
    }
}

/// Makes all that waits durable, here and now.
fn commit_all(shared: &Arc<Shared>, orders: &Receiver<Order>) {
    let mut waiting = Vec::new();
    loop {
        take_what_waits(orders, &mut waiting);
        if waiting.is_empty() {
            return;
        }
        commit(shared, &mut waiting, Vec::new());
    }
}

/// Waits for one append, then takes all that are there. True when it is time to end.
fn gather(orders: &Receiver<Order>, waiting: &mut Vec<Append>) -> bool {
    match orders.recv() {
        Ok(Order::Append(append)) => waiting.push(append),
        Ok(Order::Stop) | Err(_) => return true,
    }
    // Where all cores are busy, who is about to append goes first; on an idle one nothing happens.
    std::thread::yield_now();
    take_what_waits(orders, waiting)
}

/// Takes the appends that are there, until a row is full. True when it is time to end.
fn take_what_waits(orders: &Receiver<Order>, waiting: &mut Vec<Append>) -> bool {
    let mut bytes: u64 = waiting.iter().map(|append| append.entry.size()).sum();
    while waiting.len() < ROW_ENTRIES_MAX && bytes < ROW_BYTES_MAX {
        match orders.try_recv() {
            Ok(Order::Append(append)) => {
                bytes += append.entry.size();
                waiting.push(append);
            }
            Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return true,
            Err(TryRecvError::Empty) => break,
        }
    }
    false
}

/// Makes `waiting` durable as one row and tells everybody. Gives the buffer back.
fn commit(shared: &Arc<Shared>, waiting: &mut Vec<Append>, buffer: Vec<u8>) -> Vec<u8> {
    if let Some(reason) = shared.failure() {
        refuse(waiting, &reason);
        return buffer;
    }
    let started = Instant::now();
    let mut row = RowWriter::new(buffer, (shared.now)());
    let mut held = Held::new();
    for append in waiting.iter() {
        row.push(append.partition, append.index, &append.entry);
        row::note_last(&mut held, append.partition, append.index);
    }
    let row = row.finish();
    let key = match shared.log.append(&row, &held) {
        Ok(key) => key,
        Err(error) => {
            let reason = format!("cannot write the journal: {error}");
            shared.fail(&reason);
            refuse(waiting, &reason);
            return row;
        }
    };
    metrics::histogram!("consign_journal_commit_seconds").record(started.elapsed());
    metrics::counter!("consign_journal_commits_total").increment(1);
    metrics::counter!("consign_journal_entries_total").increment(waiting.len() as u64);
    metrics::counter!("consign_journal_bytes_total").increment(row.len() as u64);
    tracing::debug!(
        row = key,
        entries = waiting.len(),
        bytes = row.len(),
        "committed"
    );
    for (partition, index) in held {
        shared.tail.durable(partition, index);
    }
    for append in waiting.drain(..) {
        let (partition, index) = (append.partition, append.index);
        (append.done)(Ok(Committed { partition, index }));
    }
    row
}

fn refuse(waiting: &mut Vec<Append>, reason: &str) {
    for append in waiting.drain(..) {
        (append.done)(Err(AppendError::Stopped {
            reason: reason.to_owned(),
        }));
    }
}
