//! SKUs that a location is not asked for, over HTTP: listed, blocked for a set time, lifted.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::CompactString;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::time::Timestamp;
use consign_orchestrator::CallMeta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::locations::location_of;
use crate::orders::changes::dated;
use crate::orders::dto::Nothing;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// How long a SKU is blocked.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SetBlock)]
#[serde(deny_unknown_fields)]
pub struct BlockDto {
    /// When it ends by itself; at most 366 days ahead. A count, a receipt or an adjustment ends it
    /// earlier.
    #[schema(value_type = String)]
    until: CompactString,
}

/// A SKU that a location is not asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Block)]
pub struct BlockBody<'a> {
    sku: &'a str,
    #[schema(value_type = String)]
    since: TimeText,
    #[schema(value_type = String)]
    until: TimeText,
}

/// What was set.
#[derive(Serialize, ToSchema)]
#[schema(as = BlockSet)]
pub struct BlockSetBody<'a> {
    location: &'a str,
    sku: &'a str,
    /// When the block ends by itself; `null` when there is none any more.
    #[schema(value_type = Option<String>)]
    until: Option<TimeText>,
}

/// A page of what is blocked at a location.
#[derive(Serialize, ToSchema)]
#[schema(as = BlocksPage)]
pub struct BlocksBody<'a> {
    location: &'a str,
    blocks: Vec<BlockBody<'a>>,
    next_cursor: Option<String>,
}

fn place_of(id: &str, sku: &str) -> Result<(LocationId, Sku), Problem> {
    let sku = sku
        .parse()
        .map_err(|_| Problem::not_found("product", sku))?;
    Ok((location_of(id)?, sku))
}

/// What is blocked at a location, by SKU.
#[utoipa::path(get, path = "/v1/locations/{id}/blocks", tag = "inventory", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = BlocksBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Answered {
    let location = location_of(&id)?;
    let limit = page.limit()?;
    let after: Option<Sku> = page.after('b')?;
    let found = gateway.consign.blocks(&location, after.as_ref(), limit)?;
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::json(
        StatusCode::OK,
        &BlocksBody {
            location: location.as_str(),
            blocks: found
                .iter()
                .map(|(sku, block)| BlockBody {
                    sku: sku.as_str(),
                    since: TimeText(block.since),
                    until: TimeText(block.until),
                })
                .collect(),
            next_cursor: last.map(|(sku, _)| paging::encode('b', sku.as_str())),
        },
    )
}

/// Blocks a SKU at a location: nothing more of it is granted there.
#[utoipa::path(put, path = "/v1/locations/{id}/blocks/{sku}", tag = "inventory",
    params(("id" = String, Path), ("sku" = String, Path)), request_body = BlockDto, responses(
        (status = 200, body = BlockSetBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put(
    State(gateway): State<Gateway>,
    Path((id, sku)): Path<(String, String)>,
    Submission { body, call }: Submission<BlockDto>,
) -> Answered {
    let (location, sku) = place_of(&id, &sku)?;
    let mut faults = Faults::default();
    let until = faults.time(&At::Root.field("until"), &body.until);
    let until = faults.finish(until)?;
    set(&gateway, &location, &sku, Some(until), call).await
}

/// Lifts a block.
#[utoipa::path(delete, path = "/v1/locations/{id}/blocks/{sku}", tag = "inventory",
    params(("id" = String, Path), ("sku" = String, Path)), responses(
        (status = 200, body = BlockSetBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn delete(
    State(gateway): State<Gateway>,
    Path((id, sku)): Path<(String, String)>,
    Submission { body, call }: Submission<Nothing>,
) -> Answered {
    let (location, sku) = place_of(&id, &sku)?;
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    faults.finish(Some(()))?;
    set(&gateway, &location, &sku, None, call).await
}

async fn set(
    gateway: &Gateway,
    location: &LocationId,
    sku: &Sku,
    until: Option<Timestamp>,
    call: CallMeta,
) -> Answered {
    let consign = &gateway.consign;
    let replayed = consign
        .set_block(location.clone(), sku.clone(), until, call)
        .await?;
    let body = BlockSetBody {
        location: location.as_str(),
        sku: sku.as_str(),
        until: until.map(TimeText),
    };
    Ok(answer::replayed(
        answer::json(StatusCode::OK, &body)?,
        replayed,
    ))
}
