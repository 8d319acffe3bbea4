//! An order and its surroundings in one place: the real locations, a network that delays, reorders,
//! repeats and loses messages, and a clock that tests move.
//!
//! What must hold after every event is checked here; tests only say what happens.

mod forward;

use consign_domain::entity::{Context, Effect, Entity, Stamp};
use consign_domain::ids::{AttemptId, LocationId, OrderId, ReturnId, Sku};
use consign_domain::location::{Location, LocationCommand, LocationEffect, LocationReply};
use consign_domain::order::*;
use consign_domain::time::Timestamp;

use forward::forward_only;

pub const LOCATIONS: [&str; 3] = ["LEEDS", "YORK", "BATH"];

pub fn location(index: usize) -> LocationId {
    LocationId::new(LOCATIONS[index % LOCATIONS.len()]).expect("a valid name")
}

/// Something on its way.
#[derive(Clone, Debug)]
enum Message {
    Effect(Box<OrderEffect>),
    Told(Box<OrderCommand>),
}

/// One order and what surrounds it.
pub struct World {
    pub order: Order,
    pub locations: Vec<Location>,
    pub now: Timestamp,
    /// What the rule that makes plans says about units that nobody has.
    pub rule: ShortageRule,
    network: Vec<Message>,
    pub events: Vec<OrderEvent>,
}

impl World {
    /// With this much of each SKU at each location.
    pub fn new(stock: &[(Sku, [u32; 3])]) -> Self {
        let mut world = Self {
            order: Order::empty(OrderId::new("o1").expect("a valid name")),
            locations: (0..LOCATIONS.len())
                .map(|index| Location::empty(location(index)))
                .collect(),
            now: Timestamp(1_000_000_000),
            rule: ShortageRule::default(),
            network: Vec::new(),
            events: Vec::new(),
        };
        for (sku, units) in stock {
            for (index, units) in units.iter().enumerate() {
                world.receive(index, sku, *units);
            }
        }
        world
    }

    /// Goods come in. The order is not told.
    pub fn receive(&mut self, index: usize, sku: &Sku, quantity: u32) {
        if quantity > 0 {
            let reference = "delivery".into();
            self.tell_location(
                index,
                &LocationCommand::Receive {
                    sku: sku.clone(),
                    quantity,
                    reference,
                },
            );
        }
    }

    /// Gives a location a command; L1 must hold whatever it grants.
    fn tell_location(&mut self, index: usize, command: &LocationCommand) -> Option<LocationReply> {
        let context = Context {
            now: self.now,
            occurred_at: None,
            by: "test".into(),
        };
        let decision = self.locations[index].decide(command, &context).ok()?;
        let before = self.locations[index].clone();
        for event in &decision.events {
            self.locations[index].apply(event, &context.stamp());
        }
        if matches!(command, LocationCommand::Serve { .. }) {
            for (sku, balance) in self.locations[index].balances() {
                let available = balance.available();
                assert!(
                    available >= before.available(sku).min(0),
                    "oversold (L1): {sku} {balance:?}"
                );
            }
        }
        Some(decision.reply)
    }

    /// Gives a command and takes its events in, checking every law after each of them.
    pub fn tell(&mut self, command: &OrderCommand) -> Result<OrderReply, OrderRejection> {
        self.now = self.now.plus_millis(1);
        self.tell_at(command, None)
    }

    pub fn tell_at(
        &mut self,
        command: &OrderCommand,
        occurred_at: Option<Timestamp>,
    ) -> Result<OrderReply, OrderRejection> {
        let context = Context {
            now: self.now,
            occurred_at,
            by: "test".into(),
        };
        let before = self.order.clone();
        let decision = self.order.decide(command, &context)?;
        let stamp: Stamp = context.stamp();
        if let Some(private) = &decision.private {
            self.order.apply_private(private);
        }
        for event in &decision.events {
            let last = self.order.clone();
            self.order.apply(event, &stamp);
            let about = || format!("{command:?}\n{event:?}\n{:#?}", self.order);
            if let Some(law) = self.order.broken_law() {
                panic!("{law}\nafter {}", about());
            }
            forward_only(&last, &self.order, &about);
            assert!(self.order.recorded_at() >= last.recorded_at());
            self.events.push(event.clone());
        }
        let hints = matches!(command, OrderCommand::Replenish | OrderCommand::Wake { .. });
        let tries = |event: &OrderEvent| matches!(event, OrderEvent::SourcingRequested { retried, .. } if !retried.is_empty());
        assert!(
            !hints || !before.is_parked() || !decision.events.iter().any(tries),
            "neither stock nor time wakes a parked order: {before:#?}"
        );
        assert_eq!(
            self.order.version,
            before.version + decision.events.len() as u64
        );
        assert_eq!(decision.reply.version, self.order.version);
        self.effects_are_named();
        assert_eq!(self.order.has_pending(), !self.order.pending().is_empty());
        let key = OrderPartKey::Body;
        let parts = self.order.part(&key).map(|part| (key, part.into_owned()));
        let mut stored = Order::assemble(self.order.id.clone(), parts.into_iter().collect());
        if let Some(personal) = self.order.private() {
            stored.apply_private(&personal);
        }
        assert_eq!(stored, self.order);
        if is_message(command) {
            let again = self
                .order
                .decide(command, &context)
                .expect("a repeated message is no error");
            assert_eq!(
                again.events,
                [],
                "a repeated {command:?} changes something (L3)"
            );
        }
        Ok(decision.reply)
    }

