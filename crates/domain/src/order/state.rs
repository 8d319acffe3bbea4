//! The order as it stands in memory and in its stored parts.
//!
//! In: events, through `apply`. Out: what others read, and the [`Entity`] that the runtime keeps.
//! What must hold: [`Order::broken_law`] says it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::{OrderCommand, OrderRejection, OrderReply};
use super::effect::OrderEffect;
use super::event::OrderEvent;
use super::ledger::{Ledger, Totals};
use super::logistics::{Attempt, FulfillmentOrder, Return, Shipment};
use super::status::{FulfillmentProgress, PaymentStatus};
use super::types::{Header, Hold, Line, OrderStatus, PersonalData, SplitPolicy, Units};
use super::{apply, decide, pending, status};
use crate::entity::{Context, DecisionOf, Entity, Stamp};
use crate::ids::{FulfillmentOrderId, LocationId, OrderId};
use crate::time::Timestamp;

/// An order. Changed by `apply` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Events applied.
    pub version: u64,
    /// When the last event was recorded.
    pub recorded_at: Timestamp,
    /// When `Placed` was recorded; zero before.
    pub created_at: Timestamp,
    /// `None` before it is placed, and for the tombstone of one cancelled before it arrived.
    pub header: Option<Arc<Header>>,
    /// Its lines; commands name them by index.
    pub lines: Vec<Line>,
    /// Holds that stand.
    pub holds: Vec<Hold>,
    /// Attempts that their locations have not closed yet, by rising number.
    pub attempts: Vec<Attempt>,
    /// By rising number, from 1.
    pub fulfillment_orders: Vec<FulfillmentOrder>,
    /// By rising number, from 1.
    pub shipments: Vec<Shipment>,
    /// By rising number, from 1.
    pub returns: Vec<Return>,
    /// Derived from the lines' units after every event.
    pub status: OrderStatus,
    /// The money.
    pub ledger: Ledger,
    /// Everything personal; stored apart.
    #[serde(skip)]
    pub personal: Option<Arc<PersonalData>>,
    /// Number of the last sourcing decision asked for.
    pub round: u32,
    /// Whether that decision has not come yet.
    pub sourcing_open: bool,
    /// Rounds asked for since anything last had to be sourced.
    pub rounds_tried: u32,
    /// (line, location) pairs that refused, rejected or were short; sorted.
    pub excluded: Vec<(u32, LocationId)>,
    /// When backordered units are sourced again, if nothing comes in before.
    pub retry_at: Option<Timestamp>,
    /// How often that has been tried.
    pub retries: u32,
    /// Attempts numbered so far.
    pub attempts_numbered: u32,
    /// Holds numbered so far.
    pub holds_numbered: u32,
    /// Whether anything physical has been picked or gone further.
    pub moved: bool,
    /// Whether the personal record was erased: nothing is added to it any more.
    pub personal_erased: bool,
}

/// Stands in [`Order::retry_at`] for a wait that neither time nor stock ends.
pub(super) const UNTIL_RELEASED: Timestamp = Timestamp(i64::MAX);

