//! What a published checkpoint holds may leave the log, once no other replica should need it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::replicas::{Position, Replicas, Running};
use super::store::journal_index;
use crate::error::StoreError;
use crate::log::PartitionId;

/// How long a checkpoint waits until Raft has let go of what it holds.
const LET_GO_MAX: Duration = Duration::from_secs(2);
/// How often it looks.
const LET_GO_LOOK_EVERY: Duration = Duration::from_millis(2);

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
        let letting_go = running.runtime.block_on(self.let_go(running, upto));
        if !letting_go {
            tracing::debug!(
                "Raft has not let go of everything yet; the next checkpoint tries again"
            );
        }
        let gone: Vec<(PartitionId, u64)> = running
            .groups
            .iter()
            .zip(&entries)
            .map(|(group, published)| {
                let purged = journal_index(group.log.word.lock().purged);
                (group.partition, purged.min(*published))
            })
            .collect();
        self.journal.purge(&gone)?;
        let published = running.groups.iter().zip(&entries);
        let bytes =
            published.map(|(group, entry)| self.journal.bytes_upto(group.partition, *entry));
        self.published_bytes.store(bytes.sum(), Ordering::Relaxed);
        *kept_from = entries;
        Ok(())
    }

    /// Has Raft forget entries that a published checkpoint holds. Says whether it has.
    async fn let_go(&self, running: &Running, upto: &[u64]) -> bool {
        for (raft, upto) in running.rafts.iter().zip(upto) {
            if *upto > 0 {
                // Either fails only when the group has ended.
                let _ = raft.trigger().snapshot().await;
                let _ = raft.trigger().purge_log(upto - 1).await;
            }
        }
        let is_gone = || {
            let mut groups = running.groups.iter().zip(upto);
            groups.all(|(group, upto)| journal_index(group.log.word.lock().purged) >= *upto)
        };
        let looking = async {
            while !is_gone() {
                tokio::time::sleep(LET_GO_LOOK_EVERY).await;
                // What was asked for before the snapshot was built is asked for again.
                for (raft, upto) in running
                    .rafts
                    .iter()
                    .zip(upto)
                    .filter(|(_, upto)| **upto > 0)
                {
                    let _ = raft.trigger().purge_log(upto - 1).await;
                }
            }
        };
        tokio::time::timeout(LET_GO_MAX, looking).await.is_ok()
    }
}
