//! What limited locations have taken on, in the recorded world and in the draft's.
//!
//! In: limits as they were set, and what orders were given and gave back. Out: room that the draft's
//! decisions are bound by. What was taken on before the recording begins is not known, and not counted.

use std::collections::BTreeMap;

use consign_domain::catalogue::BUILT_IN;
use consign_domain::location::{Capacity, CapacityLimits};
use consign_domain::time::Timestamp;
use consign_sourcing::Inputs;

use super::replay::Replay;

/// In which world something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    Both,
    Recorded,
    Draft,
}

/// Units that an order is given at a location, or gives back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) ordinal: u32,
    pub(super) units: u32,
    /// When it is given them; when it was, for what is given back.
    pub(super) at: Timestamp,
    /// Whether the order had nothing there before, or has nothing left.
    pub(super) whole_order: bool,
}

/// Limited locations, by ordinal: as recorded, and the draft's.
#[derive(Clone, Debug, Default)]
pub(super) struct Rooms {
    known: BTreeMap<u32, (Capacity, Capacity)>,
    /// When somebody who waits for room should look again.
    opens_at: Option<Timestamp>,
}

impl Rooms {
    pub(super) fn is_any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Limits a location from now on: what it has taken on stays.
    pub(super) fn limit(&mut self, ordinal: u32, limits: CapacityLimits, now: Timestamp) {
        let fresh = Capacity::new(limits, now);
        let both = self.known.entry(ordinal).or_insert((fresh, fresh));
        *both = (both.0.with(limits, now), both.1.with(limits, now));
    }

    pub(super) fn take(&mut self, world: World, load: Load) {
        self.each(world, load.ordinal, |capacity| {
            capacity.take(load.units, load.whole_order, load.at);
        });
    }

    pub(super) fn give_back(&mut self, world: World, load: Load, now: Timestamp) {
        self.each(world, load.ordinal, |capacity| {
            capacity.give_back_units(load.units, load.at, now);
            if load.whole_order {
                capacity.give_back_order(load.at, now);
            }
        });
    }

    fn each(&mut self, world: World, ordinal: u32, mut change: impl FnMut(&mut Capacity)) {
        let Some((recorded, draft)) = self.known.get_mut(&ordinal) else {
            return;
        };
        if world != World::Draft {
            change(recorded);
        }
        if world != World::Recorded {
            change(draft);
        }
    }

    /// Whether all locations have taken on the same in both worlds.
    pub(super) fn same(&self) -> bool {
        self.known
            .values()
            .all(|(recorded, draft)| recorded == draft)
    }

    /// Tells a decision which candidates cannot take on all that is wanted, in the draft's world.
    pub(super) fn bound(&mut self, inputs: &mut Inputs, now: Timestamp) {
        let wanted: u64 = inputs.lines.iter().map(|line| u64::from(line.units)).sum();
        let mut room: Vec<(u32, u32)> = Vec::new();
        let mut load: Vec<(u32, u32)> = Vec::new();
        let asks = inputs.strategy != BUILT_IN;
        for candidate in &inputs.candidates {
            let Some((_, draft)) = self.known.get(&candidate.ordinal) else {
                continue;
            };
            load.extend(
                draft
                    .load_permille(now)
                    .map(|load| (candidate.ordinal, load)),
            );
            let units = draft.room(now).for_new_order();
            if u64::from(units) < wanted {
                room.push((candidate.ordinal, units));
                let next = draft.next_opening(now);
                self.opens_at = next.into_iter().chain(self.opens_at).min();
            }
        }
        match &mut inputs.facts {
            Some(facts) => {
                facts.room = room;
                if asks {
                    facts.load_permille = load;
                }
            }
            None if room.is_empty() => {}
            None => inputs.facts.get_or_insert_default().room = room,
        }
    }

    /// Whether room may have opened since somebody found none.
    pub(super) fn has_opened(&mut self, now: Timestamp) -> bool {
        let has_opened = self.opens_at.is_some_and(|at| at <= now);
        if has_opened {
            self.opens_at = None;
        }
        has_opened
    }
}

impl Replay<'_> {
    /// In which world what is recorded of an order happens.
    pub(super) fn world_of(&self, order: u32) -> World {
        match self.courses[order as usize].is_own {
            true => World::Recorded,
            false => World::Both,
        }
    }

    /// A location takes on units of an order.
    pub(super) fn load(&mut self, order: u32, world: World, load: Load) {
        if self.rooms.is_any() {
            self.rooms.take(world, load);
            let given_at = &mut self.courses[order as usize].given_at;
            given_at.entry(load.ordinal).or_insert(load.at);
        }
    }

    /// Units of an order leave a location that may have taken them on.
    pub(super) fn unload(&mut self, order: u32, world: World, (ordinal, units): (u32, u32)) {
        let course = &self.courses[order as usize];
        let Some(at) = course.given_at.get(&ordinal).copied() else {
            return;
        };
        let holding = match world {
            World::Draft => &course.own,
            World::Both | World::Recorded => &course.recorded,
        };
        let load = Load {
            ordinal,
            units,
            at,
            whole_order: !holding.has(ordinal),
        };
        self.rooms.give_back(world, load, self.now);
        self.risen.extend(self.waiting.keys());
    }
}
