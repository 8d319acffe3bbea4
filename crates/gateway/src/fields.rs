//! Checks of single fields that gather every fault instead of stopping at the first.
//!
//! In: raw texts and numbers of a parsed body. Out: domain values, or one problem that names all
//! fields at fault by JSON pointer. Pointers cost nothing until something is wrong.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use consign_domain::catalogue::Position;
use consign_domain::ids::InvalidId;
use consign_domain::money::{Currency, Minor, UnitPrice};
use consign_domain::time::Timestamp;

use crate::money_text::{self, InvalidDecimal};
use crate::problem::{FIELD_ERRORS_MAX, FieldError, Problem, shown};
use crate::time_text;

/// The longest text of a name, reason or remark, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// The longest code (service level, order type, …), in bytes.
pub const CODE_BYTES_MAX: usize = 64;

/// A place in a body, as a chain on the stack.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The whole body.
    Root,
    /// A member.
    Field(&'a At<'a>, &'a str),
    /// An element.
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    /// A member of this place.
    #[must_use]
    pub fn field(&'a self, name: &'a str) -> At<'a> {
        At::Field(self, name)
    }
    /// An element of this place.
    #[must_use]
    pub fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }
}

/// RFC 6901.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(parent, name) => {
                write!(f, "{parent}/{}", escaped(name))
            }
            At::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A member name as it stands in a JSON pointer.
