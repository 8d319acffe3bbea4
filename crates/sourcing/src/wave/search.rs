//! Makes the plans of a wave cheaper: takes some orders' plans off the board and decides them again
//! in another sequence (a large neighbourhood search, Shaw 1998).
//!
//! In: a board with a plan for each order, and what each order would wish were it alone. Out: the
//! board, no worse. A change stands only when no order of it is served fewer units than before the
//! search, nor as many by a later rule. Orders are drawn from a fixed seed (L10).

use consign_domain::money::Minor;

use super::board::{Board, Denied, Held};
use crate::engine::{Decided, short_units};

/// Decisions of a wave at most, beyond two for each order.
pub const WAVE_DECISIONS_MAX: u64 = 500_000;
/// Decisions for each order, with at least [`DECISIONS_MIN`] for a wave.
const DECISIONS_PER_ORDER: u64 = 200;
const DECISIONS_MIN: u64 = 2_000;
/// What a decision counts whose search came to the end of its steps.
const UNPROVEN_COUNTS: u64 = 200;
/// Orders that stand in another's way, of which one pass tries each.
const PAIRS_MAX: usize = 16;
/// Orders that are decided again together at most.
const GROUP_MAX: u32 = 6;
/// Once in so many times an order is kept from something that it would take.
const DENIED_ONCE_IN: u32 = 3;

/// What plans are compared by: units short, then money.
type Worth = (u64, Minor);

/// An order that is decided again, without what is denied to it.
type Again = (usize, Option<Denied>);

/// Units short, and which rule decided: what an order may not lose.
type Claim = (u64, usize);

fn worth(decided: &Decided) -> Worth {
    (short_units(&decided.plan), decided.cost)
}

fn claim(decided: &Decided) -> Claim {
    let rule = decided.rule.unwrap_or(usize::MAX);
    (short_units(&decided.plan), rule)
}

fn sum(some: Worth, more: Worth) -> Worth {
    (some.0 + more.0, some.1.saturating_add(more.1))
}

/// Improves the plans on a board.
pub(super) fn improve(board: &mut Board<'_>, sequence: &[usize], alone: &[Held]) {
    let orders = sequence.len() as u64;
    let most = (orders * DECISIONS_PER_ORDER).clamp(DECISIONS_MIN, WAVE_DECISIONS_MAX);
    let claims = (0..alone.len()).map(|order| claim(&board.held(order).decided));
    let mut search = Search {
        claims: claims.collect(),
        board,
        alone,
        random: Random(0),
        counts_left: most,
    };
    search.exchange_pairs(sequence, most / 2);
    search.exchange_groups(sequence);
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    /// From 0 up to but not including `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    fn once_in(&mut self, times: u32) -> bool {
        self.below(times as usize) == 0
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below(list.len())).copied()
    }
}

struct Search<'s, 'a> {
    board: &'s mut Board<'a>,
    alone: &'s [Held],
    claims: Vec<Claim>,
    random: Random,
    counts_left: u64,
}

impl Search<'_, '_> {
    /// Whether an order would get a better plan, were it alone.
    fn wishes(&self, order: usize) -> bool {
        worth(&self.board.held(order).decided) > worth(&self.alone[order].decided)
    }

