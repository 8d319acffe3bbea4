//! What each command means for a reservation. Every answer of a location is about one hold in one
//! state, so one that comes late or twice changes nothing (L3).

use super::command::{
    HoldAnswer, OrderedLine, ReservationCommand, ReservationRejection, ReservationReply,
};
use super::consume;
use super::event::ReservationEvent;
use super::state::Reservation;
use super::types::{CartLine, HoldState, ReservationStatus, ReservationTerms};
use crate::entity::{Context, Decision, DecisionOf, Entity, Stamp};
use crate::ids::{OrderId, Sku};
use crate::order::{Assignment, Fulfilment, LINE_UNITS_MAX, ORDER_LINES_MAX, SplitPolicy};
use crate::time::Timestamp;

/// Choices of locations of one reservation at most.
pub const RESERVATION_ROUNDS_MAX: u32 = 6;
/// The longest that a reservation may hold, seconds: a day.
pub const HOLD_SECONDS_MAX: u32 = 86_400;

type Decided = Result<(), ReservationRejection>;

pub(super) fn decide(
    reservation: &Reservation,
    command: &ReservationCommand,
    context: &Context,
) -> Result<DecisionOf<Reservation>, ReservationRejection> {
    use ReservationCommand as C;
    let mut draft = Draft {
        work: reservation.clone(),
        stamp: context.stamp(),
        events: Vec::new(),
    };
    let now = context.now;
    if !matches!(command, C::Open { .. }) && reservation.version == 0 {
        return Err(ReservationRejection::Unknown);
    }
    match command {
        C::Open {
            terms,
            lines,
            partial,
            hold_seconds,
            plan,
        } => open(
            &mut draft,
            terms,
            lines,
            (*partial, *hold_seconds),
            plan,
            now,
        )?,
        C::Assign { round, plan } => assign(&mut draft, *round, plan),
        C::Answered { hold, answer } => answered(&mut draft, *hold, answer),
        C::Consume {
            order,
            lines,
            split,
        } => consume(&mut draft, order, lines, *split, now),
        C::Release => release(&mut draft),
        C::Wake { now } => wake(&mut draft, *now),
    }
    advance(&mut draft);
    Ok(Decision {
        reply: ReservationReply {
            version: draft.work.version,
        },
        events: draft.events,
        private: None,
    })
}

/// A decision in the making: the events so far, and the reservation as it stands after them.
struct Draft {
    work: Reservation,
    stamp: Stamp,
    events: Vec<ReservationEvent>,
}

impl Draft {
    fn record(&mut self, event: ReservationEvent) {
        self.work.apply(&event, &self.stamp);
        self.events.push(event);
    }
}

fn open(
    draft: &mut Draft,
    terms: &ReservationTerms,
    lines: &[CartLine],
    (partial, hold_seconds): (bool, u32),
    plan: &[Assignment],
    now: Timestamp,
) -> Decided {
    if draft.work.version > 0 {
        return Err(ReservationRejection::Exists);
    }
    let invalid = |pointer: &str| ReservationRejection::Invalid {
        pointer: pointer.into(),
        code: "out_of_range".into(),
    };
    if hold_seconds == 0 || hold_seconds > HOLD_SECONDS_MAX {
        return Err(invalid("/hold_seconds"));
    }
    let quantity_fits = |line: &CartLine| {
        let parts: &[(Sku, u32)] = match &line.fulfilment {
            Fulfilment::Physical(parts) => parts,
            Fulfilment::Virtual => &[],
        };
        let fits = |(_, each): &(Sku, u32)| each.checked_mul(line.quantity).is_some();
        (1..=LINE_UNITS_MAX).contains(&line.quantity) && parts.iter().all(fits)
    };
    if lines.is_empty() || lines.len() > ORDER_LINES_MAX || !lines.iter().all(quantity_fits) {
        return Err(invalid("/lines"));
    }
    draft.record(ReservationEvent::Opened {
        terms: Box::new(terms.clone()),
        lines: lines.to_vec(),
        partial,
        expires_at: now.plus_millis(i64::from(hold_seconds) * 1_000),
    });
    assign(draft, 1, plan);
    Ok(())
}

