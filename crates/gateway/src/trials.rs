//! Trials of a version of the sourcing strategy over HTTP: in shadow, or on a share of orders.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use compact_str::CompactString;
use consign_domain::catalogue::{Guardrails, Trial, TrialMode, TrialOutcome};
use consign_orchestrator::{Arm, TrialChange, TrialFigures, TrialStands};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::strategies::{Empty, number_of};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// Decisions of both versions before a canary is judged, if nobody says.
const DECISIONS_MIN: u32 = 100;

/// On how many orders a version is tried, and until when it may go wrong.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Thousandths of orders, 1 to 999.
    #[schema(example = 50)]
    share_permille: u16,
    /// At least one.
    guardrails: GuardrailsDto,
}

/// What a canary may come to. What is left out is not watched.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Guardrails)]
pub struct GuardrailsDto {
    /// What a unit may cost, in thousandths of what it costs the active version.
    #[schema(example = 1_100)]
    cost_permille_max: Option<u32>,
    /// Decisions in a thousand that may come to more than one shipment.
    split_permille_max: Option<u32>,
    /// Reservations in a thousand that locations may refuse.
    refusal_permille_max: Option<u32>,
    /// Units in a thousand that may find no location.
    short_permille_max: Option<u32>,
    /// Microseconds that 99 of 100 decisions may take.
    decision_us_p99_max: Option<u32>,
    /// Decisions of both versions before anything is judged; 100 if left out.
    decisions_min: Option<u32>,
}

impl GuardrailsDto {
    fn into_guardrails(self) -> Guardrails {
        Guardrails {
            cost_permille_max: self.cost_permille_max,
            split_permille_max: self.split_permille_max,
            refusal_permille_max: self.refusal_permille_max,
            short_permille_max: self.short_permille_max,
            decision_us_p99_max: self.decision_us_p99_max,
            decisions_min: self.decisions_min.unwrap_or(DECISIONS_MIN),
        }
    }

    fn of(guardrails: &Guardrails) -> GuardrailsDto {
        GuardrailsDto {
            cost_permille_max: guardrails.cost_permille_max,
            split_permille_max: guardrails.split_permille_max,
            refusal_permille_max: guardrails.refusal_permille_max,
            short_permille_max: guardrails.short_permille_max,
            decision_us_p99_max: guardrails.decision_us_p99_max,
            decisions_min: Some(guardrails.decisions_min),
        }
    }
}

/// Why a trial is ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// For people, up to 500 bytes.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reason: Option<CompactString>,
}

/// A trial of a version of the strategy.
#[derive(Serialize, ToSchema)]
#[schema(as = Trial)]
pub struct TrialBody {
    /// Counts trials, from 1.
    trial: u32,
    /// The version that is tried.
    version: u32,
    /// The active version, with which it is compared.
    beside: u32,
    /// `shadow` or `canary`.
    mode: &'static str,
    /// Of a canary.
    share_permille: Option<u16>,
    /// Of a canary.
    guardrails: Option<GuardrailsDto>,
    running: bool,
    #[schema(value_type = String)]
    started_at: TimeText,
    started_by: String,
    /// `stopped` by somebody, `rolled_back` by a guardrail, `activated`, or `overtaken` by another version.
    outcome: Option<&'static str>,
    /// Why it ended, with the figures where a guardrail was broken.
    reason: Option<String>,
    #[schema(value_type = Option<String>)]
    ended_at: Option<TimeText>,
    ended_by: Option<String>,
    /// What the node that answers has counted since it runs.
    figures: Option<FiguresBody>,
}

/// What one node has counted of a trial.
#[derive(Serialize, ToSchema)]
#[schema(as = TrialFigures)]
pub struct FiguresBody {
    /// The node.
    node: u64,
    /// Of the version that is tried.
    tried: ArmBody,
    /// Of the active version; beside a shadow, of the same orders.
    active: ArmBody,
    /// Of a shadow: plans that are not those of the active version.
    differing: u64,
    /// Of a shadow: decisions that were too many or too large for it.
    passed_over: u64,
}

/// The figures of a version.
#[derive(Serialize, ToSchema)]
#[schema(as = TrialArm)]
pub struct ArmBody {
    /// Decisions, an order's later ones among them.
    decisions: u64,
    /// Those that came to more than one shipment.
    split: u64,
    /// Units that found a location.
    served: u64,
    /// Units that found none.
    short: u64,
    /// What a served unit costs, in minor units; both versions are weighed by the same strategy.
    cost_per_unit: Option<f64>,
    /// Reservations that locations granted.
    granted: u64,
    /// Reservations that locations refused for want of stock.
    refused: u64,
    /// Microseconds within which half of the decisions were made.
    decision_us_p50: u64,
    /// Microseconds within which 99 of 100 decisions were made.
    decision_us_p99: u64,
}

impl ArmBody {
    fn of(arm: &Arm) -> ArmBody {
        let tenths = arm.cost_per_unit_tenths();
        ArmBody {
            decisions: arm.decisions,
            split: arm.split,
            served: arm.served,
            short: arm.short,
            cost_per_unit: tenths.map(|tenths| tenths as f64 / 10.0),
            granted: arm.granted,
            refused: arm.refused,
            decision_us_p50: arm.micros_at(500),
            decision_us_p99: arm.micros_at(990),
        }
    }
}

