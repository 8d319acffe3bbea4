//! Lists about orders: orders by filter, an order's history, its sourcing decisions.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::CompactString;
use consign_orchestrator::OrderFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::render::OrderBody;
use super::routes::find;
use crate::answer::{self, Answered};
use crate::blocking::blocking;
use crate::events::{EventBody, recorded};
use crate::gateway::Gateway;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody};
use crate::time_text::{self, TimeText};

/// Which orders.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrdersQuery {
    /// `placed`, `sourcing`, `backordered`, `allocated`, `in_fulfillment`, `completed`, `cancelled`.
    #[param(value_type = Option<String>)]
    status: Option<CompactString>,
    /// A channel.
    #[param(value_type = Option<String>)]
    channel: Option<CompactString>,
    /// A customer's pseudonym.
    #[param(value_type = Option<String>)]
    customer: Option<CompactString>,
    /// The channel's own name; needs `channel`.
    #[param(value_type = Option<String>)]
    external_id: Option<CompactString>,
    /// Placed then or later, RFC 3339.
    #[param(value_type = Option<String>)]
    since: Option<CompactString>,
    /// `true`: waits until somebody releases it; `false`: does not.
    #[param(value_type = Option<bool>)]
    parked: Option<CompactString>,
    /// Items at most, 1 to 500; 50 if left out.
    #[param(value_type = Option<u32>)]
    limit: Option<CompactString>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CompactString>,
}

impl OrdersQuery {
    fn filter(&self) -> Result<OrderFilter, Problem> {
        let since = self.since.as_deref().map(|text| {
            // In a query string a plus sign stands for a space.
            time_text::parse(&text.replace(' ', "+"))
                .ok_or_else(|| Problem::query("since", "must be an RFC 3339 time with offset"))
        });
        if self.external_id.is_some() && self.channel.is_none() {
            return Err(Problem::query(
                "external_id",
                "needs `channel`, which it is unique in",
            ));
        }
        let parked = match self.parked.as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Problem::query("parked", "must be `true` or `false`")),
        };
        Ok(OrderFilter {
            parked,
            status: paging::one_of("status", self.status.as_deref())?,
            channel: paging::id("channel", self.channel.as_deref())?,
            customer: self.customer.clone(),
            external_id: self.external_id.clone(),
            since: since.transpose()?,
        })
    }
}

/// A page of orders.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OrdersPage)]
pub struct OrdersBody<'a> {
    orders: Vec<OrderBody<'a>>,
    next_cursor: Option<String>,
}

/// Orders by time of placing.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", params(OrdersQuery), responses(
    (status = 200, body = OrdersBody<'static>),
    (status = 400, description = "`invalid_query`, `cursor_invalid`", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(State(gateway): State<Gateway>, Asked(query): Asked<OrdersQuery>) -> Answered {
    let filter = query.filter()?;
    let limit = paging::limit(query.limit.as_deref())?;
    let page = blocking(gateway.consign.threads(), move || {
        gateway
            .consign
            .orders(&filter, query.cursor.as_deref(), limit)
    })
    .await?;
    let orders = page
        .items
        .iter()
        .map(|order| OrderBody::of(order))
        .collect();
    answer::json(
        StatusCode::OK,
        &OrdersBody {
            orders,
            next_cursor: page.next_cursor,
        },
    )
}

/// A page of an order's history.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OrderHistory)]
pub struct HistoryBody {
    order: String,
    events: Vec<EventBody>,
    next_cursor: Option<String>,
}

/// Everything that happened to an order, oldest first.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = HistoryBody),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn history(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Answered {
    let order = find(&gateway, &id)?;
    let limit = page.limit()?;
    let after: u64 = page.after('h')?.unwrap_or(0);
    let id = order.id.clone();
    let items = blocking(gateway.consign.threads(), move || {
        gateway.consign.history(&id, after, limit)
    })
    .await?;
    let next_cursor = (items.len() >= limit).then(|| items.last()).flatten();
    let next_cursor = next_cursor.map(|item| paging::encode('h', &item.version.to_string()));
    let mut events = Vec::with_capacity(items.len());
    for item in &items {
        events.push(recorded(None, item.version, &item.stamp, &item.event)?);
    }
    answer::json(
        StatusCode::OK,
        &HistoryBody {
            order: order.id.to_string(),
            events,
            next_cursor,
        },
    )
}

/// An order's sourcing decisions.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OrderExplanation)]
pub struct ExplanationBody {
    order: String,
    decisions: Vec<DecisionBody>,
}

/// A sourcing decision: inputs, every candidate and its fate, the plan.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SourcingDecision)]
pub struct DecisionBody {
    round: u32,
    #[schema(value_type = String)]
    decided_at: TimeText,
    /// Which version of the strategy decided; 0 is built in.
    strategy: u32,
    /// Whether what was recomputed is what was decided then.
    repeats: bool,
    /// For people.
    text: String,
    /// Which location each ordinal in the explanation stands for.
    locations: BTreeMap<u32, String>,
    explanation: Value,
}

/// Why an order is served from where it is (L9).
#[utoipa::path(get, path = "/v1/orders/{id}/explanation", tag = "orders", params(("id" = String, Path)),
    responses((status = 200, body = ExplanationBody),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn explanation(State(gateway): State<Gateway>, Path(id): Path<String>) -> Answered {
    let order = find(&gateway, &id)?;
    let id = order.id.clone();
    let found = blocking(gateway.consign.threads(), move || {
        gateway.consign.explanation(&id)
    })
    .await?;
    let mut decisions = Vec::with_capacity(found.len());
    for decision in found {
        let explanation =
            serde_json::to_value(&decision.explanation).map_err(crate::events::unwritable)?;
        decisions.push(DecisionBody {
            round: decision.round,
            decided_at: TimeText(decision.decided_at),
            strategy: decision.strategy,
            repeats: decision.repeats,
            text: decision.text,
            locations: decision
                .locations
                .into_iter()
                .map(|(n, id)| (n, id.to_string()))
                .collect(),
            explanation,
        });
    }
    answer::json(
        StatusCode::OK,
        &ExplanationBody {
            order: order.id.to_string(),
            decisions,
        },
    )
}
