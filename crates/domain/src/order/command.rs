//! What an order can be told, what it answers, and why it refuses.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::logistics::{Disposition, ShipmentStatus};
use super::types::{
    Address, Fulfilment, Header, HoldReason, HoldScope, PersonalData, ShortagePolicy, Tax,
};
use crate::ids::{CarrierId, LineId, LocationId, ReservationId, Sku, TrackingNumber};
use crate::location::Answer;
use crate::money::{Minor, UnitPrice};
use crate::time::Timestamp;

/// A line as the client asks for it, resolved against the catalogue by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLine {
    /// The client's name for it, or the 1-based position.
    pub id: LineId,
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: u32,
    /// At what price.
    pub unit_price: UnitPrice,
    /// Line discounts, minor units, ≥ 0.
    pub discount: Minor,
    /// Line taxes.
    pub taxes: Vec<Tax>,
    /// Only this location.
    pub pickup_location: Option<LocationId>,
    /// How it is fulfilled.
    pub fulfilment: Fulfilment,
}

/// Part of a plan: units of one line from one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Index of the line.
    pub line: u32,
    /// Who is to serve it.
    pub location: LocationId,
    /// Units.
    pub quantity: u32,
}

/// A sourcing decision: who is asked for what, and what nobody has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Who is asked. Units of a line not named here are short: backordered or cancelled by policy.
    pub assignments: Vec<Assignment>,
    /// The decision's inputs, encoded by `sourcing`; the explanation is recomputed from them (L9).
    #[serde(with = "serde_bytes")]
    pub inputs: Vec<u8>,
}

/// What a rule says about units that nobody has, beside the order's own [`ShortagePolicy`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortageRule {
    /// The rule's name.
    pub rule: CompactString,
    /// What becomes of them.
    pub action: ShortageAction,
    /// Whether staff are told.
    pub alert: bool,
    /// SKUs that are always bought again: what is short of them waits for stock, and is asked for.
    pub common: BTreeSet<Sku>,
}

impl ShortageRule {
    /// Whether it says nothing but what the order says itself.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.action == ShortageAction::AsOrderSays && !self.alert && self.common.is_empty()
    }

    /// What becomes of units of an order that itself says `own`; what is always bought again aside.
    #[must_use]
    pub fn policy(&self, own: ShortagePolicy) -> ShortagePolicy {
        match (self.action, own) {
            (ShortageAction::AsOrderSays, own) => own,
            (ShortageAction::Cancel, ShortagePolicy::CancelOrder) => ShortagePolicy::CancelOrder,
            (ShortageAction::Cancel, _) => ShortagePolicy::CancelLine,
            (ShortageAction::Backorder | ShortageAction::Park | ShortageAction::Hold(_), _) => {
                ShortagePolicy::Backorder
            }
        }
    }
}

/// What becomes of units that nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortageAction {
    /// What the order says.
    #[default]
    AsOrderSays,
    /// They wait for stock, whatever the order says.
    Backorder,
    /// They are cancelled; all of the order, if the order says so.
    Cancel,
    /// They wait until somebody releases the order: neither time nor stock wakes it.
    Park,
    /// They wait for stock, and the order is held for this reason until somebody has looked.
    Hold(HoldReason),
}

/// Units of a line, by line index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQuantity {
    /// Index of the line.
    pub line: u32,
    /// Units.
    pub quantity: u32,
}

/// A picked line: what was found and what was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickedLine {
    /// Index of the line.
    pub line: u32,
    /// Units found, now.
    pub quantity: u32,
    /// Units looked for and not found, now; they leave the location's stock and are sourced again.
    pub short: u32,
}

/// A package to pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPackage {
    /// What is in it.
    pub items: Vec<LineQuantity>,
    /// Grams; 0 if not weighed.
    pub weight_grams: u32,
}

/// What of an order is to be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelScope {
    /// Every unit that has not been picked.
    Order,
    /// Units of lines, by line index; `quantity` 0 stands for all of the line.
    Lines(Vec<LineQuantity>),
}

