//! Placing and commanding orders, and the answers that a repeated command hears again (L3).

use std::collections::HashMap;
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use consign_domain::entity::{Entity, Stamp};
use consign_domain::ids::{Channel, LineId, LocationId, OrderId, ReservationId, Sku};
use consign_domain::money::{Minor, UnitPrice};
use consign_domain::order::{
    Amendment, CancelScope, Header, NewLine, Order, OrderCommand, OrderEvent, OrderRejection,
    OrderReply, OrderStatus, PersonalData, Tax,
};
use consign_runtime::{Asked, Call, PartitionId, Wait, partition_of};

use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::external::tombstone_id;
use crate::index;
use crate::options::CallMeta;
use crate::service::Consign;

/// Events that are read at a time when an earlier state is rebuilt.
const EVENTS_PER_READ: usize = 1_000;

/// An order as a client asks for it; products are not resolved yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewOrder {
    /// The client's own id, else one is minted.
    pub id: Option<OrderId>,
    /// Everything but lines and personal data.
    pub header: Header,
    /// Lines.
    pub lines: Vec<ProductLine>,
    /// Kept apart from events.
    pub personal: PersonalData,
}

/// A line as a client asks for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProductLine {
    /// The line's own name.
    pub id: LineId,
    /// A SKU of the catalogue.
    pub sku: Sku,
    /// Units.
    pub quantity: u32,
    /// Price of one unit.
    pub unit_price: UnitPrice,
    /// Line discounts, minor units.
    pub discount: Minor,
    /// Line taxes.
    pub taxes: Vec<Tax>,
    /// Only this location.
    pub pickup_location: Option<LocationId>,
}

/// What an order's caller hears.
#[derive(Clone, Debug)]
pub struct OrderOutcome {
    /// The order as the first answer to this command showed it.
    pub order: Arc<Order>,
    /// What the command made.
    pub reply: OrderReply,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
    /// Whether what the command began has come to its end.
    pub settled: bool,
}

/// One thing that happened to an order.
#[derive(Clone, Debug)]
pub struct HistoryItem {
    /// The order's version after it.
    pub version: u64,
    /// Who and when.
    pub stamp: Stamp,
    /// What.
    pub event: OrderEvent,
}

