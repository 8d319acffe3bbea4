//! Property tests of L3, L5, L6 and L7: an order under random commands, over a network that delays,
//! reorders, repeats and loses messages. The laws themselves are checked in `order_world` after
//! every event.

#[path = "../order_world/mod.rs"]
mod order_world;
mod steps;

use consign_domain::entity::Entity;
use consign_domain::ids::{Channel, LineId, Sku};
use consign_domain::money::{Currency, UnitPrice};
use consign_domain::order::*;
use consign_domain::time::Timestamp;
use order_world::{World, location};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use steps::{Step, step, take};

#[derive(Clone, Debug)]
struct Scenario {
    lines: Vec<(u32, u32, i64, u32)>,
    stock: Vec<[u32; 3]>,
    split: SplitPolicy,
    shortage: ShortagePolicy,
    extras: (i64, i64, i64),
    planned: bool,
    cancelled_at_end: bool,
    rule: ShortageRule,
    steps: Vec<Step>,
}

/// What the rule says that makes plans; half of the time nothing.
fn rule() -> impl Strategy<Value = ShortageRule> {
    let action = prop_oneof![
        4 => Just(ShortageAction::AsOrderSays),
        1 => Just(ShortageAction::Backorder),
        1 => Just(ShortageAction::Cancel),
        2 => Just(ShortageAction::Park),
        1 => Just(ShortageAction::Hold(HoldReason::OutOfStock)),
    ];
    let common = prop::collection::btree_set((0..3_u32).prop_map(sku), 0..3);
    let own = (action, any::<bool>(), common).prop_map(|(action, alert, common)| ShortageRule {
        rule: "own".into(),
        action,
        alert,
        common,
    });
    prop_oneof![1 => Just(ShortageRule::default()), 1 => own]
}

fn scenario(steps: usize) -> impl Strategy<Value = Scenario> {
    let line = (0..5_u32, 1..7_u32, 0..200_000_i64, 0..3_u32);
    let split = prop_oneof![
        3 => Just(SplitPolicy::Allow),
        1 => Just(SplitPolicy::ShipComplete),
        1 => Just(SplitPolicy::SingleLocation)
    ];
    let shortage = prop_oneof![
        3 => Just(ShortagePolicy::Backorder),
        1 => Just(ShortagePolicy::CancelLine),
        1 => Just(ShortagePolicy::CancelOrder)
    ];
    (
        prop::collection::vec(line, 1..5),
        prop::collection::vec([0..9_u32, 0..9_u32, 0..9_u32], 4),
        split,
        shortage,
        (0..700_i64, 0..90_i64, 0..50_i64),
        any::<[bool; 2]>(),
        rule(),
        prop::collection::vec(step(), 1..steps),
    )
        .prop_map(
            |(lines, stock, split, shortage, extras, [planned, cancelled_at_end], rule, steps)| {
                Scenario {
                    lines,
                    stock,
                    split,
                    shortage,
                    extras,
                    planned,
                    cancelled_at_end,
                    rule,
                    steps,
                }
            },
        )
}

fn sku(kind: u32) -> Sku {
    Sku::new(&format!("sku{kind}")).expect("a valid name")
}

/// Kinds 0 to 2 are plain, 3 is a bundle of one 0 and two 1, 4 is virtual.
fn new_line(index: u32, (kind, quantity, price, discount): (u32, u32, i64, u32)) -> NewLine {
    let fulfilment = match kind {
        3 => Fulfilment::Physical(vec![(sku(0), 1), (sku(1), 2)]),
        4 => Fulfilment::Virtual,
        plain => Fulfilment::Physical(vec![(sku(plain), 1)]),
    };
    let unit_price = UnitPrice(price);
    let subtotal = unit_price.times(quantity, gbp()).expect("it is small");
    NewLine {
        id: LineId::new(&format!("l{index}")).expect("a valid name"),
        sku: sku(kind),
        quantity,
        unit_price,
        discount: subtotal / 10 * i64::from(discount),
        taxes: vec![Tax {
            rate_ppm: 200_000,
            amount: subtotal / 5,
            included: price % 2 == 0,
        }],
        pickup_location: None,
        fulfilment,
    }
}

fn gbp() -> Currency {
    Currency::from_code("GBP").expect("it is one")
}

fn header(scenario: &Scenario) -> Header {
    let (shipping, discount, fees) = scenario.extras;
    Header {
        channel: Channel::new("web").expect("a valid name"),
        external_id: None,
        currency: gbp(),
        placed_at: Timestamp(5),
        order_type: None,
        locale: None,
        customer: "c1".into(),
        customer_group: None,
        destination: Destination {
            country: "GB".into(),
            position: None,
        },
        service_level: "standard".into(),
        split: scenario.split,
        shortage: scenario.shortage,
        shipping: shipping + discount,
        discount,
        fees,
    }
}

fn place(scenario: &Scenario) -> (World, OrderCommand) {
    let stock: Vec<_> = (0..)
        .zip(&scenario.stock)
        .map(|(kind, units)| (sku(kind), *units))
        .collect();
    let lines: Vec<NewLine> = (0..)
        .zip(&scenario.lines)
        .map(|(index, line)| new_line(index, *line))
        .collect();
    let mut world = World::new(&stock);
    world.rule = scenario.rule.clone();
    let plan = scenario.planned.then(|| Plan {
        assignments: (0..)
            .zip(&lines)
            .filter(|(_, l)| l.fulfilment != Fulfilment::Virtual)
            .map(|(line, l)| Assignment {
                line,
                location: location(l.quantity as usize),
                quantity: l.quantity,
            })
            .collect(),
        inputs: Vec::new(),
    });
    let personal = Box::new(PersonalData {
        customer_name: Some("Ada".into()),
        ..PersonalData::default()
    });
    let header = Box::new(header(scenario));
    (
        world,
        OrderCommand::Place {
            header,
            lines,
            personal,
            plan,
        },
    )
}