/// One change to an order. Several are made together or not at all. What is allowed when:
///
/// | amendment | allowed | what follows | refused |
/// |---|---|---|---|
/// | add a line | until anything physical has shipped | it is charged and sourced; a virtual one is delivered | `too_late` after; `wrong_state` once cancelled |
/// | set a quantity, lower | as long as that many units can be cancelled | they are cancelled (the line keeps what was ordered, `cancelled` grows) | `too_late` when too few can; `invalid` to raise it: add a line |
/// | set a price | until a unit of the line is captured | open units are charged anew; discounts and taxes stay | `too_late` after |
/// | set the address | until anything physical has shipped | what is reserved and not picked is taken back and sourced again, if the destination changes | `too_late` after |
/// | set the service level | until anything physical has shipped | nothing is sourced again | `too_late` after |
///
/// Lines added later take no share of the order's discount, shipping and fees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amendment {
    /// Adds a line.
    AddLine(NewLine),
    /// Sets a line's quantity, to less than it is (to more: add a line).
    SetQuantity {
        /// Index of the line.
        line: u32,
        /// The new number of units, ≥ 1; 0 is a cancellation.
        quantity: u32,
    },
    /// Sets a line's price; allowed until any unit of it has been captured.
    SetPrice {
        /// Index of the line.
        line: u32,
        /// The new price of one unit.
        unit_price: UnitPrice,
    },
    /// Another address; what is not yet picked is sourced again. Refused `too_late` once anything shipped.
    SetAddress {
        /// Country and coarse position.
        destination: super::types::Destination,
        /// The address itself; goes to the personal record.
        address: Address,
    },
    /// Another service level, until anything shipped.
    SetServiceLevel(CompactString),
}

/// What an order can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderCommand {
    /// The customer pressed "buy". With a plan if sourcing was asked beforehand (one write fewer).
    Place {
        /// What was ordered.
        header: Box<Header>,
        /// At least one, at most `ORDER_LINES_MAX`.
        lines: Vec<NewLine>,
        /// Kept apart from events.
        personal: Box<PersonalData>,
        /// The first sourcing decision, made on the same inputs as this command.
        plan: Option<Plan>,
    },
    /// The answer to [`super::OrderEffect::Source`].
    Assign {
        /// The round that asked; another round's answer changes nothing.
        round: u32,
        /// Who is asked.
        plan: Plan,
    },
    /// What a location says to this order's requests.
    LocationAnswered {
        /// Who speaks.
        location: LocationId,
        /// In any order, repeated or late.
        answers: Vec<Answer>,
    },
    /// A count or an adjustment took units away that were reserved: keep only `units` of the attempt.
    Displaced {
        /// Who speaks.
        location: LocationId,
        /// The attempt's number.
        attempt: u32,
        /// Units that are still reserved.
        units: u32,
    },
    /// Stock came in, or may have: source what is backordered.
    Replenish,
    /// Cancels what has not been picked.
    Cancel {
        /// What.
        scope: CancelScope,
        /// Why.
        reason: CompactString,
    },
    /// Cancels an order of a channel that has not arrived: leaves a tombstone, the order is born cancelled.
    CancelBeforeArrival {
        /// Why.
        reason: CompactString,
    },
    /// Changes the order, all or nothing.
    Amend(Vec<Amendment>),
    /// Lays a hold over the order or a part of it.
    PlaceHold {
        /// Why.
        reason: HoldReason,
        /// What it stops.
        scope: HoldScope,
    },
    /// Lifts a hold.
    ReleaseHold {
        /// Its number.
        hold: u32,
    },
    /// The location takes a fulfillment order on.
    Accept {
        /// Its number.
        fulfillment_order: u32,
    },
    /// The location will not serve it; its unpicked units are sourced elsewhere.
    Reject {
        /// Its number.
        fulfillment_order: u32,
        /// Why.
        reason: CompactString,
    },
    /// Staff took units from the shelf.
    Pick {
        /// Its number.
        fulfillment_order: u32,
        /// What was found and what was not; empty: all that is open was found.
        lines: Vec<PickedLine>,
    },
    /// Staff packed units.
    Pack {
        /// Its number.
        fulfillment_order: u32,
        /// Into these; empty: all that is picked into one package.
        packages: Vec<NewPackage>,
    },
    /// Packages leave.
    Ship {
        /// Its number.
        fulfillment_order: u32,
        /// Package numbers; empty: all that have not left.
        packages: Vec<u32>,
        /// With whom.
        carrier: Option<CarrierId>,
        /// The carrier's service.
        service: Option<CompactString>,
        /// If the caller has one; else the carrier is asked, if there is one.
        tracking_number: Option<TrackingNumber>,
    },
    /// The carrier's answer to [`super::OrderEffect::IssueTrackingNumber`].
    TrackingNumberIssued {
        /// The shipment's number.
        shipment: u32,
        /// Its tracking number; `None` when the carrier is unknown or refuses.
        tracking_number: Option<TrackingNumber>,
    },
    /// A scan; in any order, repeated, late.
    Track {
        /// The shipment's number.
        shipment: u32,
        /// Normalised.
        status: ShipmentStatus,
        /// Where.
        place: Option<CompactString>,
        /// Why, for exceptions.
        reason: Option<CompactString>,
        /// Who signed; goes to the personal record.
        signature: Option<String>,
    },
    /// The customer wants to send items back.
    RequestReturn {
        /// What.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: CompactString,
    },
    /// Items came back.
    ReceiveReturn {
        /// The return's number.
        number: u32,
        /// Where.
        location: LocationId,
        /// What came; empty: all that was announced, to be restocked.
        items: Vec<(LineQuantity, Disposition)>,
    },
    /// The location has put returned items on the shelf.
    RestockConfirmed {
        /// The return's number.
        number: u32,
    },
    /// The personal record is erased; history stays.
    ErasePersonalData,
    /// A timer of [`crate::entity::Entity::wakeup`] is due.
    Wake {
        /// The moment.
        now: Timestamp,
    },
    /// The answer to [`super::OrderEffect::Source`], with what a rule says about units that nobody has.
    AssignByRule {
        /// The round that asked; another round's answer changes nothing.
        round: u32,
        /// Who is asked; `None` where nobody is asked any more: all that has no location is short.
        plan: Option<Plan>,
        /// What becomes of what is short.
        rule: Box<ShortageRule>,
    },
    /// A parked order is to be sourced again. One that is not parked stays as it is.
    ReleaseParking,
    /// As `Place`, of an order for which locations keep units already.
    PlaceReserved {
        /// What was ordered.
        header: Box<Header>,
        /// At least one, at most `ORDER_LINES_MAX`.
        lines: Vec<NewLine>,
        /// Kept apart from events.
        personal: Box<PersonalData>,
        /// The reservation that the order names.
        reservation: ReservationId,
        /// What locations keep for it.
        held: Vec<Assignment>,
        /// The first sourcing decision about the rest; none when there is none. Boxed, so that other
        /// commands are no larger for it.
        plan: Option<Box<Plan>>,
    },
    /// A parked order is to be sourced again, by this plan, which was found together with those of
    /// other parked orders. One that is not parked stays as it is.
    ReleaseParkingWith {
        /// Who is asked.
        plan: Box<Plan>,
        /// What becomes of what is short.
        rule: Box<ShortageRule>,
    },
}

