//! Orders on their way to the customer and back, with the money that follows them.

use consign_domain::entity::Entity;
use consign_domain::location::Answer;
use consign_domain::order::*;

use super::{
    cancel_all, header, line, pack, pick, placed, placing, scan, ship, ship_out, sku, units,
};
use crate::order_world::{World, location};

#[test]
fn an_order_goes_its_whole_way() {
    let header = Header {
        shipping: 500,
        discount: 100,
        fees: 20,
        ..header()
    };
    let mut world = placed(
        header,
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [2, 5, 0])],
    );
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert_eq!(
        world.order.allocations(0),
        [(location(0), 2), (location(1), 1)]
    );
    let expected = Totals {
        subtotal: 765,
        discounts: 100,
        shipping: 500,
        fees: 20,
        total: 1_185,
        balance_due: 1_185,
        ..Totals::default()
    };
    assert_eq!(world.order.totals(), expected);
    world
        .tell(&OrderCommand::Accept {
            fulfillment_order: 1,
        })
        .expect("it is open");
    ship_out(&mut world, 1);
    assert_eq!(world.order.status(), OrderStatus::InFulfillment);
    assert_eq!(
        world.order.payment_status(),
        PaymentStatus::PartiallyCaptured
    );
    assert_eq!(
        world.order.fulfillment_status(),
        FulfillmentProgress::Partial
    );
    ship_out(&mut world, 2);
    assert_eq!(world.order.totals().captured, 1_185);
    assert_eq!(world.order.payment_status(), PaymentStatus::Captured);
    for shipment in [1, 2] {
        let status = ShipmentStatus::Delivered;
        let command = OrderCommand::Track {
            shipment,
            status,
            place: None,
            reason: None,
            signature: None,
        };
        world.tell(&command).expect("there is a shipment");
    }
    assert_eq!(world.order.status(), OrderStatus::Completed);
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Closed
    );
    assert_eq!(
        (world.order.attempts.len(), world.order.wakeup()),
        (0, None)
    );
}

#[test]
fn virtual_lines_are_delivered_and_captured_at_once() {
    let card = NewLine {
        fulfilment: Fulfilment::Virtual,
        ..line("1", "card", 2, 100_000)
    };
    let mut world = placed(
        header(),
        vec![card.clone(), line("2", "mug", 1, 25_500)],
        &[("mug", [1, 0, 0])],
    );
    assert_eq!(units(&world, 0).delivered, 2);
    assert_eq!(world.order.totals().captured, 2_000);
    assert_eq!(
        world.order.status(),
        OrderStatus::Allocated,
        "the mug is still to come"
    );
    world.tell(&cancel_all()).expect("the mug can be cancelled");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Completed);
    assert_eq!(world.order.totals().balance_due, 0);
    let only = placed(header(), vec![card], &[]);
    assert_eq!(only.order.status(), OrderStatus::Completed);
    assert!(only.order.settled());
}

#[test]
fn scans_come_in_any_order_and_an_end_stays() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 1, 25_500)],
        &[("mug", [1, 0, 0])],
    );
    ship_out(&mut world, 1);
    let status = |world: &World| world.order.shipments[0].status;
    scan(&mut world, ShipmentStatus::OutForDelivery, 30, None);
    scan(&mut world, ShipmentStatus::InTransit, 20, None);
    assert_eq!(
        status(&world),
        ShipmentStatus::OutForDelivery,
        "an older scan changes nothing"
    );
    scan(&mut world, ShipmentStatus::DeliveryAttempted, 40, None);
    scan(&mut world, ShipmentStatus::OutForDelivery, 35, None);
    assert_eq!(status(&world), ShipmentStatus::DeliveryAttempted);
    let version = world.order.version;
    scan(&mut world, ShipmentStatus::InTransit, 20, None);
    assert_eq!(world.order.version, version, "a repeated scan is no event");
    scan(&mut world, ShipmentStatus::Delivered, 39, Some("Bob"));
    assert_eq!(
        status(&world),
        ShipmentStatus::Delivered,
        "an end counts even when it is late"
    );
    scan(&mut world, ShipmentStatus::Lost, 60, None);
    assert_eq!(
        (status(&world), units(&world, 0).delivered),
        (ShipmentStatus::Delivered, 1)
    );
    let happened: Vec<i64> = world.order.shipments[0]
        .tracking
        .iter()
        .map(|e| e.occurred_at.0)
        .collect();
    assert_eq!(happened, [20, 30, 35, 39, 40, 60]);
    let personal = world
        .order
        .personal
        .clone()
        .expect("it was placed with one");
    assert_eq!(personal.signatures, [(1, "Bob".to_owned())]);
    assert!(
        world
            .events
            .iter()
            .all(|e| !format!("{e:?}").contains("Bob")),
        "never in an event"
    );
    world
        .tell(&OrderCommand::ErasePersonalData)
        .expect("it is there");
    assert_eq!(
        world.order.personal.as_deref(),
        Some(&PersonalData::default())
    );
    scan(&mut world, ShipmentStatus::Delivered, 61, Some("Eve"));
    assert_eq!(
        world.order.personal.as_deref(),
        Some(&PersonalData::default()),
        "erased stays erased"
    );
}

