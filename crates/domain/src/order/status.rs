//! Every status, derived by tables from units and facts (L7). Pure functions over plain figures, so
//! that `verify` recomputes them from what the API shows.

use serde::{Deserialize, Serialize};

use super::ledger::Totals;
use super::logistics::{FulfillmentStatus, ReturnStatus, ShipmentStatus};
use super::types::{OrderStatus, Units};
use crate::money::Minor;

/// Where an order's money is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing taken yet.
    #[default]
    Pending,
    /// Set aside by the customer's bank.
    Authorized,
    /// Some of what is owed was taken.
    PartiallyCaptured,
    /// All that is owed was taken.
    Captured,
    /// Some was given back.
    PartiallyRefunded,
    /// All was given back.
    Refunded,
    /// Cancelled before anything was taken.
    Voided,
    /// The authorization ran out.
    Expired,
    /// The bank refused.
    Failed,
    /// The customer disputes it.
    Disputed,
}

/// How far an order's goods are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentProgress {
    /// Nothing left.
    #[default]
    Unfulfilled,
    /// Some left, some will.
    Partial,
    /// All that will leave has left.
    Fulfilled,
    /// Some of what was delivered came back.
    PartiallyReturned,
    /// All of it came back.
    Returned,
    /// Other goods went out for it.
    Exchanged,
}

/// The order's status, by the first row that fits:
///
/// | status | when |
/// |---|---|
/// | cancelled | all units are cancelled |
/// | completed | every unit is delivered, cancelled or lost |
/// | in_fulfillment | a physical unit has been picked or gone further |
/// | placed | units are unsourced, and the first sourcing has not answered |
/// | sourcing | units are unsourced |
/// | backordered | units are backordered |
/// | allocated | else |
#[must_use]
pub fn derive(units: &Units, moved: bool, first_sourcing: bool) -> OrderStatus {
    let open = units.unsourced
        + units.backordered
        + units.allocated
        + units.picked
        + units.packed
        + units.shipped;
    match () {
        () if open == 0 && units.delivered == 0 && units.lost == 0 => OrderStatus::Cancelled,
        () if open == 0 => OrderStatus::Completed,
        () if moved => OrderStatus::InFulfillment,
        () if units.unsourced > 0 && first_sourcing => OrderStatus::Placed,
        () if units.unsourced > 0 => OrderStatus::Sourcing,
        () if units.backordered > 0 => OrderStatus::Backordered,
        () => OrderStatus::Allocated,
    }
}

impl OrderStatus {
    /// Whether the machine drawn above [`OrderStatus`] leads from here to `next`, in any number of steps.
    #[must_use]
    pub fn may_become(self, next: OrderStatus) -> bool {
        use OrderStatus::{
            Allocated, Backordered, Cancelled, Completed, InFulfillment, Placed, Sourcing,
        };
        match self {
            Placed => true,
            Sourcing | Backordered | Allocated => next != Placed,
            InFulfillment => matches!(next, InFulfillment | Completed),
            Completed => next == Completed,
            Cancelled => next == Cancelled,
        }
    }
}

/// What decides a fulfillment order's status: its lines' figures, summed, and three facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FulfillmentFacts {
    /// In the building, not picked.
    pub open: u32,
    /// Picked or packed, not shipped.
    pub worked: u32,
    /// Shipped.
    pub shipped: u32,
    /// Taken away or not found.
    pub gone: u32,
    /// Whether the location accepted it, or staff reported picks.
    pub begun: bool,
    /// Whether it must wait: its order is held, or still being sourced.
    pub waits: bool,
}

