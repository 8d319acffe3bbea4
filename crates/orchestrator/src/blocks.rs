//! SKUs that locations are not asked for: set from outside, by what staff tell orders, and seen by
//! sourcing as nothing there.

use compact_str::ToCompactString;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::location::blocks::BLOCKED_MILLIS;
use consign_domain::location::{Location, LocationCommand, LocationEvent, SkuBlock};
use consign_domain::order::{Fulfilment, Order};
use consign_domain::time::Timestamp;
use consign_runtime::{Peer, Wait};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::{Consign, Views};

/// The reason of a rejection by which staff say that they have none.
const OUT_OF_STOCK: &str = "out_of_stock";

impl Consign {
    /// Grants a SKU at a location no more until a moment; with `None`, again. Gives whether this is the
    /// answer of an earlier, equal command.
    ///
    /// # Errors
    /// `NotFound` for an unknown location or product, or what is wrong with the moment.
    pub async fn set_block(
        &self,
        location: LocationId,
        sku: Sku,
        until: Option<Timestamp>,
        call: CallMeta,
    ) -> Result<bool, ServiceError> {
        let catalogue = self.inner.catalogue.load_full();
        let not_found = |kind: &str, name: &str| ServiceError::NotFound {
            kind: kind.into(),
            name: name.to_compact_string(),
        };
        if catalogue.location(&location).is_none() {
            return Err(not_found("location", location.as_str()));
        }
        if catalogue.product(&sku).is_none() {
            return Err(not_found("product", sku.as_str()));
        }
        if let Some(key) = call.key {
            self.inner.locations.claim(key, location.clone())?;
        }
        let command = LocationCommand::SetBlock { sku, until };
        let call = call.into_call(Wait::Durable);
        let asked = self.inner.locations.ask(location, command, call).await?;
        Ok(asked.replayed)
    }

    /// SKUs that are blocked at a location after one, in byte order.
    ///
    /// # Errors
    /// `NotFound` for an unknown location.
    pub fn blocks(
        &self,
        id: &LocationId,
        after: Option<&Sku>,
        limit: usize,
    ) -> Result<Vec<(Sku, SkuBlock)>, ServiceError> {
        if self.inner.catalogue.load().location(id).is_none() {
            return Err(ServiceError::NotFound {
                kind: "location".into(),
                name: id.as_str().to_compact_string(),
            });
        }
        let Some(location) = self.inner.locations.read(id)? else {
            return Ok(Vec::new());
        };
        let blocks = location.blocks_after(after).take(limit);
        Ok(blocks.map(|(sku, block)| (sku.clone(), *block)).collect())
    }
}

impl Views {
    /// Takes into the availability view that a SKU is blocked, or no longer is.
    pub(crate) fn note_block(&self, ordinal: u32, location: &Location, event: &LocationEvent) {
        let sku = match event {
            LocationEvent::SkuBlocked { sku, .. } => sku,
            LocationEvent::SkuUnblocked { sku } => {
                self.replenisher.risen(sku.clone());
                sku
            }
            _ => return,
        };
        self.availability.set(sku, ordinal, location.grantable(sku));
    }

    /// Tells a location that its staff have none of what they rejected. A hint: the order itself
    /// asks elsewhere whether or not it arrives.
    pub(crate) fn note_rejection(&self, order: &Order, fulfillment_order: u32, reason: &str) {
        if reason != OUT_OF_STOCK {
            return;
        }
        let Some(rejected) = order.fulfillment_order(fulfillment_order) else {
            return;
        };
        let mut skus: Vec<Sku> = Vec::new();
        for line in &rejected.lines {
            let of = order.lines.get(line.line as usize);
            if let Some(Fulfilment::Physical(parts)) = of.map(|line| &line.fulfilment) {
                skus.extend(parts.iter().map(|(sku, _)| sku.clone()));
            }
        }
        skus.sort_unstable();
        skus.dedup();
        // The same moment on every node, so that all of them tell the same.
        let until = order.recorded_at.plus_millis(BLOCKED_MILLIS);
        let command = LocationCommand::SkusRefused { skus, until };
        let locations = &self.hosts().locations;
        locations.tell(rejected.location.clone(), command, Peer::nobody());
    }
}
