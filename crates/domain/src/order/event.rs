//! What happens to an order: past participles, each with the figures that it changes. Who acted and
//! when stands in the [`crate::entity::Stamp`] beside it; personal data never stands here.
//!
//! In: decisions. Out: `apply`, history, the event stream. Amounts of money are not in events: they
//! follow from units and prices, and are recomputed by `apply` (L6, L10).

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::command::{Assignment, LineQuantity, NewLine, ShortageAction};
use super::logistics::{Disposition, Package, ShipmentStatus, TrackingEvent};
use super::types::{Destination, Header, Hold};
use crate::ids::{CarrierId, LocationId, ReservationId, Sku, TrackingNumber};
use crate::money::UnitPrice;
use crate::time::Timestamp;

/// Units of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptUnits {
    /// The attempt's number.
    pub attempt: u32,
    /// Index of its line.
    pub line: u32,
    /// Units.
    pub units: u32,
}

/// A reservation that a location did not grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The attempt's number.
    pub attempt: u32,
    /// Index of its line.
    pub line: u32,
    /// Units that could have been had.
    pub available: u32,
    /// `insufficient`, `expired`, `closed`.
    pub reason: CompactString,
}

/// What the order wants back of an attempt, in all (not in addition to what it wanted before).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseWish {
    /// The attempt's number.
    pub attempt: u32,
    /// Index of its line.
    pub line: u32,
    /// Units to be cancelled.
    pub cancel: u32,
    /// Units to be sourced elsewhere.
    pub elsewhere: u32,
}

/// Units that a location no longer reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedUnits {
    /// The attempt's number.
    pub attempt: u32,
    /// Index of its line.
    pub line: u32,
    /// Of them, cancelled.
    pub cancelled: u32,
    /// Of them, to be sourced again.
    pub unsourced: u32,
    /// Whether the location took them away by itself (a count, an adjustment).
    pub displaced: bool,
}

/// What staff say about picking of an attempt, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickReport {
    /// The attempt's number.
    pub attempt: u32,
    /// Index of its line.
    pub line: u32,
    /// Found so far.
    pub picked: u32,
    /// Not found so far.
    pub short: u32,
}

/// Units cancelled at once, because no location had been asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledUnits {
    /// Index of the line.
    pub line: u32,
    /// Of the unsourced ones.
    pub unsourced: u32,
    /// Of the backordered ones.
    pub backordered: u32,
}

