//! From the bytes of a body to a typed value, or to a problem that points at every fault of form.
//!
//! A body is parsed once, straight into its type. Only when that fails is it looked at again, to
//! say where: faults are repaired in a copy one after another, so that one answer names them all.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::fields::escaped;
use crate::problem::{FieldError, Problem};

/// How deep JSON may nest.
pub const JSON_DEPTH_MAX: usize = 32;
/// Faults of form that one answer names at most.
const FORM_FAULTS_MAX: usize = 24;

/// The value that `json` holds; an empty body stands for `{}`.
///
/// # Errors
/// 400 for what is no JSON or nests too deep, 422 for JSON of another form.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    let json = if json.is_empty() {
        b"{}".as_slice()
    } else {
        json
    };
    serde_json::from_slice(json).map_err(|error| explain::<T>(json, &error))
}

#[cold]
fn explain<T: DeserializeOwned>(json: &[u8], error: &serde_json::Error) -> Problem {
    if too_deep(json) {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "json_too_deep",
            format!("the body nests deeper than {JSON_DEPTH_MAX} levels"),
        );
    }
    match serde_json::from_slice::<Value>(json) {
        Ok(value) if value.is_object() => Problem::validation(faults_of_form::<T>(json, value)),
        Ok(_) => Problem::validation(vec![FieldError {
            pointer: String::new(),
            code: "invalid_type".into(),
            detail: "must be a JSON object".into(),
        }]),
        Err(syntax) => malformed(
            json,
            if error.classify() == Category::Data {
                &syntax
            } else {
                error
            },
        ),
    }
}

fn malformed(json: &[u8], error: &serde_json::Error) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let pointer = match serde_path_to_error::deserialize::<_, Value>(&mut deserializer) {
        Err(located) => pointer_of(located.path()),
        Ok(_) => String::new(),
    };
    let mut problem = Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        format!("the body is not JSON: {error}; send one JSON value in UTF-8"),
    );
    problem.errors.push(FieldError {
        pointer,
        code: "malformed_json".into(),
        detail: error.to_string(),
    });
    problem
}

/// Whether brackets nest deeper than allowed, without parsing.
fn too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// All places where `value` is not a `T`. Each fault found is repaired in the copy, to find the next.
fn faults_of_form<T: DeserializeOwned>(json: &[u8], mut value: Value) -> Vec<FieldError> {
    // The first look is at the text itself: a tree no longer shows repeated members.
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut next = serde_path_to_error::deserialize::<_, T>(&mut deserializer)
        .err()
        .map(|error| fault(&pointer_of(error.path()), &error.inner().to_string()));
    let mut faults: Vec<FieldError> = Vec::new();
    while let Some(found) = next {
        let repaired = repair::<T>(&mut value, &found);
        faults.push(found);
        next = match repaired {
            Repaired::More(other) if faults.len() < FORM_FAULTS_MAX => Some(other),
            _ => None,
        };
    }
    faults
}

enum Repaired {
    /// Now another fault shows.
    More(FieldError),
    /// No other fault, or none that can be told apart.
    Done,
}

fn first_fault<T: DeserializeOwned>(value: &Value) -> Option<FieldError> {
    let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
    Some(fault(&pointer_of(error.path()), &error.inner().to_string()))
}

/// Puts something at the fault's place that fits, so that the next fault shows.
fn repair<T: DeserializeOwned>(value: &mut Value, found: &FieldError) -> Repaired {
    let Some((parent, name)) = found.pointer.rsplit_once('/') else {
        return Repaired::Done;
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    if found.code == "duplicate_field" {
        // The tree holds the last of them only.
        return first_fault::<T>(value).map_or(Repaired::Done, Repaired::More);
    }
    if found.code == "unknown_field" {
        if let Some(Value::Object(members)) = value.pointer_mut(parent) {
            members.remove(&name);
        }
        return match first_fault::<T>(value) {
            Some(next) if next != *found => Repaired::More(next),
            _ => Repaired::Done,
        };
    }
    let stand_ins = [
        Value::from("0"),
        Value::from(1),
        Value::Bool(false),
        Value::Array(Vec::new()),
        Value::Object(serde_json::Map::new()),
        Value::Null,
    ];
    for stand_in in stand_ins {
        match value.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.insert(name.clone(), stand_in);
            }
            Some(Value::Array(elements)) => {
                let Some(element) = name.parse().ok().and_then(|i: usize| elements.get_mut(i))
                else {
                    return Repaired::Done;
                };
                *element = stand_in;
            }
            _ => return Repaired::Done,
        }
        match first_fault::<T>(value) {
            None => return Repaired::Done,
            // The stand-in does not fit here, or asks for members of its own.
            Some(next) if next.pointer.starts_with(&found.pointer) => {}
            Some(next) => return Repaired::More(next),
        }
    }
    Repaired::Done
}

