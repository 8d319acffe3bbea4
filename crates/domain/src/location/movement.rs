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
    /// What `balance` is after this movement.
    #[must_use]
    pub fn on(&self, balance: Balance) -> Balance {
        self.change().on(balance)
    }

    /// What it changes about what may be granted.
    #[must_use]
    pub fn available_delta(&self) -> i64 {
        self.change().available()
    }

    fn change(&self) -> Change {
        Change {
            on_hand: self.on_hand_delta,
            reserved: self.reserved_delta,
            picked: self.picked_delta,
            damaged: self.damaged_delta,
            safety_stock: self.safety_delta,
        }
    }
}

/// What an event changes about one SKU's figures: a movement without its paper, so that taking an
/// event in allocates nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) on_hand: i64,
    reserved: i64,
    picked: i64,
    damaged: i64,
    safety_stock: i64,
}

impl Change {
    fn on_hand(delta: i64) -> Change {
        Change {
            on_hand: delta,
            ..Change::default()
        }
    }

    fn reserved(delta: i64) -> Change {
        Change {
            reserved: delta,
            ..Change::default()
        }
    }

    pub(super) fn on(&self, balance: Balance) -> Balance {
        Balance {
            on_hand: balance.on_hand + self.on_hand,
            reserved: balance.reserved + self.reserved,
            picked: balance.picked + self.picked,
            damaged: balance.damaged + self.damaged,
            safety_stock: balance.safety_stock + self.safety_stock,
        }
    }

    fn available(self) -> i64 {
        self.on_hand - self.damaged - self.reserved - self.safety_stock
    }

    fn times(self, pieces: i64) -> Change {
        Change {
            on_hand: self.on_hand * pieces,
            reserved: self.reserved * pieces,
            picked: self.picked * pieces,
            damaged: self.damaged * pieces,
            safety_stock: self.safety_stock * pieces,
        }
    }
}

/// What each event that moves a reservation's units changes, per unit.
const RESERVED: Change = Change {
    reserved: 1,
    on_hand: 0,
    picked: 0,
    damaged: 0,
    safety_stock: 0,
};
const FREED: Change = Change {
    reserved: -1,
    ..RESERVED
};
const PICKED: Change = Change {
    picked: 1,
    reserved: 0,
    ..RESERVED
};
const MISSED: Change = Change {
    on_hand: -1,
    ..FREED
};
const SHIPPED: Change = Change {
    picked: -1,
    ..MISSED
};

impl LocationEvent {
    /// What the event changes about each SKU's figures, as rows of the ledger.
    #[must_use]
    pub fn movements(&self) -> Vec<Movement> {
        let mut movements = Vec::new();
        self.each_change(|sku, kind, change| {
            movements.push(Movement {
                sku: sku.clone(),
                kind,
                on_hand_delta: change.on_hand,
                reserved_delta: change.reserved,
                picked_delta: change.picked,
                damaged_delta: change.damaged,
                safety_delta: change.safety_stock,
                reference: self.reference(),
            });
        });
        movements
    }

    /// What the event changes about what may be granted, by SKU; nothing for one that stays as it is.
    pub fn each_available_delta(&self, mut each: impl FnMut(&Sku, i64)) {
        self.each_change(|sku, _, change| match change.available() {
            0 => {}
            delta => each(sku, delta),
        });
    }

