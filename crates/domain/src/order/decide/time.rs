//! What time alone brings: unanswered reservations, backorders to be tried again, silent shipments.

use super::{Draft, source, track};
use crate::order::event::OrderEvent;
use crate::order::logistics::Attempt;
use crate::order::pending::silence_ends;
use crate::time::Timestamp;

pub(super) fn wake(draft: &mut Draft, now: Timestamp) {
    // Nothing is taken to be due before its time, whoever says what time it is.
    let now = now.min(draft.now);
    let overdue = |a: &&Attempt| a.is_reserving() && a.keep.is_none() && a.not_after <= now;
    let attempts: Vec<u32> = draft
        .order()
        .attempts
        .iter()
        .filter(overdue)
        .map(|a| a.number)
        .collect();
    if !attempts.is_empty() {
        draft.record(OrderEvent::ReservationExpired { attempts });
    }
    if draft.order().retry_at.is_some_and(|at| at <= now) {
        source::retry(draft);
    }
    let silent = draft
        .order()
        .shipments
        .iter()
        .filter(|s| silence_ends(s).is_some_and(|at| at <= now));
    let silent: Vec<u32> = silent.map(|s| s.number).collect();
    for shipment in silent {
        track::assume(draft, shipment);
    }
}
