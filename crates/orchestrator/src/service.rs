//! The service: the five kinds of entities on one node, and the views that answer without them.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use consign_domain::carrier::Carrier;
use consign_domain::catalogue::{Catalogue, CatalogueId};
use consign_domain::entity::Entity;
use consign_domain::ids::LocationId;
use consign_domain::location::Location;
use consign_domain::order::Order;
use consign_domain::reservation::Reservation;
use consign_runtime::{
    Call, GroupStatus, Health, Host, Node, NodeOptions, ReadError, ReplicaOptions, Threads,
    WAITING_PER_PERMIT_MAX, Wait,
};
use tokio::sync::Notify;

use crate::atlas::Atlas;
use crate::behaviour::{CarrierBehaviour, CatalogueBehaviour, LocationBehaviour, OrderBehaviour};
use crate::error::ServiceError;
use crate::external::ExternalIds;
use crate::incoming::IncomingView;
use crate::options::{CallMeta, ConsignOptions};
use crate::replenish::Replenisher;
use crate::reservation_behaviour::ReservationBehaviour;
use crate::rooms::Rooms;
use crate::trials;
use crate::trying::Shadow;
use crate::view::AvailabilityView;

/// How long a read tries to learn what others have acknowledged.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Whether work may be sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// No, and never again: why.
    Stopped {
        /// For people.
        reason: String,
    },
    /// Not in this cluster, and why: others serve.
    TakenOut {
        /// For people.
        reason: String,
    },
    /// Not on this disk, and why: others serve.
    DiskUnknown {
        /// For people.
        reason: String,
    },
    /// Not now, and why.
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
    pub(crate) reservations: Host<Reservation>,
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
    pub(crate) incoming: IncomingView,
    pub(crate) rooms: Rooms,
    pub(crate) replenisher: Replenisher,
    /// Sourcing decisions made; looked up once.
    pub(crate) decisions: metrics::Counter,
    pub(crate) shadow: Shadow,
    /// That a trial may have begun.
    pub(crate) trial_news: Arc<Notify>,
    /// Set once, when the hosts exist: behaviours need them, and they need behaviours.
    pub(crate) hosts: OnceLock<Hosts>,
}

/// The hosts, for behaviours.
pub(crate) struct Hosts {
    pub(crate) node: Node,
    pub(crate) orders: Host<Order>,
    pub(crate) locations: Host<Location>,
    pub(crate) carriers: Host<Carrier>,
    pub(crate) reservations: Host<Reservation>,
}

impl Views {
    pub(crate) fn hosts(&self) -> &Hosts {
        self.hosts
            .get()
            .expect("hosts are set before any entity wakes")
    }

    /// Takes into the views what a location has, what it may take on, and what is to come there.
    pub(crate) fn fill_availability_of(&self, location: &Location) {
        if let Some(definition) = self.catalogue.load().location(location.id()) {
            for (sku, balance) in location.balances() {
                self.availability
                    .set(sku, definition.ordinal, balance.available());
            }
            self.incoming.replace(definition.ordinal, location);
            for (sku, _) in location.blocks_after(None) {
                self.availability
                    .set(sku, definition.ordinal, location.grantable(sku));
            }
            self.rooms.recovered(definition.ordinal, location);
        }
    }

    /// What a location has; none before there are hosts.
    pub(crate) fn stock_of(
        &self,
        id: &LocationId,
    ) -> Option<Result<Option<Arc<Location>>, ReadError>> {
        self.hosts.get().map(|hosts| hosts.locations.read(id))
    }
}

impl Consign {
    /// Opens or makes the data directory and recovers what it holds. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be opened, is damaged, or is of another format.
    pub async fn open(options: ConsignOptions) -> Result<Consign, ServiceError> {
        Consign::open_on(node_options(&options)).await
    }

