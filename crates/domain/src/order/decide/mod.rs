//! What each command means for an order: one file per family of commands.
//!
//! In: the order, a command, a context. Out: events, personal data, a reply; or a rejection.
//! Reads no clock, does no IO, changes nothing (L10). A command that has nothing left to do is a
//! success without events, so that repeats are harmless (L3).

mod amend;
mod answer;
mod cancel;
mod hold;
mod place;
mod returns;
mod shortage;
mod source;
mod time;
mod track;
mod work;

pub use place::validate;

use compact_str::{CompactString, ToCompactString};

pub(super) use source::SOURCING_ROUNDS_MAX;

use super::apply;
use super::command::{OrderCommand, OrderRejection, OrderReply, ShortageRule};
use super::event::OrderEvent;
use super::state::Order;
use super::types::{Header, Line, PersonalData};
use crate::entity::{Context, Decision, DecisionOf, Stamp};
use crate::time::Timestamp;

/// Says what `command` means for `order`.
pub(super) fn decide(
    order: &Order,
    command: &OrderCommand,
    context: &Context,
) -> Result<DecisionOf<Order>, OrderRejection> {
    let mut draft = Draft::new(order, context);
    match command {
        OrderCommand::Place {
            header,
            lines,
            personal,
            plan,
        } => {
            place::place(&mut draft, header, lines, personal)?;
            source::assign_first(&mut draft, plan.as_ref());
        }
        OrderCommand::PlaceReserved {
            header,
            lines,
            personal,
            reservation,
            held,
            plan,
        } => {
            place::place(&mut draft, header, lines, personal)?;
            source::use_reservation(&mut draft, reservation, held);
            source::assign_first(&mut draft, plan.as_deref());
        }
        OrderCommand::CancelBeforeArrival { reason } if !order.is_placed() => {
            cancel::before_arrival(&mut draft, reason);
        }
        _ if !order.is_placed() => return Err(OrderRejection::Unknown),
        _ => decide_placed(&mut draft, command)?,
    }
    source::advance(&mut draft);
    Ok(draft.finish())
}

fn decide_placed(draft: &mut Draft, command: &OrderCommand) -> Result<(), OrderRejection> {
    match command {
        // Both are decided by the caller: an order must not be placed to be placed.
        OrderCommand::Place { .. } | OrderCommand::PlaceReserved { .. } => {
            return Err(OrderRejection::Exists);
        }
        OrderCommand::CancelBeforeArrival { reason } => {
            cancel::cancel(draft, &super::command::CancelScope::Order, reason)?;
        }
        OrderCommand::Assign { round, plan } => {
            source::assign(draft, *round, plan, &ShortageRule::default());
        }
        OrderCommand::AssignByRule { round, plan, rule } => {
            source::assign_by_rule(draft, *round, plan.as_ref(), rule);
        }
        OrderCommand::LocationAnswered { location, answers } => {
            answer::answered(draft, location, answers)
        }
        OrderCommand::Displaced {
            location,
            attempt,
            units,
        } => {
            answer::displaced(draft, location, *attempt, *units);
        }
        OrderCommand::Replenish => source::replenish(draft),
        OrderCommand::ReleaseParking => source::release(draft),
        OrderCommand::ReleaseParkingWith { plan, rule } => source::release_with(draft, plan, rule),
        OrderCommand::Cancel { scope, reason } => cancel::cancel(draft, scope, reason)?,
        OrderCommand::Amend(amendments) => amend::amend(draft, amendments)?,
        OrderCommand::PlaceHold { reason, scope } => hold::place(draft, *reason, scope)?,
        OrderCommand::ReleaseHold { hold } => hold::release(draft, *hold)?,
        OrderCommand::Accept { fulfillment_order } => work::accept(draft, *fulfillment_order)?,
        OrderCommand::Reject {
            fulfillment_order,
            reason,
        } => work::reject(draft, *fulfillment_order, reason)?,
        OrderCommand::Pick {
            fulfillment_order,
            lines,
        } => work::pick(draft, *fulfillment_order, lines)?,
        OrderCommand::Pack {
            fulfillment_order,
            packages,
        } => work::pack(draft, *fulfillment_order, packages)?,
        OrderCommand::Ship { .. } => work::ship(draft, command)?,
        OrderCommand::TrackingNumberIssued {
            shipment,
            tracking_number,
        } => {
            track::number_issued(draft, *shipment, tracking_number.as_ref())?;
        }
        OrderCommand::Track { .. } => track::track(draft, command)?,
        OrderCommand::RequestReturn { lines, reason } => returns::request(draft, lines, reason)?,
        OrderCommand::ReceiveReturn {
            number,
            location,
            items,
        } => {
            returns::receive(draft, *number, location, items)?;
        }
        OrderCommand::RestockConfirmed { number } => returns::restocked(draft, *number)?,
        OrderCommand::ErasePersonalData => erase(draft),
        OrderCommand::Wake { now } => time::wake(draft, *now),
    }
    Ok(())
}

