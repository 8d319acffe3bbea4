//! The ledger of movements: what each event changes about each SKU's figures. Immutable, because
//! events are; its sums are the balances.

use compact_str::{CompactString, ToCompactString};
use serde::{Deserialize, Serialize};

use super::event::LocationEvent;
use super::types::{Balance, Makeup};
use crate::ids::Sku;
use crate::order::Disposition;

/// Why a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// Goods came in.
    Received,
    /// Somebody counted.
    Counted,
    /// Promised to an order or held.
    Reserved,
    /// No longer promised.
    Released,
    /// Taken from the shelf.
    Picked,
    /// Looked for and not found.
    Missed,
    /// Left the building.
    Shipped,
    /// Found to be more, less or damaged.
    Adjusted,
    /// To or from another location.
    Transferred,
    /// Came back from a customer.
    Returned,
    /// Taken from a reservation by a count or an adjustment.
    Displaced,
    /// The quantity that is never promised was set.
    SafetyStockSet,
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// What.
    pub sku: Sku,
    /// Why.
    pub kind: MovementKind,
    /// Change of `on_hand`.
    pub on_hand_delta: i64,
    /// Change of `reserved`.
    pub reserved_delta: i64,
    /// Change of `picked`.
    pub picked_delta: i64,
    /// Change of `damaged`.
    pub damaged_delta: i64,
    /// Change of `safety_stock`.
    pub safety_delta: i64,
    /// The caller's paper, the attempt, the hold, the return or the other location.
    pub reference: CompactString,
}

impl Movement {
    fn new(sku: &Sku, kind: MovementKind, reference: &dyn std::fmt::Display) -> Movement {
        Movement {
            sku: sku.clone(),
            kind,
            on_hand_delta: 0,
            reserved_delta: 0,
            picked_delta: 0,
            damaged_delta: 0,
            safety_delta: 0,
            reference: reference.to_compact_string(),
        }
    }

    /// What `balance` is after this movement.
    #[must_use]
    pub fn on(&self, balance: Balance) -> Balance {
        Balance {
            on_hand: balance.on_hand + self.on_hand_delta,
            reserved: balance.reserved + self.reserved_delta,
            picked: balance.picked + self.picked_delta,
            damaged: balance.damaged + self.damaged_delta,
            safety_stock: balance.safety_stock + self.safety_delta,
        }
    }

    /// What it changes about what may be granted.
    #[must_use]
    pub fn available_delta(&self) -> i64 {
        self.on_hand_delta - self.damaged_delta - self.reserved_delta - self.safety_delta
    }
}

/// Changes of on hand, reserved and picked that one unit makes.
type PerUnit = (i64, i64, i64);

fn of_makeup(
    makeup: &Makeup,
    units: u32,
    kind: MovementKind,
    reference: &dyn std::fmt::Display,
    (on_hand, reserved, picked): PerUnit,
) -> Vec<Movement> {
    let movement = |(sku, per_unit): (&Sku, u32)| {
        let pieces = i64::from(units) * i64::from(per_unit);
        Movement {
            on_hand_delta: on_hand * pieces,
            reserved_delta: reserved * pieces,
            picked_delta: picked * pieces,
            ..Movement::new(sku, kind, reference)
        }
    };
    makeup.parts().map(movement).collect()
}

fn of_items(
    items: &[(Sku, u32)],
    kind: MovementKind,
    reference: &dyn std::fmt::Display,
    sign: i64,
) -> Vec<Movement> {
    let movement = |(sku, units): &(Sku, u32)| Movement {
        reserved_delta: sign * i64::from(*units),
        ..Movement::new(sku, kind, reference)
    };
    items.iter().map(movement).collect()
}

impl LocationEvent {
    /// What the event changes about each SKU's figures.
    #[must_use]
    pub fn movements(&self) -> Vec<Movement> {
        use LocationEvent as E;
        use MovementKind as K;
        let on_hand = |sku, kind, reference: &dyn std::fmt::Display, delta| {
            vec![Movement {
                on_hand_delta: delta,
                ..Movement::new(sku, kind, reference)
            }]
        };
        match self {
            E::Received {
                sku,
                quantity,
                reference,
            } => on_hand(sku, K::Received, reference, i64::from(*quantity)),
            E::Adjusted {
                sku,
                delta,
                damaged_delta,
                reference,
            } => vec![Movement {
                on_hand_delta: *delta,
                damaged_delta: *damaged_delta,
                ..Movement::new(sku, K::Adjusted, reference)
            }],
            E::Counted {
                sku,
                delta,
                reference,
                ..
            } => on_hand(sku, K::Counted, reference, *delta),
            E::SafetyStockSet { sku, delta, .. } => {
                vec![Movement {
                    safety_delta: *delta,
                    ..Movement::new(sku, K::SafetyStockSet, &"")
                }]
            }
            E::TransferredOut {
                sku,
                quantity,
                reference,
                ..
            } => on_hand(sku, K::Transferred, reference, -i64::from(*quantity)),
            E::TransferredIn {
                sku,
                quantity,
                reference,
                ..
            } => on_hand(sku, K::Transferred, reference, i64::from(*quantity)),
            E::Reserved {
                attempt,
                units,
                makeup,
                ..
            } => of_makeup(makeup, *units, K::Reserved, attempt, (0, 1, 0)),
            E::Released {
                attempt,
                units,
                makeup,
            } => of_makeup(makeup, *units, K::Released, attempt, (0, -1, 0)),
            E::Picked {
                attempt,
                units,
                makeup,
            } => of_makeup(makeup, *units, K::Picked, attempt, (0, 0, 1)),
            E::Missed {
                attempt,
                units,
                makeup,
            } => of_makeup(makeup, *units, K::Missed, attempt, (-1, -1, 0)),
            E::Shipped {
                attempt,
                units,
                makeup,
            } => of_makeup(makeup, *units, K::Shipped, attempt, (-1, -1, -1)),
            E::Displaced {
                attempt,
                units,
                makeup,
            } => of_makeup(makeup, *units, K::Displaced, attempt, (0, -1, 0)),
            E::Held { hold, items, .. } => of_items(items, K::Reserved, hold, 1),
            E::HoldEnded { hold, items, .. } => of_items(items, K::Released, hold, -1),
            E::Restocked { return_id, items } => items
                .iter()
                .filter_map(|item| returned(item, return_id))
                .collect(),
            E::TransferConfirmed { .. }
            | E::Refused { .. }
            | E::ClosedUnseen { .. }
            | E::DisplacementConfirmed { .. }
            | E::HoldConverted { .. } => Vec::new(),
        }
    }
}

/// What comes back is on hand again; what somebody must look at counts as damaged until then; what
/// is not for sale again or was not there never enters the stock.
fn returned(
    (sku, units, disposition): &(Sku, u32, Disposition),
    id: &crate::ids::ReturnId,
) -> Option<Movement> {
    let units = i64::from(*units);
    let damaged_delta = match disposition {
        Disposition::Restocked => 0,
        Disposition::ProcessingRequired => units,
        Disposition::NotRestocked | Disposition::Missing => return None,
    };
    Some(Movement {
        on_hand_delta: units,
        damaged_delta,
        ..Movement::new(sku, MovementKind::Returned, id)
    })
}
