//! Orders that are refused, cancelled, held or amended.

use consign_domain::entity::Entity;
use consign_domain::ids::LineId;
use consign_domain::location::Answer;
use consign_domain::money::UnitPrice;
use consign_domain::order::*;

use super::{
    answer, cancel, cancel_all, header, line, pack, pick, placed, placing, ship, ship_out, sku,
    units,
};
use crate::order_world::World;

#[test]
fn a_bad_order_is_refused_where_it_is_bad() {
    let refused =
        |header: Header, lines: Vec<NewLine>| match World::new(&[]).tell(&placing(header, lines)) {
            Err(OrderRejection::Invalid { pointer, code }) => format!("{pointer} {code}"),
            other => format!("{other:?}"),
        };
    let mug = |quantity| line("1", "mug", quantity, 25_500);
    assert_eq!(refused(header(), vec![]), "/lines empty");
    assert_eq!(
        refused(header(), vec![mug(0)]),
        "/lines/0/quantity out_of_range"
    );
    assert_eq!(
        refused(header(), vec![mug(LINE_UNITS_MAX + 1)]),
        "/lines/0/quantity out_of_range"
    );
    assert_eq!(
        refused(header(), vec![mug(1), mug(1)]),
        "/lines/1/id duplicate"
    );
    let negative = NewLine {
        unit_price: UnitPrice(-1),
        ..mug(1)
    };
    assert_eq!(
        refused(header(), vec![negative]),
        "/lines/0/unit_price out_of_range"
    );
    let dear = NewLine {
        unit_price: UnitPrice::MAX,
        ..mug(LINE_UNITS_MAX)
    };
    assert!(
        World::new(&[])
            .tell(&placing(header(), vec![dear.clone()]))
            .is_ok()
    );
    let two = vec![
        dear.clone(),
        NewLine {
            id: LineId::new("2").expect("a valid name"),
            ..dear
        },
    ];
    assert_eq!(refused(header(), two), "/lines total_out_of_range");
    let discount = NewLine {
        discount: 256,
        ..mug(1)
    };
    assert_eq!(
        refused(header(), vec![discount]),
        "/lines/0/discounts out_of_range"
    );
    assert_eq!(
        refused(
            Header {
                discount: 256,
                ..header()
            },
            vec![mug(1)]
        ),
        "/discounts exceeds_total"
    );
    let many = (0..=ORDER_LINES_MAX)
        .map(|i| line(&format!("l{i}"), "mug", 1, 1))
        .collect();
    assert_eq!(refused(header(), many), "/lines too_many");
    let free = NewLine {
        unit_price: UnitPrice(0),
        ..mug(1)
    };
    assert!(
        World::new(&[]).tell(&placing(header(), vec![free])).is_ok(),
        "a price of zero is valid"
    );
}

#[test]
fn an_order_cancelled_before_it_arrives_is_born_cancelled() {
    let mut world = World::new(&[(sku("mug"), [9, 9, 9])]);
    let early = OrderCommand::CancelBeforeArrival {
        reason: "channel".into(),
    };
    world.tell(&early).expect("nothing is known of it");
    assert!(!world.tell(&early).expect("a repeat").changed);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    assert_eq!(world.order.status(), OrderStatus::Cancelled);
    assert_eq!(
        units(&world, 0),
        Units {
            cancelled: 3,
            ..Units::default()
        }
    );
    assert!(!world.order.has_pending());
    assert_eq!(world.order.totals(), Totals::default());
    assert_eq!(world.order.payment_status(), PaymentStatus::Voided);
}

#[test]
fn the_location_lets_go_before_units_are_cancelled() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 0, 0])],
    );
    world.tell(&cancel(0, 2)).expect("nothing is picked");
    assert_eq!(units(&world, 0).allocated, 3);
    assert_eq!(
        (
            world.order.cancel_requested(1),
            world.order.line_cancel_requested(0)
        ),
        (2, 2)
    );
    assert!(!world.order.settled());
    // What is wanted back may not be picked any more.
    let too_many = world.tell(&pick(1, &[(0, 2, 0)]));
    assert!(
        matches!(
            too_many,
            Err(OrderRejection::NotEnough { available: 1, .. })
        ),
        "{too_many:?}"
    );
    world.settle();
    assert_eq!(
        units(&world, 0),
        Units {
            allocated: 1,
            cancelled: 2,
            ..Units::default()
        }
    );
    assert_eq!(world.order.cancel_requested(1), 0);
    assert_eq!(world.order.totals().total, 255);
}

