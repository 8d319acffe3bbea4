//! Which reservation took how much of a location's capacity, so that what it gives back goes to the
//! hours and days that it was taken from.

use serde::{Deserialize, Serialize};

use super::capacity::Capacity;
use super::state::{Location, first_of};
use crate::ids::{AttemptId, OrderId};
use crate::time::Timestamp;

/// When a reservation took capacity, so that what it gives back goes to the same windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// When its units were granted.
    at: Timestamp,
    /// When its order was counted, if it is the reservation that stands for it.
    order_at: Option<Timestamp>,
}

impl Location {
    /// Its limits and what it has taken on; `None` where none were ever set.
    #[must_use]
    pub fn capacity(&self) -> Option<&Capacity> {
        self.capacity.as_ref()
    }

    /// Units that an order may have by the location's capacity.
    pub(super) fn room_for(&self, order: &OrderId, now: Timestamp) -> u32 {
        let Some(capacity) = &self.capacity else {
            return u32::MAX;
        };
        let room = capacity.room(now);
        if self.reservations_of(order).next().is_some() {
            return room.units.unwrap_or(u32::MAX);
        }
        room.for_new_order()
    }

    /// A reservation is about to stand. An order counts once, as long as anything of it stands.
    pub(super) fn charge(&mut self, attempt: &AttemptId, units: u32, now: Timestamp) {
        let is_new_order = self.reservations_of(&attempt.order).next().is_none();
        if let Some(capacity) = &mut self.capacity {
            capacity.take(units, is_new_order, now);
            let order_at = is_new_order.then_some(now);
            self.charges
                .insert(attempt.clone(), Charge { at: now, order_at });
        }
    }

    /// Units are about to leave a reservation, unworked. With its last one the order no longer
    /// counts, unless something of it has been shipped or others of its reservations stand.
    pub(super) fn discharge(&mut self, attempt: &AttemptId, units: u32, now: Timestamp) {
        let Some(charge) = self.charges.get(attempt).copied() else {
            return;
        };
        if let Some(capacity) = &mut self.capacity {
            capacity.give_back_units(units, charge.at, now);
        }
        let unworked = |reservation: &super::types::Reservation| {
            reservation.units <= units && reservation.shipped == 0 && reservation.short == 0
        };
        let (Some(order_at), true) = (
            charge.order_at,
            self.reservations.get(attempt).is_some_and(unworked),
        ) else {
            return;
        };
        let heir = self.charges_of(&attempt.order).map(|(name, _)| name);
        let heir = heir.filter(|name| *name != attempt).min().cloned();
        match heir.and_then(|heir| self.charges.get_mut(&heir)) {
            Some(heir) => heir.order_at = Some(order_at),
            None => {
                if let Some(capacity) = &mut self.capacity {
                    capacity.give_back_order(order_at, now);
                }
            }
        }
    }

    /// An order's charges.
    pub(super) fn charges_of<'a>(
        &'a self,
        order: &'a OrderId,
    ) -> impl Iterator<Item = (&'a AttemptId, &'a Charge)> {
        self.charges
            .range(first_of(order)..)
            .take_while(move |(name, _)| name.order == *order)
    }
}
