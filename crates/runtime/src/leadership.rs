//! What a node does when the log hands it records, or a partition.
//!
//! ```text
//! follower: takes records in ──lead──► leader: its entities live here ──follow──► follower
//! ```
//! In: committed records that nobody here waits for, and who leads what. Out: states that follow the
//! log; for a partition that is led here, the timers of its entities and those that have something
//! pending, woken at a bounded rate. Nothing of it is kept: effects and timers are derived from state.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use consign_journal::{Entry, LeaderId, Machine, NextPart, PartitionId, Position, Rows, Table};

use crate::codec;
use crate::rows::Attention;
use crate::shared::NodeInner;
use crate::types::{EntityRef, ReadError, partition_of};

/// Records after which one looks at how much memory their states take.
const TAKEN_AT_ONCE: usize = 4_096;
/// How often pending entities are woken after a change of leader.
const WAKE_EVERY: Duration = Duration::from_millis(10);

/// The node, as the log knows it.
pub(crate) struct Leadership {
    node: Weak<NodeInner>,
    wakes_per_second: u32,
    /// Records taken in since the last look at their memory.
    taken: AtomicUsize,
}

impl Leadership {
    pub(crate) fn of(node: &Arc<NodeInner>, wakes_per_second: u32) -> Leadership {
        Leadership {
            node: Arc::downgrade(node),
            wakes_per_second,
            taken: AtomicUsize::new(0),
        }
    }
}

impl Machine for Leadership {
    fn apply(&self, partition: PartitionId, index: u64, entry: &Entry) -> Result<(), String> {
        let Some(node) = self.node.upgrade() else {
            return Ok(());
        };
        let kind = entry.entity.first().copied().unwrap_or_default();
        let host = node.host(kind).ok_or_else(|| {
            format!("the journal holds an entity of kind {kind}, which this binary does not know")
        })?;
        let at = host.replay(partition, index, entry);
        node.clock.raise_to(at.map_err(|error| error.to_string())?);
        node.applied(partition, index);
        if self.taken.fetch_add(1, Ordering::Relaxed) % TAKEN_AT_ONCE == TAKEN_AT_ONCE - 1 {
            node.pack().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn applied(&self) {
        if let Some(node) = self.node.upgrade() {
            node.committed();
        }
    }

    fn lead(&self, partition: PartitionId, _: LeaderId) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        match node.take_over(partition) {
            Ok(pending) => {
                if let Some(runtime) = node.runtime.get() {
                    let waking = wake_pending(self.node.clone(), pending, self.wakes_per_second);
                    runtime.spawn(waking);
                }
            }
            Err(error) => node.stop_because(&format!("cannot take a partition over: {error}")),
        }
    }

    fn follow(&self, partition: PartitionId) {
        if let Some(node) = self.node.upgrade() {
            node.give_up(partition);
        }
    }

    fn leader_changed(&self, _: PartitionId) {
        if let Some(node) = self.node.upgrade() {
            // Callers wait for what was lost; sent twice it does no harm. The new leader may not serve
            // yet, so that what goes there now may be lost as well.
            node.unsettle();
            node.all_hosts().iter().for_each(|host| host.resend());
        }
    }

    fn each_row(
        &self,
        partition: PartitionId,
        rows: &Rows,
        visit: &mut dyn FnMut(Table, &[u8], &[u8]) -> bool,
    ) -> Result<(), String> {
        let node = self.node.upgrade().ok_or("the node closes")?;
        node.each_row_of(partition, rows, visit)
    }

    fn replace(
        &self,
        partition: PartitionId,
        position: &Position,
        parts: NextPart<'_>,
    ) -> Result<(), String> {
        let node = self.node.upgrade().ok_or("the node closes")?;
        node.replace_rows_of(partition, position, parts)
    }

    fn failed(&self, reason: &str) {
        if let Some(node) = self.node.upgrade() {
            node.stop_because(reason);
        }
    }
}

impl NodeInner {
    /// The entities of a partition live here from now on. Gives those that have something pending.
    fn take_over(&self, partition: PartitionId) -> Result<Vec<EntityRef>, ReadError> {
        let is_ours = |entity: &EntityRef| self.partition_of(entity) == partition;
        // Who is asked from here on sets its own timers; what is set below says the same.
        self.set_leads(partition, true);
        let mut attention: BTreeMap<EntityRef, Attention> = BTreeMap::new();
        let mut wrong = None;
        self.store()?.each_attention(&mut |key, value| {
            match (EntityRef::from_bytes(key), codec::decode(value)) {
                (Some(entity), Ok(row)) if is_ours(&entity) => {
                    attention.insert(entity, row);
                }
                (Some(_), Ok(_)) => {}
                (None, _) => {
                    let what = "an attention row names no entity".to_owned();
                    wrong = Some(ReadError::Decode(what));
                }
                (_, Err(error)) => wrong = Some(error.into()),
            }
            wrong.is_none()
        })?;
        if let Some(error) = wrong {
            return Err(error);
        }
        for host in self.all_hosts() {
            for entity in host.unsettled().into_iter().filter(&is_ours) {
                match host.attention(&entity) {
                    Some(row) => drop(attention.insert(entity, row)),
                    None => drop(attention.remove(&entity)),
                }
            }
        }
        let mut pending = Vec::new();
        for (entity, row) in attention {
            self.timers.set(&entity, row.wakeup);
            if row.pending {
                pending.push(entity);
            }
        }
        Ok(pending)
    }

    /// The entities of a partition live elsewhere from now on.
    fn give_up(&self, partition: PartitionId) {
        self.set_leads(partition, false);
        for host in self.all_hosts() {
            host.moved(partition);
        }
        let stays = |entity: &EntityRef| self.partition_of(entity) != partition;
        self.timers.retain(stays);
        self.reminders.retain(stays);
    }

    /// Where an entity lives.
    pub(crate) fn partition_of(&self, entity: &EntityRef) -> PartitionId {
        PartitionId(partition_of(entity.id(), self.partitions))
    }
}

/// Wakes entities that have something pending, at a bounded rate.
async fn wake_pending(node: Weak<NodeInner>, pending: Vec<EntityRef>, per_second: u32) {
    let at_once = usize::try_from(per_second / 100).unwrap_or(1).max(1);
    let mut ticks = tokio::time::interval(WAKE_EVERY);
    for entities in pending.chunks(at_once) {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        for entity in entities {
            if let Some(host) = node.host(entity.kind()) {
                host.wake_pending(entity);
            }
        }
    }
}
