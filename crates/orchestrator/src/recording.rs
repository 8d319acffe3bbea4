//! What happened, as far as sourcing rests on it: a file that a decision can be tried on again.
//!
//! In: a window of time. Out: definitions as they are now, what each location stands at, and from the
//! beginning of the window on every change of stock and everything about orders that touches their
//! sourcing, decisions with their inputs. Holds no personal data: events never do. One line of JSON
//! each; the last one says how many there were, so that a file that was cut off is known as such.

use consign_domain::catalogue::CatalogueEvent;
use consign_domain::entity::Entity;
use consign_domain::ids::{LocationId, OrderId, Sku};
use consign_domain::location::{CapacityLimits, LocationEvent};
use consign_domain::order::{Assignment, OrderEvent};
use consign_domain::time::Timestamp;
use consign_sourcing::Inputs;
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::events::{EventCursor, HappenedEvent, HappenedKind};
use crate::service::Consign;

/// The form of recordings; another one is refused.
pub const RECORDING_FORMAT: u32 = 1;

/// A line of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// The first line.
    Head {
        /// [`RECORDING_FORMAT`].
        format: u32,
        /// When it was made.
        made_at: Timestamp,
        /// Orders placed before are left out.
        since: Timestamp,
        /// So are orders placed then or later.
        until: Timestamp,
    },
    /// A definition, as it is now.
    Definition(CatalogueEvent),
    /// What a location may grant after so many of its events.
    Stands {
        /// Which.
        location: LocationId,
        /// Its events.
        version: u64,
        /// Units by SKU; those of which there are none may be missing.
        available: Vec<(Sku, i64)>,
    },
    /// What a location may grant has changed.
    Stock {
        /// When.
        at: Timestamp,
        /// Where.
        location: LocationId,
        /// Its events, with this one.
        version: u64,
        /// For which order, when it was an order's reservation that changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// Units more or fewer, by SKU.
        changes: Vec<(Sku, i64)>,
    },
    /// What a location takes on was limited, also before the window.
    Limited {
        /// When.
        at: Timestamp,
        /// Which.
        location: LocationId,
        /// How much, from then on.
        limits: CapacityLimits,
    },
    /// Something happened to an order.
    Order {
        /// When.
        at: Timestamp,
        /// Which.
        order: OrderId,
        /// What.
        event: Box<OrderEvent>,
    },
    /// An order was sourced.
    Decided {
        /// When.
        at: Timestamp,
        /// Which.
        order: OrderId,
        /// Counts its decisions.
        round: u32,
        /// Who was asked for what.
        assignments: Vec<Assignment>,
        /// What the decision rested on.
        inputs: Box<Inputs>,
    },
    /// The last line.
    End {
        /// Lines before it.
        lines: u64,
    },
}

/// What of time a recording is about.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Orders placed from then on.
    pub since: Timestamp,
    /// And before.
    pub until: Timestamp,
}

impl Consign {
    /// What a recording begins with: its head, all definitions, and what locations stand at. What
    /// happened must be read after it.
    ///
    /// # Errors
    /// When a location cannot be read.
    pub fn recording_head(&self, window: Window) -> Result<Vec<Recorded>, ServiceError> {
        let catalogue = self.inner.catalogue.load();
        let mut lines = vec![Recorded::Head {
            format: RECORDING_FORMAT,
            made_at: self.inner.node.now(),
            since: window.since,
            until: window.until,
        }];
        let mut define = |event| lines.push(Recorded::Definition(event));
        for product in catalogue.products_after(None).cloned() {
            let (sku, traits) = (product.sku.clone(), catalogue.traits(&product.sku).clone());
            define(CatalogueEvent::ProductPut { product });
            if !traits.is_none() {
                define(CatalogueEvent::ProductTraitsSet { sku, traits });
            }
        }
        for location in catalogue.locations().cloned() {
            define(CatalogueEvent::LocationPut { location });
        }
        for carrier in catalogue.carriers().cloned() {
            define(CatalogueEvent::CarrierPut { carrier });
        }
        for version in catalogue.strategies().versions().cloned() {
            let (number, name, text) = (version.number, version.name, version.text);
            define(CatalogueEvent::StrategyDrafted { number, name, text });
        }
        for definition in catalogue.locations() {
            let location = self.inner.locations.read(&definition.id);
            let Some(location) = location.map_err(ServiceError::storage)? else {
                continue;
            };
            let balances = location.balances();
            let available = balances.map(|(sku, balance)| (sku.clone(), balance.available()));
            lines.push(Recorded::Stands {
                location: definition.id.clone(),
                version: location.version(),
                available: available.filter(|(_, units)| *units != 0).collect(),
            });
        }
        Ok(lines)
    }

