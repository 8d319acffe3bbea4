//! The replay: entry by entry through a recording, both worlds side by side.

use std::collections::{BTreeMap, BTreeSet};

use consign_domain::ids::LocationId;
use consign_domain::order::{
    Assignment, AttemptUnits, CancelledUnits, Header, NewLine, OrderEvent, ReleasedUnits,
};
use consign_domain::time::Timestamp;
use consign_sourcing::{Compiled, Decided, InputLine, Inputs, Strategy, StrategyError, decide};

use super::course::{Course, Held, LineCourse};
use super::recorded::{Entry, Recording, What};
use super::report::{Regrets, Report};
use super::rooms::{Load, Rooms, World};
use super::stock::Worlds;
use crate::atlas::{Atlas, Stock};
use crate::strategies::known_locations;

/// Why a recorded order cancelled units by itself; the draft's world has its own reasons.
const OUT_OF_STOCK: &str = "out_of_stock";
/// Entries between two words about progress.
const TOLD_EVERY: usize = 1_024;

/// Sources a recording's orders again by `strategy`; tells how many entries are done.
///
/// # Errors
/// When the strategy cannot decide, with the place and the reason.
pub fn replay(
    recording: &Recording,
    strategy: &Strategy,
    mut progress: impl FnMut(u64),
) -> Result<Report, StrategyError> {
    let mut replay = Replay::new(recording, strategy)?;
    for (nth, entry) in recording.entries.iter().enumerate() {
        replay.take(entry);
        if nth % TOLD_EVERY == 0 {
            progress(nth as u64);
        }
    }
    progress(recording.entries.len() as u64);
    Ok(replay.report(strategy))
}

/// A replay under way.
pub(super) struct Replay<'r> {
    pub(super) recording: &'r Recording,
    pub(super) atlas: Atlas,
    /// The same strategy without preferences: what must be paid at least.
    pub(super) money: Compiled,
    pub(super) worlds: Worlds,
    pub(super) rooms: Rooms,
    pub(super) courses: Vec<Course>,
    placed: u32,
    pub(super) now: Timestamp,
    /// Orders on their own way that wait for a SKU, in the order in which they were placed.
    pub(super) waiting: BTreeMap<u32, BTreeSet<(u32, u32)>>,
    /// SKUs of which there is more than before in the draft's world.
    pub(super) risen: BTreeSet<u32>,
    /// Versions that decided in the recorded world, as far as they can still decide.
    pub(super) live: BTreeMap<u32, Option<Compiled>>,
    pub(super) decisions: u64,
    pub(super) regrets: Regrets,
}

/// What the draft's world has of a SKU, read beside what a recorded decision saw.
pub(super) struct DraftStock<'a> {
    pub(super) worlds: &'a Worlds,
    pub(super) sku: u32,
    pub(super) seen: Option<Seen<'a>>,
}

/// What a recorded decision saw of a SKU.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) inputs: &'a Inputs,
    /// Its place in them.
    pub(super) nth: u32,
    /// Pieces that all lines want: figures below are exact, others may be more.
    pub(super) wanted: u64,
}

impl Stock for DraftStock<'_> {
    fn at(&self, ordinal: u32) -> i64 {
        let level = self.worlds.draft(self.sku, ordinal);
        let Some(seen) = self.seen else { return level };
        let without = |(first, count): &(u32, u32)| (*first..*first + *count).contains(&ordinal);
        match seen.inputs.nth_of(ordinal) {
            Some(at) if self.worlds.same_at(self.sku, ordinal) => {
                let units = seen.inputs.available_at(seen.nth, at);
                match u64::from(units) < seen.wanted {
                    true => i64::from(units),
                    false => level.max(i64::from(units)),
                }
            }
            Some(_) => level,
            None if !seen.inputs.without_stock.iter().any(without) => 0,
            None if self.worlds.same_at(self.sku, ordinal) => 0,
            None => level,
        }
    }
}

