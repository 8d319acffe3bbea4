//! Money in minor units of an ISO 4217 currency; no float anywhere near it.

use iso_currency::Currency as Iso;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units of its order's currency (pence, cents, yen, fils).
pub type Minor = i64;

/// The largest amount an order may come to, in minor units.
pub const AMOUNT_MAX: Minor = 1_000_000_000_000_000;

/// Decimal places of a [`UnitPrice`].
pub const UNIT_PRICE_DECIMALS: u32 = 4;

/// An ISO 4217 currency with 0, 2, 3 or 4 decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Currency(Iso);

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code())
    }
}

impl Currency {
    /// The currency of a three-letter code, upper case.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Currency> {
        let iso = Iso::from_code(code)?;
        iso.exponent().is_some().then_some(Currency(iso))
    }
    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }
    /// Decimal places of its minor unit.
    #[must_use]
    pub fn decimals(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(2))
    }
}

/// A price of one unit in ten-thousandths of the currency's major unit: `2.55` is 25,500.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnitPrice(pub i64);

impl UnitPrice {
    /// The largest price of one unit: a hundred million major units.
    pub const MAX: UnitPrice = UnitPrice(100_000_000 * 10_000);

    /// The price of `quantity` units in minor units, rounded once, half away from zero.
    /// `None` when it would pass [`AMOUNT_MAX`].
    #[must_use]
    pub fn times(self, quantity: u32, currency: Currency) -> Option<Minor> {
        let decimals = currency.decimals();
        let exact = i128::from(self.0) * i128::from(quantity);
        let amount = if decimals >= UNIT_PRICE_DECIMALS {
            exact * 10_i128.pow(decimals - UNIT_PRICE_DECIMALS)
        } else {
            let divisor = 10_i128.pow(UNIT_PRICE_DECIMALS - decimals);
            let half = divisor / 2 * exact.signum();
            (exact + half) / divisor
        };
        i64::try_from(amount).ok().filter(|a| a.abs() <= AMOUNT_MAX)
    }
}

/// The part of `total` that falls on units `from..to` of `units`, so that the parts of any cut
/// into ranges sum exactly to `total` (cumulative rounding down).
#[must_use]
pub fn share(total: Minor, units: u32, from: u32, to: u32) -> Minor {
    if units == 0 {
        return 0;
    }
    let upto = |n: u32| i128::from(total) * i128::from(n) / i128::from(units);
    i64::try_from(upto(to) - upto(from)).unwrap_or(0)
}
