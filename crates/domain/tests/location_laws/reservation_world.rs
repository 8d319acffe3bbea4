//! Reservations, locations and orders, and a network between them that does what networks do.

use std::collections::BTreeMap;

use consign_domain::entity::{Context, Entity};
use consign_domain::ids::{AttemptId, HoldId, LocationId, OrderId, ReservationId, Sku};
use consign_domain::location::{Answer, LocationCommand, LocationReply, Request};
use consign_domain::money::UnitPrice;
use consign_domain::order::{Assignment, Destination, Fulfilment, SplitPolicy};
use consign_domain::reservation::{
    CartLine, HoldAnswer, HoldState, OrderedLine, Reservation, ReservationCommand,
    ReservationEffect, ReservationTerms,
};
use consign_domain::time::Timestamp;
use proptest::prelude::*;

use crate::location_world::{START, Shelf, sku};

pub const HOLD_SECONDS: u32 = 10;
const PLACES: [&str; 3] = ["LEEDS", "YORK", "BATH"];

/// A cart: (kind of product, units). Kinds 0 to 2 are SKUs, 3 is a set of two of them, 9 is a service.
#[derive(Clone, Debug)]
pub struct Cart {
    pub split: SplitPolicy,
    pub partial: bool,
    pub lines: Vec<(u32, u32)>,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// What a reservation asks now is asked; the answer is lost, comes, or comes twice.
    Deliver(usize, usize, usize),
    /// A message to a location, or an answer, of before comes once more.
    Late(usize),
    /// Somebody else takes what is free.
    Other(usize, u32, u32),
    Consume(usize, u32),
    Release(usize),
    Wait(i64),
    Wake,
    OrdersReserve,
}

pub fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let any = any::<usize>;
    let step = prop_oneof![
        12 => (any(), any(), 0_usize..3).prop_map(|(of, nth, copies)| Step::Deliver(of, nth, copies)),
        4 => any().prop_map(Step::Late),
        2 => (any(), 0_u32..3, 1_u32..5).prop_map(|(place, kind, units)| Step::Other(place, kind, units)),
        2 => (any(), 0_u32..2).prop_map(|(of, order)| Step::Consume(of, order)),
        1 => any().prop_map(Step::Release),
        2 => (1_i64..3_000).prop_map(Step::Wait),
        1 => Just(Step::Wake),
        1 => Just(Step::OrdersReserve),
    ];
    prop::collection::vec(step, 1..count)
}

pub struct World {
    pub shelves: Vec<Shelf>,
    pub reservations: Vec<Reservation>,
    asked: Vec<(usize, ReservationEffect)>,
    answers: Vec<(usize, ReservationCommand)>,
    others: u32,
    /// What orders have reserved by naming reservations: units by attempt.
    granted: BTreeMap<AttemptId, u32>,
}

fn place(nth: usize) -> LocationId {
    LocationId::new(PLACES[nth % 3]).expect("a valid name")
}

fn fulfilment(kind: u32) -> Fulfilment {
    match kind {
        9 => Fulfilment::Virtual,
        3 => Fulfilment::Physical(vec![(sku(0), 2), (sku(1), 1)]),
        kind => Fulfilment::Physical(vec![(sku(kind), 1)]),
    }
}

impl World {
    pub fn new(stock: &[[u32; 3]], carts: &[Cart]) -> World {
        let mut shelves: Vec<Shelf> = PLACES.iter().map(|name| Shelf::new(name)).collect();
        for (kind, units) in (0_u32..).zip(stock) {
            for (shelf, units) in shelves.iter_mut().zip(units) {
                if *units > 0 {
                    shelf.receive(kind, *units);
                }
            }
        }
        let id = |nth| ReservationId::new(&format!("R{nth}")).expect("a valid name");
        let mut world = World {
            shelves,
            reservations: (0..carts.len())
                .map(|nth| Reservation::empty(id(nth)))
                .collect(),
            asked: Vec::new(),
            answers: Vec::new(),
            others: 0,
            granted: BTreeMap::new(),
        };
        for (nth, cart) in carts.iter().enumerate() {
            world.tell(nth, &opening(cart));
        }
        world
    }

