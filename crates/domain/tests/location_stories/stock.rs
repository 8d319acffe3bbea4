//! Receipts, adjustments, counts, returns, transfers.

use consign_domain::entity::Entity;
use consign_domain::location::{
    LocationCommand, LocationEffect, LocationRejection, LocationReply, Request,
};
use consign_domain::order::Disposition;
use consign_domain::time::Timestamp;
use proptest::prelude::*;

use crate::location_world::{START, Shelf, at, attempt, place, return_id, sku};

fn count(counted: u32, counted_at: Timestamp) -> LocationCommand {
    LocationCommand::Count {
        sku: sku(1),
        counted,
        counted_at,
        reference: "count".into(),
    }
}

fn pointer(result: &Result<LocationReply, LocationRejection>) -> &str {
    match result {
        Err(LocationRejection::Invalid { pointer, .. }) => pointer,
        other => panic!("it should be invalid: {other:?}"),
    }
}

/// Sends `units` to a customer, now.
fn sell(shelf: &mut Shelf, number: u32, units: u32) {
    let not_after = at(3_600_000);
    let (attempt, per_unit) = (attempt(number), vec![(sku(1), 1)]);
    let promise = at(0);
    shelf.ask(Request::Reserve {
        attempt: attempt.clone(),
        units,
        per_unit,
        partial: false,
        promise,
        not_after,
    });
    shelf.ask(Request::Pick {
        attempt: attempt.clone(),
        picked: units,
        short: 0,
    });
    shelf.ask(Request::Ship {
        attempt,
        shipped: units,
        not_after,
    });
}

#[test]
fn wrong_quantities_are_named() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    let receive = |quantity| LocationCommand::Receive {
        sku: sku(1),
        quantity,
        reference: "".into(),
    };
    assert_eq!(pointer(&shelf.tell(&receive(0))), "/quantity");
    assert_eq!(pointer(&shelf.tell(&receive(u32::MAX))), "/quantity");
    let adjust = |delta, damaged_delta| LocationCommand::Adjust {
        sku: sku(1),
        delta,
        damaged_delta,
        reference: "".into(),
    };
    assert_eq!(pointer(&shelf.tell(&adjust(0, 0))), "/quantity");
    assert_eq!(pointer(&shelf.tell(&adjust(-6, 0))), "/quantity");
    assert_eq!(pointer(&shelf.tell(&adjust(0, 6))), "/damaged");
    assert_eq!(pointer(&shelf.tell(&adjust(0, -1))), "/damaged");
    assert_eq!(pointer(&shelf.tell(&count(u32::MAX, START))), "/counted");
    let future = shelf.now.plus_millis(1);
    assert_eq!(pointer(&shelf.tell(&count(5, future))), "/counted_at");
    assert_eq!(shelf.location.balance(&sku(1)).on_hand, 5);
}

/// Somebody counted 9 at two o'clock; three were sold before the figure was typed in.
#[test]
fn a_count_of_a_past_moment_allows_for_what_happened_since() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    shelf.now = at(1_000);
    sell(&mut shelf, 1, 2);
    let counted_at = at(2_000);
    shelf.now = at(3_000);
    sell(&mut shelf, 2, 3);
    shelf.receive(1, 20);
    shelf.now = at(4_000);
    shelf
        .tell(&count(9, counted_at))
        .expect("a count is never refused");
    assert_eq!(shelf.location.balance(&sku(1)).on_hand, 9 - 3 + 20);
}

#[test]
fn a_count_of_now_is_what_is_there() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    for number in 1..=40 {
        shelf.now = shelf.now.plus_millis(10);
        sell(&mut shelf, number, 1);
        shelf.receive(1, 1);
    }
    let now = shelf.now;
    shelf
        .tell(&count(7, now))
        .expect("a count is never refused");
    shelf.tell(&count(7, now)).expect("and may be repeated");
    assert_eq!(shelf.location.balance(&sku(1)).on_hand, 7);
}

