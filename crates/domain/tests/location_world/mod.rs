//! A location with a bookkeeper beside it: every event it records is entered in a ledger of the
//! tests' own and in a store of parts, and both are held against the location afterwards.
//!
//! In: commands. Out: replies. What must hold after every event is checked here (L1, L3, L5); tests
//! only say what happens.

use std::collections::{BTreeMap, BTreeSet};

use consign_domain::entity::{Context, Entity};
use consign_domain::ids::{AttemptId, HoldId, LocationId, OrderId, ReturnId, Sku};
use consign_domain::location::{
    Answer, Balance, Location, LocationCommand, LocationEvent, LocationPart, LocationPartKey,
    LocationRejection, LocationReply, Request,
};
use consign_domain::time::Timestamp;

pub const START: Timestamp = Timestamp(1_000_000_000);

pub fn at(millis: i64) -> Timestamp {
    START.plus_millis(millis)
}

pub fn sku(kind: u32) -> Sku {
    Sku::new(&format!("sku{kind}")).expect("a valid name")
}

pub fn attempt(number: u32) -> AttemptId {
    let order = OrderId::new(&format!("order-of-many-letters-{}", number % 3)).expect("valid");
    AttemptId {
        order,
        line: number % 2,
        attempt: number,
    }
}

pub fn hold(number: u32) -> HoldId {
    HoldId::new(&format!("hold{number}")).expect("a valid name")
}

pub fn place(name: &str) -> LocationId {
    LocationId::new(name).expect("a valid name")
}

pub fn return_id(number: u32) -> ReturnId {
    ReturnId {
        order: OrderId::new("o1").expect("a valid name"),
        number,
    }
}

/// One request, as its order sends it.
pub fn serve(request: Request) -> LocationCommand {
    LocationCommand::Serve {
        order: request.attempt().order.clone(),
        requests: vec![request],
    }
}

/// A location and what the tests know of it.
pub struct Shelf {
    pub location: Location,
    pub now: Timestamp,
    ledger: BTreeMap<Sku, Balance>,
    stored: BTreeMap<LocationPartKey, LocationPart>,
    over: BTreeSet<AttemptId>,
}