impl Consign {
    /// Takes an order in. Answered when its sourcing has come to an end (or durable, if so asked).
    ///
    /// # Errors
    /// A rejection names the field; `ExternalIdTaken` and `KeyReused` name the other order.
    pub async fn place(
        &self,
        new: NewOrder,
        reservation: Option<ReservationId>,
        call: CallMeta,
    ) -> Result<OrderOutcome, ServiceError> {
        let named = reservation.as_ref();
        let lines = self.resolve_anew("/lines", &new.lines).await?;
        let name = new
            .header
            .external_id
            .clone()
            .map(|name| (new.header.channel.clone(), name));
        let Some((channel, name)) = name else {
            let id_is_drawn = new.id.is_none();
            let id = new.id.unwrap_or_else(|| self.mint_for(&call, named));
            let asked = (new.header, lines, new.personal);
            let command = self.placing(&id, asked, named, &call).await?;
            return self.ask_order(&id, command, call, id_is_drawn).await;
        };
        let home = self.home_of_name(&channel, &name);
        if let Some(placed) = self.place_at(home, &new, named, &call).await {
            return placed;
        }
        let _turn = self.inner.external.turn(&channel, &name).await;
        // Orders with ids of their own live anywhere: what is known of them must be known here.
        self.read().await?;
        let known = self.find_external(&channel, &name)?;
        let tombstone = tombstone_id(&channel, &name);
        let cancelled = self.inner.orders.read(&tombstone)?.is_some();
        let wanted = match (&known, &new.id) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(id)) => Some(id.clone()),
            (None, None) => cancelled.then(|| tombstone.clone()),
        };
        let id = self.claim_order(wanted, home, named, &call)?;
        let taken = |order: OrderId| ServiceError::ExternalIdTaken {
            channel: channel.as_str().into(),
            external_id: name.clone(),
            order,
        };
        if let Some(known) = &known
            && *known != id
        {
            return Err(taken(known.clone()));
        }
        let asked = (new.header, lines, new.personal);
        let command = self.placing(&id, asked, named, &call).await?;
        let placed = self.ask_order(&id, command, call.clone(), false).await;
        match placed {
            Err(ServiceError::Order(OrderRejection::Exists)) if known.is_some() => Err(taken(id)),
            Ok(outcome) if cancelled && outcome.order.status != OrderStatus::Cancelled => {
                // The client gave the order an id of its own, so it could not be born on the
                // tombstone; it is cancelled before anybody hears of it.
                let cancel = OrderCommand::Cancel {
                    scope: CancelScope::Order,
                    reason: "cancelled_before_arrival".into(),
                };
                self.command(
                    &id,
                    cancel,
                    CallMeta {
                        key: None,
                        expected_version: None,
                        ..call
                    },
                )
                .await
            }
            other => other,
        }
    }

    /// The partition whose leader keeps turns for a channel's name of an order.
    pub(crate) fn home_of_name(&self, channel: &Channel, name: &str) -> PartitionId {
        let home = tombstone_id(channel, name);
        PartitionId(partition_of(home.as_str(), self.inner.node.partitions()))
    }

    /// The id that a named order gets: the one its key got before, the wanted one, or one that lives
    /// with its name.
    fn claim_order(
        &self,
        wanted: Option<OrderId>,
        home: PartitionId,
        reservation: Option<&ReservationId>,
        call: &CallMeta,
    ) -> Result<OrderId, ServiceError> {
        let candidate = wanted.unwrap_or_else(|| self.mint_at(home, call, reservation));
        match call.key {
            Some(key) => Ok(self.inner.orders.claim(key, candidate)?.id),
            None => Ok(candidate),
        }
    }

    /// The command to place it, with a first plan.
    async fn placing(
        &self,
        id: &OrderId,
        (header, lines, personal): (Header, Vec<NewLine>, PersonalData),
        reservation: Option<&ReservationId>,
        call: &CallMeta,
    ) -> Result<OrderCommand, ServiceError> {
        let (header, personal) = (Box::new(header), Box::new(personal));
        if let Some(reservation) = reservation {
            // On the heap, so that orders without one carry nothing for it.
            let held = Box::pin(self.take_reservation(id, (&header, &lines), reservation, call));
            let held = held.await?;
            if !held.is_empty() {
                return Ok(OrderCommand::PlaceReserved {
                    plan: self
                        .inner
                        .rest_plan(id, &header, &lines, &held)
                        .map(Box::new),
                    reservation: reservation.clone(),
                    header,
                    lines,
                    personal,
                    held,
                });
            }
        }
        let plan = self.inner.first_plan(id, &header, &lines);
        Ok(OrderCommand::Place {
            header,
            lines,
            personal,
            plan,
        })
    }

    /// Tells an order that exists something.
    ///
    /// # Errors
    /// `NotFound` when there is no such order, else what the order says.
    pub async fn command(
        &self,
        id: &OrderId,
        command: OrderCommand,
        call: CallMeta,
    ) -> Result<OrderOutcome, ServiceError> {
        if self.order(id)?.is_none() {
            return Err(ServiceError::NotFound {
                kind: "order".into(),
                name: id.as_str().into(),
            });
        }
        self.ask_order(id, command, call, false).await
    }

    /// Changes an order, all or nothing: `add` become lines, `rest` are the other changes.
    ///
    /// # Errors
    /// As [`Consign::command`]; a line's unknown SKU is named.
    pub async fn amend(
        &self,
        id: &OrderId,
        add: Vec<ProductLine>,
        rest: Vec<Amendment>,
        call: CallMeta,
    ) -> Result<OrderOutcome, ServiceError> {
        let lines = self.resolve_anew("/add_lines", &add).await?;
        let amendments = lines
            .into_iter()
            .map(Amendment::AddLine)
            .chain(rest)
            .collect();
        self.command(id, OrderCommand::Amend(amendments), call)
            .await
    }

    /// Cancels a channel's order by the channel's own name, also one that has not arrived yet.
    ///
    /// # Errors
    /// What the order says.
    pub async fn cancel_external(
        &self,
        channel: Channel,
        external_id: &str,
        reason: CompactString,
        call: CallMeta,
    ) -> Result<OrderOutcome, ServiceError> {
        let home = self.home_of_name(&channel, external_id);
        let named = (&channel, external_id, &reason);
        if let Some(cancelled) = self.cancel_at(home, named, &call).await {
            return cancelled;
        }
        let _turn = self.inner.external.turn(&channel, external_id).await;
        self.read().await?;
        match self.find_external(&channel, external_id)? {
            Some(id) => {
                let command = OrderCommand::Cancel {
                    scope: CancelScope::Order,
                    reason,
                };
                self.command(&id, command, call).await
            }
            None => {
                let id = tombstone_id(&channel, external_id);
                let command = OrderCommand::CancelBeforeArrival { reason };
                self.ask_order(&id, command, call, false).await
            }
        }
    }

    pub(crate) fn find_external(
        &self,
        channel: &Channel,
        name: &str,
    ) -> Result<Option<OrderId>, ServiceError> {
        let row = self
            .inner
            .node
            .index_get(&index::external_key(channel, name))?;
        Ok(row.and_then(|row| row.owner.id_as::<Order>()))
    }

    async fn ask_order(
        &self,
        id: &OrderId,
        command: OrderCommand,
        call: CallMeta,
        id_is_drawn: bool,
    ) -> Result<OrderOutcome, ServiceError> {
        let places = matches!(
            command,
            OrderCommand::Place { .. } | OrderCommand::PlaceReserved { .. }
        );
        let wait = if call.respond_async {
            Wait::Durable
        } else {
            Wait::Settled
        };
        let orders = &self.inner.orders;
        let call = Call {
            id_is_drawn,
            ..call.into_call(wait)
        };
        let (id, asked) = if places {
            orders.ask_claiming(id.clone(), command, call).await?
        } else {
            let asked = orders.ask(id.clone(), command, call).await?;
            (id.clone(), asked)
        };
        let Asked {
            reply,
            replayed,
            state,
            settled,
        } = asked;
        let order = if replayed {
            self.first_answer(&id, reply.version, state)?
        } else {
            state
        };
        Ok(OrderOutcome {
            order,
            reply,
            replayed,
            settled,
        })
    }

    /// The order as the first answer showed it: at the first version from `version` on at which
    /// what the command began had come to its end, or as it is now if that has not come yet.
    fn first_answer(
        &self,
        id: &OrderId,
        version: u64,
        now: Arc<Order>,
    ) -> Result<Arc<Order>, ServiceError> {
        let mut order = Order::empty(id.clone());
        loop {
            let events = self
                .inner
                .orders
                .history(id, order.version(), EVENTS_PER_READ)?;
            if events.is_empty() {
                return Ok(now);
            }
            for happened in events {
                order.apply(&happened.event, &happened.stamp);
                if order.version() >= version && order.settled() {
                    order.personal.clone_from(&now.personal);
                    return Ok(Arc::new(order));
                }
            }
        }
    }

    /// The order, if it was ever placed (a tombstone is none).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn order(&self, id: &OrderId) -> Result<Option<Arc<Order>>, ServiceError> {
        let order = self.inner.orders.read(id)?;
        Ok(order.filter(|order| order.header.is_some()))
    }

    /// The order as it was at `version`, or as it is if it has not changed since.
    pub(crate) fn order_at(&self, id: &OrderId, version: u64) -> Result<Arc<Order>, ServiceError> {
        let now = self.inner.orders.read(id)?;
        match now.filter(|now| now.version <= version) {
            Some(now) => Ok(now),
            None => {
                let then = self.inner.orders.read_at(id, version)?;
                then.map(Arc::new).ok_or_else(|| ServiceError::NotFound {
                    kind: "order".into(),
                    name: id.as_str().into(),
                })
            }
        }
    }

    /// What happened to an order after `after_version`, oldest first.
    ///
    /// # Errors
    /// `NotFound`, or when the store cannot be read.
    pub fn history(
        &self,
        id: &OrderId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<HistoryItem>, ServiceError> {
        if self.inner.orders.read(id)?.is_none() {
            return Err(ServiceError::NotFound {
                kind: "order".into(),
                name: id.as_str().into(),
            });
        }
        let events = self.inner.orders.history(id, after_version, limit)?;
        Ok(events
            .into_iter()
            .map(|happened| HistoryItem {
                version: happened.version,
                stamp: happened.stamp,
                event: happened.event,
            })
            .collect())
    }

    /// As [`Consign::resolve`]; what is not known is looked up once more when this node has heard
    /// everything that was acknowledged anywhere.
    pub(crate) async fn resolve_anew(
        &self,
        list: &str,
        lines: &[ProductLine],
    ) -> Result<Vec<NewLine>, ServiceError> {
        match self.resolve(list, lines) {
            Err(_) if !self.is_alone() => {
                self.read().await?;
                self.resolve(list, lines)
            }
            other => other,
        }
    }

    /// Looks each line's product up in the catalogue. `list` is where the client wrote the lines.
    fn resolve(&self, list: &str, lines: &[ProductLine]) -> Result<Vec<NewLine>, ServiceError> {
        let catalogue = self.inner.catalogue.load();
        let mut resolved = Vec::with_capacity(lines.len());
        let mut known = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            let fulfilment = match known.get(&line.sku) {
                Some(fulfilment) => Clone::clone(fulfilment),
                None => {
                    let found = catalogue.fulfilment_of(&line.sku).ok_or_else(|| {
                        OrderRejection::Invalid {
                            pointer: format_compact!("{list}/{at}/sku"),
                            code: "unknown_sku".into(),
                        }
                    })?;
                    if lines.len() > 8 {
                        known.insert(&line.sku, found.clone());
                    }
                    found
                }
            };
            if let Some(location) = &line.pickup_location
                && catalogue.location(location).is_none()
            {
                let pointer = format_compact!("{list}/{at}/pickup_location");
                let code = "unknown_location".into();
                return Err(OrderRejection::Invalid { pointer, code }.into());
            }
            resolved.push(NewLine {
                id: line.id.clone(),
                sku: line.sku.clone(),
                quantity: line.quantity,
                unit_price: line.unit_price,
                discount: line.discount,
                taxes: line.taxes.clone(),
                pickup_location: line.pickup_location.clone(),
                fulfilment,
            });
        }
        Ok(resolved)
    }
}
