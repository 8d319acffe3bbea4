//! The small parts of an order's JSON: people, places, units, money.

use consign_domain::money::Currency;
use consign_domain::order::{
    Account, Address, Amounts, Destination, EntryReason, Header, LedgerEntry, Order, PersonalData,
    ShipmentStatus, Tax, Totals, TrackingEvent, Units,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::money_text::DecimalText;
use crate::time_text::TimeText;

/// Who buys.
#[derive(Serialize, ToSchema)]
#[schema(as = Customer)]
pub struct CustomerBody<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

impl<'a> CustomerBody<'a> {
    /// The pseudonym, and what is personal as long as it is not erased.
    #[must_use]
    pub fn of(header: &'a Header, personal: Option<&'a PersonalData>) -> CustomerBody<'a> {
        CustomerBody {
            id: &header.customer,
            name: personal.and_then(|p| p.customer_name.as_deref()),
            email: personal.and_then(|p| p.email.as_deref()),
            phone: personal.and_then(|p| p.phone.as_deref()),
            group: header.customer_group.as_deref(),
        }
    }
}

/// A postal address.
#[derive(Serialize, ToSchema)]
#[schema(as = Address)]
pub struct AddressBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line1: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<&'a str>,
    country: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
}

impl<'a> AddressBody<'a> {
    /// The address, or when it is erased the coarse destination.
    #[must_use]
    pub fn of(address: Option<&'a Address>, destination: &'a Destination) -> AddressBody<'a> {
        // An erased record is an empty one.
        let address = address.filter(|a| !a.country.is_empty());
        let position = address.map_or(destination.position, |a| a.position);
        let degrees = |e6: i32| f64::from(e6) / 1e6;
        AddressBody {
            name: address.and_then(|a| a.name.as_deref()),
            line1: address.and_then(|a| a.line1.as_deref()),
            city: address.and_then(|a| a.city.as_deref()),
            postal_code: address.and_then(|a| a.postal_code.as_deref()),
            country: address.map_or(destination.country.as_str(), |a| a.country.as_str()),
            latitude: position.map(|p| degrees(p.latitude_e6)),
            longitude: position.map(|p| degrees(p.longitude_e6)),
        }
    }
}

/// A tax on a line.
#[derive(Serialize, ToSchema)]
#[schema(as = Tax)]
pub struct TaxBody {
    #[schema(value_type = String)]
    rate: DecimalText,
    #[schema(value_type = String)]
    amount: DecimalText,
    included: bool,
}

impl TaxBody {
    /// In the order's currency.
    #[must_use]
    pub fn of(tax: &Tax, currency: Currency) -> TaxBody {
        TaxBody {
            rate: DecimalText::rate(tax.rate_ppm),
            amount: DecimalText::amount(tax.amount, currency),
            included: tax.included,
        }
    }
}

/// A SKU of a bundle.
#[derive(Serialize, ToSchema)]
#[schema(as = Component)]
pub struct ComponentBody<'a> {
    /// The SKU.
    pub sku: &'a str,
    /// How many make one unit.
    pub quantity: u32,
}

/// A line's ledger of units: all but `returned` sum to the quantity ordered.
#[derive(Serialize, ToSchema)]
#[schema(as = Units)]
pub struct UnitsBody {
    unsourced: u32,
    backordered: u32,
    allocated: u32,
    picked: u32,
    packed: u32,
    shipped: u32,
    delivered: u32,
    cancelled: u32,
    lost: u32,
    returned: u32,
}

impl UnitsBody {
    /// As they stand.
    #[must_use]
    pub fn of(units: &Units) -> UnitsBody {
        UnitsBody {
            unsourced: units.unsourced,
            backordered: units.backordered,
            allocated: units.allocated,
            picked: units.picked,
            packed: units.packed,
            shipped: units.shipped,
            delivered: units.delivered,
            cancelled: units.cancelled,
            lost: units.lost,
            returned: units.returned,
        }
    }
}

/// What a line comes to, for units not cancelled, lost or returned.
#[derive(Serialize, ToSchema)]
#[schema(as = LineAmounts)]
pub struct AmountsBody {
    #[schema(value_type = String)]
    subtotal: DecimalText,
    #[schema(value_type = String)]
    discounts: DecimalText,
    #[schema(value_type = String)]
    tax: DecimalText,
    #[schema(value_type = String)]
    shipping: DecimalText,
    #[schema(value_type = String)]
    fees: DecimalText,
}