impl Shelf {
    pub fn new(name: &str) -> Self {
        Self {
            location: Location::empty(place(name)),
            now: START,
            ledger: BTreeMap::new(),
            stored: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    pub fn with_stock(stock: &[(u32, u32)]) -> Self {
        let mut shelf = Self::new("LEEDS");
        for (kind, quantity) in stock {
            shelf.receive(*kind, *quantity);
        }
        shelf
    }

    pub fn receive(&mut self, kind: u32, quantity: u32) {
        let (sku, reference) = (sku(kind), "delivery".into());
        let command = LocationCommand::Receive {
            sku,
            quantity,
            reference,
        };
        self.tell(&command).expect("a receipt of some units");
    }

    fn context(&self) -> Context {
        Context {
            now: self.now,
            occurred_at: None,
            by: "test".into(),
        }
    }

    /// Gives a command and takes its events in.
    pub fn tell(&mut self, command: &LocationCommand) -> Result<LocationReply, LocationRejection> {
        self.record(command).map(|(reply, _)| reply)
    }

    /// Gives one request and hears the one answer.
    pub fn ask(&mut self, request: Request) -> Answer {
        match self.tell(&serve(request)) {
            Ok(LocationReply::Answers(answers)) if answers.len() == 1 => answers[0].clone(),
            other => panic!("one request has one answer, not {other:?}"),
        }
    }

    /// Gives a command, takes its events in and returns them beside the reply.
    pub fn record(
        &mut self,
        command: &LocationCommand,
    ) -> Result<(LocationReply, Vec<LocationEvent>), LocationRejection> {
        let context = self.context();
        let decision = self.location.decide(command, &context)?;
        for event in &decision.events {
            self.take(event, &context);
        }
        self.note_answers(command, &decision.reply);
        self.check();
        Ok((decision.reply, decision.events))
    }

    fn take(&mut self, event: &LocationEvent, context: &Context) {
        let mut touched = Vec::new();
        Location::touched_parts(event, &mut touched);
        self.location.apply(event, &context.stamp());
        for key in touched {
            match self.location.part(&key) {
                Some(part) => drop(self.stored.insert(key, part.into_owned())),
                None => drop(self.stored.remove(&key)),
            }
        }
        let grants = matches!(
            event,
            LocationEvent::Reserved { .. }
                | LocationEvent::Held { .. }
                | LocationEvent::TransferredOut { .. }
        );
        for movement in event.movements() {
            let row = self.ledger.entry(movement.sku.clone()).or_default();
            *row = movement.on(*row);
            let left = self.location.available(&movement.sku);
            assert!(!grants || left >= 0, "oversold by {left} (L1): {event:?}");
        }
    }

    fn note_answers(&mut self, command: &LocationCommand, reply: &LocationReply) {
        let (LocationCommand::Serve { requests, .. }, LocationReply::Answers(answers)) =
            (command, reply)
        else {
            return;
        };
        assert_eq!(requests.len(), answers.len(), "one answer per request");
        for (request, answer) in requests.iter().zip(answers) {
            // A late message does not know of a grant that is still to come: only what ends an
            // attempt, or refuses it, is the last word.
            let ends = match (request, answer) {
                (Request::Reserve { .. }, Answer::Refused { .. }) => true,
                (Request::Release { .. }, Answer::Closed { .. }) => true,
                (_, Answer::Closed { .. }) => self.over.contains(request.attempt()),
                _ => false,
            };
            if ends {
                self.over.insert(request.attempt().clone());
            }
        }
    }

    /// What must hold between any two commands.
    fn check(&self) {
        for attempt in &self.over {
            let risen = self.location.reservation(attempt);
            assert_eq!(risen, None, "{attempt} came back after its end (L3)");
        }
        let mut kept: BTreeMap<&Sku, (i64, i64)> = BTreeMap::new();
        for (attempt, units, picked) in self.location.reservations_after(None) {
            let reservation = self.location.reservation(attempt).expect("it is listed");
            assert!(units > 0, "{attempt} has nothing left and stands");
            for (sku, per_unit) in reservation.makeup.parts() {
                let row = kept.entry(sku).or_default();
                row.0 += i64::from(units) * i64::from(per_unit);
                row.1 += i64::from(picked) * i64::from(per_unit);
            }
        }
        for (sku, units) in self.location.holds().flat_map(|(_, held)| &held.items) {
            kept.entry(sku).or_default().0 += i64::from(*units);
        }
        for (sku, balance) in self.location.balances() {
            let row = self.ledger.get(sku).copied().unwrap_or_default();
            assert_eq!(balance, row, "{sku}: movements sum to the balance");
            let (reserved, picked) = kept.get(sku).copied().unwrap_or_default();
            assert_eq!(
                (balance.reserved, balance.picked),
                (reserved, picked),
                "{sku}: every reserved unit has an owner (L5)"
            );
        }
        assert_eq!(
            self.location.has_pending(),
            !self.location.pending().is_empty()
        );
        self.check_stored();
    }

    /// What was stored part by part is the same location. Tombstones are left out: one whose time
    /// is over means nothing, so that it may stay stored a while longer.
    fn check_stored(&self) {
        let parts = self.stored.clone().into_iter().collect();
        let stored = Location::assemble(self.location.id().clone(), parts);
        let open = |location: &Location| -> Vec<_> {
            let rows = location.reservations_after(None);
            rows.map(|(attempt, ..)| (attempt.clone(), location.reservation(attempt).cloned()))
                .collect()
        };
        assert_eq!(open(&stored), open(&self.location));
        assert!(stored.balances().eq(self.location.balances()));
        assert!(stored.holds().eq(self.location.holds()));
        assert!(stored.all_announced().eq(self.location.all_announced()));
        for (sku, all) in stored.all_announced() {
            let orderly = all.is_sorted_by_key(|of| of.expected_at);
            let none_empty = all.iter().all(|of| of.quantity > 0) && !all.is_empty();
            assert!(orderly && none_empty, "{sku}: {all:?}");
        }
        assert_eq!(stored.pending(), self.location.pending());
        assert_eq!(stored.wakeup(), self.location.wakeup());
        assert_eq!(stored.capacity(), self.location.capacity());
        assert!(
            stored
                .blocks_after(None)
                .eq(self.location.blocks_after(None))
        );
        // Also what reservations took of it.
        let is_whole = |key: &&LocationPartKey| !matches!(key, LocationPartKey::Tombstones(_));
        for key in self.stored.keys().filter(is_whole) {
            assert_eq!(stored.part(key), self.location.part(key), "{key:?}");
        }
        assert_eq!(stored.version(), self.location.version());
        assert_eq!(stored.recorded_at(), self.location.recorded_at());
        assert!(stored.tombstones() >= self.location.tombstones());
    }
}
