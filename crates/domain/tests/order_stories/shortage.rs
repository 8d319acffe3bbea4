//! What rules say about units that nobody has: parked, held, cancelled, told of.

use consign_domain::entity::Entity;
use consign_domain::location::Answer;
use consign_domain::order::*;

use super::{MINUTE_MS, answer, cancel, header, line, placed_under, placing, sku, units};
use crate::order_world::{World, location};

fn rule(action: ShortageAction) -> ShortageRule {
    ShortageRule {
        rule: "own".into(),
        action,
        ..ShortageRule::default()
    }
}

fn lines() -> Vec<NewLine> {
    vec![line("1", "mug", 3, 25_500), line("2", "pan", 2, 99_900)]
}

/// Three mugs and one of two pans.
const STOCK: [(&str, [u32; 3]); 2] = [("mug", [3, 0, 0]), ("pan", [0, 1, 0])];

fn says(shortage: ShortagePolicy) -> Header {
    Header {
        shortage,
        ..header()
    }
}

fn count(world: &World, is: impl Fn(&OrderEvent) -> bool) -> usize {
    world.events.iter().filter(|event| is(event)).count()
}

#[test]
fn a_parked_order_waits_until_it_is_released() {
    let mut world = placed_under(rule(ShortageAction::Park), header(), lines(), &STOCK);
    assert!(world.order.is_parked());
    assert_eq!(world.order.status(), OrderStatus::Backordered);
    assert_eq!(
        (units(&world, 1).backordered, units(&world, 1).allocated),
        (1, 1)
    );
    assert_eq!(world.order.wakeup(), None, "no time wakes it");
    world.receive(0, &sku("pan"), 5);
    let stock = world.tell(&OrderCommand::Replenish).expect("harmless");
    assert!(!stock.changed, "no stock wakes it");
    world.pass(400 * MINUTE_MS);
    assert!(world.order.is_parked());

    world.tell(&OrderCommand::ReleaseParking).expect("released");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert!(!world.order.is_parked());
    let again = world.tell(&OrderCommand::ReleaseParking).expect("a repeat");
    assert!(!again.changed);
}

#[test]
fn a_parked_order_is_released_by_a_plan_of_others() {
    let mut world = placed_under(rule(ShortageAction::Park), header(), lines(), &STOCK);
    world.receive(1, &sku("pan"), 5);
    let order = &world.order;
    let short = order
        .lines
        .iter()
        .position(|line| line.units.backordered > 0);
    let line = short.expect("it waits") as u32;
    let release = OrderCommand::ReleaseParkingWith {
        plan: Box::new(Plan {
            assignments: vec![Assignment {
                line,
                location: location(1),
                quantity: 1,
            }],
            inputs: vec![7],
        }),
        rule: Box::new(rule(ShortageAction::Park)),
    };
    world.tell(&release).expect("released");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    let last = world.order.attempts.last().expect("an attempt");
    assert_eq!((last.line, &last.location), (line, &location(1)));
    let again = world.tell(&release).expect("a repeat");
    assert!(!again.changed, "it is not parked");
}

#[test]
fn a_parked_order_is_parked_again_when_there_is_still_nothing() {
    let mut world = placed_under(rule(ShortageAction::Park), header(), lines(), &STOCK);
    world.tell(&OrderCommand::ReleaseParking).expect("released");
    world.settle();
    assert!(world.order.is_parked());
    // What a location takes away waits with the rest, whatever another rule says.
    world.rule = ShortageRule::default();
    world.displace(0, 1);
    world.settle();
    assert_eq!(units(&world, 0).backordered, 1);
    assert!(world.order.is_parked());
    assert_eq!(world.order.wakeup(), None);
    // Nothing is parked once nothing waits.
    world.tell(&cancel(0, 1)).expect("it waits");
    world.tell(&cancel(1, 1)).expect("it waits");
    assert!(!world.order.is_parked());
}

