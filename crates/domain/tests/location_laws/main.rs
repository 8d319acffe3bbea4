//! Property tests of L1, L3 and L5 at a location: random commands, repeated, late and out of order.
//! The laws themselves are checked in `location_world` after every command.

mod capacity;
mod claims;
#[path = "../location_world/mod.rs"]
mod location_world;
mod messages;
mod reservation_world;
mod reservations;

use consign_domain::entity::Entity;
use consign_domain::location::blocks::BLOCKED_MILLIS;
use consign_domain::location::{Location, LocationCommand, LocationEffect, LocationEvent, Request};
use location_world::{Shelf, at, attempt, hold, serve, sku};
use messages::{ATTEMPTS, END, Step, release, reserve, steps};
use proptest::prelude::*;

/// Runs `steps`; returns every command that was given.
fn run(shelf: &mut Shelf, steps: &[Step]) -> Vec<LocationCommand> {
    let mut given: Vec<LocationCommand> = Vec::new();
    for step in steps {
        match step {
            Step::Tell(command) => {
                drop(shelf.tell(command));
                given.push(command.clone());
            }
            Step::Wait(millis) => shelf.now = shelf.now.plus_millis(*millis),
            Step::Again(nth) if !given.is_empty() => {
                let command = given[*nth % given.len()].clone();
                if messages::is_message(&command) {
                    drop(shelf.tell(&command));
                }
            }
            Step::Again(_) => {}
            Step::ConfirmDisplacements => confirm_displacements(shelf),
        }
    }
    given
}

