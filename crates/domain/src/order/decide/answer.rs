//! What locations say about attempts. Each answer is an attempt's whole state, and its figures only
//! move one way, so whatever comes late, twice or in another order changes nothing (L3).
//!
//! Changes are gathered by kind, so that an answer for thousands of lines makes a handful of events.

use super::Draft;
use crate::ids::LocationId;
use crate::location::Answer;
use crate::order::event::{AttemptUnits, OrderEvent, Refusal, ReleasedUnits};
use crate::order::logistics::{Attempt, FulfillmentStatus};
use crate::order::state::Order;

/// Changes gathered from answers about different attempts.
#[derive(Default)]
struct Gathered {
    attempts: Vec<u32>,
    grants: Vec<AttemptUnits>,
    refusals: Vec<Refusal>,
    picked: Vec<AttemptUnits>,
    not_found: Vec<AttemptUnits>,
    released: Vec<ReleasedUnits>,
    shipped: Vec<AttemptUnits>,
}

pub(super) fn answered(draft: &mut Draft, location: &LocationId, answers: &[Answer]) {
    let mut gathered = Gathered::default();
    for answer in answers {
        let number = number_of(answer);
        // The figures of one attempt build on each other.
        if gathered.attempts.binary_search(&number).is_ok() {
            std::mem::take(&mut gathered).record(draft, location);
        }
        if let Err(at) = gathered.attempts.binary_search(&number) {
            gathered.attempts.insert(at, number);
        }
        gather(draft, location, answer, &mut gathered);
    }
    gathered.record(draft, location);
}

/// The location keeps only `units` of an attempt.
pub(super) fn displaced(draft: &mut Draft, location: &LocationId, attempt: u32, units: u32) {
    let Some(known) = known(draft.order(), location, attempt) else {
        return;
    };
    let (granted, picked, short, shipped) = (
        known.granted,
        known.picked,
        known.short,
        known.shipped_confirmed,
    );
    let answer = if units == 0 && !granted {
        Answer::Refused {
            attempt,
            available: 0,
            reason: "displaced".into(),
        }
    } else {
        Answer::Stands {
            attempt,
            units: units.max(picked),
            picked,
            short,
            shipped,
        }
    };
    answered(draft, location, std::slice::from_ref(&answer));
}

fn number_of(answer: &Answer) -> u32 {
    match answer {
        Answer::Stands { attempt, .. }
        | Answer::Refused { attempt, .. }
        | Answer::Closed { attempt } => *attempt,
    }
}

/// The attempt, if it is still open and was asked of this location.
fn known<'o>(order: &'o Order, location: &LocationId, number: u32) -> Option<&'o Attempt> {
    order.attempt(number).filter(|a| a.location == *location)
}

fn gather(draft: &mut Draft, location: &LocationId, answer: &Answer, gathered: &mut Gathered) {
    let Some(attempt) = known(draft.order(), location, number_of(answer)) else {
        return;
    };
    if attempt.granted {
        gathered.change(attempt, answer);
    } else if attempt.keep.is_some() {
        // It is being closed, so whatever was granted before counts no more.
        if !matches!(answer, Answer::Stands { .. }) {
            gathered.close(attempt);
        }
    } else {
        gathered.first(attempt, answer);
    }
}

impl Gathered {
    /// The first word about an attempt.
    fn first(&mut self, attempt: &Attempt, answer: &Answer) {
        let (number, line) = (attempt.number, attempt.line);
        match answer {
            Answer::Stands { units, .. } if *units > 0 => {
                let units = (*units).min(attempt.units);
                self.grants.push(AttemptUnits {
                    attempt: number,
                    line,
                    units,
                });
            }
            Answer::Refused {
                available, reason, ..
            } => {
                let reason = reason.clone();
                self.refusals.push(Refusal {
                    attempt: number,
                    line,
                    available: *available,
                    reason,
                });
            }
            Answer::Stands { .. } | Answer::Closed { .. } => {
                let reason = "closed".into();
                self.refusals.push(Refusal {
                    attempt: number,
                    line,
                    available: 0,
                    reason,
                });
            }
        }
    }