#[test]
fn a_lost_parcel_is_refunded_with_its_shipping() {
    let header = Header {
        shipping: 100,
        ..header()
    };
    let mut world = placed(
        header,
        vec![line("1", "mug", 2, 25_500)],
        &[("mug", [2, 0, 0])],
    );
    ship_out(&mut world, 1);
    scan(&mut world, ShipmentStatus::Lost, 10, None);
    assert_eq!(units(&world, 0).lost, 2);
    let totals = world.order.totals();
    assert_eq!(
        (
            totals.captured,
            totals.refunded,
            totals.total,
            totals.balance_due
        ),
        (610, 610, 0, 0)
    );
    assert_eq!(world.order.payment_status(), PaymentStatus::Refunded);
    assert_eq!(world.order.status(), OrderStatus::Completed);
}

#[test]
fn a_return_refunds_the_goods_and_restocks_them() {
    let header = Header {
        shipping: 100,
        ..header()
    };
    let mut world = placed(
        header,
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 0, 0])],
    );
    let lines = vec![LineQuantity {
        line: 0,
        quantity: 2,
    }];
    let request = OrderCommand::RequestReturn {
        lines,
        reason: "broken".into(),
    };
    assert!(matches!(
        world.tell(&request),
        Err(OrderRejection::NotEnough { available: 0, .. })
    ));
    ship_out(&mut world, 1);
    scan(&mut world, ShipmentStatus::Delivered, 10, None);
    assert_eq!(
        world.tell(&request).expect("three were delivered").numbers,
        [1]
    );
    assert!(matches!(
        world.tell(&request),
        Err(OrderRejection::NotEnough { available: 1, .. })
    ));
    let items = vec![
        (
            LineQuantity {
                line: 0,
                quantity: 1,
            },
            Disposition::Restocked,
        ),
        (
            LineQuantity {
                line: 0,
                quantity: 1,
            },
            Disposition::Missing,
        ),
    ];
    let receive = OrderCommand::ReceiveReturn {
        number: 1,
        location: location(2),
        items,
    };
    world.tell(&receive).expect("it was announced");
    assert!(!world.tell(&receive).expect("a repeat").changed);
    assert_eq!(world.order.returns[0].status, ReturnStatus::Inspected);
    world.settle();
    assert_eq!(world.order.returns[0].status, ReturnStatus::Closed);
    assert_eq!(
        world.available(2, &sku("mug")),
        1,
        "the missing one is not restocked"
    );
    let totals = world.order.totals();
    assert_eq!(
        (totals.refunded, totals.total, totals.balance_due),
        (255, 610, 0)
    );
    assert_eq!(world.order.returns[0].refunded, 255);
    assert_eq!(
        world.order.fulfillment_status(),
        FulfillmentProgress::PartiallyReturned
    );
    assert_eq!(
        world.order.payment_status(),
        PaymentStatus::PartiallyRefunded
    );
}

