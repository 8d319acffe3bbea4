//! Everything that happened, in an order that never leaves anything out: the event stream.
//!
//! In: a cursor. Out: the events after it, each with the cursor that stands behind it. A cursor is
//! a vector of partition indexes, so it survives restarts, checkpoints and, later, partitions that
//! move. Within one entity, events come in order; across partitions any order is possible.

use std::fmt;
use std::str::FromStr;

use consign_domain::carrier::Carrier;
use consign_domain::catalogue::Catalogue;
use consign_domain::entity::{Entity, Stamp};
use consign_domain::location::Location;
use consign_domain::order::Order;
use consign_domain::reservation::Reservation;
use consign_runtime::{EntityRef, Host, PartitionId, RecordsError, StoredRecord};
use serde::Serialize;

use crate::error::ServiceError;
use crate::service::Consign;

/// Where a reader stands: for each partition, the index of the last record that it has seen, and
/// in the record it is in the middle of, how many events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCursor(Vec<(u64, u32)>);

impl EventCursor {
    /// Whether something lies between it and another one.
    #[must_use]
    pub fn is_behind(&self, other: &EventCursor) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own < other)
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v1")?;
        for (index, events) in &self.0 {
            write!(f, "_{index:x}")?;
            if *events > 0 {
                write!(f, ".{events:x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for EventCursor {
    type Err = ServiceError;
    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let rest = text
            .strip_prefix("v1_")
            .ok_or(ServiceError::CursorInvalid)?;
        let position = |part: &str| {
            let (index, events) = part.split_once('.').unwrap_or((part, "0"));
            let index = u64::from_str_radix(index, 16).ok()?;
            Some((index, u32::from_str_radix(events, 16).ok()?))
        };
        let positions: Option<Vec<_>> = rest.split('_').map(position).collect();
        positions
            .map(EventCursor)
            .ok_or(ServiceError::CursorInvalid)
    }
}

/// Events after a cursor.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// In stream order.
    pub events: Vec<HappenedEvent>,
    /// Behind the last of them.
    pub cursor: EventCursor,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct HappenedEvent {
    /// Behind this event.
    pub cursor: EventCursor,
    /// Who and when.
    pub stamp: Stamp,
    /// `order`, `location`, `carrier`, `catalogue` or `reservation`.
    pub entity_kind: &'static str,
    /// The entity's id.
    pub entity: String,
    /// The entity's version after it.
    pub version: u64,
    /// What.
    pub kind: HappenedKind,
}

/// What happened, by kind of entity.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum HappenedKind {
    /// To an order.
    Order(<Order as Entity>::Event),
    /// To a location.
    Location(<Location as Entity>::Event),
    /// To a carrier.
    Carrier(<Carrier as Entity>::Event),
    /// To the catalogue.
    Catalogue(<Catalogue as Entity>::Event),
    /// To a reservation.
    Reservation(<Reservation as Entity>::Event),
}

impl Consign {
    /// Behind everything that has happened.
    #[must_use]
    pub fn cursor_now(&self) -> EventCursor {
        let node = &self.inner.node;
        let last = |partition| (node.last_index(PartitionId(partition)), 0);
        EventCursor((0..node.partitions()).map(last).collect())
    }

    /// Before everything that is kept.
    #[must_use]
    pub fn cursor_beginning(&self) -> EventCursor {
        let node = &self.inner.node;
        let first = |partition| {
            (
                node.first_index(PartitionId(partition)).saturating_sub(1),
                0,
            )
        };
        EventCursor((0..node.partitions()).map(first).collect())
    }

    /// Up to `limit` events after `cursor`, taken from each partition in turn.
    ///
    /// # Errors
    /// `CursorExpired` when history no longer reaches back to it; `CursorInvalid` when it is not
    /// one of this cluster's.
    pub fn events_after(
        &self,
        cursor: &EventCursor,
        limit: usize,
    ) -> Result<EventPage, ServiceError> {
        let node = &self.inner.node;
        let known = self.cursor_now();
        let ahead = |(asked, last): (&(u64, u32), &(u64, u32))| asked.0 > last.0;
        if cursor.0.len() != known.0.len() || cursor.0.iter().zip(&known.0).any(ahead) {
            return Err(ServiceError::CursorInvalid);
        }
        let mut at = cursor.clone();
        let mut events = Vec::new();
        for partition in 0..node.partitions() {
            let slot = usize::from(partition);
            // Every partition gets its share of the page, so that a busy one starves no other.
            let left = usize::from(node.partitions() - partition);
            let share = (limit.saturating_sub(events.len())).div_ceil(left).max(1);
            let (seen, within) = at.0[slot];
            if seen == known.0[slot].0 && within == 0 {
                continue;
            }
            let from = if within > 0 { seen } else { seen + 1 };
            let records = match node.records(PartitionId(partition), from, share) {
                Ok(records) => records,
                Err(RecordsError::Expired) => return Err(ServiceError::CursorExpired),
                Err(error) => return Err(ServiceError::storage(error)),
            };
            for record in records {
                let happened = self.decode(&record)?;
                let skip = if record.index == seen {
                    within as usize
                } else {
                    0
                };
                let total = happened.len();
                for (nth, (entity_kind, entity, version, stamp, kind)) in
                    happened.into_iter().enumerate().skip(skip)
                {
                    let done = nth + 1 == total;
                    let inside = if done {
                        0
                    } else {
                        u32::try_from(nth + 1).unwrap_or(u32::MAX)
                    };
                    at.0[slot] = (record.index, inside);
                    events.push(HappenedEvent {
                        cursor: at.clone(),
                        stamp,
                        entity_kind,
                        entity,
                        version,
                        kind,
                    });
                }
                at.0[slot] = (record.index, 0);
            }
        }
        Ok(EventPage { events, cursor: at })
    }

    fn decode(&self, record: &StoredRecord) -> Result<Vec<Decoded>, ServiceError> {
        let entity = EntityRef::from_bytes(&record.entity)
            .ok_or_else(|| ServiceError::Storage("a record names no entity".into()))?;
        match entity.kind() {
            Order::KIND_CODE => decoded(&self.inner.orders, record, HappenedKind::Order),
            Location::KIND_CODE => decoded(&self.inner.locations, record, HappenedKind::Location),
            Carrier::KIND_CODE => decoded(&self.inner.carriers, record, HappenedKind::Carrier),
            Catalogue::KIND_CODE => {
                decoded(&self.inner.definitions, record, HappenedKind::Catalogue)
            }
            Reservation::KIND_CODE => {
                decoded(&self.inner.reservations, record, HappenedKind::Reservation)
            }
            other => Err(ServiceError::Storage(
                format!("a record is of unknown kind {other}").into(),
            )),
        }
    }
}

type Decoded = (&'static str, String, u64, Stamp, HappenedKind);

fn decoded<E: Entity>(
    host: &Host<E>,
    record: &StoredRecord,
    kind: impl Fn(E::Event) -> HappenedKind,
) -> Result<Vec<Decoded>, ServiceError> {
    let decoded = host.decode(record).map_err(ServiceError::storage)?;
    let id = decoded.id.to_string();
    let numbered = decoded.items.into_iter().zip(decoded.first_version..);
    Ok(numbered
        .map(|((stamp, event), version)| (E::KIND, id.clone(), version, stamp, kind(event)))
        .collect())
}
