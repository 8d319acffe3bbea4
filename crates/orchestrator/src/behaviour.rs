//! Which effect goes to whom, and whose answer means what to its asker.
//!
//! In: effects and replies of committed batches. Out: messages to other entities, and the views
//! brought up to date. Nothing here waits; a lost message is sent again because its effect is
//! still pending.

use std::sync::Arc;

use compact_str::CompactString;
use consign_domain::carrier::{Carrier, CarrierCommand, CarrierRejection, CarrierReply};
use consign_domain::catalogue::{Catalogue, CatalogueRejection, CatalogueReply};
use consign_domain::entity::Entity;
use consign_domain::ids::{CarrierId, LocationId, OrderId, ReservationId, ReturnId};
use consign_domain::location::{
    Location, LocationCommand, LocationEffect, LocationEvent, LocationRejection, LocationReply,
    Request,
};
use consign_domain::order::{
    Order, OrderCommand, OrderEffect, OrderEvent, OrderRejection, OrderReply,
};
use consign_runtime::{Behaviour, Peer, TellError};
use serde::{Deserialize, Serialize};

use crate::atlas::Atlas;
use crate::index;
use crate::reservation_behaviour::Question;
use crate::service::Views;

/// Who asked, as told to the one who answers. Carried inside [`Peer`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Asker {
    /// An order about its attempts.
    Order(OrderId),
    /// An order about a return's items.
    OrderReturn(OrderId, u32),
    /// An order about a shipment's tracking number.
    OrderShipment(OrderId, u32),
    /// A location about a transfer that it sent.
    Transfer(LocationId, u64),
    /// A location about units that it took away.
    Displacement(LocationId, consign_domain::ids::AttemptId, u32),
    /// A reservation about one of its holds.
    Reservation(ReservationId, u32, Question),
}

/// Who asked, on another node.
pub(crate) fn asker(tag: &[u8]) -> Option<Peer> {
    let asker: Asker = consign_runtime::decode(tag).ok()?;
    Some(Peer::new(asker))
}

/// Orders: asks locations, carriers and sourcing.
pub(crate) struct OrderBehaviour(pub(crate) Arc<Views>);

impl Behaviour<Order> for OrderBehaviour {
    fn perform(&self, id: &OrderId, effects: Vec<OrderEffect>) {
        let hosts = self.0.hosts();
        let mut requests: Vec<(LocationId, Vec<Request>)> = Vec::new();
        for effect in effects {
            match effect {
                OrderEffect::Ask { location, request } => {
                    match requests.iter_mut().find(|(known, _)| *known == location) {
                        Some((_, all)) => all.push(request),
                        None => requests.push((location, vec![request])),
                    }
                }
                OrderEffect::Source {
                    round,
                    units,
                    excluded,
                    gives_up,
                } => {
                    let Ok(Some(order)) = hosts.orders.read(id) else {
                        continue;
                    };
                    let (plan, rule) = self.0.plan(&order, &units, &excluded, gives_up);
                    let command = match rule {
                        None => OrderCommand::Assign { round, plan },
                        Some(rule) => OrderCommand::AssignByRule {
                            round,
                            plan: (!gives_up).then_some(plan),
                            rule: Box::new(rule),
                        },
                    };
                    hosts.orders.tell(id.clone(), command, Peer::nobody());
                }
                OrderEffect::IssueTrackingNumber {
                    carrier,
                    shipment,
                    service,
                } => {
                    self.ask_carrier(id, carrier, shipment, service);
                }
                OrderEffect::Restock {
                    location,
                    number,
                    items,
                } => {
                    let return_id = ReturnId {
                        order: id.clone(),
                        number,
                    };
                    let command = LocationCommand::Restock { return_id, items };
                    let peer = Peer::new(Asker::OrderReturn(id.clone(), number));
                    hosts.locations.tell(location, command, peer);
                }
            }
        }
        for (location, requests) in requests {
            let command = LocationCommand::Serve {
                order: id.clone(),
                requests,
            };
            hosts
                .locations
                .tell(location, command, Peer::new(Asker::Order(id.clone())));
        }
    }

    fn answered(
        &self,
        id: &OrderId,
        to: Vec<(Peer, Result<OrderReply, TellError<OrderRejection>>)>,
    ) {
        for (peer, result) in to {
            // A quarantined order answers with a refusal; the units it had are gone all the same.
            let heard = result.is_ok() || matches!(result, Err(TellError::Rejected(_)));
            if let Some(Asker::Displacement(location, attempt, units)) = peer.get::<Asker>()
                && heard
            {
                let command = LocationCommand::DisplacementConfirmed {
                    attempt: attempt.clone(),
                    units: *units,
                };
                tracing::debug!(order = %id, %location, "displacement confirmed");
                self.0
                    .hosts()
                    .locations
                    .tell(location.clone(), command, Peer::nobody());
            }
        }
    }

