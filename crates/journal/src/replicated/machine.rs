//! What takes committed records in: a seam, because this crate does not know what an entity is.

use super::batch::LeaderId;
use super::replicas::Position;
use crate::log::{Entry, PartitionId};
use crate::state::{Rows, Table};

/// Takes committed records in, and hears who leads. Called on Raft's tasks: must not wait for them.
pub trait Machine: Send + Sync + 'static {
    /// A record that nobody here waits for: decided elsewhere, or before a restart.
    ///
    /// # Errors
    /// Why it cannot be taken in; the partition stops.
    fn apply(&self, partition: PartitionId, index: u64, entry: &Entry) -> Result<(), String>;
    /// Some records were taken in, here or by those who appended them.
    fn applied(&self);
    /// This node leads from here on: everything acknowledged by anybody is taken in.
    fn lead(&self, partition: PartitionId, lead: LeaderId);
    /// It does no more.
    fn follow(&self, partition: PartitionId);
    /// Somebody leads who did not before: what was sent to that partition may have been lost.
    fn leader_changed(&self, partition: PartitionId);
    /// Hands over all rows of a partition that a store holds, until `visit` says false.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn each_row(
        &self,
        partition: PartitionId,
        rows: &Rows,
        visit: VisitRow<'_>,
    ) -> Result<(), String>;
    /// Puts `parts` in the place of all that is there of a partition, on disk and in memory, and
    /// publishes `position` with the last of it. Done again when it was interrupted.
    ///
    /// # Errors
    /// Why it cannot be done; the partition stops.
    fn replace(
        &self,
        partition: PartitionId,
        position: &Position,
        parts: NextPart<'_>,
    ) -> Result<(), String>;
    /// A group cannot go on.
    fn failed(&self, reason: &str);
}

/// Sees a row, and says whether to go on.
pub type VisitRow<'a> = &'a mut dyn FnMut(Table, &[u8], &[u8]) -> bool;

/// Gives the next rows of a snapshot: table, key, value; none at its end.
pub type NextPart<'a> =
    &'a mut dyn FnMut() -> Result<Option<Vec<(Table, Vec<u8>, Vec<u8>)>>, String>;