    /// An attempt that was never granted is gone at its location, as asked.
    fn close(&mut self, attempt: &Attempt) {
        let cancelled = attempt.cancel_requested.min(attempt.units);
        self.released.push(ReleasedUnits {
            attempt: attempt.number,
            line: attempt.line,
            cancelled,
            unsourced: attempt.units - cancelled,
            displaced: false,
        });
    }

    /// A later word about an attempt that was granted: what is new in it.
    fn change(&mut self, attempt: &Attempt, answer: &Answer) {
        let (number, line) = (attempt.number, attempt.line);
        let of = |units: u32| AttemptUnits {
            attempt: number,
            line,
            units,
        };
        let (units, picked, short, shipped) = match answer {
            Answer::Stands {
                units,
                picked,
                short,
                shipped,
                ..
            } => (*units, *picked, *short, *shipped),
            // Nothing is left but what has been picked; what was reported missing is.
            Answer::Refused { .. } | Answer::Closed { .. } => {
                let missing = attempt.short_open().min(attempt.units - attempt.picked);
                (
                    attempt.picked,
                    attempt.picked,
                    attempt.short + missing,
                    attempt.shipped,
                )
            }
        };
        let picked = picked.clamp(attempt.picked, attempt.units);
        let gone = attempt.units - units.clamp(picked, attempt.units);
        let missing = short.saturating_sub(attempt.short).min(gone);
        let released = gone - missing;
        let cancelled = released.min(attempt.cancel_requested);
        if picked > attempt.picked {
            self.picked.push(of(picked - attempt.picked));
        }
        if missing > 0 {
            self.not_found.push(of(missing));
        }
        if released > 0 {
            let unsourced = released - cancelled;
            let displaced = unsourced > attempt.move_requested;
            self.released.push(ReleasedUnits {
                attempt: number,
                line,
                cancelled,
                unsourced,
                displaced,
            });
        }
        if shipped.min(attempt.shipped) > attempt.shipped_confirmed {
            self.shipped.push(of(shipped.min(attempt.shipped)));
        }
    }

    fn record(self, draft: &mut Draft, location: &LocationId) {
        let location = || location.clone();
        if !self.refusals.is_empty() {
            draft.record(OrderEvent::ReservationRefused {
                location: location(),
                refusals: self.refusals,
            });
        }
        if !self.grants.is_empty() {
            let fulfillment_order = destination(draft.order(), &location());
            draft.record(OrderEvent::Reserved {
                location: location(),
                fulfillment_order,
                grants: self.grants,
            });
        }
        if !self.picked.is_empty() {
            draft.record(OrderEvent::UnitsPicked {
                location: location(),
                units: self.picked,
            });
        }
        if !self.not_found.is_empty() {
            draft.record(OrderEvent::UnitsNotFound {
                location: location(),
                units: self.not_found,
            });
        }
        if !self.released.is_empty() {
            draft.record(OrderEvent::UnitsReleased {
                location: location(),
                releases: self.released,
            });
        }
        if !self.shipped.is_empty() {
            draft.record(OrderEvent::ShippingConfirmed {
                location: location(),
                units: self.shipped,
            });
        }
    }
}

/// The fulfillment order that newly granted units join: one at the location that nobody has begun
/// with, else a new one.
fn destination(order: &Order, location: &LocationId) -> u32 {
    let joinable = |status| {
        matches!(
            status,
            FulfillmentStatus::Scheduled | FulfillmentStatus::Open
        )
    };
    let waiting = order
        .fulfillment_orders
        .iter()
        .find(|f| f.location == *location && !f.accepted && joinable(f.status));
    waiting.map_or(order.fulfillment_orders.len() as u32 + 1, |f| f.number)
}