    /// What of a recording happened after `cursor`, in about `limit` events, and where it goes on.
    ///
    /// # Errors
    /// As for [`Consign::events_after`].
    pub fn recorded_after(
        &self,
        cursor: &EventCursor,
        limit: usize,
        window: Window,
    ) -> Result<(Vec<Recorded>, EventCursor), ServiceError> {
        let page = self.events_after(cursor, limit)?;
        let mut lines = Vec::new();
        for happened in page.events {
            note(happened, window, &mut lines)?;
        }
        Ok((lines, page.cursor))
    }
}

/// Notes what of an event concerns sourcing.
fn note(
    happened: HappenedEvent,
    window: Window,
    lines: &mut Vec<Recorded>,
) -> Result<(), ServiceError> {
    let at = happened.stamp.recorded_at;
    match happened.kind {
        HappenedKind::Location(LocationEvent::CapacitySet { limits }) => {
            let location = LocationId::new(&happened.entity).map_err(ServiceError::storage)?;
            lines.push(Recorded::Limited {
                at,
                location,
                limits,
            });
        }
        _ if at < window.since => {}
        HappenedKind::Order(event) => {
            let order = OrderId::new(&happened.entity).map_err(ServiceError::storage)?;
            lines.extend(of_order(at, order, event, window)?);
        }
        HappenedKind::Location(event) => {
            let location = LocationId::new(&happened.entity).map_err(ServiceError::storage)?;
            let changes = changes_of(&event);
            lines.extend(changes.into_iter().map(|(order, changes)| Recorded::Stock {
                at,
                location: location.clone(),
                version: happened.version,
                order,
                changes,
            }));
        }
        HappenedKind::Carrier(_) | HappenedKind::Catalogue(_) | HappenedKind::Reservation(_) => {}
    }
    Ok(())
}

fn of_order(
    at: Timestamp,
    order: OrderId,
    event: OrderEvent,
    window: Window,
) -> Result<Option<Recorded>, ServiceError> {
    use OrderEvent as E;
    Ok(match event {
        E::Placed { .. } if at >= window.until => None,
        E::Sourced {
            round,
            assignments,
            inputs,
            ..
        } => Some(Recorded::Decided {
            at,
            order,
            round,
            assignments,
            inputs: Box::new(consign_runtime::decode(&inputs).map_err(ServiceError::storage)?),
        }),
        E::Placed { .. }
        | E::Reserved { .. }
        | E::UnitsCancelled { .. }
        | E::UnitsReleased { .. }
        | E::UnitsNotFound { .. }
        | E::LineAdded { .. }
        | E::AddressSet { .. }
        | E::ServiceLevelSet { .. } => {
            let event = Box::new(event);
            Some(Recorded::Order { at, order, event })
        }
        _ => None,
    })
}

/// Whose reservation changed, if it was one, and by how much what may be granted did.
type Change = (Option<OrderId>, Vec<(Sku, i64)>);

/// What an event changes about what may be granted, and whose reservation it was.
fn changes_of(event: &LocationEvent) -> Vec<Change> {
    use LocationEvent as E;
    let order = match event {
        E::Reserved { attempt, .. }
        | E::Released { attempt, .. }
        | E::Picked { attempt, .. }
        | E::Missed { attempt, .. }
        | E::Shipped { attempt, .. }
        | E::Displaced { attempt, .. } => Some(attempt.order.clone()),
        // What was held becomes an order's: in one world, and perhaps not in the other.
        E::HoldConverted {
            attempt,
            units,
            sku,
            ..
        } => {
            let units = i64::from(*units);
            let of_order = (Some(attempt.order.clone()), vec![(sku.clone(), -units)]);
            return vec![(None, vec![(sku.clone(), units)]), of_order];
        }
        _ => None,
    };
    let mut changes: Vec<(Sku, i64)> = Vec::new();
    event.each_available_delta(|sku, delta| changes.push((sku.clone(), delta)));
    match changes.is_empty() {
        true => Vec::new(),
        false => vec![(order, changes)],
    }
}
