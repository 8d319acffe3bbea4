//! The location as it stands in memory and in its stored parts.
//!
//! Its maps are persistent: a clone costs a few pointers, so that a batch can be decided on a
//! scratch copy, and a change copies only the nodes on its way.

use std::borrow::Cow;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::blocks::SkuBlock;
use super::capacity::Capacity;
use super::charges::Charge;
use super::command::{LocationCommand, LocationEffect, LocationRejection, LocationReply};
use super::event::LocationEvent;
use super::parts::{LocationPart, LocationPartKey};
use super::tombstones::{TOMBSTONE_BUCKETS, Tombstones, bucket_of};
use super::types::{
    Announcement, Arrived, Balance, Ended, Item, OutgoingTransfer, Reservation, StockHold,
};
use super::{apply, decide};
use crate::by_sku::BySku;
use crate::entity::{Context, DecisionOf, Entity, Stamp};
use crate::ids::{AttemptId, HoldId, LocationId, OrderId, Sku};
use crate::time::Timestamp;

/// Displacements, and transfers, that leave at a time. A count may displace as many orders as wait
/// for a SKU; the next ones leave as these are confirmed.
const PENDING_PER_KIND_MAX: usize = 1_024;

/// A location's stock. Changed by `apply` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(super) id: LocationId,
    pub(super) version: u64,
    pub(super) recorded_at: Timestamp,
    pub(super) items: BySku<Item>,
    pub(super) reservations: OrdMap<AttemptId, Reservation>,
    pub(super) holds: OrdMap<HoldId, StockHold>,
    /// Holds by expiry.
    pub(super) expiries: OrdSet<(Timestamp, HoldId)>,
    pub(super) tombstones: Tombstones,
    /// Displacements that their orders have not confirmed: units left of the attempt.
    pub(super) displaced: OrdMap<AttemptId, u32>,
    /// Transfers that the other location has not confirmed.
    pub(super) outgoing: OrdMap<(LocationId, u64), OutgoingTransfer>,
    /// Transfers numbered so far, by destination.
    pub(super) numbered: OrdMap<LocationId, u64>,
    /// Transfers that have arrived, by sender.
    pub(super) arrived: OrdMap<LocationId, Arrived>,
    /// Goods that are to come, the earliest first.
    pub(super) announced: OrdMap<Sku, Arc<[Announcement]>>,
    /// What it may take on, and has; none until it is first limited.
    pub(super) capacity: Option<Capacity>,
    /// When reservations took capacity: of those granted since it was first limited.
    pub(super) charges: OrdMap<AttemptId, Charge>,
    /// SKUs that are not granted.
    pub(super) blocks: OrdMap<Sku, SkuBlock>,
    /// Blocks by their ends.
    pub(super) block_ends: OrdSet<(Timestamp, Sku)>,
}

impl Location {
    /// A SKU's figures; all zero for one that was never here.
    #[must_use]
    pub fn balance(&self, sku: &Sku) -> Balance {
        self.balance_if_known(sku).unwrap_or_default()
    }

    /// A SKU's figures, if it ever was here.
    #[must_use]
    pub fn balance_if_known(&self, sku: &Sku) -> Option<Balance> {
        self.items.get(sku).map(|item| item.balance)
    }

    /// What may be granted of a SKU.
    #[must_use]
    pub fn available(&self, sku: &Sku) -> i64 {
        self.balance(sku).available()
    }

    /// Goods of a SKU that are to come, the earliest first.
    #[must_use]
    pub fn announced(&self, sku: &Sku) -> &[Announcement] {
        self.announced.get(sku).map_or(&[], |all| all)
    }

    /// All goods that are to come, in byte order of the SKUs.
    pub fn all_announced(&self) -> impl Iterator<Item = (&Sku, &[Announcement])> {
        self.announced.iter().map(|(sku, all)| (sku, &**all))
    }

    /// All SKUs' figures, in byte order of the SKUs.
    pub fn balances(&self) -> impl Iterator<Item = (&Sku, Balance)> {
        self.balances_after(None)
    }

