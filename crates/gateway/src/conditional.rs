//! Versions as entity tags: `ETag` out; `If-Match` and `If-None-Match` in (RFC 9110 §13).

use axum::http::{HeaderMap, HeaderValue, header};
use compact_str::format_compact;

use crate::problem::Problem;

/// The tag of a version.
#[must_use]
pub fn etag(version: u64) -> HeaderValue {
    let tag = format_compact!("\"{version}\"");
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// What must hold before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// The version that stands; 0: that there is nothing yet.
    Version(u64),
}

/// Reads the precondition of a change. `If-None-Match: *` asks that there is nothing yet.
///
/// # Errors
/// 400 for what is not one tag of ours or `*`.
pub fn precondition(
    if_match: Option<&HeaderValue>,
    if_none_match: Option<&HeaderValue>,
) -> Result<Precondition, Problem> {
    if let Some(value) = if_none_match {
        return match value.as_bytes().trim_ascii() {
            b"*" => Ok(Precondition::Version(0)),
            _ => Err(Problem::header(
                "If-None-Match",
                "on a change only `*` is understood",
            )),
        };
    }
    let Some(value) = if_match else {
        return Ok(Precondition::None);
    };
    match value.as_bytes().trim_ascii() {
        b"*" => Ok(Precondition::None),
        tag => match version_of(tag) {
            Some(version) => Ok(Precondition::Version(version)),
            None => Err(Problem::header(
                "If-Match",
                "must be one entity tag such as \"7\", with its quotes, or `*`",
            )),
        },
    }
}

/// The version that a tag names. A weak tag never names one: it does not promise equality.
fn version_of(tag: &[u8]) -> Option<u64> {
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the client has this version already (`If-None-Match` on a read).
#[must_use]
pub fn is_fresh(headers: &HeaderMap, version: u64) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH);
    tags.iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|tag| {
            let tag = tag.trim_ascii();
            let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
            tag == b"*" || version_of(tag) == Some(version)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_are_read() {
        let of = |m: Option<&'static str>, n: Option<&'static str>| {
            let m = m.map(HeaderValue::from_static);
            let n = n.map(HeaderValue::from_static);
            precondition(m.as_ref(), n.as_ref()).map_err(|p| p.code)
        };
        assert_eq!(of(None, None), Ok(Precondition::None));
        assert_eq!(of(Some("*"), None), Ok(Precondition::None));
        assert_eq!(of(Some("\"7\""), None), Ok(Precondition::Version(7)));
        assert_eq!(of(None, Some("*")), Ok(Precondition::Version(0)));
        for bad in ["7", "W/\"7\"", "\"x\"", "\"1\", \"2\""] {
            assert_eq!(of(Some(bad), None), Err("invalid_header".into()), "{bad}");
        }
    }

    #[test]
    fn freshness_takes_lists_and_weak_tags() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            is_fresh(&headers, 7)
        };
        assert!(with("\"7\"") && with("W/\"7\"") && with("\"1\", \"7\"") && with("*"));
        assert!(!with("\"8\"") && !with("7"));
        assert_eq!(etag(7), "\"7\"");
    }
}
