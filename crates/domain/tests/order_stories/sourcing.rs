//! Orders whose units are looked for: refused, short, displaced, waiting.

use consign_domain::entity::Entity;
use consign_domain::location::{Answer, Request};
use consign_domain::order::*;

use super::{MINUTE_MS, answer, header, line, pick, placed, placing, sku, units};
use crate::order_world::{World, location};

#[test]
fn messages_that_were_lost_are_sent_again() {
    let mut world = World::new(&[(sku("mug"), [3, 0, 0])]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    for _ in 0..3 {
        world.send();
        world.lose(0);
        assert!(world.order.has_pending());
    }
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
}

#[test]
fn a_plan_for_another_round_changes_nothing() {
    let mut world = World::new(&[(sku("mug"), [3, 0, 0])]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    let plan = world.plan(&[(0, 3)], &[]);
    assert!(
        !world
            .tell(&OrderCommand::Assign {
                round: 2,
                plan: plan.clone()
            })
            .expect("harmless")
            .changed
    );
    assert!(
        world
            .tell(&OrderCommand::Assign {
                round: 1,
                plan: plan.clone()
            })
            .expect("asked")
            .changed
    );
    assert!(
        !world
            .tell(&OrderCommand::Assign { round: 1, plan })
            .expect("harmless")
            .changed
    );
}

#[test]
fn refused_units_are_sourced_elsewhere_a_bounded_number_of_times() {
    let mut world = World::new(&[]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    for round in 1..=4 {
        let place = location(round as usize);
        let plan = Plan {
            assignments: vec![Assignment {
                line: 0,
                location: place,
                quantity: 3,
            }],
            inputs: Vec::new(),
        };
        world
            .tell(&OrderCommand::Assign { round, plan })
            .expect("it was asked");
        let reason = "insufficient".into();
        answer(
            &mut world,
            round as usize,
            &[Answer::Refused {
                attempt: round,
                available: 0,
                reason,
            }],
        );
    }
    assert!(matches!(
        &world.order.pending()[..],
        [OrderEffect::Source { gives_up: true, .. }]
    ));
    world.settle();
    assert_eq!(world.order.round, 5);
    assert_eq!(units(&world, 0).backordered, 3);
    assert_eq!(world.order.status(), OrderStatus::Backordered);
    assert!(world.order.settled());
}

#[test]
fn backorders_are_tried_again_at_growing_pauses() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [1, 0, 0])],
    );
    assert_eq!(
        units(&world, 0),
        Units {
            allocated: 1,
            backordered: 2,
            ..Units::default()
        }
    );
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let at = world.order.wakeup().expect("it waits");
        let pause_ms = (at.0 - world.now.0) / 1_000 + 1;
        pauses.push((pause_ms + MINUTE_MS / 2) / MINUTE_MS);
        world.pass(pause_ms);
        world.settle();
    }
    assert_eq!(pauses, [15, 30, 60, 120, 240, 360, 360]);
    world.receive(1, &sku("mug"), 5);
    world.tell(&OrderCommand::Replenish).expect("stock came in");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert_eq!(world.order.wakeup(), None);
}

