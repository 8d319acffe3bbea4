//! The extractor of everything that changes something: a typed body and the call beside it.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use consign_orchestrator::CallMeta;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::call::{RequestId, body_id, call_of};
use crate::gateway::Gateway;
use crate::json_body;
use crate::limits::{BODY_BYTES_MAX, DISCARDED_BYTES_MAX, Taken};
use crate::problem::Problem;

/// A body of type `T` and what came beside it.
#[derive(Debug)]
pub struct Submission<T> {
    /// The body.
    pub body: T,
    /// Key, precondition, preferences.
    pub call: CallMeta,
}

impl<T: DeserializeOwned> FromRequest<Gateway> for Submission<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let (json, _held) = read_json(&parts.headers, body, gateway).await?;
        let body = json_body::parse(&json)?;
        let call = call_of(
            &parts.headers,
            parts.extensions.get::<RequestId>(),
            gateway.options.settle_timeout,
            || body_id(parts.method.as_str(), parts.uri.path(), &json),
        )?;
        Ok(Submission { body, call })
    }
}

/// Whether a media type is JSON.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case("+json"))
}

async fn read_json(
    headers: &HeaderMap,
    mut body: Body,
    gateway: &Gateway,
) -> Result<(Bytes, Taken), Problem> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        discard(&mut body).await;
        return Err(too_large());
    }
    let chunked = length.is_none() && !body.is_end_stream();
    if (length.unwrap_or(0) > 0 || chunked)
        && let Some(content_type) = headers.get(CONTENT_TYPE)
        && !content_type.to_str().is_ok_and(is_json)
    {
        discard(&mut body).await;
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be JSON; send it with `Content-Type: application/json`",
        ));
    }
    // Only what has arrived counts: a client that announces much and sends nothing blocks nobody.
    let mut held = gateway.bodies.take(0)?;
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_request",
                format!("the body could not be read: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        held.grow(data.len())?;
        if first.is_empty() && rest.is_none() {
            // Most bodies arrive whole: no copy then.
            first = data;
        } else {
            rest.get_or_insert_with(|| BytesMut::from(first.as_ref()))
                .extend_from_slice(&data);
        }
        if rest.as_ref().map_or(first.len(), BytesMut::len) > BODY_BYTES_MAX {
            drop((first, rest));
            discard(&mut body).await;
            return Err(too_large());
        }
    }
    Ok((rest.map_or(first, BytesMut::freeze), held))
}

/// Reads on without keeping anything, so that a client that is still sending hears why it is
/// refused. Hanging up on it would break the connection under the answer.
async fn discard(body: &mut Body) {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!(
            "the body is larger than {BODY_BYTES_MAX} bytes; send many orders through /v1/orders/batch"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/merge-patch+json"));
        assert!(
            !is_json("text/plain") && !is_json("application/x-www-form-urlencoded") && !is_json("")
        );
    }
}