/// Takes the answer to the open round in.
fn assign(draft: &mut Draft, round: u32, plan: &[Assignment]) {
    if !draft.work.sourcing_open || draft.work.round != round {
        return;
    }
    let mut missing = draft.work.missing();
    let mut assignments = Vec::with_capacity(plan.len());
    for wished in plan {
        let Some((_, left)) = missing.iter_mut().find(|(line, _)| *line == wished.line) else {
            continue;
        };
        let quantity = wished.quantity.min(*left);
        if quantity > 0 {
            *left -= quantity;
            assignments.push(Assignment {
                quantity,
                ..wished.clone()
            });
        }
    }
    let is_short = missing.iter().any(|(_, left)| *left > 0);
    if is_short && (assignments.is_empty() || !draft.work.partial) {
        // Nobody has the rest.
        draft.record(ReservationEvent::Sourced {
            round,
            assignments: Vec::new(),
        });
        missing.retain(|(_, left)| *left > 0);
        conclude(draft, missing);
        return;
    }
    draft.record(ReservationEvent::Sourced { round, assignments });
}

/// No more can be had: what there is stands, or goes back.
fn conclude(draft: &mut Draft, short: Vec<(u32, u32)>) {
    let has_any = draft.work.holds.iter().any(|hold| hold.state.counts());
    draft.record(if draft.work.partial && has_any {
        ReservationEvent::Held
    } else {
        ReservationEvent::Failed { short }
    });
}

fn answered(draft: &mut Draft, number: u32, answer: &HoldAnswer) {
    use HoldState as S;
    let Some(hold) = draft.work.hold(number) else {
        return;
    };
    let units = |items: &[(Sku, u32)]| draft.work.units_of(hold.line, items).min(hold.units);
    let event = match (hold.state, answer) {
        (S::Asked, HoldAnswer::Held(items)) => match units(items) {
            0 => ReservationEvent::Refused { hold: number },
            units => ReservationEvent::Granted {
                hold: number,
                units,
            },
        },
        (S::Asked, HoldAnswer::Refused) => ReservationEvent::Refused { hold: number },
        (S::Releasing, HoldAnswer::Released) => ReservationEvent::HoldReleased { hold: number },
        (S::Claiming(_), HoldAnswer::Claimed(items)) => match units(items) {
            0 => ReservationEvent::ClaimLost { hold: number },
            units => ReservationEvent::Claimed {
                hold: number,
                units,
            },
        },
        (S::Claiming(_), HoldAnswer::Lost) => ReservationEvent::ClaimLost { hold: number },
        // Late, or once more.
        _ => return,
    };
    draft.record(event);
}

/// The first order gets it, as long as it is held. Whoever else asks finds it as it is.
fn consume(
    draft: &mut Draft,
    order: &OrderId,
    lines: &[OrderedLine],
    split: SplitPolicy,
    now: Timestamp,
) {
    if draft.work.status != ReservationStatus::Held {
        return;
    }
    if now >= draft.work.expires_at {
        draft.record(ReservationEvent::Expired);
        return;
    }
    let claims = consume::claims(&draft.work, lines, split);
    draft.record(ReservationEvent::Consumed {
        order: order.clone(),
        claims,
    });
}

fn release(draft: &mut Draft) {
    use ReservationStatus as S;
    if matches!(draft.work.status, S::Holding | S::Held) {
        draft.record(ReservationEvent::Released);
    }
}

fn wake(draft: &mut Draft, now: Timestamp) {
    if draft.work.wakeup().is_some_and(|at| at <= now) {
        draft.record(ReservationEvent::Expired);
    }
}

/// Carries on once every location that was asked has answered: asks others, or comes to its end.
fn advance(draft: &mut Draft) {
    let work = &draft.work;
    let asked = work.holds.iter().any(|hold| hold.state == HoldState::Asked);
    if work.status != ReservationStatus::Holding || work.sourcing_open || asked {
        return;
    }
    let missing = work.missing();
    if missing.is_empty() {
        draft.record(ReservationEvent::Held);
    } else if work.round >= RESERVATION_ROUNDS_MAX {
        conclude(draft, missing);
    } else {
        let round = work.round + 1;
        draft.record(ReservationEvent::SourcingRequested { round });
    }
}
