//! From the service's refusals to problems: one table, so that a refusal has the same status and
//! code on every route.

use axum::http::StatusCode;
use consign_domain::catalogue::CatalogueRejection;
use consign_domain::location::LocationRejection;
use consign_domain::order::OrderRejection;
use consign_domain::reservation::ReservationRejection;
use consign_orchestrator::ServiceError;

use crate::problem::{FieldError, Problem};

/// How long a client should wait before it asks about an outcome that nobody knows yet.
const OUTCOME_RETRY_MS: u64 = 1_000;
/// How long a client should wait before it tries a node that has stopped serving.
const STOPPED_RETRY_MS: u64 = 5_000;

/// The code of a node that was taken out of the cluster.
pub const TAKEN_OUT: &str = "node_taken_out";
/// The code of a node that stands on another disk than the others know it by.
pub const DISK_UNKNOWN: &str = "disk_unknown";

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Problem {
        let text = error.to_string();
        match error {
            ServiceError::Order(rejection) => order(rejection),
            ServiceError::Location(rejection) => location(rejection),
            ServiceError::Catalogue(rejection) => catalogue(rejection),
            ServiceError::Carrier(rejection) => {
                Problem::new(StatusCode::CONFLICT, "carrier_refused", rejection.to_string())
            }
            ServiceError::Strategy { place, reason } => strategy(&place, &reason),
            ServiceError::NotFound { kind, name } => Problem::not_found(&kind, &name),
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
            ServiceError::ClusterRefused { reason } => Problem::new(
                StatusCode::CONFLICT,
                "cluster_refused",
                format!("{reason}; GET /v1/cluster shows how it stands"),
            ),
            ServiceError::Unreachable { reason } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "cluster_unreachable",
                format!("{reason}; nothing was done, send the request again or to another node"),
            )
            .retry_after(OUTCOME_RETRY_MS),
            ServiceError::TakenOut { reason } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                TAKEN_OUT,
                format!("{reason}; nothing was done, send the request to another node"),
            )
            .retry_after(STOPPED_RETRY_MS),
            ServiceError::DiskUnknown { reason } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                DISK_UNKNOWN,
                format!("{reason}; nothing was done, send the request to another node"),
            )
            .retry_after(STOPPED_RETRY_MS),
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
            ServiceError::Storage(reason) => storage(&reason),
            ServiceError::Reservation(rejection) => reservation(rejection),
        }
    }
}

fn storage(reason: &str) -> Problem {
    tracing::error!(reason, "storage failed under a request");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "storage_failed",
        "a stored record could not be read; report the request id",
    )
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

/// 422 for a field that the domain refuses.
fn invalid(pointer: &str, code: &str) -> Problem {
    Problem::validation(vec![FieldError {
        pointer: pointer.to_owned(),
        code: code.to_owned().into(),
        detail: sentence(code).map_or_else(|| code.replace('_', " "), str::to_owned),
    }])
}

/// What a code of the domain means, for people.
fn sentence(code: &str) -> Option<&'static str> {
    Some(match code {
        "duplicate" => "is there twice; name each once",
        "empty" => "must not be empty",
        "exceeds_total" => "takes away more than there is to pay",
        "in_the_future" => "lies in the future",
        "in_the_past" => "lies in the past",
        "more_than_on_hand" => "is more than what is on hand",
        "no_guardrail" => "must name at least one figure that ends the trial",
        "not_a_country" | "invalid_country" => {
            "must be an ISO 3166-1 code of two upper-case letters"
        }
        "not_lower" => "must be less than it is now; to have more, add a line",
        "not_stocked" => "must be a stocked product",
        "only_for_bundles" => "only a bundle has components",
        "out_of_range" => "is out of range",
        "same_location" => "must be another location",
        "too_long" => "is too long",
        "too_many" | "too_many_lines" | "too_many_locations" | "too_many_returns" => "are too many",
        "too_many_announced" => {
            "is one too many: end announcements, or receive what they name, before there are more"
        }
        "total_out_of_range" => "makes the order's total too large",
        "unknown_currency" => "must be an ISO 4217 code in upper case",
        "unknown_service" => "is not among the carrier's services",
        "unknown_sku" => "is not in the catalogue; define it with PUT /v1/products/{sku}",
        "unknown_location" => "is not defined; define it with PUT /v1/locations/{id}",
        "unknown_reservation" => "names no reservation; make one with POST /v1/reservations",
        "unknown_zone" => "is not among the carrier's zones",
        _ => return None,
    })
}

/// A place like `rules[0].filters` is a pointer like `/rules/0/filters`.
fn strategy(place: &str, reason: &str) -> Problem {
    let pointer = place.replace(']', "").replace(['.', '['], "/");
    Problem::validation(vec![FieldError {
        pointer: format!("/{pointer}"),
        code: "invalid_strategy".into(),
        detail: format!("{place}: {reason}"),
    }])
}

