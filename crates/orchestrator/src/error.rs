//! Why the service did not do what it was asked, in the gateway's terms.

use std::fmt::{Debug, Display};

use compact_str::{CompactString, ToCompactString, format_compact};
use consign_domain::carrier::CarrierRejection;
use consign_domain::catalogue::CatalogueRejection;
use consign_domain::ids::OrderId;
use consign_domain::location::LocationRejection;
use consign_domain::order::OrderRejection;
use consign_domain::reservation::ReservationRejection;
use serde::{Deserialize, Serialize};

use consign_runtime::{AskError, Busy, KeyReused, ReadError};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum ServiceError {
    /// The order refuses.
    #[error(transparent)]
    Order(#[from] OrderRejection),
    /// The location refuses.
    #[error(transparent)]
    Location(#[from] LocationRejection),
    /// The catalogue refuses.
    #[error(transparent)]
    Catalogue(#[from] CatalogueRejection),
    /// The carrier refuses.
    #[error(transparent)]
    Carrier(#[from] CarrierRejection),
    /// No such thing.
    #[error("there is no {kind} {name}")]
    NotFound {
        /// Which kind of thing: `order`, `location`, `product`, `carrier`, `return`, ….
        kind: CompactString,
        /// Which one.
        name: CompactString,
    },
    /// The channel's own name for the order is in use.
    #[error("external_id {external_id} of channel {channel} names order {order}")]
    ExternalIdTaken {
        /// The channel.
        channel: CompactString,
        /// The name.
        external_id: CompactString,
        /// Who has it.
        order: OrderId,
    },
    /// The key came with another body, or for another thing.
    #[error("the idempotency key was used for another request (it concerned {entity})")]
    KeyReused {
        /// What it was used on, as text.
        entity: CompactString,
    },
    /// `If-Match` does not hold.
    #[error("the version is {current}")]
    VersionMismatch {
        /// The version that stands.
        current: u64,
    },
    /// Too much outside work is in flight; nothing was done.
    #[error("busy, retry after {retry_after_ms} ms")]
    Busy {
        /// When to come again.
        retry_after_ms: u64,
    },
    /// The entity was set aside after repeated panics; an operator must look.
    #[error("{entity} is quarantined")]
    Quarantined {
        /// Which.
        entity: CompactString,
    },
    /// A command panicked; it changed nothing.
    #[error("the command failed inside; it changed nothing")]
    Panicked,
    /// The outcome is not known: retry with the same key.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        reason: CompactString,
    },
    /// A part of the cluster cannot be asked; nothing was done.
    #[error("a part of the cluster cannot be asked now: {reason}")]
    Unreachable {
        /// Why.
        reason: CompactString,
    },
    /// The cluster cannot take that shape.
    #[error("the cluster cannot do that: {reason}")]
    ClusterRefused {
        /// Why.
        reason: CompactString,
    },
    /// The node has stopped serving (e.g. its disk failed).
    #[error("the node has stopped serving: {reason}")]
    Stopped {
        /// Why.
        reason: CompactString,
    },
    /// The node is not in the cluster any more, or not in all of it; nothing was done, and others serve.
    #[error("{reason}")]
    TakenOut {
        /// Of what.
        reason: CompactString,
    },
    /// The cursor points before what is kept.
    #[error("the cursor has expired")]
    CursorExpired,
    /// The cursor is not one of ours.
    #[error("the cursor is not valid")]
    CursorInvalid,
    /// A stored record could not be read.
    #[error("storage: {0}")]
    Storage(CompactString),
    /// The node stands on another disk than the others know it by; nothing was done, and others serve.
    /// No other node hears this: one of the release before could not read it.
    #[error("{reason}")]
    DiskUnknown {
        /// In full.
        reason: CompactString,
    },
    /// A sourcing strategy cannot decide.
    #[error("{place}: {reason}")]
    Strategy {
        /// Where, e.g. `rules[0].filters.groups[1]`.
        place: CompactString,
        /// Why.
        reason: CompactString,
    },
    /// The reservation refuses.
    #[error(transparent)]
    Reservation(#[from] ReservationRejection),
}

impl ServiceError {
    /// The store's own words.
    pub(crate) fn storage(error: impl Display) -> ServiceError {
        ServiceError::Storage(error.to_compact_string())
    }

    /// An entity answered with something that does not belong to the question: a fault in Consign.
    pub(crate) fn strange(reply: &impl Debug) -> ServiceError {
        ServiceError::Unknown {
            reason: format_compact!("unexpected answer {reply:?}"),
        }
    }
}

impl From<KeyReused> for ServiceError {
    fn from(error: KeyReused) -> Self {
        ServiceError::KeyReused {
            entity: error.entity.to_compact_string(),
        }
    }
}

impl From<Busy> for ServiceError {
    fn from(error: Busy) -> Self {
        ServiceError::Busy {
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Expired => ServiceError::CursorExpired,
            other => ServiceError::storage(other),
        }
    }
}

impl<R> From<AskError<R>> for ServiceError
where
    R: std::error::Error + Into<ServiceError> + 'static,
{
    fn from(error: AskError<R>) -> Self {
        match error {
            AskError::Rejected(rejection) => rejection.into(),
            AskError::VersionMismatch { current } => ServiceError::VersionMismatch { current },
            AskError::KeyReused(reused) => reused.into(),
            AskError::Busy(busy) => busy.into(),
            AskError::Quarantined => ServiceError::Quarantined {
                entity: "the entity".into(),
            },
            AskError::Panicked => ServiceError::Panicked,
            AskError::Moved => ServiceError::Unknown {
                reason: "the entity moved to another node while it was asked".into(),
            },
            AskError::Stopped { reason } => ServiceError::Stopped { reason },
            AskError::Unavailable { reason } => ServiceError::Unknown { reason },
        }
    }
}
