//! Property tests of reservations among real locations: messages are repeated, late, out of order and
//! lost; orders name reservations and reserve, others take what is free.

use crate::reservation_world::{Cart, HOLD_SECONDS, Step, World, steps};
use consign_domain::entity::Entity;
use consign_domain::order::{Fulfilment, SplitPolicy};
use consign_domain::reservation::{HoldState, ReservationStatus};
use proptest::prelude::*;

fn carts() -> impl Strategy<Value = Vec<Cart>> {
    let split = prop::sample::select(vec![
        SplitPolicy::Allow,
        SplitPolicy::Allow,
        SplitPolicy::ShipComplete,
        SplitPolicy::SingleLocation,
    ]);
    let lines = prop::collection::vec((0_u32..4, 1_u32..6), 1..4);
    let cart = (split, any::<bool>(), lines).prop_map(|(split, partial, lines)| Cart {
        split,
        partial: partial && split == SplitPolicy::Allow,
        lines,
    });
    prop::collection::vec(cart, 1..4)
}

fn stock() -> impl Strategy<Value = Vec<[u32; 3]>> {
    prop::collection::vec(prop::array::uniform3(0_u32..8), 3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// In any interleaving nothing is granted that is not there (L1, checked by the shelves), and what
    /// a reservation says is kept for it is kept: the order that names it gets all of it.
    #[test]
    fn what_is_said_to_be_held_is_held(stock in stock(), carts in carts(), steps in steps(60)) {
        let mut world = World::new(&stock, &carts);
        for step in &steps {
            world.take(step);
            world.check();
        }
    }

    /// When messages arrive again, everything settles: held whole or, if so asked, in part, or failed
    /// with nothing kept.
    #[test]
    fn all_of_it_or_nothing(stock in stock(), carts in carts(), steps in steps(30)) {
        let mut world = World::new(&stock, &carts);
        for step in steps.iter().filter(|step| matches!(step, Step::Deliver(..))) {
            world.take(step);
        }
        world.settle();
        for reservation in &world.reservations {
            let partial = reservation.partial;
            match reservation.status {
                ReservationStatus::Held => prop_assert!(partial || reservation.missing().is_empty()),
                ReservationStatus::Failed => {
                    prop_assert!(!reservation.short.is_empty());
                    prop_assert!(reservation.holds.iter().all(|hold| hold.state == HoldState::Ended));
                }
                other => prop_assert!(false, "{other:?} is no end of a request that was delivered"),
            }
            let mut places: Vec<_> = reservation.holds.iter()
                .filter(|hold| hold.state == HoldState::Held)
                .map(|hold| &hold.location)
                .collect();
            places.dedup();
            let one = reservation.terms.as_ref().map(|terms| terms.split) == Some(SplitPolicy::SingleLocation);
            prop_assert!(!one || places.len() <= 1, "{places:?}");
        }
        world.check();
    }

    /// Two orders name it: one gets it, whichever is first, however often each says so (L3).
    #[test]
    fn one_order_gets_it(stock in stock(), carts in carts(), first in 0_u32..2, repeats in 1_usize..4) {
        let mut world = World::new(&stock, &carts);
        world.settle();
        for nth in 0..world.reservations.len() {
            let was_held = world.reservations[nth].status == ReservationStatus::Held;
            for _ in 0..repeats {
                world.consume(nth, first);
                world.consume(nth, 1 - first);
            }
            world.settle();
            let reservation = &world.reservations[nth];
            let order = was_held.then(|| World::order(nth, first));
            prop_assert_eq!(reservation.order.clone(), order);
            prop_assert!(!reservation.has_pending());
        }
        world.orders_reserve();
        world.check();
    }

    /// Past its end nothing is kept for a reservation, nothing is pending, and no late message brings
    /// anything back (L5).
    #[test]
    fn nothing_leaks(stock in stock(), carts in carts(), steps in steps(60)) {
        let mut world = World::new(&stock, &carts);
        for step in &steps {
            world.take(step);
        }
        world.wait(i64::from(HOLD_SECONDS) * 1_000 + 1);
        world.wake();
        world.deliver_all_again();
        for reservation in &world.reservations {
            prop_assert!(!reservation.has_pending());
            prop_assert_eq!(reservation.wakeup(), None);
        }
        for shelf in &world.shelves {
            prop_assert_eq!(shelf.location.holds().count(), 0);
        }
        world.check();
    }
}

/// Services are never held, and a cart of them is held at once.
#[test]
fn what_is_virtual_needs_no_location() {
    let cart = Cart {
        split: SplitPolicy::Allow,
        partial: false,
        lines: vec![(9, 2)],
    };
    let world = World::new(&[[0; 3]], &[cart]);
    let reservation = &world.reservations[0];
    assert_eq!(reservation.lines[0].fulfilment, Fulfilment::Virtual);
    assert_eq!(reservation.status, ReservationStatus::Held);
    assert!(!reservation.has_pending());
}