#[test]
fn a_parcel_returned_to_its_sender_is_a_return() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 2, 25_500)],
        &[("mug", [2, 0, 0])],
    );
    ship_out(&mut world, 1);
    scan(&mut world, ShipmentStatus::Refused, 10, None);
    scan(&mut world, ShipmentStatus::Delivered, 11, None);
    assert_eq!(
        units(&world, 0).shipped,
        2,
        "what was refused is not delivered"
    );
    scan(&mut world, ShipmentStatus::ReturnToSender, 12, None);
    scan(&mut world, ShipmentStatus::Returned, 13, None);
    assert_eq!(
        (units(&world, 0).delivered, units(&world, 0).returned),
        (2, 2)
    );
    world.settle();
    assert_eq!(world.order.returns[0].status, ReturnStatus::Closed);
    assert_eq!(world.order.totals().refunded, 510);
    assert_eq!(
        world.order.fulfillment_status(),
        FulfillmentProgress::Returned
    );
}

#[test]
fn a_silent_shipment_is_taken_to_be_delivered() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 1, 25_500)],
        &[("mug", [1, 0, 0])],
    );
    ship_out(&mut world, 1);
    world.pass(SCANS_AWAITED_MS - 1_000);
    assert_eq!(world.order.status(), OrderStatus::InFulfillment);
    world.pass(1_001);
    assert_eq!(world.order.status(), OrderStatus::Completed);
}

#[test]
fn a_carrier_is_asked_for_a_tracking_number_once() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 1, 25_500)],
        &[("mug", [1, 0, 0])],
    );
    world.tell(&pick(1, &[])).expect("it is open");
    world.settle();
    world.tell(&pack(1)).expect("it is picked");
    assert!(!world.tell(&pack(1)).expect("a repeat").changed);
    assert_eq!(
        world
            .tell(&ship(1, Some("DPD")))
            .expect("it is packed")
            .numbers,
        [1]
    );
    assert!(!world.order.settled(), "the caller waits for the number");
    let again = world.tell(&ship(1, Some("DPD"))).expect("a repeat");
    assert_eq!((again.changed, again.numbers), (false, vec![1]));
    world.settle();
    assert_eq!(world.order.shipments[0].tracking_number, "T1".parse().ok());
}

#[test]
fn the_largest_order_is_served() {
    let lines: Vec<_> = (0..ORDER_LINES_MAX)
        .map(|i| line(&format!("l{i}"), "mug", 2, 10_100))
        .collect();
    let mut world = World::new(&[(sku("mug"), [4_000, 0, 0])]);
    let assignments = (0..ORDER_LINES_MAX as u32).map(|line| Assignment {
        line,
        location: location(0),
        quantity: 2,
    });
    let plan = Some(Plan {
        assignments: assignments.collect(),
        inputs: Vec::new(),
    });
    let OrderCommand::Place {
        header,
        lines,
        personal,
        ..
    } = placing(header(), lines)
    else {
        return;
    };
    let context = |now| consign_domain::entity::Context {
        now,
        occurred_at: None,
        by: "test".into(),
    };
    let mut tell = |command: &OrderCommand| {
        world.now = world.now.plus_millis(1);
        let context = context(world.now);
        let decision = world.order.decide(command, &context).expect("it is valid");
        decision
            .events
            .iter()
            .for_each(|event| world.order.apply(event, &context.stamp()));
        assert!(decision.events.len() < 10, "events name many lines");
    };
    let stands = |picked, shipped| {
        (1..=ORDER_LINES_MAX as u32)
            .map(|attempt| Answer::Stands {
                attempt,
                units: 2,
                picked,
                short: 0,
                shipped,
            })
            .collect::<Vec<_>>()
    };
    let answered = |answers| OrderCommand::LocationAnswered {
        location: location(0),
        answers,
    };
    tell(&OrderCommand::Place {
        header,
        lines,
        personal,
        plan,
    });
    tell(&answered(stands(0, 0)));
    tell(&pick(1, &[]));
    tell(&answered(stands(2, 0)));
    tell(&pack(1));
    tell(&ship(1, None));
    tell(&answered(stands(2, 2)));
    assert_eq!(world.order.broken_law(), None);
    assert_eq!(world.order.attempts, []);
    assert_eq!(world.order.totals().captured, 4_000 * 101);
}