    /// Sends what is pending, once more if it was sent already.
    pub fn send(&mut self) {
        // A network that holds everything forever would make long runs endless.
        if self.network.len() < 16 {
            self.network.extend(
                self.order
                    .pending()
                    .into_iter()
                    .map(|e| Message::Effect(Box::new(e))),
            );
        }
        for (index, at) in self.locations.iter().enumerate() {
            for effect in at.pending() {
                let LocationEffect::NotifyDisplaced { attempt, units } = effect else {
                    continue;
                };
                let (location, attempt) = (location(index), attempt.attempt);
                let told = OrderCommand::Displaced {
                    location,
                    attempt,
                    units,
                };
                self.network.push(Message::Told(Box::new(told)));
            }
        }
    }

    /// Delivers the message at `index`, which stays under way when `repeat` is set.
    pub fn deliver(&mut self, index: usize, repeat: bool) {
        if self.network.is_empty() {
            return;
        }
        let index = index % self.network.len();
        let message = if repeat {
            self.network[index].clone()
        } else {
            self.network.remove(index)
        };
        match message {
            Message::Effect(effect) => self.perform(&effect),
            Message::Told(command) => {
                self.tell(&command).expect("a message is never an error");
                if let OrderCommand::Displaced {
                    location: from,
                    attempt,
                    units,
                } = &*command
                {
                    let attempt = AttemptId {
                        order: self.order.id.clone(),
                        line: self.line_of(*attempt),
                        attempt: *attempt,
                    };
                    let confirmed = LocationCommand::DisplacementConfirmed {
                        attempt,
                        units: *units,
                    };
                    self.tell_location(index_of(from), &confirmed);
                }
            }
        }
    }

    /// The line of an attempt, which the order may have forgotten.
    fn line_of(&self, attempt: u32) -> u32 {
        let mut numbered = self.events.iter().filter_map(|e| match e {
            OrderEvent::Sourced { assignments, .. } => Some(assignments),
            _ => None,
        });
        let nth = numbered.by_ref().flatten().nth(attempt as usize - 1);
        nth.expect("attempts are numbered in the order in which they were sourced")
            .line
    }

    pub fn lose(&mut self, index: usize) {
        if !self.network.is_empty() {
            let index = index % self.network.len();
            self.network.remove(index);
        }
    }

    fn perform(&mut self, effect: &OrderEffect) {
        let told = match effect {
            OrderEffect::Source {
                round,
                units,
                excluded,
                gives_up,
            } => self.sourced(*round, units, excluded, *gives_up),
            OrderEffect::Ask {
                location: at,
                request,
            } => {
                let serve = LocationCommand::Serve {
                    order: self.order.id.clone(),
                    requests: vec![request.clone()],
                };
                let Some(LocationReply::Answers(answers)) =
                    self.tell_location(index_of(at), &serve)
                else {
                    panic!("a location answers every request");
                };
                OrderCommand::LocationAnswered {
                    location: at.clone(),
                    answers,
                }
            }
            OrderEffect::IssueTrackingNumber { shipment, .. } => {
                OrderCommand::TrackingNumberIssued {
                    shipment: shipment.number,
                    tracking_number: format!("T{}", shipment.number).parse().ok(),
                }
            }
            OrderEffect::Restock {
                location: at,
                number,
                items,
            } => {
                let return_id = ReturnId {
                    order: self.order.id.clone(),
                    number: *number,
                };
                let restock = LocationCommand::Restock {
                    return_id,
                    items: items.clone(),
                };
                self.tell_location(index_of(at), &restock)
                    .expect("goods are never refused");
                OrderCommand::RestockConfirmed { number: *number }
            }
        };
        self.network.push(Message::Told(Box::new(told)));
    }

    fn sourced(
        &self,
        round: u32,
        units: &[(u32, u32)],
        excluded: &[(u32, LocationId)],
        gives_up: bool,
    ) -> OrderCommand {
        let plan = self.plan(units, excluded);
        if self.rule.is_plain() && !gives_up {
            return OrderCommand::Assign { round, plan };
        }
        OrderCommand::AssignByRule {
            round,
            plan: (!gives_up).then_some(plan),
            rule: Box::new(self.rule.clone()),
        }
    }