impl<'r> Replay<'r> {
    fn new(recording: &'r Recording, strategy: &Strategy) -> Result<Replay<'r>, StrategyError> {
        let catalogue = &recording.catalogue;
        let known = known_locations(catalogue, strategy);
        let money = strategy.for_money_only().compiled(&known)?;
        // What is built in knows nothing of the order; any other is told.
        let number = u32::from(*strategy != Strategy::built_in());
        let compiled = match number {
            0 => Compiled::default(),
            _ => strategy.compiled(&known)?,
        };
        Ok(Replay {
            recording,
            atlas: Atlas::by(catalogue, number, compiled),
            money,
            worlds: Worlds::new(recording.levels.clone()),
            rooms: Rooms::default(),
            courses: vec![Course::default(); recording.orders.len()],
            placed: 0,
            now: Timestamp::ZERO,
            waiting: BTreeMap::new(),
            risen: BTreeSet::new(),
            live: BTreeMap::new(),
            decisions: 0,
            regrets: Regrets::new(strategy),
        })
    }

    fn take(&mut self, entry: &Entry) {
        self.now = entry.at;
        if self.rooms.has_opened(entry.at) {
            self.risen.extend(self.waiting.keys());
        }
        match &entry.what {
            What::Stock {
                ordinal,
                order,
                changes,
            } => self.stock(*ordinal, *order, changes),
            What::Limited { ordinal, limits } => {
                self.rooms.limit(*ordinal, *limits, entry.at);
                self.risen.extend(self.waiting.keys());
            }
            What::Order { order, event } => self.happened(*order, event),
            What::Decided {
                order,
                assignments,
                inputs,
            } => self.decided(*order, assignments, inputs),
        }
        while let Some(sku) = self.risen.pop_first() {
            self.serve_waiting(sku);
        }
    }

    fn stock(&mut self, ordinal: u32, order: Option<u32>, changes: &[(u32, i64)]) {
        for (sku, units) in changes {
            let of = order.map(|order| &mut self.courses[order as usize]);
            let is_own = of.is_some_and(|course| {
                course.note_taken(*sku, ordinal, -units);
                course.is_own
            });
            if is_own {
                self.worlds.recorded_only(*sku, ordinal, *units);
                continue;
            }
            self.worlds.both(*sku, ordinal, *units);
            if *units > 0 {
                self.risen.insert(*sku);
            }
        }
    }

    fn happened(&mut self, order: u32, event: &OrderEvent) {
        use OrderEvent as E;
        match event {
            E::Placed {
                header,
                lines,
                cancelled: false,
            } => self.place(order, header, lines),
            _ if self.courses[order as usize].header.is_none() => {}
            E::Reserved {
                location, grants, ..
            } => self.granted(order, location, grants),
            E::UnitsCancelled { units, reason } => self.cancelled(order, units, reason),
            E::UnitsReleased { location, releases } => self.released(order, location, releases),
            E::UnitsNotFound { location, units } => self.not_found(order, location, units),
            E::LineAdded { line } => self.add_line(order, line),
            E::AddressSet { destination } => {
                let course = &mut self.courses[order as usize];
                if let Some(header) = &mut course.header {
                    header.destination = destination.clone();
                }
                // In the recorded world what is reserved is taken back line by line.
                if course.is_own {
                    self.take_all_back(order);
                    let waiting = self.courses[order as usize].all_waiting();
                    self.source_own(order, &waiting);
                }
            }
            E::ServiceLevelSet { service_level } => {
                if let Some(header) = &mut self.courses[order as usize].header {
                    header.service_level = service_level.clone();
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, order: u32, header: &Header, lines: &[NewLine]) {
        self.placed += 1;
        let course = &mut self.courses[order as usize];
        course.header = Some(Box::new(header.clone()));
        course.placed_nth = self.placed;
        for line in lines {
            self.add_line(order, line);
        }
    }

    fn add_line(&mut self, order: u32, line: &NewLine) {
        let skus = &self.recording.skus;
        // What no location has ever had or lost has no number; it is as if it had the last one.
        let number = |sku: &_| skus.get(sku).copied().unwrap_or(u32::MAX - 1);
        let line = LineCourse::new(line.clone(), number);
        self.courses[order as usize].lines.push(line);
    }

    pub(super) fn ordinal(&self, location: &LocationId) -> u32 {
        // A location that is not defined serves nobody.
        self.recording.ordinal(location).unwrap_or(u32::MAX - 1)
    }

    fn granted(&mut self, order: u32, location: &LocationId, grants: &[AttemptUnits]) {
        let ordinal = self.ordinal(location);
        for grant in grants {
            let course = &mut self.courses[order as usize];
            let load = Load {
                ordinal,
                units: grant.units,
                at: self.now,
                whole_order: !course.recorded.has(ordinal),
            };
            course.recorded.add(grant.line, ordinal, grant.units);
            self.load(order, self.world_of(order), load);
        }
    }

    fn cancelled(&mut self, order: u32, units: &[CancelledUnits], reason: &str) {
        for of in units {
            let units = of.unsourced + of.backordered;
            self.cancel_recorded(order, of.line, units);
            let by_itself = reason == OUT_OF_STOCK;
            if self.courses[order as usize].is_own && !by_itself {
                self.cancel_own(order, of.line, units);
            }
        }
    }

    fn cancel_recorded(&mut self, order: u32, line: u32, units: u32) {
        let course = &mut self.courses[order as usize];
        let is_own = course.is_own;
        if let Some(line) = course.lines.get_mut(line as usize) {
            line.cancelled_recorded += units;
            if !is_own {
                line.cancelled_draft += units;
            }
        }
    }

    /// Cancels units of a line in the draft's world: what waits, then what was given last.
    fn cancel_own(&mut self, order: u32, line: u32, units: u32) {
        let course = &mut self.courses[order as usize];
        let waiting = course.waiting(line).min(units);
        let mut left = units - waiting;
        let mut cancelled = waiting;
        while left > 0 {
            let Some(held) = self.courses[order as usize].own.last_of(line) else {
                break;
            };
            let taken = self.take_back(order, held.line, held.ordinal, left);
            left -= taken;
            cancelled += taken;
        }
        if let Some(line) = self.courses[order as usize].lines.get_mut(line as usize) {
            line.cancelled_draft += cancelled;
        }
        self.forget_waiting(order);
    }

    fn released(&mut self, order: u32, location: &LocationId, releases: &[ReleasedUnits]) {
        let ordinal = self.ordinal(location);
        let mut again = Vec::new();
        for of in releases {
            let course = &mut self.courses[order as usize];
            let back = of.cancelled + of.unsourced;
            let back = course.recorded.take(of.line, ordinal, back);
            self.unload(order, self.world_of(order), (ordinal, back));
            self.cancel_recorded(order, of.line, of.cancelled);
            if !self.courses[order as usize].is_own {
                continue;
            }
            self.cancel_own(order, of.line, of.cancelled);
            let moved = self.take_back(order, of.line, ordinal, of.unsourced);
            if moved > 0 {
                self.exclude(order, of.line, location);
                again.push((of.line, moved));
            }
        }
        self.source_own(order, &again);
    }

    fn not_found(&mut self, order: u32, location: &LocationId, units: &[AttemptUnits]) {
        let ordinal = self.ordinal(location);
        let mut again = Vec::new();
        for of in units {
            let course = &mut self.courses[order as usize];
            course.recorded.take(of.line, ordinal, of.units);
            let parts = course.parts_of(of.line).to_vec();
            // They leave the reservation and the stock: what may be granted stays as it is.
            for (sku, per_unit) in &parts {
                let pieces = i64::from(of.units) * i64::from(*per_unit);
                course.note_taken(*sku, ordinal, -pieces);
            }
            if !course.is_own {
                continue;
            }
            // Where the order is in both worlds, it loses the units in both.
            let missed = course.own.take(of.line, ordinal, of.units);
            let gone = -i64::from(of.units - missed);
            self.worlds.draft_units(&parts, ordinal, gone);
            if missed > 0 {
                self.exclude(order, of.line, location);
                again.push((of.line, missed));
            }
        }
        self.source_own(order, &again);
    }

    fn exclude(&mut self, order: u32, line: u32, location: &LocationId) {
        let course = &mut self.courses[order as usize];
        course.excluded.push((line, location.clone()));
    }

    /// A recorded decision: made again for an order whose course is shared.
    fn decided(&mut self, order: u32, then: &[Assignment], recorded: &Inputs) {
        let course = &self.courses[order as usize];
        let lines = course.lines.len();
        let is_known = |line: &InputLine| (line.line as usize) < lines;
        if course.header.is_none() || !recorded.lines.iter().all(is_known) {
            return;
        }
        self.note_sites(order, recorded, then);
        if self.courses[order as usize].is_own {
            return;
        }
        let needs: Vec<(u32, u32)> = recorded.lines.iter().map(|l| (l.line, l.units)).collect();
        let inputs = self.inputs_of(order, recorded, &needs);
        let decided = decide(&self.atlas.strategy, &inputs);
        self.judge(order, &inputs, &decided);
        let wanted: u32 = needs.iter().map(|(_, units)| *units).sum();
        let now = self.effective(order, &decided);
        let mut before: Vec<Held> = then
            .iter()
            .map(|of| Held {
                line: of.line,
                ordinal: self.ordinal(&of.location),
                units: of.quantity,
            })
            .collect();
        let served = |all: &[Held]| all.iter().map(|held| held.units).sum::<u32>();
        let course = &mut self.courses[order as usize];
        course
            .first_short
            .get_or_insert([&before, &now].map(|held| wanted.saturating_sub(served(held))));
        let mut after = now.clone();
        before.sort_unstable_by_key(|held| (held.line, held.ordinal));
        after.sort_unstable_by_key(|held| (held.line, held.ordinal));
        if before == after && !self.ends_otherwise(order, &decided, recorded) {
            return;
        }
        self.leave(order);
        self.reserve(order, &inputs, &now, &decided);
    }

    /// From now on the order goes its own way. It keeps what it was given, and the recorded world
    /// keeps what was reserved for it there.
    fn leave(&mut self, order: u32) {
        let course = &mut self.courses[order as usize];
        course.is_own = true;
        course.own = course.recorded.clone();
        for (sku, ordinal, pieces) in &course.taken {
            self.worlds.draft_only(*sku, *ordinal, *pieces);
        }
        for held in course.own.all() {
            let (parts, units) = (course.parts_of(held.line), i64::from(held.units));
            self.worlds.draft_units(parts, held.ordinal, -units);
        }
    }

    /// Sources units of an order that is on its own way.
    pub(super) fn source_own(&mut self, order: u32, needs: &[(u32, u32)]) {
        if needs.is_empty() {
            return;
        }
        let inputs = self.ask(order, needs, None);
        let decided = decide(&self.atlas.strategy, &inputs);
        self.judge(order, &inputs, &decided);
        let now = self.effective(order, &decided);
        self.reserve(order, &inputs, &now, &decided);
    }

    /// Reserves what a plan gives, in the draft's world; what is short waits or is cancelled.
    fn reserve(&mut self, order: u32, inputs: &Inputs, plan: &[Held], decided: &Decided) {
        for held in plan {
            let course = &mut self.courses[order as usize];
            let load = Load {
                ordinal: held.ordinal,
                units: held.units,
                at: self.now,
                whole_order: !course.own.has(held.ordinal),
            };
            course.own.add(held.line, held.ordinal, held.units);
            let (parts, units) = (course.parts_of(held.line), i64::from(held.units));
            self.worlds.draft_units(parts, held.ordinal, -units);
            if let Some(nth) = inputs.nth_of(held.ordinal) {
                course.sites.insert(held.ordinal, inputs.candidates[nth]);
            }
            self.load(order, World::Draft, load);
        }
        self.settle(order, decided);
        self.note_waiting(order);
    }

    fn take_back(&mut self, order: u32, line: u32, ordinal: u32, units: u32) -> u32 {
        let course = &mut self.courses[order as usize];
        let taken = course.own.take(line, ordinal, units);
        if taken > 0 {
            let parts = course.parts_of(line);
            self.worlds.draft_units(parts, ordinal, i64::from(taken));
            self.risen.extend(parts.iter().map(|(sku, _)| *sku));
            self.unload(order, World::Draft, (ordinal, taken));
        }
        taken
    }

    pub(super) fn take_all_back(&mut self, order: u32) {
        for held in self.courses[order as usize].own.all().to_vec() {
            self.take_back(order, held.line, held.ordinal, held.units);
        }
    }
}
