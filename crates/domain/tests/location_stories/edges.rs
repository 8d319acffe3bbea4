//! Cases at the edge: names given twice, messages that overtake each other, counts that come late or
//! find less than anybody thought.

use consign_domain::entity::Entity;
use consign_domain::ids::HoldId;
use consign_domain::location::{
    Answer, LocationCommand, LocationRejection, LocationReply, RECENT_CHANGES_MAX, Request,
};
use consign_domain::time::Timestamp;

use crate::location_world::{Shelf, at, attempt, hold, sku};

fn reserve(number: u32, units: u32, per_unit: &[(u32, u32)]) -> Request {
    Request::Reserve {
        attempt: attempt(number),
        units,
        per_unit: per_unit
            .iter()
            .map(|(kind, each)| (sku(*kind), *each))
            .collect(),
        partial: true,
        promise: at(1_000),
        not_after: at(60_000),
    }
}

fn keep(number: u32, items: &[(u32, u32)], expires_at: Timestamp) -> LocationCommand {
    let items = items
        .iter()
        .map(|(kind, units)| (sku(*kind), *units))
        .collect();
    LocationCommand::Hold {
        hold: hold(number),
        items,
        partial: false,
        expires_at,
    }
}

fn convert(number: u32, attempt_number: u32) -> LocationCommand {
    LocationCommand::ConvertHold {
        hold: hold(number),
        attempt: attempt(attempt_number),
        promise: at(1_000),
        not_after: at(60_000),
    }
}

fn count(counted: u32, counted_at: Timestamp) -> LocationCommand {
    LocationCommand::Count {
        sku: sku(1),
        counted,
        counted_at,
        reference: "count".into(),
    }
}

fn on_hand(shelf: &Shelf) -> i64 {
    shelf.location.balance(&sku(1)).on_hand
}

/// One unit is there and a unit of the line takes it twice: that is none (L1).
#[test]
fn a_sku_named_twice_counts_twice() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    let answer = shelf.ask(reserve(1, 9, &[(1, 1), (1, 1)]));
    assert!(
        matches!(answer, Answer::Stands { units: 1, .. }),
        "{answer:?}"
    );
    assert_eq!(shelf.location.available(&sku(1)), 1);
}

/// The order gave the attempt up before the conversion arrived: nobody would release it (L5).
#[test]
fn a_closed_attempt_converts_no_hold() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    shelf.tell(&keep(1, &[(1, 2)], at(90_000))).expect("held");
    shelf.ask(Request::Release {
        attempt: attempt(7),
        keep: 0,
        not_after: at(60_000),
    });
    let refused = |result| matches!(result, Err(LocationRejection::Invalid { .. }));
    assert!(refused(shelf.tell(&convert(1, 7))));
    shelf.now = at(60_001);
    assert!(
        refused(shelf.tell(&convert(1, 8))),
        "past its `not_after` it is void"
    );
    assert_eq!(shelf.location.reservations_after(None).count(), 0);
    assert_eq!(shelf.location.holds().count(), 1);
}

#[test]
fn a_released_or_converted_hold_does_not_come_back() {
    let mut shelf = Shelf::with_stock(&[(1, 9)]);
    for number in [1, 2] {
        shelf
            .tell(&keep(number, &[(1, 2)], at(1_000)))
            .expect("held");
    }
    shelf
        .tell(&LocationCommand::ReleaseHold { hold: hold(1) })
        .expect("released");
    shelf.tell(&convert(2, 7)).expect("converted");
    for number in [1, 2] {
        let gone = LocationRejection::NoHold { hold: hold(number) };
        assert_eq!(shelf.tell(&keep(number, &[(1, 2)], at(1_000))), Err(gone));
    }
    assert_eq!(shelf.location.balance(&sku(1)).reserved, 2);
}

/// The timer may be late; the stock is free when the hold's time is over.
#[test]
fn an_expired_hold_is_in_nobodys_way() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    shelf.tell(&keep(1, &[(1, 3)], at(10))).expect("held");
    shelf.now = at(10);
    let answer = shelf.ask(reserve(1, 3, &[(1, 1)]));
    assert!(
        matches!(answer, Answer::Stands { units: 3, .. }),
        "{answer:?}"
    );
    assert_eq!(shelf.location.wakeup(), None);
}

#[test]
fn entries_of_one_sku_are_one_hold() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    let held = shelf.tell(&keep(1, &[(1, 1), (1, 2)], at(10)));
    assert_eq!(
        held,
        Ok(LocationReply::Held {
            items: vec![(sku(1), 3)]
        })
    );
    shelf.tell(&convert(1, 7)).expect("it is of one SKU");
}

