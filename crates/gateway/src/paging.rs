//! Query strings: pages, cursors and filters.
//!
//! A cursor is opaque to clients. Ours is a letter for the list and the last item's name in
//! hexadecimal, so that a cursor of one list is not taken by another.

use std::fmt::Write as _;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use compact_str::CompactString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::Problem;
use crate::service_problem::cursor_invalid;

/// A query string of type `T`.
pub struct Asked<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Asked(value)),
            Err(error) => {
                let text = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                let name = text.split('`').nth(1).unwrap_or_default().to_owned();
                Err(Problem::query(&name, text))
            }
        }
    }
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items at most, 1 to 500; 50 if left out.
    #[param(value_type = Option<u32>)]
    pub limit: Option<CompactString>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<CompactString>,
}

impl PageQuery {
    /// Items wanted.
    ///
    /// # Errors
    /// 400 when out of range.
    pub fn limit(&self) -> Result<usize, Problem> {
        limit(self.limit.as_deref())
    }

    /// The name behind the cursor.
    ///
    /// # Errors
    /// 400 for a cursor of another list.
    pub fn after<T: FromStr>(&self, list: char) -> Result<Option<T>, Problem> {
        self.cursor
            .as_deref()
            .map(|cursor| decode(list, cursor))
            .transpose()
    }
}

/// Items wanted.
///
/// # Errors
/// 400 when out of range.
pub fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else {
        return Ok(PAGE_ITEMS_DEFAULT);
    };
    match text.parse() {
        Ok(limit) if (1..=PAGE_ITEMS_MAX).contains(&limit) => Ok(limit),
        _ => Err(Problem::query(
            "limit",
            format_args!("must be a whole number from 1 to {PAGE_ITEMS_MAX}"),
        )),
    }
}

/// The cursor after the item with this name.
#[must_use]
pub fn encode(list: char, name: &str) -> String {
    let mut cursor = String::with_capacity(1 + name.len() * 2);
    cursor.push(list);
    for byte in name.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(cursor, "{byte:02x}");
    }
    cursor
}

fn decode<T: FromStr>(list: char, cursor: &str) -> Result<T, Problem> {
    let hex = cursor.strip_prefix(list).ok_or_else(cursor_invalid)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if hex.is_empty() || hex.len() % 2 != 0 {
        return Err(cursor_invalid());
    }
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
    let name = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(cursor_invalid)?;
    name.parse().map_err(|_| cursor_invalid())
}

/// One value of a closed set, by its name in JSON.
///
/// # Errors
/// 400 naming the parameter.
pub fn one_of<T: DeserializeOwned>(
    parameter: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    use serde::de::IntoDeserializer;
    let Some(text) = text else { return Ok(None) };
    let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        text.into_deserializer();
    T::deserialize(deserializer)
        .map(Some)
        .map_err(|error| Problem::query(parameter, error))
}

/// An id in a query.
///
/// # Errors
/// 400 naming the parameter.
pub fn id<T: FromStr<Err: std::fmt::Display>>(
    parameter: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| required_id(parameter, text)).transpose()
}

/// An id in a query that must be there.
///
/// # Errors
/// 400 naming the parameter.
pub fn required_id<T: FromStr<Err: std::fmt::Display>>(
    parameter: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|error| Problem::query(parameter, error))
}

#[cfg(test)]
mod tests {
    use consign_domain::ids::Sku;
    use consign_domain::order::OrderStatus;

    use super::*;

    #[test]
    fn cursors_come_back_and_strangers_do_not() {
        let sku = Sku::new("15056bl").expect("valid");
        let cursor = encode('p', sku.as_str());
        assert_eq!(decode::<Sku>('p', &cursor).expect("ours"), sku);
        for bad in ["", "p", "p1", "pzz", "p00", "l3135", "é"] {
            assert_eq!(
                decode::<Sku>('p', bad).expect_err("not ours").code,
                "cursor_invalid",
                "{bad}"
            );
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(limit(None).expect("default"), PAGE_ITEMS_DEFAULT);
        assert_eq!(limit(Some("500")).expect("most"), 500);
        for bad in ["0", "501", "-1", "x", ""] {
            assert_eq!(
                limit(Some(bad)).expect_err("out of range").code,
                "invalid_query"
            );
        }
    }

    #[test]
    fn statuses_are_named_as_in_json() {
        assert_eq!(
            one_of("status", Some("in_fulfillment")).expect("known"),
            Some(OrderStatus::InFulfillment)
        );
        let problem = one_of::<OrderStatus>("status", Some("lost")).expect_err("unknown");
        assert!(problem.detail.contains("status"));
    }
}
