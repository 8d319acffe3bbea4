//! Tracking numbers in the form of the Universal Postal Union's S10: two letters, eight digits, a
//! check digit, two letters (UPU standard S10-12).

use crate::ids::TrackingNumber;

/// Weights of the eight digits.
const WEIGHTS: [u32; 8] = [8, 6, 4, 2, 3, 5, 9, 7];
/// Numbers that eight digits hold.
pub const SERIALS: u32 = 100_000_000;
/// The last two letters: by the standard a country; `CN`-issued numbers of Consign's own carriers
/// use the user-assigned code of ISO 3166.
const SUFFIX: &str = "XC";

/// The check digit of a serial number: 11 − (Σ digit × weight mod 11), where 10 becomes 0 and 11 becomes 5.
#[must_use]
pub fn check_digit(serial: u32) -> u32 {
    let mut rest = serial % SERIALS;
    let mut sum = 0;
    for weight in WEIGHTS.iter().rev() {
        sum += rest % 10 * weight;
        rest /= 10;
    }
    match 11 - sum % 11 {
        10 => 0,
        11 => 5,
        digit => digit,
    }
}

/// The tracking number of a serial number under a carrier's two letters.
#[must_use]
pub fn issue(prefix: &str, serial: u32) -> TrackingNumber {
    let serial = serial % SERIALS;
    let text = format!("{prefix}{serial:08}{}{SUFFIX}", check_digit(serial));
    TrackingNumber::new(&text).expect("letters and digits are visible ASCII")
}

/// Whether a text has the form and the right check digit.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let form = bytes.len() == 13
        && bytes[..2]
            .iter()
            .chain(&bytes[11..])
            .all(u8::is_ascii_uppercase)
        && bytes[2..11].iter().all(u8::is_ascii_digit);
    form && text[2..10]
        .parse()
        .is_ok_and(|serial| text[10..11].parse() == Ok(check_digit(serial)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 47312482 has check digit 9: the example of the standard.
    #[test]
    fn the_standards_example() {
        assert_eq!(check_digit(47_312_482), 9);
        assert!(is_valid("RR473124829GB"));
        assert!(!is_valid("RR473124828GB"));
    }

    /// Remainders 0 and 6 share check digit 5, so the standard misses one wrong digit of nine at a
    /// place at most, and none where the check digit is another.
    #[test]
    fn what_is_issued_is_valid_and_a_wrong_digit_is_nearly_always_found() {
        for serial in [0, 1, 9, 12_345_678, 47_312_482, 99_999_999] {
            let number = issue("CN", serial);
            assert!(is_valid(number.as_str()), "{number}");
            for at in 2..10 {
                let mut wrong = number.as_str().to_owned().into_bytes();
                let right = wrong[at];
                let mut missed = 0;
                for digit in (b'0'..=b'9').filter(|digit| *digit != right) {
                    wrong[at] = digit;
                    missed += u32::from(is_valid(std::str::from_utf8(&wrong).expect("ASCII")));
                }
                let allowed = u32::from(check_digit(serial) == 5);
                assert!(missed <= allowed, "{number} at {at}: {missed}");
            }
        }
    }
}
