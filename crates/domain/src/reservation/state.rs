//! A reservation as it stands in memory and in its one stored part.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::{ReservationCommand, ReservationRejection, ReservationReply};
use super::event::ReservationEvent;
use super::types::{CartLine, HoldState, LineHold, ReservationStatus, ReservationTerms};
use super::{apply, decide};
use crate::entity::{Context, DecisionOf, Effect, Entity, Stamp};
use crate::ids::{HoldId, LocationId, OrderId, ReservationId, Sku};
use crate::order::{Assignment, Fulfilment, SplitPolicy};
use crate::time::Timestamp;

/// A reservation. Changed by `apply` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its name.
    pub id: ReservationId,
    /// Events applied.
    pub version: u64,
    /// When the last event was recorded.
    pub recorded_at: Timestamp,
    /// Whoever holds; `None` before it is opened.
    pub terms: Option<Arc<ReservationTerms>>,
    /// The cart.
    pub lines: Arc<Vec<CartLine>>,
    /// Whether less than all is welcome.
    pub partial: bool,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// How it stands.
    pub status: ReservationStatus,
    /// Number of the last choice of locations.
    pub round: u32,
    /// Whether that choice has not come yet.
    pub sourcing_open: bool,
    /// (line, location) pairs that had too little; sorted.
    pub excluded: Vec<(u32, LocationId)>,
    /// By rising number, from 1.
    pub holds: Vec<LineHold>,
    /// (index of a line, units) that nobody had, of one that failed.
    pub short: Vec<(u32, u32)>,
    /// The order that has it.
    pub order: Option<OrderId>,
}

impl Reservation {
    /// A hold, by number.
    #[must_use]
    pub fn hold(&self, number: u32) -> Option<&LineHold> {
        self.holds.get((number as usize).checked_sub(1)?)
    }

    pub(super) fn hold_mut(&mut self, number: u32) -> Option<&mut LineHold> {
        self.holds.get_mut((number as usize).checked_sub(1)?)
    }

    /// Units of physical lines that no location is asked for or keeps, by line index.
    #[must_use]
    pub fn missing(&self) -> Vec<(u32, u32)> {
        let mut missing: Vec<u32> = self.lines.iter().map(physical_units).collect();
        for hold in self.holds.iter().filter(|hold| hold.state.counts()) {
            if let Some(units) = missing.get_mut(hold.line as usize) {
                *units = units.saturating_sub(hold.units);
            }
        }
        let short = (0_u32..).zip(missing).filter(|(_, units)| *units > 0);
        short.collect()
    }

    /// What is kept of a line of the cart, by location.
    pub fn kept(&self, line: u32) -> impl Iterator<Item = &LineHold> {
        self.holds.iter().filter(move |hold| {
            let kept = matches!(
                hold.state,
                HoldState::Held | HoldState::Claiming(_) | HoldState::Claimed(_)
            );
            kept && hold.line == line
        })
    }

    /// What is kept for the lines of the order that named it.
    #[must_use]
    pub fn claimed(&self) -> Vec<Assignment> {
        let claimed = self.holds.iter().filter_map(|hold| match hold.state {
            HoldState::Claiming(line) | HoldState::Claimed(line) => Some(Assignment {
                line,
                location: hold.location.clone(),
                quantity: hold.units,
            }),
            _ => None,
        });
        claimed.collect()
    }

    /// Units of a line that can be made of items.
    pub(super) fn units_of(&self, line: u32, items: &[(Sku, u32)]) -> u32 {
        let here = |sku: &Sku| items.iter().find(|(of, _)| of == sku).map_or(0, |it| it.1);
        let wanted = self.items(line, 1);
        let units = wanted.iter().map(|(sku, each)| here(sku) / each.max(&1));
        units.min().unwrap_or(0)
    }

    /// The items of so many units of a line, each SKU once.
    fn items(&self, line: u32, units: u32) -> Vec<(Sku, u32)> {
        let mut items: Vec<(Sku, u32)> = Vec::new();
        let line = self.lines.get(line as usize);
        let Some(Fulfilment::Physical(parts)) = line.map(|line| &line.fulfilment) else {
            return items;
        };
        for (sku, each) in parts {
            let pieces = each.saturating_mul(units);
            match items.iter_mut().find(|(known, _)| known == sku) {
                Some((_, sum)) => *sum = sum.saturating_add(pieces),
                None => items.push((sku.clone(), pieces)),
            }
        }
        items
    }

    fn effect(&self, hold: &LineHold) -> Option<ReservationEffect> {
        let (number, location) = (hold.number, hold.location.clone());
        let name = HoldId::of_reservation(&self.id, number);
        match hold.state {
            HoldState::Asked => {
                let items = self.items(hold.line, hold.units);
                // Of a set, or for a cart that must be whole, a part is of no use.
                let whole = self
                    .terms
                    .as_ref()
                    .is_some_and(|terms| terms.split != SplitPolicy::Allow);
                let single = matches!(items.as_slice(), [(_, pieces)] if *pieces == hold.units);
                Some(ReservationEffect::Hold {
                    number,
                    location,
                    name,
                    items,
                    partial: single && !whole,
                    expires_at: self.expires_at,
                })
            }
            HoldState::Releasing => Some(ReservationEffect::Release {
                number,
                location,
                name,
            }),
            HoldState::Claiming(line) => Some(ReservationEffect::Claim {
                number,
                location,
                name,
                order: self.order.clone()?,
                line,
            }),
            HoldState::Held | HoldState::Claimed(_) | HoldState::Ended => None,
        }
    }
}