    fn committed(&self, order: &Arc<Order>, events: &[OrderEvent]) {
        for event in events {
            match event {
                OrderEvent::StaffAlerted { .. } => {
                    metrics::counter!("consign_alerts_total").increment(1);
                }
                OrderEvent::RestockRequested { .. } => {
                    metrics::counter!("consign_restock_requests_total").increment(1);
                }
                OrderEvent::FulfillmentOrderRejected {
                    fulfillment_order,
                    reason,
                } => self.0.note_rejection(order, *fulfillment_order, reason),
                _ => {}
            }
        }
    }

    fn peer(&self, tag: &[u8]) -> Option<Peer> {
        asker(tag)
    }

    fn index(&self, order: &Order) -> Vec<(Vec<u8>, Vec<u8>)> {
        index::rows(order)
    }
}

impl OrderBehaviour {
    fn ask_carrier(
        &self,
        id: &OrderId,
        carrier: CarrierId,
        shipment: consign_domain::ids::ShipmentId,
        service: Option<CompactString>,
    ) {
        let hosts = self.0.hosts();
        let number = shipment.number;
        let Some(definition) = self.0.catalogue.load().carrier(&carrier).cloned() else {
            let command = OrderCommand::TrackingNumberIssued {
                shipment: number,
                tracking_number: None,
            };
            hosts.orders.tell(id.clone(), command, Peer::nobody());
            return;
        };
        let command = CarrierCommand::IssueTrackingNumber {
            shipment,
            service,
            prefix: definition.tracking_prefix,
        };
        hosts.carriers.tell(
            carrier,
            command,
            Peer::new(Asker::OrderShipment(id.clone(), number)),
        );
    }
}

/// Locations: answer orders, tell them of displacements, send transfers, feed the availability view.
pub(crate) struct LocationBehaviour(pub(crate) Arc<Views>);

impl Behaviour<Location> for LocationBehaviour {
    fn perform(&self, id: &LocationId, effects: Vec<LocationEffect>) {
        let hosts = self.0.hosts();
        for effect in effects {
            match effect {
                LocationEffect::NotifyDisplaced { attempt, units } => {
                    let command = OrderCommand::Displaced {
                        location: id.clone(),
                        attempt: attempt.attempt,
                        units,
                    };
                    let order = attempt.order.clone();
                    let peer = Peer::new(Asker::Displacement(id.clone(), attempt, units));
                    hosts.orders.tell(order, command, peer);
                }
                LocationEffect::DeliverTransfer {
                    to,
                    number,
                    sku,
                    quantity,
                    reference,
                } => {
                    let command = LocationCommand::TransferIn {
                        from: id.clone(),
                        number,
                        sku,
                        quantity,
                        reference,
                    };
                    hosts.locations.tell(
                        to,
                        command,
                        Peer::new(Asker::Transfer(id.clone(), number)),
                    );
                }
            }
        }
    }

    fn answered(
        &self,
        id: &LocationId,
        to: Vec<(Peer, Result<LocationReply, TellError<LocationRejection>>)>,
    ) {
        let hosts = self.0.hosts();
        for (peer, result) in to {
            let Some(asker) = peer.get::<Asker>() else {
                continue;
            };
            match (asker, result) {
                (Asker::Order(order), Ok(LocationReply::Answers(answers))) => {
                    if let Some(trying) = &self.0.atlas.load().trial {
                        trying.heard(order, &answers);
                    }
                    let command = OrderCommand::LocationAnswered {
                        location: id.clone(),
                        answers,
                    };
                    hosts.orders.tell(order.clone(), command, Peer::nobody());
                }
                (Asker::OrderReturn(order, number), Ok(_)) => {
                    let command = OrderCommand::RestockConfirmed { number: *number };
                    hosts.orders.tell(order.clone(), command, Peer::nobody());
                }
                (Asker::Transfer(from, number), Ok(_)) => {
                    let command = LocationCommand::TransferConfirmed {
                        to: id.clone(),
                        number: *number,
                    };
                    hosts.locations.tell(from.clone(), command, Peer::nobody());
                }
                (Asker::Reservation(reservation, hold, question), result) => {
                    self.0
                        .tell_reservation(id, (reservation, *hold, *question), result);
                }
                (asker, result) => {
                    // The asker's effect stays pending: it asks again, or gives up by its own timer.
                    tracing::warn!(location = %id, ?asker, ?result, "a request between entities was not served");
                }
            }
        }
    }