#[test]
fn what_is_picked_cannot_be_cancelled() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [3, 0, 0])],
    );
    world.tell(&pick(1, &[(0, 1, 0)])).expect("it is open");
    // The pick is not confirmed yet, but staff hold the unit in their hands.
    world.tell(&cancel_all()).expect("two can be cancelled");
    assert_eq!(world.order.cancel_requested(1), 2);
    world.settle();
    assert_eq!(
        units(&world, 0),
        Units {
            picked: 1,
            cancelled: 2,
            ..Units::default()
        }
    );
    let late = world.tell(&cancel_all());
    assert!(
        matches!(late, Err(OrderRejection::TooLate { .. })),
        "{late:?}"
    );
    let too_many = world.tell(&cancel(0, 1));
    assert!(
        matches!(too_many, Err(OrderRejection::TooLate { .. })),
        "{too_many:?}"
    );
    world.tell(&pack(1)).expect("it is picked");
    world.tell(&ship(1, None)).expect("it is packed");
    world.settle();
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Incomplete
    );
}

#[test]
fn cancelling_unit_by_unit_gives_back_exactly_everything() {
    let header = Header {
        shipping: 100,
        discount: 50,
        fees: 1,
        ..header()
    };
    let mut world = placed(
        header,
        vec![line("1", "mug", 7, 33_333)],
        &[("mug", [4, 0, 0])],
    );
    for left in (0..7).rev() {
        world.tell(&cancel(0, 1)).expect("one is left");
        world.settle();
        assert_eq!(units(&world, 0).cancelled, 7 - left);
    }
    assert_eq!(world.order.totals(), Totals::default());
    assert_eq!(world.order.status(), OrderStatus::Cancelled);
    assert_eq!(world.reserved(), 0);
}

#[test]
fn a_cancellation_overtakes_the_reservation_it_cancels() {
    let mut world = World::new(&[(sku("mug"), [3, 0, 0])]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    let plan = world.plan(&[(0, 3)], &[]);
    world
        .tell(&OrderCommand::Assign { round: 1, plan })
        .expect("it was asked");
    world.tell(&cancel_all()).expect("nothing is granted");
    // The grant was under way already; what counts is the answer to the release.
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
    assert_eq!(units(&world, 0).cancelled, 0);
    answer(&mut world, 0, &[Answer::Closed { attempt: 1 }]);
    assert_eq!(units(&world, 0).cancelled, 3);
    assert_eq!(world.order.attempts, []);
}

#[test]
fn holds_stop_work_and_nothing_else() {
    let mut world = World::new(&[(sku("mug"), [3, 0, 0])]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    let reason = HoldReason::AwaitingPayment;
    let hold = OrderCommand::PlaceHold {
        reason,
        scope: HoldScope::Order,
    };
    assert_eq!(world.tell(&hold).expect("it is open").numbers, [1]);
    world.settle();
    assert_eq!(
        world.order.status(),
        OrderStatus::Allocated,
        "reservations are made"
    );
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Scheduled
    );
    let held = Err(OrderRejection::Held { hold: 1, reason });
    assert_eq!(
        world.tell(&OrderCommand::Accept {
            fulfillment_order: 1
        }),
        held
    );
    assert_eq!(world.tell(&pick(1, &[])), held);
    world
        .tell(&OrderCommand::ReleaseHold { hold: 1 })
        .expect("it stands");
    assert!(
        !world
            .tell(&OrderCommand::ReleaseHold { hold: 1 })
            .expect("a repeat")
            .changed
    );
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Open
    );
    world.tell(&hold).expect("it is open");
    assert_eq!(
        world.order.fulfillment_orders[0].status,
        FulfillmentStatus::Open,
        "forward only (L7)"
    );
    let held = Err(OrderRejection::Held { hold: 2, reason });
    assert_eq!(world.tell(&pick(1, &[])), held);
    world
        .tell(&cancel_all())
        .expect("a hold does not stop a cancellation");
    world.settle();
    assert_eq!(world.order.status(), OrderStatus::Cancelled);
}

