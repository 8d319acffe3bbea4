//! From the service's refusals to problems: one table, so that a refusal has the same status and
//! code on every route.

use axum::http::StatusCode;
use consign_domain::location::LocationRejection;
use consign_domain::order::OrderRejection;
use consign_orchestrator::ServiceError;

use crate::problem::{FieldError, Problem};

/// How long a client should wait before it asks about an outcome that nobody knows yet.
const OUTCOME_RETRY_MS: u64 = 1_000;
/// How long a client should wait before it tries a node that has stopped serving.
const STOPPED_RETRY_MS: u64 = 5_000;

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Problem {
        let text = error.to_string();
        match error {
            ServiceError::Order(rejection) => order(rejection),
            ServiceError::Location(rejection) => location(rejection),
            ServiceError::Catalogue(rejection) => crate::definitions::rejected(rejection),
            ServiceError::Carrier(rejection) => {
                Problem::new(StatusCode::CONFLICT, "carrier_refused", rejection.to_string())
            }
            ServiceError::NotFound { kind, name } => Problem::not_found(kind, &name),
            ServiceError::ExternalIdTaken { order, .. } => Problem::new(
                StatusCode::CONFLICT,
                "external_id_taken",
                format!("{text}; an `external_id` names one order of its channel, read that order or send another `external_id`"),
            )
            .with("order", order.as_str()),
            ServiceError::KeyReused { entity } => Problem::new(
                StatusCode::CONFLICT,
                "idempotency_key_reused",
                format!("this `Idempotency-Key` came before with another request (it concerned {entity}); use a new key for a new request"),
            )
            .with("concerns", entity.as_str()),
            ServiceError::VersionMismatch { current } => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "version_mismatch",
                format!("the precondition does not hold: the version is {current}; read it again and decide anew"),
            )
            .with("current_version", current),
            ServiceError::Busy { retry_after_ms } => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "too much work is in flight; nothing was done, send the request again after `retry_after_ms`",
            )
            .retry_after(retry_after_ms),
            ServiceError::Quarantined { entity } => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "quarantined",
                format!("{entity} was set aside after repeated failures; nothing was done, an operator must look"),
            ),
            ServiceError::Panicked => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the command failed inside; it changed nothing, report the request id",
            ),
            ServiceError::Unknown { reason } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                format!("the outcome is not known ({reason}); send the request again with the same `Idempotency-Key`"),
            )
            .retry_after(OUTCOME_RETRY_MS),
            ServiceError::Stopped { reason } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_serving",
                format!("this node has stopped serving: {reason}"),
            )
            .retry_after(STOPPED_RETRY_MS),
            ServiceError::CursorExpired => Problem::new(
                StatusCode::GONE,
                "cursor_expired",
                "the cursor points before what is kept; start from `since=beginning` or `since=now`",
            ),
            ServiceError::CursorInvalid => cursor_invalid(),
            ServiceError::Storage(reason) => {
                tracing::error!(%reason, "storage failed under a request");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "storage_failed",
                    "a stored record could not be read; report the request id",
                )
            }
        }
    }
}

/// 400 for a cursor that no list of this gateway gave.
#[must_use]
pub fn cursor_invalid() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "cursor_invalid",
        "the cursor is not one that this list gave; send `next_cursor` unchanged, or none",
    )
}

fn invalid(pointer: &str, code: &str) -> Problem {
    Problem::validation(vec![FieldError {
        pointer: pointer.to_owned(),
        code: code.to_owned().into(),
        detail: code.replace('_', " "),
    }])
}

fn order(rejection: OrderRejection) -> Problem {
    let text = rejection.to_string();
    let conflict =
        |code: &'static str, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match rejection {
        OrderRejection::Unknown => Problem::new(
            StatusCode::NOT_FOUND,
            "order_not_found",
            "there is no such order; check its id",
        ),
        OrderRejection::Exists => conflict(
            "order_exists",
            "an order with this id was placed by another request; read it, or send another id"
                .into(),
        ),
        OrderRejection::Invalid { pointer, code } => invalid(&pointer, &code),
        OrderRejection::NotFound { kind, name } => Problem::not_found(&kind, &name),
        OrderRejection::TooLate { .. } => conflict("too_late", text),
        OrderRejection::WrongState { state, .. } => {
            conflict("wrong_state", text).with("state", state.as_str())
        }
        OrderRejection::NotEnough {
            line,
            asked,
            available,
            ..
        } => conflict("not_enough_units", text)
            .with("line", line.as_str())
            .with("asked", asked)
            .with("available", available),
        OrderRejection::Held { hold, .. } => {
            conflict("held", format!("{text}; release the hold first"))
                .with("hold", hold.to_string())
        }
    }
}

fn location(rejection: LocationRejection) -> Problem {
    let text = rejection.to_string();
    match rejection {
        LocationRejection::Invalid { pointer, code } => invalid(&pointer, &code),
        LocationRejection::Insufficient { available, .. } => {
            Problem::new(StatusCode::CONFLICT, "insufficient_stock", text)
                .with("available", available)
        }
        LocationRejection::NoHold { hold } => Problem::not_found("hold", hold.as_str()),
    }
}