/// What serde says, as a field error. `at` points at the value, or at its parent for members.
fn fault(at: &str, message: &str) -> FieldError {
    let named = || message.split('`').nth(1).unwrap_or_default().to_owned();
    // serde_json adds the position, which the pointer says better.
    let detail = message
        .split(" at line ")
        .next()
        .unwrap_or(message)
        .to_owned();
    let member = |code: &'static str, detail: String| {
        let name = escaped(&named()).into_owned();
        let already = at.rsplit('/').next() == Some(name.as_str());
        let pointer = if already {
            at.to_owned()
        } else {
            format!("{at}/{name}")
        };
        FieldError {
            pointer,
            code: code.into(),
            detail,
        }
    };
    if message.starts_with("missing field") {
        let name = escaped(&named()).into_owned();
        return FieldError {
            pointer: format!("{at}/{name}"),
            code: "missing_field".into(),
            detail: "is required".into(),
        };
    }
    if message.starts_with("unknown field") {
        return member("unknown_field", detail);
    }
    if message.starts_with("duplicate field") {
        return member("duplicate_field", "is there twice".into());
    }
    let code = if message.starts_with("invalid type") {
        "invalid_type"
    } else {
        "invalid_value"
    };
    FieldError {
        pointer: at.to_owned(),
        code: code.into(),
        detail,
    }
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the form is tested")]
    struct Order {
        channel: String,
        ship_to: Place,
        lines: Vec<Line>,
        note: Option<String>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the form is tested")]
    struct Place {
        country: String,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the form is tested")]
    struct Line {
        sku: String,
        quantity: u32,
    }

    fn faults(json: &str) -> Vec<(String, String)> {
        let problem = parse::<Order>(json.as_bytes()).expect_err("must be refused");
        problem
            .errors
            .into_iter()
            .map(|e| (e.pointer, e.code.into_owned()))
            .collect()
    }

    #[test]
    fn every_fault_of_form_is_named_at_once() {
        let found = faults(
            r#"{"chanel":"web","ship_to":{"country":7},"lines":[{"sku":"A","quantity":-1,"colour":"red"},{"quantity":"2"}]}"#,
        );
        for expected in [
            ("/chanel", "unknown_field"),
            ("/ship_to/country", "invalid_type"),
            ("/lines/0/quantity", "invalid_value"),
            ("/lines/0/colour", "unknown_field"),
            ("/lines/1/quantity", "invalid_type"),
            ("/lines/1/sku", "missing_field"),
            ("/channel", "missing_field"),
        ] {
            assert!(
                found.contains(&(expected.0.into(), expected.1.into())),
                "{expected:?} is not in {found:?}"
            );
        }
        assert_eq!(found.len(), 7, "{found:?}");
    }

    #[test]
    fn repeated_members_are_refused() {
        let json = r#"{"channel":"a","channel":"b","ship_to":{"country":"GB"},"lines":[]}"#;
        assert_eq!(
            faults(json),
            [("/channel".to_owned(), "duplicate_field".to_owned())]
        );
    }

    #[test]
    fn what_is_no_json_is_400_with_a_pointer() {
        let problem =
            parse::<Order>(br#"{"channel":"web","ship_to":{"country":GB}}"#).expect_err("not JSON");
        assert_eq!(
            (problem.status.as_u16(), problem.code.as_ref()),
            (400, "malformed_json")
        );
        assert_eq!(problem.errors[0].pointer, "/ship_to/country");
        let problem = parse::<Order>(b"[]").expect_err("no object");
        assert_eq!(
            (problem.status.as_u16(), problem.code.as_ref()),
            (422, "validation_failed")
        );
        let problem = parse::<Order>(b"{\"channel\":\"\xff\"}").expect_err("not UTF-8");
        assert_eq!(
            (problem.status.as_u16(), problem.code.as_ref()),
            (400, "malformed_json")
        );
        let problem = parse::<Order>(b"{").expect_err("cut off");
        assert_eq!(problem.code, "malformed_json");
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = format!("{{\"note\":{}{}}}", "[".repeat(40), "]".repeat(40));
        assert_eq!(
            parse::<Order>(deep.as_bytes()).expect_err("too deep").code,
            "json_too_deep"
        );
        let flat = format!("{{\"note\":\"{}\"}}", "[".repeat(40));
        assert_eq!(
            parse::<Order>(flat.as_bytes())
                .expect_err("incomplete")
                .code,
            "validation_failed"
        );
    }
}
