//! Carts that are held for a while, and orders that name what was held.
//!
//! In: a cart, or an order with the name of a reservation. Out: what locations keep. The reservation is
//! an entity like an order, so that it outlives whoever asked for it; the stock is its locations' (L1).

use std::sync::Arc;

use consign_domain::entity::Entity;
use consign_domain::ids::{OrderId, ReservationId};
use consign_domain::order::{
    Assignment, Fulfilment, Header, NewLine, OrderRejection, SplitPolicy, validate,
};
use consign_domain::reservation::{
    CartLine, OrderedLine, Reservation, ReservationCommand, ReservationRejection, ReservationTerms,
};
use consign_runtime::{Call, Wait};

use crate::atlas::Need;
use crate::availability::{Cart, Shopper};
use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::Consign;

/// Events that are read at a time when an earlier state is rebuilt.
const EVENTS_PER_READ: usize = 1_000;

/// A cart to be held.
#[derive(Clone, Debug)]
pub struct NewReservation {
    /// What.
    pub cart: Cart,
    /// Who asks.
    pub shopper: Shopper,
    /// For how long, 1 to 86,400 seconds.
    pub hold_seconds: u32,
    /// Whether less than all is welcome.
    pub partial: bool,
}

/// What a reservation's caller hears.
#[derive(Clone, Debug)]
pub struct ReservationOutcome {
    /// The reservation as the first answer to this command showed it.
    pub reservation: Arc<Reservation>,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
    /// Whether what the command began has come to its end.
    pub settled: bool,
}

impl Consign {
    /// Holds a cart at the locations that would serve it now. One that cannot be had is not refused:
    /// its status says so.
    ///
    /// # Errors
    /// What is wrong with a line, as when an order is placed.
    pub async fn hold_cart(
        &self,
        new: NewReservation,
        call: CallMeta,
    ) -> Result<ReservationOutcome, ServiceError> {
        let resolved = self.resolve_anew("/lines", &new.cart.lines).await?;
        let needs = Need::of_all(&resolved);
        let terms = new.shopper.terms(new.cart.currency);
        let plan = self
            .inner
            .views
            .assignments(&terms, new.cart.split, &needs, &[]);
        let line = |line: NewLine| CartLine {
            sku: line.sku,
            quantity: line.quantity,
            unit_price: line.unit_price,
            pickup_location: line.pickup_location,
            fulfilment: line.fulfilment,
        };
        let command = ReservationCommand::Open {
            terms: Box::new(ReservationTerms {
                channel: new.shopper.channel,
                order_type: new.shopper.order_type,
                customer_group: new.shopper.customer_group,
                service_level: new.shopper.service_level,
                destination: new.shopper.destination,
                currency: new.cart.currency,
                split: new.cart.split,
            }),
            lines: resolved.into_iter().map(line).collect(),
            partial: new.partial,
            hold_seconds: new.hold_seconds,
            plan,
        };
        let minted = self.mint_for(&call, None);
        let id = ReservationId::new(minted.as_str()).expect("an order's id is one");
        let call = Call {
            id_is_drawn: true,
            ..waiting(call)
        };
        let (id, asked) = self
            .inner
            .reservations
            .ask_claiming(id, command, call)
            .await?;
        let reservation = if asked.replayed {
            self.first_shown(&id, asked.reply.version, asked.state)?
        } else {
            asked.state
        };
        Ok(ReservationOutcome {
            reservation,
            replayed: asked.replayed,
            settled: asked.settled,
        })
    }

    /// The reservation as the first answer showed it, or as it is now if it has not settled yet.
    fn first_shown(
        &self,
        id: &ReservationId,
        version: u64,
        now: Arc<Reservation>,
    ) -> Result<Arc<Reservation>, ServiceError> {
        let mut then = Reservation::empty(id.clone());
        loop {
            let host = &self.inner.reservations;
            let events = host.history(id, then.version(), EVENTS_PER_READ)?;
            if events.is_empty() {
                return Ok(now);
            }
            for happened in events {
                then.apply(&happened.event, &happened.stamp);
                if then.version() >= version && then.settled() {
                    return Ok(Arc::new(then));
                }
            }
        }
    }

    /// A reservation.
    ///
    /// # Errors
    /// `NotFound`, or when the store cannot be read.
    pub fn reservation(&self, id: &ReservationId) -> Result<Arc<Reservation>, ServiceError> {
        let found = self.inner.reservations.read(id)?;
        let found = found.filter(|reservation| reservation.version() > 0);
        found.ok_or_else(|| ServiceError::NotFound {
            kind: "reservation".into(),
            name: id.as_str().into(),
        })
    }

