//! Reserve, release, pick, ship; holds.

use consign_domain::entity::Entity;
use consign_domain::location::{
    Answer, Location, LocationCommand, LocationEffect, LocationRejection, LocationReply, Request,
};
use consign_domain::time::Timestamp;

use crate::location_world::{Shelf, at, attempt, hold, serve, sku};

const NOT_AFTER: Timestamp = Timestamp(crate::location_world::START.0 + 60_000_000);

fn reserve(number: u32, units: u32, per_unit: &[(u32, u32)], partial: bool) -> Request {
    Request::Reserve {
        attempt: attempt(number),
        units,
        per_unit: per_unit
            .iter()
            .map(|(kind, each)| (sku(*kind), *each))
            .collect(),
        partial,
        promise: at(1_000),
        not_after: NOT_AFTER,
    }
}

fn release(number: u32, keep: u32) -> Request {
    Request::Release {
        attempt: attempt(number),
        keep,
        not_after: NOT_AFTER,
    }
}

fn pick(number: u32, picked: u32, short: u32) -> Request {
    Request::Pick {
        attempt: attempt(number),
        picked,
        short,
    }
}

fn ship(number: u32, shipped: u32) -> Request {
    Request::Ship {
        attempt: attempt(number),
        shipped,
        not_after: NOT_AFTER,
    }
}

fn stands(attempt: u32, units: u32, picked: u32, short: u32, shipped: u32) -> Answer {
    Answer::Stands {
        attempt,
        units,
        picked,
        short,
        shipped,
    }
}

fn refused(attempt: u32, available: u32, reason: &str) -> Answer {
    Answer::Refused {
        attempt,
        available,
        reason: reason.into(),
    }
}

#[test]
fn all_or_nothing_or_what_there_is() {
    let mut shelf = Shelf::with_stock(&[(1, 5)]);
    assert_eq!(
        shelf.ask(reserve(1, 6, &[(1, 1)], false)),
        refused(1, 5, "insufficient")
    );
    assert_eq!(
        shelf.ask(reserve(2, 6, &[(1, 1)], true)),
        stands(2, 5, 0, 0, 0)
    );
    assert_eq!(
        shelf.ask(reserve(3, 1, &[(1, 1)], true)),
        refused(3, 0, "insufficient")
    );
    assert_eq!(shelf.location.available(&sku(1)), 0);
}

/// The location's figures are the truth: what is never promised is not granted either.
#[test]
fn safety_stock_and_damaged_units_are_not_granted() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    let safety = LocationCommand::SetSafetyStock {
        sku: sku(1),
        quantity: 4,
    };
    shelf.tell(&safety).expect("set");
    let damage = LocationCommand::Adjust {
        sku: sku(1),
        delta: 0,
        damaged_delta: 3,
        reference: "wet".into(),
    };
    shelf.tell(&damage).expect("adjusted");
    assert_eq!(
        shelf.ask(reserve(1, 10, &[(1, 1)], true)),
        stands(1, 3, 0, 0, 0)
    );
}

/// A bundle's units are as many as its scarcest component allows, and its components move together.
#[test]
fn a_bundle_is_reserved_whole() {
    let mut shelf = Shelf::with_stock(&[(1, 5), (2, 5)]);
    assert_eq!(
        shelf.ask(reserve(1, 3, &[(1, 1), (2, 2)], false)),
        refused(1, 2, "insufficient")
    );
    assert_eq!(
        shelf.ask(reserve(2, 3, &[(1, 1), (2, 2)], true)),
        stands(2, 2, 0, 0, 0)
    );
    assert_eq!(
        (
            shelf.location.available(&sku(1)),
            shelf.location.available(&sku(2))
        ),
        (3, 1)
    );
    shelf.ask(pick(2, 2, 0));
    assert_eq!(shelf.ask(ship(2, 2)), Answer::Closed { attempt: 2 });
    assert_eq!(
        (
            shelf.location.balance(&sku(1)).on_hand,
            shelf.location.balance(&sku(2)).on_hand
        ),
        (3, 1)
    );
}