#[test]
fn amendments_are_all_or_nothing() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [5, 0, 0]), ("pan", [1, 0, 0])],
    );
    let before = world.order.clone();
    let add = Amendment::AddLine(line("2", "pan", 1, 99_900));
    let raise = Amendment::SetQuantity {
        line: 0,
        quantity: 4,
    };
    let refused = world.tell(&OrderCommand::Amend(vec![add.clone(), raise]));
    assert!(
        matches!(&refused, Err(OrderRejection::Invalid { pointer, .. }) if pointer == "/amendments/1/quantity")
    );
    assert_eq!(world.order, before);
    let lower = Amendment::SetQuantity {
        line: 0,
        quantity: 1,
    };
    let dearer = Amendment::SetPrice {
        line: 1,
        unit_price: UnitPrice(100_000),
    };
    world
        .tell(&OrderCommand::Amend(vec![add, lower, dearer]))
        .expect("all of it is possible");
    world.settle();
    assert_eq!(
        units(&world, 0),
        Units {
            allocated: 1,
            cancelled: 2,
            ..Units::default()
        }
    );
    assert_eq!(
        units(&world, 1),
        Units {
            allocated: 1,
            ..Units::default()
        }
    );
    assert_eq!(world.order.totals().total, 255 + 1_000);
    assert_eq!(
        world.order.fulfillment_orders.len(),
        1,
        "nobody has begun with the first one"
    );
}

#[test]
fn another_address_is_sourced_again_until_it_is_too_late() {
    let mut world = placed(
        header(),
        vec![line("1", "mug", 3, 25_500)],
        &[("mug", [2, 2, 0])],
    );
    let address = |country: &str| {
        let country = compact_str::CompactString::from(country);
        let destination = Destination {
            country: country.clone(),
            position: None,
        };
        Amendment::SetAddress {
            destination,
            address: Address {
                country,
                ..Address::default()
            },
        }
    };
    let rounds = world.order.round;
    world
        .tell(&OrderCommand::Amend(vec![address("FR")]))
        .expect("nothing has shipped");
    world.settle();
    assert!(world.order.round > rounds);
    assert_eq!(world.order.status(), OrderStatus::Allocated);
    assert_eq!(
        world
            .order
            .personal
            .as_ref()
            .map(|p| p.ship_to.country.clone()),
        Some("FR".into())
    );
    let open = world
        .order
        .fulfillment_orders
        .iter()
        .find(|f| f.status == FulfillmentStatus::Open);
    let number = open.expect("it was sourced again").number;
    ship_out(&mut world, number);
    let late = world.tell(&OrderCommand::Amend(vec![address("DE")]));
    assert!(
        matches!(late, Err(OrderRejection::TooLate { .. })),
        "{late:?}"
    );
}

#[test]
fn an_unknown_order_knows_nothing() {
    let mut world = World::new(&[]);
    assert_eq!(world.tell(&cancel_all()), Err(OrderRejection::Unknown));
    assert_eq!(
        world.tell(&OrderCommand::Replenish),
        Err(OrderRejection::Unknown)
    );
}

#[test]
fn an_order_cancelled_before_it_is_sourced_asks_nobody() {
    let mut world = World::new(&[]);
    world
        .tell(&placing(header(), vec![line("1", "mug", 3, 25_500)]))
        .expect("it is valid");
    assert!(world.order.has_pending());
    world.tell(&cancel_all()).expect("nothing is reserved");
    assert_eq!(world.order.status(), OrderStatus::Cancelled);
    assert!(!world.order.has_pending());
    let plan = Plan::default();
    assert!(
        !world
            .tell(&OrderCommand::Assign { round: 1, plan })
            .expect("it is late")
            .changed
    );
    assert!(!world.tell(&cancel_all()).expect("a repeat").changed);
}