    /// A plan from what the locations have, except that at times one unit more is wished for blindly.
    /// An order for one location gets the first that nothing is excluded from.
    pub fn plan(&self, units: &[(u32, u32)], excluded: &[(u32, LocationId)]) -> Plan {
        let header = self.order.header.as_ref();
        let whole = header.is_some_and(|h| h.split == SplitPolicy::SingleLocation);
        let out = |index: &usize| {
            units
                .iter()
                .any(|(line, _)| excluded.contains(&(*line, location(*index))))
        };
        let places: Vec<usize> = match whole {
            true => (0..LOCATIONS.len())
                .find(|index| !out(index))
                .into_iter()
                .collect(),
            false => (0..LOCATIONS.len()).collect(),
        };
        let mut assignments = Vec::new();
        for &(line, wanted) in units {
            let Some(of) = self.order.lines.get(line as usize) else {
                continue;
            };
            let Fulfilment::Physical(parts) = &of.fulfilment else {
                continue;
            };
            let mut left = wanted;
            for &index in &places {
                let place = location(index);
                let has = |(sku, each): &(Sku, u32)| self.available(index, sku) / each;
                let there = parts.iter().map(has).min().unwrap_or(0);
                let blind = u32::from((self.now.0 / 1_000) % 3 == 0);
                let quantity = if whole { left } else { left.min(there + blind) };
                if quantity > 0 && !excluded.contains(&(line, place.clone())) {
                    assignments.push(Assignment {
                        line,
                        location: place,
                        quantity,
                    });
                    left -= quantity;
                }
            }
        }
        Plan {
            assignments,
            inputs: vec![1, 2, 3],
        }
    }

    /// What a location may still grant.
    pub fn available(&self, index: usize, sku: &Sku) -> u32 {
        u32::try_from(self.locations[index].available(sku)).unwrap_or(0)
    }

    /// Stock turns out to be less than is promised, by up to so many pieces.
    pub fn displace(&mut self, index: usize, pieces: u32) {
        let index = index % self.locations.len();
        let unpicked = |sku: &Sku| {
            let balance = self.locations[index].balance(sku);
            balance.reserved - balance.picked
        };
        let found = self.locations[index]
            .balances()
            .map(|(sku, _)| sku.clone())
            .find(|sku| unpicked(sku) > 0);
        let Some(sku) = found else { return };
        let gone =
            self.locations[index].available(&sku).max(0) + unpicked(&sku).min(i64::from(pieces));
        let reference = "audit".into();
        self.tell_location(
            index,
            &LocationCommand::Adjust {
                sku,
                delta: -gone,
                damaged_delta: 0,
                reference,
            },
        );
    }

    pub fn pass(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
        let now = self.now;
        self.tell(&OrderCommand::Wake { now })
            .expect("time is never an error");
    }

    /// Lets everything that is under way come to its end.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            self.send();
            while !self.network.is_empty() {
                self.deliver(0, false);
            }
            if !self.order.has_pending() && self.locations.iter().all(|l| !l.has_pending()) {
                self.agree();
                return;
            }
        }
        panic!(
            "the order never settles: {:#?}\n{:#?}",
            self.order,
            self.order.pending()
        );
    }

    /// Once nothing is under way, locations hold for the order exactly what it believes (L5).
    fn agree(&self) {
        for (index, at) in self.locations.iter().enumerate() {
            let of = |a: &&Attempt| a.location == location(index) && a.granted;
            let believed: u32 = self
                .order
                .attempts
                .iter()
                .filter(of)
                .map(|a| a.units - a.shipped)
                .sum();
            assert_eq!(
                believed,
                reserved_at(at),
                "at {}: {:#?}\n{at:#?}",
                LOCATIONS[index],
                self.order
            );
        }
        assert!(self.order.settled());
        let units = self.order.units();
        assert!(
            !self.order.must_be_whole() || units.backordered == 0 || units.allocated == 0,
            "an order that must be whole is reserved in part: {:#?}",
            self.order
        );
    }

    pub fn reserved(&self) -> u32 {
        self.locations.iter().map(reserved_at).sum()
    }

    /// Every pending effect has a name of its own.
    fn effects_are_named(&self) {
        let keys: Vec<_> = self.order.pending().iter().map(Effect::key).collect();
        let repeated = keys
            .iter()
            .enumerate()
            .find(|(at, key)| keys[..*at].contains(key));
        assert_eq!(repeated, None, "{keys:?}");
    }
}

fn index_of(location: &LocationId) -> usize {
    LOCATIONS
        .iter()
        .position(|l| *l == location.as_str())
        .expect("one of ours")
}

/// Units that a location holds for orders and that have not left.
fn reserved_at(location: &Location) -> u32 {
    location
        .reservations_after(None)
        .map(|(_, units, _)| units)
        .sum()
}

/// Commands that come from other entities or carriers, at least once and in any order.
fn is_message(command: &OrderCommand) -> bool {
    matches!(
        command,
        OrderCommand::Assign { .. }
            | OrderCommand::AssignByRule { .. }
            | OrderCommand::LocationAnswered { .. }
            | OrderCommand::Displaced { .. }
            | OrderCommand::TrackingNumberIssued { .. }
            | OrderCommand::Track { .. }
            | OrderCommand::RestockConfirmed { .. }
            | OrderCommand::Wake { .. }
    )
}