/// Units of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuUnits {
    /// Which.
    pub sku: Sku,
    /// How many.
    pub units: u32,
}

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEvent {
    /// The customer pressed "buy". Opens sourcing round 1 if anything is physical.
    Placed {
        /// As placed.
        header: Box<Header>,
        /// As placed.
        lines: Vec<NewLine>,
        /// Born cancelled, because its cancellation came before it.
        cancelled: bool,
    },
    /// A channel cancelled an order that had not arrived.
    CancelledBeforeArrival {
        /// Why.
        reason: CompactString,
    },
    /// Sourcing is asked for what has no location.
    SourcingRequested {
        /// Counts the order's sourcing decisions.
        round: u32,
        /// Backordered units that are sourced anew, by line. With any, earlier exclusions are void.
        retried: Vec<LineQuantity>,
    },
    /// Sourcing has answered. The attempts are numbered on from the last one, in this order.
    Sourced {
        /// Which round.
        round: u32,
        /// Who is asked for what.
        assignments: Vec<Assignment>,
        /// Until when the locations may grant.
        not_after: Timestamp,
        /// The decision's inputs (L9).
        #[serde(with = "serde_bytes")]
        inputs: Vec<u8>,
    },
    /// A location granted units, perhaps fewer than asked for; the rest is sourced elsewhere.
    Reserved {
        /// Who.
        location: LocationId,
        /// The fulfillment order they go to, opened by this event if it is new.
        fulfillment_order: u32,
        /// What of which attempt.
        grants: Vec<AttemptUnits>,
    },
    /// A location refused.
    ReservationRefused {
        /// Who.
        location: LocationId,
        /// What.
        refusals: Vec<Refusal>,
    },
    /// A location did not answer in time; its attempts are being closed.
    ReservationExpired {
        /// Which attempts.
        attempts: Vec<u32>,
    },
    /// No location has these units: they wait for stock.
    Backordered {
        /// What.
        units: Vec<LineQuantity>,
        /// When sourcing is tried again, if nothing comes in before.
        retry_at: Timestamp,
    },
    /// Units that no location was asked for were cancelled.
    UnitsCancelled {
        /// What.
        units: Vec<CancelledUnits>,
        /// Why.
        reason: CompactString,
    },
    /// Units are wanted back from locations; they move when the locations answer.
    ReleaseRequested {
        /// What.
        releases: Vec<ReleaseWish>,
        /// Why.
        reason: CompactString,
    },
    /// A location gave units back, or took them away.
    UnitsReleased {
        /// Who.
        location: LocationId,
        /// What.
        releases: Vec<ReleasedUnits>,
    },
    /// A location took a fulfillment order on.
    FulfillmentOrderAccepted {
        /// Its number.
        fulfillment_order: u32,
    },
    /// A location will not serve a fulfillment order, or what is left of it.
    FulfillmentOrderRejected {
        /// Its number.
        fulfillment_order: u32,
        /// Why.
        reason: CompactString,
    },
    /// Staff reported picks; the location confirms them.
    PickReported {
        /// Of which fulfillment order.
        fulfillment_order: u32,
        /// What.
        picks: Vec<PickReport>,
    },
    /// The location confirmed picks.
    UnitsPicked {
        /// Who.
        location: LocationId,
        /// What, in addition to earlier picks.
        units: Vec<AttemptUnits>,
    },
    /// The location confirmed that units are not there; they are sourced elsewhere.
    UnitsNotFound {
        /// Who.
        location: LocationId,
        /// What, in addition to earlier ones.
        units: Vec<AttemptUnits>,
    },
    /// Staff packed units.
    UnitsPacked {
        /// Of which fulfillment order.
        fulfillment_order: u32,
        /// Into these.
        packages: Vec<Package>,
    },
    /// Packages left. The money for them is captured.
    UnitsShipped {
        /// Of which fulfillment order.
        fulfillment_order: u32,
        /// The new shipment's number.
        shipment: u32,
        /// Package numbers.
        packages: Vec<u32>,
        /// With whom.
        carrier: Option<CarrierId>,
        /// The carrier's service.
        service: Option<CompactString>,
        /// If given; else the carrier, if there is one, is asked.
        tracking_number: Option<TrackingNumber>,
    },
    /// The location has taken note that units left.
    ShippingConfirmed {
        /// Who.
        location: LocationId,
        /// Units shipped in all, by attempt.
        units: Vec<AttemptUnits>,
    },
    /// A carrier gave a tracking number, or none.
    TrackingNumberIssued {
        /// Of which shipment.
        shipment: u32,
        /// `None` when the carrier is unknown or refused.
        tracking_number: Option<TrackingNumber>,
    },
    /// A carrier reported.
    Tracked {
        /// Which shipment.
        shipment: u32,
        /// What.
        scan: TrackingEvent,
        /// The shipment's status after it.
        status: ShipmentStatus,
        /// Whether somebody signed (the name is in the personal record).
        signed: bool,
    },
    /// Nothing was heard of a shipment for long: delivered, or lost if it was on its way back.
    DeliveryAssumed {
        /// Which shipment.
        shipment: u32,
        /// Delivered or lost.
        status: ShipmentStatus,
    },
    /// The customer wants to send items back.
    ReturnRequested {
        /// The return's number.
        number: u32,
        /// What.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: CompactString,
    },
    /// They may.
    ReturnApproved {
        /// The return's number.
        number: u32,
    },
    /// Items came back. The goods' price is refunded for all but missing ones.
    ReturnReceived {
        /// The return's number.
        number: u32,
        /// Where.
        location: LocationId,
        /// What, and in what state.
        items: Vec<(LineQuantity, Disposition)>,
    },
    /// A return is settled.
    ReturnClosed {
        /// The return's number.
        number: u32,
    },
    /// A hold was laid over the order or a part of it.
    HoldPlaced {
        /// It.
        hold: Hold,
    },
    /// A hold was lifted.
    HoldReleased {
        /// Its number.
        hold: u32,
    },
    /// A line was added.
    LineAdded {
        /// It.
        line: NewLine,
    },
    /// A line's price was changed.
    PriceSet {
        /// Index of the line.
        line: u32,
        /// The new price of one unit.
        unit_price: UnitPrice,
    },
    /// The order goes elsewhere (the address itself is in the personal record).
    AddressSet {
        /// Country and coarse position.
        destination: Destination,
    },
    /// The order goes faster or slower.
    ServiceLevelSet {
        /// The new one.
        service_level: CompactString,
    },
    /// The personal record was erased.
    PersonalDataErased,
    /// No location has these units: the order waits until somebody releases it.
    Parked {
        /// What.
        units: Vec<LineQuantity>,
    },
    /// A rule wants staff to know that units are short. Once per shortage.
    StaffAlerted {
        /// The rule's name.
        rule: CompactString,
        /// What became of the units.
        action: ShortageAction,
        /// What was short.
        units: Vec<LineQuantity>,
    },
    /// Items that are always bought again are short. Once per shortage.
    RestockRequested {
        /// What, by rising SKU; of a bundle, its components.
        items: Vec<SkuUnits>,
    },
    /// Locations are asked for what they keep for the order. The attempts are numbered on from the
    /// last one, in this order; what is not covered is sourced as ever.
    ReservationUsed {
        /// Which reservation.
        reservation: ReservationId,
        /// Who is asked for what.
        assignments: Vec<Assignment>,
        /// Until when the locations may grant.
        not_after: Timestamp,
    },
}
