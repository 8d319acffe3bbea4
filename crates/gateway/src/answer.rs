//! Responses that are not problems: JSON with an entity tag, and what says how they came about.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use crate::conditional::{etag, is_fresh};
use crate::problem::Problem;

/// Says that the answer is the one that an earlier, equal request got.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Says which wish was granted (RFC 7240).
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Bytes that an answer rarely is longer than: an order of a few lines has two thousand.
pub(crate) const ANSWER_BYTES: usize = 3 << 10;

/// How a handler answers.
pub type Answered = Result<Response, Problem>;

/// JSON with a status.
///
/// # Errors
/// 500 when the value cannot be written, which no value here does.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answered {
    let mut bytes = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut bytes, body).map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            format!("cannot write the answer: {error}"),
        )
    })?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// JSON of something that has a version.
///
/// # Errors
/// As [`json`].
pub fn versioned(status: StatusCode, version: u64, body: &impl Serialize) -> Answered {
    let mut response = json(status, body)?;
    response.headers_mut().insert(ETAG, etag(version));
    Ok(response)
}

/// Answers a read: 304 when the client has this version already.
///
/// # Errors
/// As [`json`].
pub fn read<T: Serialize>(headers: &HeaderMap, version: u64, body: impl FnOnce() -> T) -> Answered {
    if is_fresh(headers, version) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, etag(version));
        return Ok(response);
    }
    versioned(StatusCode::OK, version, &body())
}

/// Notes on a response that it is a repetition.
#[must_use]
pub fn replayed(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Notes on a response where the new thing is.
#[must_use]
pub fn located(mut response: Response, path: &str) -> Response {
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}