fn physical_units(line: &CartLine) -> u32 {
    match line.fulfilment {
        Fulfilment::Physical(_) => line.quantity,
        Fulfilment::Virtual => 0,
    }
}

/// What a reservation asks of others, until an event records that it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservationEffect {
    /// Choose locations for what is missing. Answered by `Assign` with the same round.
    Source {
        /// Counts the choices, from 1.
        round: u32,
    },
    /// Ask a location to keep items.
    Hold {
        /// Which hold.
        number: u32,
        /// Whom.
        location: LocationId,
        /// The hold's name there.
        name: HoldId,
        /// What.
        items: Vec<(Sku, u32)>,
        /// Whether less is welcome.
        partial: bool,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// Ask a location to let a hold go.
    Release {
        /// Which hold.
        number: u32,
        /// Whom.
        location: LocationId,
        /// The hold's name there.
        name: HoldId,
    },
    /// Ask a location to keep a hold for a line of an order.
    Claim {
        /// Which hold.
        number: u32,
        /// Whom.
        location: LocationId,
        /// The hold's name there.
        name: HoldId,
        /// For whom.
        order: OrderId,
        /// Index of the order's line.
        line: u32,
    },
}

/// Names a [`ReservationEffect`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReservationEffectKey {
    /// By round.
    Source(u32),
    /// By hold.
    Hold(u32),
    /// By hold.
    Release(u32),
    /// By hold.
    Claim(u32),
}

impl Effect for ReservationEffect {
    type Key = ReservationEffectKey;
    fn key(&self) -> ReservationEffectKey {
        match self {
            ReservationEffect::Source { round } => ReservationEffectKey::Source(*round),
            ReservationEffect::Hold { number, .. } => ReservationEffectKey::Hold(*number),
            ReservationEffect::Release { number, .. } => ReservationEffectKey::Release(*number),
            ReservationEffect::Claim { number, .. } => ReservationEffectKey::Claim(*number),
        }
    }
}

/// Names the stored part of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReservationPartKey {
    /// All of it.
    Body,
}

impl Entity for Reservation {
    const KIND: &'static str = "reservation";
    const KIND_CODE: u8 = 5;
    const ONE_PART: bool = true;

    type Id = ReservationId;
    type Command = ReservationCommand;
    type Event = ReservationEvent;
    type Private = ();
    type Effect = ReservationEffect;
    type Reply = ReservationReply;
    type Rejection = ReservationRejection;
    type PartKey = ReservationPartKey;
    type Part = Reservation;

    fn empty(id: ReservationId) -> Self {
        Reservation {
            id,
            version: 0,
            recorded_at: Timestamp::ZERO,
            terms: None,
            lines: Arc::default(),
            partial: false,
            expires_at: Timestamp::ZERO,
            status: ReservationStatus::Holding,
            round: 0,
            sourcing_open: false,
            excluded: Vec::new(),
            holds: Vec::new(),
            short: Vec::new(),
            order: None,
        }
    }

    fn id(&self) -> &ReservationId {
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
        command: &ReservationCommand,
        context: &Context,
    ) -> Result<DecisionOf<Self>, ReservationRejection> {
        decide::decide(self, command, context)
    }

    fn apply(&mut self, event: &ReservationEvent, stamp: &Stamp) {
        apply::apply(self, event, stamp);
    }

    fn apply_private(&mut self, (): &()) {}

    fn private(&self) -> Option<()> {
        None
    }

    fn pending(&self) -> Vec<ReservationEffect> {
        let source = self
            .sourcing_open
            .then_some(ReservationEffect::Source { round: self.round });
        let asked = self.holds.iter().filter_map(|hold| self.effect(hold));
        source.into_iter().chain(asked).collect()
    }

    fn has_pending(&self) -> bool {
        self.sourcing_open || self.holds.iter().any(|hold| hold.state.is_open())
    }

    /// Its end, as long as there is something to end.
    fn wakeup(&self) -> Option<Timestamp> {
        let is_held = self.status == ReservationStatus::Held;
        (is_held || self.has_pending()).then_some(self.expires_at)
    }

    fn wake_command(now: Timestamp) -> ReservationCommand {
        ReservationCommand::Wake { now }
    }

    /// Between two events of one decision nothing may be pending, and still it has not come to its end.
    fn settled(&self) -> bool {
        self.status != ReservationStatus::Holding && !self.has_pending()
    }

    fn touched_parts(_: &ReservationEvent, parts: &mut Vec<ReservationPartKey>) {
        parts.push(ReservationPartKey::Body);
    }

    fn part(&self, ReservationPartKey::Body: &ReservationPartKey) -> Option<Cow<'_, Reservation>> {
        (self.version > 0).then_some(Cow::Borrowed(self))
    }

    fn assemble(id: ReservationId, parts: Vec<(ReservationPartKey, Reservation)>) -> Self {
        let body = parts.into_iter().next_back().map(|(_, body)| body);
        body.unwrap_or_else(|| Reservation::empty(id))
    }
}
