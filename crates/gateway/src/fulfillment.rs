//! What staff at a location do over HTTP: list work, accept, reject, pick, pack, ship.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use compact_str::CompactString;
use consign_domain::ids::FulfillmentOrderId;
use consign_domain::order::{
    FulfillmentOrder, LINE_UNITS_MAX, LineQuantity, NewPackage, Order, OrderCommand, OrderStatus,
    PickedLine,
};
use consign_orchestrator::{CallMeta, FulfillmentFilter, OrderOutcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::blocking::blocking;
use crate::fields::{At, CODE_BYTES_MAX, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::orders::changes::dated;
use crate::orders::dto::{LineName, Nothing};
use crate::orders::line_name::line_index;
use crate::orders::render_work::{FulfillmentOrderBody, ShipmentBody};
use crate::orders::routes::settled_status;
use crate::paging::{self, Asked};
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// Packages of one call at most.
const PACKAGES_MAX: usize = 1_000;
/// The heaviest package, in grams.
const PACKAGE_GRAMS_MAX: u32 = 100_000_000;

/// Why a location will not serve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectDto {
    /// Why.
    #[schema(value_type = String)]
    reason: CompactString,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What was picked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PickDto {
    /// By line; all that is open if left out.
    lines: Option<Vec<PickedLineDto>>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What was found of a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PickedLineDto {
    /// The line's id, or its 1-based position in the order.
    #[schema(value_type = String)]
    line: LineName,
    /// Units found now.
    quantity: u32,
    /// Units looked for and not found.
    #[serde(default)]
    short: u32,
}

/// What was packed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackDto {
    /// Into which packages; all that is picked into one if left out.
    packages: Option<Vec<PackageDto>>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// A package.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageDto {
    /// What is in it.
    lines: Vec<LineQuantityDto>,
    /// Its weight.
    #[serde(default)]
    weight_grams: u32,
}

/// Units of a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineQuantityDto {
    /// The line's id, or its 1-based position in the order.
    #[schema(value_type = String)]
    pub line: LineName,
    /// Units.
    pub quantity: u32,
}

/// What leaves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipDto {
    /// Package numbers; all that have not left if left out.
    packages: Option<Vec<u32>>,
    /// With whom.
    #[schema(value_type = Option<String>)]
    carrier: Option<CompactString>,
    /// The carrier's service.
    #[schema(value_type = Option<String>)]
    service: Option<CompactString>,
    /// If there is one already; else the carrier is asked.
    #[schema(value_type = Option<String>)]
    tracking_number: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// A fulfillment order on its own.
#[derive(Serialize, ToSchema)]
#[schema(as = FulfillmentOrderAlone)]
pub struct AloneBody<'a> {
    #[serde(flatten)]
    fulfillment_order: FulfillmentOrderBody<'a>,
    #[schema(value_type = String)]
    order_status: OrderStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    placed_at: Option<TimeText>,
    /// The shipment that this call made.
    #[serde(skip_serializing_if = "Option::is_none")]
    shipment: Option<ShipmentBody<'a>>,
    /// The order's version.
    version: u64,
}

impl<'a> AloneBody<'a> {
    fn of(order: &'a Order, fulfillment: &'a FulfillmentOrder) -> AloneBody<'a> {
        let header = order.header.as_deref();
        AloneBody {
            fulfillment_order: FulfillmentOrderBody::of(order, fulfillment),
            order_status: order.status,
            service_level: header.map(|header| header.service_level.as_str()),
            placed_at: header.map(|header| TimeText(header.placed_at)),
            shipment: None,
            version: order.version,
        }
    }
}

/// The order that a path names, and the number of its fulfillment order.
fn find(gateway: &Gateway, id: &str) -> Result<(Arc<Order>, u32), Problem> {
    let unknown = || Problem::not_found("fulfillment_order", id);
    let name: FulfillmentOrderId = id.parse().map_err(|_| unknown())?;
    let order = gateway.consign.order(&name.order)?.ok_or_else(unknown)?;
    if order.fulfillment_order(name.number).is_none() {
        return Err(unknown());
    }
    Ok((order, name.number))
}

fn answered(outcome: &OrderOutcome, number: u32, shipped: bool) -> Result<Response, Problem> {
    let order = &outcome.order;
    let Some(fulfillment) = order.fulfillment_order(number) else {
        return Err(Problem::not_found("fulfillment_order", &number.to_string()));
    };
    let mut body = AloneBody::of(order, fulfillment);
    if shipped {
        let made = outcome
            .reply
            .numbers
            .first()
            .and_then(|number| order.shipment(*number));
        body.shipment = made.map(|shipment| ShipmentBody::of(order, shipment));
    }
    let status = settled_status(outcome, StatusCode::OK);
    let response = answer::versioned(status, order.version, &body)?;
    Ok(answer::replayed(response, outcome.replayed))
}

