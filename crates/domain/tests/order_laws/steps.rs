//! What may happen to an order in a random life.

use consign_domain::catalogue::Position;
use consign_domain::money::UnitPrice;
use consign_domain::order::*;
use consign_domain::time::Timestamp;
use proptest::prelude::*;

use super::{new_line, sku};
use crate::order_world::{World, location};

/// What may happen next; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    Send,
    Deliver(usize, bool),
    /// Everything under way arrives.
    Calm,
    Lose(usize),
    Pass(i64),
    Displace(usize, u32),
    Receive(usize, u32),
    Cancel(Option<(u32, u32)>),
    Amend(u32, u32, u32),
    Hold(u32),
    ReleaseHold(u32),
    Accept(u32),
    Reject(u32),
    Pick(u32, Option<(u32, u32, u32)>),
    Pack(u32, bool),
    Ship(u32, bool),
    Track(u32, u32, i64),
    Return(u32, u32),
    Receipt(u32, u32),
    Erase,
    ReleaseParking,
    ReleaseParkingWith {
        at: u32,
        units: u32,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![4 => Just(1_u32), 2 => Just(2), 1 => 3..5_u32];
    let line = || 0..5_u32;
    prop_oneof![
        10 => Just(Step::Send),
        40 => (any::<usize>(), prop::bool::weighted(0.15)).prop_map(|(i, r)| Step::Deliver(i, r)),
        4 => Just(Step::Calm),
        2 => any::<usize>().prop_map(Step::Lose),
        1 => prop_oneof![4 => Just(61_000), 4 => Just(900_000), 1 => Just(SCANS_AWAITED_MS + 1)]
            .prop_map(Step::Pass),
        2 => (0..3_usize, 1..4_u32).prop_map(|(l, u)| Step::Displace(l, u)),
        2 => (0..3_usize, 1..9_u32).prop_map(|(l, u)| Step::Receive(l, u)),
        1 => prop_oneof![1 => Just(None), 4 => (line(), 0..4_u32).prop_map(Some)].prop_map(Step::Cancel),
        2 => (0..6_u32, line(), 0..6_u32).prop_map(|(k, l, v)| Step::Amend(k, l, v)),
        1 => (0..4_u32).prop_map(Step::Hold),
        4 => number().prop_map(Step::ReleaseHold),
        3 => number().prop_map(Step::Accept),
        1 => number().prop_map(Step::Reject),
        12 => (number(), prop::option::of((line(), 0..4_u32, 0..3_u32))).prop_map(|(f, l)| Step::Pick(f, l)),
        8 => (number(), any::<bool>()).prop_map(|(f, all)| Step::Pack(f, all)),
        8 => (number(), any::<bool>()).prop_map(|(f, carrier)| Step::Ship(f, carrier)),
        8 => (number(), 0..15_u32, 0..5_i64).prop_map(|(s, status, at)| Step::Track(s, status, at)),
        2 => (line(), 1..4_u32).prop_map(|(l, u)| Step::Return(l, u)),
        4 => (number(), 0..5_u32).prop_map(|(r, d)| Step::Receipt(r, d)),
        1 => Just(Step::ReleaseParking),
        1 => (0..3_u32, 0..4_u32).prop_map(|(at, units)| Step::ReleaseParkingWith { at, units }),
        1 => prop::bool::weighted(0.3).prop_map(|erase| if erase { Step::Erase } else { Step::Calm }),
    ]
}

const SCANS: [ShipmentStatus; 15] = [
    ShipmentStatus::Created,
    ShipmentStatus::Packed,
    ShipmentStatus::Shipped,
    ShipmentStatus::InTransit,
    ShipmentStatus::OutForDelivery,
    ShipmentStatus::DeliveryAttempted,
    ShipmentStatus::Exception,
    ShipmentStatus::AvailableForPickup,
    ShipmentStatus::Delivered,
    ShipmentStatus::Refused,
    ShipmentStatus::Lost,
    ShipmentStatus::Damaged,
    ShipmentStatus::ReturnToSender,
    ShipmentStatus::Returned,
    ShipmentStatus::Cancelled,
];

