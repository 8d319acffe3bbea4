//! Sourcing strategies over HTTP: drafted, activated, rolled back.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use consign_orchestrator::{Strategy, StrategyChange, StrategyHead, StrategyStands};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::gateway::Gateway;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// A version of the strategy, without what it says.
#[derive(Serialize, ToSchema)]
#[schema(as = StrategyHead)]
pub struct StrategyHeadBody {
    /// From 1, in the order in which they were drafted; 0 is built in.
    version: u32,
    name: String,
    /// Whether it decides.
    active: bool,
    #[schema(value_type = Option<String>)]
    active_since: Option<TimeText>,
    #[schema(value_type = Option<String>)]
    drafted_at: Option<TimeText>,
    drafted_by: String,
}

impl StrategyHeadBody {
    fn of(head: &StrategyHead) -> StrategyHeadBody {
        StrategyHeadBody {
            version: head.number,
            name: head.name.to_string(),
            active: head.is_active,
            active_since: head.active_since.map(TimeText),
            drafted_at: head.drafted_at.map(TimeText),
            drafted_by: head.drafted_by.to_string(),
        }
    }
}

/// A version of the strategy.
#[derive(Serialize, ToSchema)]
#[schema(as = StrategyVersion)]
pub struct StrategyBody {
    #[serde(flatten)]
    head: StrategyHeadBody,
    /// What it says, as it was drafted, with what was left out filled in.
    strategy: Value,
}

impl StrategyBody {
    fn of(stands: &StrategyStands) -> Result<StrategyBody, Problem> {
        Ok(StrategyBody {
            head: StrategyHeadBody::of(&stands.head),
            strategy: serde_json::to_value(&stands.strategy).map_err(crate::events::unwritable)?,
        })
    }
}

/// A page of versions of the strategy.
#[derive(Serialize, ToSchema)]
#[schema(as = StrategiesPage)]
pub struct StrategiesBody {
    /// Newest first.
    strategies: Vec<StrategyHeadBody>,
    next_cursor: Option<String>,
}

/// Nothing more to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

pub(crate) fn number_of(version: &str) -> Result<u32, Problem> {
    let number = version.parse();
    number.map_err(|_| Problem::not_found("strategy", version))
}

fn changed(status: StatusCode, change: &StrategyChange) -> Answered {
    let stands = &change.stands;
    let response = answer::versioned(status, stands.head.revision, &StrategyBody::of(stands)?)?;
    Ok(answer::replayed(response, change.replayed))
}

/// Drafts a strategy: checks it, and keeps it as the next version. `docs/sourcing.md` says what a strategy is.
#[utoipa::path(post, path = "/v1/strategies", tag = "strategies", params(("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    request_body = Object, responses((status = 201, body = StrategyBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Names the place of what is wrong, and why", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn draft(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<Strategy>,
) -> Answered {
    let drafted = gateway.consign.draft_strategy(&body, call).await?;
    let path = format!("/v1/strategies/{}", drafted.stands.head.number);
    Ok(answer::located(
        changed(StatusCode::CREATED, &drafted)?,
        &path,
    ))
}

/// Lets a version decide from now on, on every node; 0 is the one that is built in.
#[utoipa::path(post, path = "/v1/strategies/{version}/activate", tag = "strategies", params(("version" = u32, Path),
    ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = StrategyBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn activate(
    State(gateway): State<Gateway>,
    Path(version): Path<String>,
    Submission { call, .. }: Submission<Empty>,
) -> Answered {
    let number = number_of(&version)?;
    let activated = gateway.consign.activate_strategy(number, call).await?;
    changed(StatusCode::OK, &activated)
}

/// Lets the version decide again that did before the last activation.
#[utoipa::path(post, path = "/v1/strategies/rollback", tag = "strategies",
    params(("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = StrategyBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn roll_back(
    State(gateway): State<Gateway>,
    Submission { call, .. }: Submission<Empty>,
) -> Answered {
    let rolled_back = gateway.consign.roll_back_strategy(call).await?;
    changed(StatusCode::OK, &rolled_back)
}

/// A version of the strategy.
#[utoipa::path(get, path = "/v1/strategies/{version}", tag = "strategies", params(("version" = u32, Path)),
    responses((status = 200, body = StrategyBody),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let stands = gateway.consign.strategy(number_of(&version)?)?;
    let body = StrategyBody::of(&stands)?;
    answer::read(&headers, stands.head.revision, || body)
}

/// Versions of the strategy, newest first.
#[utoipa::path(get, path = "/v1/strategies", tag = "strategies", params(PageQuery),
    responses((status = 200, body = StrategiesBody)))]
pub async fn list(State(gateway): State<Gateway>, Asked(page): Asked<PageQuery>) -> Answered {
    let limit = page.limit()?;
    let found = gateway.consign.strategy_heads(page.after('s')?, limit);
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::json(
        StatusCode::OK,
        &StrategiesBody {
            strategies: found.iter().map(StrategyHeadBody::of).collect(),
            next_cursor: last.map(|head| paging::encode('s', &head.number.to_string())),
        },
    )
}
