//! The work on an order as clients see it: fulfillment orders, packages, holds, shipments, returns.

use consign_domain::ids::OrderId;
use consign_domain::order::{
    Disposition, FulfillmentLine, FulfillmentOrder, FulfillmentStatus, Hold, HoldReason, HoldScope,
    Order, Package, Return, ReturnLine, ReturnStatus, Shipment, ShipmentStatus,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::render::currency_of;
use super::render_parts::{LineQuantityBody, TrackingEventBody, line_name};
use crate::money_text::DecimalText;
use crate::time_text::TimeText;

/// A fulfillment order.
#[derive(Serialize, ToSchema)]
#[schema(as = FulfillmentOrder)]
pub struct FulfillmentOrderBody<'a> {
    #[schema(value_type = String)]
    id: NestedId<'a>,
    order: &'a str,
    location: &'a str,
    #[schema(value_type = String, example = "open")]
    status: FulfillmentStatus,
    accepted: bool,
    lines: Vec<FulfillmentLineBody<'a>>,
    packages: Vec<PackageBody<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FulfillmentLine)]
struct FulfillmentLineBody<'a> {
    line: &'a str,
    sku: &'a str,
    quantity: u32,
    open: u32,
    picked: u32,
    packed: u32,
    shipped: u32,
    cancelled: u32,
    short: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Package)]
struct PackageBody<'a> {
    package: u32,
    lines: Vec<LineQuantityBody<'a>>,
    weight_grams: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    shipment: Option<NestedId<'a>>,
}

/// A hold.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldBody<'a> {
    #[schema(value_type = String)]
    id: Decimal,
    #[schema(value_type = super::dto::HoldReasonDto)]
    reason: HoldReason,
    scope: HoldScopeBody<'a>,
    #[schema(value_type = String)]
    placed_at: TimeText,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = HoldScope)]
struct HoldScopeBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    fulfillment_order: Option<NestedId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
}

/// A shipment.
#[derive(Serialize, ToSchema)]
#[schema(as = Shipment)]
pub struct ShipmentBody<'a> {
    #[schema(value_type = String)]
    id: NestedId<'a>,
    #[schema(value_type = String)]
    fulfillment_order: NestedId<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_number: Option<&'a str>,
    #[schema(value_type = String, example = "in_transit")]
    status: ShipmentStatus,
    lines: Vec<LineQuantityBody<'a>>,
    signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    tracking: Vec<TrackingEventBody<'a>>,
}

/// A return.
#[derive(Serialize, ToSchema)]
#[schema(as = Return)]
pub struct ReturnBody<'a> {
    #[schema(value_type = String)]
    id: NestedId<'a>,
    order: &'a str,
    #[schema(value_type = String, example = "approved")]
    status: ReturnStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    lines: Vec<ReturnLineBody<'a>>,
    #[schema(value_type = String)]
    refunded: DecimalText,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReturnLine)]
struct ReturnLineBody<'a> {
    line: &'a str,
    sku: &'a str,
    quantity: u32,
    reason: &'a str,
    received: Vec<ReceivedBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReceivedItem)]
struct ReceivedBody {
    #[schema(value_type = String, example = "restocked")]
    disposition: Disposition,
    quantity: u32,
}

/// A number shown as text, as ids are.
#[derive(Clone, Copy)]
struct Decimal(u32);

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The name of something within an order: `{order}-f1`.
#[derive(Clone, Copy)]
pub struct NestedId<'a> {
    order: &'a OrderId,
    mark: char,
    number: u32,
}

impl Serialize for NestedId<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-{}{}", self.order, self.mark, self.number))
    }
}

fn nested(order: &OrderId, mark: char, number: u32) -> NestedId<'_> {
    NestedId {
        order,
        mark,
        number,
    }
}

