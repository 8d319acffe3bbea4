//! Random commands to a location. What belongs to one name (attempt, hold, return, transfer) is
//! always the same, as it is when its sender repeats itself.

use consign_domain::location::{CapacityLimits, LocationCommand, Request};
use consign_domain::order::Disposition;
use consign_domain::time::Timestamp;
use proptest::prelude::*;

use crate::location_world::{START, at, attempt, hold, place, return_id, serve, sku};

/// Attempts 1 to 8 reserve; 9 to 11 come from holds 1 to 3.
pub const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=11;
const RESERVING: std::ops::RangeInclusive<u32> = 1..=8;
const HOLDS: std::ops::RangeInclusive<u32> = 1..=3;
/// No attempt and no hold is meant to last longer.
pub const END: Timestamp = Timestamp(START.0 + 20_000_000);

#[derive(Clone, Debug)]
pub enum Step {
    Tell(LocationCommand),
    /// Time goes by.
    Wait(i64),
    /// A message of before is delivered once more.
    Again(usize),
    ConfirmDisplacements,
}

fn not_after(number: u32) -> Timestamp {
    at(i64::from(number) * 1_500).min(END)
}

/// Attempts are for single units, for two pieces a unit, or for a bundle.
pub fn reserve(number: u32, units: u32, partial: bool) -> Request {
    let per_unit = match number % 4 {
        3 => vec![(sku(0), 1), (sku(1), 2)],
        2 => vec![(sku(number % 3), 2)],
        _ => vec![(sku(number % 3), 1)],
    };
    Request::Reserve {
        attempt: attempt(number),
        units,
        per_unit,
        partial,
        promise: at(i64::from(number * 7 % 5) * 1_000),
        not_after: not_after(number),
    }
}

pub fn release(number: u32, keep: u32) -> Request {
    Request::Release {
        attempt: attempt(number),
        keep,
        not_after: not_after(number),
    }
}

/// Whether it may come any number of times: from another entity, or named by what it is about.
pub fn is_message(command: &LocationCommand) -> bool {
    use LocationCommand as C;
    match command {
        C::Serve { .. }
        | C::TransferIn { .. }
        | C::TransferConfirmed { .. }
        | C::ReleaseHold { .. }
        | C::ConvertHold { .. }
        | C::ClaimHold { .. }
        | C::DisplacementConfirmed { .. }
        | C::Restock { .. }
        | C::SkusRefused { .. }
        | C::Wake { .. } => true,
        // These are outside commands: the runtime knows them by their key.
        C::Receive { .. }
        | C::Adjust { .. }
        | C::Count { .. }
        | C::SetSafetyStock { .. }
        | C::TransferOut { .. }
        | C::SetCapacity { .. }
        | C::SetBlock { .. }
        | C::Hold { .. }
        | C::Announce { .. }
        | C::EndAnnouncement { .. } => false,
    }
}

fn requests() -> impl Strategy<Value = LocationCommand> {
    let reserves = (RESERVING, 1_u32..6, any::<bool>());
    prop_oneof![
        4 => reserves.prop_map(|(number, units, partial)| reserve(number, units, partial)),
        2 => (ATTEMPTS, 0_u32..5).prop_map(|(number, keep)| release(number, keep)),
        3 => (ATTEMPTS, 0_u32..6, 0_u32..3).prop_map(|(number, picked, short)| Request::Pick {
            attempt: attempt(number), picked, short
        }),
        2 => (ATTEMPTS, 0_u32..6).prop_map(|(number, shipped)| Request::Ship {
            attempt: attempt(number), shipped, not_after: not_after(number)
        }),
    ]
    .prop_map(serve)
}

fn stock() -> impl Strategy<Value = LocationCommand> {
    use LocationCommand as C;
    let kind = || (0_u32..3).prop_map(sku);
    let reference = || "r".into();
    prop_oneof![
        3 => (kind(), 0_u32..15).prop_map(move |(sku, quantity)| C::Receive {
            sku, quantity, reference: reference()
        }),
        2 => (kind(), -8_i64..8, -3_i64..4).prop_map(move |(sku, delta, damaged_delta)| C::Adjust {
            sku, delta, damaged_delta, reference: reference()
        }),
        2 => (kind(), 0_u32..20, 0_i64..6_000).prop_map(move |(sku, counted, moment)| C::Count {
            sku, counted, counted_at: at(moment), reference: reference()
        }),
        1 => (kind(), 0_u32..4).prop_map(|(sku, quantity)| C::SetSafetyStock { sku, quantity }),
        1 => (kind(), 1_u32..4).prop_map(move |(sku, quantity)| C::TransferOut {
            to: place("YORK"), sku, quantity, reference: reference()
        }),
        2 => (kind(), any::<bool>(), 0_u32..20, 0_i64..6_000).prop_map(|(sku, same, quantity, moment)| C::Announce {
            sku, reference: if same { "r" } else { "s" }.into(), quantity, expected_at: at(moment)
        }),
        1 => kind().prop_map(move |sku| C::EndAnnouncement { sku, reference: reference() }),
        1 => (1_u64..4).prop_map(move |number| C::TransferIn {
            from: place("YORK"), number, sku: sku(1), quantity: 2, reference: reference()
        }),
        1 => (proptest::option::of(0_u32..9), proptest::option::of(0_u32..3)).prop_map(|(units, orders)| C::SetCapacity {
            limits: CapacityLimits { units_per_hour: units, orders_per_day: orders, ..CapacityLimits::default() }
        }),
        1 => (kind(), proptest::option::of(1_i64..9_000)).prop_map(|(sku, until)| C::SetBlock { sku, until: until.map(at) }),
        1 => (kind(), 1_i64..9_000).prop_map(|(sku, until)| C::SkusRefused { skus: vec![sku], until: at(until) }),
        1 => (1_u64..4).prop_map(|number| C::TransferConfirmed { to: place("YORK"), number }),
        1 => (1_u32..4).prop_map(|number| C::Restock {
            return_id: return_id(number),
            items: vec![
                (sku(0), number, Disposition::Restocked),
                (sku(1), 1, Disposition::ProcessingRequired),
                (sku(2), 1, Disposition::Missing),
            ],
        }),
    ]
}

fn holds() -> impl Strategy<Value = LocationCommand> {
    use LocationCommand as C;
    let wish = (HOLDS, 1_u32..5, any::<bool>(), 0_i64..8_000);
    prop_oneof![
        3 => wish.prop_map(|(number, units, partial, ends)| C::Hold {
            hold: hold(number), items: vec![(sku(number % 3), units)], partial, expires_at: at(ends)
        }),
        1 => HOLDS.prop_map(|number| C::ReleaseHold { hold: hold(number) }),
        2 => HOLDS.prop_map(|number| C::ConvertHold {
            hold: hold(number),
            attempt: attempt(number + RESERVING.end()),
            promise: at(2_000),
            not_after: not_after(number + RESERVING.end()),
        }),
        2 => (HOLDS, RESERVING).prop_map(|(number, of)| C::ClaimHold {
            hold: hold(number), order: attempt(of).order, line: attempt(of).line
        }),
        1 => (0_i64..8_000).prop_map(|moment| C::Wake { now: at(moment) }),
    ]
}

/// Up to `count` steps.
pub fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => requests().prop_map(Step::Tell),
        5 => stock().prop_map(Step::Tell),
        3 => holds().prop_map(Step::Tell),
        2 => (1_i64..900).prop_map(Step::Wait),
        3 => any::<usize>().prop_map(Step::Again),
        1 => Just(Step::ConfirmDisplacements),
    ];
    prop::collection::vec(step, 1..count)
}