impl AmountsBody {
    /// In the order's currency.
    #[must_use]
    pub fn of(amounts: &Amounts, currency: Currency) -> AmountsBody {
        let text = |minor| DecimalText::amount(minor, currency);
        AmountsBody {
            subtotal: text(amounts.subtotal),
            discounts: text(amounts.discount),
            tax: text(amounts.tax),
            shipping: text(amounts.shipping),
            fees: text(amounts.fees),
        }
    }
}

/// Units of a line at a location.
#[derive(Serialize, ToSchema)]
#[schema(as = Allocation)]
pub struct AllocationBody<'a> {
    /// Where.
    pub location: &'a str,
    /// How many.
    pub quantity: u32,
}

/// Units of a line.
#[derive(Serialize, ToSchema)]
#[schema(as = LineQuantity)]
pub struct LineQuantityBody<'a> {
    line: &'a str,
    quantity: u32,
}

impl<'a> LineQuantityBody<'a> {
    /// (line index, units) with the lines' names.
    #[must_use]
    pub fn all(order: &'a Order, items: &[(u32, u32)]) -> Vec<LineQuantityBody<'a>> {
        let named = |(line, quantity): &(u32, u32)| LineQuantityBody {
            line: line_name(order, *line),
            quantity: *quantity,
        };
        items.iter().map(named).collect()
    }
}

/// A line's own name.
#[must_use]
pub fn line_name(order: &Order, index: u32) -> &str {
    order
        .lines
        .get(index as usize)
        .map_or("", |line| line.id.as_str())
}

/// A carrier's report.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackingEvent)]
pub struct TrackingEventBody<'a> {
    #[schema(value_type = String)]
    status: ShipmentStatus,
    #[schema(value_type = String)]
    occurred_at: TimeText,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> TrackingEventBody<'a> {
    /// As reported.
    #[must_use]
    pub fn of(event: &'a TrackingEvent) -> TrackingEventBody<'a> {
        TrackingEventBody {
            status: event.status,
            occurred_at: TimeText(event.occurred_at),
            place: event.place.as_deref(),
            reason: event.reason.as_deref(),
        }
    }
}

/// A double-entry posting: `amount` went from one account to another.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct LedgerBody {
    #[schema(value_type = String, example = "revenue")]
    from: Account,
    #[schema(value_type = String, example = "receivable")]
    to: Account,
    #[schema(value_type = String, example = "charged")]
    reason: EntryReason,
    #[schema(value_type = String)]
    amount: DecimalText,
}

impl LedgerBody {
    /// In the order's currency.
    #[must_use]
    pub fn of(entry: &LedgerEntry, currency: Currency) -> LedgerBody {
        LedgerBody {
            from: entry.from,
            to: entry.to,
            reason: entry.reason,
            amount: DecimalText::amount(entry.amount, currency),
        }
    }
}

/// What an order comes to.
#[derive(Serialize, ToSchema)]
#[schema(as = Totals)]
pub struct TotalsBody {
    #[schema(value_type = String)]
    subtotal: DecimalText,
    #[schema(value_type = String)]
    discounts: DecimalText,
    #[schema(value_type = String)]
    shipping: DecimalText,
    #[schema(value_type = String)]
    tax: DecimalText,
    #[schema(value_type = String)]
    fees: DecimalText,
    #[schema(value_type = String)]
    total: DecimalText,
    #[schema(value_type = String)]
    captured: DecimalText,
    #[schema(value_type = String)]
    refunded: DecimalText,
    #[schema(value_type = String)]
    balance_due: DecimalText,
}

impl TotalsBody {
    /// In the order's currency.
    #[must_use]
    pub fn of(totals: &Totals, currency: Currency) -> TotalsBody {
        let text = |minor| DecimalText::amount(minor, currency);
        TotalsBody {
            subtotal: text(totals.subtotal),
            discounts: text(totals.discounts),
            shipping: text(totals.shipping),
            tax: text(totals.tax),
            fees: text(totals.fees),
            total: text(totals.total),
            captured: text(totals.captured),
            refunded: text(totals.refunded),
            balance_due: text(totals.balance_due),
        }
    }
}
