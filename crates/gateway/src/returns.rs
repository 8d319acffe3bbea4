//! Items that come back, over HTTP.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use compact_str::CompactString;
use consign_domain::ids::{LocationId, ReturnId};
use consign_domain::order::{
    Disposition, LINE_UNITS_MAX, LineQuantity, Order, OrderCommand, OrderStatus,
};
use consign_orchestrator::OrderOutcome;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::fulfillment::{LineQuantityDto, line_quantities};
use crate::gateway::Gateway;
use crate::orders::changes::dated;
use crate::orders::dto::LineName;
use crate::orders::line_name::line_index;
use crate::orders::render_work::ReturnBody;
use crate::orders::routes::settled_status;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// What the customer wants to send back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnDto {
    /// Of which order.
    #[schema(value_type = String)]
    order: CompactString,
    /// Which units.
    lines: Vec<LineQuantityDto>,
    /// Why.
    #[schema(value_type = String)]
    reason: CompactString,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What came back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveDto {
    /// Where.
    #[schema(value_type = String)]
    location: CompactString,
    /// What, and in what state; all that was announced, to be restocked, if left out.
    lines: Option<Vec<ReceivedLineDto>>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What came back of a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceivedLineDto {
    /// The line's id, or its 1-based position in the order.
    #[schema(value_type = String)]
    line: LineName,
    /// Units.
    quantity: u32,
    /// `restocked`, `not_restocked`, `processing_required`, `missing`.
    #[schema(value_type = String, example = "restocked")]
    disposition: Disposition,
}

/// A return on its own.
#[derive(Serialize, ToSchema)]
#[schema(as = ReturnAlone)]
pub struct AloneBody<'a> {
    #[serde(flatten)]
    return_: ReturnBody<'a>,
    #[schema(value_type = String)]
    order_status: OrderStatus,
    /// The order's version.
    version: u64,
}

impl<'a> AloneBody<'a> {
    fn of(order: &'a Order, number: u32) -> Result<AloneBody<'a>, Problem> {
        let return_ = order.return_(number);
        let return_ = return_.ok_or_else(|| Problem::not_found("return", &number.to_string()))?;
        Ok(AloneBody {
            return_: ReturnBody::of(order, return_),
            order_status: order.status,
            version: order.version,
        })
    }
}

fn find(gateway: &Gateway, id: &str) -> Result<(Arc<Order>, u32), Problem> {
    let unknown = || Problem::not_found("return", id);
    let name: ReturnId = id.parse().map_err(|_| unknown())?;
    let order = gateway.consign.order(&name.order)?.ok_or_else(unknown)?;
    if order.return_(name.number).is_none() {
        return Err(unknown());
    }
    Ok((order, name.number))
}

fn answered(outcome: &OrderOutcome, number: u32, status: StatusCode) -> Result<Response, Problem> {
    let body = AloneBody::of(&outcome.order, number)?;
    let status = settled_status(outcome, status);
    let response = answer::versioned(status, outcome.order.version, &body)?;
    Ok(answer::replayed(response, outcome.replayed))
}

/// Asks to send delivered items back.
#[utoipa::path(post, path = "/v1/returns", tag = "returns", request_body = ReturnDto, responses(
    (status = 201, body = AloneBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`not_enough_units`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn request(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<ReturnDto>,
) -> Answered {
    let order = crate::orders::routes::find(&gateway, &body.order)?;
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.text(&root.field("reason"), &body.reason, TEXT_BYTES_MAX);
    let lines = line_quantities(&mut faults, &root.field("lines"), &order, &body.lines);
    let lines = faults.finish(Some(lines))?;
    let command = OrderCommand::RequestReturn {
        lines,
        reason: body.reason,
    };
    let outcome = gateway.consign.command(&order.id, command, call).await?;
    let number = outcome.reply.numbers.first().copied().unwrap_or_default();
    let response = answered(&outcome, number, StatusCode::CREATED)?;
    let id = ReturnId {
        order: order.id.clone(),
        number,
    };
    Ok(answer::located(response, &format!("/v1/returns/{id}")))
}

/// Takes returned items in.
#[utoipa::path(post, path = "/v1/returns/{id}/receive", tag = "returns", params(("id" = String, Path)),
    request_body = ReceiveDto, responses(
    (status = 200, body = AloneBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`wrong_state`, `not_enough_units`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn receive(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<ReceiveDto>,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let location_at = root.field("location");
    let location: Option<LocationId> = faults.id(&location_at, &body.location);
    if let Some(location) = &location
        && gateway.consign.location(location).is_none()
    {
        faults.add(
            &location_at,
            "unknown_location",
            format!("there is no location \"{location}\""),
        );
    }
    let at = root.field("lines");
    let dtos = body.lines.as_deref().unwrap_or_default();
    if body.lines.is_some() && dtos.is_empty() {
        faults.add(
            &at,
            "empty",
            "name at least one line, or leave the field out if all came back",
        );
    }
    let mut items = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.iter().enumerate() {
        let place = at.index(index);
        faults.range(&place.field("quantity"), dto.quantity, 1, LINE_UNITS_MAX);
        if let Some(line) = line_index(&mut faults, &place.field("line"), &order, &dto.line) {
            items.push((
                LineQuantity {
                    line,
                    quantity: dto.quantity,
                },
                dto.disposition,
            ));
        }
    }
    let location = faults.finish(location)?;
    let command = OrderCommand::ReceiveReturn {
        number,
        location,
        items,
    };
    let outcome = gateway.consign.command(&order.id, command, call).await?;
    answered(&outcome, number, StatusCode::OK)
}

/// A return.
#[utoipa::path(get, path = "/v1/returns/{id}", tag = "returns", params(("id" = String, Path)),
    responses((status = 200, body = AloneBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let (order, number) = find(&gateway, &id)?;
    let body = AloneBody::of(&order, number)?;
    answer::read(&headers, order.version, || body)
}
