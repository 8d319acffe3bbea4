//! The order's state and its parts, as they stand in memory and in `state.redb`.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::ledger::LineAccount;
use crate::catalogue::Position;
use crate::ids::{Channel, LineId, LocationId, Sku};
use crate::money::{Currency, Minor, UnitPrice};
use crate::time::Timestamp;

/// Lines of one order at most.
pub const ORDER_LINES_MAX: usize = 2_000;
/// Units of one line at most.
pub const LINE_UNITS_MAX: u32 = 100_000;

/// ```text
/// placed → sourcing ⇄ allocated → in_fulfillment → completed
///   │         ⇅          ⇅
///   └──→ backordered ────┴──→ cancelled   (every unit cancelled, from any state before picking)
/// ```
/// Completed is also reached without picking, when what is left is virtual. Back from allocated
/// to sourcing go orders whose location rejected them or lost stock, or that were amended.
/// Never set by hand: derived from the lines' units by one table (`status::derive`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Durable, not yet looked at.
    #[default]
    Placed,
    /// Some units have no location yet and are being sourced.
    Sourcing,
    /// No unit is being sourced; some wait for stock.
    Backordered,
    /// Every open unit is reserved somewhere.
    Allocated,
    /// Some unit has been picked or gone further, and some are still to be delivered.
    InFulfillment,
    /// No open unit is left, and at least one was delivered or lost.
    Completed,
    /// Every unit was cancelled.
    Cancelled,
}

/// A line's ledger of units:
/// `ordered = unsourced + backordered + allocated + picked + packed + shipped + delivered + cancelled + lost`
/// and `returned ≤ delivered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// No location yet (this includes units that a location is being asked for).
    pub unsourced: u32,
    /// Waiting for stock.
    pub backordered: u32,
    /// Reserved at a location.
    pub allocated: u32,
    /// Taken from the shelf.
    pub picked: u32,
    /// In a package.
    pub packed: u32,
    /// Handed to a carrier.
    pub shipped: u32,
    /// Handed to the customer.
    pub delivered: u32,
    /// Cancelled before shipping.
    pub cancelled: u32,
    /// Lost or damaged on the way.
    pub lost: u32,
    /// Of the delivered ones, those that came back.
    pub returned: u32,
}

impl Units {
    /// Everything that was ordered.
    #[must_use]
    pub fn ordered(&self) -> u32 {
        self.unsourced
            + self.backordered
            + self.allocated
            + self.picked
            + self.packed
            + self.shipped
            + self.delivered
            + self.cancelled
            + self.lost
    }
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Units) -> Units {
        Units {
            unsourced: self.unsourced + other.unsourced,
            backordered: self.backordered + other.backordered,
            allocated: self.allocated + other.allocated,
            picked: self.picked + other.picked,
            packed: self.packed + other.packed,
            shipped: self.shipped + other.shipped,
            delivered: self.delivered + other.delivered,
            cancelled: self.cancelled + other.cancelled,
            lost: self.lost + other.lost,
            returned: self.returned + other.returned,
        }
    }
}

/// How a line is fulfilled, resolved from the catalogue when the order is placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fulfilment {
    /// Sourced and shipped: the SKUs and how many of each make one unit of the line. One entry
    /// for a plain product, several for a bundle.
    Physical(Vec<(Sku, u32)>),
    /// Service, digital, gift card: never sourced, delivered at once.
    Virtual,
}

/// Which way tax stands in a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// In parts per million: 20 % is 200,000. For show; the amount counts.
    pub rate_ppm: u32,
    /// For the whole line, in minor units.
    pub amount: Minor,
    /// Whether the price holds it already.
    pub included: bool,
}

/// An order line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its own name, unique in the order.
    pub id: LineId,
    /// What is bought.
    pub sku: Sku,
    /// Units ordered, after amendments.
    pub quantity: u32,
    /// Price of one unit.
    pub unit_price: UnitPrice,
    /// Discounts on the whole line, in minor units, ≥ 0.
    pub discount: Minor,
    /// Taxes on the whole line.
    pub taxes: Vec<Tax>,
    /// Only this location may serve it (pick-up in store).
    pub pickup_location: Option<LocationId>,
    /// How it is fulfilled.
    pub fulfilment: Fulfilment,
    /// Where its units are.
    pub units: Units,
    /// Of the unsourced units, those that a location is being asked for.
    pub reserving: u32,
    /// What its open and its captured units come to.
    pub account: LineAccount,
}