#[must_use]
pub fn escaped(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        Cow::Owned(name.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(name)
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub struct Faults {
    found: Vec<FieldError>,
    unreported: usize,
}

impl Faults {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Notes a fault.
    pub fn add(
        &mut self,
        at: &At<'_>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) {
        if self.found.len() >= FIELD_ERRORS_MAX {
            self.unreported += 1;
            return;
        }
        self.found.push(FieldError {
            pointer: at.to_string(),
            code: code.into(),
            detail: detail.into(),
        });
    }

    /// `value` if nothing was found.
    ///
    /// # Errors
    /// The first fault of what was checked as a query's parameter.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub fn finish_query(&self, parameter: &str) -> Result<(), Problem> {
        match self.found.first() {
            Some(fault) => Err(Problem::query(parameter, &fault.detail)),
            None => Ok(()),
        }
    }

    /// The problem with all faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self.problem()),
        }
    }

    /// The problem with all faults.
    #[must_use]
    pub fn problem(self) -> Problem {
        let problem = Problem::validation(self.found);
        if self.unreported > 0 {
            problem.with("errors_unreported", self.unreported)
        } else {
            problem
        }
    }

    /// An id, SKU or code with a type of its own.
    pub fn id<T: FromStr<Err = InvalidId>>(&mut self, at: &At<'_>, text: &str) -> Option<T> {
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.add(at, "invalid_id", error.to_string());
                None
            }
        }
    }

    /// An optional id. `Some(None)` where it was left out.
    pub fn id_if<T: FromStr<Err = InvalidId>>(
        &mut self,
        at: &At<'_>,
        text: Option<&CompactString>,
    ) -> Option<T> {
        text.and_then(|text| self.id(at, text))
    }

    /// A text of 1 to `bytes_max` bytes without control characters.
    pub fn text(&mut self, at: &At<'_>, text: &str, bytes_max: usize) -> bool {
        if text.is_empty() {
            self.add(
                at,
                "empty",
                "must not be empty; leave the field out where that is allowed",
            );
        } else if text.len() > bytes_max {
            self.add(at, "too_long", format!("must be at most {bytes_max} bytes"));
        } else if text.chars().any(char::is_control) {
            self.add(at, "invalid_value", "must not hold control characters");
        } else {
            return true;
        }
        false
    }

    /// As [`Faults::text`], where there is one.
    pub fn text_if(&mut self, at: &At<'_>, text: Option<&str>, bytes_max: usize) {
        if let Some(text) = text {
            self.text(at, text, bytes_max);
        }
    }

    /// Free text, which may be empty and hold line breaks.
    pub fn remark(&mut self, at: &At<'_>, text: Option<&str>) {
        if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            self.add(
                at,
                "too_long",
                format!("must be at most {TEXT_BYTES_MAX} bytes"),
            );
        }
    }

    /// A whole number within bounds.
    pub fn range(&mut self, at: &At<'_>, value: u32, least: u32, most: u32) -> bool {
        let fits = (least..=most).contains(&value);
        if !fits {
            self.add(
                at,
                "out_of_range",
                format!("must be {least} to {most}, not {value}"),
            );
        }
        fits
    }

    /// ISO 3166-1 alpha-2, upper case.
    pub fn country(&mut self, at: &At<'_>, code: &str) -> bool {
        let fits = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if !fits {
            let detail = format!(
                "must be an ISO 3166-1 code of two upper-case letters such as \"GB\", not \"{}\"",
                shown(code)
            );
            self.add(at, "invalid_country", detail);
        }
        fits
    }

    /// ISO 4217.
    pub fn currency(&mut self, at: &At<'_>, code: &str) -> Option<Currency> {
        let currency = Currency::from_code(code);
        if currency.is_none() {
            let detail = format!(
                "must be an ISO 4217 code in upper case such as \"GBP\", not \"{}\"",
                shown(code)
            );
            self.add(at, "unknown_currency", detail);
        }
        currency
    }

    /// Degrees, in millionths; both or neither.
    pub fn position(
        &mut self,
        at: &At<'_>,
        latitude: Option<f64>,
        longitude: Option<f64>,
    ) -> Option<Position> {
        match (latitude, longitude) {
            (None, None) => None,
            (Some(latitude), Some(longitude)) => {
                let latitude_e6 = self.degrees(&at.field("latitude"), latitude, 90);
                let longitude_e6 = self.degrees(&at.field("longitude"), longitude, 180);
                Some(Position {
                    latitude_e6: latitude_e6?,
                    longitude_e6: longitude_e6?,
                })
            }
            (given, _) => {
                let missing = if given.is_some() {
                    "longitude"
                } else {
                    "latitude"
                };
                self.add(
                    &at.field(missing),
                    "missing_field",
                    "latitude and longitude come together",
                );
                None
            }
        }
    }

    fn degrees(&mut self, at: &At<'_>, degrees: f64, most: i32) -> Option<i32> {
        let most_e6 = most * 1_000_000;
        let e6 = (degrees * 1e6).round();
        if e6.is_finite() && e6.abs() <= f64::from(most_e6) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within ±180 million, just checked"
            )]
            return Some(e6 as i32);
        }
        self.add(
            at,
            "out_of_range",
            format!("must be degrees from -{most} to {most}"),
        );
        None
    }

    /// RFC 3339 with an offset.
    pub fn time(&mut self, at: &At<'_>, text: &str) -> Option<Timestamp> {
        let moment = time_text::parse(text);
        if moment.is_none() {
            self.add(
                at,
                "invalid_time",
                format!("must be an RFC 3339 time with offset such as \"2010-12-01T08:26:00Z\", not \"{}\"", shown(text)),
            );
        }
        moment
    }

    /// As [`Faults::time`], where there is one.
    pub fn time_if(&mut self, at: &At<'_>, text: Option<&CompactString>) -> Option<Timestamp> {
        text.and_then(|text| self.time(at, text))
    }

    /// An amount of the currency, in minor units. Without a valid currency only the form is checked.
    pub fn amount(&mut self, at: &At<'_>, text: &str, currency: Option<Currency>) -> Option<Minor> {
        let decimals = currency.map_or(4, Currency::decimals);
        self.decimal(at, money_text::scaled(text, decimals))
    }

    /// A price of one unit.
    pub fn unit_price(&mut self, at: &At<'_>, text: &str) -> Option<UnitPrice> {
        self.decimal(at, money_text::unit_price(text))
    }

    /// A rate as a fraction, in parts per million.
    pub fn rate(&mut self, at: &At<'_>, text: &str) -> Option<u32> {
        let ppm = self.decimal(at, money_text::scaled(text, 6))?;
        match u32::try_from(ppm) {
            Ok(ppm) if ppm <= 10_000_000 => Some(ppm),
            _ => {
                self.add(
                    at,
                    "out_of_range",
                    "must be a fraction from \"0\" to \"10\"; \"0.20\" is 20 %",
                );
                None
            }
        }
    }

    fn decimal<T>(&mut self, at: &At<'_>, value: Result<T, InvalidDecimal>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(at, error.code(), error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_gathered_with_their_pointers() {
        let mut faults = Faults::default();
        let root = At::Root;
        let lines = root.field("lines");
        let line = lines.index(3);
        assert!(
            faults
                .id::<consign_domain::ids::Sku>(&line.field("sku"), "a b")
                .is_none()
        );
        assert!(!faults.range(&line.field("quantity"), 0, 1, 5));
        assert!(!faults.country(&root.field("a/b~c"), "gb"));
        let problem = faults.finish(Some(())).expect_err("three faults");
        let found: Vec<_> = problem
            .errors
            .iter()
            .map(|e| (e.pointer.as_str(), e.code.as_ref()))
            .collect();
        assert_eq!(
            found,
            [
                ("/lines/3/sku", "invalid_id"),
                ("/lines/3/quantity", "out_of_range"),
                ("/a~1b~0c", "invalid_country")
            ]
        );
    }

    #[test]
    fn positions_come_in_pairs_and_in_range() {
        let mut faults = Faults::default();
        let at = At::Root;
        assert_eq!(
            faults.position(&at, Some(51.5), Some(-0.1)),
            Some(Position {
                latitude_e6: 51_500_000,
                longitude_e6: -100_000
            })
        );
        assert_eq!(faults.position(&at, None, None), None);
        assert!(faults.is_empty());
        assert_eq!(faults.position(&at, Some(91.0), Some(181.0)), None);
        assert_eq!(faults.position(&at, Some(f64::NAN), Some(0.0)), None);
        assert_eq!(faults.position(&at, Some(1.0), None), None);
        assert_eq!(faults.problem().errors.len(), 4);
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_says_so() {
        let mut faults = Faults::default();
        for _ in 0..FIELD_ERRORS_MAX + 5 {
            faults.add(&At::Root, "empty", "empty");
        }
        let problem = faults.problem();
        assert_eq!(problem.errors.len(), FIELD_ERRORS_MAX);
        assert_eq!(problem.members, [("errors_unreported", 5.into())]);
    }
}