/// A fulfillment order's status, by the first row that fits:
///
/// | status | when |
/// |---|---|
/// | closed | nothing in the building, all shipped |
/// | incomplete | nothing in the building, some shipped, some gone |
/// | cancelled | nothing in the building, nothing shipped |
/// | in_progress | accepted, or anything reported, picked, packed or shipped |
/// | scheduled | it must wait, and has not been open before |
/// | open | else |
#[must_use]
pub fn fulfillment(before: FulfillmentStatus, facts: &FulfillmentFacts) -> FulfillmentStatus {
    use FulfillmentStatus::{Cancelled, Closed, InProgress, Incomplete, Open, Scheduled};
    let inside = facts.open + facts.worked;
    match () {
        () if inside == 0 && facts.shipped > 0 && facts.gone == 0 => Closed,
        () if inside == 0 && facts.shipped > 0 => Incomplete,
        () if inside == 0 => Cancelled,
        () if facts.begun || facts.worked > 0 || facts.shipped > 0 || before == InProgress => {
            InProgress
        }
        () if facts.waits && before == Scheduled => Scheduled,
        () => Open,
    }
}

impl FulfillmentStatus {
    /// Whether its machine leads from here to `next`, in any number of steps.
    #[must_use]
    pub fn may_become(self, next: FulfillmentStatus) -> bool {
        use FulfillmentStatus::{Cancelled, Closed, InProgress, Incomplete, Open, Scheduled};
        match self {
            Scheduled => true,
            Open => next != Scheduled,
            InProgress => !matches!(next, Scheduled | Open),
            Closed | Incomplete | Cancelled => next == self,
        }
    }
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Closed | Self::Incomplete | Self::Cancelled)
    }
}

/// Whether a shipment's units have come to their end.
#[must_use]
pub fn shipment_is_final(status: ShipmentStatus) -> bool {
    use ShipmentStatus::{Cancelled, Damaged, Delivered, Lost, Returned};
    matches!(status, Delivered | Lost | Damaged | Returned | Cancelled)
}

impl ShipmentStatus {
    /// How far along its machine a state is; states of one stage lead to one another.
    fn stage(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Packed => 1,
            Self::Shipped => 2,
            Self::InTransit | Self::Exception => 3,
            Self::OutForDelivery | Self::DeliveryAttempted => 4,
            Self::AvailableForPickup => 5,
            Self::Refused => 6,
            Self::ReturnToSender => 7,
            Self::Delivered | Self::Lost | Self::Damaged | Self::Returned | Self::Cancelled => 8,
        }
    }

    /// Whether its machine leads from here to `next`, in any number of steps.
    #[must_use]
    pub fn may_become(self, next: ShipmentStatus) -> bool {
        if self == next {
            return true;
        }
        let way_back = matches!(self, Self::Refused | Self::ReturnToSender);
        match next {
            // What has left cannot have never left.
            Self::Cancelled => self.stage() < Self::Shipped.stage(),
            // What is on its way back does not reach the recipient.
            Self::Delivered if way_back => false,
            _ => match self.stage() {
                8 => false,
                stage @ (3 | 4) => next.stage() >= stage,
                stage => next.stage() > stage,
            },
        }
    }
}

impl ReturnStatus {
    /// Whether its machine leads from here to `next`, in any number of steps.
    #[must_use]
    pub fn may_become(self, next: ReturnStatus) -> bool {
        let stage = |status: ReturnStatus| match status {
            Self::Requested => 0,
            Self::Approved => 1,
            Self::InTransit => 2,
            Self::Received => 3,
            Self::Inspected => 4,
            Self::Closed => 5,
            Self::Declined | Self::Cancelled | Self::Expired => 6,
        };
        match (stage(self), stage(next)) {
            _ if self == next => true,
            (from, 6) => from <= 1,
            (from, to) => from < to,
        }
    }
    /// Whether its units may still come.
    #[must_use]
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::Requested | Self::Approved | Self::InTransit)
    }
}

/// Where the money is.
#[must_use]
pub fn payment(totals: &Totals, status: OrderStatus) -> PaymentStatus {
    let nothing: Minor = 0;
    match (totals.captured, totals.refunded) {
        (captured, refunded) if refunded > nothing && refunded >= captured => {
            PaymentStatus::Refunded
        }
        (_, refunded) if refunded > nothing => PaymentStatus::PartiallyRefunded,
        (captured, _) if captured > nothing && totals.balance_due > nothing => {
            PaymentStatus::PartiallyCaptured
        }
        (captured, _) if captured > nothing => PaymentStatus::Captured,
        _ if status == OrderStatus::Cancelled => PaymentStatus::Voided,
        // A free order is paid when it is done.
        _ if status == OrderStatus::Completed => PaymentStatus::Captured,
        _ => PaymentStatus::Pending,
    }
}