    /// Lets a reservation go. One that has come to its end stays as it is.
    ///
    /// # Errors
    /// `Reservation(Unknown)` when there is none.
    pub async fn release_reservation(
        &self,
        id: &ReservationId,
        call: CallMeta,
    ) -> Result<ReservationOutcome, ServiceError> {
        if let Some(key) = call.key {
            self.inner.reservations.claim(key, id.clone())?;
        }
        let command = ReservationCommand::Release;
        let host = &self.inner.reservations;
        let asked = host.ask(id.clone(), command, waiting(call)).await?;
        Ok(ReservationOutcome {
            reservation: asked.state,
            replayed: asked.replayed,
            settled: asked.settled,
        })
    }

    /// What became of a reservation that an order named: `used`, or why it was not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn reservation_use(
        &self,
        id: &ReservationId,
        order: &OrderId,
    ) -> Result<&'static str, ServiceError> {
        if !self.is_alone() {
            self.read().await?;
        }
        let reservation = self.reservation(id)?;
        if reservation.order.as_ref() != Some(order) {
            return Ok(reservation.status.name());
        }
        Ok(if reservation.claimed().is_empty() {
            "does_not_fit"
        } else {
            "used"
        })
    }

    /// What locations keep for an order that names a reservation; nothing when it is not held any
    /// more, when another order has it, or when it does not fit.
    pub(crate) async fn take_reservation(
        &self,
        order: &OrderId,
        (header, lines): (&Header, &[NewLine]),
        reservation: &ReservationId,
        call: &CallMeta,
    ) -> Result<Vec<Assignment>, ServiceError> {
        // What will be refused must not use it up.
        validate(header, lines)?;
        if self.order(order)?.is_some() {
            return Ok(Vec::new());
        }
        let line = |line: &NewLine| OrderedLine {
            sku: line.sku.clone(),
            quantity: line.quantity,
            pickup_location: line.pickup_location.clone(),
            fulfilment: line.fulfilment.clone(),
        };
        let command = ReservationCommand::Consume {
            order: order.clone(),
            lines: lines.iter().map(line).collect(),
            split: header.split,
        };
        // The key is the order's; this is harmless when repeated (L3).
        let call = CallMeta {
            key: None,
            expected_version: None,
            occurred_at: None,
            respond_async: false,
            ..call.clone()
        };
        let host = &self.inner.reservations;
        let asked = host.ask(reservation.clone(), command, waiting(call)).await;
        let asked = asked.map_err(|error| match error.into() {
            ServiceError::Reservation(ReservationRejection::Unknown) => unknown(),
            other => other,
        })?;
        if asked.state.order.as_ref() != Some(order) {
            return Ok(Vec::new());
        }
        let held = asked.state.claimed();
        // A location may have lost some of it to a count, and an order that must be whole cannot say
        // where the rest is to come from.
        let whole = header.split != SplitPolicy::Allow;
        Ok(if whole && !covers(&held, lines) {
            Vec::new()
        } else {
            held
        })
    }
}

/// The call, waiting for the outcome unless its caller does not.
fn waiting(call: CallMeta) -> Call {
    let wait = if call.respond_async {
        Wait::Durable
    } else {
        Wait::Settled
    };
    call.into_call(wait)
}

fn unknown() -> ServiceError {
    ServiceError::Order(OrderRejection::Invalid {
        pointer: "/reservation".into(),
        code: "unknown_reservation".into(),
    })
}

fn covers(held: &[Assignment], lines: &[NewLine]) -> bool {
    let kept = |nth: u32| -> u32 {
        let of_line = held.iter().filter(|kept| kept.line == nth);
        of_line.map(|kept| kept.quantity).sum()
    };
    (0_u32..).zip(lines).all(|(nth, line)| {
        matches!(line.fulfilment, Fulfilment::Virtual) || kept(nth) == line.quantity
    })
}

/// What a cart's lines need yet: (index of a line, units).
pub(crate) fn cart_needs<'a>(lines: &'a [CartLine], missing: &[(u32, u32)]) -> Vec<Need<'a>> {
    let need = |asked: &(u32, u32)| {
        let of = lines.get(asked.0 as usize)?;
        let only = of.pickup_location.as_ref();
        Need::of_units(*asked, &of.sku, &of.fulfilment, only, of.unit_price)
    };
    missing.iter().filter_map(need).collect()
}
