//! Which of a reservation's holds go to which lines of the order that names it.

use super::command::OrderedLine;
use super::event::Claim;
use super::state::Reservation;
use super::types::{CartLine, HoldState, LineHold};
use crate::ids::LocationId;
use crate::order::{Fulfilment, SplitPolicy};

/// Each hold goes to one line of the same product: to the one at the same place in the order, if it
/// fits, else to the first. An order that must be whole gets all it wants or nothing.
pub(super) fn claims(
    reservation: &Reservation,
    lines: &[OrderedLine],
    split: SplitPolicy,
) -> Vec<Claim> {
    let mut wanted: Vec<u32> = lines.iter().map(physical_units).collect();
    let mut claims: Vec<Claim> = Vec::new();
    let mut taken: Vec<(u32, &LocationId)> = Vec::new();
    let held = reservation.holds.iter();
    for hold in held.filter(|hold| hold.state == HoldState::Held) {
        let Some(cart_line) = reservation.lines.get(hold.line as usize) else {
            continue;
        };
        // A location keeps one hold for a line of an order.
        let fits = |line: &u32| {
            wanted.get(*line as usize).is_some_and(|units| *units > 0)
                && is_for(hold, cart_line, &lines[*line as usize])
                && !taken.contains(&(*line, &hold.location))
        };
        let all = 0..u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let Some(line) = std::iter::once(hold.line).chain(all).find(fits) else {
            continue;
        };
        let left = &mut wanted[line as usize];
        let units = hold.units.min(*left);
        *left -= units;
        taken.push((line, &hold.location));
        claims.push(Claim {
            hold: hold.number,
            line,
            units,
        });
    }
    let one_place = taken.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let complete = wanted.iter().all(|units| *units == 0);
    let serves = match split {
        SplitPolicy::Allow => true,
        SplitPolicy::ShipComplete => complete,
        SplitPolicy::SingleLocation => complete && one_place,
    };
    if serves { claims } else { Vec::new() }
}

fn physical_units(line: &OrderedLine) -> u32 {
    match line.fulfilment {
        Fulfilment::Physical(_) => line.quantity,
        Fulfilment::Virtual => 0,
    }
}

fn is_for(hold: &LineHold, held: &CartLine, line: &OrderedLine) -> bool {
    let place = line.pickup_location.as_ref();
    held.sku == line.sku
        && held.fulfilment == line.fulfilment
        && place.is_none_or(|only| *only == hold.location)
}