impl<'a> FulfillmentOrderBody<'a> {
    /// What a location owes of this order.
    #[must_use]
    pub fn of(order: &'a Order, fulfillment: &'a FulfillmentOrder) -> FulfillmentOrderBody<'a> {
        let line = |line: &FulfillmentLine| {
            let done = line.picked + line.packed + line.shipped + line.cancelled + line.short;
            FulfillmentLineBody {
                line: line_name(order, line.line),
                sku: order
                    .lines
                    .get(line.line as usize)
                    .map_or("", |l| l.sku.as_str()),
                quantity: line.quantity,
                open: line.quantity.saturating_sub(done),
                picked: line.picked,
                packed: line.packed,
                shipped: line.shipped,
                cancelled: line.cancelled,
                short: line.short,
            }
        };
        let package = |package: &Package| PackageBody {
            package: package.number,
            lines: LineQuantityBody::all(order, &package.items),
            weight_grams: package.weight_grams,
            shipment: package
                .shipment
                .map(|number| nested(&order.id, 's', number)),
        };
        FulfillmentOrderBody {
            id: nested(&order.id, 'f', fulfillment.number),
            order: order.id.as_str(),
            location: fulfillment.location.as_str(),
            status: fulfillment.status,
            accepted: fulfillment.accepted,
            lines: fulfillment.lines.iter().map(line).collect(),
            packages: fulfillment.packages.iter().map(package).collect(),
        }
    }
}

impl<'a> HoldBody<'a> {
    /// A hold on this order.
    #[must_use]
    pub fn of(order: &'a Order, hold: &Hold) -> HoldBody<'a> {
        let scope = match hold.scope {
            HoldScope::Order => HoldScopeBody::default(),
            HoldScope::FulfillmentOrder(number) => HoldScopeBody {
                fulfillment_order: Some(nested(&order.id, 'f', number)),
                ..HoldScopeBody::default()
            },
            HoldScope::Line(index) => HoldScopeBody {
                line: Some(line_name(order, index)),
                ..HoldScopeBody::default()
            },
        };
        HoldBody {
            id: Decimal(hold.number),
            reason: hold.reason,
            scope,
            placed_at: TimeText(hold.placed_at),
        }
    }
}

impl<'a> ShipmentBody<'a> {
    /// A shipment of this order.
    #[must_use]
    pub fn of(order: &'a Order, shipment: &'a Shipment) -> ShipmentBody<'a> {
        let signatures = order
            .personal
            .as_deref()
            .map(|p| p.signatures.as_slice())
            .unwrap_or_default();
        let signature = signatures
            .iter()
            .rev()
            .find(|(number, _)| *number == shipment.number);
        ShipmentBody {
            id: nested(&order.id, 's', shipment.number),
            fulfillment_order: nested(&order.id, 'f', shipment.fulfillment_order),
            carrier: shipment.carrier.as_ref().map(|c| c.as_str()),
            service: shipment.service.as_deref(),
            tracking_number: shipment.tracking_number.as_ref().map(|n| n.as_str()),
            status: shipment.status,
            lines: LineQuantityBody::all(order, &shipment.items),
            signed: shipment.signed,
            signature: signature.map(|(_, name)| name.as_str()),
            tracking: shipment
                .tracking
                .iter()
                .map(TrackingEventBody::of)
                .collect(),
        }
    }
}

impl<'a> ReturnBody<'a> {
    /// A return of this order.
    #[must_use]
    pub fn of(order: &'a Order, return_: &'a Return) -> ReturnBody<'a> {
        let line = |line: &'a ReturnLine| ReturnLineBody {
            line: line_name(order, line.line),
            sku: order
                .lines
                .get(line.line as usize)
                .map_or("", |l| l.sku.as_str()),
            quantity: line.quantity,
            reason: &line.reason,
            received: line
                .received
                .iter()
                .map(|(disposition, quantity)| ReceivedBody {
                    disposition: *disposition,
                    quantity: *quantity,
                })
                .collect(),
        };
        ReturnBody {
            id: nested(&order.id, 'r', return_.number),
            order: order.id.as_str(),
            status: return_.status,
            location: return_.location.as_ref().map(|l| l.as_str()),
            lines: return_.lines.iter().map(line).collect(),
            refunded: DecimalText::amount(return_.refunded, currency_of(order)),
        }
    }
}
