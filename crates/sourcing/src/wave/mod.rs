//! A wave: a batch of waiting orders sourced together, under stock and room that they share.
//!
//! In: the orders with what each decision rests on, and what there is for all of them. Out: a plan
//! for each, and beside it the plan that it gets when orders are sourced one by one, so that both
//! can be told. Reads no clock and no chance; it ends after so many decisions, never by time, so the
//! same wave gives the same plans everywhere (L9, L10).
//!
//! What must hold:
//! - Each plan is the engine's own answer to the inputs that are handed out with it: it replays.
//! - All plans together take no more than there is of any SKU and any location's room.
//! - No order is served fewer units than one by one, nor as many by a later rule: whoever comes
//!   first in the stated order loses no unit to one that comes later. What may change is where from.
//! - Together they serve at least as many units as one by one, and where as many, cost no more.

mod board;
mod search;

use std::cmp::Reverse;

use consign_domain::money::Minor;
use consign_domain::time::Timestamp;

use crate::engine::{Decided, short_units};
use crate::inputs::Inputs;
use crate::strategy::Compiled;
use board::{Board, Held};
pub use search::WAVE_DECISIONS_MAX;

/// An order that waits.
#[derive(Clone, Debug)]
pub struct WaveOrder {
    /// What its decision rests on, as if it were the only order: it takes no more of a SKU or of a
    /// room than stands here, and no more than the wave has.
    pub inputs: Inputs,
    /// Which SKU of the wave each of its own SKUs is. One that is missing here is nowhere,
    /// and so is one that is named again.
    pub skus: Vec<u32>,
    /// Orders of a higher one come first.
    pub priority: u32,
    /// When the customer was promised it: of equal priority the oldest promise comes first.
    pub promise: Timestamp,
}

/// What there is for all orders of a wave.
#[derive(Clone, Debug, Default)]
pub struct WaveStock {
    /// Ordinals of locations are below this; one that is not has nothing.
    pub locations: u32,
    /// Units that may be granted: SKU of the wave by SKU, and in it ordinal by ordinal.
    pub available: Vec<u32>,
    /// (ordinal, units that it may still take on). What is not named here has no limit.
    pub room: Vec<(u32, u32)>,
}

/// An order's plan in a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavePlan {
    /// The order's inputs with what was left to it: [`crate::decide`] makes the same plan of them.
    pub inputs: Inputs,
    /// The plan. Its `bound` is that of these inputs.
    pub decided: Decided,
}

/// Plans for all orders of a wave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WavePlans {
    /// As the orders came.
    pub plans: Vec<WavePlan>,
    /// Units that nobody serves.
    pub short: u64,
    /// What all plans cost, in minor units.
    pub cost: Minor,
}

/// A wave, sourced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// The order in which orders have a claim, as indexes: by priority, then the oldest promise,
    /// then as they came.
    pub sequence: Vec<usize>,
    /// The plans.
    pub together: WavePlans,
    /// The plans of sourcing one order after the other, in the sequence, each with what those before
    /// it left.
    pub one_by_one: WavePlans,
    /// What no plans of the whole wave cost less than: the sum of what each order costs at least,
    /// were it alone. `None` when units are short, or when an order came to a later rule than alone,
    /// as then a plan may be cheaper than that.
    pub bound: Option<Minor>,
    /// Decisions that were made for it.
    pub decisions: u64,
}

/// Sources orders together. It takes at most [`WAVE_DECISIONS_MAX`]
/// decisions beyond two for each order.
#[must_use]
pub fn wave(strategy: &Compiled, orders: &[WaveOrder], stock: &WaveStock) -> Wave {
    let sequence = sequence(orders);
    let mut board = Board::of(strategy, orders, stock);
    let alone: Vec<Held> = (0..orders.len())
        .map(|order| board.decide(order, None))
        .collect();
    for order in &sequence {
        let held = board.decide(*order, None);
        board.place(*order, held);
    }
    let one_by_one = board.plans();
    let bound = bound(&alone, &one_by_one);
    search::improve(&mut board, &sequence, &alone);
    Wave {
        together: board.plans(),
        one_by_one,
        bound,
        decisions: board.decisions(),
        sequence,
    }
}

fn sequence(orders: &[WaveOrder]) -> Vec<usize> {
    let mut sequence: Vec<usize> = (0..orders.len()).collect();
    sequence.sort_by_key(|order| {
        let order = &orders[*order];
        (Reverse(order.priority), order.promise)
    });
    sequence
}

/// Plans that serve everything: with less stock an order's plan costs no less, as long as the same
/// rule weighs it.
fn bound(alone: &[Held], one_by_one: &WavePlans) -> Option<Minor> {
    let mut sum: Minor = 0;
    for (alone, plan) in alone.iter().zip(&one_by_one.plans) {
        let same_rule = alone.decided.rule == plan.decided.rule;
        if !same_rule || short_units(&plan.decided.plan) > 0 {
            return None;
        }
        sum = sum.saturating_add(alone.decided.bound);
    }
    Some(sum)
}
