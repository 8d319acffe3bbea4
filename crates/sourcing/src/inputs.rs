//! Everything that a sourcing decision rests on, compact enough to be stored with it.

use consign_domain::money::Minor;
use consign_domain::order::SplitPolicy;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::stored::Stored;

/// A line to be sourced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputLine {
    /// Its index in the order.
    pub line: u32,
    /// Units to find.
    pub units: u32,
    /// What one unit is made of: (index into [`Inputs::available`]'s SKUs, how many).
    pub parts: Vec<(u32, u32)>,
    /// Only the candidate with this ordinal may serve it.
    pub only: Option<u32>,
}

/// A location that might serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The location's ordinal.
    pub ordinal: u32,
    /// Kilometres to the destination.
    pub km: u32,
    /// Lowest rate of a parcel from there in minor units; `None` when no carrier quotes.
    pub rate: Option<Minor>,
}

/// Everything that a sourcing decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Stored")]
pub struct Inputs {
    /// Which version of this crate's rules decides: [`crate::RULE_VERSION`] for new decisions.
    pub rule_version: u32,
    /// Which version of the retailer's strategy decides; 0 is the built-in one.
    pub strategy: u32,
    /// Whether several locations may serve.
    pub split: SplitPolicy,
    /// What is to be found.
    pub lines: Vec<InputLine>,
    /// Who is asked; by rising ordinal.
    pub candidates: Vec<Candidate>,
    /// Locations that were not asked, because they had nothing of it: (first ordinal, how many),
    /// rising. Whoever sells from hundreds of locations has each SKU at few.
    pub without_stock: Vec<(u32, u32)>,
    /// Units that may be granted: SKU by SKU, and in it candidate by candidate. Never more than
    /// all lines together need of that SKU and what the strategy holds back, so that it stays small
    /// when stored.
    pub available: Vec<u32>,
    /// (line index, ordinal): refused, rejected or short before.
    pub excluded: Vec<(u32, u32)>,
    /// What the strategy wants to know besides; the built-in one wants nothing.
    pub facts: Option<Box<Facts>>,
}

impl Inputs {
    /// Whether the first rule decides, which knew no strategies.
    pub(crate) fn is_first(&self) -> bool {
        self.rule_version == crate::FIRST_RULE_VERSION
    }

    /// Notes a location that has nothing of what is wanted; ordinals must rise from call to call.
    pub fn note_without_stock(&mut self, ordinal: u32) {
        match self.without_stock.last_mut() {
            Some((first, count)) if *first + *count == ordinal => *count += 1,
            _ => self.without_stock.push((ordinal, 1)),
        }
    }

    /// Which candidate a location is, if it is one.
    #[must_use]
    pub fn nth_of(&self, ordinal: u32) -> Option<usize> {
        let by_ordinal = |candidate: &Candidate| candidate.ordinal;
        self.candidates
            .binary_search_by_key(&ordinal, by_ordinal)
            .ok()
    }

    /// Units of SKU `sku` at the `nth` candidate.
    #[must_use]
    pub fn available_at(&self, sku: u32, nth: usize) -> u32 {
        self.available
            .get(sku as usize * self.candidates.len() + nth)
            .copied()
            .unwrap_or(0)
    }

    /// Whether the `nth` candidate may serve the line at all.
    #[must_use]
    pub fn may_serve(&self, line: &InputLine, nth: usize) -> bool {
        let ordinal = self.candidates[nth].ordinal;
        line.only.is_none_or(|only| only == ordinal)
            && !self.excluded.contains(&(line.line, ordinal))
    }

    /// Units of the line that the `nth` candidate could serve, were it the only line.
    #[must_use]
    pub fn could_serve(&self, line: &InputLine, nth: usize) -> u32 {
        if !self.may_serve(line, nth) {
            return 0;
        }
        let of_part =
            |(sku, per_unit): &(u32, u32)| self.available_at(*sku, nth) / (*per_unit).max(1);
        line.parts
            .iter()
            .map(of_part)
            .min()
            .unwrap_or(0)
            .min(line.units)
    }
}
