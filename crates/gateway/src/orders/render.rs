//! An order as clients see it, borrowed from the committed state and written without a copy.

use std::collections::BTreeMap;

use consign_domain::money::Currency;
use consign_domain::order::{
    FulfillmentProgress, Fulfilment, Header, Line, Order, OrderStatus, PaymentStatus, PersonalData,
    ShortagePolicy, SplitPolicy, Units,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::render_parts::{
    AddressBody, AllocationBody, AmountsBody, ComponentBody, CustomerBody, LedgerBody, TaxBody,
    TotalsBody, UnitsBody,
};
use super::render_work::{FulfillmentOrderBody, HoldBody, ReturnBody, ShipmentBody};
use crate::money_text::DecimalText;
use crate::time_text::TimeText;

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderBody<'a> {
    #[schema(value_type = String)]
    id: &'a str,
    #[serde(flatten)]
    head: Option<HeadBody<'a>>,
    #[schema(value_type = String, example = "allocated")]
    status: OrderStatus,
    #[schema(value_type = String, example = "pending")]
    payment_status: PaymentStatus,
    #[schema(value_type = String, example = "unfulfilled")]
    fulfillment_status: FulfillmentProgress,
    /// Whether what is backordered waits until the order is released; left out if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    parked: bool,
    lines: Vec<LineBody<'a>>,
    fulfillment_orders: Vec<FulfillmentOrderBody<'a>>,
    holds: Vec<HoldBody<'a>>,
    shipments: Vec<ShipmentBody<'a>>,
    returns: Vec<ReturnBody<'a>>,
    ledger: Vec<LedgerBody>,
    totals: TotalsBody,
    #[schema(value_type = String)]
    updated_at: TimeText,
    version: u64,
}

/// What an order says about itself as a whole. A tombstone of an order that was cancelled before
/// it arrived has none of it.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderHead)]
pub struct HeadBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    channel: &'a str,
    currency: &'static str,
    #[schema(value_type = String)]
    placed_at: TimeText,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    customer: CustomerBody<'a>,
    ship_to: AddressBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing: Option<AddressBody<'a>>,
    service_level: &'a str,
    #[schema(value_type = super::dto::SplitDto)]
    split: SplitPolicy,
    #[schema(value_type = super::dto::ShortageDto)]
    shortage: ShortagePolicy,
    #[schema(value_type = String)]
    shipping: DecimalText,
    #[schema(value_type = String)]
    discounts: DecimalText,
    #[schema(value_type = String)]
    fees: DecimalText,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    metadata: BTreeMap<&'a str, &'a str>,
}

/// A line of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderLine)]
pub struct LineBody<'a> {
    line: &'a str,
    sku: &'a str,
    quantity: u32,
    #[schema(value_type = String, example = "2.55")]
    unit_price: DecimalText,
    #[schema(value_type = String, example = "0.00")]
    discounts: DecimalText,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taxes: Vec<TaxBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup_location: Option<&'a str>,
    /// `physical` or `virtual`.
    kind: &'static str,
    /// The SKUs that make one unit, for a bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentBody<'a>>,
    units: UnitsBody,
    amounts: AmountsBody,
    allocations: Vec<AllocationBody<'a>>,
    backordered: u32,
}

