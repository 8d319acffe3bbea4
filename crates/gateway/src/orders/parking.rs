//! Parked orders over HTTP: released one by one, or all in their order.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::CompactString;
use consign_domain::order::{Order, OrderCommand, OrderStatus};
use consign_orchestrator::WaveFigures;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::dated;
use super::dto::Nothing;
use super::render::OrderBody;
use super::routes::{changed, find};
use crate::answer::{self, Answered};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::limits::PAGE_ITEMS_MAX;
use crate::problem::ProblemBody;
use crate::submission::Submission;

/// Orders that one request releases, if it does not say.
const RELEASED_DEFAULT: usize = 100;

/// Which parked orders are to be released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseParkedDto {
    /// Orders at most, 1 to 500; 100 if left out.
    pub limit: Option<u32>,
    /// `next_cursor` of the answer before; from the oldest if left out.
    #[schema(value_type = Option<String>)]
    pub cursor: Option<CompactString>,
    /// Whether they are sourced together, under the stock and room that they share, instead of one
    /// after another.
    pub together: Option<bool>,
}

/// Orders that were released, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ReleasedOrders)]
pub struct ReleasedBody<'a> {
    orders: Vec<ReleasedOrderBody<'a>>,
    /// There are more; send it to go on behind these.
    next_cursor: Option<String>,
    /// What they came to, if they were sourced together.
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<WaveBody>,
}

/// What orders came to that were sourced together. Costs are by the active strategy's weights, in minor units.
#[derive(Serialize, ToSchema)]
#[schema(as = Wave)]
pub struct WaveBody {
    /// Units that nobody serves.
    units_short: u64,
    cost: i64,
    /// Had they been sourced one by one.
    units_short_one_by_one: u64,
    cost_one_by_one: i64,
    /// What no plans of all of them cost less than, where that is known.
    cost_at_least: Option<i64>,
}

impl WaveBody {
    fn of(figures: &WaveFigures) -> WaveBody {
        WaveBody {
            units_short: figures.short,
            cost: figures.cost,
            units_short_one_by_one: figures.short_one_by_one,
            cost_one_by_one: figures.cost_one_by_one,
            cost_at_least: figures.bound,
        }
    }
}

/// What became of an order that was released.
#[derive(Serialize, ToSchema)]
#[schema(as = ReleasedOrder)]
pub struct ReleasedOrderBody<'a> {
    #[schema(value_type = String)]
    id: &'a str,
    #[schema(value_type = String, example = "allocated")]
    status: OrderStatus,
    /// Whether it was parked again, because there is still nothing for it.
    parked: bool,
}

impl<'a> ReleasedOrderBody<'a> {
    fn of(order: &'a Order) -> ReleasedOrderBody<'a> {
        ReleasedOrderBody {
            id: order.id.as_str(),
            status: order.status,
            parked: order.is_parked(),
        }
    }
}

/// Has a parked order sourced again; one that is not parked stays as it is.
#[utoipa::path(post, path = "/v1/orders/{id}/release-parking", tag = "orders", params(("id" = String, Path)),
    request_body = Nothing, responses(
        (status = 200, body = OrderBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn release(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<Nothing>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.finish(Some(()))?;
    let command = OrderCommand::ReleaseParking;
    changed(
        &gateway.consign.command(&order.id, command, call).await?,
        StatusCode::OK,
    )
}

/// Has parked orders sourced again, the oldest first: one after another, or together. Sent again, it goes on with
/// what is parked then.
#[utoipa::path(post, path = "/v1/orders/parked/release", tag = "orders", request_body = ReleaseParkedDto,
    responses(
        (status = 200, body = ReleasedBody<'static>),
        (status = 400, description = "`cursor_invalid`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`validation_failed`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn release_all(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<ReleaseParkedDto>,
) -> Answered {
    let mut faults = Faults::default();
    let limit = body.limit.map_or(RELEASED_DEFAULT, |limit| limit as usize);
    if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
        let detail = format!("must be a whole number from 1 to {PAGE_ITEMS_MAX}");
        faults.add(&At::Root.field("limit"), "out_of_range", &detail);
    }
    faults.finish(Some(()))?;
    let cursor = body.cursor.as_deref();
    let consign = &gateway.consign;
    let (orders, next_cursor, wave) = if body.together.unwrap_or_default() {
        let released = consign
            .release_parked_together(cursor, limit, &call)
            .await?;
        let wave = WaveBody::of(&released.figures);
        (released.orders, released.next_cursor, Some(wave))
    } else {
        let released = consign.release_parked(cursor, limit, &call).await?;
        (released.items, released.next_cursor, None)
    };
    let orders = orders.iter();
    answer::json(
        StatusCode::OK,
        &ReleasedBody {
            orders: orders.map(|order| ReleasedOrderBody::of(order)).collect(),
            next_cursor,
            wave,
        },
    )
}