/// What a later request of one message may take, an earlier one has left.
#[test]
fn requests_of_one_message_see_each_other() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    let order = attempt(3).order;
    let requests = vec![
        reserve(3, 2, &[(1, 1)], false),
        reserve(6, 2, &[(1, 1)], false),
        reserve(9, 1, &[(1, 1)], false),
    ];
    let reply = shelf
        .tell(&LocationCommand::Serve { order, requests })
        .expect("served");
    let answers = vec![
        stands(3, 2, 0, 0, 0),
        refused(6, 1, "insufficient"),
        stands(9, 1, 0, 0, 0),
    ];
    assert_eq!(reply, LocationReply::Answers(answers));
}

#[test]
fn an_order_cannot_speak_for_another() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    shelf.ask(reserve(1, 2, &[(1, 1)], false));
    let command = LocationCommand::Serve {
        order: attempt(2).order,
        requests: vec![release(1, 0)],
    };
    shelf.tell(&command).expect("answered");
    assert_eq!(shelf.location.balance(&sku(1)).reserved, 2);
}

/// The whole way of a line: some released, some missed, the rest shipped in two parcels.
#[test]
fn a_reservations_way() {
    let mut shelf = Shelf::with_stock(&[(1, 10)]);
    shelf.ask(reserve(1, 8, &[(1, 1)], false));
    assert_eq!(shelf.ask(release(1, 6)), stands(1, 6, 0, 0, 0));
    assert_eq!(shelf.ask(pick(1, 3, 1)), stands(1, 5, 3, 1, 0));
    assert_eq!(
        shelf.location.balance(&sku(1)).on_hand,
        9,
        "the missed unit is not there"
    );
    assert_eq!(shelf.ask(ship(1, 2)), stands(1, 5, 3, 1, 2));
    assert_eq!(
        shelf.ask(release(1, 0)),
        stands(1, 3, 3, 1, 2),
        "what is picked stays"
    );
    assert_eq!(shelf.ask(ship(1, 3)), Answer::Closed { attempt: 1 });
    assert_eq!(
        shelf.ask(ship(1, 3)),
        Answer::Closed { attempt: 1 },
        "and on repeats"
    );
    let balance = shelf.location.balance(&sku(1));
    assert_eq!(
        (balance.on_hand, balance.reserved, balance.picked),
        (6, 0, 0)
    );
}

/// Nothing leaves the building that was not taken from the shelf.
#[test]
fn unpicked_units_do_not_ship() {
    let mut shelf = Shelf::with_stock(&[(1, 4)]);
    shelf.ask(reserve(1, 4, &[(1, 1)], false));
    assert_eq!(shelf.ask(ship(1, 4)), stands(1, 4, 0, 0, 0));
    shelf.ask(pick(1, 4, 0));
    assert_eq!(shelf.ask(ship(1, 4)), Answer::Closed { attempt: 1 });
}

/// The `Release` overtook its `Reserve`: the late one takes nothing, before and after the moment
/// until which that is remembered (L3).
#[test]
fn a_reserve_after_its_release_takes_nothing() {
    let mut shelf = Shelf::with_stock(&[(1, 4)]);
    assert_eq!(shelf.ask(release(1, 0)), Answer::Closed { attempt: 1 });
    assert_eq!(shelf.location.tombstones(), 1);
    let late = reserve(1, 2, &[(1, 1)], false);
    for now in [at(1), NOT_AFTER] {
        shelf.now = now;
        shelf.receive(1, 1);
        assert!(matches!(
            shelf.ask(late.clone()),
            Answer::Refused { attempt: 1, .. }
        ));
        assert!(matches!(
            shelf.ask(late.clone()),
            Answer::Refused { attempt: 1, .. }
        ));
    }
    shelf.now = NOT_AFTER.plus_millis(1);
    shelf.receive(1, 1);
    assert_eq!(
        shelf.location.tombstones(),
        0,
        "what cannot come up again is forgotten (L8)"
    );
    let version = shelf.location.version();
    assert_eq!(shelf.ask(late), refused(1, 0, "expired"));
    assert_eq!(shelf.location.version(), version, "time alone refuses it");
}

/// A refusal is final: stock that comes later does not wake an attempt that the order has given up.
#[test]
fn a_refused_attempt_stays_refused() {
    let mut shelf = Shelf::with_stock(&[(1, 1)]);
    let wish = reserve(1, 2, &[(1, 1)], false);
    assert!(matches!(shelf.ask(wish.clone()), Answer::Refused { .. }));
    shelf.receive(1, 5);
    assert!(matches!(shelf.ask(wish), Answer::Refused { .. }));
    assert_eq!(shelf.location.available(&sku(1)), 6);
}

