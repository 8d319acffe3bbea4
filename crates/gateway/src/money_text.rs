//! Money at the edge: decimal text in, exact integers out, and back.
//!
//! Inside, amounts are minor units and prices ten-thousandths ([`consign_domain::money`]); no
//! float is ever made of them. Trailing zeros beyond the allowed decimals are harmless and taken.

use std::fmt;

use consign_domain::money::{Currency, Minor, UNIT_PRICE_DECIMALS, UnitPrice};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// The longest decimal that is looked at, in bytes.
const DECIMAL_BYTES_MAX: usize = 32;

/// The longest text of an amount: 19 digits, a sign, a point and the zero before it, with room left.
const TEXT_BYTES_MAX: usize = 32;

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecimal {
    /// Not digits with at most one point between them.
    #[error("must be a decimal in digits such as \"2.55\", without exponent, sign or spaces")]
    NotADecimal,
    /// More decimals than fit.
    #[error("has more decimals than the {allowed} that are allowed here")]
    TooManyDecimals {
        /// Decimals that fit.
        allowed: u32,
    },
    /// Beyond 18 digits.
    #[error("is too large")]
    OutOfRange,
}

impl InvalidDecimal {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            InvalidDecimal::NotADecimal => "not_a_decimal",
            InvalidDecimal::TooManyDecimals { .. } => "too_many_decimals",
            InvalidDecimal::OutOfRange => "out_of_range",
        }
    }
}

/// `text` as an integer count of 10^−`decimals`. Not negative: nothing here has a sign.
///
/// # Errors
/// When it is no plain decimal, too precise, or too large.
pub fn scaled(text: &str, decimals: u32) -> Result<i64, InvalidDecimal> {
    let bytes = text.as_bytes();
    let digit_at = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let plain = !bytes.is_empty()
        && digit_at(0)
        && digit_at(bytes.len() - 1)
        && bytes.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && bytes.iter().filter(|b| **b == b'.').count() <= 1;
    if !plain {
        return Err(InvalidDecimal::NotADecimal);
    }
    if bytes.len() > DECIMAL_BYTES_MAX {
        return Err(InvalidDecimal::OutOfRange);
    }
    let decimal = Decimal::from_str_exact(text).map_err(|_| InvalidDecimal::OutOfRange)?;
    let decimal = if decimal.scale() > decimals {
        decimal.normalize()
    } else {
        decimal
    };
    if decimal.scale() > decimals {
        return Err(InvalidDecimal::TooManyDecimals { allowed: decimals });
    }
    let factor = 10_i128.pow(decimals - decimal.scale());
    decimal
        .mantissa()
        .checked_mul(factor)
        .and_then(|n| i64::try_from(n).ok())
        .ok_or(InvalidDecimal::OutOfRange)
}

/// A price of one unit.
///
/// # Errors
/// As [`scaled`].
pub fn unit_price(text: &str) -> Result<UnitPrice, InvalidDecimal> {
    let price = UnitPrice(scaled(text, UNIT_PRICE_DECIMALS)?);
    if price > UnitPrice::MAX {
        Err(InvalidDecimal::OutOfRange)
    } else {
        Ok(price)
    }
}

/// An integer count of 10^−`decimals`, shown as a decimal with at least `decimals_min` decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalText {
    value: i64,
    decimals: u32,
    decimals_min: u32,
}

impl DecimalText {
    /// An amount in minor units of `currency`.
    #[must_use]
    pub fn amount(value: Minor, currency: Currency) -> DecimalText {
        let decimals = currency.decimals();
        DecimalText {
            value,
            decimals,
            decimals_min: decimals,
        }
    }
    /// A unit price, with the currency's decimals or as many more as it needs.
    #[must_use]
    pub fn unit_price(price: UnitPrice, currency: Currency) -> DecimalText {
        DecimalText {
            value: price.0,
            decimals: UNIT_PRICE_DECIMALS,
            decimals_min: currency.decimals().min(UNIT_PRICE_DECIMALS),
        }
    }
    /// A rate in parts per million, as a fraction.
    #[must_use]
    pub fn rate(ppm: u32) -> DecimalText {
        DecimalText {
            value: i64::from(ppm),
            decimals: 6,
            decimals_min: 2,
        }
    }
}