impl Line {
    /// Units that no location is being asked for.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.units.unsourced - self.reserving
    }
    /// Whether anything has to be sourced and shipped.
    #[must_use]
    pub fn is_physical(&self) -> bool {
        matches!(self.fulfilment, Fulfilment::Physical(_))
    }
}

/// Whether an order may be served by several locations, or in several parcels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitPolicy {
    /// Any split.
    #[default]
    Allow,
    /// Several locations, but all units or none.
    ShipComplete,
    /// One location for all units, or none.
    SingleLocation,
}

/// What becomes of units that no location has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortagePolicy {
    /// They wait for stock.
    #[default]
    Backorder,
    /// They are cancelled.
    CancelLine,
    /// The whole order is cancelled.
    CancelOrder,
}

/// Where the order goes, as coarse as sourcing needs it. The address itself is personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: CompactString,
    /// Rounded to a hundredth of a degree (about 1 km); `None` if the client gave none.
    pub position: Option<Position>,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The recipient.
    pub name: Option<String>,
    /// Street and number.
    pub line1: Option<String>,
    /// Town.
    pub city: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: CompactString,
    /// As given.
    pub position: Option<Position>,
}

/// Everything personal about an order: one record, encoded apart, erasable without touching history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalData {
    /// The customer's name.
    pub customer_name: Option<String>,
    /// The customer's mail address.
    pub email: Option<String>,
    /// The customer's telephone number.
    pub phone: Option<String>,
    /// Where to.
    pub ship_to: Address,
    /// Who pays, if another.
    pub billing: Option<Address>,
    /// The channel's own remarks (free text may name people): sorted by key.
    pub metadata: Vec<(String, String)>,
    /// Who signed for a shipment: (shipment number, name).
    pub signatures: Vec<(u32, String)>,
}

/// Why an order, a fulfillment order or a line is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The payment is not there.
    AwaitingPayment,
    /// Looks fraudulent.
    HighRiskOfFraud,
    /// The address cannot be right.
    IncorrectAddress,
    /// No stock.
    OutOfStock,
    /// Waits for items on their way back.
    AwaitingReturnItems,
    /// Somebody must look.
    ManualReview,
    /// Anything else.
    Other,
}

/// What a hold stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldScope {
    /// All of the order.
    Order,
    /// One fulfillment order, by number.
    FulfillmentOrder(u32),
    /// One line, by index.
    Line(u32),
}

/// A hold: laid over the status; reservations stay, work that would move its units on is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Counts from 1 within the order.
    pub number: u32,
    /// Why.
    pub reason: HoldReason,
    /// What it stops.
    pub scope: HoldScope,
    /// Since when.
    pub placed_at: Timestamp,
}

/// The immutable head of an order, as placed and amended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Where it came from.
    pub channel: Channel,
    /// The channel's own name for it, unique per channel.
    pub external_id: Option<CompactString>,
    /// Of every amount in it.
    pub currency: Currency,
    /// When the customer pressed "buy".
    pub placed_at: Timestamp,
    /// The retailer's own word for it.
    pub order_type: Option<CompactString>,
    /// BCP 47.
    pub locale: Option<CompactString>,
    /// The customer's pseudonym.
    pub customer: CompactString,
    /// The customer's group.
    pub customer_group: Option<CompactString>,
    /// Where to.
    pub destination: Destination,
    /// `standard`, `express`, `same_day`, `pickup`.
    pub service_level: CompactString,
    /// May it be split?
    pub split: SplitPolicy,
    /// What if stock is short?
    pub shortage: ShortagePolicy,
    /// Shipping charged, minor units, ≥ 0.
    pub shipping: Minor,
    /// Order-level discounts, minor units, ≥ 0.
    pub discount: Minor,
    /// Order-level fees, minor units, ≥ 0.
    pub fees: Minor,
}