impl TrialBody {
    fn of(trial: &Trial, figures: Option<&TrialFigures>) -> TrialBody {
        let (mode, canary) = match &trial.mode {
            TrialMode::Shadow => ("shadow", None),
            TrialMode::Canary {
                share_permille,
                guardrails,
            } => ("canary", Some((*share_permille, guardrails))),
        };
        let end = trial.end.as_ref();
        TrialBody {
            trial: trial.number,
            version: trial.version,
            beside: trial.beside,
            mode,
            share_permille: canary.map(|(share, _)| share),
            guardrails: canary.map(|(_, guardrails)| GuardrailsDto::of(guardrails)),
            running: end.is_none(),
            started_at: TimeText(trial.started_at),
            started_by: trial.started_by.to_string(),
            outcome: end.map(|end| match end.outcome {
                TrialOutcome::Stopped => "stopped",
                TrialOutcome::RolledBack => "rolled_back",
                TrialOutcome::Activated => "activated",
                TrialOutcome::Overtaken => "overtaken",
            }),
            reason: end.map(|end| end.reason.to_string()),
            ended_at: end.map(|end| TimeText(end.at)),
            ended_by: end.map(|end| end.by.to_string()),
            figures: figures.map(|figures| FiguresBody {
                node: figures.node,
                tried: ArmBody::of(&figures.tried),
                active: ArmBody::of(&figures.active),
                differing: figures.differing,
                passed_over: figures.passed_over,
            }),
        }
    }

    fn of_stands(stands: &TrialStands) -> TrialBody {
        TrialBody::of(&stands.trial, stands.figures.as_ref())
    }
}

/// The last trials.
#[derive(Serialize, ToSchema)]
#[schema(as = Trials)]
pub struct TrialsBody {
    /// Newest first, at most 50, the running one among them.
    trials: Vec<TrialBody>,
}

fn changed(status: StatusCode, change: &TrialChange) -> Answered {
    let response = answer::json(status, &TrialBody::of_stands(&change.stands))?;
    Ok(answer::replayed(response, change.replayed))
}

/// Lets a version decide about every order after the active one did, and counts what would have come of it.
#[utoipa::path(post, path = "/v1/strategies/{version}/shadow", tag = "strategies", params(("version" = u32, Path),
    ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 201, body = TrialBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is the active one, or another trial runs", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn shadow(
    State(gateway): State<Gateway>,
    Path(version): Path<String>,
    Submission { call, .. }: Submission<Empty>,
) -> Answered {
    let (number, mode) = (number_of(&version)?, TrialMode::Shadow);
    let started = gateway.consign.start_trial(number, mode, call).await?;
    Ok(answer::located(
        changed(StatusCode::CREATED, &started)?,
        "/v1/strategies/trial",
    ))
}

/// Lets a version decide about a share of orders, until a guardrail is broken.
#[utoipa::path(post, path = "/v1/strategies/{version}/canary", tag = "strategies", params(("version" = u32, Path),
    ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 201, body = TrialBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is the active one, or another trial runs", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn canary(
    State(gateway): State<Gateway>,
    Path(version): Path<String>,
    Submission { body, call }: Submission<Canary>,
) -> Answered {
    let mode = TrialMode::Canary {
        share_permille: body.share_permille,
        guardrails: body.guardrails.into_guardrails(),
    };
    let number = number_of(&version)?;
    let started = gateway.consign.start_trial(number, mode, call).await?;
    Ok(answer::located(
        changed(StatusCode::CREATED, &started)?,
        "/v1/strategies/trial",
    ))
}

/// Ends the trial that runs; answers with what the node had counted.
#[utoipa::path(post, path = "/v1/strategies/trial/stop", tag = "strategies",
    params(("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)), responses((status = 200, body = TrialBody),
        (status = 409, description = "None runs", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn stop(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<Stop>,
) -> Answered {
    let reason = body.reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.unwrap_or_else(|| "stopped".into());
    let stopped = gateway.consign.stop_trial(reason, call).await?;
    changed(StatusCode::OK, &stopped)
}

/// The trial that runs, with what the node that answers has counted.
#[utoipa::path(get, path = "/v1/strategies/trial", tag = "strategies", responses((status = 200, body = TrialBody),
    (status = 404, description = "None runs", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn running(State(gateway): State<Gateway>) -> Answered {
    let Some(stands) = gateway.consign.trial() else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "trial_not_found",
            "no trial runs; GET /v1/strategies/trials has those that ended, and why",
        ));
    };
    answer::json(StatusCode::OK, &TrialBody::of_stands(&stands))
}

/// The last trials, newest first, and why they ended.
#[utoipa::path(get, path = "/v1/strategies/trials", tag = "strategies", responses((status = 200, body = TrialsBody)))]
pub async fn list(State(gateway): State<Gateway>) -> Answered {
    let trials = gateway.consign.trials();
    let trials = trials.iter().map(|trial| TrialBody::of(trial, None));
    answer::json(
        StatusCode::OK,
        &TrialsBody {
            trials: trials.collect(),
        },
    )
}
