//! SKUs that were looked for and not found, or refused: nothing of them is granted until somebody
//! looks after them, or for a day.

use consign_domain::entity::Entity;
use consign_domain::location::blocks::BLOCKED_MILLIS;
use consign_domain::location::{Answer, LocationCommand, Request};
use consign_domain::time::Timestamp;

use crate::location_world::{Shelf, attempt, sku};

const NEVER: Timestamp = Timestamp(i64::MAX / 2);

fn reserve(number: u32, kind: u32) -> Request {
    Request::Reserve {
        attempt: attempt(number),
        units: 1,
        per_unit: vec![(sku(kind), 1)],
        partial: false,
        promise: Timestamp(0),
        not_after: NEVER,
    }
}

fn stands(answer: &Answer) -> bool {
    matches!(answer, Answer::Stands { .. })
}

/// Ten of each, of which one was promised, looked for, and not found.
fn short() -> Shelf {
    let mut shelf = Shelf::with_stock(&[(0, 10), (1, 10)]);
    assert!(stands(&shelf.ask(reserve(1, 0))));
    let pick = Request::Pick {
        attempt: attempt(1),
        picked: 0,
        short: 1,
    };
    assert!(matches!(shelf.ask(pick), Answer::Closed { .. }));
    shelf
}

#[test]
fn what_was_not_found_is_not_granted_and_the_rest_is() {
    let mut shelf = short();
    assert_eq!(
        (
            shelf.location.available(&sku(0)),
            shelf.location.grantable(&sku(0))
        ),
        (9, 0)
    );
    let Answer::Refused { reason, .. } = shelf.ask(reserve(2, 0)) else {
        panic!("it is blocked");
    };
    assert_eq!(reason, "insufficient");
    assert!(stands(&shelf.ask(reserve(3, 1))));
    // It ends by itself, also when its timer has not come round.
    shelf.now = shelf.now.plus_millis(BLOCKED_MILLIS - 1);
    assert!(!stands(&shelf.ask(reserve(4, 0))));
    shelf.now = shelf.now.plus_millis(1);
    assert_eq!(shelf.location.wakeup(), Some(shelf.now));
    assert!(stands(&shelf.ask(reserve(5, 0))));
    assert_eq!(
        (
            shelf.location.wakeup(),
            shelf.location.blocks_after(None).count()
        ),
        (None, 0)
    );
}

#[test]
fn counts_receipts_and_adjustments_lift_it() {
    let count = |counted_at| LocationCommand::Count {
        sku: sku(0),
        counted: 4,
        counted_at,
        reference: "r".into(),
    };
    let receive = LocationCommand::Receive {
        sku: sku(0),
        quantity: 1,
        reference: "r".into(),
    };
    let adjust = LocationCommand::Adjust {
        sku: sku(0),
        delta: -2,
        damaged_delta: 0,
        reference: "r".into(),
    };
    let lift = LocationCommand::SetBlock {
        sku: sku(0),
        until: None,
    };
    let now = short().now;
    for (command, left) in [(count(now), 4), (receive, 10), (adjust, 7), (lift, 9)] {
        let mut shelf = short();
        shelf.tell(&command).expect("it is fine");
        assert_eq!(shelf.location.grantable(&sku(0)), left, "{command:?}");
    }
    let mut shelf = short();
    let earlier = now.plus_millis(-1);
    shelf.tell(&count(earlier)).expect("it is fine");
    assert_eq!(shelf.location.grantable(&sku(0)), 0, "nobody looked since");
}

#[test]
fn people_and_staff_block_for_a_set_time() {
    let mut shelf = Shelf::with_stock(&[(0, 10)]);
    let until = shelf.now.plus_millis(60_000);
    let block = |until| LocationCommand::SetBlock {
        sku: sku(0),
        until: Some(until),
    };
    for wrong in [shelf.now, Timestamp(i64::MAX)] {
        assert!(shelf.tell(&block(wrong)).is_err());
    }
    shelf.tell(&block(until)).expect("a time to come");
    let version = shelf.location.version();
    shelf.tell(&block(until)).expect("the same again");
    // Staff's word lengthens a block, and never shortens it.
    for (millis, ends) in [(30_000, until), (90_000, shelf.now.plus_millis(90_000))] {
        let refused = LocationCommand::SkusRefused {
            skus: vec![sku(0), sku(0)],
            until: shelf.now.plus_millis(millis),
        };
        shelf.tell(&refused).expect("a message is never refused");
        let blocks: Vec<Timestamp> = shelf
            .location
            .blocks_after(None)
            .map(|(_, block)| block.until)
            .collect();
        assert_eq!(blocks, [ends]);
    }
    assert_eq!(shelf.location.version(), version + 1);
    shelf.now = shelf.now.plus_millis(90_000);
    shelf
        .tell(&LocationCommand::Wake { now: shelf.now })
        .expect("a timer is never refused");
    assert_eq!(shelf.location.grantable(&sku(0)), 10);
}