#[test]
fn an_unanswered_reservation_is_closed_and_another_opened() {
    let mut world = World::new(&[(sku("mug"), [3, 0, 0])]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    let plan = world.plan(&[(0, 3)], &[]);
    world
        .tell(&OrderCommand::Assign { round: 1, plan })
        .expect("it was asked");
    assert!(world.order.wakeup().is_some());
    world.pass(MINUTE_MS + 1);
    let release = |e: &OrderEffect| {
        matches!(
            e,
            OrderEffect::Ask {
                request: Request::Release { keep: 0, .. },
                ..
            }
        )
    };
    assert!(world.order.pending().iter().any(release));
    assert!(world.order.sourcing_open, "sourcing is asked again");
    // The answer comes after all: it grants nothing, since the attempt is being closed.
    answer(
        &mut world,
        0,
        &[Answer::Stands {
            attempt: 1,
            units: 3,
            picked: 0,
            short: 0,
            shipped: 0,
        }],
    );
    assert_eq!(units(&world, 0).allocated, 0);
    world.settle();
    assert_eq!(units(&world, 0).allocated, 3);
    assert_eq!(world.reserved(), 3);
}

#[test]
fn an_order_that_ships_complete_is_reserved_whole_or_not_at_all() {
    let header = Header {
        split: SplitPolicy::ShipComplete,
        ..header()
    };
    let lines = vec![line("1", "mug", 3, 25_500), line("2", "pan", 2, 99_900)];
    let mut world = placed(header, lines, &[("mug", [3, 0, 0]), ("pan", [0, 1, 0])]);
    assert_eq!(world.order.status(), OrderStatus::Backordered);
    assert_eq!(
        (
            world.reserved(),
            units(&world, 0).backordered,
            units(&world, 1).backordered
        ),
        (0, 3, 2)
    );
    world.receive(1, &sku("pan"), 2);
    world.tell(&OrderCommand::Replenish).expect("stock came in");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert_eq!(world.order.fulfillment_orders.len(), 2);
    // A displacement before anything is picked takes the whole order back.
    world.displace(1, 1);
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Backordered);
    assert_eq!(world.reserved(), 0);
    assert!(
        world
            .order
            .fulfillment_orders
            .iter()
            .all(|f| f.status == FulfillmentStatus::Cancelled)
    );
}

#[test]
fn an_order_for_one_location_moves_as_a_whole() {
    let header = Header {
        split: SplitPolicy::SingleLocation,
        ..header()
    };
    let lines = vec![line("1", "mug", 3, 25_500), line("2", "pan", 2, 99_900)];
    let stock = [("mug", [3, 3, 0]), ("pan", [1, 2, 0])];
    let world = placed(header, lines, &stock);
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert_eq!(world.order.allocations(0), [(location(1), 3)]);
    assert_eq!(world.order.allocations(1), [(location(1), 2)]);
    assert_eq!(world.reserved(), 5);
}

#[test]
fn what_nobody_has_is_cancelled_by_policy() {
    let lines = || vec![line("1", "mug", 3, 25_500), line("2", "pan", 2, 99_900)];
    let stock = [("mug", [3, 0, 0]), ("pan", [0, 1, 0])];
    let by_line = placed(
        Header {
            shortage: ShortagePolicy::CancelLine,
            ..header()
        },
        lines(),
        &stock,
    );
    assert_eq!(
        units(&by_line, 1),
        Units {
            allocated: 1,
            cancelled: 1,
            ..Units::default()
        }
    );
    assert_eq!(by_line.order.status(), OrderStatus::Allocated);
    let by_order = placed(
        Header {
            shortage: ShortagePolicy::CancelOrder,
            ..header()
        },
        lines(),
        &stock,
    );
    assert_eq!(by_order.order.status(), OrderStatus::Cancelled);
    assert_eq!(by_order.reserved(), 0);
}

#[test]
fn a_rejected_fulfillment_order_goes_elsewhere() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 3, 0])],
    );
    let reject = OrderCommand::Reject {
        fulfillment_order: 1,
        reason: "closed today".into(),
    };
    world.tell(&reject).expect("it is open");
    assert!(!world.tell(&reject).expect("a repeat").changed);
    world.settle();
    assert_eq!(world.order.allocations(0), [(location(1), 3)]);
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Cancelled
    );
    assert!(!world.tell(&reject).expect("a repeat").changed);
}

#[test]
fn units_not_found_are_sourced_elsewhere() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 1, 0])],
    );
    world.tell(&pick(1, &[(0, 2, 1)])).expect("it is open");
    world.settle();
    assert_eq!(
        units(&world, 0),
        Units {
            picked: 2,
            allocated: 1,
            ..Units::default()
        }
    );
    assert_eq!(world.order.fulfillment_orders[0].lines[0].short, 1);
    assert_eq!(world.order.fulfillment_orders[1].location, location(1));
}

#[test]
fn displaced_units_are_sourced_elsewhere() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 2, 0])],
    );
    world.displace(0, 2);
    world.settle();
    assert_eq!(
        world.order.allocations(0),
        [(location(0), 1), (location(1), 2)]
    );
    assert_eq!(world.order.status(), OrderStatus::Allocated);
}