#[test]
fn an_order_that_ships_complete_is_parked_whole() {
    let header = Header {
        split: SplitPolicy::ShipComplete,
        ..says(ShortagePolicy::CancelOrder)
    };
    let mut world = placed_under(rule(ShortageAction::Park), header, lines(), &STOCK);
    assert!(world.order.is_parked());
    let waiting = |world: &World| (units(world, 0).backordered, units(world, 1).backordered);
    assert_eq!((waiting(&world), world.reserved()), ((3, 2), 0));
    world.receive(0, &sku("pan"), 2);
    world.tell(&OrderCommand::ReleaseParking).expect("released");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    // A displacement takes all of it back, and it waits whole again.
    world.displace(0, 1);
    world.settle();
    assert_eq!((waiting(&world), world.reserved()), ((3, 2), 0));
    assert!(world.order.is_parked());
}

#[test]
fn a_rule_backorders_what_the_order_would_cancel() {
    for own in [ShortagePolicy::CancelLine, ShortagePolicy::CancelOrder] {
        let world = placed_under(rule(ShortageAction::Backorder), says(own), lines(), &STOCK);
        assert_eq!(
            (units(&world, 1).backordered, units(&world, 1).cancelled),
            (1, 0)
        );
        assert!(
            world.order.wakeup().is_some(),
            "it is tried again by itself"
        );
    }
}

#[test]
fn a_rule_cancels_what_is_short_but_no_part_of_all_or_nothing() {
    let cancelled = |own| placed_under(rule(ShortageAction::Cancel), says(own), lines(), &STOCK);
    for own in [ShortagePolicy::Backorder, ShortagePolicy::CancelLine] {
        let world = cancelled(own);
        assert_eq!(world.order.status(), OrderStatus::Allocated);
        assert_eq!(
            (units(&world, 1).cancelled, units(&world, 1).allocated),
            (1, 1)
        );
        let reason = |event: &OrderEvent| matches!(event, OrderEvent::UnitsCancelled { reason, .. } if reason == "out_of_stock");
        assert_eq!(count(&world, reason), 1);
    }
    let world = cancelled(ShortagePolicy::CancelOrder);
    assert_eq!(world.order.status(), OrderStatus::Cancelled);
}

/// A hold is laid once per shortage: staff who lift it have looked.
#[test]
fn a_held_order_shows_the_reason_and_goes_on_when_released() {
    let action = ShortageAction::Hold(HoldReason::ManualReview);
    let mut world = placed_under(
        rule(action),
        says(ShortagePolicy::CancelOrder),
        lines(),
        &STOCK,
    );
    assert_eq!(units(&world, 1).backordered, 1);
    let [hold] = &world.order.holds[..] else {
        panic!("one hold: {:?}", world.order.holds);
    };
    assert_eq!(
        (hold.reason, &hold.scope),
        (HoldReason::ManualReview, &HoldScope::Order)
    );
    world
        .tell(&OrderCommand::ReleaseHold { hold: 1 })
        .expect("it stands");
    world.pass(16 * MINUTE_MS);
    world.settle();
    assert_eq!(units(&world, 1).backordered, 1, "it was tried again");
    assert!(world.order.holds.is_empty());
    world.receive(0, &sku("pan"), 1);
    world.tell(&OrderCommand::Replenish).expect("stock came in");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
}

#[test]
fn staff_are_told_once_per_shortage() {
    let alert = ShortageRule {
        alert: true,
        ..rule(ShortageAction::AsOrderSays)
    };
    let mut world = placed_under(alert, header(), lines(), &STOCK);
    let told = |world: &World| count(world, |e| matches!(e, OrderEvent::StaffAlerted { .. }));
    let expected = OrderEvent::StaffAlerted {
        rule: "own".into(),
        action: ShortageAction::AsOrderSays,
        units: vec![LineQuantity {
            line: 1,
            quantity: 1,
        }],
    };
    assert!(world.events.contains(&expected), "{:?}", world.events);
    for _ in 0..3 {
        world.pass(400 * MINUTE_MS);
        world.settle();
    }
    assert_eq!(told(&world), 1, "trying again is no other shortage");
    // Other units run short while these wait.
    world.displace(0, 2);
    world.settle();
    assert_eq!(told(&world), 2);
    // The wait ends, and another begins.
    world.receive(2, &sku("mug"), 9);
    world.receive(2, &sku("pan"), 9);
    world.tell(&OrderCommand::Replenish).expect("stock came in");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    for at in 0..3 {
        world.displace(at, 99);
        world.settle();
    }
    assert!(told(&world) > 2);
}