impl DecimalText {
    /// Writes the text to the end of `out` and gives it. An answer has dozens of amounts, and
    /// `fmt` would take longer for one than the rest of its field.
    fn written<'a>(&self, out: &'a mut [u8; TEXT_BYTES_MAX]) -> &'a str {
        let (mut value, mut decimals) = (self.value, self.decimals);
        while decimals > self.decimals_min && value % 10 == 0 {
            value /= 10;
            decimals -= 1;
        }
        let mut left = value.unsigned_abs();
        let mut start = out.len();
        let mut digits = 0;
        while left > 0 || digits <= decimals {
            if digits == decimals && decimals > 0 {
                start -= 1;
                out[start] = b'.';
            }
            start -= 1;
            out[start] = b'0' + (left % 10) as u8;
            left /= 10;
            digits += 1;
        }
        if value < 0 {
            start -= 1;
            out[start] = b'-';
        }
        std::str::from_utf8(&out[start..]).expect("digits, a point and a sign")
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written(&mut [0; TEXT_BYTES_MAX]))
    }
}

impl Serialize for DecimalText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written(&mut [0; TEXT_BYTES_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).expect("a currency")
    }

    fn amount(text: &str, currency: Currency) -> Result<Minor, InvalidDecimal> {
        scaled(text, currency.decimals())
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        assert_eq!(amount("2.55", currency("GBP")), Ok(255));
        assert_eq!(amount("2.5", currency("GBP")), Ok(250));
        assert_eq!(amount("2.550", currency("GBP")), Ok(255));
        assert_eq!(
            amount("2.555", currency("GBP")),
            Err(InvalidDecimal::TooManyDecimals { allowed: 2 })
        );
        assert_eq!(amount("1240", currency("JPY")), Ok(1_240));
        assert_eq!(amount("1240.00", currency("JPY")), Ok(1_240));
        assert_eq!(amount("1.255", currency("BHD")), Ok(1_255));
        assert_eq!(
            DecimalText::amount(1_240, currency("JPY")).to_string(),
            "1240"
        );
        assert_eq!(DecimalText::amount(5, currency("GBP")).to_string(), "0.05");
        assert_eq!(
            DecimalText::amount(-250, currency("GBP")).to_string(),
            "-2.50"
        );
        assert_eq!(
            DecimalText::amount(1_255, currency("BHD")).to_string(),
            "1.255"
        );
    }

    #[test]
    fn prices_show_what_they_need() {
        let gbp = currency("GBP");
        let shown = |text: &str| {
            DecimalText::unit_price(unit_price(text).expect("a price"), gbp).to_string()
        };
        assert_eq!(shown("2.5"), "2.50");
        assert_eq!(shown("0"), "0.00");
        assert_eq!(shown("0.0125"), "0.0125");
        assert_eq!(shown("0.125"), "0.125");
        assert_eq!(DecimalText::rate(200_000).to_string(), "0.20");
        assert_eq!(DecimalText::rate(87_500).to_string(), "0.0875");
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in [
            "", "-1", "+1", "1e3", " 1", "1 ", ".5", "5.", "1_000", "1,00", "1.2.3", "NaN", "٣",
        ] {
            assert_eq!(
                scaled(text, 2),
                Err(InvalidDecimal::NotADecimal),
                "{text:?}"
            );
        }
        assert_eq!(
            scaled("99999999999999999999", 2),
            Err(InvalidDecimal::OutOfRange)
        );
        assert_eq!(scaled(&"9".repeat(40), 2), Err(InvalidDecimal::OutOfRange));
        assert_eq!(unit_price("100000001"), Err(InvalidDecimal::OutOfRange));
    }

    proptest! {
        #[test]
        fn every_amount_is_shown_as_its_digits(value: i64, decimals in 0_u32..=6, fewer in 0_u32..=6) {
            let text = DecimalText { value, decimals, decimals_min: decimals.saturating_sub(fewer) };
            let text = text.to_string();
            let (units, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = format!("{units}{fraction:0<width$}", width = decimals as usize);
            prop_assert_eq!(digits.parse::<i64>(), Ok(value));
            prop_assert!(fraction.len() >= decimals.saturating_sub(fewer) as usize, "{}", text);
            prop_assert!(!units.trim_start_matches('-').is_empty(), "{}", text);
        }

        #[test]
        fn what_is_shown_reads_back(value in 0_i64..=1_000_000_000_000_000) {
            for code in ["JPY", "GBP", "BHD"] {
                let text = DecimalText::amount(value, currency(code)).to_string();
                prop_assert_eq!(amount(&text, currency(code)), Ok(value));
            }
        }
    }
}
