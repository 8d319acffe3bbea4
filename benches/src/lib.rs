//! What the benchmarks measure on: an order and a location of ordinary size.
//!
//! In: how many lines or SKUs. Out: commands and states of the domain. Everything is the same on
//! each run, so that two runs compare.

use compact_str::format_compact;
use consign_domain::catalogue::Position;
use consign_domain::entity::{Context, Entity};
use consign_domain::ids::{AttemptId, Channel, LineId, LocationId, OrderId, Sku};
use consign_domain::location::{Location, LocationCommand, Request};
use consign_domain::money::{Currency, UnitPrice};
use consign_domain::order::{
    Address, Assignment, Destination, Fulfilment, Header, NewLine, Order, OrderCommand,
    PersonalData, Plan, ShortagePolicy, SplitPolicy,
};
use consign_domain::time::Timestamp;

/// The moment at which everything happens.
pub const NOW: Timestamp = Timestamp(1_291_188_360_000_000);

/// When reservations are void: later than any clock that a benchmark runs under (2100-01-01).
pub const NOT_AFTER: Timestamp = Timestamp(4_102_444_800_000_000);

/// The context of a command from outside.
#[must_use]
pub fn context() -> Context {
    Context {
        now: NOW,
        occurred_at: None,
        by: "bench".into(),
    }
}

/// The `n`th SKU.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn sku(n: u32) -> Sku {
    Sku::new(&format_compact!("SKU-{n:06}")).expect("visible ASCII")
}

/// The `n`th location's id.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn location_id(n: u32) -> LocationId {
    LocationId::new(&format_compact!("L{n:03}")).expect("visible ASCII")
}

/// The `n`th order's id.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn order_id(n: u64) -> OrderId {
    OrderId::new(&format_compact!("order-{n:016}")).expect("visible ASCII")
}

/// An order of so many lines, all of it from one location, with the plan that comes beside it.
///
/// # Panics
/// Never: all names are valid.
#[must_use]
pub fn place(lines: u32) -> OrderCommand {
    let line = |n: u32| NewLine {
        id: LineId::new(&format_compact!("{}", n + 1)).expect("a number"),
        sku: sku(n),
        quantity: 2,
        unit_price: UnitPrice(25_500),
        discount: 0,
        taxes: Vec::new(),
        pickup_location: None,
        fulfilment: Fulfilment::Physical(vec![(sku(n), 1)]),
    };
    let position = Position {
        latitude_e6: 51_500_000,
        longitude_e6: -120_000,
    };
    let header = Header {
        channel: Channel::new("web").expect("a name"),
        external_id: Some("536365".into()),
        currency: Currency::from_code("GBP").expect("pounds"),
        placed_at: NOW,
        order_type: None,
        locale: None,
        customer: "17850".into(),
        customer_group: None,
        destination: Destination {
            country: "GB".into(),
            position: Some(position),
        },
        service_level: "standard".into(),
        split: SplitPolicy::Allow,
        shortage: ShortagePolicy::Backorder,
        shipping: 495,
        discount: 0,
        fees: 0,
    };
    let ship_to = Address {
        name: Some("Ada Lovelace".into()),
        line1: Some("1 High Street".into()),
        city: Some("London".into()),
        postal_code: Some("EC1A 1BB".into()),
        country: "GB".into(),
        position: Some(position),
    };
    let assign = |line: u32| Assignment {
        line,
        location: location_id(0),
        quantity: 2,
    };
    OrderCommand::Place {
        header: Box::new(header),
        lines: (0..lines).map(line).collect(),
        personal: Box::new(PersonalData {
            ship_to,
            ..PersonalData::default()
        }),
        plan: Some(Plan {
            assignments: (0..lines).map(assign).collect(),
            inputs: vec![7; 64],
        }),
    }
}

/// Decides a command and takes its events in, as the runtime does between two writes.
///
/// # Panics
/// When the entity refuses.
pub fn step<E: Entity>(entity: &mut E, command: &E::Command) -> E::Reply {
    let context = context();
    let decision = entity
        .decide(command, &context)
        .unwrap_or_else(|rejection| panic!("refused: {rejection}"));
    let stamp = context.stamp();
    for event in &decision.events {
        entity.apply(event, &stamp);
    }
    decision.reply
}

/// An order that has been placed.
#[must_use]
pub fn placed(lines: u32) -> Order {
    let mut order = Order::empty(order_id(1));
    step(&mut order, &place(lines));
    order
}

/// A location that has plenty of so many SKUs.
#[must_use]
pub fn stocked(skus: u32) -> Location {
    let mut location = Location::empty(location_id(0));
    for n in 0..skus {
        step(&mut location, &receive(n, 1_000_000_000));
    }
    location
}

/// Goods come in.
#[must_use]
pub fn receive(n: u32, quantity: u32) -> LocationCommand {
    LocationCommand::Receive {
        sku: sku(n),
        quantity,
        reference: "delivery".into(),
    }
}

/// The `n`th order's reservation of two units of each of so many SKUs.
#[must_use]
pub fn reserve(n: u64, lines: u32) -> LocationCommand {
    let order = order_id(n);
    let request = |line: u32| Request::Reserve {
        attempt: AttemptId {
            order: order.clone(),
            line,
            attempt: line + 1,
        },
        units: 2,
        per_unit: vec![(sku(line), 1)],
        partial: false,
        promise: NOW,
        not_after: NOT_AFTER,
    };
    LocationCommand::Serve {
        requests: (0..lines).map(request).collect(),
        order,
    }
}