#[test]
fn what_is_always_bought_again_waits_and_is_asked_for_once() {
    let restock = OrderEvent::RestockRequested {
        items: vec![SkuUnits {
            sku: sku("pan"),
            units: 1,
        }],
    };
    for action in [
        ShortageAction::Cancel,
        ShortageAction::Park,
        ShortageAction::Hold(HoldReason::OutOfStock),
        ShortageAction::AsOrderSays,
    ] {
        let common = ShortageRule {
            common: [sku("pan")].into(),
            ..rule(action)
        };
        let mut world = placed_under(common, header(), lines(), &STOCK);
        assert_eq!(units(&world, 1).backordered, 1, "{action:?}");
        assert!(world.order.wakeup().is_some() && !world.order.is_parked());
        assert!(world.order.holds.is_empty());
        world.pass(16 * MINUTE_MS);
        world.settle();
        assert_eq!(count(&world, |e| *e == restock), 1, "{action:?}");
    }
    // The customer's own wish to cancel stands.
    let common = ShortageRule {
        common: [sku("pan")].into(),
        ..rule(ShortageAction::AsOrderSays)
    };
    let world = placed_under(common, says(ShortagePolicy::CancelLine), lines(), &STOCK);
    assert_eq!(units(&world, 1).cancelled, 1);
    assert_eq!(count(&world, |e| *e == restock), 1);
}

/// Of an order that must be whole, what is cancelled leaves it, and the rest waits together.
#[test]
fn common_items_let_an_order_that_ships_complete_wait_without_the_cancelled() {
    let common = ShortageRule {
        common: [sku("pan")].into(),
        ..rule(ShortageAction::Cancel)
    };
    let header = Header {
        split: SplitPolicy::ShipComplete,
        ..header()
    };
    let lines = vec![
        line("1", "mug", 3, 25_500),
        line("2", "pan", 2, 99_900),
        line("3", "cup", 1, 10_000),
    ];
    let mut world = placed_under(common, header, lines, &STOCK);
    assert_eq!(units(&world, 2).cancelled, 1);
    assert_eq!(
        (units(&world, 0).backordered, units(&world, 1).backordered),
        (3, 2)
    );
    assert_eq!(world.reserved(), 0);
    world.receive(0, &sku("pan"), 2);
    world.tell(&OrderCommand::Replenish).expect("stock came in");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
}

/// Locations that refuse in every round leave nothing for a plan to say; the rule is asked then.
#[test]
fn the_rule_speaks_also_when_enough_locations_have_refused() {
    let mut world = World::new(&[]);
    world.rule = rule(ShortageAction::Park);
    let own = says(ShortagePolicy::CancelOrder);
    world
        .tell(&placing(own, vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    for round in 1..=4 {
        let plan = Plan {
            assignments: vec![Assignment {
                line: 0,
                location: location(round as usize),
                quantity: 3,
            }],
            inputs: Vec::new(),
        };
        world
            .tell(&OrderCommand::Assign { round, plan })
            .expect("it was asked");
        let refused = Answer::Refused {
            attempt: round,
            available: 0,
            reason: "insufficient".into(),
        };
        answer(&mut world, round as usize, &[refused]);
    }
    let late = OrderCommand::AssignByRule {
        round: 4,
        plan: None,
        rule: Box::default(),
    };
    assert!(!world.tell(&late).expect("harmless").changed);
    world.settle();
    assert!(world.order.is_parked());
    assert_eq!(units(&world, 0).backordered, 3);
}
