//! What an order does, told as stories with exact figures: one rule each. Random lives are in
//! `order_laws`.

mod changing;
mod delivering;
#[path = "../order_world/mod.rs"]
mod order_world;
mod reserved;
mod shortage;
mod sourcing;

use consign_domain::ids::{Channel, LineId, Sku};
use consign_domain::location::Answer;
use consign_domain::money::{Currency, UnitPrice};
use consign_domain::order::*;
use consign_domain::time::Timestamp;
use order_world::{World, location};

const MINUTE_MS: i64 = 60_000;

fn sku(name: &str) -> Sku {
    Sku::new(name).expect("a valid name")
}

/// A line of `quantity` units at `price` ten-thousandths of a pound.
fn line(id: &str, name: &str, quantity: u32, price: i64) -> NewLine {
    NewLine {
        id: LineId::new(id).expect("a valid name"),
        sku: sku(name),
        quantity,
        unit_price: UnitPrice(price),
        discount: 0,
        taxes: Vec::new(),
        pickup_location: None,
        fulfilment: Fulfilment::Physical(vec![(sku(name), 1)]),
    }
}

fn header() -> Header {
    Header {
        channel: Channel::new("web").expect("a valid name"),
        external_id: None,
        currency: Currency::from_code("GBP").expect("it is one"),
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
        split: SplitPolicy::Allow,
        shortage: ShortagePolicy::Backorder,
        shipping: 0,
        discount: 0,
        fees: 0,
    }
}

fn placing(header: Header, lines: Vec<NewLine>) -> OrderCommand {
    let personal = Box::new(PersonalData {
        customer_name: Some("Ada".into()),
        ..PersonalData::default()
    });
    OrderCommand::Place {
        header: Box::new(header),
        lines,
        personal,
        plan: None,
    }
}

/// An order placed, sourced and reserved as far as stock goes. Stock is per location.
fn placed(header: Header, lines: Vec<NewLine>, stock: &[(&str, [u32; 3])]) -> World {
    placed_under(ShortageRule::default(), header, lines, stock)
}

/// The same under a rule that says something about what is short.
fn placed_under(
    rule: ShortageRule,
    header: Header,
    lines: Vec<NewLine>,
    stock: &[(&str, [u32; 3])],
) -> World {
    let stock: Vec<_> = stock
        .iter()
        .map(|(name, units)| (sku(name), *units))
        .collect();
    let mut world = World::new(&stock);
    world.rule = rule;
    world.tell(&placing(header, lines)).expect("it is valid");
    world.settle();
    world
}

fn cancel_all() -> OrderCommand {
    OrderCommand::Cancel {
        scope: CancelScope::Order,
        reason: "changed_mind".into(),
    }
}

fn cancel(line: u32, quantity: u32) -> OrderCommand {
    let scope = CancelScope::Lines(vec![LineQuantity { line, quantity }]);
    OrderCommand::Cancel {
        scope,
        reason: "changed_mind".into(),
    }
}

fn pick(fulfillment_order: u32, lines: &[(u32, u32, u32)]) -> OrderCommand {
    let line = |&(line, quantity, short): &(u32, u32, u32)| PickedLine {
        line,
        quantity,
        short,
    };
    OrderCommand::Pick {
        fulfillment_order,
        lines: lines.iter().map(line).collect(),
    }
}

fn pack(fulfillment_order: u32) -> OrderCommand {
    OrderCommand::Pack {
        fulfillment_order,
        packages: Vec::new(),
    }
}

fn ship(fulfillment_order: u32, carrier: Option<&str>) -> OrderCommand {
    let carrier = carrier.map(|c| c.parse().expect("a valid name"));
    OrderCommand::Ship {
        fulfillment_order,
        packages: Vec::new(),
        carrier,
        service: None,
        tracking_number: None,
    }
}

fn ship_out(world: &mut World, fulfillment_order: u32) {
    world
        .tell(&pick(fulfillment_order, &[]))
        .expect("it is open");
    world.settle();
    world.tell(&pack(fulfillment_order)).expect("it is picked");
    world
        .tell(&ship(fulfillment_order, None))
        .expect("it is packed");
    world.settle();
}

fn scan(world: &mut World, status: ShipmentStatus, at: i64, signature: Option<&str>) {
    let signature = signature.map(str::to_owned);
    let command = OrderCommand::Track {
        shipment: 1,
        status,
        place: None,
        reason: None,
        signature,
    };
    world
        .tell_at(&command, Some(Timestamp(at)))
        .expect("there is a shipment");
}

fn units(world: &World, line: usize) -> Units {
    world.order.lines[line].units
}

fn answer(world: &mut World, at: usize, answers: &[Answer]) {
    let command = OrderCommand::LocationAnswered {
        location: location(at),
        answers: answers.to_vec(),
    };
    world.tell(&command).expect("a message is never an error");
}
