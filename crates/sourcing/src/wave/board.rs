//! Who holds what of a wave's stock and room, and what is left of both.
//!
//! Stock of a SKU at a location and room at a location are both a supply, known by one number, so
//! that whoever looks for what keeps an order from its wish need not tell them apart.

use std::collections::BTreeMap;

use super::{WaveOrder, WavePlan, WavePlans, WaveStock};
use crate::engine::{Decided, decide, short_units};
use crate::facts::{Facts, figure};
use crate::inputs::Inputs;
use crate::plan::Sourced;
use crate::strategy::Compiled;

/// An order's plan, what it was shown when it was decided, and what it takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) decided: Decided,
    /// (supply, how much), rising.
    pub(super) takes: Vec<(usize, u32)>,
    available: Vec<u32>,
    room: Vec<(u32, u32)>,
}

impl Held {
    /// How much of a supply it takes.
    pub(super) fn taken(&self, supply: usize) -> u32 {
        let at = self.takes.binary_search_by_key(&supply, |(of, _)| *of);
        at.map_or(0, |at| self.takes[at].1)
    }
}

/// What an order may not take, so that others can.
#[derive(Clone, Copy, Debug)]
pub(super) enum Denied {
    /// Anything that the location of this ordinal has.
    Location(u32),
    /// More of this supply than that is shown of it.
    Beyond(usize, u32),
}

/// Who holds what.
pub(super) struct Board<'a> {
    strategy: &'a Compiled,
    orders: &'a [WaveOrder],
    /// Each order's inputs; what is left to it is written into them before it is decided.
    drafts: Vec<Inputs>,
    locations: usize,
    /// Where rooms begin among the supplies.
    rooms_from: usize,
    /// Supply by supply: what nobody holds. `None` is no limit, which only a room can have.
    left: Vec<Option<u32>>,
    held: Vec<Held>,
    /// Supply by supply: the orders that hold some of it.
    holders: BTreeMap<usize, Vec<usize>>,
    decisions: u64,
}

