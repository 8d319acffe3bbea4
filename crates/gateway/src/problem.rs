//! What a client hears when something is wrong: RFC 9457 `application/problem+json`.
//!
//! In: a fault found anywhere between the socket and the domain. Out: one JSON object with a
//! stable `code`, saying what is wrong, where, why, and what to do. A [`Problem`] travels through
//! handlers as an error; the edge writes it out, because only the edge knows the request's id
//! and path. No response of the gateway with a status of 400 or more has another form.

use std::borrow::Cow;
use std::fmt;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Field errors that one problem reports at most.
pub const FIELD_ERRORS_MAX: usize = 64;

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong, for programs.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What is wrong and what would be right, for people.
    pub detail: String,
}

/// A refusal or failure on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable name of the kind of problem.
    pub code: Cow<'static, str>,
    /// What, where, why, and what to do.
    pub detail: String,
    /// Fields at fault.
    pub errors: Vec<FieldError>,
    /// Further members, by kind of problem.
    pub members: Vec<(&'static str, Value)>,
    /// When to come again.
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem without field errors.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            members: Vec::new(),
            retry_after_ms: None,
        }
    }

    /// 422: the body is JSON, and these fields of it are wrong.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Problem {
        let detail = match errors.first() {
            Some(first) if errors.len() == 1 => {
                format!(
                    "the body is not valid at `{}`: {}",
                    first.pointer, first.detail
                )
            }
            Some(first) => format!(
                "the body is not valid in {} places, first at `{}`: {}; correct all of `errors` and send it again",
                errors.len(),
                first.pointer,
                first.detail
            ),
            None => "the body is not valid".to_owned(),
        };
        let mut problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            detail,
        );
        problem.errors = errors;
        problem
    }

    /// 404 for a thing of `kind`: `order`, `fulfillment_order`, ….
    #[must_use]
    pub fn not_found(kind: &str, name: &str) -> Problem {
        let kind = kind.replace(' ', "_");
        let words = kind.replace('_', " ");
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("{kind}_not_found"),
            format!("there is no {words} `{}`; check its id", shown(name)),
        )
    }

    /// 400 for a query parameter.
    #[must_use]
    pub fn query(name: &str, detail: impl fmt::Display) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            format!("query parameter `{name}`: {detail}"),
        )
        .with("parameter", name)
    }

    /// 400 for a header field.
    #[must_use]
    pub fn header(name: &str, detail: impl fmt::Display) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_header",
            format!("header `{name}`: {detail}"),
        )
        .with("header", name)
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.members.push((name, value.into()));
        self
    }

    /// Says when to come again, in the body and in `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, millis: u64) -> Problem {
        self.retry_after_ms = Some(millis);
        self
    }

    /// A title that does not vary between occurrences of one kind.
    fn title(&self) -> String {
        let mut title = self.code.replace('_', " ");
        if let Some(first) = title.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        title
    }

    /// The whole response, for the request with this path and id.
    #[must_use]
    pub fn respond(&self, instance: &str, request_id: &str) -> Response {
        let document = Document {
            problem: self,
            place: Some((instance, request_id)),
        };
        let body = serde_json::to_vec(&document)
            .unwrap_or_else(|_| br#"{"code":"internal_error","status":500}"#.to_vec());
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2: whoever is refused so hears how to present credentials.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(millis) = self.retry_after_ms {
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(millis.div_ceil(1_000).max(1)),
            );
        }
        response
    }
}

/// Client text as shown in a message: bounded, so that a long id does not come back in full.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_CHARS_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The problem without the request's path and id, as batch lines carry it.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document {
            problem: self,
            place: None,
        }
        .serialize(serializer)
    }
}

/// A problem as it is written out.
struct Document<'a> {
    problem: &'a Problem,
    place: Option<(&'a str, &'a str)>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let problem = self.problem;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "type",
            &format_args!("urn:consign:problem:{}", problem.code),
        )?;
        map.serialize_entry("title", &problem.title())?;
        map.serialize_entry("status", &problem.status.as_u16())?;
        map.serialize_entry("code", &problem.code)?;
        map.serialize_entry("detail", &problem.detail)?;
        if let Some((instance, request_id)) = self.place {
            map.serialize_entry("instance", instance)?;
            map.serialize_entry("request_id", request_id)?;
        }
        if !problem.errors.is_empty() {
            map.serialize_entry("errors", &problem.errors)?;
        }
        if let Some(millis) = problem.retry_after_ms {
            map.serialize_entry("retry_after_ms", &millis)?;
        }
        for (name, value) in &problem.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The edge finds the problem among the response's extensions and writes it out.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// How a problem looks, for the OpenAPI document.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:consign:problem:<code>`.
    pub r#type: String,
    /// Short, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable name of the kind of problem.
    pub code: String,
    /// What, where, why, and what to do.
    pub detail: String,
    /// The request's path.
    pub instance: Option<String>,
    /// The request's id, as in the logs.
    pub request_id: Option<String>,
    /// Fields at fault.
    pub errors: Option<Vec<FieldError>>,
    /// When to come again.
    pub retry_after_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_and_what_to_do() {
        let problem = Problem::validation(vec![FieldError {
            pointer: "/lines/0/quantity".into(),
            code: "out_of_range".into(),
            detail: "must be 1 to 100000".into(),
        }]);
        let json: Value = serde_json::to_value(&problem).expect("serialisable");
        assert_eq!(json["code"], "validation_failed");
        assert_eq!(json["type"], "urn:consign:problem:validation_failed");
        assert_eq!(json["title"], "Validation failed");
        assert_eq!(json["status"], 422);
        assert_eq!(json["errors"][0]["pointer"], "/lines/0/quantity");
        assert!(
            json["detail"]
                .as_str()
                .is_some_and(|d| d.contains("/lines/0/quantity"))
        );
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        let response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", "busy")
            .retry_after(40)
            .respond("/v1/orders", "r1");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }
}