    pub fn order(reservation: usize, number: u32) -> OrderId {
        OrderId::new(&format!("order-{reservation}-{number}")).expect("a valid name")
    }

    fn now(&self) -> Timestamp {
        self.shelves[0].now
    }

    pub fn wait(&mut self, millis: i64) {
        for shelf in &mut self.shelves {
            shelf.now = shelf.now.plus_millis(millis);
        }
    }

    fn tell(&mut self, nth: usize, command: &ReservationCommand) {
        let context = Context {
            now: self.now(),
            occurred_at: None,
            by: "test".into(),
        };
        let reservation = &mut self.reservations[nth];
        let decision = reservation.decide(command, &context).expect("not refused");
        for event in &decision.events {
            reservation.apply(event, &context.stamp());
        }
        // A message that comes twice in a row changes nothing the second time (L3).
        let again = reservation.decide(command, &context);
        let again = again.map_or(Vec::new(), |again| again.events);
        assert!(again.is_empty(), "{command:?} once more: {again:?}");
        let stored = reservation.part(&consign_domain::reservation::ReservationPartKey::Body);
        assert_eq!(stored.as_deref(), Some(&*reservation));
    }

    pub fn take(&mut self, step: &Step) {
        let count = self.reservations.len();
        match step {
            Step::Deliver(of, nth, copies) => {
                let of = of % count;
                let effects = self.reservations[of].pending();
                if !effects.is_empty() {
                    let effect = effects[nth % effects.len()].clone();
                    self.ask(of, &effect, *copies);
                }
            }
            Step::Late(nth) if !self.asked.is_empty() && nth % 2 == 0 => {
                let (of, effect) = self.asked[nth % self.asked.len()].clone();
                self.ask(of, &effect, nth % 3);
            }
            Step::Late(nth) if !self.answers.is_empty() => {
                let (of, answer) = self.answers[nth % self.answers.len()].clone();
                self.tell(of, &answer);
            }
            Step::Late(_) => {}
            Step::Other(place, kind, units) => self.other(*place % 3, *kind, *units),
            Step::Consume(of, order) => self.consume(of % count, *order),
            Step::Release(of) => self.tell(of % count, &ReservationCommand::Release),
            Step::Wait(millis) => self.wait(*millis),
            Step::Wake => self.wake(),
            Step::OrdersReserve => self.orders_reserve(),
        }
    }

    pub fn wake(&mut self) {
        let now = self.now();
        for shelf in &mut self.shelves {
            let wake = LocationCommand::Wake { now };
            shelf.tell(&wake).expect("a timer is never refused");
        }
        for nth in 0..self.reservations.len() {
            self.tell(nth, &ReservationCommand::Wake { now });
        }
    }