impl<'a> Board<'a> {
    /// Nothing is decided yet.
    pub(super) fn of(
        strategy: &'a Compiled,
        orders: &'a [WaveOrder],
        stock: &WaveStock,
    ) -> Board<'a> {
        let locations = stock.locations as usize;
        let mut left: Vec<Option<u32>> = stock.available.iter().copied().map(Some).collect();
        let rooms_from = left.len();
        let room = |ordinal: u32| figure(&stock.room, ordinal);
        left.extend((0..stock.locations).map(room));
        Board {
            strategy,
            orders,
            drafts: orders.iter().map(|order| order.inputs.clone()).collect(),
            locations,
            rooms_from,
            left,
            held: vec![Held::default(); orders.len()],
            holders: BTreeMap::new(),
            decisions: 0,
        }
    }

    /// Decisions made so far.
    pub(super) fn decisions(&self) -> u64 {
        self.decisions
    }

    pub(super) fn held(&self, order: usize) -> &Held {
        &self.held[order]
    }

    /// What nobody holds of a supply.
    pub(super) fn left(&self, supply: usize) -> u32 {
        self.left[supply].unwrap_or(u32::MAX)
    }

    pub(super) fn holders(&self, supply: usize) -> &[usize] {
        self.holders.get(&supply).map_or(&[], Vec::as_slice)
    }

    /// Stock that an order could use: of its SKU `sku`, at its `nth` candidate.
    pub(super) fn stock_of(&self, order: usize, sku: usize, nth: usize) -> Option<usize> {
        let ordinal = self.orders[order].inputs.candidates[nth].ordinal as usize;
        let skus = &self.orders[order].skus;
        let of = *skus.get(sku)?;
        let supply = (!skus[..sku].contains(&of)).then_some(of as usize)?;
        let supply = supply.checked_mul(self.locations)?.checked_add(ordinal)?;
        (ordinal < self.locations && supply < self.rooms_from).then_some(supply)
    }

    /// How many SKUs an order wants, and how many candidates it has.
    pub(super) fn size(&self, order: usize) -> (usize, usize) {
        let inputs = &self.orders[order].inputs;
        let candidates = inputs.candidates.len();
        (inputs.available.len() / candidates.max(1), candidates)
    }

    /// A location's room, where it is limited.
    fn room_of(&self, ordinal: u32) -> Option<usize> {
        let at = self.rooms_from + ordinal as usize;
        let limited = self.left.get(at).copied().flatten().is_some();
        limited.then_some(at)
    }

    /// Decides about an order with what nobody holds, less what is denied to it.
    pub(super) fn decide(&mut self, order: usize, denied: Option<Denied>) -> Held {
        self.show_stock(order, denied);
        self.show_room(order);
        let draft = &self.drafts[order];
        let decided = decide(self.strategy, draft);
        self.decisions += 1;
        let takes = self.takes(order, &decided.plan);
        let draft = &self.drafts[order];
        Held {
            decided,
            takes,
            available: draft.available.clone(),
            room: draft
                .facts
                .as_ref()
                .map_or_else(Vec::new, |facts| facts.room.clone()),
        }
    }

    fn show_stock(&mut self, order: usize, denied: Option<Denied>) {
        let (skus, candidates) = self.size(order);
        for nth in 0..candidates {
            let ordinal = self.orders[order].inputs.candidates[nth].ordinal;
            for sku in 0..skus {
                let left = match (self.stock_of(order, sku, nth), denied) {
                    (Some(_), Some(Denied::Location(of))) if of == ordinal => 0,
                    (Some(supply), Some(Denied::Beyond(of, most))) if of == supply => {
                        self.left(supply).min(most)
                    }
                    (Some(supply), _) => self.left(supply),
                    (None, _) => 0,
                };
                let at = sku * candidates + nth;
                let own = self.orders[order].inputs.available[at];
                self.drafts[order].available[at] = own.min(left);
            }
        }
    }

    fn show_room(&mut self, order: usize) {
        let inputs = &self.orders[order].inputs;
        let candidates = inputs.candidates.iter().map(|candidate| candidate.ordinal);
        if !candidates.clone().any(|of| self.room_of(of).is_some()) {
            return;
        }
        let own = inputs.facts.as_ref().map_or(&[][..], |facts| &facts.room);
        let rooms = candidates.filter_map(|ordinal| {
            let left = self.room_of(ordinal).map(|room| self.left(room));
            let own = figure(own, ordinal);
            let least = left.into_iter().chain(own).min()?;
            Some((ordinal, least))
        });
        let rooms = rooms.collect();
        let facts = &mut self.drafts[order].facts;
        facts.get_or_insert_with(|| Box::new(Facts::default())).room = rooms;
    }

    /// What a plan takes, supply by supply.
    fn takes(&self, order: usize, plan: &Sourced) -> Vec<(usize, u32)> {
        let inputs = &self.orders[order].inputs;
        let mut takes: BTreeMap<usize, u32> = BTreeMap::new();
        for allotment in &plan.allotments {
            if let Some(room) = self.room_of(allotment.ordinal) {
                *takes.entry(room).or_default() += allotment.units;
            }
            let candidates = inputs.candidates.iter();
            let nth = { candidates }.position(|of| of.ordinal == allotment.ordinal);
            let line = inputs.lines.iter().find(|of| of.line == allotment.line);
            let (Some(nth), Some(line)) = (nth, line) else {
                continue;
            };
            for (sku, per_unit) in &line.parts {
                if let Some(supply) = self.stock_of(order, *sku as usize, nth) {
                    *takes.entry(supply).or_default() += allotment.units * per_unit;
                }
            }
        }
        takes.into_iter().collect()
    }

    /// Gives an order, which holds nothing, what a plan takes. The plan was decided with no more
    /// than what is left.
    pub(super) fn place(&mut self, order: usize, held: Held) {
        for (supply, much) in &held.takes {
            if let Some(left) = &mut self.left[*supply] {
                *left = left
                    .checked_sub(*much)
                    .expect("a plan takes no more than is left");
            }
            self.holders.entry(*supply).or_default().push(order);
        }
        self.held[order] = held;
    }

    /// Takes from an order what it holds.
    pub(super) fn take_off(&mut self, order: usize) -> Held {
        let held = std::mem::take(&mut self.held[order]);
        for (supply, much) in &held.takes {
            if let Some(left) = &mut self.left[*supply] {
                *left += much;
            }
            let holders = self.holders.entry(*supply).or_default();
            if let Some(at) = holders.iter().position(|holder| *holder == order) {
                holders.swap_remove(at);
            }
        }
        held
    }

    /// The plans as they are now.
    pub(super) fn plans(&self) -> WavePlans {
        let mut plans = WavePlans::default();
        for (held, draft) in self.held.iter().zip(&self.drafts) {
            let mut inputs = draft.clone();
            inputs.available.clone_from(&held.available);
            if let Some(facts) = &mut inputs.facts {
                facts.room.clone_from(&held.room);
            }
            plans.short += short_units(&held.decided.plan);
            plans.cost = plans.cost.saturating_add(held.decided.cost);
            plans.plans.push(WavePlan {
                inputs,
                decided: held.decided.clone(),
            });
        }
        plans
    }
}
