//! The catalogue as it stands in memory and in its stored parts: one part per definition.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use compact_str::CompactString;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::command::{CatalogueCommand, CatalogueRejection, CatalogueReply};
use super::decide;
use super::strategies::{Strategies, StrategyRecord, StrategyVersion};
use super::traits::Traits;
use super::trials::{TrialMode, TrialOutcome, Trials};
use super::types::{CarrierDefinition, LocationDefinition, Product, ProductKind};
use crate::by_sku::BySku;
use crate::entity::{Context, DecisionOf, Effect, Entity, Stamp};
use crate::ids::{CarrierId, InvalidId, LocationId, Sku};
use crate::order::Fulfilment;
use crate::time::Timestamp;

/// The one catalogue's name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CatalogueId;

impl fmt::Display for CatalogueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catalogue")
    }
}

impl FromStr for CatalogueId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "catalogue" {
            Ok(CatalogueId)
        } else {
            Err(InvalidId {
                kind: "catalogue id".into(),
            })
        }
    }
}

/// What happened to the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogueEvent {
    /// A product was defined, or defined anew.
    ProductPut {
        /// As it is now.
        product: Product,
    },
    /// A location was defined, or defined anew.
    LocationPut {
        /// As it is now.
        location: LocationDefinition,
    },
    /// A carrier was defined, or defined anew.
    CarrierPut {
        /// As it is now.
        carrier: CarrierDefinition,
    },
    /// A sourcing strategy was drafted, as the next version.
    StrategyDrafted {
        /// Its number.
        number: u32,
        /// Its name for people.
        name: CompactString,
        /// The whole of it.
        text: CompactString,
    },
    /// A version of the sourcing strategy decides from now on.
    StrategyActivated {
        /// Its number.
        number: u32,
    },
    /// The one decides again that did before the last activation.
    StrategyRolledBack,
    /// What is particular about a product was defined anew.
    ProductTraitsSet {
        /// Which product.
        sku: Sku,
        /// As it is now; with nothing in it when nothing is particular any more.
        traits: Traits,
    },
    /// A version of the sourcing strategy is tried on real orders.
    TrialStarted {
        /// Counts trials, from 1.
        number: u32,
        /// The version that is tried.
        version: u32,
        /// The active version, with which it is compared.
        beside: u32,
        /// How.
        mode: TrialMode,
    },
    /// The trial is over.
    TrialEnded {
        /// Which.
        number: u32,
        /// What it came to.
        outcome: TrialOutcome,
        /// Why, for people.
        reason: CompactString,
    },
}

/// The catalogue asks nothing of anybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NoEffect {}

impl Effect for NoEffect {
    type Key = NoEffect;
    fn key(&self) -> NoEffect {
        match *self {}
    }
}

/// All definitions. Changed by `apply` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    id: CatalogueId,
    version: u64,
    recorded_at: Timestamp,
    products: BySku<Product>,
    locations: OrdMap<LocationId, Arc<LocationDefinition>>,
    carriers: OrdMap<CarrierId, Arc<CarrierDefinition>>,
    strategies: Strategies,
    /// Of those products about which something is particular.
    traits: OrdMap<Sku, Arc<Traits>>,
    trials: Trials,
}

/// Of a product about which nothing is particular.
static NO_TRAITS: Traits = Traits {
    handling: BTreeSet::new(),
    attributes: BTreeMap::new(),
};