fn catalogue(rejection: CatalogueRejection) -> Problem {
    match rejection {
        CatalogueRejection::Invalid { code, .. } if code == "nothing_to_roll_back" => Problem::new(
            StatusCode::CONFLICT,
            "nothing_to_roll_back",
            "no strategy was activated, so the built-in one decides already",
        ),
        CatalogueRejection::Invalid { code, .. } if code == "already_active" => Problem::new(
            StatusCode::CONFLICT,
            "already_active",
            "this version is the active one; a trial compares another one with it",
        ),
        CatalogueRejection::Invalid { code, .. } if code == "trial_running" => Problem::new(
            StatusCode::CONFLICT,
            "trial_running",
            "another trial runs; GET /v1/strategies/trial shows it, POST /v1/strategies/trial/stop ends it",
        ),
        CatalogueRejection::Invalid { code, .. } if code == "no_trial_running" => Problem::new(
            StatusCode::CONFLICT,
            "no_trial_running",
            "no trial runs; GET /v1/strategies/trials has those that ended, and why",
        ),
        CatalogueRejection::Invalid { pointer, code } => invalid(&pointer, &code),
        CatalogueRejection::VersionMismatch { current } => {
            ServiceError::VersionMismatch { current }.into()
        }
    }
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

fn reservation(rejection: ReservationRejection) -> Problem {
    match rejection {
        ReservationRejection::Unknown => Problem::new(
            StatusCode::NOT_FOUND,
            "reservation_not_found",
            "there is no such reservation; check its id",
        ),
        ReservationRejection::Exists => Problem::new(
            StatusCode::CONFLICT,
            "reservation_exists",
            "a reservation with this id was made by another request; send the request again",
        ),
        ReservationRejection::Invalid { pointer, code } => invalid(&pointer, &code),
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

#[cfg(test)]
mod tests {
    use consign_domain::ids::OrderId;

    use super::*;

    fn cases() -> Vec<(ServiceError, u16, &'static str)> {
        let nothing = OrderRejection::NotFound {
            kind: "fulfillment order".into(),
            name: "9".into(),
        };
        let late = OrderRejection::TooLate {
            what: "the address".into(),
            state: "shipped".into(),
        };
        let invalid = CatalogueRejection::Invalid {
            pointer: "/sku".into(),
            code: "unknown_sku".into(),
        };
        vec![
            (OrderRejection::Unknown.into(), 404, "order_not_found"),
            (OrderRejection::Exists.into(), 409, "order_exists"),
            (nothing.into(), 404, "fulfillment_order_not_found"),
            (late.into(), 409, "too_late"),
            (invalid.into(), 422, "validation_failed"),
            (
                CatalogueRejection::VersionMismatch { current: 3 }.into(),
                412,
                "version_mismatch",
            ),
            (
                ServiceError::Busy {
                    retry_after_ms: 250,
                },
                429,
                "busy",
            ),
            (
                ServiceError::KeyReused {
                    entity: "A-1".into(),
                },
                409,
                "idempotency_key_reused",
            ),
            (
                ServiceError::Unknown {
                    reason: "no quorum".into(),
                },
                503,
                "outcome_unknown",
            ),
            (
                ServiceError::Stopped {
                    reason: "the disk failed".into(),
                },
                503,
                "not_serving",
            ),
            (
                ServiceError::TakenOut {
                    reason: "it was drained".into(),
                },
                503,
                TAKEN_OUT,
            ),
            (
                ServiceError::DiskUnknown {
                    reason: "it is another".into(),
                },
                503,
                DISK_UNKNOWN,
            ),
            (ServiceError::CursorExpired, 410, "cursor_expired"),
            (ServiceError::CursorInvalid, 400, "cursor_invalid"),
        ]
    }

    #[test]
    fn refusals_have_their_status() {
        for (error, status, code) in cases() {
            let problem = Problem::from(error);
            assert_eq!(
                (problem.status.as_u16(), problem.code.as_ref()),
                (status, code)
            );
            let again = matches!(status, 429 | 503);
            assert_eq!(problem.retry_after_ms.is_some(), again, "{code}");
        }
    }

    #[test]
    fn a_taken_name_says_who_has_it() {
        let problem = Problem::from(ServiceError::ExternalIdTaken {
            channel: "web".into(),
            external_id: "536365".into(),
            order: OrderId::new("A-1").expect("valid"),
        });
        assert_eq!(
            (problem.status.as_u16(), problem.code.as_ref()),
            (409, "external_id_taken")
        );
        assert_eq!(problem.members, [("order", "A-1".into())]);
    }
}
