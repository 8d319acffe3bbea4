//! Shipments by tracking number, and what carriers report about them.

use std::sync::Arc;

use compact_str::CompactString;
use consign_domain::carrier::CarrierCommand;
use consign_domain::ids::TrackingNumber;
use consign_domain::order::{Order, OrderCommand, ShipmentStatus};
use consign_runtime::Peer;

use crate::error::ServiceError;
use crate::index;
use crate::options::CallMeta;
use crate::orders::OrderOutcome;
use crate::service::Consign;

/// A shipment and its order.
#[derive(Clone, Debug)]
pub struct TrackedShipment {
    /// The order.
    pub order: Arc<Order>,
    /// The shipment's number.
    pub shipment: u32,
}

/// What a carrier reports.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Normalised.
    pub status: ShipmentStatus,
    /// Where.
    pub place: Option<CompactString>,
    /// Why, for exceptions.
    pub reason: Option<CompactString>,
    /// Who signed.
    pub signature: Option<String>,
}

impl Consign {
    /// The shipment with a tracking number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tracked(
        &self,
        number: &TrackingNumber,
    ) -> Result<Option<TrackedShipment>, ServiceError> {
        let Some(row) = self.inner.node.index_get(&index::tracking_key(number))? else {
            return Ok(None);
        };
        let shipment = row
            .value
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes));
        let (Some(id), Some(shipment)) = (row.owner.id_as::<Order>(), shipment) else {
            return Ok(None);
        };
        Ok(self
            .order(&id)?
            .map(|order| TrackedShipment { order, shipment }))
    }

    /// Takes a scan in: first the order, whose word counts, then the carrier, which counts scans.
    ///
    /// # Errors
    /// `NotFound` for an unknown number, else what the order says.
    pub async fn track(
        &self,
        number: &TrackingNumber,
        scan: Scan,
        call: CallMeta,
    ) -> Result<OrderOutcome, ServiceError> {
        let unknown = || ServiceError::NotFound {
            kind: "shipment".into(),
            name: number.as_str().into(),
        };
        let tracked = self.tracked(number)?.ok_or_else(unknown)?;
        let occurred_at = call.occurred_at.unwrap_or_else(|| self.inner.node.now());
        let command = OrderCommand::Track {
            shipment: tracked.shipment,
            status: scan.status,
            place: scan.place,
            reason: scan.reason,
            signature: scan.signature,
        };
        let outcome = self.command(&tracked.order.id, command, call).await?;
        let shipments = &tracked.order.shipments;
        let carrier = shipments
            .iter()
            .find(|shipment| shipment.number == tracked.shipment)
            .and_then(|shipment| shipment.carrier.clone());
        if let Some(carrier) = carrier
            && outcome.reply.changed
        {
            let command = CarrierCommand::Scan {
                tracking_number: number.clone(),
                status: scan.status,
                occurred_at,
            };
            self.inner.carriers.tell(carrier, command, Peer::nobody());
        }
        Ok(outcome)
    }
}