/// Confirms displacements until none is pending, as orders do.
fn confirm_displacements(shelf: &mut Shelf) {
    for effect in shelf.location.pending() {
        if let LocationEffect::NotifyDisplaced { attempt, units } = effect {
            let command = LocationCommand::DisplacementConfirmed { attempt, units };
            shelf
                .tell(&command)
                .expect("a confirmation is never refused");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: nothing is granted that is not there (L1), what is over
    /// does not begin again (L3), each reserved unit has an owner (L5), movements sum to balances,
    /// and the stored parts are the location.
    #[test]
    fn laws_hold_under_any_commands(steps in steps(60)) {
        run(&mut Shelf::new("LEEDS"), &steps);
    }

    /// A message that is delivered twice in a row changes nothing the second time (L3).
    #[test]
    fn a_repeated_message_changes_nothing(steps in steps(50)) {
        let mut shelf = Shelf::new("LEEDS");
        for step in &steps {
            run(&mut shelf, std::slice::from_ref(step));
            if let Step::Tell(command) = step
                && messages::is_message(command)
                && let Ok((_, events)) = shelf.record(command)
            {
                prop_assert_eq!(events, Vec::<LocationEvent>::new(), "{:?}", command);
            }
        }
    }

    /// When every order has closed its attempts and every hold is past its end, every unit is free
    /// again, however often and however late the messages of before come once more (L5, L3).
    #[test]
    fn nothing_leaks(steps in steps(60), order in any::<prop::sample::Index>()) {
        let mut shelf = Shelf::new("LEEDS");
        let given = run(&mut shelf, &steps);
        for number in ATTEMPTS {
            let picked = shelf.location.reservation(&attempt(number)).map_or(0, |r| r.picked);
            let shipped = Request::Ship { attempt: attempt(number), shipped: picked, not_after: END };
            shelf.ask(shipped);
            shelf.ask(release(number, 0));
        }
        shelf.now = shelf.now.max(END).plus_millis(1);
        let now = shelf.now;
        shelf.tell(&LocationCommand::Wake { now }).expect("a timer is never refused");
        confirm_displacements(&mut shelf);
        // Late copies, in another order.
        let from = if given.is_empty() { 0 } else { order.index(given.len()) };
        for command in given[from..].iter().chain(&given[..from]).rev() {
            if messages::is_message(command) {
                drop(shelf.tell(command));
            }
        }
        for (sku, balance) in shelf.location.balances() {
            prop_assert_eq!((balance.reserved, balance.picked), (0, 0), "{}", sku);
        }
        prop_assert_eq!(shelf.location.reservations_after(None).count(), 0);
        prop_assert_eq!(shelf.location.holds().count(), 0);
        // Blocks end by themselves.
        shelf.now = shelf.now.plus_millis(BLOCKED_MILLIS);
        let now = shelf.now;
        shelf.tell(&LocationCommand::Wake { now }).expect("a timer is never refused");
        prop_assert_eq!(shelf.location.blocks_after(None).count(), 0);
        prop_assert_eq!(shelf.location.wakeup(), None);
        let told = shelf.location.pending().into_iter();
        let told = told.filter(|e| matches!(e, LocationEffect::NotifyDisplaced { .. })).count();
        prop_assert_eq!(told, 0);
    }

    /// The messages of one attempt, each delivered once or more in any order and then resent until
    /// nothing changes, come to the same end: shipped what was picked, the rest back (L3, L5).
    #[test]
    fn any_order_of_messages_comes_to_one_end(
        (asked, picked, short) in (1_u32..9, 0_u32..9, 0_u32..3),
        order in prop::collection::vec(0_usize..4, 0..12),
    ) {
        let picked = picked.min(asked);
        let messages = [
            reserve(1, asked, false),
            Request::Pick { attempt: attempt(1), picked, short },
            Request::Ship { attempt: attempt(1), shipped: picked, not_after: END },
            release(1, picked),
        ];
        let mut shelf = Shelf::with_stock(&[(1, 20)]);
        for nth in order {
            shelf.ask(messages[nth].clone());
        }
        for _ in 0..messages.len() {
            messages.iter().for_each(|message| drop(shelf.ask(message.clone())));
        }
        for message in &messages {
            let (_, events) = shelf.record(&serve(message.clone())).expect("served");
            prop_assert!(events.is_empty(), "{message:?}: {events:?}");
        }
        let balance = shelf.location.balance(&sku(1));
        prop_assert_eq!((balance.reserved, balance.picked), (0, 0));
        prop_assert!(20 - balance.on_hand <= i64::from(picked + short));
    }

    /// A count takes from the latest promise first, only what is not picked, and no more than it
    /// must.
    #[test]
    fn a_count_displaces_the_latest_promises_first(
        wishes in prop::collection::vec((1_u32..6, 0_i64..5, 0_u32..6), 1..12),
        counted in 0_u32..60,
    ) {
        let mut shelf = Shelf::with_stock(&[(1, 100)]);
        for (nth, (units, promise, picked)) in wishes.iter().enumerate() {
            let number = u32::try_from(nth).expect("small") + 1;
            shelf.ask(Request::Reserve {
                attempt: attempt(number),
                units: *units,
                per_unit: vec![(sku(1), 1)],
                partial: false,
                promise: at(promise * 1_000),
                not_after: END,
            });
            shelf.ask(Request::Pick { attempt: attempt(number), picked: *picked, short: 0 });
        }
        let before: Location = shelf.location.clone();
        let counted_at = shelf.now;
        let count = LocationCommand::Count { sku: sku(1), counted, counted_at, reference: "c".into() };
        shelf.tell(&count).expect("a count is never refused");
        let mut lost = Vec::new();
        for (name, units, picked) in before.reservations_after(None) {
            let after = shelf.location.reservation(name).map_or(0, |r| r.units);
            let promise = before.reservation(name).expect("it is listed").promise;
            prop_assert!(after >= picked, "picked units stay");
            lost.push((promise, units - after, after - picked));
        }
        for (promise, taken, _) in &lost {
            for (later, _, unpicked) in lost.iter().filter(|(later, ..)| later > promise) {
                prop_assert!(*taken == 0 || *unpicked == 0, "{promise:?} paid before {later:?}");
            }
        }
        let balance = shelf.location.balance(&sku(1));
        let unpicked: u32 = lost.iter().map(|(_, _, unpicked)| unpicked).sum();
        prop_assert!(balance.missing() == 0 || unpicked == 0);
        let needed = (before.balance(&sku(1)).reserved - i64::from(counted)).max(0);
        let taken: u32 = lost.iter().map(|(_, taken, _)| taken).sum();
        prop_assert!(i64::from(taken) <= needed, "no more than it must");
    }

    /// A hold becomes an order's reservation before its end or not at all; either way its units have
    /// one owner, and its own end takes nothing from the order.
    #[test]
    fn a_hold_converts_or_expires(converts_at in 0_i64..20, wakes_at in 0_i64..20, units in 1_u32..5) {
        let mut shelf = Shelf::with_stock(&[(1, 5)]);
        let expires_at = at(10);
        let items = vec![(sku(1), units)];
        shelf.tell(&LocationCommand::Hold { hold: hold(1), items, partial: false, expires_at }).expect("held");
        let convert = LocationCommand::ConvertHold {
            hold: hold(1),
            attempt: attempt(1),
            promise: at(99),
            not_after: END,
        };
        let mut moments = [(converts_at, true), (wakes_at, false)];
        moments.sort_unstable();
        let mut converted = false;
        for (moment, converts) in moments {
            shelf.now = at(moment);
            if converts {
                converted = shelf.tell(&convert).is_ok();
                prop_assert_eq!(converted, moment < 10);
            } else {
                let now = shelf.now;
                shelf.tell(&LocationCommand::Wake { now }).expect("a timer is never refused");
            }
        }
        shelf.now = at(21);
        let now = shelf.now;
        shelf.tell(&LocationCommand::Wake { now }).expect("a timer is never refused");
        shelf.tell(&LocationCommand::ReleaseHold { hold: hold(1) }).expect("releasing is harmless");
        let kept = if converted { i64::from(units) } else { 0 };
        prop_assert_eq!(shelf.location.balance(&sku(1)).reserved, kept);
        prop_assert_eq!(shelf.location.reservation(&attempt(1)).is_some(), converted);
    }
}
