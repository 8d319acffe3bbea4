//! What a product, a location and a carrier are defined by.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::{CarrierId, LocationId, Sku};
use crate::money::Minor;

/// How a product is fulfilled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductKind {
    /// Kept in stock, reserved and shipped.
    #[default]
    Stocked,
    /// Rendered, never sourced.
    Service,
    /// Delivered electronically, never sourced.
    Digital,
    /// Never sourced.
    GiftCard,
    /// Sold as one, reserved together as its components.
    Bundle,
}

/// A component of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// A stocked product.
    pub sku: Sku,
    /// Units of it in one bundle, at least 1.
    pub quantity: u32,
}

/// A product's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its SKU.
    pub sku: Sku,
    /// Its name for people.
    pub name: CompactString,
    /// How it is fulfilled.
    pub kind: ProductKind,
    /// Components, for a bundle; else empty.
    pub components: Vec<Component>,
    /// Weight of one unit in grams; 0 if unknown.
    pub weight_grams: u32,
    /// Increments with every change, from 1.
    pub version: u64,
}

/// What kind of place a location is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationKind {
    /// A distribution centre.
    Warehouse,
    /// A shop.
    Store,
    /// A supplier who ships directly.
    Dropship,
    /// A third party's warehouse.
    ThirdParty,
}

/// Degrees of latitude and longitude (WGS84) in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// −90,000,000 to 90,000,000.
    pub latitude_e6: i32,
    /// −180,000,000 to 180,000,000.
    pub longitude_e6: i32,
}

/// A location's definition; its stock is the location entity's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationDefinition {
    /// Its id.
    pub id: LocationId,
    /// A small number that never changes and is never reused, for dense tables; from 0.
    pub ordinal: u32,
    /// Its name for people.
    pub name: CompactString,
    /// What kind of place.
    pub kind: LocationKind,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: CompactString,
    /// Where it is.
    pub position: Position,
    /// IANA time zone name.
    pub time_zone: CompactString,
    /// Whether new work may be sourced to it.
    pub active: bool,
    /// Increments with every change, from 1.
    pub version: u64,
}

/// One row of a carrier's rate table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// A service level's code: `standard`, `express`, `same_day`.
    pub service: CompactString,
    /// The zone's code, as in [`Zone::code`].
    pub zone: CompactString,
    /// Up to and including this weight in grams.
    pub up_to_grams: u32,
    /// Price of a parcel in minor units of the carrier's currency.
    pub price: Minor,
}

/// A carrier's zone: the destinations that cost the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its code.
    pub code: CompactString,
    /// ISO 3166-1 alpha-2 codes; `*` stands for every country that no other zone names.
    pub countries: Vec<CompactString>,
}

/// A carrier's definition; the numbers it has issued are the carrier entity's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierDefinition {
    /// Its id.
    pub id: CarrierId,
    /// Its name for people.
    pub name: CompactString,
    /// ISO 4217 code of its rates.
    pub currency: CompactString,
    /// Service codes it offers.
    pub services: Vec<CompactString>,
    /// Zones by destination.
    pub zones: Vec<Zone>,
    /// The rate table.
    pub rates: Vec<Rate>,
    /// Prefix of the tracking numbers it issues: 2 upper-case letters.
    pub tracking_prefix: CompactString,
    /// Increments with every change, from 1.
    pub version: u64,
}