async fn tell(
    gateway: &Gateway,
    order: &Order,
    number: u32,
    command: OrderCommand,
    call: CallMeta,
) -> Answered {
    let shipped = matches!(command, OrderCommand::Ship { .. });
    answered(
        &gateway.consign.command(&order.id, command, call).await?,
        number,
        shipped,
    )
}

/// A fulfillment order.
#[utoipa::path(get, path = "/v1/fulfillment-orders/{id}", tag = "fulfillment", params(("id" = String, Path)),
    responses((status = 200, body = AloneBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let fulfillment = order
        .fulfillment_order(number)
        .ok_or_else(|| Problem::not_found("fulfillment_order", &id))?;
    answer::read(&headers, order.version, || {
        AloneBody::of(&order, fulfillment)
    })
}

/// The location takes a fulfillment order on.
#[utoipa::path(post, path = "/v1/fulfillment-orders/{id}/accept", tag = "fulfillment", params(("id" = String, Path)),
    request_body = Nothing, responses((status = 200, body = AloneBody<'static>),
    (status = 409, description = "`wrong_state`, `held`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn accept(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<Nothing>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.finish(Some(()))?;
    tell(
        &gateway,
        &order,
        number,
        OrderCommand::Accept {
            fulfillment_order: number,
        },
        call,
    )
    .await
}

/// The location will not serve it; what is not picked is sourced elsewhere.
#[utoipa::path(post, path = "/v1/fulfillment-orders/{id}/reject", tag = "fulfillment", params(("id" = String, Path)),
    request_body = RejectDto, responses((status = 200, body = AloneBody<'static>),
    (status = 409, description = "`wrong_state`, `too_late`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn reject(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<RejectDto>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.text(&At::Root.field("reason"), &body.reason, TEXT_BYTES_MAX);
    faults.finish(Some(()))?;
    let command = OrderCommand::Reject {
        fulfillment_order: number,
        reason: body.reason,
    };
    tell(&gateway, &order, number, command, call).await
}

/// Staff took units from the shelf; what was short is sourced elsewhere.
#[utoipa::path(post, path = "/v1/fulfillment-orders/{id}/pick", tag = "fulfillment", params(("id" = String, Path)),
    request_body = PickDto, responses((status = 200, body = AloneBody<'static>),
    (status = 409, description = "`wrong_state`, `not_enough_units`, `held`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn pick(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<PickDto>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let at = At::Root.field("lines");
    let dtos = body.lines.as_deref().unwrap_or_default();
    if body.lines.is_some() && dtos.is_empty() {
        faults.add(
            &at,
            "empty",
            "name at least one line, or leave the field out to pick all",
        );
    }
    let mut lines = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.iter().enumerate() {
        let place = at.index(index);
        faults.range(&place.field("quantity"), dto.quantity, 0, LINE_UNITS_MAX);
        faults.range(&place.field("short"), dto.short, 0, LINE_UNITS_MAX);
        if dto.quantity == 0 && dto.short == 0 {
            faults.add(&place, "empty", "give a `quantity`, a `short`, or both");
        }
        if let Some(line) = line_index(&mut faults, &place.field("line"), &order, &dto.line) {
            lines.push(PickedLine {
                line,
                quantity: dto.quantity,
                short: dto.short,
            });
        }
    }
    let lines = faults.finish(Some(lines))?;
    let command = OrderCommand::Pick {
        fulfillment_order: number,
        lines,
    };
    tell(&gateway, &order, number, command, call).await
}

/// (line, units) of a body's list, with the line's index.
pub fn line_quantities(
    faults: &mut Faults,
    at: &At<'_>,
    order: &Order,
    dtos: &[LineQuantityDto],
) -> Vec<LineQuantity> {
    if dtos.is_empty() {
        faults.add(at, "empty", "name at least one line");
    }
    let mut lines = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.iter().enumerate() {
        let place = at.index(index);
        faults.range(&place.field("quantity"), dto.quantity, 1, LINE_UNITS_MAX);
        if let Some(line) = line_index(faults, &place.field("line"), order, &dto.line) {
            lines.push(LineQuantity {
                line,
                quantity: dto.quantity,
            });
        }
    }
    lines
}

/// Staff packed what was picked.
#[utoipa::path(post, path = "/v1/fulfillment-orders/{id}/pack", tag = "fulfillment", params(("id" = String, Path)),
    request_body = PackDto, responses((status = 200, body = AloneBody<'static>),
    (status = 409, description = "`wrong_state`, `not_enough_units`, `held`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn pack(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<PackDto>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let at = At::Root.field("packages");
    let dtos = body.packages.as_deref().unwrap_or_default();
    if body.packages.is_some() && dtos.is_empty() {
        faults.add(
            &at,
            "empty",
            "name at least one package, or leave the field out to pack all into one",
        );
    }
    if dtos.len() > PACKAGES_MAX {
        faults.add(&at, "too_many", format!("at most {PACKAGES_MAX} packages"));
    }
    let mut packages = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.iter().enumerate() {
        let place = at.index(index);
        faults.range(
            &place.field("weight_grams"),
            dto.weight_grams,
            0,
            PACKAGE_GRAMS_MAX,
        );
        let items = line_quantities(&mut faults, &place.field("lines"), &order, &dto.lines);
        packages.push(NewPackage {
            items,
            weight_grams: dto.weight_grams,
        });
    }
    let packages = faults.finish(Some(packages))?;
    let command = OrderCommand::Pack {
        fulfillment_order: number,
        packages,
    };
    tell(&gateway, &order, number, command, call).await
}

/// Packages leave; the carrier is asked for a tracking number if none is given.
#[utoipa::path(post, path = "/v1/fulfillment-orders/{id}/ship", tag = "fulfillment", params(("id" = String, Path)),
    request_body = ShipDto, responses((status = 200, description = "With the new `shipment`", body = AloneBody<'static>),
    (status = 409, description = "`wrong_state`, `held`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn ship(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<ShipDto>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    if body.packages.as_ref().is_some_and(Vec::is_empty) {
        let detail = "name at least one package, or leave the field out to ship all";
        faults.add(&root.field("packages"), "empty", detail);
    }
    let carrier_at = root.field("carrier");
    let carrier = faults.id_if(&carrier_at, body.carrier.as_ref());
    if let Some(carrier) = &carrier
        && gateway.consign.carrier(carrier).is_none()
    {
        faults.add(
            &carrier_at,
            "unknown_carrier",
            format!("there is no carrier \"{carrier}\""),
        );
    }
    faults.text_if(
        &root.field("service"),
        body.service.as_deref(),
        CODE_BYTES_MAX,
    );
    let tracking_number = faults.id_if(
        &root.field("tracking_number"),
        body.tracking_number.as_ref(),
    );
    faults.finish(Some(()))?;
    let command = OrderCommand::Ship {
        fulfillment_order: number,
        packages: body.packages.unwrap_or_default(),
        carrier,
        service: body.service,
        tracking_number,
    };
    tell(&gateway, &order, number, command, call).await
}

/// Which fulfillment orders.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FulfillmentQuery {
    /// A location.
    #[param(value_type = Option<String>)]
    location: Option<CompactString>,
    /// `scheduled`, `open`, `in_progress`, `closed`, `incomplete`, `cancelled`.
    #[param(value_type = Option<String>)]
    status: Option<CompactString>,
    /// Items at most, 1 to 500; 50 if left out.
    #[param(value_type = Option<u32>)]
    limit: Option<CompactString>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CompactString>,
}

/// A page of fulfillment orders.
#[derive(Serialize, ToSchema)]
#[schema(as = FulfillmentOrdersPage)]
pub struct FulfillmentOrdersBody<'a> {
    fulfillment_orders: Vec<AloneBody<'a>>,
    next_cursor: Option<String>,
}

/// Fulfillment orders, by location and status: what there is to do.
#[utoipa::path(get, path = "/v1/fulfillment-orders", tag = "fulfillment", params(FulfillmentQuery), responses(
    (status = 200, body = FulfillmentOrdersBody<'static>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(gateway): State<Gateway>,
    Asked(query): Asked<FulfillmentQuery>,
) -> Answered {
    let filter = FulfillmentFilter {
        location: paging::id("location", query.location.as_deref())?,
        status: paging::one_of("status", query.status.as_deref())?,
    };
    let limit = paging::limit(query.limit.as_deref())?;
    let page = blocking(gateway.consign.threads(), move || {
        gateway
            .consign
            .fulfillment_orders(&filter, query.cursor.as_deref(), limit)
    })
    .await?;
    let mut fulfillment_orders = Vec::with_capacity(page.items.len());
    for (order, number) in &page.items {
        fulfillment_orders.extend(
            order
                .fulfillment_order(*number)
                .map(|f| AloneBody::of(order, f)),
        );
    }
    let next_cursor = page.next_cursor;
    answer::json(
        StatusCode::OK,
        &FulfillmentOrdersBody {
            fulfillment_orders,
            next_cursor,
        },
    )
}
