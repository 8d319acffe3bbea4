//! Two versions of a strategy on real orders: which orders a canary gets, what both versions' plans
//! are worth in the same money, and when one of them has gone wrong.
//!
//! In: order ids, inputs, plans, and how long decisions took. Out: [`Arm`]s, the figures of either
//! version, and the [`Broken`] guardrail, if one is. Reads no clock: who measures says what it took.

mod arm;
mod guardrail;

pub use arm::{Arm, Observed};
pub use guardrail::{Broken, broken};

use crate::facts::Facts;
use crate::inputs::Inputs;

/// Whether an order is one of a share of all, in thousandths. The same order always is or never is,
/// and whoever is in a share is in every larger one.
#[must_use]
pub fn is_chosen(order: &str, share_permille: u16) -> bool {
    hash(order) % 1_000 < u64::from(share_permille)
}

/// FNV-1a of 64 bits, mixed as in `SplitMix64`, as its low bits alone are weak. Not the hash by which
/// orders fall onto partitions: every partition has its share.
fn hash(text: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Inputs {
    /// The same inputs for another version of the strategy, as they would have been gathered for it:
    /// no more is available than all lines need and it holds back, and facts only if it asks for them.
    /// These inputs must have been gathered for at least as much.
    #[must_use]
    pub fn narrowed(&self, strategy: u32, held_back_max: u32, asks_facts: bool) -> Inputs {
        let candidates = self.candidates.len().max(1);
        let mut pieces = vec![0_u64; self.available.len() / candidates];
        for line in &self.lines {
            for (sku, per_unit) in &line.parts {
                if let Some(pieces) = pieces.get_mut(*sku as usize) {
                    *pieces += u64::from(line.units) * u64::from(*per_unit);
                }
            }
        }
        let mut available = self.available.clone();
        let of_skus = available.chunks_mut(candidates);
        for (available, pieces) in of_skus.zip(pieces) {
            let most = pieces.saturating_add(u64::from(held_back_max));
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            for units in available {
                *units = (*units).min(most);
            }
        }
        Inputs {
            rule_version: self.rule_version,
            strategy,
            split: self.split,
            lines: self.lines.clone(),
            candidates: self.candidates.clone(),
            without_stock: self.without_stock.clone(),
            available,
            excluded: self.excluded.clone(),
            facts: match &self.facts {
                Some(facts) if asks_facts => Some(facts.clone()),
                // What locations have room for binds every strategy.
                Some(facts) if !facts.room.is_empty() => Some(Box::new(Facts {
                    room: facts.room.clone(),
                    ..Facts::default()
                })),
                _ => None,
            },
        }
    }
}
