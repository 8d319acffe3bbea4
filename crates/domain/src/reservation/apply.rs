//! Takes events in. Total: on any state nothing panics.

use std::sync::Arc;

use super::event::{Claim, ReservationEvent};
use super::state::Reservation;
use super::types::{HoldState, LineHold, ReservationStatus, ReservationTerms};
use crate::entity::Stamp;
use crate::order::{Assignment, SplitPolicy};

pub(super) fn apply(reservation: &mut Reservation, event: &ReservationEvent, stamp: &Stamp) {
    use ReservationEvent as E;
    reservation.version += 1;
    reservation.recorded_at = stamp.recorded_at;
    match event {
        E::Opened {
            terms,
            lines,
            partial,
            expires_at,
        } => {
            reservation.terms = Some(Arc::new(ReservationTerms::clone(terms)));
            reservation.lines = Arc::new(lines.clone());
            reservation.partial = *partial;
            reservation.expires_at = *expires_at;
            reservation.round = 1;
            reservation.sourcing_open = true;
        }
        E::SourcingRequested { round } => {
            reservation.round = *round;
            reservation.sourcing_open = true;
        }
        E::Sourced { assignments, .. } => sourced(reservation, assignments),
        E::Granted { hold, units } => {
            if let Some(line) = change(reservation, *hold, HoldState::Held)
                && *units < line.units
            {
                line.units = *units;
                exclude(reservation, *hold);
            }
        }
        E::Refused { hold } => refused(reservation, *hold),
        E::Held => reservation.status = ReservationStatus::Held,
        E::Failed { short } => {
            reservation.short.clone_from(short);
            end(reservation, ReservationStatus::Failed);
        }
        E::Released => end(reservation, ReservationStatus::Released),
        E::Expired => expired(reservation),
        E::HoldReleased { hold } | E::ClaimLost { hold } => {
            change(reservation, *hold, HoldState::Ended);
        }
        E::Consumed { order, claims } => {
            end(reservation, ReservationStatus::Consumed);
            reservation.order = Some(order.clone());
            for Claim { hold, line, units } in claims {
                if let Some(claimed) = change(reservation, *hold, HoldState::Claiming(*line)) {
                    claimed.units = *units;
                }
            }
        }
        E::Claimed { hold, units } => {
            if let Some(claimed) = reservation.hold_mut(*hold)
                && let HoldState::Claiming(line) = claimed.state
            {
                claimed.state = HoldState::Claimed(line);
                claimed.units = *units;
            }
        }
    }
}

fn sourced(reservation: &mut Reservation, assignments: &[Assignment]) {
    reservation.sourcing_open = false;
    for assignment in assignments {
        let number = u32::try_from(reservation.holds.len()).unwrap_or(u32::MAX) + 1;
        reservation.holds.push(LineHold {
            number,
            line: assignment.line,
            location: assignment.location.clone(),
            units: assignment.quantity,
            state: HoldState::Asked,
        });
    }
}

fn change(reservation: &mut Reservation, hold: u32, to: HoldState) -> Option<&mut LineHold> {
    let hold = reservation.hold_mut(hold)?;
    hold.state = to;
    Some(hold)
}

/// The next choices leave that location out for that line.
fn exclude(reservation: &mut Reservation, hold: u32) {
    let Some(of) = reservation.hold(hold) else {
        return;
    };
    let pair = (of.line, of.location.clone());
    if let Err(at) = reservation.excluded.binary_search(&pair) {
        reservation.excluded.insert(at, pair);
    }
}

fn refused(reservation: &mut Reservation, hold: u32) {
    change(reservation, hold, HoldState::Ended);
    exclude(reservation, hold);
    let split = reservation.terms.as_ref().map(|terms| terms.split);
    if split == Some(SplitPolicy::SingleLocation) {
        // Another place is to serve all of it.
        give_back(reservation);
    }
}

fn give_back(reservation: &mut Reservation) {
    for hold in &mut reservation.holds {
        if matches!(hold.state, HoldState::Asked | HoldState::Held) {
            hold.state = HoldState::Releasing;
        }
    }
}

fn end(reservation: &mut Reservation, status: ReservationStatus) {
    reservation.status = status;
    reservation.sourcing_open = false;
    give_back(reservation);
}

fn expired(reservation: &mut Reservation) {
    use ReservationStatus as S;
    if matches!(reservation.status, S::Holding | S::Held) {
        reservation.status = S::Expired;
    }
    reservation.sourcing_open = false;
    for hold in &mut reservation.holds {
        if !matches!(hold.state, HoldState::Claimed(_)) {
            hold.state = HoldState::Ended;
        }
    }
}
