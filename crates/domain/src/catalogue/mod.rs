//! Definitions: products, locations, carriers, versions of the sourcing strategy. Rarely written, read by every node from its own copy.
//!
//! One catalogue entity holds them all; each definition is a stored part of its own.

pub mod command;
mod decide;
pub mod state;
pub mod strategies;
pub mod traits;
pub mod trials;
pub mod types;

pub use command::{CatalogueCommand, CatalogueRejection, CatalogueReply};
pub use state::{
    Catalogue, CatalogueEvent, CatalogueId, CataloguePart, CataloguePartKey, NoEffect,
};
pub use strategies::{
    Activation, BUILT_IN, STRATEGIES_MAX, STRATEGY_BYTES_MAX, Strategies, StrategyRecord,
    StrategyVersion,
};
pub use traits::{
    ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX, HANDLING_MAX, TRAIT_NAME_BYTES_MAX, Traits,
    is_attribute_value, is_trait_name,
};
pub use trials::{
    Guardrails, REASON_BYTES_MAX, SHARE_PERMILLE_MAX, TRIALS_KEPT, Trial, TrialEnd, TrialMode,
    TrialOutcome, Trials,
};
pub use types::*;
