//! What a decision of the draft's rests on, who waits in its world, and what its rules lost.

use consign_domain::catalogue::BUILT_IN;
use consign_domain::ids::Sku;
use consign_domain::order::{Assignment, Fulfilment};
use consign_sourcing::{Compiled, Decided, Inputs, RULE_VERSION, decide, price};

use super::course::Course;
use super::replay::{DraftStock, Replay, Seen};
use crate::atlas::{Asked, Need, Terms, Wants};
use crate::strategies;

impl Replay<'_> {
    /// What the draft decides on where an order was sourced in the recorded world: the very inputs,
    /// as long as its world has the same of all that is wanted.
    pub(super) fn inputs_of(
        &mut self,
        order: u32,
        recorded: &Inputs,
        needs: &[(u32, u32)],
    ) -> Inputs {
        let course = &self.courses[order as usize];
        let skus = skus_of(course, needs);
        let same = skus.iter().all(|(_, number, _)| self.worlds.same(*number));
        // Beyond what it kept back and needed, a decision did not record what there was.
        let shown = self
            .live(recorded.strategy)
            .map_or(0, Compiled::held_back_max);
        let shows_enough = self.atlas.strategy.held_back_max() <= shown;
        if !same || !shows_enough {
            return self.ask(order, needs, Some(recorded));
        }
        let mut inputs = recorded.clone();
        inputs.rule_version = RULE_VERSION;
        inputs.strategy = self.atlas.strategy_number;
        let course = &self.courses[order as usize];
        let asks = self.atlas.strategy_number != BUILT_IN;
        inputs.facts = match &course.header {
            Some(header) if asks && !knows_the_order(recorded) => {
                let catalogue = &self.recording.catalogue;
                let needs = needs_of(course, needs);
                let facts = crate::atlas::facts(&Terms::of(header), &needs, catalogue, self.now);
                Some(Box::new(facts))
            }
            _ => inputs.facts.take().filter(|_| asks),
        };
        self.bind(&mut inputs, Some(recorded));
        inputs
    }

    /// What a decision would have seen in the draft's world; beside a recorded one, as that saw it
    /// where both worlds are the same.
    pub(super) fn ask(
        &mut self,
        order: u32,
        needs: &[(u32, u32)],
        recorded: Option<&Inputs>,
    ) -> Inputs {
        let course = &self.courses[order as usize];
        let header = course.header.as_deref().expect("it was placed");
        let skus = skus_of(course, needs);
        let excluded: Vec<_> = match recorded {
            None => course.excluded.clone(),
            Some(recorded) => {
                let name = |(line, ordinal): &(u32, u32)| {
                    Some((*line, self.atlas.by_ordinal(*ordinal)?.id.clone()))
                };
                recorded.excluded.iter().filter_map(name).collect()
            }
        };
        let terms = Terms::of(header);
        let needs = needs_of(course, needs);
        let asked = Asked {
            wants: Wants::of(&self.atlas),
            terms: &terms,
            split: recorded.map_or(header.split, |recorded| recorded.split),
            needs: &needs,
            excluded: &excluded,
        };
        let mut inputs = self.atlas.inputs(
            &asked,
            &self.recording.catalogue,
            || self.now,
            |sku: &Sku| {
                let nth = skus.iter().position(|(known, ..)| *known == sku);
                let (number, wanted) = nth.map_or((u32::MAX, 0), |nth| (skus[nth].1, skus[nth].2));
                DraftStock {
                    worlds: &self.worlds,
                    sku: number,
                    seen: recorded.map(|inputs| Seen {
                        inputs,
                        nth: nth.unwrap_or(usize::MAX) as u32,
                        wanted,
                    }),
                }
            },
        );
        if let Some(recorded) = recorded {
            as_it_was(&mut inputs, recorded);
        }
        self.bind(&mut inputs, recorded);
        inputs
    }

    /// Tells a decision what room there is: as it was seen, where both worlds have taken on the same.
    fn bind(&mut self, inputs: &mut Inputs, recorded: Option<&Inputs>) {
        let seen = recorded.filter(|_| self.rooms.same());
        let Some(recorded) = seen else {
            self.rooms.bound(inputs, self.now);
            return;
        };
        let room = recorded.facts.as_ref().map(|facts| &facts.room);
        if let Some(room) = room.filter(|room| !room.is_empty()) {
            inputs.facts.get_or_insert_default().room.clone_from(room);
        }
    }

    /// A version that decided in the recorded world; none when it can no longer decide.
    pub(super) fn live(&mut self, number: u32) -> Option<&Compiled> {
        let catalogue = &self.recording.catalogue;
        let live = self.live.entry(number);
        live.or_insert_with(|| strategies::compiled(catalogue, number).ok())
            .as_ref()
    }

    /// Where units were asked for in the recorded world, and what it costs there.
    pub(super) fn note_sites(&mut self, order: u32, recorded: &Inputs, then: &[Assignment]) {
        for of in then {
            let ordinal = self.ordinal(&of.location);
            if let Some(nth) = recorded.nth_of(ordinal) {
                let sites = &mut self.courses[order as usize].sites;
                sites.insert(ordinal, recorded.candidates[nth]);
            }
        }
    }

    /// Counts a decision of the draft's, and what its rule paid more than had to be paid.
    pub(super) fn judge(&mut self, order: u32, inputs: &Inputs, decided: &Decided) {
        self.decisions += 1;
        let course = &mut self.courses[order as usize];
        if course.facts.is_none() {
            course.facts.clone_from(&inputs.facts);
        }
        let least = decide(&self.money, inputs);
        let paid = price(&self.money, inputs, &decided.plan.allotments);
        let needed = price(&self.money, inputs, &least.plan.allotments);
        let short =
            |decided: &Decided| -> u32 { decided.plan.short.iter().map(|(_, units)| *units).sum() };
        let more_short = short(decided).saturating_sub(short(&least));
        let money = match short(decided) == short(&least) {
            true => paid.cost - needed.cost,
            false => 0,
        };
        self.regrets.note(decided.rule, money, more_short);
    }

    /// Takes note of what an order on its own way waits for.
    pub(super) fn note_waiting(&mut self, order: u32) {
        self.forget_waiting(order);
        let course = &self.courses[order as usize];
        if course.is_parked {
            return;
        }
        let key = (course.placed_nth, order);
        for (line, _) in course.all_waiting() {
            for (sku, _) in course.parts_of(line) {
                self.waiting.entry(*sku).or_default().insert(key);
            }
        }
    }

    pub(super) fn forget_waiting(&mut self, order: u32) {
        let course = &self.courses[order as usize];
        let key = (course.placed_nth, order);
        for (sku, _) in course.lines.iter().flat_map(|line| &line.parts) {
            if let Some(waiting) = self.waiting.get_mut(sku) {
                waiting.remove(&key);
            }
        }
    }

    /// There is more of a SKU in the draft's world: who waits for it is tried again, oldest first, as
    /// long as there is any.
    pub(super) fn serve_waiting(&mut self, sku: u32) {
        let Some(waiting) = self.waiting.get(&sku) else {
            return;
        };
        for (_, order) in waiting.clone() {
            let mut ordinals = self.atlas.ordinals();
            if !ordinals.any(|ordinal| self.worlds.draft(sku, ordinal) > 0) {
                return;
            }
            drop(ordinals);
            // What was refused before may be there now.
            self.courses[order as usize].excluded.clear();
            let needs = self.courses[order as usize].all_waiting();
            self.source_own(order, &needs);
        }
    }
}

