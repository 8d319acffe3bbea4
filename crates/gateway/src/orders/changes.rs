//! Changing an order that stands: cancel, amend, hold, release.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::{CompactString, ToCompactString};
use consign_domain::ids::FulfillmentOrderId;
use consign_domain::order::{Amendment, CancelScope, HoldScope, LineQuantity, Order, OrderCommand};
use consign_orchestrator::CallMeta;

use super::dto::{AmendDto, CancelDto, HoldDto, HoldScopeDto, Nothing};
use super::line_name::line_index;
use super::parse::{address, destination, line};
use super::render::OrderBody;
use super::routes::{changed, find};
use crate::answer::{self, Answered};
use crate::fields::{At, CODE_BYTES_MAX, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// The call with the client's `occurred_at`, if the body has one.
pub fn dated(faults: &mut Faults, call: CallMeta, occurred_at: Option<&CompactString>) -> CallMeta {
    let occurred_at = faults.time_if(&At::Root.field("occurred_at"), occurred_at);
    CallMeta {
        occurred_at,
        ..call
    }
}

/// Cancels what has not been picked: the order, some lines, or some units.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", params(("id" = String, Path)),
    request_body = CancelDto, responses(
        (status = 200, body = OrderBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`too_late`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn cancel(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<CancelDto>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.text(&At::Root.field("reason"), &body.reason, TEXT_BYTES_MAX);
    let scope = cancel_scope(&mut faults, &order, &body);
    let scope = faults.finish(Some(scope))?;
    let command = OrderCommand::Cancel {
        scope,
        reason: body.reason,
    };
    changed(
        &gateway.consign.command(&order.id, command, call).await?,
        StatusCode::OK,
    )
}

fn cancel_scope(faults: &mut Faults, order: &Order, body: &CancelDto) -> CancelScope {
    let Some(lines) = &body.lines else {
        return CancelScope::Order;
    };
    let at = At::Root.field("lines");
    if lines.is_empty() {
        faults.add(
            &at,
            "empty",
            "name at least one line, or leave the field out to cancel the order",
        );
    }
    let mut wanted = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let place = at.index(index);
        if line.quantity == Some(0) {
            faults.add(
                &place.field("quantity"),
                "out_of_range",
                "must be at least 1; leave it out for all of the line",
            );
        }
        if let Some(index) = line_index(faults, &place.field("line"), order, &line.line) {
            wanted.push(LineQuantity {
                line: index,
                quantity: line.quantity.unwrap_or(0),
            });
        }
    }
    CancelScope::Lines(wanted)
}

/// Cancels an order by its channel's name for it. When it has not arrived yet, it will be born cancelled.
#[utoipa::path(post, path = "/v1/channels/{channel}/orders/{external_id}/cancel", tag = "orders",
    params(("channel" = String, Path), ("external_id" = String, Path)), request_body = CancelDto,
    responses((status = 200, body = OrderBody<'static>)))]
pub async fn cancel_external(
    State(gateway): State<Gateway>,
    Path((channel, external_id)): Path<(String, String)>,
    Submission { body, call }: Submission<CancelDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.text(&root.field("reason"), &body.reason, TEXT_BYTES_MAX);
    if body.lines.is_some() {
        faults.add(
            &root.field("lines"),
            "not_allowed",
            "by external id an order is cancelled as a whole",
        );
    }
    faults.text(&root.field("external_id"), &external_id, CODE_BYTES_MAX * 4);
    let channel = faults.id(&root.field("channel"), &channel);
    let channel = faults.finish(channel)?;
    let outcome = gateway
        .consign
        .cancel_external(channel, &external_id, body.reason, call)
        .await?;
    changed(&outcome, StatusCode::OK)
}

/// Changes an order, all or nothing.
#[utoipa::path(post, path = "/v1/orders/{id}/amendments", tag = "orders", params(("id" = String, Path)),
    request_body = AmendDto, responses(
        (status = 200, body = OrderBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`too_late`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn amend(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<AmendDto>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let currency = order.header.as_ref().map(|header| header.currency);
    let mut add = Vec::with_capacity(body.add_lines.len());
    let adds_at = root.field("add_lines");
    for (index, dto) in body.add_lines.into_iter().enumerate() {
        let position = (order.lines.len() + index + 1).to_compact_string();
        add.extend(line(
            &mut faults,
            &adds_at.index(index),
            dto,
            position,
            currency,
        ));
    }
    let mut amendments = Vec::new();
    // Where each amendment stands in the body, for what the order finds wrong with it.
    let mut places: Vec<String> = (0..add.len())
        .map(|index| format!("/add_lines/{index}"))
        .collect();
    let lines_at = root.field("lines");
    for (index, dto) in body.lines.into_iter().enumerate() {
        let place = lines_at.index(index);
        let Some(line) = line_index(&mut faults, &place.field("line"), &order, &dto.line) else {
            continue;
        };
        if dto.quantity.is_none() && dto.unit_price.is_none() {
            faults.add(
                &place,
                "empty",
                "give a `quantity`, a `unit_price`, or both",
            );
        }
        if let Some(quantity) = dto.quantity {
            amendments.push(Amendment::SetQuantity { line, quantity });
            places.push(place.to_string());
        }
        if let Some(text) = dto.unit_price {
            let unit_price = faults.unit_price(&place.field("unit_price"), &text.0);
            amendments
                .extend(unit_price.map(|unit_price| Amendment::SetPrice { line, unit_price }));
            places.push(place.to_string());
        }
    }
    if let Some(dto) = body.ship_to {
        let address = address(&mut faults, &root.field("ship_to"), dto);
        amendments.push(Amendment::SetAddress {
            destination: destination(&address),
            address,
        });
    }
    if let Some(level) = body.service_level {
        faults.text(&root.field("service_level"), &level, CODE_BYTES_MAX);
        amendments.push(Amendment::SetServiceLevel(level));
    }
    if add.is_empty() && amendments.is_empty() && faults.is_empty() {
        faults.add(&root, "empty", "there is nothing to amend");
    }
    let (add, amendments) = faults.finish(Some((add, amendments)))?;
    let amended = gateway
        .consign
        .amend(&order.id, add, amendments, call)
        .await;
    let outcome = amended.map_err(|error| in_the_body(error.into(), &places))?;
    changed(&outcome, StatusCode::OK)
}

/// A problem that names amendments by their number, with the body's own pointers in their place.
fn in_the_body(mut problem: Problem, places: &[String]) -> Problem {
    for error in &mut problem.errors {
        let Some(rest) = error.pointer.strip_prefix("/amendments/") else {
            continue;
        };
        let (number, member) = rest.split_once('/').unwrap_or((rest, ""));
        let place = number.parse().ok().and_then(|n: usize| places.get(n));
        let place = place.map_or("", String::as_str);
        // The order knows an added line as the amendment's member `line`.
        let member = match member.strip_prefix("line") {
            Some(of_line) if place.starts_with("/add_lines/") => of_line.trim_start_matches('/'),
            _ => member,
        };
        error.pointer = match member {
            "" => place.to_owned(),
            member => format!("{place}/{member}"),
        };
    }
    if !problem.errors.is_empty() {
        problem.detail = Problem::validation(problem.errors.clone()).detail;
    }
    problem
}

/// Lays a hold over an order, a fulfillment order or a line. Reservations stay.
#[utoipa::path(post, path = "/v1/orders/{id}/holds", tag = "orders", params(("id" = String, Path)),
    request_body = HoldDto, responses(
        (status = 201, body = OrderBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn hold(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<HoldDto>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let scope = hold_scope(&mut faults, &order, &body.scope);
    let scope = faults.finish(scope)?;
    let command = OrderCommand::PlaceHold {
        reason: body.reason,
        scope,
    };
    let outcome = gateway.consign.command(&order.id, command, call).await?;
    let response = changed(&outcome, StatusCode::CREATED)?;
    let hold = outcome.reply.numbers.first().copied().unwrap_or_default();
    Ok(answer::located(
        response,
        &format!("/v1/orders/{}/holds/{hold}", order.id),
    ))
}

fn hold_scope(faults: &mut Faults, order: &Order, dto: &HoldScopeDto) -> Option<HoldScope> {
    let at = At::Root;
    let at = at.field("scope");
    match (&dto.fulfillment_order, &dto.line) {
        (None, None) => Some(HoldScope::Order),
        (None, Some(line)) => {
            line_index(faults, &at.field("line"), order, line).map(HoldScope::Line)
        }
        (Some(id), None) => {
            let known = |id: &FulfillmentOrderId| {
                id.order == order.id && order.fulfillment_order(id.number).is_some()
            };
            let found: Option<FulfillmentOrderId> = id.parse().ok().filter(known);
            if found.is_none() {
                let detail = "the order has no such fulfillment order";
                faults.add(
                    &at.field("fulfillment_order"),
                    "unknown_fulfillment_order",
                    detail,
                );
            }
            found.map(|id| HoldScope::FulfillmentOrder(id.number))
        }
        (Some(_), Some(_)) => {
            faults.add(
                &at,
                "invalid_value",
                "name a fulfillment order or a line, not both",
            );
            None
        }
    }
}

/// Lifts a hold.
#[utoipa::path(delete, path = "/v1/orders/{id}/holds/{hold}", tag = "orders",
    params(("id" = String, Path), ("hold" = String, Path)), responses(
        (status = 200, body = OrderBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn release_hold(
    State(gateway): State<Gateway>,
    Path((id, hold)): Path<(String, String)>,
    Submission { body, call }: Submission<Nothing>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.finish(Some(()))?;
    let number: u32 = hold
        .parse()
        .map_err(|_| Problem::not_found("hold", &hold))?;
    let command = OrderCommand::ReleaseHold { hold: number };
    changed(
        &gateway.consign.command(&order.id, command, call).await?,
        StatusCode::OK,
    )
}