#[test]
fn a_hold_is_idempotent_and_bounded_by_what_there_is() {
    let mut shelf = Shelf::with_stock(&[(1, 3)]);
    let items = vec![(sku(1), 5)];
    let whole = LocationCommand::Hold {
        hold: hold(1),
        items: items.clone(),
        partial: false,
        expires_at: at(10),
    };
    let refusal = LocationRejection::Insufficient {
        sku: sku(1),
        asked: 5,
        available: 3,
    };
    assert_eq!(shelf.tell(&whole), Err(refusal));
    let some = LocationCommand::Hold {
        hold: hold(1),
        items,
        partial: true,
        expires_at: at(10),
    };
    for _ in 0..2 {
        assert_eq!(
            shelf.tell(&some),
            Ok(LocationReply::Held {
                items: vec![(sku(1), 3)]
            })
        );
    }
    assert_eq!(shelf.location.wakeup(), Some(at(10)));
    assert!(matches!(
        shelf.ask(reserve(1, 1, &[(1, 1)], true)),
        Answer::Refused { .. }
    ));
    shelf.now = at(10);
    shelf
        .tell(&LocationCommand::Wake { now: at(10) })
        .expect("a timer is never refused");
    assert_eq!(
        shelf.ask(reserve(2, 3, &[(1, 1)], false)),
        stands(2, 3, 0, 0, 0)
    );
    let past = LocationCommand::Hold {
        hold: hold(2),
        items: vec![(sku(1), 1)],
        partial: true,
        expires_at: at(10),
    };
    assert!(matches!(
        shelf.tell(&past),
        Err(LocationRejection::Invalid { .. })
    ));
}

/// An order is told until it says that it knows, and an older word of it does not count.
#[test]
fn a_displacement_is_told_until_the_order_knows() {
    let mut shelf = Shelf::with_stock(&[(1, 6)]);
    shelf.ask(reserve(1, 6, &[(1, 1)], false));
    let count = |shelf: &Shelf, counted| LocationCommand::Count {
        sku: sku(1),
        counted,
        counted_at: shelf.now,
        reference: "count".into(),
    };
    let told = |shelf: &Shelf| match shelf.location.pending().as_slice() {
        [] => None,
        [
            LocationEffect::NotifyDisplaced {
                attempt: name,
                units,
            },
        ] if *name == attempt(1) => Some(*units),
        other => panic!("{other:?}"),
    };
    let Ok(LocationReply::Moved {
        displaced, balance, ..
    }) = shelf.tell(&count(&shelf, 4))
    else {
        panic!("a count is never refused");
    };
    assert_eq!((displaced, balance.available()), (2, 0));
    assert_eq!(told(&shelf), Some(4));
    shelf.now = at(5);
    shelf
        .tell(&count(&shelf, 1))
        .expect("a count is never refused");
    assert_eq!(told(&shelf), Some(1));
    for (units, left) in [(4, Some(1)), (1, None), (1, None)] {
        let command = LocationCommand::DisplacementConfirmed {
            attempt: attempt(1),
            units,
        };
        shelf
            .tell(&command)
            .expect("a confirmation is never refused");
        assert_eq!(told(&shelf), left);
    }
    assert_eq!(
        shelf.ask(pick(1, 6, 0)),
        stands(1, 1, 1, 0, 0),
        "only what is left can be picked"
    );
}

/// Many live reservations of one SKU: a request names its part and only that, so that a checkpoint
/// writes what changed.
#[test]
fn a_request_touches_few_parts() {
    let mut shelf = Shelf::with_stock(&[(1, 10_000)]);
    for number in 1..200 {
        shelf.ask(reserve(number, 1, &[(1, 1)], false));
    }
    let (_, events) = shelf.record(&serve(pick(7, 1, 0))).expect("served");
    let mut touched = Vec::new();
    events
        .iter()
        .for_each(|event| Location::touched_parts(event, &mut touched));
    assert!(touched.len() <= 4, "{touched:?}");
}
