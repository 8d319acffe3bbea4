//! What a group's committed entries do: they reach those who appended them, else the machine.
//!
//! In: committed entries, in order. Out: each record once, on every replica alike. Holds L4: a batch
//! that was committed under another leader than it was decided under is nothing.

use std::sync::atomic::Ordering;

use consign_raft::{Mark, Payload};

use super::batch::Batch;
use super::group::Group;
use crate::error::AppendError;
use crate::log::Committed;

/// Bytes of entries that are applied at once, over which none joins them.
const APPLIED_BYTES_MAX: u64 = 4 << 20;

impl Group {
    /// Applies entries from `from` to `upto`, or as many of them as go at once.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub(super) fn apply(&self, from: u64, upto: u64) -> Result<(), String> {
        let entries = self.log.entries(from, upto, APPLIED_BYTES_MAX)?;
        if entries.is_empty() {
            return Err(format!(
                "entry {from} of partition {} is committed, but not there",
                self.partition
            ));
        }
        let mut last = from;
        for (index, entry) in (from..).zip(entries) {
            let mark = Mark {
                term: entry.term,
                index,
            };
            let mut records = self.applied.lock().records;
            let mut changed = None;
            match entry.payload {
                Payload::Blank => {}
                Payload::Data(bytes) => {
                    let taken = self.take(entry.term, &Batch(bytes), records);
                    records = taken.map_err(|what| {
                        let partition = self.partition;
                        format!("entry {index} of partition {partition} cannot be applied: {what}")
                    })?;
                }
                Payload::Membership(membership) => changed = Some(membership),
            }
            // All of it at once: a checkpoint may look at any moment.
            let mut position = self.applied.lock();
            (position.records, position.mark) = (records, mark);
            if let Some(membership) = changed {
                position.membership = membership;
            }
            last = index;
        }
        self.applied_entry.send_replace(last);
        self.machine.applied();
        Ok(())
    }

    /// Applies a batch that was committed under `term`'s leader, after `before` records; gives how
    /// many there are then.
    fn take(&self, term: u64, batch: &Batch, before: u64) -> Result<u64, String> {
        let head = batch.head();
        let partition = self.partition;
        let waiting = self.take_in_flight(head.ticket);
        if head.lead.term != term {
            tracing::warn!(%partition, decided = %head.lead, term, "a batch was committed under another leader than it was decided under: it is nothing");
            for done in waiting.into_iter().flatten() {
                done(Err(AppendError::Deposed { partition }));
            }
            return Ok(before);
        }
        let after = before + u64::from(head.count);
        self.committed.store(after, Ordering::Release);
        match waiting {
            Some(dones) => {
                for (index, done) in (before + 1..).zip(dones) {
                    done(Ok(Committed { partition, index }));
                }
            }
            None => {
                for (index, entry) in (before + 1..).zip(batch.items()?) {
                    self.machine.apply(partition, index, &entry)?;
                }
            }
        }
        Ok(after)
    }
}
