//! What a location takes on at most: set from outside, and shown with what is left.

use compact_str::ToCompactString;
use consign_domain::ids::LocationId;
use consign_domain::location::{Capacity, CapacityLimits, LocationCommand, LocationReply};
use consign_domain::time::Timestamp;
use consign_runtime::{Asked, Wait};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::Consign;

/// What a location takes on, at a moment.
#[derive(Clone, Debug)]
pub struct CapacityAt {
    /// The limits and what has been taken on; `None` where nothing was ever limited, nor counted.
    pub capacity: Option<Capacity>,
    /// The moment.
    pub at: Timestamp,
    /// The location's version.
    pub version: u64,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
}

impl Consign {
    /// Limits what a location takes on from now on; what it has taken on stays.
    ///
    /// # Errors
    /// `NotFound` for an unknown location, `VersionMismatch`, or what is wrong with a limit.
    pub async fn set_capacity(
        &self,
        location: LocationId,
        limits: CapacityLimits,
        call: CallMeta,
    ) -> Result<CapacityAt, ServiceError> {
        self.is_location(&location)?;
        if let Some(key) = call.key {
            self.inner.locations.claim(key, location.clone())?;
        }
        let command = LocationCommand::SetCapacity { limits };
        let call = call.into_call(Wait::Durable);
        let Asked {
            reply, replayed, ..
        } = self.inner.locations.ask(location, command, call).await?;
        match reply {
            LocationReply::CapacitySet {
                capacity,
                at,
                version,
            } => Ok(CapacityAt {
                capacity,
                at,
                version,
                replayed,
            }),
            other => Err(ServiceError::strange(&other)),
        }
    }

    /// What a location takes on now.
    ///
    /// # Errors
    /// `NotFound` for an unknown location.
    pub fn capacity(&self, location: &LocationId) -> Result<CapacityAt, ServiceError> {
        self.is_location(location)?;
        let known = self.inner.locations.read(location)?;
        let known = known.as_deref();
        Ok(CapacityAt {
            capacity: known.and_then(|location| location.capacity().copied()),
            at: self.inner.node.now(),
            version: known.map_or(0, consign_domain::entity::Entity::version),
            replayed: false,
        })
    }

    fn is_location(&self, id: &LocationId) -> Result<(), ServiceError> {
        match self.inner.catalogue.load().location(id) {
            Some(_) => Ok(()),
            None => Err(ServiceError::NotFound {
                kind: "location".into(),
                name: id.as_str().to_compact_string(),
            }),
        }
    }
}
