//! A hold that is kept for a line of an order: that line gets it, and nobody else ever does.

use consign_domain::ids::HoldId;
use consign_domain::location::{Answer, LocationCommand, Request};
use proptest::prelude::*;

use crate::location_world::{Shelf, at, attempt, hold, sku};
use crate::messages::END;

/// Attempts of other orders than that of attempt 1.
const OTHERS: [u32; 6] = [2, 3, 5, 6, 8, 9];

fn reserve(number: u32, units: u32, partial: bool) -> Request {
    Request::Reserve {
        attempt: attempt(number),
        units,
        per_unit: vec![(sku(1), 1)],
        partial,
        promise: at(0),
        not_after: END,
    }
}

fn claim() -> LocationCommand {
    let attempt = attempt(1);
    LocationCommand::ClaimHold {
        hold: hold(1),
        order: attempt.order,
        line: attempt.line,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever others ask for before, between and after, once or more: until its time is over, the
    /// line gets all that was held. What it does not need is there for the next (L1, L3, L5).
    #[test]
    fn what_is_held_goes_to_its_line(
        stock in 1_u32..12,
        held in 1_u32..12,
        wanted in 1_u32..14,
        others in prop::collection::vec((prop::sample::select(&OTHERS[..]), 1_u32..6, 0_usize..3), 0..8),
        repeats in 1_usize..3,
    ) {
        prop_assume!(held <= stock);
        let mut shelf = Shelf::with_stock(&[(1, stock)]);
        let items = vec![(sku(1), held)];
        let hold = LocationCommand::Hold { hold: hold(1), items, partial: false, expires_at: at(1_000) };
        shelf.tell(&hold).expect("there is enough");
        let others_ask = |shelf: &mut Shelf, when: usize| -> u32 {
            let now = others.iter().filter(|(.., moment)| *moment == when);
            now.map(|(number, units, _)| match shelf.ask(reserve(*number, *units, true)) {
                Answer::Stands { units, .. } => units,
                _ => 0,
            }).max().unwrap_or(0)
        };
        others_ask(&mut shelf, 0);
        for _ in 0..repeats {
            shelf.tell(&claim()).expect("it is live");
        }
        others_ask(&mut shelf, 1);
        let free = u32::try_from(shelf.location.available(&sku(1))).expect("nothing is oversold");
        let first = shelf.ask(reserve(1, wanted, true));
        let granted = wanted.min(held + free);
        let stands = Answer::Stands { attempt: 1, units: granted, picked: 0, short: 0, shipped: 0 };
        prop_assert_eq!(&first, &stands);
        prop_assert_eq!(shelf.ask(reserve(1, wanted, true)), first, "once more is the same");
        prop_assert_eq!(shelf.location.holds().count(), 0);
        // A late copy of the claim, or of the hold, brings nothing back.
        prop_assert!(shelf.tell(&claim()).is_err());
        prop_assert!(shelf.tell(&hold).is_err());
        let left = i64::from(held + free - granted);
        prop_assert_eq!(shelf.location.available(&sku(1)), left);
        others_ask(&mut shelf, 2);
    }

    /// Past its time, whichever name it has, it is there for all (L5).
    #[test]
    fn a_claim_lasts_no_longer_than_the_hold(claimed in any::<bool>(), held in 1_u32..9) {
        let mut shelf = Shelf::with_stock(&[(1, held)]);
        let items = vec![(sku(1), held)];
        let hold = LocationCommand::Hold { hold: hold(1), items, partial: false, expires_at: at(1_000) };
        shelf.tell(&hold).expect("there is enough");
        if claimed {
            shelf.tell(&claim()).expect("it is live");
        }
        shelf.now = at(1_000);
        prop_assert!(shelf.tell(&claim()).is_err());
        let other = shelf.ask(reserve(2, held, false));
        let stands = Answer::Stands { attempt: 2, units: held, picked: 0, short: 0, shipped: 0 };
        prop_assert_eq!(other, stands);
    }

    /// A count that finds less than is held ends the hold, under either name; nobody gets more than
    /// there is (L1).
    #[test]
    fn a_count_is_believed(counted in 0_u32..6, claims_first in any::<bool>()) {
        let mut shelf = Shelf::with_stock(&[(1, 5)]);
        let items = vec![(sku(1), 5)];
        let hold = LocationCommand::Hold { hold: hold(1), items, partial: false, expires_at: at(1_000) };
        shelf.tell(&hold).expect("there is enough");
        let count = LocationCommand::Count {
            sku: sku(1), counted, counted_at: shelf.now, reference: "c".into()
        };
        if claims_first {
            shelf.tell(&claim()).expect("it is live");
        }
        shelf.tell(&count).expect("a count is never refused");
        if !claims_first {
            prop_assert_eq!(shelf.tell(&claim()).is_ok(), counted >= 5);
        }
        let granted = match shelf.ask(reserve(1, 5, true)) {
            Answer::Stands { units, .. } => units,
            _ => 0,
        };
        prop_assert_eq!(granted, counted.min(5));
    }
}

/// Names of holds never meet: a client's order may be called like a reservation.
#[test]
fn an_order_named_like_a_reservation_has_names_of_its_own() {
    let order = "R1-h1".parse().expect("a valid name");
    let reservation = "R1".parse().expect("a valid name");
    let of_line = HoldId::of_order_line(&order, 0);
    assert_ne!(of_line, HoldId::of_reservation(&reservation, 1));
}
