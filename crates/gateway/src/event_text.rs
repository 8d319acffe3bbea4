//! Recorded events as JSON that people can read: a type, and data with times as RFC 3339.
//!
//! Events are shown as they are recorded, not translated one by one, so that no new kind of event
//! is ever left out. Times are known by their members' names; the encoded inputs of a sourcing
//! decision are left out, the explanation shows them.

use consign_domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::time_text::TimeText;

/// Members that hold encoded bytes.
const LEFT_OUT: [&str; 1] = ["inputs"];

/// The event's type in snake case, and its data.
///
/// # Errors
/// When the event has no JSON form.
pub fn presentable(event: &impl Serialize) -> Result<(String, Value), serde_json::Error> {
    let (name, mut data) = match serde_json::to_value(event)? {
        Value::Object(members) if members.len() == 1 => match members.into_iter().next() {
            Some((name, data)) => (name, data),
            None => (String::new(), Value::Null),
        },
        Value::String(name) => (name, Value::Object(serde_json::Map::new())),
        other => (String::new(), other),
    };
    improve(&mut data);
    Ok((snake_case(&name), data))
}

/// Whether a member of this name holds microseconds since the epoch.
fn is_time(name: &str) -> bool {
    name.ends_with("_at") || matches!(name, "not_after" | "promise")
}

/// Makes times readable, and drops bytes.
fn improve(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            for (name, member) in members.iter_mut() {
                match member.as_i64() {
                    Some(micros) if is_time(name) => {
                        *member = Value::String(TimeText(Timestamp(micros)).to_string());
                    }
                    _ => improve(member),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(improve),
        _ => {}
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use consign_domain::ids::LocationId;
    use consign_domain::order::{OrderEvent, Refusal};
    use serde_json::json;

    use super::*;

    #[test]
    fn events_have_a_type_and_readable_times() {
        let sourced = OrderEvent::Sourced {
            round: 1,
            assignments: Vec::new(),
            not_after: Timestamp(1_291_191_960_000_000),
            inputs: vec![1, 2, 3],
        };
        let (kind, data) = presentable(&sourced).expect("JSON");
        assert_eq!(kind, "sourced");
        assert_eq!(
            data,
            json!({"round": 1, "assignments": [], "not_after": "2010-12-01T08:26:00Z"})
        );
    }

    #[test]
    fn events_without_data_have_empty_data() {
        let (kind, data) = presentable(&OrderEvent::PersonalDataErased).expect("JSON");
        assert_eq!((kind.as_str(), data), ("personal_data_erased", json!({})));
        let refused = OrderEvent::ReservationRefused {
            location: LocationId::new("L1").expect("valid"),
            refusals: vec![Refusal {
                attempt: 1,
                line: 0,
                available: 2,
                reason: "insufficient".into(),
            }],
        };
        let (kind, data) = presentable(&refused).expect("JSON");
        assert_eq!(kind, "reservation_refused");
        assert_eq!(data["refusals"][0]["available"], 2);
    }
}
