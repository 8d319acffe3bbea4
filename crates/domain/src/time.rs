//! Moments, as arguments: nothing in this crate reads a clock (L10).

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The epoch; also "never yet" for fields that start unset.
    pub const ZERO: Timestamp = Timestamp(0);

    /// This moment plus `millis` milliseconds, clamped at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}