    /// Delivers what is pending until nothing is.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            let pending =
                |(nth, of): (usize, &Reservation)| Some((nth, of.pending().into_iter().next()?));
            let Some((nth, effect)) = self.reservations.iter().enumerate().find_map(pending) else {
                return;
            };
            self.ask(nth, &effect, 1);
        }
        panic!("it never settles: {:?}", self.reservations);
    }

    /// Every message of before comes once more, the last first.
    pub fn deliver_all_again(&mut self) {
        for (of, effect) in self.asked.clone().into_iter().rev() {
            self.ask(of, &effect, 1);
        }
        for (of, answer) in self.answers.clone().into_iter().rev() {
            self.tell(of, &answer);
        }
    }

    pub fn consume(&mut self, nth: usize, order: u32) {
        let lines = self.reservations[nth].lines.iter().map(|line| OrderedLine {
            sku: line.sku.clone(),
            quantity: line.quantity,
            pickup_location: None,
            fulfilment: line.fulfilment.clone(),
        });
        let command = ReservationCommand::Consume {
            order: World::order(nth, order),
            lines: lines.collect(),
            split: SplitPolicy::Allow,
        };
        self.tell(nth, &command);
    }

    fn ask(&mut self, of: usize, effect: &ReservationEffect, copies: usize) {
        self.asked.push((of, effect.clone()));
        let answer = match effect {
            ReservationEffect::Source { round } => ReservationCommand::Assign {
                round: *round,
                plan: self.plan(of),
            },
            ReservationEffect::Hold {
                number,
                location,
                name,
                items,
                partial,
                expires_at,
            } => {
                let command = LocationCommand::Hold {
                    hold: name.clone(),
                    items: items.clone(),
                    partial: *partial,
                    expires_at: *expires_at,
                };
                let answer = self.held(location, &command);
                let answer = answer.map_or(HoldAnswer::Refused, HoldAnswer::Held);
                ReservationCommand::Answered {
                    hold: *number,
                    answer,
                }
            }
            ReservationEffect::Release {
                number,
                location,
                name,
            } => {
                self.held(
                    location,
                    &LocationCommand::ReleaseHold { hold: name.clone() },
                );
                let answer = HoldAnswer::Released;
                ReservationCommand::Answered {
                    hold: *number,
                    answer,
                }
            }
            ReservationEffect::Claim {
                number,
                location,
                name,
                order,
                line,
            } => {
                let command = LocationCommand::ClaimHold {
                    hold: name.clone(),
                    order: order.clone(),
                    line: *line,
                };
                let answer = self.held(location, &command);
                let answer = answer.map_or(HoldAnswer::Lost, HoldAnswer::Claimed);
                ReservationCommand::Answered {
                    hold: *number,
                    answer,
                }
            }
        };
        self.answers.push((of, answer.clone()));
        for _ in 0..copies {
            self.tell(of, &answer);
        }
    }

    fn shelf(&mut self, location: &LocationId) -> &mut Shelf {
        let at = PLACES.iter().position(|name| *name == location.as_str());
        &mut self.shelves[at.expect("a known place")]
    }

    fn held(
        &mut self,
        location: &LocationId,
        command: &LocationCommand,
    ) -> Option<Vec<(Sku, u32)>> {
        match self.shelf(location).tell(command) {
            Ok(LocationReply::Held { items }) => Some(items),
            _ => None,
        }
    }

    /// The first places that may have it; sometimes they have less than is thought.
    fn plan(&self, of: usize) -> Vec<Assignment> {
        let reservation = &self.reservations[of];
        let one = reservation.terms.as_ref().map(|terms| terms.split)
            == Some(SplitPolicy::SingleLocation);
        let mut plan = Vec::new();
        for nth in 0..3 {
            let all = reservation.missing();
            let may = |line: u32| !reservation.excluded.contains(&(line, place(nth)));
            if one {
                if all.iter().all(|(line, _)| may(*line)) {
                    let assignment = |(line, quantity)| Assignment {
                        line,
                        quantity,
                        location: place(nth),
                    };
                    return all.into_iter().map(assignment).collect();
                }
                continue;
            }
            for (line, units) in all.into_iter().filter(|(line, _)| may(*line)) {
                let planned = plan.iter().filter(|known: &&Assignment| known.line == line);
                let left = units - planned.map(|known| known.quantity).sum::<u32>();
                let quantity = if nth == 2 || units < 3 {
                    left
                } else {
                    left.min(units / 2 + 1)
                };
                if quantity > 0 {
                    plan.push(Assignment {
                        line,
                        quantity,
                        location: place(nth),
                    });
                }
            }
        }
        plan
    }

    /// Another order takes some of what is free.
    fn other(&mut self, nth: usize, kind: u32, units: u32) {
        self.others += 1;
        let order = OrderId::new(&format!("other-{}", self.others)).expect("a valid name");
        self.shelves[nth].ask(reserve(
            AttemptId {
                order,
                line: 0,
                attempt: 1,
            },
            (units, vec![(sku(kind), 1)]),
        ));
    }

    /// Each order reserves what its reservation says is kept for it, and gets all of it.
    pub fn orders_reserve(&mut self) {
        for nth in 0..self.reservations.len() {
            let reservation = self.reservations[nth].clone();
            let Some(order) = reservation.order.clone() else {
                continue;
            };
            let is_live = self.now() < reservation.expires_at;
            for (attempt, hold) in (1_u32..).zip(&reservation.holds) {
                let HoldState::Claimed(line) = hold.state else {
                    continue;
                };
                let attempt = AttemptId {
                    order: order.clone(),
                    line,
                    attempt,
                };
                let Fulfilment::Physical(parts) = &reservation.lines[hold.line as usize].fulfilment
                else {
                    panic!("what is virtual is never held");
                };
                let request = reserve(attempt.clone(), (hold.units, parts.clone()));
                let answer = self.shelf(&hold.location).ask(request);
                let units = match answer {
                    Answer::Stands { units, .. } => units,
                    _ => 0,
                };
                let before = self.granted.contains_key(&attempt);
                assert!(
                    !is_live || before || units == hold.units,
                    "{hold:?}: {answer:?}"
                );
                self.granted.entry(attempt).or_insert(units);
            }
        }
    }

    /// What a reservation says is kept is kept, as long as its time is not over.
    pub fn check(&self) {
        for reservation in &self.reservations {
            if self.now() >= reservation.expires_at {
                continue;
            }
            for hold in &reservation.holds {
                let name = match hold.state {
                    HoldState::Held => HoldId::of_reservation(&reservation.id, hold.number),
                    HoldState::Claimed(line) => {
                        let order = reservation.order.as_ref().expect("it is claimed for one");
                        let reserved = self.granted.keys().any(|attempt| {
                            attempt.order == *order
                                && attempt.line == line
                                && attempt.attempt == hold.number
                        });
                        if reserved {
                            continue;
                        }
                        HoldId::of_order_line(order, line)
                    }
                    _ => continue,
                };
                let at = PLACES
                    .iter()
                    .position(|place| *place == hold.location.as_str());
                let mut kept = self.shelves[at.expect("a known place")].location.holds();
                assert!(
                    kept.any(|(known, _)| *known == name),
                    "{name} is not kept: {hold:?}"
                );
            }
        }
    }
}

