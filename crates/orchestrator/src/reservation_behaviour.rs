//! Whom a reservation asks, and what locations' answers mean to it.
//!
//! In: effects of committed reservations. Out: messages to locations, and choices of locations.
//! Nothing here waits; a lost message is sent again because its effect is still pending.

use std::sync::Arc;

use consign_domain::ids::{LocationId, ReservationId};
use consign_domain::location::{LocationCommand, LocationRejection, LocationReply};
use consign_domain::order::Assignment;
use consign_domain::reservation::{
    HoldAnswer, Reservation, ReservationCommand, ReservationEffect, ReservationEvent,
    ReservationRejection, ReservationReply,
};
use consign_runtime::{Behaviour, Peer, TellError};
use serde::{Deserialize, Serialize};

use crate::atlas::Terms;
use crate::behaviour::{Asker, asker};
use crate::reservations::cart_needs;
use crate::service::Views;

/// What a reservation asked a location about a hold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// To keep it.
    Hold,
    /// To let it go.
    Release,
    /// To keep it for an order.
    Claim,
}

/// Reservations: ask locations and sourcing.
pub(crate) struct ReservationBehaviour(pub(crate) Arc<Views>);

impl Behaviour<Reservation> for ReservationBehaviour {
    fn perform(&self, id: &ReservationId, effects: Vec<ReservationEffect>) {
        for effect in effects {
            match effect {
                ReservationEffect::Source { round } => self.source(id, round),
                ReservationEffect::Hold {
                    number,
                    location,
                    name,
                    items,
                    partial,
                    expires_at,
                } => {
                    let command = LocationCommand::Hold {
                        hold: name,
                        items,
                        partial,
                        expires_at,
                    };
                    self.ask(id, location, command, (number, Question::Hold));
                }
                ReservationEffect::Release {
                    number,
                    location,
                    name,
                } => {
                    let command = LocationCommand::ReleaseHold { hold: name };
                    self.ask(id, location, command, (number, Question::Release));
                }
                ReservationEffect::Claim {
                    number,
                    location,
                    name,
                    order,
                    line,
                } => {
                    let command = LocationCommand::ClaimHold {
                        hold: name,
                        order,
                        line,
                    };
                    self.ask(id, location, command, (number, Question::Claim));
                }
            }
        }
    }

    fn answered(
        &self,
        _: &ReservationId,
        _: Vec<(
            Peer,
            Result<ReservationReply, TellError<ReservationRejection>>,
        )>,
    ) {
    }

    fn committed(&self, _: &Arc<Reservation>, _: &[ReservationEvent]) {}

    fn index(&self, _: &Reservation) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn peer(&self, tag: &[u8]) -> Option<Peer> {
        asker(tag)
    }
}

impl ReservationBehaviour {
    fn ask(
        &self,
        id: &ReservationId,
        location: LocationId,
        command: LocationCommand,
        (number, question): (u32, Question),
    ) {
        let peer = Peer::new(Asker::Reservation(id.clone(), number, question));
        self.0.hosts().locations.tell(location, command, peer);
    }

    fn source(&self, id: &ReservationId, round: u32) {
        let hosts = self.0.hosts();
        if let Ok(Some(reservation)) = hosts.reservations.read(id) {
            let plan = self.0.plan_of(&reservation);
            let command = ReservationCommand::Assign { round, plan };
            hosts.reservations.tell(id.clone(), command, Peer::nobody());
        }
    }
}

impl Views {
    /// Who would serve what a reservation is missing.
    fn plan_of(&self, reservation: &Reservation) -> Vec<Assignment> {
        let Some(terms) = reservation.terms.as_ref() else {
            return Vec::new();
        };
        let asks = Terms {
            channel: &terms.channel,
            order_type: terms.order_type.as_ref(),
            customer_group: terms.customer_group.as_ref(),
            destination: &terms.destination,
            service_level: &terms.service_level,
            currency: terms.currency,
        };
        let needs = cart_needs(&reservation.lines, &reservation.missing());
        self.assignments(&asks, terms.split, &needs, &reservation.excluded)
    }

    /// Tells a reservation what a location said about one of its holds.
    pub(crate) fn tell_reservation(
        &self,
        location: &LocationId,
        (reservation, hold, question): (&ReservationId, u32, Question),
        result: Result<LocationReply, TellError<LocationRejection>>,
    ) {
        let answer = match (question, result) {
            (Question::Hold, Ok(LocationReply::Held { items })) => HoldAnswer::Held(items),
            (Question::Claim, Ok(LocationReply::Held { items })) => HoldAnswer::Claimed(items),
            (Question::Release, Ok(_)) => HoldAnswer::Released,
            (Question::Hold, Err(TellError::Rejected(_) | TellError::Quarantined)) => {
                HoldAnswer::Refused
            }
            (Question::Claim, Err(TellError::Rejected(_) | TellError::Quarantined)) => {
                HoldAnswer::Lost
            }
            (question, result) => {
                // It asks again until its time is over.
                tracing::warn!(%location, %reservation, hold, ?question, ?result, "a reservation was not answered");
                return;
            }
        };
        let command = ReservationCommand::Answered { hold, answer };
        let reservations = &self.hosts().reservations;
        reservations.tell(reservation.clone(), command, Peer::nobody());
    }
}
