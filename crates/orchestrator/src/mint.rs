//! Order ids that the gateway mints: 22 characters of base 62, in time order, drawn until they
//! fall onto the wanted partition, so that a retry that has only its key finds its order there.
//!
//! Layout of the 128 bits: 48 bits of milliseconds since the epoch, then 80 random bits, as in a
//! UUID of version 7 (RFC 9562 §5.7) without the version and variant bits.

use compact_str::{ToCompactString, format_compact};
use consign_domain::ids::{OrderId, ReservationId};
use consign_domain::time::Timestamp;
use consign_runtime::{PartitionId, partition_of};

use crate::options::CallMeta;
use crate::service::Consign;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of base 62 that hold any 128-bit number.
const ID_DIGITS: usize = 22;
/// What ten digits count to.
const TEN_DIGITS: u128 = 62_u128.pow(10);
/// Digits that are drawn again until the id falls where it should; a `u32` holds five of them.
const REDRAWN_DIGITS: usize = 5;
/// Digits that time alone decides, but for its last hundredth of a second.
const TIME_DIGITS: usize = 8;
/// How often an id is drawn before any partition will do.
const DRAWS_MAX: u32 = 4_096;

/// `number` in 22 digits whose byte order is its numeric order.
pub(crate) fn base62(mut number: u128) -> String {
    let mut digits = [b'0'; ID_DIGITS];
    // Ten digits at a time, as many as 64 bits hold: dividing 128 bits costs ten times as much.
    for ten in digits.rchunks_mut(10) {
        let mut part = u64::try_from(number % TEN_DIGITS).unwrap_or_default();
        number /= TEN_DIGITS;
        for digit in ten.iter_mut().rev() {
            *digit = DIGITS[(part % 62) as usize];
            part /= 62;
        }
    }
    String::from_utf8_lossy(&digits).into_owned()
}

/// An id of this moment that falls onto `partition`.
fn mint(now: Timestamp, partition: u16, partitions: u16) -> OrderId {
    let millis = u128::from(now.as_millis().max(0).cast_unsigned()) & ((1 << 48) - 1);
    let mut digits = base62(millis << 80 | rand::random::<u128>() >> 48);
    for _ in 0..DRAWS_MAX {
        if partition_of(&digits, partitions) == partition {
            break;
        }
        // Only the last digits are drawn again: encoding all of them costs far more than a hash.
        digits.truncate(ID_DIGITS - REDRAWN_DIGITS);
        let mut drawn = rand::random::<u32>() as usize;
        for _ in 0..REDRAWN_DIGITS {
            digits.push(char::from(DIGITS[drawn % DIGITS.len()]));
            drawn /= DIGITS.len();
        }
    }
    OrderId::new(&digits).expect("base 62 is visible ASCII")
}

/// An id that follows from `seed`, in the time order of `like`, and falls onto `partition`.
fn mint_from(like: &str, seed: u128, partition: u16, partitions: u16) -> OrderId {
    let moment = like.get(..TIME_DIGITS).unwrap_or("00000000");
    let drawn = |nth: u32| {
        let digits = base62(seed.wrapping_add(u128::from(nth)));
        format!("{moment}{}", &digits[TIME_DIGITS..])
    };
    let fitting = (0..DRAWS_MAX)
        .map(drawn)
        .find(|digits| partition_of(digits, partitions) == partition);
    let digits = fitting.unwrap_or_else(|| drawn(0));
    OrderId::new(&digits).expect("of visible ASCII, as what it is like")
}

impl Consign {
    /// An id for an order without a client's: it lives where its key falls, so that a retry that
    /// has only the key finds it there.
    pub(crate) fn mint_for(&self, call: &CallMeta, reservation: Option<&ReservationId>) -> OrderId {
        let partitions = self.inner.node.partitions();
        let falls_by = match call.key {
            Some(key) => format_compact!("{:032x}", key.id),
            None => rand::random::<u64>().to_compact_string(),
        };
        let partition = partition_of(&falls_by, partitions);
        self.mint_at(PartitionId(partition), call, reservation)
    }

    /// An id that lives there. For an order that names a reservation it follows from its key, so that
    /// a retry is the very order that the units are kept for.
    pub(crate) fn mint_at(
        &self,
        PartitionId(partition): PartitionId,
        call: &CallMeta,
        reservation: Option<&ReservationId>,
    ) -> OrderId {
        let partitions = self.inner.node.partitions();
        match reservation.zip(call.key) {
            Some((reservation, key)) => {
                mint_from(reservation.as_str(), key.id, partition, partitions)
            }
            None => mint(self.inner.node.now(), partition, partitions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_fall_where_they_should() {
        let early = mint(Timestamp(1_000_000), 3, 8);
        let late = mint(Timestamp(1_000_000_000), 5, 8);
        assert!(early < late);
        assert_eq!(partition_of(early.as_str(), 8), 3);
        assert_eq!(partition_of(late.as_str(), 8), 5);
        let again = || mint_from(late.as_str(), u128::MAX - 1, 3, 8);
        assert_eq!(again(), again());
        assert_eq!(partition_of(again().as_str(), 8), 3);
        assert_eq!(again().as_str().len(), ID_DIGITS);
        assert_eq!(base62(u128::MAX).len(), ID_DIGITS);
        assert!(base62(61) < base62(62));
        assert_eq!(base62(u128::MAX), "7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(base62(62_u128.pow(10) + 61), "000000000001000000000z");
    }
}