    /// Figures of the SKUs after one, in byte order of the SKUs.
    pub fn balances_after(&self, after: Option<&Sku>) -> impl Iterator<Item = (&Sku, Balance)> {
        self.items
            .after(after)
            .map(|(sku, item)| (sku, item.balance))
    }

    /// Reservations after one, by attempt: (attempt, units that have not left, of those picked).
    pub fn reservations_after(
        &self,
        after: Option<&AttemptId>,
    ) -> impl Iterator<Item = (&AttemptId, u32, u32)> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, |attempt| Bound::Excluded(attempt.clone()));
        let open = |(attempt, reservation)| -> (&AttemptId, u32, u32) {
            let reservation: &Reservation = reservation;
            (
                attempt,
                reservation.units - reservation.shipped,
                reservation.picked - reservation.shipped,
            )
        };
        self.reservations.range((from, Bound::Unbounded)).map(open)
    }

    /// A reservation.
    #[must_use]
    pub fn reservation(&self, attempt: &AttemptId) -> Option<&Reservation> {
        self.reservations.get(attempt)
    }

    /// An order's reservations.
    pub(super) fn reservations_of<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> impl Iterator<Item = (&'a AttemptId, &'a Reservation)> {
        self.reservations
            .range(first_of(order)..)
            .take_while(move |(name, _)| name.order == *order)
    }

    fn header(&self) -> Option<LocationPart> {
        let (version, recorded_at) = (self.version, self.recorded_at);
        let header = match self.capacity {
            None => LocationPart::Header(version, recorded_at),
            Some(capacity) => LocationPart::LimitedHeader(version, recorded_at, capacity),
        };
        (version > 0).then_some(header)
    }

    fn stored_reservations(&self, order: &OrderId) -> Option<LocationPart> {
        let here = self.reservations_of(order);
        let part = if self.charges_of(order).next().is_none() {
            let row = |(name, reservation): (&AttemptId, &Reservation)| {
                (name.line, name.attempt, reservation.clone())
            };
            LocationPart::Reservations(here.map(row).collect())
        } else {
            let row = |(name, reservation): (&AttemptId, &Reservation)| {
                let charge = self.charges.get(name).copied();
                (name.line, name.attempt, reservation.clone(), charge)
            };
            LocationPart::Charged(here.map(row).collect())
        };
        self.reservations_of(order).next().map(|_| part)
    }

    /// Live holds.
    pub fn holds(&self) -> impl Iterator<Item = (&HoldId, &StockHold)> {
        self.holds.iter()
    }

    /// Tombstones that are kept.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.tombstones.len()
    }
}

/// Before every attempt of an order, in their order.
pub(super) fn first_of(order: &OrderId) -> AttemptId {
    AttemptId {
        order: order.clone(),
        line: 0,
        attempt: 0,
    }
}

impl Entity for Location {
    const KIND: &'static str = "location";
    const KIND_CODE: u8 = 2;

    type Id = LocationId;
    type Command = LocationCommand;
    type Event = LocationEvent;
    type Private = ();
    type Effect = LocationEffect;
    type Reply = LocationReply;
    type Rejection = LocationRejection;
    type PartKey = LocationPartKey;
    type Part = LocationPart;

    fn empty(id: LocationId) -> Self {
        Location {
            id,
            version: 0,
            recorded_at: Timestamp::ZERO,
            items: BySku::default(),
            reservations: OrdMap::new(),
            holds: OrdMap::new(),
            expiries: OrdSet::new(),
            tombstones: Tombstones::default(),
            displaced: OrdMap::new(),
            outgoing: OrdMap::new(),
            numbered: OrdMap::new(),
            arrived: OrdMap::new(),
            announced: OrdMap::new(),
            capacity: None,
            charges: OrdMap::new(),
            blocks: OrdMap::new(),
            block_ends: OrdSet::new(),
        }
    }

    fn id(&self) -> &LocationId {
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
        command: &LocationCommand,
        context: &Context,
    ) -> Result<DecisionOf<Self>, LocationRejection> {
        decide::decide(self, command, context)
    }

    fn apply(&mut self, event: &LocationEvent, stamp: &Stamp) {
        apply::apply(self, event, stamp);
    }