    /// As [`Consign::open`], on a node that a simulation gives its own disk, clock and way to others.
    ///
    /// # Errors
    /// When the store cannot be opened, is damaged, or is of another format.
    pub async fn open_on(options: NodeOptions) -> Result<Consign, ServiceError> {
        let mut builder = Node::builder(options).map_err(ServiceError::storage)?;
        let catalogue = Arc::new(ArcSwap::from_pointee(Catalogue::empty(CatalogueId)));
        let (shadow, shadow_task) = Shadow::new();
        let views = Arc::new(Views {
            catalogue: Arc::clone(&catalogue),
            atlas: ArcSwap::from_pointee(Atlas::default()),
            availability: AvailabilityView::default(),
            incoming: IncomingView::default(),
            rooms: Rooms::default(),
            replenisher: Replenisher::default(),
            decisions: metrics::counter!("consign_sourcing_decisions_total"),
            shadow,
            trial_news: Arc::default(),
            hosts: OnceLock::new(),
        });
        let definitions = builder.host(Arc::new(CatalogueBehaviour(Arc::clone(&views))));
        let locations = builder.host(Arc::new(LocationBehaviour(Arc::clone(&views))));
        let carriers = builder.host(Arc::new(CarrierBehaviour(Arc::clone(&views))));
        let orders = builder.host(Arc::new(OrderBehaviour(Arc::clone(&views))));
        let reservations = builder.host(Arc::new(ReservationBehaviour(Arc::clone(&views))));
        let hosts = Hosts {
            node: builder.node(),
            orders: orders.clone(),
            locations: locations.clone(),
            carriers: carriers.clone(),
            reservations: reservations.clone(),
        };
        assert!(views.hosts.set(hosts).is_ok(), "hosts are set once");
        let node = builder.start().await.map_err(ServiceError::storage)?;
        views.replenisher.start(Arc::downgrade(&views));
        views.rooms.start(Arc::downgrade(&views));
        shadow_task.start();
        let external = ExternalIds::default();
        let inner = Inner {
            node,
            orders,
            locations,
            carriers,
            reservations,
            definitions,
            external,
            views,
            catalogue,
        };
        let consign = Consign {
            inner: Arc::new(inner),
        };
        trials::guard(&consign.inner);
        let answers = Arc::downgrade(&consign.inner);
        consign.inner.node.on_service(move |question| {
            let answers = answers.clone();
            Box::pin(async move {
                match answers.upgrade() {
                    Some(inner) => Consign { inner }.answer_forwarded(question).await,
                    None => bytes::Bytes::new(),
                }
            })
        });
        Ok(consign)
    }

    /// Takes no more work, waits for what is in flight, writes a last checkpoint.
    pub async fn shutdown(&self) {
        self.inner.node.shutdown().await;
    }

    /// Whether work may be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let health = self.inner.node.health();
        if let Err(error) = self.ensure_in()
            && !matches!(health, Health::Stopped { .. })
        {
            let reason = error.to_string();
            return match error {
                ServiceError::DiskUnknown { .. } => Readiness::DiskUnknown { reason },
                _ => Readiness::TakenOut { reason },
            };
        }
        match health {
            Health::Stopped { reason } => Readiness::Stopped { reason },
            Health::Serving => match self.inner.node.out_of_touch() {
                None => Readiness::Ready,
                Some(reason) => Readiness::NotReady { reason },
            },
            other => Readiness::NotReady {
                reason: format!("{other:?}"),
            },
        }
    }

    /// The node below, for what carries its words to other nodes.
    #[must_use]
    pub fn node(&self) -> Node {
        self.inner.node.clone()
    }

    /// Whether slow work has threads of its own.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.inner.node.threads()
    }

    /// Whether this node is a cluster of its own.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.inner.node.is_alone()
    }

    /// This node's number, and how all partitions stand.
    #[must_use]
    pub fn replicas(&self) -> (u64, Vec<GroupStatus>) {
        self.inner.node.replicas()
    }

    /// Waits until everything that any node has acknowledged before this call can be read here.
    ///
    /// # Errors
    /// `Unreachable` when a partition has no leader that answers in time; `TakenOut` or `DiskUnknown` at once.
    pub async fn read(&self) -> Result<(), ServiceError> {
        Ok(self.inner.node.read(READ_WITHIN).await?)
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

    /// Writes a copy of everything durable here into `target`, while work goes on. What any node has
    /// acknowledged before this call is in it.
    ///
    /// # Errors
    /// `Unreachable` when a partition has no leader that answers in time, so that this node may lack
    /// something; or when `target` is not empty or cannot be written.
    pub async fn backup(&self, target: &Path) -> Result<(), ServiceError> {
        self.read().await?;
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
        replicas: match &options.cluster {
            Some(cluster) => cluster.replicas.clone(),
            None => ReplicaOptions::alone(),
        },
        remote: options
            .cluster
            .as_ref()
            .map(|cluster| Arc::clone(&cluster.remote)),
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
            id_is_drawn: false,
        }
    }
}