/// How far the goods are.
#[must_use]
pub fn progress(units: &Units) -> FulfillmentProgress {
    let inside =
        units.unsourced + units.backordered + units.allocated + units.picked + units.packed;
    let out = units.shipped + units.delivered + units.lost;
    match () {
        () if units.returned > 0
            && inside + units.shipped == 0
            && units.returned == units.delivered =>
        {
            FulfillmentProgress::Returned
        }
        () if units.returned > 0 => FulfillmentProgress::PartiallyReturned,
        () if out == 0 => FulfillmentProgress::Unfulfilled,
        () if inside > 0 => FulfillmentProgress::Partial,
        () => FulfillmentProgress::Fulfilled,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Every unit ledger with 0 to 2 units in each state, under both facts, against the table read
    /// row by row.
    #[test]
    fn the_order_table_covers_every_ledger() {
        for code in 0..3_u32.pow(9) {
            let digit = |place: u32| code / 3_u32.pow(place) % 3;
            let units = Units {
                unsourced: digit(0),
                backordered: digit(1),
                allocated: digit(2),
                picked: digit(3),
                packed: digit(4),
                shipped: digit(5),
                delivered: digit(6),
                cancelled: digit(7),
                lost: digit(8),
                returned: 0,
            };
            for (moved, first) in [(false, false), (false, true), (true, false), (true, true)] {
                let status = derive(&units, moved, first);
                let open = (0..6).any(|place| digit(place) > 0);
                let ended = units.delivered + units.lost > 0;
                let says = match status {
                    OrderStatus::Cancelled => !open && !ended,
                    OrderStatus::Completed => !open && ended,
                    OrderStatus::InFulfillment => open && moved,
                    OrderStatus::Placed => !moved && first && units.unsourced > 0,
                    OrderStatus::Sourcing => !moved && !first && units.unsourced > 0,
                    OrderStatus::Backordered => {
                        !moved && units.unsourced == 0 && units.backordered > 0
                    }
                    OrderStatus::Allocated => {
                        open && !moved && units.unsourced + units.backordered == 0
                    }
                };
                assert!(says, "{units:?} {moved} {first} {status:?}");
            }
        }
    }

    /// Every combination of the facts, against the table read row by row; and forward only (L7).
    #[test]
    fn the_fulfillment_table_covers_every_fact() {
        use FulfillmentStatus::{Cancelled, Closed, InProgress, Incomplete, Open, Scheduled};
        for code in 0..2_u32.pow(6) {
            let bit = |place: u32| code >> place & 1;
            let facts = FulfillmentFacts {
                open: bit(0),
                worked: bit(1),
                shipped: bit(2),
                gone: bit(3),
                begun: bit(4) == 1,
                waits: bit(5) == 1,
            };
            let inside = facts.open + facts.worked > 0;
            for before in [Scheduled, Open, InProgress] {
                let status = fulfillment(before, &facts);
                let says = match status {
                    Closed => !inside && facts.shipped > 0 && facts.gone == 0,
                    Incomplete => !inside && facts.shipped > 0 && facts.gone > 0,
                    Cancelled => !inside && facts.shipped == 0,
                    InProgress => {
                        inside
                            && (facts.begun
                                || facts.worked + facts.shipped > 0
                                || before == InProgress)
                    }
                    Scheduled => inside && facts.waits && before == Scheduled && !facts.begun,
                    Open => inside && !facts.begun && (before == Open || !facts.waits),
                };
                assert!(says, "{before:?} {facts:?} {status:?}");
                assert!(before.may_become(status), "{before:?} → {status:?}");
            }
        }
    }

    /// Compares `may_become` with a drawing: it must be the drawing's transitive closure.
    fn compare<S: Copy + Debug + PartialEq>(
        all: &[S],
        drawn: &[(S, S)],
        may_become: fn(S, S) -> bool,
    ) {
        for &from in all {
            let mut reached = vec![from];
            let mut next = 0;
            while next < reached.len() {
                let here = reached[next];
                next += 1;
                for &(_, to) in drawn.iter().filter(|(a, _)| *a == here) {
                    if !reached.contains(&to) {
                        reached.push(to);
                    }
                }
            }
            for &to in all {
                assert_eq!(
                    may_become(from, to),
                    reached.contains(&to),
                    "{from:?} → {to:?}"
                );
            }
        }
    }

    #[test]
    fn the_order_machine_is_as_drawn() {
        use OrderStatus::{
            Allocated, Backordered, Cancelled, Completed, InFulfillment, Placed, Sourcing,
        };
        let all = [
            Placed,
            Sourcing,
            Backordered,
            Allocated,
            InFulfillment,
            Completed,
            Cancelled,
        ];
        let drawn = [
            (Placed, Sourcing),
            (Sourcing, Allocated),
            (Allocated, Sourcing),
            (Sourcing, Backordered),
            (Backordered, Sourcing),
            (Allocated, InFulfillment),
            (InFulfillment, Completed),
            (Sourcing, Cancelled),
        ];
        compare(&all, &drawn, OrderStatus::may_become);
    }

    #[test]
    fn the_fulfillment_machine_is_as_drawn() {
        use FulfillmentStatus::{Cancelled, Closed, InProgress, Incomplete, Open, Scheduled};
        let all = [Scheduled, Open, InProgress, Closed, Incomplete, Cancelled];
        let drawn = [
            (Scheduled, Open),
            (Open, InProgress),
            (InProgress, Closed),
            (InProgress, Incomplete),
            (InProgress, Cancelled),
        ];
        compare(&all, &drawn, FulfillmentStatus::may_become);
    }

    #[test]
    fn the_shipment_machine_is_as_drawn() {
        use ShipmentStatus as S;
        let all = [
            S::Created,
            S::Packed,
            S::Shipped,
            S::InTransit,
            S::OutForDelivery,
            S::DeliveryAttempted,
            S::Exception,
            S::AvailableForPickup,
            S::Delivered,
            S::Refused,
            S::Lost,
            S::Damaged,
            S::ReturnToSender,
            S::Returned,
            S::Cancelled,
        ];
        let drawn = [
            (S::Created, S::Packed),
            (S::Created, S::Cancelled),
            (S::Packed, S::Shipped),
            (S::Packed, S::Cancelled),
            (S::Shipped, S::InTransit),
            (S::InTransit, S::Exception),
            (S::Exception, S::InTransit),
            (S::InTransit, S::OutForDelivery),
            (S::OutForDelivery, S::DeliveryAttempted),
            (S::DeliveryAttempted, S::OutForDelivery),
            (S::OutForDelivery, S::AvailableForPickup),
            (S::AvailableForPickup, S::Delivered),
            (S::AvailableForPickup, S::Refused),
            (S::Refused, S::ReturnToSender),
            (S::ReturnToSender, S::Returned),
            (S::ReturnToSender, S::Lost),
            (S::ReturnToSender, S::Damaged),
        ];
        compare(&all, &drawn, ShipmentStatus::may_become);
    }

    #[test]
    fn the_return_machine_is_as_drawn() {
        use ReturnStatus as R;
        let all = [
            R::Requested,
            R::Approved,
            R::InTransit,
            R::Received,
            R::Inspected,
            R::Closed,
            R::Declined,
            R::Cancelled,
            R::Expired,
        ];
        let drawn = [
            (R::Requested, R::Approved),
            (R::Approved, R::InTransit),
            (R::InTransit, R::Received),
            (R::Received, R::Inspected),
            (R::Inspected, R::Closed),
            (R::Approved, R::Declined),
            (R::Approved, R::Cancelled),
            (R::Approved, R::Expired),
        ];
        compare(&all, &drawn, ReturnStatus::may_become);
    }
}