impl Order {
    /// Whether what is backordered waits until somebody releases it.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.retry_at == Some(UNTIL_RELEASED)
    }
    /// Whether it has been placed (a tombstone has not).
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.header.is_some()
    }
    /// Its status.
    #[must_use]
    pub fn status(&self) -> OrderStatus {
        self.status
    }
    /// Whether every unit has come to its end.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.status, OrderStatus::Completed | OrderStatus::Cancelled)
    }
    /// All lines' units, summed.
    #[must_use]
    pub fn units(&self) -> Units {
        self.lines
            .iter()
            .fold(Units::default(), |sum, line| sum.plus(&line.units))
    }
    /// What it comes to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.ledger.totals()
    }
    /// Where the money is.
    #[must_use]
    pub fn payment_status(&self) -> PaymentStatus {
        status::payment(&self.totals(), self.status)
    }
    /// Where the goods are.
    #[must_use]
    pub fn fulfillment_status(&self) -> FulfillmentProgress {
        status::progress(&self.units())
    }
    /// A fulfillment order, by number.
    #[must_use]
    pub fn fulfillment_order(&self, number: u32) -> Option<&FulfillmentOrder> {
        self.fulfillment_orders.get(number.checked_sub(1)? as usize)
    }
    /// A fulfillment order's full name.
    #[must_use]
    pub fn fulfillment_order_id(&self, number: u32) -> FulfillmentOrderId {
        FulfillmentOrderId {
            order: self.id.clone(),
            number,
        }
    }
    /// A shipment, by number.
    #[must_use]
    pub fn shipment(&self, number: u32) -> Option<&Shipment> {
        self.shipments.get(number.checked_sub(1)? as usize)
    }
    /// A return, by number.
    #[must_use]
    pub fn return_(&self, number: u32) -> Option<&Return> {
        self.returns.get(number.checked_sub(1)? as usize)
    }
    /// An attempt that is still open, by number.
    #[must_use]
    pub fn attempt(&self, number: u32) -> Option<&Attempt> {
        self.attempts
            .binary_search_by_key(&number, |a| a.number)
            .ok()
            .map(|i| &self.attempts[i])
    }
    /// Units of a line that each location has reserved and not shipped, in order of attempts.
    #[must_use]
    pub fn allocations(&self, line: u32) -> Vec<(LocationId, u32)> {
        let mut allocations: Vec<(LocationId, u32)> = Vec::new();
        let held = self
            .attempts
            .iter()
            .filter(|a| a.line == line && a.granted && a.units > a.shipped);
        for attempt in held {
            let units = attempt.units - attempt.shipped;
            match allocations
                .iter_mut()
                .find(|(location, _)| *location == attempt.location)
            {
                Some((_, sum)) => *sum += units,
                None => allocations.push((attempt.location.clone(), units)),
            }
        }
        allocations
    }
    /// Units of a fulfillment order that somebody wants cancelled and its location has not let go yet.
    #[must_use]
    pub fn cancel_requested(&self, fulfillment_order: u32) -> u32 {
        let of = |a: &&Attempt| a.fulfillment_order == Some(fulfillment_order);
        self.attempts
            .iter()
            .filter(of)
            .map(|a| a.cancel_requested)
            .sum()
    }
    /// Units of a line that somebody wants cancelled and a location has not let go yet.
    #[must_use]
    pub fn line_cancel_requested(&self, line: u32) -> u32 {
        self.attempts
            .iter()
            .filter(|a| a.line == line)
            .map(|a| a.cancel_requested)
            .sum()
    }
    /// Whether all units must be had before any is worked: a split policy that forbids it, until
    /// the first unit is picked. What is short after that is sourced wherever it is.
    #[must_use]
    pub fn must_be_whole(&self) -> bool {
        !self.moved
            && self
                .header
                .as_ref()
                .is_some_and(|h| h.split != SplitPolicy::Allow)
    }
}

/// Names a stored part of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OrderPartKey {
    /// Everything but what is personal.
    Body,
}

impl Entity for Order {
    const KIND: &'static str = "order";
    const KIND_CODE: u8 = 1;
    const ONE_PART: bool = true;

    type Id = OrderId;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Private = PersonalData;
    type Effect = OrderEffect;
    type Reply = OrderReply;
    type Rejection = OrderRejection;
    type PartKey = OrderPartKey;
    type Part = Order;

    fn empty(id: OrderId) -> Self {
        Self {
            id,
            version: 0,
            recorded_at: Timestamp::ZERO,
            created_at: Timestamp::ZERO,
            header: None,
            lines: Vec::new(),
            holds: Vec::new(),
            attempts: Vec::new(),
            fulfillment_orders: Vec::new(),
            shipments: Vec::new(),
            returns: Vec::new(),
            status: OrderStatus::Placed,
            ledger: Ledger::default(),
            personal: None,
            round: 0,
            sourcing_open: false,
            rounds_tried: 0,
            excluded: Vec::new(),
            retry_at: None,
            retries: 0,
            attempts_numbered: 0,
            holds_numbered: 0,
            moved: false,
            personal_erased: false,
        }
    }

    fn id(&self) -> &OrderId {
        &self.id
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    fn decide(
        &self,
        command: &OrderCommand,
        context: &Context,
    ) -> Result<DecisionOf<Self>, OrderRejection> {
        decide::decide(self, command, context)
    }

    fn apply(&mut self, event: &OrderEvent, stamp: &Stamp) {
        apply::apply(self, event, stamp);
    }

    fn apply_private(&mut self, private: &PersonalData) {
        self.personal = Some(Arc::new(private.clone()));
    }

    fn private(&self) -> Option<PersonalData> {
        self.personal.as_deref().cloned()
    }

    fn pending(&self) -> Vec<OrderEffect> {
        pending::effects(self)
    }

    fn has_pending(&self) -> bool {
        pending::any(self)
    }

    fn wakeup(&self) -> Option<Timestamp> {
        pending::wakeup(self)
    }

    fn wake_command(now: Timestamp) -> OrderCommand {
        OrderCommand::Wake { now }
    }

    fn settled(&self) -> bool {
        pending::settled(self)
    }

    fn touched_parts(_: &OrderEvent, parts: &mut Vec<OrderPartKey>) {
        parts.push(OrderPartKey::Body);
    }

    fn part(&self, OrderPartKey::Body: &OrderPartKey) -> Option<Cow<'_, Order>> {
        (self.version > 0).then_some(Cow::Borrowed(self))
    }

    fn assemble(id: OrderId, parts: Vec<(OrderPartKey, Order)>) -> Self {
        let body = parts.into_iter().next_back().map(|(_, body)| body);
        Order {
            personal: None,
            ..body.unwrap_or_else(|| Order::empty(id))
        }
    }
}
