//! Why a decision came out as it did: every candidate and its fate, recomputed from the inputs.

use std::fmt;

use compact_str::CompactString;
use consign_domain::money::Minor;
use serde::Serialize;

use crate::cost::SiteCost;
use crate::engine::{Judged, Trial, decide, facts};
use crate::filter::{Reason, is_for};
use crate::first_rule::search;
use crate::inputs::Inputs;
use crate::plan::Sourced;
use crate::promise::Promise;
use crate::strategy::{AfterReport, Compiled, Order};

/// Names rule version 1.
const FIRST_RULE: &str = "fewest locations, then nearest, then lowest rate; version 1";

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
    /// A filter removed it.
    Filtered {
        /// Why.
        reason: Reason,
    },
    /// It has nothing of what is wanted, or nothing that it may give.
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
    /// No rule of the strategy is for this order.
    NoRule,
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
    /// What it costs by the rule's weights; `None` where a filter removed it, or nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<SiteCost>,
    /// Lines that it could not serve for what they are, where it might serve others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_lines: Vec<RefusedLine>,
    /// From when to when its parcel would be there, by the clock at the location; `None` where that
    /// is not known, or nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// A line that a candidate could not serve for what it is, while it might serve others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// Its index in the order.
    pub line: u32,
    /// Why not.
    pub reason: Reason,
}

/// A rule that could not say whether it is for an order, and so was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedCondition {
    /// The rule's name.
    pub rule: CompactString,
    /// Why.
    pub reason: CompactString,
}

/// Why a decision came out as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The rule's name.
    pub rule: CompactString,
    /// Rules before it whose conditions failed on this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedCondition>,
    /// Every candidate, by rising ordinal.
    pub candidates: Vec<CandidateReport>,
    /// The plan.
    pub plan: Sourced,
    /// What became of what is short, and which rule says so. Of common items beside this: they wait
    /// for stock, unless the order cancels them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_action: Option<AfterReport>,
    /// The best plan from other locations, if there was one. Rule version 1 looked only for one
    /// with as few locations.
    pub runner_up: Option<Sourced>,
    /// What the plan costs by the rule's weights, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Minor>,
    /// By how much at most a cheaper plan could have been missed, in minor units; 0 when the plan
    /// is proven to be the cheapest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Minor>,
}

/// Recomputes a decision and says what became of every candidate.
#[must_use]
pub fn explain(strategy: &Compiled, inputs: &Inputs) -> Explanation {
    if inputs.is_first() {
        return first(inputs);
    }
    let decided = decide(strategy, inputs);
    let trial = decided.rule.map(|rule| Trial {
        strategy,
        rule: &strategy.rules[rule],
        facts: facts(inputs),
        inputs,
        before: 0,
    });
    let asked = (0..inputs.candidates.len()).map(|nth| match &trial {
        Some(trial) => judged(trial, &decided.plan, nth),
        None => report(inputs, nth, None, Fate::NoRule),
    });
    let name = trial.as_ref().map_or("no rule is for this order", |trial| {
        trial.rule.rule.name.as_str()
    });
    let order = Order::of(facts(inputs));
    let before = strategy
        .rules
        .iter()
        .take(decided.rule.unwrap_or(usize::MAX));
    let failed = before.filter_map(|rule| {
        let reason = is_for(rule, &order, inputs.lines.len()).err()?;
        Some(FailedCondition {
            rule: rule.rule.name.clone(),
            reason,
        })
    });
    Explanation {
        rule: name.into(),
        failed: failed.collect(),
        candidates: all(inputs, asked),
        runner_up: trial.and_then(|trial| trial.runner_up(&decided.plan)),
        cost: Some(decided.cost),
        gap: Some(decided.cost - decided.bound),
        after_action: strategy
            .after(&decided)
            .filter(|_| !decided.plan.short.is_empty()),
        plan: decided.plan,
    }
}

/// Decisions of rule version 1.
fn first(inputs: &Inputs) -> Explanation {
    let found = search(inputs, true);
    let asked = (0..inputs.candidates.len()).map(|nth| {
        let fate = first_fate(inputs, &found.best, nth);
        report(inputs, nth, None, fate)
    });
    Explanation {
        rule: CompactString::const_new(FIRST_RULE),
        failed: Vec::new(),
        candidates: all(inputs, asked),
        plan: found.best,
        after_action: None,
        runner_up: found.runner_up,
        cost: None,
        gap: None,
    }
}