/// Brings an order to its end: what is left is cancelled as far as it goes, or stock comes in for
/// it; the rest is shipped and assumed to be delivered.
fn finish(world: &mut World, cancelled: bool) {
    world.settle();
    for round in 0.. {
        // A rule may lay holds as long as units are short.
        for hold in world.order.holds.clone() {
            world
                .tell(&OrderCommand::ReleaseHold { hold: hold.number })
                .expect("it stands");
        }
        assert!(
            round < 20,
            "an order that can be served comes to its end: {:#?}",
            world.order
        );
        if cancelled {
            let _ = world.tell(&OrderCommand::Cancel {
                scope: CancelScope::Order,
                reason: "end".into(),
            });
        } else {
            for kind in 0..3 {
                (0..3).for_each(|at| world.receive(at, &sku(kind), 100));
            }
            world
                .tell(&OrderCommand::Replenish)
                .expect("stock is never an error");
            world
                .tell(&OrderCommand::ReleaseParking)
                .expect("a release is never an error");
        }
        world.settle();
        for fulfillment_order in 1..=world.order.fulfillment_orders.len() as u32 {
            ship_all(world, fulfillment_order);
        }
        world.pass(SCANS_AWAITED_MS);
        world.settle();
        if world.order.ended() {
            return;
        }
    }
}

fn ship_all(world: &mut World, fulfillment_order: u32) {
    let _ = world.tell(&OrderCommand::Pick {
        fulfillment_order,
        lines: Vec::new(),
    });
    world.settle();
    let _ = world.tell(&OrderCommand::Pack {
        fulfillment_order,
        packages: Vec::new(),
    });
    let _ = world.tell(&OrderCommand::Ship {
        fulfillment_order,
        packages: Vec::new(),
        carrier: None,
        service: None,
        tracking_number: None,
    });
    world.settle();
}

fn run(scenario: &Scenario) {
    let (mut world, command) = place(scenario);
    if world.tell(&command).is_err() {
        return;
    }
    assert_eq!(world.tell(&command), Err(OrderRejection::Exists));
    for step in &scenario.steps {
        take(&mut world, step);
    }
    finish(&mut world, scenario.cancelled_at_end);
    // L5: the order has ended, and nothing is reserved for it anywhere.
    assert!(world.order.ended(), "{:#?}", world.order);
    assert_eq!(world.reserved(), 0);
    assert_eq!(world.order.attempts, [], "an ended order keeps no attempt");
    assert_eq!(world.order.wakeup(), None);
    assert_eq!(
        world.order.totals().balance_due,
        0,
        "all that is owed was captured (L6)"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_hold_whatever_happens(scenario in scenario(60)) {
        run(&scenario);
    }

    #[test]
    fn laws_hold_for_long_lives(scenario in scenario(300)) {
        run(&scenario);
    }
}

/// The name of an event's variant.
fn kind(event: &OrderEvent) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '('])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Laws that are checked where nothing happens prove nothing: random scenarios must reach every
/// kind of event, and every status.
#[test]
fn scenarios_reach_every_event() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..600 {
        let scenario = scenario(150)
            .new_tree(&mut runner)
            .expect("it can be drawn")
            .current();
        let (mut world, command) = place(&scenario);
        if world.tell(&command).is_err() {
            *seen.entry("(refused)".into()).or_default() += 1;
            continue;
        }
        for step in &scenario.steps {
            take(&mut world, step);
            *seen.entry(format!("{:?}", world.order.status)).or_default() += 1;
        }
        finish(&mut world, scenario.cancelled_at_end);
        world
            .events
            .iter()
            .for_each(|event| *seen.entry(kind(event)).or_default() += 1);
    }
    let expected = [
        "Placed",
        "SourcingRequested",
        "Sourced",
        "Reserved",
        "ReservationRefused",
        "ReservationExpired",
        "Backordered",
        "UnitsCancelled",
        "ReleaseRequested",
        "UnitsReleased",
        "FulfillmentOrderAccepted",
        "FulfillmentOrderRejected",
        "PickReported",
        "UnitsPicked",
        "UnitsNotFound",
        "UnitsPacked",
        "UnitsShipped",
        "ShippingConfirmed",
        "TrackingNumberIssued",
        "Tracked",
        "DeliveryAssumed",
        "ReturnRequested",
        "ReturnApproved",
        "ReturnReceived",
        "ReturnClosed",
        "HoldPlaced",
        "HoldReleased",
        "LineAdded",
        "PriceSet",
        "AddressSet",
        "ServiceLevelSet",
        "PersonalDataErased",
        "Parked",
        "StaffAlerted",
        "RestockRequested",
        "Sourcing",
        "Allocated",
        "InFulfillment",
        "Completed",
        "Cancelled",
    ];
    for kind in expected {
        assert!(
            seen.get(kind).is_some_and(|times| *times >= 10),
            "{kind}: {seen:#?}"
        );
    }
}
