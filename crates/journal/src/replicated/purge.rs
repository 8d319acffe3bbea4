//! What a published checkpoint holds may leave the log, once no other replica should need it.

use std::sync::atomic::Ordering;

use super::replicas::{Position, Replicas};
use crate::error::StoreError;
use crate::log::PartitionId;

impl Replicas {
    /// A published checkpoint holds everything up to these positions: what no other replica should
    /// need any more may go.
    ///
    /// # Errors
    /// When the store refuses; then nothing is forgotten.
    pub fn purge(&self, published: &[Position]) -> Result<(), StoreError> {
        let Ok(running) = self.running() else {
            return Ok(());
        };
        let mut kept_from = self.kept_from.lock();
        let entries: Vec<u64> = published.iter().map(Position::entry).collect();
        // A replica that was away for a moment shall not need a snapshot for that.
        let upto = if self.is_alone() {
            &entries
        } else {
            &*kept_from
        };
        let groups = &running.groups;
        let gone: Vec<(PartitionId, u64)> = groups
            .iter()
            .zip(upto)
            .map(|(group, upto)| {
                group.act(|core| {
                    core.raft.purge(*upto);
                    core.raft.log().let_go(core.raft.terms().purged());
                });
                (group.partition, group.log.purged())
            })
            .collect();
        self.journal.purge(&gone)?;
        let published = groups.iter().zip(&entries);
        let bytes =
            published.map(|(group, entry)| self.journal.bytes_upto(group.partition, *entry));
        self.published_bytes.store(bytes.sum(), Ordering::Relaxed);
        *kept_from = entries;
        Ok(())
    }
}
