//! Definitions: products, locations, carriers. Rarely written, read by every node from its own copy.
//!
//! One catalogue entity holds them all; each definition is a stored part of its own.

pub mod command;
mod decide;
pub mod state;
pub mod types;

pub use command::{CatalogueCommand, CatalogueRejection, CatalogueReply};
pub use state::{
    Catalogue, CatalogueEvent, CatalogueId, CataloguePart, CataloguePartKey, NoEffect,
};
pub use types::*;