    fn apply_private(&mut self, (): &()) {}

    fn private(&self) -> Option<()> {
        None
    }

    fn pending(&self) -> Vec<LocationEffect> {
        let displaced = self
            .displaced
            .iter()
            .take(PENDING_PER_KIND_MAX)
            .map(|(attempt, units)| LocationEffect::NotifyDisplaced {
                attempt: attempt.clone(),
                units: *units,
            });
        let transfers =
            self.outgoing
                .iter()
                .take(PENDING_PER_KIND_MAX)
                .map(|((to, number), transfer)| LocationEffect::DeliverTransfer {
                    to: to.clone(),
                    number: *number,
                    sku: transfer.sku.clone(),
                    quantity: transfer.quantity,
                    reference: transfer.reference.clone(),
                });
        displaced.chain(transfers).collect()
    }

    fn has_pending(&self) -> bool {
        !self.displaced.is_empty() || !self.outgoing.is_empty()
    }

    fn wakeup(&self) -> Option<Timestamp> {
        let hold = self.expiries.get_min().map(|(at, _)| *at);
        let block = self.block_ends.get_min().map(|(at, _)| *at);
        hold.into_iter().chain(block).min()
    }

    fn wake_command(now: Timestamp) -> LocationCommand {
        LocationCommand::Wake { now }
    }

    /// Every answer of a location is final when it is durable.
    fn settled(&self) -> bool {
        true
    }

    fn touched_parts(event: &LocationEvent, parts: &mut Vec<LocationPartKey>) {
        use LocationEvent as E;
        use LocationPartKey as P;
        parts.push(P::Header);
        event.each_change(|sku, _, _| parts.push(P::Item(sku.clone())));
        let tombstone =
            |attempt: &AttemptId| P::Tombstones(bucket_of(&Ended::Attempt(attempt.clone())));
        match event {
            E::Reserved { attempt, .. } | E::Picked { attempt, .. } => {
                parts.push(P::Reservations(attempt.order.clone()));
            }
            E::Released { attempt, .. }
            | E::Missed { attempt, .. }
            | E::Shipped { attempt, .. } => {
                parts.extend([
                    P::Reservations(attempt.order.clone()),
                    P::Displaced(attempt.clone()),
                    tombstone(attempt),
                ]);
            }
            E::Displaced { attempt, .. } => {
                parts.extend([
                    P::Reservations(attempt.order.clone()),
                    P::Displaced(attempt.clone()),
                    tombstone(attempt),
                ]);
            }
            E::Refused { attempt, .. } | E::ClosedUnseen { attempt, .. } => {
                parts.push(tombstone(attempt))
            }
            E::DisplacementConfirmed { attempt, .. } => parts.push(P::Displaced(attempt.clone())),
            E::TransferredOut { to, number, .. } => {
                parts.extend([P::Outgoing(to.clone(), *number), P::Numbered(to.clone())]);
            }
            E::TransferConfirmed { to, number } => parts.push(P::Outgoing(to.clone(), *number)),
            E::TransferredIn { from, .. } => parts.push(P::Arrived(from.clone())),
            E::Held { hold, .. } => parts.push(P::Hold(hold.clone())),
            E::HoldEnded { hold, .. } => {
                parts.extend([
                    P::Hold(hold.clone()),
                    P::Tombstones(bucket_of(&Ended::Hold(hold.clone()))),
                ]);
            }
            E::HoldConverted { hold, attempt, .. } => {
                let tombstone = P::Tombstones(bucket_of(&Ended::Hold(hold.clone())));
                parts.extend([
                    P::Hold(hold.clone()),
                    P::Reservations(attempt.order.clone()),
                    tombstone,
                ]);
            }
            E::SkuBlocked { sku, .. } | E::SkuUnblocked { sku } => {
                parts.push(P::Blocked(sku.clone()));
            }
            E::Restocked { return_id, .. } => {
                parts.push(P::Tombstones(bucket_of(&Ended::Return(return_id.clone()))));
            }
            E::Announced { sku, .. } => {
                parts.extend([P::Announced(sku.clone()), P::Item(sku.clone())]);
            }
            E::AnnouncementEnded { sku, .. } => parts.push(P::Announced(sku.clone())),
            E::Received { .. }
            | E::Adjusted { .. }
            | E::Counted { .. }
            | E::SafetyStockSet { .. }
            | E::CapacitySet { .. } => {}
        }
    }