/// More holds end at once than one decision takes: the timer stays due until all have.
#[test]
fn many_holds_end_in_slices() {
    let mut shelf = Shelf::with_stock(&[(1, 1_000)]);
    for number in 0..600 {
        let hold = HoldId::new(&format!("cart{number}")).expect("a valid name");
        let items = vec![(sku(1), 1)];
        shelf
            .tell(&LocationCommand::Hold {
                hold,
                items,
                partial: false,
                expires_at: at(10),
            })
            .expect("held");
    }
    shelf.now = at(10);
    let mut wakes = 0;
    while shelf.location.wakeup().is_some() {
        shelf
            .tell(&LocationCommand::Wake { now: at(10) })
            .expect("a timer is never refused");
        wakes += 1;
    }
    assert_eq!((wakes, shelf.location.balance(&sku(1)).reserved), (3, 0));
}

/// An order's promise outlives a cart's.
#[test]
fn a_count_takes_from_holds_first() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    shelf.ask(reserve(1, 6, &[(1, 1)]));
    shelf.tell(&keep(1, &[(1, 2)], at(10_000))).expect("held");
    shelf.tell(&keep(2, &[(1, 2)], at(20_000))).expect("held");
    let now = shelf.now;
    shelf
        .tell(&count(8, now))
        .expect("a count is never refused");
    let left: Vec<_> = shelf
        .location
        .holds()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(left, [hold(1)]);
    shelf
        .tell(&count(5, now))
        .expect("a count is never refused");
    assert_eq!(shelf.location.holds().count(), 0);
    assert_eq!(
        shelf.location.reservation(&attempt(1)).map(|r| r.units),
        Some(5)
    );
}

/// Two people count the same shelf and type it in late, in either order: the shelf holds what they
/// found, not the difference twice.
#[test]
fn counts_that_come_late_are_not_added_up() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    for (typed_in, counted, counted_at) in [(5_000, 8, 1_000), (6_000, 8, 3_000), (7_000, 9, 2_000)]
    {
        shelf.now = at(typed_in);
        shelf
            .tell(&count(counted, at(counted_at)))
            .expect("a count is never refused");
        assert_eq!(on_hand(&shelf), 8);
    }
}

/// However much has happened since: the sum is exact for the youngest changes and for moments before
/// all of them.
#[test]
fn a_count_before_many_changes_allows_for_all_of_them() {
    let mut shelf = Shelf::with_stock(&[(1, 1_000)]);
    let many = u32::try_from(RECENT_CHANGES_MAX).expect("small") * 5;
    for number in 1..=many {
        shelf.now = at(i64::from(number) * 1_000);
        shelf.receive(1, 1);
    }
    let last = i64::from(many) * 1_000;
    for (counted_at, since) in [(-1, 1_000 + i64::from(many)), (last - 9_500, 10), (last, 0)] {
        let context = consign_domain::entity::Context {
            now: at(last),
            occurred_at: None,
            by: "t".into(),
        };
        let counted = shelf
            .location
            .decide(&count(500, at(counted_at)), &context)
            .expect("a count");
        let LocationReply::Moved { balance, .. } = counted.reply else {
            panic!("it moves")
        };
        assert_eq!(balance.on_hand, 500 + since, "counted at {counted_at}");
    }
}

/// What is not there cannot be damaged, and a shelf holds no fewer than none.
#[test]
fn a_count_leaves_no_negative_shelf() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    let damaged = LocationCommand::Adjust {
        sku: sku(1),
        delta: 0,
        damaged_delta: 3,
        reference: "wet".into(),
    };
    shelf.tell(&damaged).expect("adjusted");
    let now = shelf.now;
    shelf
        .tell(&count(2, now))
        .expect("a count is never refused");
    assert_eq!(
        (on_hand(&shelf), shelf.location.balance(&sku(1)).damaged),
        (2, 2)
    );
    shelf
        .tell(&count(0, now))
        .expect("a count is never refused");
    shelf.receive(1, 4);
    assert_eq!(shelf.location.available(&sku(1)), 4);
}

#[test]
fn the_smallest_number_is_out_of_range_too() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    for (delta, damaged_delta) in [(i64::MIN, 0), (i64::MAX, 0), (0, i64::MIN), (0, i64::MAX)] {
        let command = LocationCommand::Adjust {
            sku: sku(1),
            delta,
            damaged_delta,
            reference: "".into(),
        };
        assert!(matches!(
            shelf.tell(&command),
            Err(LocationRejection::Invalid { .. })
        ));
    }
}