impl Catalogue {
    /// A product.
    #[must_use]
    pub fn product(&self, sku: &Sku) -> Option<&Product> {
        self.products.get(sku).map(Arc::as_ref)
    }
    /// What is particular about a product: nothing about an unknown one.
    #[must_use]
    pub fn traits(&self, sku: &Sku) -> &Traits {
        self.traits.get(sku).map_or(&NO_TRAITS, Arc::as_ref)
    }
    /// Whether anything is particular about any product.
    #[must_use]
    pub fn has_traits(&self) -> bool {
        !self.traits.is_empty()
    }
    /// A location.
    #[must_use]
    pub fn location(&self, id: &LocationId) -> Option<&LocationDefinition> {
        self.locations.get(id).map(Arc::as_ref)
    }
    /// A carrier.
    #[must_use]
    pub fn carrier(&self, id: &CarrierId) -> Option<&CarrierDefinition> {
        self.carriers.get(id).map(Arc::as_ref)
    }
    /// Products after one, in byte order of their SKUs.
    pub fn products_after(&self, after: Option<&Sku>) -> impl Iterator<Item = &Product> {
        self.products
            .after(after)
            .map(|(_, product)| product.as_ref())
    }
    /// All locations, in byte order of their ids.
    pub fn locations(&self) -> impl Iterator<Item = &LocationDefinition> {
        self.locations.values().map(Arc::as_ref)
    }
    /// All carriers, in byte order of their ids.
    pub fn carriers(&self) -> impl Iterator<Item = &CarrierDefinition> {
        self.carriers.values().map(Arc::as_ref)
    }
    /// Versions of the sourcing strategy.
    #[must_use]
    pub fn strategies(&self) -> &Strategies {
        &self.strategies
    }
    /// Trials of them on real orders.
    #[must_use]
    pub fn trials(&self) -> &Trials {
        &self.trials
    }
    /// How a product's units are fulfilled; `None` for an unknown SKU.
    #[must_use]
    pub fn fulfilment_of(&self, sku: &Sku) -> Option<Fulfilment> {
        let product = self.product(sku)?;
        Some(match product.kind {
            ProductKind::Stocked => Fulfilment::Physical(vec![(sku.clone(), 1)]),
            ProductKind::Service | ProductKind::Digital | ProductKind::GiftCard => {
                Fulfilment::Virtual
            }
            ProductKind::Bundle => {
                let parts = product.components.iter();
                Fulfilment::Physical(
                    parts
                        .map(|part| (part.sku.clone(), part.quantity))
                        .collect(),
                )
            }
        })
    }
}

/// Names a stored definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CataloguePartKey {
    /// Version and time.
    Header,
    /// A product.
    Product(Sku),
    /// A location.
    Location(LocationId),
    /// A carrier.
    Carrier(CarrierId),
    /// A version of the sourcing strategy.
    Strategy(u32),
    /// What happened to them.
    StrategyRecord,
    /// What is particular about a product.
    Traits(Sku),
    /// Trials of them.
    Trials,
}

/// A stored definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CataloguePart {
    /// Version and time.
    Header(u64, Timestamp),
    /// A product.
    Product(Arc<Product>),
    /// A location.
    Location(Arc<LocationDefinition>),
    /// A carrier.
    Carrier(Arc<CarrierDefinition>),
    /// A version of the sourcing strategy.
    Strategy(Arc<StrategyVersion>),
    /// What happened to them.
    StrategyRecord(StrategyRecord),
    /// What is particular about a product.
    Traits(Sku, Arc<Traits>),
    /// Trials of them.
    Trials(Trials),
}

impl Entity for Catalogue {
    const KIND: &'static str = "catalogue";
    const KIND_CODE: u8 = 4;

    type Id = CatalogueId;
    type Command = CatalogueCommand;
    type Event = CatalogueEvent;
    type Private = ();
    type Effect = NoEffect;
    type Reply = CatalogueReply;
    type Rejection = CatalogueRejection;
    type PartKey = CataloguePartKey;
    type Part = CataloguePart;

    fn empty(id: CatalogueId) -> Self {
        Catalogue {
            id,
            ..Catalogue::default()
        }
    }

