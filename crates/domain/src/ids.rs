//! Names of things. Text forms are what the API shows; nested ids embed their order, so that a
//! fulfillment order, return or shipment is found without a directory.

use std::fmt;
use std::str::FromStr;

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

/// The longest id, SKU or code that is accepted, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error(
    "{kind} must be 1 to {ID_BYTES_MAX} bytes of visible ASCII without '/', '?', '#', '%' or '\\'"
)]
pub struct InvalidId {
    /// Which kind of id was expected.
    pub kind: CompactString,
}

fn check(kind: &str, text: &str) -> Result<(), InvalidId> {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'%' | b'\\');
    if text.is_empty() || text.len() > ID_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(InvalidId { kind: kind.into() });
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(CompactString);

        impl $name {
            /// Checks `text` and takes it as an id.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character that cannot stand in a path.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }
            /// The text form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// An order: the client's own name for it, or one minted by the gateway (22 characters, in time order).
    OrderId, "order id");
impl OrderId {
    /// Before every other, and no order's: where a walk through ordered names begins.
    pub(crate) const LEAST: OrderId = OrderId(CompactString::const_new(""));
}
text_id!(
    /// A stock keeping unit. Compared byte for byte: `15056bl` and `15056BL` are two SKUs.
    Sku, "sku");
text_id!(
    /// A place that holds stock.
    LocationId, "location id");
text_id!(
    /// A carrier.
    CarrierId, "carrier id");
text_id!(
    /// An order line's own name, unique in its order.
    LineId, "line id");
text_id!(
    /// A carrier's tracking number.
    TrackingNumber, "tracking number");
text_id!(
    /// A hold of stock without an order.
    HoldId, "hold id");
impl HoldId {
    /// The name under which a location keeps stock for one line of one order. It may be longer than a
    /// name that a client may give, and no client gives one with a colon.
    #[must_use]
    pub fn of_order_line(order: &OrderId, line: u32) -> HoldId {
        HoldId(format_compact!("{order}:{line}"))
    }

    /// The name of a reservation's hold.
    #[must_use]
    pub fn of_reservation(reservation: &ReservationId, number: u32) -> HoldId {
        HoldId(format_compact!("{reservation}-h{number}"))
    }
}
text_id!(
    /// Stock held for a cart: minted as an order's id is.
    ReservationId, "reservation id");
text_id!(
    /// A sales channel, e.g. `web`, `pos`.
    Channel, "channel");

macro_rules! nested_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $mark:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name {
            /// The order it belongs to.
            pub order: OrderId,
            /// Counts from 1 within the order.
            pub number: u32,
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}-", $mark, "{}"), self.order, self.number)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wrong = || InvalidId { kind: $kind.into() };
                let (order, number) = text.rsplit_once(concat!("-", $mark)).ok_or_else(wrong)?;
                if number.is_empty() || number.starts_with('0') || !number.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong());
                }
                Ok(Self { order: OrderId::new(order)?, number: number.parse().map_err(|_| wrong())? })
            }
        }
    };
}

nested_id!(
    /// What one location owes of one order: `{order}-f{n}`.
    FulfillmentOrderId, "fulfillment order id", "f");
nested_id!(
    /// A return (RMA): `{order}-r{n}`.
    ReturnId, "return id", "r");
nested_id!(
    /// A shipment: `{order}-s{n}`.
    ShipmentId, "shipment id", "s");

/// One try of an order to get units of one line from one location. The reservation's name at the
/// location is the attempt's: order, line, attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The order.
    pub order: OrderId,
    /// Index of the line in the order, from 0.
    pub line: u32,
    /// Counts from 1 within the order, over all lines.
    pub attempt: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.order, self.line, self.attempt)
    }
}
