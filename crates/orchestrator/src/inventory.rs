//! Stock: movements from outside, balances, and the ledger of movements.

use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use consign_domain::entity::{Entity, Stamp};
use consign_domain::ids::{AttemptId, LocationId, Sku};
use consign_domain::location::{
    Announcement, Balance, Location, LocationCommand, LocationReply, Movement,
};
use consign_domain::time::Timestamp;
use consign_runtime::{Asked, Wait};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::Consign;

/// A movement of stock that somebody outside reports or orders.
#[derive(Clone, Debug)]
pub enum InventoryCommand {
    /// Goods came in.
    Receive {
        /// What.
        sku: Sku,
        /// Units, ≥ 1.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Stock is more or less than thought.
    Adjust {
        /// What.
        sku: Sku,
        /// Units on hand, signed.
        delta: i64,
        /// Units not for sale, signed.
        damaged_delta: i64,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Somebody counted.
    Count {
        /// What.
        sku: Sku,
        /// Units on the shelf.
        counted: u32,
        /// When; `None`: now.
        counted_at: Option<Timestamp>,
        /// The caller's paper.
        reference: CompactString,
    },
    /// What is never promised.
    SetSafetyStock {
        /// What.
        sku: Sku,
        /// Units.
        quantity: u32,
    },
    /// To another location.
    TransferOut {
        /// Where to.
        to: LocationId,
        /// What.
        sku: Sku,
        /// Units, ≥ 1.
        quantity: u32,
        /// The caller's paper.
        reference: CompactString,
    },
    /// Goods are to come.
    Announce {
        /// What.
        sku: Sku,
        /// The caller's paper.
        reference: CompactString,
        /// Units, ≥ 1.
        quantity: u32,
        /// When.
        expected_at: Timestamp,
    },
    /// Announced goods will not come.
    EndAnnouncement {
        /// What.
        sku: Sku,
        /// Which.
        reference: CompactString,
    },
}

impl InventoryCommand {
    fn sku(&self) -> &Sku {
        match self {
            InventoryCommand::Receive { sku, .. }
            | InventoryCommand::Adjust { sku, .. }
            | InventoryCommand::Count { sku, .. }
            | InventoryCommand::SetSafetyStock { sku, .. }
            | InventoryCommand::TransferOut { sku, .. }
            | InventoryCommand::Announce { sku, .. }
            | InventoryCommand::EndAnnouncement { sku, .. } => sku,
        }
    }
}

/// What a movement came to.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The SKU's figures after it.
    pub balance: Balance,
    /// Reserved units that it displaced.
    pub displaced: u32,
    /// The location's version after it.
    pub version: u64,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
}

/// A SKU over all locations.
#[derive(Clone, Debug)]
pub struct SkuInventory {
    /// Which.
    pub sku: Sku,
    /// What may be granted, over all locations that have any.
    pub available: i64,
    /// Where it is.
    pub locations: Vec<SkuLocation>,
}

/// A SKU at a location.
#[derive(Clone, Debug)]
pub struct SkuLocation {
    /// Where.
    pub location: LocationId,
    /// Its figures.
    pub balance: Balance,
    /// What is to come, the earliest first.
    pub announced: Vec<Announcement>,
}

/// What a location has of a SKU.
#[derive(Clone, Debug)]
pub struct LocationSku {
    /// Which.
    pub sku: Sku,
    /// Its figures.
    pub balance: Balance,
    /// Units that are announced and have not come.
    pub incoming: u64,
}

/// One row of the immutable ledger of movements.
#[derive(Clone, Debug)]
pub struct MovementItem {
    /// The location's version after the event that it belongs to.
    pub version: u64,
    /// Who and when.
    pub stamp: Stamp,
    /// What moved.
    pub movement: Movement,
}

/// A reservation as its location has it.
#[derive(Clone, Debug)]
pub struct ReservationItem {
    /// Order, line and attempt.
    pub attempt: AttemptId,
    /// Units of the line that are reserved and have not left.
    pub units: u32,
    /// Of those, picked.
    pub picked: u32,
}

impl Consign {
    /// Moves stock at a location.
    ///
    /// # Errors
    /// `NotFound` for an unknown location or product, else what the location says.
    pub async fn move_stock(
        &self,
        location: LocationId,
        command: InventoryCommand,
        call: CallMeta,
    ) -> Result<Moved, ServiceError> {
        self.known_location(&location)?;
        let sku = command.sku().clone();
        if self.inner.catalogue.load().product(&sku).is_none() {
            return Err(ServiceError::NotFound {
                kind: "product".into(),
                name: sku.as_str().into(),
            });
        }
        let now = self.inner.node.now();
        let command = match command {
            InventoryCommand::Receive {
                sku,
                quantity,
                reference,
            } => LocationCommand::Receive {
                sku,
                quantity,
                reference,
            },
            InventoryCommand::Adjust {
                sku,
                delta,
                damaged_delta,
                reference,
            } => LocationCommand::Adjust {
                sku,
                delta,
                damaged_delta,
                reference,
            },
            InventoryCommand::Count {
                sku,
                counted,
                counted_at,
                reference,
            } => {
                let counted_at = counted_at.unwrap_or(now);
                LocationCommand::Count {
                    sku,
                    counted,
                    counted_at,
                    reference,
                }
            }
            InventoryCommand::SetSafetyStock { sku, quantity } => {
                LocationCommand::SetSafetyStock { sku, quantity }
            }
            InventoryCommand::Announce {
                sku,
                reference,
                quantity,
                expected_at,
            } => LocationCommand::Announce {
                sku,
                reference,
                quantity,
                expected_at,
            },
            InventoryCommand::EndAnnouncement { sku, reference } => {
                LocationCommand::EndAnnouncement { sku, reference }
            }
            InventoryCommand::TransferOut {
                to,
                sku,
                quantity,
                reference,
            } => {
                self.known_location(&to)?;
                LocationCommand::TransferOut {
                    to,
                    sku,
                    quantity,
                    reference,
                }
            }
        };
        if let Some(key) = call.key {
            self.inner.locations.claim(key, location.clone())?;
        }
        // A transfer has come to its end when the other location has it; nobody waits for that.
        let call = call.into_call(Wait::Durable);
        let Asked {
            reply,
            replayed,
            state,
            ..
        } = self.inner.locations.ask(location, command, call).await?;
        match reply {
            LocationReply::Moved {
                balance,
                displaced,
                version,
            } => Ok(Moved {
                balance,
                displaced,
                version,
                replayed,
            }),
            _ => Ok(Moved {
                balance: state.balance(&sku),
                displaced: 0,
                version: state.version(),
                replayed,
            }),
        }
    }

