//! What every handler shares: the service, the options, the bounds.

use std::sync::{Arc, Weak};
use std::time::Duration;

use consign_orchestrator::Consign;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::limits::{self, Bound};

/// How the edge behaves.
#[derive(Clone)]
pub struct GatewayOptions {
    /// How long a request may take until its response's head.
    pub request_timeout: Duration,
    /// How long an order's caller waits for the outcome before it hears 202.
    pub settle_timeout: Duration,
    /// Requests under way at once.
    pub requests_in_flight_max: usize,
    /// Lines of one batch that are worked on at once.
    pub batch_lines_in_flight_max: usize,
    /// Where metrics are gathered; `/metrics` shows the process's own figures even without.
    pub metrics: Option<PrometheusHandle>,
    /// Where this node's cluster is changed, when that is not the public port.
    pub admin_port: Option<u16>,
}

impl Default for GatewayOptions {
    fn default() -> GatewayOptions {
        GatewayOptions {
            request_timeout: limits::REQUEST_TIMEOUT,
            settle_timeout: limits::SETTLE_TIMEOUT,
            requests_in_flight_max: limits::REQUESTS_IN_FLIGHT_MAX,
            batch_lines_in_flight_max: limits::BATCH_LINES_IN_FLIGHT_MAX,
            metrics: None,
            admin_port: None,
        }
    }
}

/// The handlers' state; cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

/// What stands behind a [`Gateway`].
pub struct Shared {
    /// The service.
    pub consign: Consign,
    /// How the edge behaves.
    pub options: GatewayOptions,
    /// Bytes of bodies held.
    pub bodies: Bound,
    /// Batches that run.
    pub batches: Bound,
    /// Event streams that are open.
    pub event_streams: Bound,
}

impl Gateway {
    /// The state for a service.
    #[must_use]
    pub fn new(consign: Consign, options: GatewayOptions) -> Gateway {
        Gateway(Arc::new(Shared {
            consign,
            options,
            bodies: Bound::new("bytes of request bodies", limits::BODIES_BYTES_MAX),
            batches: Bound::new("batches", limits::BATCHES_MAX),
            event_streams: Bound::new("event streams", limits::EVENT_STREAMS_MAX),
        }))
    }
}

impl Gateway {
    /// A look at the state that does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.0)
    }
}

impl std::ops::Deref for Gateway {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