fn erase(draft: &mut Draft) {
    if !draft.order().personal_erased {
        draft.private = Some(PersonalData::default());
        draft.record(OrderEvent::PersonalDataErased);
    }
}

/// A decision in the making: the events so far, and the order as it stands after them.
pub(super) struct Draft<'a> {
    base: &'a Order,
    /// A copy is only made when something happens.
    work: Option<Order>,
    stamp: Stamp,
    /// When it is decided.
    pub(super) now: Timestamp,
    events: Vec<OrderEvent>,
    /// Replaces the personal record.
    pub(super) private: Option<PersonalData>,
    /// What the command made.
    pub(super) numbers: Vec<u32>,
}

impl<'a> Draft<'a> {
    fn new(base: &'a Order, context: &Context) -> Self {
        Self {
            base,
            work: None,
            stamp: context.stamp(),
            now: context.now,
            events: Vec::new(),
            private: None,
            numbers: Vec::new(),
        }
    }

    /// The order after the events so far.
    pub(super) fn order(&self) -> &Order {
        self.work.as_ref().unwrap_or(self.base)
    }

    /// When what is decided happened in the world.
    pub(super) fn occurred_at(&self) -> Timestamp {
        self.stamp.occurred_at
    }

    /// Lets something happen.
    pub(super) fn record(&mut self, event: OrderEvent) {
        let work = self.work.get_or_insert_with(|| self.base.clone());
        apply::apply(work, &event, &self.stamp);
        self.events.push(event);
    }

    /// The head of an order that has been placed.
    pub(super) fn header(&self) -> Option<&Header> {
        self.order().header.as_deref()
    }

    /// The personal record, to be changed; `None` once it was erased.
    pub(super) fn personal_mut(&mut self) -> Option<&mut PersonalData> {
        if self.order().personal_erased {
            return None;
        }
        if self.private.is_none() {
            self.private = Some(self.base.personal.as_deref().cloned().unwrap_or_default());
        }
        self.private.as_mut()
    }

    /// A line, by index.
    pub(super) fn line(&self, index: u32) -> Result<&Line, OrderRejection> {
        self.order()
            .lines
            .get(index as usize)
            .ok_or_else(|| not_found("line", index))
    }

    fn finish(self) -> DecisionOf<Order> {
        let reply = OrderReply {
            version: self.order().version,
            numbers: self.numbers,
            changed: !self.events.is_empty() || self.private.is_some(),
        };
        Decision {
            events: self.events,
            private: self.private,
            reply,
        }
    }
}

/// There is no such thing in this order.
fn not_found(kind: &str, name: u32) -> OrderRejection {
    OrderRejection::NotFound {
        kind: kind.into(),
        name: name.to_compact_string(),
    }
}

/// A field of the request is wrong.
fn invalid(pointer: impl Into<CompactString>, code: &str) -> OrderRejection {
    OrderRejection::Invalid {
        pointer: pointer.into(),
        code: code.into(),
    }
}

/// It was possible once.
fn too_late(what: &str, state: &str) -> OrderRejection {
    OrderRejection::TooLate {
        what: what.into(),
        state: state.into(),
    }
}

/// Not in this state.
fn wrong_state(command: &str, what: &str, state: impl Into<CompactString>) -> OrderRejection {
    OrderRejection::WrongState {
        command: command.into(),
        what: what.into(),
        state: state.into(),
    }
}