    /// A SKU over all locations that have ever had it.
    ///
    /// # Errors
    /// `NotFound` for an unknown product.
    pub fn sku_inventory(&self, sku: &Sku) -> Result<SkuInventory, ServiceError> {
        let catalogue = self.inner.catalogue.load();
        if catalogue.product(sku).is_none() {
            return Err(ServiceError::NotFound {
                kind: "product".into(),
                name: sku.as_str().into(),
            });
        }
        let mut locations = Vec::new();
        for definition in catalogue.locations() {
            let Some(location) = self.inner.locations.read(&definition.id)? else {
                continue;
            };
            if let Some(balance) = location.balance_if_known(sku) {
                locations.push(SkuLocation {
                    location: definition.id.clone(),
                    balance,
                    announced: location.announced(sku).to_vec(),
                });
            }
        }
        let available = locations
            .iter()
            .map(|at| at.balance.available().max(0))
            .sum();
        Ok(SkuInventory {
            sku: sku.clone(),
            available,
            locations,
        })
    }

    /// What a location has, by SKU in byte order, and units to come; with the location's version.
    ///
    /// # Errors
    /// `NotFound` for an unknown location.
    pub fn location_inventory(
        &self,
        id: &LocationId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<(u64, Vec<LocationSku>), ServiceError> {
        let Some(location) = self.stock_of(id)? else {
            return Ok((0, Vec::new()));
        };
        let items = location.balances_after(after).take(limit);
        let to_come = |sku: &Sku| {
            let announced = location.announced(sku).iter();
            announced.map(|of| u64::from(of.quantity)).sum()
        };
        let item = |(sku, balance): (&Sku, Balance)| LocationSku {
            sku: sku.clone(),
            balance,
            incoming: to_come(sku),
        };
        let items = items.map(item).collect();
        Ok((location.version(), items))
    }

    /// Reservations at a location that still hold units, by attempt.
    ///
    /// # Errors
    /// `NotFound` for an unknown location.
    pub fn location_reservations(
        &self,
        id: &LocationId,
        after: Option<&AttemptId>,
        limit: usize,
    ) -> Result<Vec<ReservationItem>, ServiceError> {
        let Some(location) = self.stock_of(id)? else {
            return Ok(Vec::new());
        };
        Ok(location
            .reservations_after(after)
            .take(limit)
            .map(|(attempt, units, picked)| ReservationItem {
                attempt: attempt.clone(),
                units,
                picked,
            })
            .collect())
    }

    /// The ledger of movements after a version of the location, oldest first. An event's movements
    /// come together, so a page may be a little longer than `limit`.
    ///
    /// # Errors
    /// `NotFound` for an unknown location.
    pub fn movements(
        &self,
        id: &LocationId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<MovementItem>, ServiceError> {
        if self.stock_of(id)?.is_none() {
            return Ok(Vec::new());
        }
        let mut items = Vec::new();
        let mut after = after_version;
        while items.len() < limit {
            let events = self
                .inner
                .locations
                .history(id, after, limit - items.len())?;
            let Some(last) = events.last() else { break };
            after = last.version;
            for happened in events {
                for movement in happened.event.movements() {
                    let (version, stamp) = (happened.version, happened.stamp.clone());
                    items.push(MovementItem {
                        version,
                        stamp,
                        movement,
                    });
                }
            }
        }
        Ok(items)
    }

    fn known_location(&self, id: &LocationId) -> Result<(), ServiceError> {
        match self.inner.catalogue.load().location(id) {
            Some(_) => Ok(()),
            None => Err(ServiceError::NotFound {
                kind: "location".into(),
                name: id.as_str().to_compact_string(),
            }),
        }
    }

    fn stock_of(&self, id: &LocationId) -> Result<Option<Arc<Location>>, ServiceError> {
        self.known_location(id)?;
        Ok(self.inner.locations.read(id)?)
    }
}