    /// What the event changes about each SKU's figures.
    pub(super) fn each_change(&self, mut each: impl FnMut(&Sku, MovementKind, Change)) {
        use LocationEvent as E;
        use MovementKind as K;
        let mut units = |makeup: &Makeup, units: u32, kind, per_unit: Change| {
            for (sku, pieces) in makeup.parts() {
                each(
                    sku,
                    kind,
                    per_unit.times(i64::from(units) * i64::from(pieces)),
                );
            }
        };
        match self {
            E::Reserved {
                units: n, makeup, ..
            } => units(makeup, *n, K::Reserved, RESERVED),
            E::Released {
                units: n, makeup, ..
            } => units(makeup, *n, K::Released, FREED),
            E::Picked {
                units: n, makeup, ..
            } => units(makeup, *n, K::Picked, PICKED),
            E::Missed {
                units: n, makeup, ..
            } => units(makeup, *n, K::Missed, MISSED),
            E::Shipped {
                units: n, makeup, ..
            } => units(makeup, *n, K::Shipped, SHIPPED),
            E::Displaced {
                units: n, makeup, ..
            } => units(makeup, *n, K::Displaced, FREED),
            E::Received { sku, quantity, .. } => {
                each(sku, K::Received, Change::on_hand(i64::from(*quantity)));
            }
            E::Adjusted {
                sku,
                delta,
                damaged_delta,
                ..
            } => {
                let change = Change {
                    damaged: *damaged_delta,
                    ..Change::on_hand(*delta)
                };
                each(sku, K::Adjusted, change);
            }
            E::Counted { sku, delta, .. } => each(sku, K::Counted, Change::on_hand(*delta)),
            E::SafetyStockSet { sku, delta, .. } => {
                each(
                    sku,
                    K::SafetyStockSet,
                    Change {
                        safety_stock: *delta,
                        ..Change::default()
                    },
                );
            }
            E::TransferredOut { sku, quantity, .. } => {
                each(sku, K::Transferred, Change::on_hand(-i64::from(*quantity)));
            }
            E::TransferredIn { sku, quantity, .. } => {
                each(sku, K::Transferred, Change::on_hand(i64::from(*quantity)));
            }
            E::Held { items, .. } => {
                items
                    .iter()
                    .for_each(|(sku, n)| each(sku, K::Reserved, Change::reserved(i64::from(*n))));
            }
            E::HoldEnded { items, .. } => {
                items
                    .iter()
                    .for_each(|(sku, n)| each(sku, K::Released, Change::reserved(-i64::from(*n))));
            }
            E::Restocked { items, .. } => {
                for (sku, units, disposition) in items {
                    if let Some(change) = returned(*units, *disposition) {
                        each(sku, K::Returned, change);
                    }
                }
            }
            E::CapacitySet { .. }
            | E::SkuBlocked { .. }
            | E::SkuUnblocked { .. }
            | E::TransferConfirmed { .. }
            | E::Refused { .. }
            | E::ClosedUnseen { .. }
            | E::DisplacementConfirmed { .. }
            | E::HoldConverted { .. }
            | E::Announced { .. }
            | E::AnnouncementEnded { .. } => {}
        }
    }

    /// The caller's paper, the attempt, the hold or the return; empty where there is none.
    fn reference(&self) -> CompactString {
        use LocationEvent as E;
        match self {
            E::Received { reference, .. }
            | E::Adjusted { reference, .. }
            | E::Counted { reference, .. }
            | E::TransferredOut { reference, .. }
            | E::TransferredIn { reference, .. }
            | E::Announced { reference, .. }
            | E::AnnouncementEnded { reference, .. } => reference.clone(),
            E::Reserved { attempt, .. }
            | E::Refused { attempt, .. }
            | E::ClosedUnseen { attempt, .. }
            | E::Released { attempt, .. }
            | E::Picked { attempt, .. }
            | E::Missed { attempt, .. }
            | E::Shipped { attempt, .. }
            | E::Displaced { attempt, .. }
            | E::DisplacementConfirmed { attempt, .. } => attempt.to_compact_string(),
            E::Held { hold, .. } | E::HoldEnded { hold, .. } | E::HoldConverted { hold, .. } => {
                hold.to_compact_string()
            }
            E::Restocked { return_id, .. } => return_id.to_compact_string(),
            E::SafetyStockSet { .. }
            | E::TransferConfirmed { .. }
            | E::CapacitySet { .. }
            | E::SkuBlocked { .. }
            | E::SkuUnblocked { .. } => CompactString::default(),
        }
    }
}

/// What comes back is on hand again; what somebody must look at counts as damaged until then; what
/// is not for sale again or was not there never enters the stock.
fn returned(units: u32, disposition: Disposition) -> Option<Change> {
    let units = i64::from(units);
    match disposition {
        Disposition::Restocked => Some(Change::on_hand(units)),
        Disposition::ProcessingRequired => Some(Change {
            damaged: units,
            ..Change::on_hand(units)
        }),
        Disposition::NotRestocked | Disposition::Missing => None,
    }
}