fn opening(cart: &Cart) -> ReservationCommand {
    let line = |(kind, quantity): &(u32, u32)| CartLine {
        sku: sku(*kind),
        quantity: *quantity,
        unit_price: UnitPrice::default(),
        pickup_location: None,
        fulfilment: fulfilment(*kind),
    };
    ReservationCommand::Open {
        terms: Box::new(ReservationTerms {
            channel: "web".into(),
            order_type: None,
            customer_group: None,
            service_level: "standard".into(),
            destination: Destination {
                country: "GB".into(),
                position: None,
            },
            currency: None,
            split: cart.split,
        }),
        lines: cart.lines.iter().map(line).collect(),
        partial: cart.partial,
        hold_seconds: HOLD_SECONDS,
        plan: cart
            .lines
            .iter()
            .zip(0_u32..)
            .filter(|((kind, _), _)| *kind != 9)
            .map(|((_, quantity), line)| Assignment {
                line,
                quantity: *quantity,
                location: place(0),
            })
            .collect(),
    }
}

fn reserve(attempt: AttemptId, (units, per_unit): (u32, Vec<(Sku, u32)>)) -> Request {
    Request::Reserve {
        attempt,
        units,
        per_unit,
        partial: true,
        promise: START,
        not_after: START.plus_millis(1_000_000_000),
    }
}