/// Those that were asked and those that were not, by rising ordinal.
fn all(inputs: &Inputs, asked: impl Iterator<Item = CandidateReport>) -> Vec<CandidateReport> {
    let ranges = inputs.without_stock.iter();
    let others = ranges.flat_map(|(first, count)| *first..first.saturating_add(*count));
    let not_asked = |ordinal| CandidateReport {
        ordinal,
        km: None,
        rate: None,
        cost: None,
        refused_lines: Vec::new(),
        promise: None,
        fate: Fate::NoStock,
    };
    let mut candidates: Vec<CandidateReport> = asked.chain(others.map(not_asked)).collect();
    candidates.sort_unstable_by_key(|candidate| candidate.ordinal);
    candidates
}

fn report(inputs: &Inputs, nth: usize, cost: Option<SiteCost>, fate: Fate) -> CandidateReport {
    let candidate = inputs.candidates[nth];
    CandidateReport {
        ordinal: candidate.ordinal,
        km: Some(candidate.km),
        rate: candidate.rate,
        cost,
        refused_lines: Vec::new(),
        promise: None,
        fate,
    }
}

fn judged(trial: &Trial<'_>, plan: &Sourced, nth: usize) -> CandidateReport {
    let found = match trial.judge(nth) {
        Err(reason) => report(trial.inputs, nth, None, Fate::Filtered { reason }),
        Ok(judged) => {
            let fate = fate(trial, plan, nth, &judged);
            let lines = trial.inputs.lines.iter().enumerate();
            let refused = lines.filter_map(|(at, line)| {
                let reason = trial.line_refusal(at, nth)?;
                let line = line.line;
                Some(RefusedLine { line, reason })
            });
            CandidateReport {
                refused_lines: refused.collect(),
                ..report(trial.inputs, nth, Some(judged.cost), fate)
            }
        }
    };
    CandidateReport {
        promise: trial.strategy.promise(trial.inputs, nth),
        ..found
    }
}

/// What is plain before anybody weighs it.
fn plain_fate(inputs: &Inputs, plan: &Sourced, nth: usize, could_serve: u32) -> Option<Fate> {
    let ordinal = inputs.candidates[nth].ordinal;
    let own = plan.allotments.iter().filter(|of| of.ordinal == ordinal);
    let units: u32 = own.map(|allotment| allotment.units).sum();
    if units > 0 {
        return Some(Fate::Chosen { units });
    }
    let excluded = |line: u32| inputs.excluded.contains(&(line, ordinal));
    if !inputs.lines.is_empty() && inputs.lines.iter().all(|line| excluded(line.line)) {
        return Some(Fate::RefusedBefore);
    }
    (could_serve == 0).then_some(Fate::NoStock)
}

fn fate(trial: &Trial<'_>, plan: &Sourced, nth: usize, own: &Judged) -> Fate {
    let inputs = trial.inputs;
    let could = |at: usize| trial.could_serve(at, nth, own);
    let could_serve: u32 = (0..inputs.lines.len()).map(could).sum();
    if let Some(fate) = plain_fate(inputs, plan, nth, could_serve) {
        return fate;
    }
    let [chosen] = plan.locations[..] else {
        return if plan.locations.is_empty() {
            Fate::ForbiddenBySplitPolicy
        } else {
            Fate::NotNeeded { could_serve }
        };
    };
    let chosen = inputs.candidates.iter().position(|of| of.ordinal == chosen);
    let Some(Ok(chosen)) = chosen.map(|chosen| trial.judge(chosen)) else {
        return Fate::NotNeeded { could_serve };
    };
    let (lines, units) = trial.wanted();
    if !trial.serves_everything(nth, own) {
        Fate::NotNeeded { could_serve }
    } else if own.cost.distance > chosen.cost.distance {
        Fate::Farther
    } else if own.alone(lines, units) > chosen.alone(lines, units) {
        Fate::Dearer
    } else {
        Fate::Tied
    }
}

fn first_fate(inputs: &Inputs, plan: &Sourced, nth: usize) -> Fate {
    let candidate = inputs.candidates[nth];
    let could = |line| inputs.could_serve(line, nth);
    let could_serve: u32 = inputs.lines.iter().map(could).sum();
    if let Some(fate) = plain_fate(inputs, plan, nth, could_serve) {
        return fate;
    }
    let chosen = |other: &&crate::Candidate| plan.locations.contains(&other.ordinal);
    let Some(chosen) = inputs.candidates.iter().find(chosen) else {
        return Fate::ForbiddenBySplitPolicy;
    };
    let mut lines = inputs.lines.iter();
    let whole = lines.all(|line| inputs.could_serve(line, nth) == line.units);
    if plan.locations.len() != 1 || !whole {
        Fate::NotNeeded { could_serve }
    } else if candidate.km > chosen.km {
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
            Fate::Filtered { reason } => write!(f, "left out, as {reason}"),
            Fate::NoRule => f.write_str("no rule is for this order"),
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
