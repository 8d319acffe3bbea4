//! An entity's own history: its records one after another, from history and the journal's tail.
//!
//! In: an entity and a version. Out: its events after that version. Its head lists its latest
//! records, rows of their own those before; within them the wanted record is found by halving.

use consign_domain::entity::Entity;
use consign_journal::PartitionId;

use crate::codec::{self, Record};
use crate::host::HostInner;
use crate::rows::{Head, decode_indexes};
use crate::types::{EntityRef, Happened, ReadError};

impl<E: Entity> HostInner<E> {
    /// Visits the events after version `after`, oldest first, until `visit` says no.
    pub(crate) fn each_event(
        &self,
        id: &E::Id,
        after: u64,
        visit: &mut dyn FnMut(Happened<E>) -> bool,
    ) -> Result<(), ReadError> {
        let entity = EntityRef::of::<E>(id);
        let partition = self.partition(&entity);
        // Memory first: what a checkpoint moves to disk meanwhile is then seen twice, never missed.
        let recent = self.warm.recent(id);
        let mut lists = Vec::new();
        let mut wrong = None;
        let store = self.node.store()?;
        let entity = entity.to_bytes();
        if let Some(head) = store.head(&entity)? {
            let head: Head = codec::decode(&head)?;
            lists.push(decode_indexes(&head.records)?);
        }
        // After the head: a list that moves from there to a row meanwhile is then seen twice.
        store.each_history_list(&entity, &mut |row| {
            match decode_indexes(row) {
                Ok(list) => lists.push(list),
                Err(error) => wrong = Some(error),
            }
            wrong.is_none()
        })?;
        if let Some(error) = wrong {
            return Err(error);
        }
        lists.push(recent);
        let mut indexes: Vec<u64> = lists.into_iter().flatten().collect();
        indexes.sort_unstable();
        indexes.dedup();
        let mut seen = after;
        for &index in &indexes[self.start(partition, &indexes, after)?..] {
            let Record { expected, steps } = self.fetch(partition, index)?;
            if expected > seen {
                return Err(ReadError::Expired);
            }
            let mut version = expected;
            for step in steps {
                for event in step.events {
                    version += 1;
                    if version <= seen {
                        continue;
                    }
                    seen = version;
                    let stamp = step.stamp.clone();
                    if !visit(Happened {
                        version,
                        partition,
                        index,
                        stamp,
                        event,
                    }) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the record lies that leads beyond version `after`: the last one decided on it or
    /// before, or the first one that is kept.
    fn start(
        &self,
        partition: PartitionId,
        indexes: &[u64],
        after: u64,
    ) -> Result<usize, ReadError> {
        let (mut low, mut high) = (0, indexes.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.fetch(partition, indexes[middle]) {
                Ok(record) if record.expected <= after => low = middle,
                Ok(_) => high = middle,
                Err(ReadError::Expired) => low = middle,
                Err(error) => return Err(error),
            }
        }
        Ok(low)
    }

    fn fetch(&self, partition: PartitionId, index: u64) -> Result<Record<E::Event>, ReadError> {
        let (_, body) = self.node.record(partition, index)?;
        Ok(codec::decode(&body)?)
    }
}
