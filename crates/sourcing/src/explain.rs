//! Why a decision came out as it did: every candidate and its fate, recomputed from the inputs.

use std::fmt;

use consign_domain::money::Minor;
use serde::Serialize;

use crate::RULE;
use crate::inputs::Inputs;
use crate::search::{Sourced, search};

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    /// It serves these units.
    Chosen {
        /// Over all lines.
        units: u32,
    },
    /// It refused, rejected or was short of every line that it could have served.
    RefusedBefore,
    /// It has nothing of what is wanted.
    NoStock,
    /// It has some of it, and the plan needs no further location.
    NotNeeded {
        /// Units that it could have served, each line by itself.
        could_serve: u32,
    },
    /// It could have served all by itself, but lies farther away.
    Farther,
    /// It could have served all by itself from as near, but costs more.
    Dearer,
    /// As near and as cheap as the chosen one; the lower ordinal won.
    Tied,
    /// The split policy allows no plan that it could be part of.
    ForbiddenBySplitPolicy,
}

/// A candidate and its fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateReport {
    /// The location's ordinal.
    pub ordinal: u32,
    /// Kilometres to the destination; `None` where nobody looked, because it had nothing of it.
    pub km: Option<u32>,
    /// Lowest rate in minor units.
    pub rate: Option<Minor>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// Why a decision came out as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The rule and its version.
    pub rule: &'static str,
    /// Every candidate, by rising ordinal.
    pub candidates: Vec<CandidateReport>,
    /// The plan.
    pub plan: Sourced,
    /// The best other plan with as few locations, if there was one.
    pub runner_up: Option<Sourced>,
}

/// Recomputes a decision and says what became of every candidate.
#[must_use]
pub fn explain(inputs: &Inputs) -> Explanation {
    let found = search(inputs, true);
    let asked = (0..inputs.candidates.len()).map(|nth| report(inputs, &found.best, nth));
    let ranges = inputs.without_stock.iter();
    let others = ranges.flat_map(|(first, count)| *first..first.saturating_add(*count));
    let mut candidates: Vec<CandidateReport> = asked.chain(others.map(not_asked)).collect();
    candidates.sort_unstable_by_key(|candidate| candidate.ordinal);
    Explanation {
        rule: RULE,
        candidates,
        plan: found.best,
        runner_up: found.runner_up,
    }
}

fn report(inputs: &Inputs, plan: &Sourced, nth: usize) -> CandidateReport {
    let candidate = inputs.candidates[nth];
    CandidateReport {
        ordinal: candidate.ordinal,
        km: Some(candidate.km),
        rate: candidate.rate,
        fate: fate(inputs, plan, nth),
    }
}

fn not_asked(ordinal: u32) -> CandidateReport {
    CandidateReport {
        ordinal,
        km: None,
        rate: None,
        fate: Fate::NoStock,
    }
}

fn fate(inputs: &Inputs, plan: &Sourced, nth: usize) -> Fate {
    let candidate = inputs.candidates[nth];
    let own = plan
        .allotments
        .iter()
        .filter(|allotment| allotment.ordinal == candidate.ordinal);
    let units: u32 = own.map(|allotment| allotment.units).sum();
    if units > 0 {
        return Fate::Chosen { units };
    }
    let excluded = |line: u32| inputs.excluded.contains(&(line, candidate.ordinal));
    if !inputs.lines.is_empty() && inputs.lines.iter().all(|line| excluded(line.line)) {
        return Fate::RefusedBefore;
    }
    let could_serve: u32 = inputs
        .lines
        .iter()
        .map(|line| inputs.could_serve(line, nth))
        .sum();
    if could_serve == 0 {
        return Fate::NoStock;
    }
    let Some(chosen) = inputs
        .candidates
        .iter()
        .find(|other| plan.locations.contains(&other.ordinal))
    else {
        return Fate::ForbiddenBySplitPolicy;
    };
    let whole = inputs
        .lines
        .iter()
        .all(|line| inputs.could_serve(line, nth) == line.units);
    if plan.locations.len() != 1 || !whole {
        return Fate::NotNeeded { could_serve };
    }
    if candidate.km > chosen.km {
        Fate::Farther
    } else if candidate.rate.unwrap_or(Minor::MAX) > chosen.rate.unwrap_or(Minor::MAX) {
        Fate::Dearer
    } else {
        Fate::Tied
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Chosen { units } => write!(f, "chosen for {units} units"),
            Fate::RefusedBefore => f.write_str("refused before"),
            Fate::NoStock => f.write_str("has nothing of it"),
            Fate::NotNeeded { could_serve } => {
                write!(f, "not needed; could serve {could_serve} units")
            }
            Fate::Farther => f.write_str("farther away"),
            Fate::Dearer => f.write_str("as near, but dearer"),
            Fate::Tied => f.write_str("tied; the lower ordinal won"),
            Fate::ForbiddenBySplitPolicy => f.write_str("the split policy forbids to use it"),
        }
    }
}
