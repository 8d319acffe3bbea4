//! What the catalogue can be told, what it answers, and why it refuses.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::traits::Traits;
use super::trials::{TrialMode, TrialOutcome};
use super::types::{CarrierDefinition, LocationDefinition, Product};

/// What the catalogue can be told. `expected_version` is the definition's own; `Some(0)` stands for
/// "only if there is none yet". Versions and ordinals inside the definitions are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogueCommand {
    /// Defines a product, or defines it anew, with nothing particular about it.
    PutProduct {
        /// What.
        product: Product,
        /// Which version the caller believes in.
        expected_version: Option<u64>,
    },
    /// Defines a location, or defines it anew.
    PutLocation {
        /// What.
        location: LocationDefinition,
        /// Which version the caller believes in.
        expected_version: Option<u64>,
    },
    /// Defines a carrier, or defines it anew.
    PutCarrier {
        /// What.
        carrier: CarrierDefinition,
        /// Which version the caller believes in.
        expected_version: Option<u64>,
    },
    /// Never sent: time alone does not matter to definitions.
    Wake,
    /// Keeps a sourcing strategy, checked before, as the next version.
    DraftStrategy {
        /// Its name for people.
        name: CompactString,
        /// The whole of it.
        text: CompactString,
        /// Which revision of strategies the caller believes in.
        expected_version: Option<u64>,
    },
    /// Lets a version of the strategy decide from now on.
    ActivateStrategy {
        /// Its number.
        number: u32,
        /// Which revision of strategies the caller believes in.
        expected_version: Option<u64>,
    },
    /// Lets the version decide that did before the last activation.
    RollBackStrategy {
        /// Which revision of strategies the caller believes in.
        expected_version: Option<u64>,
    },
    /// Defines a product, or defines it anew, with what is particular about it.
    PutGoods {
        /// What.
        product: Product,
        /// What is particular about it.
        traits: Traits,
        /// Which version the caller believes in.
        expected_version: Option<u64>,
    },
    /// Tries a version of the strategy on real orders.
    StartTrial {
        /// The version.
        number: u32,
        /// How.
        mode: TrialMode,
        /// Which revision of strategies the caller believes in.
        expected_version: Option<u64>,
    },
    /// Ends the running trial.
    EndTrial {
        /// Which one is meant; any where it is `None`.
        trial: Option<u32>,
        /// What it came to.
        outcome: TrialOutcome,
        /// Why, for people.
        reason: CompactString,
        /// Which revision of strategies the caller believes in.
        expected_version: Option<u64>,
    },
}

/// The definition that stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogueReply {
    /// A product.
    Product {
        /// As it is now.
        definition: Product,
        /// Whether it was not there before.
        created: bool,
        /// Whether anything changed.
        changed: bool,
    },
    /// A location.
    Location {
        /// As it is now.
        definition: LocationDefinition,
        /// Whether it was not there before.
        created: bool,
        /// Whether anything changed.
        changed: bool,
    },
    /// A carrier.
    Carrier {
        /// As it is now.
        definition: CarrierDefinition,
        /// Whether it was not there before.
        created: bool,
        /// Whether anything changed.
        changed: bool,
    },
    /// Nothing was to be done.
    Done,
    /// A version of the sourcing strategy.
    Strategy {
        /// Its number.
        number: u32,
        /// The number of the one that decides now.
        active: u32,
    },
    /// A trial of a version of the strategy.
    Trial {
        /// Which.
        number: u32,
    },
}

/// Why the catalogue refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CatalogueRejection {
    /// A field is wrong.
    #[error("{code} at {pointer}")]
    Invalid {
        /// Where, e.g. `/components/0/sku`.
        pointer: CompactString,
        /// What, e.g. `unknown_sku`.
        code: CompactString,
    },
    /// The definition has another version than the caller believes in.
    #[error("the version is {current}")]
    VersionMismatch {
        /// The version that stands; 0 if there is none.
        current: u64,
    },
}
