//! The index as every committed state would have it: the disk's rows, with the rows of entities
//! changed since the last checkpoint laid over them.
//!
//! In: names of changed entities, lazily turned into rows when somebody asks. Out: rows in key
//! order. A disk row whose owner is in the overlay is hidden: the overlay knows better. Readers
//! hold the overlay while they read the disk, and a checkpoint takes entities out of it only after
//! its rows are on disk, so no row is seen twice or missed.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::rows::decode_index;
use crate::store::Store;
use crate::types::{EntityRef, IndexRow, ReadError};

/// Key and value of an index row.
pub(crate) type Row = (Vec<u8>, Vec<u8>);
/// The rows of an entity whose rows may differ from the disk's, `None` when they do not.
pub(crate) type RowsOf<'a> = &'a dyn Fn(&EntityRef) -> Option<Vec<Row>>;

#[derive(Debug, Default)]
struct Layer {
    rows: BTreeMap<Vec<u8>, (EntityRef, Vec<u8>)>,
    /// Keys by owner; an owner without rows still hides what the disk has.
    owners: HashMap<EntityRef, Vec<Vec<u8>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Changed since somebody asked last; each entity once.
    changed: Mutex<Vec<EntityRef>>,
    layer: RwLock<Layer>,
}

impl Overlay {
    pub(crate) fn changed(&self, entity: EntityRef) {
        self.changed.lock().push(entity);
    }

    /// The row with this key.
    pub(crate) fn get(
        &self,
        key: &[u8],
        rows_of: RowsOf<'_>,
        store: &Store,
    ) -> Result<Option<IndexRow>, ReadError> {
        let layer = self.up_to_date(rows_of);
        if let Some((owner, value)) = layer.rows.get(key) {
            return Ok(Some(IndexRow {
                owner: owner.clone(),
                value: value.clone(),
            }));
        }
        let Some(row) = store.index_row(key)? else {
            return Ok(None);
        };
        layer.unhidden(&row)
    }

    /// Up to `limit` rows between the bounds.
    pub(crate) fn scan(
        &self,
        (from, to): (Bound<Vec<u8>>, Bound<Vec<u8>>),
        reverse: bool,
        limit: usize,
        rows_of: RowsOf<'_>,
        store: &Store,
    ) -> Result<Vec<(Vec<u8>, IndexRow)>, ReadError> {
        if is_empty(&from, &to) || limit == 0 {
            return Ok(Vec::new());
        }
        let layer = self.up_to_date(rows_of);
        // Enough of either side makes enough of both.
        let mut on_disk = Vec::new();
        let mut wrong = None;
        store.scan_index((from.as_ref(), to.as_ref()), reverse, &mut |key, value| {
            match layer.unhidden(value) {
                Ok(Some(row)) => on_disk.push((key.to_vec(), row)),
                Ok(None) => {}
                Err(error) => wrong = Some(error),
            }
            wrong.is_none() && on_disk.len() < limit
        })?;
        if let Some(error) = wrong {
            return Err(error);
        }
        let over = layer.rows.range((from, to));
        let row = |(key, (owner, value)): (&Vec<u8>, &(EntityRef, Vec<u8>))| {
            (
                key.clone(),
                IndexRow {
                    owner: owner.clone(),
                    value: value.clone(),
                },
            )
        };
        let over: Vec<_> = if reverse {
            over.rev().take(limit).map(row).collect()
        } else {
            over.take(limit).map(row).collect()
        };
        let mut merged = over;
        merged.append(&mut on_disk);
        merged.sort_by(|a, b| {
            if reverse {
                b.0.cmp(&a.0)
            } else {
                a.0.cmp(&b.0)
            }
        });
        // One key can have two owners for a moment, e.g. when a name moves: the newer word counts.
        merged.dedup_by(|later, earlier| later.0 == earlier.0);
        merged.truncate(limit);
        Ok(merged)
    }

    /// Takes entities out whose rows are on disk. `is_clean` is asked while nobody reads.
    pub(crate) fn remove(
        &self,
        entities: impl Iterator<Item = (EntityRef, usize)>,
        is_clean: impl Fn(&EntityRef, usize) -> bool,
    ) {
        let mut layer = self.layer.write();
        for (entity, bytes) in entities {
            if is_clean(&entity, bytes) {
                layer.remove(&entity);
            }
        }
    }

    /// Forgets entities: the disk knows better.
    pub(crate) fn forget(&self, is_gone: &dyn Fn(&EntityRef) -> bool) {
        let mut layer = self.layer.write();
        self.changed.lock().retain(|entity| !is_gone(entity));
        let gone: Vec<EntityRef> = layer
            .owners
            .keys()
            .filter(|it| is_gone(it))
            .cloned()
            .collect();
        gone.iter().for_each(|entity| layer.remove(entity));
    }

    /// Lets go of names that no longer need a look, so that the queue stays as short as the list of
    /// changed entities although nobody asks.
    pub(crate) fn compact(&self, is_unindexed: impl Fn(&EntityRef) -> bool) {
        let mut changed = std::mem::take(&mut *self.changed.lock());
        changed.sort_unstable();
        changed.dedup();
        changed.retain(is_unindexed);
        self.changed.lock().append(&mut changed);
    }

    fn up_to_date(&self, rows_of: RowsOf<'_>) -> RwLockReadGuard<'_, Layer> {
        if self.changed.lock().is_empty() {
            return self.layer.read();
        }
        let mut layer = self.layer.write();
        let changed = std::mem::take(&mut *self.changed.lock());
        for entity in changed {
            let Some(rows) = rows_of(&entity) else {
                continue;
            };
            layer.remove(&entity);
            let keys = rows.iter().map(|(key, _)| key.clone()).collect();
            layer.owners.insert(entity.clone(), keys);
            for (key, value) in rows {
                layer.rows.insert(key, (entity.clone(), value));
            }
        }
        RwLockWriteGuard::downgrade(layer)
    }
}

impl Layer {
    fn remove(&mut self, entity: &EntityRef) {
        for key in self.owners.remove(entity).unwrap_or_default() {
            if self
                .rows
                .get(&key)
                .is_some_and(|(owner, _)| owner == entity)
            {
                self.rows.remove(&key);
            }
        }
    }

    fn unhidden(&self, row: &[u8]) -> Result<Option<IndexRow>, ReadError> {
        let (owner, value) = decode_index(row)?;
        let owner = EntityRef::from_bytes(owner)
            .ok_or_else(|| ReadError::Decode("an index row names no entity".to_owned()))?;
        if self.owners.contains_key(&owner) {
            return Ok(None);
        }
        Ok(Some(IndexRow {
            owner,
            value: value.to_vec(),
        }))
    }
}

/// `BTreeMap::range` panics on bounds that cross.
fn is_empty(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}