impl<'a> OrderBody<'a> {
    /// The order as it is.
    #[must_use]
    pub fn of(order: &'a Order) -> OrderBody<'a> {
        let currency = currency_of(order);
        let mut allocations = allocations(order);
        let line = |(index, line): (usize, &'a Line)| {
            LineBody::of(line, currency, std::mem::take(&mut allocations[index]))
        };
        OrderBody {
            id: order.id.as_str(),
            head: order
                .header
                .as_deref()
                .map(|header| HeadBody::of(header, order.personal.as_deref())),
            status: order.status,
            payment_status: order.payment_status(),
            fulfillment_status: order.fulfillment_status(),
            parked: order.is_parked(),
            lines: order.lines.iter().enumerate().map(line).collect(),
            fulfillment_orders: order
                .fulfillment_orders
                .iter()
                .map(|f| FulfillmentOrderBody::of(order, f))
                .collect(),
            holds: order
                .holds
                .iter()
                .map(|hold| HoldBody::of(order, hold))
                .collect(),
            shipments: order
                .shipments
                .iter()
                .map(|s| ShipmentBody::of(order, s))
                .collect(),
            returns: order
                .returns
                .iter()
                .map(|r| ReturnBody::of(order, r))
                .collect(),
            ledger: order
                .ledger
                .entries
                .iter()
                .map(|e| LedgerBody::of(e, currency))
                .collect(),
            totals: TotalsBody::of(&order.totals(), currency),
            updated_at: TimeText(order.recorded_at),
            version: order.version,
        }
    }
}

/// The currency of an order's amounts. A tombstone has no amounts; any does.
#[must_use]
pub fn currency_of(order: &Order) -> Currency {
    let of_header = order.header.as_ref().map(|header| header.currency);
    of_header.unwrap_or_else(|| Currency::from_code("EUR").expect("EUR is in ISO 4217"))
}

/// Units handed to each location and not taken away again, by line.
fn allocations(order: &Order) -> Vec<Vec<AllocationBody<'_>>> {
    let mut all: Vec<Vec<AllocationBody<'_>>> = Vec::new();
    all.resize_with(order.lines.len(), Vec::new);
    for fulfillment in &order.fulfillment_orders {
        let location = fulfillment.location.as_str();
        for line in &fulfillment.lines {
            let quantity = line.quantity.saturating_sub(line.cancelled + line.short);
            let Some(of_line) = all.get_mut(line.line as usize) else {
                continue;
            };
            if quantity == 0 {
                continue;
            }
            match of_line.iter_mut().find(|a| a.location == location) {
                Some(allocation) => allocation.quantity += quantity,
                None => of_line.push(AllocationBody { location, quantity }),
            }
        }
    }
    all
}

impl<'a> HeadBody<'a> {
    fn of(header: &'a Header, personal: Option<&'a PersonalData>) -> HeadBody<'a> {
        let amount = |minor| DecimalText::amount(minor, header.currency);
        HeadBody {
            external_id: header.external_id.as_deref(),
            channel: header.channel.as_str(),
            currency: header.currency.code(),
            placed_at: TimeText(header.placed_at),
            order_type: header.order_type.as_deref(),
            locale: header.locale.as_deref(),
            customer: CustomerBody::of(header, personal),
            ship_to: AddressBody::of(personal.map(|p| &p.ship_to), &header.destination),
            billing: personal
                .and_then(|p| p.billing.as_ref())
                .map(|a| AddressBody::of(Some(a), &header.destination)),
            service_level: &header.service_level,
            split: header.split,
            shortage: header.shortage,
            shipping: amount(header.shipping),
            discounts: amount(header.discount),
            fees: amount(header.fees),
            metadata: personal
                .map(|p| {
                    p.metadata
                        .iter()
                        .map(|(k, v)| (k.as_str(), v.as_str()))
                        .collect()
                })
                .unwrap_or_default(),
        }
    }
}

impl<'a> LineBody<'a> {
    fn of(
        line: &'a Line,
        currency: Currency,
        allocations: Vec<AllocationBody<'a>>,
    ) -> LineBody<'a> {
        let (kind, components) = match &line.fulfilment {
            Fulfilment::Virtual => ("virtual", Vec::new()),
            Fulfilment::Physical(parts) if matches!(&parts[..], [(sku, 1)] if *sku == line.sku) => {
                ("physical", Vec::new())
            }
            Fulfilment::Physical(parts) => {
                let component =
                    |(sku, quantity): &'a (consign_domain::ids::Sku, u32)| ComponentBody {
                        sku: sku.as_str(),
                        quantity: *quantity,
                    };
                ("physical", parts.iter().map(component).collect())
            }
        };
        let units: &Units = &line.units;
        LineBody {
            line: line.id.as_str(),
            sku: line.sku.as_str(),
            quantity: line.quantity,
            unit_price: DecimalText::unit_price(line.unit_price, currency),
            discounts: DecimalText::amount(line.discount, currency),
            taxes: line
                .taxes
                .iter()
                .map(|tax| TaxBody::of(tax, currency))
                .collect(),
            pickup_location: line.pickup_location.as_ref().map(|l| l.as_str()),
            kind,
            components,
            units: UnitsBody::of(units),
            amounts: AmountsBody::of(&line.account.now(), currency),
            allocations,
            backordered: units.backordered,
        }
    }
}
