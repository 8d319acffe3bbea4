//! What comes beside a body in a request's head: idempotency key, precondition, preferences,
//! request id. Out: the [`CallMeta`] that the service wants.

use std::time::Duration;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use compact_str::CompactString;
use consign_orchestrator::{CallMeta, CommandKey};

use crate::body_hash::BodyHash;
use crate::conditional::{Precondition, precondition};
use crate::problem::Problem;

/// The header that names a command for its repetition.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How the client wants to be answered (RFC 7240).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Who acts, until requests are authenticated.
const PRINCIPAL: CompactString = CompactString::const_new("anonymous");

/// A request's id, given by the client or by the edge; lies in the request's extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub CompactString);

/// How the client wants to be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// When durable, not when the outcome stands.
    pub respond_async: bool,
    /// How long to wait for the outcome.
    pub wait: Option<Duration>,
}

/// Reads `Prefer`. Preferences are wishes: what is not understood is passed over.
#[must_use]
pub fn preferences(headers: &HeaderMap) -> Preferences {
    let mut preferences = Preferences::default();
    let values = headers.get_all(PREFER);
    for wish in values
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split([',', ';']))
    {
        let wish = wish.trim();
        if wish.eq_ignore_ascii_case("respond-async") {
            preferences.respond_async = true;
        } else if let Some((name, seconds)) = wish.split_once('=')
            && name.trim().eq_ignore_ascii_case("wait")
        {
            let seconds = seconds.trim().trim_matches('"').parse().ok();
            preferences.wait = seconds.map(Duration::from_secs).or(preferences.wait);
        }
    }
    preferences
}

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// 400 when it is empty, too long, or not visible ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::header(
            "Idempotency-Key",
            "is there more than once; send one key",
        ));
    }
    let key = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    check_key(key).map_err(|detail| Problem::header("Idempotency-Key", detail))?;
    Ok(Some(key))
}

/// Whether a text may be an idempotency key, else what is wrong with it.
///
/// # Errors
/// A sentence for people.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    let fits = !key.is_empty()
        && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX
        && key.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Ok(())
    } else {
        Err("must be 1 to 255 visible ASCII characters")
    }
}

/// The command's name and body, for the service to remember.
#[must_use]
pub fn command_key(key: &str, body: u128) -> CommandKey {
    // A strong hash: two principals' keys must not meet, whatever they choose.
    let mut hasher = blake3::Hasher::new();
    hasher.update(PRINCIPAL.as_bytes());
    hasher.update(&[0]);
    hasher.update(key.as_bytes());
    let hash = hasher.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    CommandKey {
        id: u128::from_le_bytes(id),
        body,
    }
}

/// What the service is told beside a command.
///
/// # Errors
/// 400 for a header that is not valid.
pub fn call_of(
    headers: &HeaderMap,
    request_id: Option<&RequestId>,
    settle_timeout: Duration,
    body: impl FnOnce() -> u128,
) -> Result<CallMeta, Problem> {
    let Preferences {
        respond_async,
        wait,
    } = preferences(headers);
    let key = idempotency_key(headers)?.map(|key| command_key(key, body()));
    let expected_version = match precondition(headers.get(IF_MATCH), headers.get(IF_NONE_MATCH))? {
        Precondition::None => None,
        Precondition::Version(version) => Some(version),
    };
    Ok(CallMeta {
        by: PRINCIPAL,
        occurred_at: None,
        key,
        expected_version,
        request_id: request_id.map(|id| id.0.clone()),
        respond_async,
        settle_timeout: wait.map_or(settle_timeout, |wait| wait.min(settle_timeout)),
    })
}

/// The hash of a request's body as the idempotency key's companion.
#[must_use]
pub fn body_id(method: &str, path: &str, json: &[u8]) -> u128 {
    let json = if json.is_empty() {
        b"{}".as_slice()
    } else {
        json
    };
    // What does not parse was refused before anybody asks.
    BodyHash::of(json)
        .unwrap_or(BodyHash(0))
        .addressed(method, path)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn wishes_are_read_from_any_form() {
        let mut headers = HeaderMap::new();
        headers.append(
            PREFER,
            HeaderValue::from_static("handling=lenient, Respond-Async; wait=3"),
        );
        assert_eq!(
            preferences(&headers),
            Preferences {
                respond_async: true,
                wait: Some(Duration::from_secs(3))
            }
        );
        assert_eq!(preferences(&HeaderMap::new()), Preferences::default());
    }

    #[test]
    fn keys_are_visible_ascii_of_bounded_length() {
        let with = |key: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                IDEMPOTENCY_KEY,
                HeaderValue::from_bytes(key.as_bytes()).expect("a header"),
            );
            idempotency_key(&headers)
                .map(|key| key.map(str::to_owned))
                .map_err(|p| p.code)
        };
        assert_eq!(with("order-1"), Ok(Some("order-1".to_owned())));
        assert!(with(&"k".repeat(255)).is_ok());
        for bad in ["", "a b", "k\u{e9}y", &"k".repeat(256)] {
            assert_eq!(with(bad), Err("invalid_header".into()), "{bad:?}");
        }
    }

    #[test]
    fn a_key_means_the_same_every_time() {
        assert_eq!(command_key("a", 1).id, command_key("a", 2).id);
        assert_ne!(command_key("a", 1).id, command_key("b", 1).id);
        assert_eq!(body_id("POST", "/x", b""), body_id("POST", "/x", b" { } "));
    }
}
