//! What operators ask: alive, ready, metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use consign_orchestrator::Readiness;
use serde::Serialize;

use crate::answer::{self, Answered};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::process::ProcessFigures;
use crate::service_problem::{DISK_UNKNOWN, TAKEN_OUT};

/// How often histograms are folded.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// A plain status.
#[derive(Serialize, utoipa::ToSchema)]
pub struct StatusBody {
    /// `alive`, `ready`.
    status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = StatusBody)))]
pub async fn healthz() -> Answered {
    answer::json(StatusCode::OK, &StatusBody { status: "alive" })
}

/// Whether work may be sent here; 503 says why not: `node_taken_out` of the cluster, `disk_unknown` when the
/// others know this node by another disk, or `not_serving`, e.g. as the journal's disk failed.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, body = StatusBody),
    (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn readyz(State(gateway): State<Gateway>) -> Answered {
    match gateway.consign.readiness() {
        Readiness::Ready => answer::json(StatusCode::OK, &StatusBody { status: "ready" }),
        Readiness::TakenOut { reason } => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            TAKEN_OUT,
            reason,
        )),
        Readiness::DiskUnknown { reason } => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            DISK_UNKNOWN,
            reason,
        )),
        Readiness::NotReady { reason } | Readiness::Stopped { reason } => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_serving",
            reason,
        )),
    }
}

/// Prometheus metrics. The admin port wants a token for them.
#[utoipa::path(get, path = "/metrics", tag = "operations", security((), ("admin_token" = [])), responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn metrics(State(gateway): State<Gateway>) -> Response {
    let mut text = match &gateway.options.metrics {
        Some(handle) => {
            handle.run_upkeep();
            handle.render()
        }
        None => String::new(),
    };
    ProcessFigures::read().render(&mut text);
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, media_type)], text).into_response()
}

/// Folds what histograms have gathered, every few seconds, as long as the gateway lives: what
/// nobody scrapes would pile up without end (L8).
pub fn keep_metrics(gateway: &Gateway) {
    let (Some(handle), Ok(runtime)) = (
        gateway.options.metrics.clone(),
        tokio::runtime::Handle::try_current(),
    ) else {
        return;
    };
    let gateway = gateway.downgrade();
    runtime.spawn(async move {
        while gateway.strong_count() > 0 {
            tokio::time::sleep(METRICS_UPKEEP).await;
            handle.run_upkeep();
        }
    });
}
