//! An order that names a reservation: it asks for what is kept for it, and for the rest as ever.

use consign_domain::entity::{Context, Entity};
use consign_domain::ids::HoldId;
use consign_domain::location::LocationCommand;
use consign_domain::order::*;

use crate::order_world::{World, location};
use crate::{header, line, sku, units};

/// An hour.
const KEPT_MS: i64 = 3_600_000;

/// A location keeps units for a line of the order of this world.
fn keep(world: &mut World, at: usize, line: u32, name: &str, quantity: u32) {
    let hold = LocationCommand::Hold {
        hold: HoldId::of_order_line(&world.order.id, line),
        items: vec![(sku(name), quantity)],
        partial: false,
        expires_at: world.now.plus_millis(KEPT_MS),
    };
    let context = Context {
        now: world.now,
        occurred_at: None,
        by: "test".into(),
    };
    let decision = world.locations[at].decide(&hold, &context);
    for event in decision.expect("there is enough").events {
        world.locations[at].apply(&event, &context.stamp());
    }
}

fn assignment(line: u32, at: usize, quantity: u32) -> Assignment {
    Assignment {
        line,
        location: location(at),
        quantity,
    }
}

fn placing(
    header: Header,
    lines: Vec<NewLine>,
    held: Vec<Assignment>,
    plan: Option<Vec<Assignment>>,
) -> OrderCommand {
    OrderCommand::PlaceReserved {
        header: Box::new(header),
        lines,
        personal: Box::default(),
        reservation: "R1".parse().expect("a valid name"),
        held,
        plan: plan.map(|assignments| {
            Box::new(Plan {
                assignments,
                inputs: Vec::new(),
            })
        }),
    }
}

#[test]
fn what_is_kept_is_reserved_and_nothing_else_is_asked() {
    let mut world = World::new(&[(sku("A"), [5, 3, 0])]);
    keep(&mut world, 1, 0, "A", 3);
    let command = placing(
        header(),
        vec![line("1", "A", 3, 10_000)],
        vec![assignment(0, 1, 3)],
        None,
    );
    world.tell(&command).expect("it is valid");
    world.settle();
    assert_eq!(world.order.status, OrderStatus::Allocated);
    assert_eq!(world.order.allocations(0), [(location(1), 3)]);
    assert_eq!(world.locations[1].holds().count(), 0);
    let asked = |event: &OrderEvent| matches!(event, OrderEvent::Sourced { .. });
    assert!(!world.events.iter().any(asked), "{:?}", world.events);
    assert!(
        world
            .events
            .iter()
            .any(|event| matches!(event, OrderEvent::ReservationUsed { .. }))
    );
}

#[test]
fn what_goes_beyond_is_sourced_and_what_is_left_is_released() {
    let stock = [(sku("A"), [5, 2, 0]), (sku("B"), [0, 4, 0])];
    let mut world = World::new(&stock);
    keep(&mut world, 1, 0, "A", 2);
    keep(&mut world, 1, 1, "B", 4);
    let lines = vec![line("1", "A", 6, 10_000), line("2", "B", 1, 10_000)];
    let held = vec![assignment(0, 1, 2), assignment(1, 1, 1)];
    let command = placing(header(), lines, held, Some(vec![assignment(0, 0, 4)]));
    world.tell(&command).expect("it is valid");
    world.settle();
    assert_eq!(world.order.status, OrderStatus::Allocated);
    assert_eq!(
        world.order.allocations(0),
        [(location(1), 2), (location(0), 4)]
    );
    assert_eq!(world.locations[1].available(&sku("B")), 3);
}

#[test]
fn a_hold_that_ended_before_leaves_the_order_to_be_sourced() {
    let mut world = World::new(&[(sku("A"), [0, 0, 4])]);
    let command = placing(
        header(),
        vec![line("1", "A", 3, 10_000)],
        vec![assignment(0, 1, 3)],
        None,
    );
    world.tell(&command).expect("it is valid");
    world.settle();
    assert_eq!(world.order.allocations(0), [(location(2), 3)]);
}

#[test]
fn an_order_that_was_cancelled_before_it_came_asks_for_nothing() {
    let mut world = World::new(&[(sku("A"), [0, 3, 0])]);
    let cancel = OrderCommand::CancelBeforeArrival {
        reason: "changed_mind".into(),
    };
    world.tell(&cancel).expect("it has not arrived");
    let command = placing(
        header(),
        vec![line("1", "A", 3, 10_000)],
        vec![assignment(0, 1, 3)],
        None,
    );
    world.tell(&command).expect("it is valid");
    world.settle();
    assert_eq!(world.order.status, OrderStatus::Cancelled);
    assert_eq!(units(&world, 0).cancelled, 3);
    assert!(world.order.attempts.is_empty());
}
