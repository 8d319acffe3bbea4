//! The service: the four kinds of entities on one node, and the views that answer without them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use consign_domain::carrier::Carrier;
use consign_domain::catalogue::{Catalogue, CatalogueId};
use consign_domain::entity::Entity;
use consign_domain::location::Location;
use consign_domain::order::Order;
use consign_runtime::{Call, Health, Host, Node, NodeOptions, WAITING_PER_PERMIT_MAX, Wait};

use crate::behaviour::{CarrierBehaviour, CatalogueBehaviour, LocationBehaviour, OrderBehaviour};
use crate::error::ServiceError;
use crate::external::ExternalIds;
use crate::options::{CallMeta, ConsignOptions};
use crate::replenish::Replenisher;
use crate::sourcing::Atlas;
use crate::view::AvailabilityView;

/// Whether work may be sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// No, and why.
    NotReady {
        /// For people.
        reason: String,
    },
}

/// The service; cheap to clone.
#[derive(Clone)]
pub struct Consign {
    pub(crate) inner: Arc<Inner>,
}

/// What every part of the service shares.
pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) orders: Host<Order>,
    pub(crate) locations: Host<Location>,
    pub(crate) carriers: Host<Carrier>,
    pub(crate) definitions: Host<Catalogue>,
    pub(crate) external: ExternalIds,
    pub(crate) views: Arc<Views>,
    pub(crate) catalogue: Arc<ArcSwap<Catalogue>>,
}

/// What is derived from committed entities, and read without them.
pub(crate) struct Views {
    pub(crate) catalogue: Arc<ArcSwap<Catalogue>>,
    pub(crate) atlas: ArcSwap<Atlas>,
    pub(crate) availability: AvailabilityView,
    pub(crate) replenisher: Replenisher,
    /// Set once, when the hosts exist: behaviours need them, and they need behaviours.
    pub(crate) hosts: OnceLock<Hosts>,
}

/// The hosts, for behaviours.
pub(crate) struct Hosts {
    pub(crate) node: Node,
    pub(crate) orders: Host<Order>,
    pub(crate) locations: Host<Location>,
    pub(crate) carriers: Host<Carrier>,
}

impl Views {
    pub(crate) fn hosts(&self) -> &Hosts {
        self.hosts
            .get()
            .expect("hosts are set before any entity wakes")
    }

    /// Builds the availability view from what all locations have, as after a restart.
    fn fill_availability(&self) -> Result<(), ServiceError> {
        for definition in self.catalogue.load().locations() {
            if let Some(location) = self.hosts().locations.read(&definition.id)? {
                for (sku, balance) in location.balances() {
                    self.availability
                        .set(sku, definition.ordinal, balance.available());
                }
            }
        }
        Ok(())
    }
}

impl Consign {
    /// Opens or makes the data directory and recovers what it holds. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be opened, is damaged, or is of another format.
    pub async fn open(options: ConsignOptions) -> Result<Consign, ServiceError> {
        let mut builder = Node::builder(node_options(&options)).map_err(ServiceError::storage)?;
        let catalogue = Arc::new(ArcSwap::from_pointee(Catalogue::empty(CatalogueId)));
        let views = Arc::new(Views {
            catalogue: Arc::clone(&catalogue),
            atlas: ArcSwap::from_pointee(Atlas::default()),
            availability: AvailabilityView::default(),
            replenisher: Replenisher::default(),
            hosts: OnceLock::new(),
        });
        let definitions = builder.host(Arc::new(CatalogueBehaviour(Arc::clone(&views))));
        let locations = builder.host(Arc::new(LocationBehaviour(Arc::clone(&views))));
        let carriers = builder.host(Arc::new(CarrierBehaviour(Arc::clone(&views))));
        let orders = builder.host(Arc::new(OrderBehaviour(Arc::clone(&views))));
        let hosts = Hosts {
            node: builder.node(),
            orders: orders.clone(),
            locations: locations.clone(),
            carriers: carriers.clone(),
        };
        assert!(views.hosts.set(hosts).is_ok(), "hosts are set once");
        let node = builder.start().await.map_err(ServiceError::storage)?;
        views.fill_availability()?;
        views.replenisher.start(Arc::downgrade(&views));
        let external = ExternalIds::default();
        let inner = Inner {
            node,
            orders,
            locations,
            carriers,
            definitions,
            external,
            views,
            catalogue,
        };
        Ok(Consign {
            inner: Arc::new(inner),
        })
    }

    /// Takes no more work, waits for what is in flight, writes a last checkpoint.
    pub async fn shutdown(&self) {
        self.inner.node.shutdown().await;
    }

    /// Whether work may be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.inner.node.health() {
            Health::Serving => Readiness::Ready,
            Health::Stopped { reason } => Readiness::NotReady { reason },
            other => Readiness::NotReady {
                reason: format!("{other:?}"),
            },
        }
    }

    /// Changes whenever something was committed.
    #[must_use]
    pub fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.node.commits()
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn checkpoint(&self) -> Result<(), ServiceError> {
        self.inner
            .node
            .checkpoint_now()
            .await
            .map_err(ServiceError::storage)
    }

    /// Writes a consistent copy of everything durable into `target`, while work goes on.
    ///
    /// # Errors
    /// When `target` is not empty or cannot be written.
    pub async fn backup(&self, target: &Path) -> Result<(), ServiceError> {
        self.inner
            .node
            .backup(target)
            .await
            .map_err(ServiceError::storage)
    }
}

fn node_options(options: &ConsignOptions) -> NodeOptions {
    NodeOptions {
        partitions: options.partitions,
        permits: options.permits,
        waiting_max: WAITING_PER_PERMIT_MAX.saturating_mul(options.permits),
        journal_bytes_max: options.journal_bytes_max,
        history_retention: options.history_retention,
        resident_max: options.resident_max,
        cache_bytes: options.cache_bytes,
        ..NodeOptions::new(options.data.clone())
    }
}

impl CallMeta {
    pub(crate) fn into_call(self, wait: Wait) -> Call {
        Call {
            by: self.by,
            occurred_at: self.occurred_at,
            key: self.key,
            wait,
            settle_timeout: self.settle_timeout,
            expected_version: self.expected_version,
            request_id: self.request_id,
        }
    }
}
