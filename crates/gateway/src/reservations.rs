//! Carts that are held for a while: made, read, let go. An order gets what is held by naming it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::CompactString;
use consign_domain::ids::ReservationId;
use consign_domain::order::SplitPolicy;
use consign_domain::reservation::{
    CartLine, HOLD_SECONDS_MAX, LineHold, Reservation, ReservationStatus,
};
use consign_orchestrator::{NewReservation, ReservationOutcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::availability::{CartDto, CartLineDto, PlaceDto, parse};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::orders::dto::SplitDto;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// How long a cart is held that does not say.
const HOLD_SECONDS_DEFAULT: u32 = 900;

/// A cart to be held: what `POST /v1/availability/cart` takes, and for how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveDto {
    /// Where the order will come from; `web` if left out.
    #[schema(value_type = Option<String>)]
    channel: Option<CompactString>,
    /// The retailer's own word for the order.
    #[schema(value_type = Option<String>)]
    order_type: Option<CompactString>,
    /// The customer's group.
    #[schema(value_type = Option<String>)]
    customer_group: Option<CompactString>,
    /// `standard` if left out.
    #[schema(value_type = Option<String>)]
    service_level: Option<CompactString>,
    /// Where to.
    ship_to: PlaceDto,
    /// May it be split?
    #[schema(value_type = Option<SplitDto>)]
    split: Option<SplitPolicy>,
    /// ISO 4217; needed where lines name prices.
    #[schema(value_type = Option<String>, example = "GBP")]
    currency: Option<CompactString>,
    /// 1 to 2,000 lines.
    lines: Vec<CartLineDto>,
    /// For how long, 1 to 86,400 seconds; 900 if left out.
    #[schema(example = 900)]
    hold_seconds: Option<u32>,
    /// Whether less than all is welcome, of a cart that may be split.
    #[serde(default)]
    partial: bool,
}

/// A cart that is held, or was.
#[derive(Serialize, ToSchema)]
#[schema(as = Reservation)]
pub struct ReservationBody<'a> {
    id: &'a str,
    /// `holding` while locations are asked; `held`; then `consumed` by an order, `released` or
    /// `expired`; `failed` when it could not be had.
    status: &'static str,
    /// When it ends by itself.
    #[schema(value_type = String)]
    expires_at: TimeText,
    /// The order that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a str>,
    /// By line of the cart.
    lines: Vec<ReservedLineBody<'a>>,
}

/// What is held of a cart's line.
#[derive(Serialize, ToSchema)]
#[schema(as = ReservedLine)]
struct ReservedLineBody<'a> {
    /// Index of the cart's line, from 0.
    line: u32,
    sku: &'a str,
    /// Units asked for.
    quantity: u32,
    /// Where units of it are held; nothing where nothing has to be in stock.
    from: Vec<ReservedFromBody<'a>>,
}

/// Units at a location.
#[derive(Serialize, ToSchema)]
#[schema(as = ReservedFrom)]
struct ReservedFromBody<'a> {
    location: &'a str,
    quantity: u32,
}

impl<'a> ReservationBody<'a> {
    fn of(reservation: &'a Reservation) -> ReservationBody<'a> {
        let from = |hold: &'a LineHold| ReservedFromBody {
            location: hold.location.as_str(),
            quantity: hold.units,
        };
        let is_over = matches!(
            reservation.status,
            ReservationStatus::Expired | ReservationStatus::Released | ReservationStatus::Failed
        );
        let line = |(nth, line): (u32, &'a CartLine)| ReservedLineBody {
            line: nth,
            sku: line.sku.as_str(),
            quantity: line.quantity,
            from: reservation
                .kept(nth)
                .filter(|_| !is_over)
                .map(from)
                .collect(),
        };
        ReservationBody {
            id: reservation.id.as_str(),
            status: reservation.status.name(),
            expires_at: TimeText(reservation.expires_at),
            order: reservation.order.as_ref().map(|order| order.as_str()),
            lines: (0_u32..).zip(reservation.lines.iter()).map(line).collect(),
        }
    }
}