/// An adjustment below what is promised displaces, like a count.
#[test]
fn an_adjustment_displaces() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    let (attempt, per_unit) = (attempt(1), vec![(sku(1), 1)]);
    let (promise, not_after) = (at(0), at(9_999));
    shelf.ask(Request::Reserve {
        attempt: attempt.clone(),
        units: 5,
        per_unit,
        partial: false,
        promise,
        not_after,
    });
    let damaged = LocationCommand::Adjust {
        sku: sku(1),
        delta: -1,
        damaged_delta: 1,
        reference: "wet".into(),
    };
    let reply = shelf.tell(&damaged).expect("an adjustment");
    assert!(
        matches!(reply, LocationReply::Moved { displaced: 2, .. }),
        "{reply:?}"
    );
    let effect = LocationEffect::NotifyDisplaced { attempt, units: 3 };
    assert_eq!(shelf.location.pending(), vec![effect]);
}

#[test]
fn a_return_comes_back_once() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    let items = vec![
        (sku(1), 2, Disposition::Restocked),
        (sku(1), 1, Disposition::ProcessingRequired),
        (sku(1), 1, Disposition::NotRestocked),
        (sku(1), 1, Disposition::Missing),
    ];
    for _ in 0..2 {
        let command = LocationCommand::Restock {
            return_id: return_id(1),
            items: items.clone(),
        };
        shelf.tell(&command).expect("restocked");
        shelf.now = shelf.now.plus_millis(60_000);
    }
    let balance = shelf.location.balance(&sku(1));
    assert_eq!(
        (balance.on_hand, balance.damaged, balance.available()),
        (8, 1, 7)
    );
}

#[test]
fn only_free_stock_is_transferred() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    sell(&mut shelf, 1, 2);
    let out = |to, quantity| LocationCommand::TransferOut {
        to: place(to),
        sku: sku(1),
        quantity,
        reference: "".into(),
    };
    let short = shelf.tell(&out("YORK", 4));
    assert!(matches!(
        short,
        Err(LocationRejection::Insufficient {
            asked: 4,
            available: 3,
            ..
        })
    ));
    assert_eq!(pointer(&shelf.tell(&out("LEEDS", 1))), "/to");
    shelf.tell(&out("YORK", 3)).expect("there are three");
    assert_eq!(shelf.location.balance(&sku(1)).on_hand, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Stock sent between two locations arrives once, whichever messages are lost, repeated or come
    /// in another order.
    #[test]
    fn transfers_arrive_once(
        sizes in prop::collection::vec((any::<bool>(), 1_u32..5), 1..8),
        network in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<bool>()), 0..40),
    ) {
        let mut ends = [Shelf::new("LEEDS"), Shelf::new("YORK")];
        ends.iter_mut().for_each(|end| end.receive(1, 50));
        for (forth, quantity) in &sizes {
            let (from, to) = if *forth { (0, 1) } else { (1, 0) };
            let to = ends[to].location.id().clone();
            let out = LocationCommand::TransferOut { to, sku: sku(1), quantity: *quantity, reference: "t".into() };
            ends[from].tell(&out).expect("there is enough");
        }
        for (forth, nth, confirmed) in network {
            let from = usize::from(!forth);
            let pending = ends[from].location.pending();
            if !pending.is_empty() {
                deliver(&mut ends, from, &pending[nth.index(pending.len())], confirmed);
            }
        }
        for from in [0, 1] {
            for effect in ends[from].location.pending() {
                deliver(&mut ends, from, &effect, true);
            }
            prop_assert!(!ends[from].location.has_pending());
        }
        let on_hand = |end: &Shelf| end.location.balance(&sku(1)).on_hand;
        let forth: i64 = sizes.iter().map(|(forth, n)| i64::from(*n) * if *forth { 1 } else { -1 }).sum();
        prop_assert_eq!((on_hand(&ends[0]), on_hand(&ends[1])), (50 - forth, 50 + forth));
    }
}

/// The transfer arrives; its confirmation may be lost.
fn deliver(ends: &mut [Shelf; 2], from: usize, effect: &LocationEffect, confirmed: bool) {
    let LocationEffect::DeliverTransfer {
        to,
        number,
        sku,
        quantity,
        reference,
    } = effect.clone()
    else {
        panic!("nothing is displaced here");
    };
    let sender = ends[from].location.id().clone();
    let arrival = LocationCommand::TransferIn {
        from: sender,
        number,
        sku,
        quantity,
        reference,
    };
    ends[1 - from]
        .tell(&arrival)
        .expect("a transfer is never refused");
    if confirmed {
        let command = LocationCommand::TransferConfirmed { to, number };
        ends[from]
            .tell(&command)
            .expect("a confirmation is never refused");
    }
}