    /// Orders that hold what an order would take, were it alone.
    fn in_the_way(&self, order: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for (supply, much) in &self.alone[order].takes {
            let own = self.board.held(order).taken(*supply);
            if self.board.left(*supply).saturating_add(own) < *much {
                let others = self.board.holders(*supply).iter();
                found.extend(others.filter(|other| **other != order));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Tries each order that wishes for something by itself, and before each of those in its way,
    /// until nothing changes any more or `counts_kept` are left.
    fn exchange_pairs(&mut self, sequence: &[usize], counts_kept: u64) {
        loop {
            let mut changed = false;
            for order in sequence.iter().copied() {
                if self.counts_left <= counts_kept {
                    return;
                }
                if self.wishes(order) {
                    changed |= self.exchange_one(order);
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn exchange_one(&mut self, order: usize) -> bool {
        if self.again(&[(order, None)], false) {
            return true;
        }
        let others = self.in_the_way(order);
        let from = self.random.below(others.len());
        let around = others.iter().cycle().skip(from).take(others.len());
        let tried = around.take(PAIRS_MAX).copied();
        { tried }.any(|other| self.again(&[(order, None), (other, None)], false))
    }

    /// Draws an order that wishes for something and others around it, until the decisions are used
    /// up or nobody wishes for anything.
    fn exchange_groups(&mut self, sequence: &[usize]) {
        loop {
            let wishing = sequence.iter().copied().filter(|order| self.wishes(*order));
            let wishing: Vec<usize> = wishing.collect();
            if wishing.is_empty() {
                return;
            }
            for _ in 0..wishing.len() {
                if self.counts_left == 0 {
                    return;
                }
                let Some(first) = self.random.one_of(&wishing) else {
                    return;
                };
                let group = self.group(first);
                let group = if self.random.once_in(2) {
                    self.made_way(&group)
                } else {
                    self.first_of_all(group)
                };
                self.again(&group, true);
            }
        }
    }

    /// An order, and others that hold what it, or one of the others, could use.
    fn group(&mut self, first: usize) -> Vec<usize> {
        let in_the_way = self.in_the_way(first);
        let mut group = vec![first];
        let more = 1 + self.random.below(GROUP_MAX as usize - 1);
        for _ in 0..more {
            let other = if self.random.once_in(2) {
                self.random.one_of(&in_the_way)
            } else {
                let last = group[group.len() - 1];
                self.rival(last)
            };
            if let Some(other) = other
                && !group.contains(&other)
            {
                group.push(other);
            }
        }
        group
    }

    /// An order that holds something that this one could use.
    fn rival(&mut self, order: usize) -> Option<usize> {
        let (skus, candidates) = self.board.size(order);
        if candidates == 0 {
            return None;
        }
        let (sku, nth) = (self.random.below(skus), self.random.below(candidates));
        let supply = self.board.stock_of(order, sku, nth)?;
        self.random.one_of(self.board.holders(supply))
    }

    /// The group in its sequence, so that whoever wishes comes first, mostly; now and then somebody
    /// else does. Now and then one shall leave something that it uses.
    fn first_of_all(&mut self, mut group: Vec<usize>) -> Vec<Again> {
        if self.random.once_in(4) {
            let other = self.random.below(group.len());
            group.swap(0, other);
        }
        let again = |order: usize| {
            let denied = if self.random.once_in(DENIED_ONCE_IN) {
                self.something_used(order)
            } else {
                None
            };
            (order, denied)
        };
        group.into_iter().map(again).collect()
    }

    fn something_used(&mut self, order: usize) -> Option<Denied> {
        let held = self.board.held(order);
        if self.random.once_in(2) {
            let used = &held.decided.plan.locations;
            return Some(Denied::Location(self.random.one_of(used)?));
        }
        let (supply, much) = self.random.one_of(&held.takes)?;
        Some(Denied::Beyond(supply, self.less_than(much)))
    }

    /// The others come first but leave some of what the first one wishes for, and it comes last.
    fn made_way(&mut self, group: &[usize]) -> Vec<Again> {
        let Some((first, others)) = group.split_first() else {
            return Vec::new();
        };
        let alone = self.alone;
        let wished = &alone[*first].takes;
        let way = |other: &usize| {
            let supply = self.random.one_of(wished).map_or(0, |(supply, _)| supply);
            let denied = match self.board.held(*other).taken(supply) {
                0 => None,
                much => Some(Denied::Beyond(supply, self.less_than(much))),
            };
            (*other, denied)
        };
        let mut group: Vec<Again> = others.iter().map(way).collect();
        group.push((*first, None));
        group
    }

    /// Nothing, or some of it but not all.
    fn less_than(&mut self, much: u32) -> u32 {
        if self.random.once_in(2) {
            0
        } else {
            self.random.below(much as usize) as u32
        }
    }

    /// Decides orders again, in this sequence. What comes out stands when it is better than before,
    /// or as good where `sideways`.
    fn again(&mut self, group: &[Again], sideways: bool) -> bool {
        let mut before: Worth = (0, 0);
        let mut least: Worth = (0, 0);
        let mut olds = Vec::with_capacity(group.len());
        for (order, _) in group {
            let old = self.board.take_off(*order);
            before = sum(before, worth(&old.decided));
            least = sum(least, worth(&self.alone[*order].decided));
            olds.push(old);
        }
        let mut placed = 0;
        let mut now: Worth = (0, 0);
        for (order, denied) in group {
            let held = self.board.decide(*order, *denied);
            let proven = held.decided.bound == held.decided.cost;
            let counts = if proven { 1 } else { UNPROVEN_COUNTS };
            self.counts_left = self.counts_left.saturating_sub(counts);
            let lost = claim(&held.decided) > self.claims[*order];
            let alone = worth(&self.alone[*order].decided);
            least = (least.0.saturating_sub(alone.0), least.1 - alone.1);
            now = sum(now, worth(&held.decided));
            // Those that follow get no better plans than alone.
            if lost || sum(now, least) > before {
                break;
            }
            self.board.place(*order, held);
            placed += 1;
        }
        let stands = placed == group.len() && (now < before || sideways && now == before);
        if !stands {
            for (order, _) in &group[..placed] {
                self.board.take_off(*order);
            }
            for ((order, _), old) in group.iter().zip(olds) {
                self.board.place(*order, old);
            }
        }
        stands
    }
}