/// 409: what nobody had of each line.
fn insufficient(reservation: &Reservation) -> Problem {
    let line = |(nth, units): &(u32, u32)| -> Option<Value> {
        let line = reservation.lines.get(*nth as usize)?;
        Some(
            json!({"line": nth, "sku": line.sku.as_str(), "quantity": line.quantity, "short": units}),
        )
    };
    let short: Vec<Value> = reservation.short.iter().filter_map(line).collect();
    Problem::new(
        StatusCode::CONFLICT,
        "insufficient_stock",
        "not all of the cart can be had now, so nothing is held; ask for less, or for `partial`",
    )
    .with("reservation", reservation.id.as_str())
    .with("short", short)
}

fn unknown(id: &str) -> Problem {
    Problem::not_found("reservation", id)
}

/// Holds a cart at the locations that would serve it now, all of it or nothing.
#[utoipa::path(post, path = "/v1/reservations", tag = "reservations", request_body = ReserveDto,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names the command, so that sending it again does nothing twice; remembered for 24 h"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 as soon as the reservation is durable")),
    responses(
        (status = 201, description = "Held", body = ReservationBody<'static>),
        (status = 202, description = "Locations are still asked", body = ReservationBody<'static>),
        (status = 409, description = "`insufficient_stock` with what is `short` by line; `idempotency_key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`busy`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn hold(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<ReserveDto>,
) -> Answered {
    let mut faults = Faults::default();
    let hold_seconds = body.hold_seconds.unwrap_or(HOLD_SECONDS_DEFAULT);
    let seconds_at = At::Root.field("hold_seconds");
    faults.range(&seconds_at, hold_seconds, 1, HOLD_SECONDS_MAX);
    let partial = body.partial;
    if partial && body.split.unwrap_or_default() != SplitPolicy::Allow {
        let detail = "a cart that must be whole is held whole; allow a split, or ask for all";
        faults.add(&At::Root.field("partial"), "invalid_value", detail);
    }
    let cart = CartDto {
        channel: body.channel,
        order_type: body.order_type,
        customer_group: body.customer_group,
        service_level: body.service_level,
        ship_to: body.ship_to,
        split: body.split,
        currency: body.currency,
        lines: body.lines,
    };
    let (cart, shopper) = parse(cart, faults)?;
    let new = NewReservation {
        cart,
        shopper,
        hold_seconds,
        partial,
    };
    let outcome = gateway.consign.hold_cart(new, call).await?;
    let reservation = &outcome.reservation;
    let response = match reservation.status {
        ReservationStatus::Failed => return Err(insufficient(reservation)),
        ReservationStatus::Holding => shown(&outcome, StatusCode::ACCEPTED)?,
        _ => shown(&outcome, StatusCode::CREATED)?,
    };
    let path = format!("/v1/reservations/{}", reservation.id);
    Ok(answer::located(response, &path))
}

fn shown(outcome: &ReservationOutcome, status: StatusCode) -> Answered {
    let reservation = &outcome.reservation;
    let body = ReservationBody::of(reservation);
    let response = answer::versioned(status, reservation.version, &body)?;
    Ok(answer::replayed(response, outcome.replayed))
}

/// A reservation.
#[utoipa::path(get, path = "/v1/reservations/{id}", tag = "reservations", params(("id" = String, Path)),
    responses(
        (status = 200, body = ReservationBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(State(gateway): State<Gateway>, Path(id): Path<String>) -> Answered {
    let name: ReservationId = id.parse().map_err(|_| unknown(&id))?;
    let reservation = gateway.consign.reservation(&name)?;
    let body = ReservationBody::of(&reservation);
    answer::versioned(StatusCode::OK, reservation.version, &body)
}

/// What comes with a release: nothing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseDto {}

/// Lets a reservation go. One that has come to its end already stays as it is.
#[utoipa::path(delete, path = "/v1/reservations/{id}", tag = "reservations", params(("id" = String, Path)),
    responses(
        (status = 200, description = "Nothing is held for it any more, unless an order has it", body = ReservationBody<'static>),
        (status = 202, description = "Locations are still told", body = ReservationBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn release(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<ReleaseDto>,
) -> Answered {
    let ReleaseDto {} = body;
    let name: ReservationId = id.parse().map_err(|_| unknown(&id))?;
    let outcome = gateway.consign.release_reservation(&name, call).await?;
    let status = if outcome.settled {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    shown(&outcome, status)
}