/// What a caller hears once a command is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReply {
    /// The order's version after the command.
    pub version: u64,
    /// What the command made: a hold's, return's or shipment's number; package numbers; else empty.
    pub numbers: Vec<u32>,
    /// Whether the command changed anything.
    pub changed: bool,
}

/// Why an order refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OrderRejection {
    /// No such order.
    #[error("there is no such order")]
    Unknown,
    /// It exists already and was placed by another command.
    #[error("the order exists already")]
    Exists,
    /// A field is wrong. `pointer` is a JSON pointer into the request's order.
    #[error("{code} at {pointer}")]
    Invalid {
        /// Where, e.g. `/lines/3/quantity`.
        pointer: CompactString,
        /// What, e.g. `out_of_range`.
        code: CompactString,
    },
    /// No such line, fulfillment order, package, hold, shipment or return.
    #[error("there is no {kind} {name} in this order")]
    NotFound {
        /// Which kind of thing.
        kind: CompactString,
        /// Which one.
        name: CompactString,
    },
    /// It was possible once.
    #[error("too late: {what} {state}")]
    TooLate {
        /// What was to be changed.
        what: CompactString,
        /// What has happened to it.
        state: CompactString,
    },
    /// Not in this state.
    #[error("{command} is not allowed while {what} is {state}")]
    WrongState {
        /// The command's name.
        command: CompactString,
        /// What is in the wrong state.
        what: CompactString,
        /// The state it is in.
        state: CompactString,
    },
    /// More than there is.
    #[error("only {available} of {asked} units of line {line} are {state}")]
    NotEnough {
        /// The line's own id.
        line: LineId,
        /// Units asked for.
        asked: u32,
        /// Units there are.
        available: u32,
        /// The state that the units would have to be in.
        state: CompactString,
    },
    /// A hold forbids it.
    #[error("hold {hold} ({reason:?}) forbids it")]
    Held {
        /// The hold's number.
        hold: u32,
        /// Its reason.
        reason: HoldReason,
    },
}