    fn committed(&self, state: &Arc<Location>, events: &[LocationEvent]) {
        let catalogue = self.0.catalogue.load();
        let Some(definition) = catalogue.location(state.id()) else {
            return;
        };
        self.0.rooms.set(definition.ordinal, state, events);
        for event in events {
            event.each_available_delta(|sku, delta| {
                if delta > 0 {
                    self.0.replenisher.risen(sku.clone());
                }
                let available = state.grantable(sku);
                self.0.availability.set(sku, definition.ordinal, available);
            });
            if let LocationEvent::Announced { sku, .. }
            | LocationEvent::AnnouncementEnded { sku, .. } = event
            {
                let announced = state.announced(sku);
                self.0.incoming.set(sku, definition.ordinal, announced);
            }
            self.0.note_block(definition.ordinal, state, event);
        }
    }

    fn peer(&self, tag: &[u8]) -> Option<Peer> {
        asker(tag)
    }

    fn recovered(&self, state: &Arc<Location>) {
        self.0.fill_availability_of(state);
    }

    fn index(&self, _: &Location) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn preload(&self) -> bool {
        true
    }
}

/// Carriers: answer orders that ask for tracking numbers.
pub(crate) struct CarrierBehaviour(pub(crate) Arc<Views>);

impl Behaviour<Carrier> for CarrierBehaviour {
    fn perform(&self, _: &CarrierId, effects: Vec<<Carrier as Entity>::Effect>) {
        drop(effects);
    }

    fn answered(
        &self,
        id: &CarrierId,
        to: Vec<(Peer, Result<CarrierReply, TellError<CarrierRejection>>)>,
    ) {
        for (peer, result) in to {
            let Some(Asker::OrderShipment(order, shipment)) = peer.get::<Asker>() else {
                continue;
            };
            let tracking_number = match result {
                Ok(CarrierReply::Issued {
                    tracking_number, ..
                }) => Some(tracking_number),
                other => {
                    tracing::warn!(carrier = %id, %order, ?other, "no tracking number");
                    None
                }
            };
            let command = OrderCommand::TrackingNumberIssued {
                shipment: *shipment,
                tracking_number,
            };
            self.0
                .hosts()
                .orders
                .tell(order.clone(), command, Peer::nobody());
        }
    }

    fn committed(&self, _: &Arc<Carrier>, _: &[<Carrier as Entity>::Event]) {}

    fn peer(&self, tag: &[u8]) -> Option<Peer> {
        asker(tag)
    }

    fn index(&self, _: &Carrier) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn preload(&self) -> bool {
        true
    }
}

/// The catalogue: every change becomes the copy that all reads use.
pub(crate) struct CatalogueBehaviour(pub(crate) Arc<Views>);

impl CatalogueBehaviour {
    fn publish(&self, state: &Arc<Catalogue>, concerns_sourcing: bool) {
        let before = self.0.catalogue.swap(Arc::clone(state));
        if concerns_sourcing {
            let trying = self.0.atlas.load().trial.clone();
            self.0
                .atlas
                .store(Arc::new(Atlas::of(state, trying.as_ref())));
            self.0.trial_news.notify_one();
            // Their stock may have been heard of before: the two come from different partitions.
            let new = |id: &&LocationId| before.location(id).is_none();
            for id in state
                .locations()
                .map(|definition| &definition.id)
                .filter(new)
            {
                if let Some(Ok(Some(location))) = self.0.stock_of(id) {
                    self.0.fill_availability_of(&location);
                }
            }
        }
    }
}

impl Behaviour<Catalogue> for CatalogueBehaviour {
    fn perform(&self, _: &<Catalogue as Entity>::Id, effects: Vec<<Catalogue as Entity>::Effect>) {
        drop(effects);
    }

    fn answered(
        &self,
        _: &<Catalogue as Entity>::Id,
        _: Vec<(Peer, Result<CatalogueReply, TellError<CatalogueRejection>>)>,
    ) {
    }

    fn committed(&self, state: &Arc<Catalogue>, events: &[<Catalogue as Entity>::Event]) {
        use consign_domain::catalogue::CatalogueEvent;
        // Products are looked up in the catalogue itself.
        let concerns_sourcing = |event: &CatalogueEvent| {
            !matches!(
                event,
                CatalogueEvent::ProductPut { .. } | CatalogueEvent::ProductTraitsSet { .. }
            )
        };
        self.publish(state, events.iter().any(concerns_sourcing));
    }

    fn recovered(&self, state: &Arc<Catalogue>) {
        self.publish(state, true);
    }

    fn index(&self, _: &Catalogue) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn preload(&self) -> bool {
        true
    }
}