    fn id(&self) -> &CatalogueId {
        &self.id
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    fn decide(
        &self,
        command: &CatalogueCommand,
        _: &Context,
    ) -> Result<DecisionOf<Self>, CatalogueRejection> {
        decide::decide(self, command)
    }

    fn apply(&mut self, event: &CatalogueEvent, stamp: &Stamp) {
        self.version += 1;
        self.recorded_at = stamp.recorded_at;
        match event {
            CatalogueEvent::ProductPut { product } => {
                self.products
                    .insert(product.sku.clone(), Arc::new(product.clone()));
            }
            CatalogueEvent::LocationPut { location } => {
                self.locations
                    .insert(location.id.clone(), Arc::new(location.clone()));
            }
            CatalogueEvent::CarrierPut { carrier } => {
                self.carriers
                    .insert(carrier.id.clone(), Arc::new(carrier.clone()));
            }
            CatalogueEvent::StrategyDrafted { number, name, text } => {
                self.strategies.draft(*number, name, text, stamp);
            }
            CatalogueEvent::StrategyActivated { number } => {
                self.strategies.activate(*number, stamp);
            }
            CatalogueEvent::StrategyRolledBack => self.strategies.roll_back(),
            CatalogueEvent::ProductTraitsSet { sku, traits } if traits.is_none() => {
                self.traits.remove(sku);
            }
            CatalogueEvent::ProductTraitsSet { sku, traits } => {
                self.traits.insert(sku.clone(), Arc::new(traits.clone()));
            }
            CatalogueEvent::TrialStarted {
                number,
                version,
                beside,
                mode,
            } => self.trials.start(*number, *version, *beside, mode, stamp),
            CatalogueEvent::TrialEnded {
                number,
                outcome,
                reason,
            } => self.trials.end(*number, *outcome, reason, stamp),
        }
    }

    fn apply_private(&mut self, (): &()) {}

    fn private(&self) -> Option<()> {
        None
    }

    fn pending(&self) -> Vec<NoEffect> {
        Vec::new()
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn wake_command(_: Timestamp) -> CatalogueCommand {
        CatalogueCommand::Wake
    }

    fn touched_parts(event: &CatalogueEvent, parts: &mut Vec<CataloguePartKey>) {
        parts.push(CataloguePartKey::Header);
        let changed = match event {
            CatalogueEvent::ProductPut { product } => {
                CataloguePartKey::Product(product.sku.clone())
            }
            CatalogueEvent::LocationPut { location } => {
                CataloguePartKey::Location(location.id.clone())
            }
            CatalogueEvent::CarrierPut { carrier } => CataloguePartKey::Carrier(carrier.id.clone()),
            CatalogueEvent::StrategyDrafted { number, .. } => {
                parts.push(CataloguePartKey::StrategyRecord);
                CataloguePartKey::Strategy(*number)
            }
            CatalogueEvent::StrategyActivated { .. } | CatalogueEvent::StrategyRolledBack => {
                CataloguePartKey::StrategyRecord
            }
            CatalogueEvent::ProductTraitsSet { sku, .. } => CataloguePartKey::Traits(sku.clone()),
            CatalogueEvent::TrialStarted { .. } | CatalogueEvent::TrialEnded { .. } => {
                CataloguePartKey::Trials
            }
        };
        parts.push(changed);
    }

    fn part(&self, key: &CataloguePartKey) -> Option<Cow<'_, CataloguePart>> {
        let part = match key {
            CataloguePartKey::Header => {
                (self.version > 0).then_some(CataloguePart::Header(self.version, self.recorded_at))
            }
            CataloguePartKey::Product(sku) => {
                self.products.get(sku).cloned().map(CataloguePart::Product)
            }
            CataloguePartKey::Location(id) => {
                self.locations.get(id).cloned().map(CataloguePart::Location)
            }
            CataloguePartKey::Carrier(id) => {
                self.carriers.get(id).cloned().map(CataloguePart::Carrier)
            }
            CataloguePartKey::Strategy(number) => {
                let version = self.strategies.version(*number);
                version.cloned().map(CataloguePart::Strategy)
            }
            CataloguePartKey::StrategyRecord => {
                let record = self.strategies.record();
                (record.revision > 0).then(|| CataloguePart::StrategyRecord(record.clone()))
            }
            CataloguePartKey::Traits(sku) => {
                let traits = self.traits.get(sku).cloned();
                traits.map(|traits| CataloguePart::Traits(sku.clone(), traits))
            }
            CataloguePartKey::Trials => {
                let trials = &self.trials;
                (!trials.is_empty()).then(|| CataloguePart::Trials(trials.clone()))
            }
        };
        part.map(Cow::Owned)
    }

    fn assemble(id: CatalogueId, parts: Vec<(CataloguePartKey, CataloguePart)>) -> Self {
        let mut catalogue = Catalogue::empty(id);
        for (_, part) in parts {
            match part {
                CataloguePart::Header(version, recorded_at) => {
                    catalogue.version = version;
                    catalogue.recorded_at = recorded_at;
                }
                CataloguePart::Product(product) => {
                    catalogue.products.insert(product.sku.clone(), product);
                }
                CataloguePart::Location(location) => {
                    catalogue.locations.insert(location.id.clone(), location);
                }
                CataloguePart::Carrier(carrier) => {
                    catalogue.carriers.insert(carrier.id.clone(), carrier);
                }
                CataloguePart::Strategy(version) => {
                    let versions = &mut catalogue.strategies.versions;
                    versions.insert(version.number, version);
                }
                CataloguePart::StrategyRecord(record) => {
                    catalogue.strategies.record = record;
                }
                CataloguePart::Traits(sku, traits) => {
                    catalogue.traits.insert(sku, traits);
                }
                CataloguePart::Trials(trials) => catalogue.trials = trials,
            }
        }
        catalogue
    }
}
