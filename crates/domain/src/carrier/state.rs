//! What a carrier has issued and scanned, and how it decides.

use compact_str::CompactString;
use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::tracking_number::{SERIALS, issue};
use crate::catalogue::NoEffect;
use crate::entity::{Context, Decision, DecisionOf, Entity, Stamp};
use crate::ids::{CarrierId, ShipmentId, TrackingNumber};
use crate::order::ShipmentStatus;
use crate::time::Timestamp;

/// Shipments whose numbers are remembered, so that a repeated request gets the same one: far more
/// than can be waiting for an answer.
const ISSUED_MEMORY_MAX: usize = 4_096;
/// Scans that are remembered, so that a repeated one is not counted twice.
const SCANS_MEMORY_MAX: usize = 1_024;

/// What a carrier can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarrierCommand {
    /// A shipment needs a number; the same shipment gets the same one.
    IssueTrackingNumber {
        /// Which.
        shipment: ShipmentId,
        /// The service code, for the record.
        service: Option<CompactString>,
        /// The two letters of its definition.
        prefix: CompactString,
    },
    /// A parcel was scanned.
    Scan {
        /// Which.
        tracking_number: TrackingNumber,
        /// Normalised.
        status: ShipmentStatus,
        /// When.
        occurred_at: Timestamp,
    },
    /// Never sent: time alone does not matter to a carrier.
    Wake,
}

/// What happened to a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierEvent {
    /// A number was issued.
    TrackingNumberIssued {
        /// To whom.
        shipment: ShipmentId,
        /// The service code.
        service: Option<CompactString>,
        /// Counts the carrier's numbers, from 1.
        serial: u32,
        /// The number.
        tracking_number: TrackingNumber,
    },
    /// A parcel was scanned.
    Scanned {
        /// Which.
        tracking_number: TrackingNumber,
        /// Normalised.
        status: ShipmentStatus,
        /// When.
        occurred_at: Timestamp,
    },
}

/// What a carrier answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarrierReply {
    /// A shipment's number.
    Issued {
        /// Which shipment.
        shipment: ShipmentId,
        /// Its number.
        tracking_number: TrackingNumber,
    },
    /// It is done, or was done before.
    Done,
}

/// Why a carrier refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CarrierRejection {
    /// Every number under its two letters has been issued.
    #[error("all tracking numbers with this prefix are used up")]
    NumbersUsedUp,
    /// Numbers begin with two upper-case letters.
    #[error("a tracking prefix must be two upper-case letters")]
    InvalidPrefix,
}

/// What names a scan.
pub type ScanName = (TrackingNumber, ShipmentStatus, Timestamp);

/// A carrier. Changed by `apply` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    id: CarrierId,
    version: u64,
    recorded_at: Timestamp,
    serial: u32,
    scans: u64,
    issued: OrdMap<ShipmentId, TrackingNumber>,
    issued_order: Vector<ShipmentId>,
    recent_scans: Vector<ScanName>,
}

impl Carrier {
    /// Numbers issued so far.
    #[must_use]
    pub fn issued(&self) -> u32 {
        self.serial
    }

    /// Scans counted so far.
    #[must_use]
    pub fn scans(&self) -> u64 {
        self.scans
    }
}

impl Entity for Carrier {
    const KIND: &'static str = "carrier";
    const KIND_CODE: u8 = 3;

    type Id = CarrierId;
    type Command = CarrierCommand;
    type Event = CarrierEvent;
    type Private = ();
    type Effect = NoEffect;
    type Reply = CarrierReply;
    type Rejection = CarrierRejection;
    type PartKey = ();
    type Part = Carrier;

    fn empty(id: CarrierId) -> Self {
        Carrier {
            id,
            version: 0,
            recorded_at: Timestamp::ZERO,
            serial: 0,
            scans: 0,
            issued: OrdMap::new(),
            issued_order: Vector::new(),
            recent_scans: Vector::new(),
        }
    }

    fn id(&self) -> &CarrierId {
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
        command: &CarrierCommand,
        _: &Context,
    ) -> Result<DecisionOf<Self>, CarrierRejection> {
        let (events, reply) = match command {
            CarrierCommand::IssueTrackingNumber {
                shipment,
                service,
                prefix,
            } => {
                if let Some(known) = self.issued.get(shipment) {
                    let reply = CarrierReply::Issued {
                        shipment: shipment.clone(),
                        tracking_number: known.clone(),
                    };
                    return Ok(Decision {
                        events: Vec::new(),
                        private: None,
                        reply,
                    });
                }
                if prefix.len() != 2 || !prefix.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    return Err(CarrierRejection::InvalidPrefix);
                }
                let serial = self.serial + 1;
                if serial >= SERIALS {
                    return Err(CarrierRejection::NumbersUsedUp);
                }
                let tracking_number = issue(prefix, serial);
                let event = CarrierEvent::TrackingNumberIssued {
                    shipment: shipment.clone(),
                    service: service.clone(),
                    serial,
                    tracking_number: tracking_number.clone(),
                };
                (
                    vec![event],
                    CarrierReply::Issued {
                        shipment: shipment.clone(),
                        tracking_number,
                    },
                )
            }
            CarrierCommand::Scan {
                tracking_number,
                status,
                occurred_at,
            } => {
                let name = (tracking_number.clone(), *status, *occurred_at);
                let event = CarrierEvent::Scanned {
                    tracking_number: tracking_number.clone(),
                    status: *status,
                    occurred_at: *occurred_at,
                };
                let new = !self.recent_scans.contains(&name);
                (
                    new.then_some(event).into_iter().collect(),
                    CarrierReply::Done,
                )
            }
            CarrierCommand::Wake => (Vec::new(), CarrierReply::Done),
        };
        Ok(Decision {
            events,
            private: None,
            reply,
        })
    }

    fn apply(&mut self, event: &CarrierEvent, stamp: &Stamp) {
        self.version += 1;
        self.recorded_at = stamp.recorded_at;
        match event {
            CarrierEvent::TrackingNumberIssued {
                shipment,
                serial,
                tracking_number,
                ..
            } => {
                self.serial = *serial;
                self.issued
                    .insert(shipment.clone(), tracking_number.clone());
                self.issued_order.push_back(shipment.clone());
                if self.issued_order.len() > ISSUED_MEMORY_MAX
                    && let Some(oldest) = self.issued_order.pop_front()
                {
                    self.issued.remove(&oldest);
                }
            }
            CarrierEvent::Scanned {
                tracking_number,
                status,
                occurred_at,
            } => {
                self.scans += 1;
                let name = (tracking_number.clone(), *status, *occurred_at);
                self.recent_scans.push_back(name);
                if self.recent_scans.len() > SCANS_MEMORY_MAX {
                    self.recent_scans.pop_front();
                }
            }
        }
    }

    fn apply_private(&mut self, (): &()) {}

    fn private(&self) -> Option<()> {
        None
    }

    fn pending(&self) -> Vec<NoEffect> {
        Vec::new()
    }

    fn wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn wake_command(_: Timestamp) -> CarrierCommand {
        CarrierCommand::Wake
    }

    fn touched_parts(_: &CarrierEvent, parts: &mut Vec<()>) {
        parts.push(());
    }

    fn part(&self, (): &()) -> Option<Cow<'_, Carrier>> {
        (self.version > 0).then_some(Cow::Borrowed(self))
    }

    fn assemble(id: CarrierId, parts: Vec<((), Carrier)>) -> Self {
        let last = parts.into_iter().next_back();
        last.map_or_else(|| Carrier::empty(id), |((), carrier)| carrier)
    }
}