    fn part(&self, key: &LocationPartKey) -> Option<Cow<'_, LocationPart>> {
        use LocationPart as Part;
        use LocationPartKey as P;
        let part = match key {
            P::Header => self.header(),
            P::Item(sku) => self.items.get(sku).cloned().map(Part::Item),
            P::Reservations(order) => self.stored_reservations(order),
            P::Hold(hold) => self.holds.get(hold).cloned().map(Part::Hold),
            P::Tombstones(bucket) => {
                let here = self.tombstones.in_bucket(*bucket % TOMBSTONE_BUCKETS);
                (!here.is_empty()).then_some(Part::Tombstones(here))
            }
            P::Displaced(attempt) => self.displaced.get(attempt).copied().map(Part::Displaced),
            P::Outgoing(to, number) => self
                .outgoing
                .get(&(to.clone(), *number))
                .cloned()
                .map(Part::Outgoing),
            P::Numbered(to) => self.numbered.get(to).copied().map(Part::Numbered),
            P::Arrived(from) => self.arrived.get(from).cloned().map(Part::Arrived),
            P::Announced(sku) => self.announced.get(sku).cloned().map(Part::Announced),
            P::Blocked(sku) => self.blocks.get(sku).copied().map(Part::Blocked),
        };
        part.map(Cow::Owned)
    }

    fn assemble(id: LocationId, parts: Vec<(LocationPartKey, LocationPart)>) -> Self {
        use LocationPart as Part;
        use LocationPartKey as P;
        let mut location = Location::empty(id);
        let of_order = |order: &OrderId, line, attempt| AttemptId {
            order: order.clone(),
            line,
            attempt,
        };
        for (key, part) in parts {
            match (key, part) {
                (_, Part::Header(version, recorded_at)) => {
                    location.version = version;
                    location.recorded_at = recorded_at;
                }
                (P::Item(sku), Part::Item(item)) => location.items.insert(sku, item),
                (_, Part::LimitedHeader(version, recorded_at, capacity)) => {
                    location.version = version;
                    location.recorded_at = recorded_at;
                    location.capacity = Some(capacity);
                }
                (P::Reservations(order), Part::Reservations(here)) => {
                    for (line, attempt, reservation) in here {
                        let name = of_order(&order, line, attempt);
                        location.reservations.insert(name, reservation);
                    }
                }
                (P::Reservations(order), Part::Charged(here)) => {
                    for (line, attempt, reservation, charge) in here {
                        let name = of_order(&order, line, attempt);
                        if let Some(charge) = charge {
                            location.charges.insert(name.clone(), charge);
                        }
                        location.reservations.insert(name, reservation);
                    }
                }
                (P::Hold(hold), Part::Hold(held)) => {
                    location.expiries.insert((held.expires_at, hold.clone()));
                    location.holds.insert(hold, held);
                }
                (_, Part::Tombstones(here)) => {
                    here.into_iter()
                        .for_each(|(name, until)| location.tombstones.put(name, until));
                }
                (P::Displaced(attempt), Part::Displaced(units)) => {
                    location.displaced.insert(attempt, units);
                }
                (P::Outgoing(to, number), Part::Outgoing(transfer)) => {
                    location.outgoing.insert((to, number), transfer);
                }
                (P::Blocked(sku), Part::Blocked(block)) => location.block(&sku, block),
                (P::Numbered(to), Part::Numbered(number)) => {
                    location.numbered.insert(to, number);
                }
                (P::Arrived(from), Part::Arrived(arrived)) => {
                    location.arrived.insert(from, arrived);
                }
                (P::Announced(sku), Part::Announced(all)) => {
                    location.announced.insert(sku, all);
                }
                (key, part) => unreachable!("part {part:?} was stored under {key:?}"),
            }
        }
        location
    }
}
