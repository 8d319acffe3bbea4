//! Placing an order and reading it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::HeaderMap;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use consign_domain::ids::OrderId;
use consign_domain::order::Order;
use consign_domain::time::Timestamp;
use consign_orchestrator::{CallMeta, OrderOutcome};

use super::dto::PlaceOrder;
use super::parse;
use super::render::OrderBody;
use crate::answer::{self, Answered, PREFERENCE_APPLIED};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// Says what became of the reservation that an order named: `used`, or why it was not.
pub const RESERVATION: HeaderName = HeaderName::from_static("reservation");

/// The gateway's clock, for `placed_at` when the client leaves it out.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// Places an order; answered once its stock is reserved, backordered or cancelled by policy.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = PlaceOrder,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names the command, so that sending it again does nothing twice; remembered for 24 h"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 as soon as the order is durable")),
    responses(
        (status = 201, description = "Placed and sourced; where a reservation was named, the header `Reservation` says `used`, or why it was not: `expired`, `released`, `consumed`, `failed`, `holding`, `does_not_fit`", body = OrderBody<'static>),
        (status = 202, description = "Placed; sourcing goes on", body = OrderBody<'static>),
        (status = 409, description = "`idempotency_key_reused`, `external_id_taken`, `order_exists`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`busy`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn place(State(gateway): State<Gateway>, submission: Submission<PlaceOrder>) -> Answered {
    let asked_async = submission.call.respond_async;
    if submission.body.idempotency_key.is_some() {
        let mut faults = Faults::default();
        let detail =
            "belongs into the header `Idempotency-Key`; only lines of a batch carry it in the body";
        faults.add(&At::Root.field("idempotency_key"), "not_allowed", detail);
        return Err(faults.problem());
    }
    let reservation = parse::reservation(submission.body.reservation.as_ref())?;
    let outcome = place_one(&gateway, submission.body, submission.call).await?;
    let status = placed_status(&outcome, asked_async);
    let order = &outcome.order;
    let mut response = answer::versioned(status, order.version, &OrderBody::of(order))?;
    if asked_async {
        response.headers_mut().insert(
            PREFERENCE_APPLIED,
            HeaderValue::from_static("respond-async"),
        );
    }
    if let Some(reservation) = reservation {
        let used = gateway.consign.reservation_use(&reservation, &order.id);
        let used = HeaderValue::from_static(used.await?);
        response.headers_mut().insert(RESERVATION, used);
    }
    let response = answer::located(response, &format!("/v1/orders/{}", order.id));
    Ok(answer::replayed(response, outcome.replayed))
}

/// 201 when the outcome stands, 202 when it is still to come.
#[must_use]
pub fn placed_status(outcome: &OrderOutcome, asked_async: bool) -> StatusCode {
    if outcome.settled && !asked_async {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    }
}

/// Places an order, as a request of its own or as a line of a batch.
///
/// # Errors
/// What is wrong with it, or why the service refuses.
pub async fn place_one(
    gateway: &Gateway,
    dto: PlaceOrder,
    call: CallMeta,
) -> Result<OrderOutcome, Problem> {
    let dated = dto.placed_at.is_some();
    let reservation = parse::reservation(dto.reservation.as_ref())?;
    let new = parse::place(dto, now())?;
    let id = new.id.clone();
    let call = CallMeta {
        occurred_at: dated.then_some(new.header.placed_at),
        ..call
    };
    let placed = gateway.consign.place(new, reservation, call).await;
    placed.map_err(|error| {
        let problem = Problem::from(error);
        match id {
            Some(id) if problem.code == "order_exists" => problem.with("order", id.as_str()),
            _ => problem,
        }
    })
}

/// The order with an id from a path.
///
/// # Errors
/// 404 when there is none.
pub fn find(gateway: &Gateway, id: &str) -> Result<Arc<Order>, Problem> {
    let unknown = || Problem::not_found("order", id);
    let id: OrderId = id.parse().map_err(|_| unknown())?;
    gateway.consign.order(&id)?.ok_or_else(unknown)
}

/// An order.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", params(("id" = String, Path)),
    responses(
        (status = 200, body = OrderBody<'static>),
        (status = 304, description = "The client has this version"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let order = find(&gateway, &id)?;
    answer::read(&headers, order.version, || OrderBody::of(&order))
}

/// The order after a change: with `status`, or 202 while what the change began still goes on.
///
/// # Errors
/// Never in practice, see [`answer::json`].
pub fn changed(outcome: &OrderOutcome, status: StatusCode) -> Result<Response, Problem> {
    let order = &outcome.order;
    let status = settled_status(outcome, status);
    let response = answer::versioned(status, order.version, &OrderBody::of(order))?;
    Ok(answer::replayed(response, outcome.replayed))
}

/// `status`, or 202 when the outcome is still to come.
#[must_use]
pub fn settled_status(outcome: &OrderOutcome, status: StatusCode) -> StatusCode {
    if outcome.settled {
        status
    } else {
        StatusCode::ACCEPTED
    }
}
