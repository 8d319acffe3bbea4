//! Moments at the edge: RFC 3339 with any offset in, RFC 3339 in UTC out; time zones by name.

use consign_domain::time::Timestamp;
use serde::{Serialize, Serializer};

/// The moment that an RFC 3339 text names, `None` if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    // Without an offset there is no moment; jiff says so too.
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(moment.as_microsecond()))
}

/// Whether the bundled tz database knows the zone.
#[must_use]
pub fn zone_exists(name: &str) -> bool {
    jiff::tz::TimeZone::get(name).is_ok()
}

/// A moment on its way out.
#[derive(Clone, Copy, Debug)]
pub struct TimeText(pub Timestamp);

impl std::fmt::Display for TimeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0.0) {
            Ok(moment) => write!(f, "{moment}"),
            // Beyond the years that RFC 3339 can name.
            Err(_) => f.write_str("9999-12-31T23:59:59Z"),
        }
    }
}

impl Serialize for TimeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_taken_and_utc_is_shown() {
        let moment = parse("2010-12-01T10:26:00+02:00").expect("a moment");
        assert_eq!(TimeText(moment).to_string(), "2010-12-01T08:26:00Z");
        let fine = parse("2026-11-23T12:00:00.123456Z").expect("a moment");
        assert_eq!(TimeText(fine).to_string(), "2026-11-23T12:00:00.123456Z");
        assert_eq!(parse("2010-12-01T10:26:00"), None);
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn zones_are_known_by_name() {
        assert!(zone_exists("Europe/London"));
        assert!(!zone_exists("Europe/Atlantis"));
        assert!(!zone_exists("../etc/passwd"));
    }
}
