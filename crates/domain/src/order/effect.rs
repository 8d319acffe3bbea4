//! What an order asks of others, until an event records that it happened.

use compact_str::CompactString;

use super::logistics::Disposition;
use crate::entity::Effect;
use crate::ids::{CarrierId, LocationId, ShipmentId, Sku};
use crate::location::Request;

/// What an order asks of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEffect {
    /// Find locations for the unsourced units. Answered by `Assign` or `AssignByRule` with the same
    /// round.
    Source {
        /// Counts the order's sourcing decisions, from 1.
        round: u32,
        /// Units to find, by line index.
        units: Vec<(u32, u32)>,
        /// (line index, location) pairs that refused, rejected or were short in this sourcing.
        excluded: Vec<(u32, LocationId)>,
        /// Enough locations have been asked: only what becomes of the units is to be said, by
        /// `AssignByRule` without a plan.
        gives_up: bool,
    },
    /// Ask a location. Several effects to one location leave as one message.
    Ask {
        /// Whom.
        location: LocationId,
        /// What.
        request: Request,
    },
    /// Ask a carrier for a tracking number. Answered by `TrackingNumberIssued`.
    IssueTrackingNumber {
        /// Whom.
        carrier: CarrierId,
        /// For what.
        shipment: ShipmentId,
        /// The service code.
        service: Option<CompactString>,
    },
    /// Put returned items into a location's stock. Answered by `RestockConfirmed`.
    Restock {
        /// Where.
        location: LocationId,
        /// The return's number.
        number: u32,
        /// (SKU, units, disposition), bundles broken into components.
        items: Vec<(Sku, u32, Disposition)>,
    },
}

/// Names an [`OrderEffect`]: one that changes its content changes its key, so that it is sent anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OrderEffectKey {
    /// By round.
    Source(u32),
    /// By attempt, kind of request and cumulative target.
    Ask(u32, u8, u64),
    /// By shipment number.
    IssueTrackingNumber(u32),
    /// By return number.
    Restock(u32),
}

impl Effect for OrderEffect {
    type Key = OrderEffectKey;
    fn key(&self) -> OrderEffectKey {
        match self {
            OrderEffect::Source { round, .. } => OrderEffectKey::Source(*round),
            OrderEffect::Ask { request, .. } => {
                let (kind, target) = request.kind_and_target();
                OrderEffectKey::Ask(request.attempt().attempt, kind, target)
            }
            OrderEffect::IssueTrackingNumber { shipment, .. } => {
                OrderEffectKey::IssueTrackingNumber(shipment.number)
            }
            OrderEffect::Restock { number, .. } => OrderEffectKey::Restock(*number),
        }
    }
}