/// SKUs of some lines in byte order, each with its number and the pieces that are wanted of it.
fn skus_of<'c>(course: &'c Course, needs: &[(u32, u32)]) -> Vec<(&'c Sku, u32, u64)> {
    let mut skus: Vec<(&Sku, u32, u64)> = Vec::new();
    for (line, units) in needs {
        let Some(line) = course.lines.get(*line as usize) else {
            continue;
        };
        let Fulfilment::Physical(parts) = &line.of.fulfilment else {
            continue;
        };
        for ((sku, per_unit), (number, _)) in parts.iter().zip(&line.parts) {
            let pieces = u64::from(*units) * u64::from(*per_unit);
            match skus.iter_mut().find(|(known, ..)| *known == sku) {
                Some(known) => known.2 += pieces,
                None => skus.push((sku, *number, pieces)),
            }
        }
    }
    skus.sort_unstable_by_key(|(sku, ..)| *sku);
    skus
}

fn needs_of<'c>(course: &'c Course, needs: &[(u32, u32)]) -> Vec<Need<'c>> {
    let need = |asked: &(u32, u32)| {
        let of = &course.lines.get(asked.0 as usize)?.of;
        let only = of.pickup_location.as_ref();
        Need::of_units(*asked, &of.sku, &of.fulfilment, only, of.unit_price)
    };
    needs.iter().filter_map(need).collect()
}

/// Distances and rates as they were, where the record has them; and what it says of the order.
fn as_it_was(inputs: &mut Inputs, recorded: &Inputs) {
    for candidate in &mut inputs.candidates {
        if let Some(nth) = recorded.nth_of(candidate.ordinal) {
            *candidate = recorded.candidates[nth];
        }
    }
    if inputs.facts.is_some() && knows_the_order(recorded) {
        inputs.facts.clone_from(&recorded.facts);
    }
}

/// Whether a recorded decision was told about the order; by the built-in strategy it was told of room at most.
fn knows_the_order(recorded: &Inputs) -> bool {
    recorded.strategy != BUILT_IN && recorded.facts.is_some()
}