/// Rejections are part of life: only laws are checked.
pub fn take(world: &mut World, step: &Step) {
    let command = match step.clone() {
        Step::Send => return world.send(),
        Step::Deliver(index, repeat) => return world.deliver(index, repeat),
        Step::Calm => return world.settle(),
        Step::Lose(index) => return world.lose(index),
        Step::Pass(millis) => return world.pass(millis),
        Step::Displace(at, units) => return world.displace(at, units),
        Step::Receive(at, units) => {
            world.receive(at, &sku(units % 3), units);
            OrderCommand::Replenish
        }
        Step::Cancel(None) => OrderCommand::Cancel {
            scope: CancelScope::Order,
            reason: "changed_mind".into(),
        },
        Step::Cancel(Some((line, quantity))) => OrderCommand::Cancel {
            scope: CancelScope::Lines(vec![LineQuantity { line, quantity }]),
            reason: "changed_mind".into(),
        },
        Step::Amend(kind, line, value) => OrderCommand::Amend(vec![amendment(kind, line, value)]),
        Step::Hold(scope) => OrderCommand::PlaceHold {
            reason: HoldReason::ManualReview,
            scope: match scope {
                0 => HoldScope::Order,
                1 => HoldScope::Line(0),
                number => HoldScope::FulfillmentOrder(number - 1),
            },
        },
        Step::ReleaseHold(hold) => OrderCommand::ReleaseHold { hold },
        Step::Accept(fulfillment_order) => OrderCommand::Accept { fulfillment_order },
        Step::Reject(fulfillment_order) => OrderCommand::Reject {
            fulfillment_order,
            reason: "busy".into(),
        },
        Step::Pick(fulfillment_order, line) => {
            let line = line.map(|(line, quantity, short)| PickedLine {
                line,
                quantity,
                short,
            });
            OrderCommand::Pick {
                fulfillment_order,
                lines: line.into_iter().collect(),
            }
        }
        Step::Pack(fulfillment_order, true) => OrderCommand::Pack {
            fulfillment_order,
            packages: Vec::new(),
        },
        Step::Pack(fulfillment_order, false) => {
            let items = vec![LineQuantity {
                line: 0,
                quantity: 1,
            }];
            let packages = vec![NewPackage {
                items,
                weight_grams: 100,
            }];
            OrderCommand::Pack {
                fulfillment_order,
                packages,
            }
        }
        Step::Ship(fulfillment_order, carrier) => OrderCommand::Ship {
            fulfillment_order,
            packages: Vec::new(),
            carrier: carrier.then(|| "DPD".parse().expect("a valid name")),
            service: None,
            tracking_number: None,
        },
        Step::Track(shipment, status, at) => {
            let command = OrderCommand::Track {
                shipment,
                status: SCANS[status as usize],
                place: None,
                reason: None,
                signature: (status == 8).then(|| "Bob".to_owned()),
            };
            let _ = world.tell_at(&command, Some(Timestamp(at)));
            return;
        }
        Step::Return(line, quantity) => OrderCommand::RequestReturn {
            lines: vec![LineQuantity { line, quantity }],
            reason: "too_small".into(),
        },
        Step::Receipt(number, disposition) => {
            let dispositions = [
                Disposition::Restocked,
                Disposition::NotRestocked,
                Disposition::ProcessingRequired,
                Disposition::Missing,
            ];
            let announced = world
                .order
                .return_(number)
                .map(|r| r.lines.clone())
                .unwrap_or_default();
            let came = |l: &ReturnLine, d: Disposition| {
                (
                    LineQuantity {
                        line: l.line,
                        quantity: l.quantity,
                    },
                    d,
                )
            };
            let items = match dispositions.get(disposition as usize) {
                Some(d) => announced.iter().map(|l| came(l, *d)).collect(),
                None => Vec::new(),
            };
            OrderCommand::ReceiveReturn {
                number,
                location: location(number as usize),
                items,
            }
        }
        Step::Erase => OrderCommand::ErasePersonalData,
        Step::ReleaseParking => OrderCommand::ReleaseParking,
        Step::ReleaseParkingWith { at, units } => released_with(world, at, units),
    };
    let version = world.order.version;
    if world.tell(&command).is_err() {
        assert_eq!(world.order.version, version);
    }
}

/// By a plan that asks one location for so many units of each line, whether it has them or not.
fn released_with(world: &World, at: u32, units: u32) -> OrderCommand {
    let lines = 0..world.order.lines.len() as u32;
    let assignment = |line| Assignment {
        line,
        location: location(at as usize),
        quantity: units,
    };
    OrderCommand::ReleaseParkingWith {
        plan: Box::new(Plan {
            assignments: lines.map(assignment).collect(),
            inputs: Vec::new(),
        }),
        rule: Box::new(world.rule.clone()),
    }
}

fn amendment(kind: u32, line: u32, value: u32) -> Amendment {
    match kind {
        0 => Amendment::AddLine(new_line(10 + value, (value % 5, 1 + value, 12_345, 0))),
        1 => Amendment::SetQuantity {
            line,
            quantity: value,
        },
        2 => Amendment::SetPrice {
            line,
            unit_price: UnitPrice(i64::from(value) * 31_337),
        },
        3 => Amendment::SetServiceLevel("express".into()),
        _ => {
            let latitude_e6 = value as i32 * 1_000_000;
            let position = Some(Position {
                latitude_e6,
                longitude_e6: 0,
            });
            let address = Address {
                country: "GB".into(),
                position,
                ..Address::default()
            };
            Amendment::SetAddress {
                destination: Destination {
                    country: "GB".into(),
                    position,
                },
                address,
            }
        }
    }
}
