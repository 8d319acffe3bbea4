//! Decides: rule by rule, filters, then costs, then the cheapest plan.
//!
//! The common order is served whole by one location. That plan is the cheapest of all when it costs
//! no more than any two shipments could, and then nothing else is looked at.

use std::sync::LazyLock;

use consign_domain::money::Minor;
use consign_domain::order::SplitPolicy;

use crate::cost::{SiteCost, plain_shipment, weigh, with_promise};
use crate::facts::{Facts, figure};
use crate::filter::{Reason, held_back, is_for, refusal};
use crate::inputs::{InputLine, Inputs};
use crate::items::line_refusal;
use crate::optimiser::{Optimum, Policy, Problem, Site, Solution, optimise};
use crate::plan::{Allotment, Sourced};
use crate::strategy::{AfterAction, Compiled, CompiledRule, Known, Order, tried, weighs_promises};

/// Facts of a decision that has none.
static NONE: LazyLock<Facts> = LazyLock::new(Facts::default);

/// A plan, and how good it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The plan.
    pub plan: Sourced,
    /// What it costs by the weights of the rule, in minor units.
    pub cost: Minor,
    /// What no plan that serves as many units costs less than. The same as the cost when the plan
    /// is proven to be the cheapest.
    pub bound: Minor,
    /// Which of the strategy's rules decided; `None` when none was for this order.
    pub rule: Option<usize>,
    /// Which was tried last, and so says what becomes of what is short.
    pub(crate) last_tried: Option<usize>,
    /// Whether one that was tried wants staff to know of what is short.
    pub(crate) alert: bool,
}

/// Decides. The same inputs give the same plan, bit for bit.
#[must_use]
pub fn decide(strategy: &Compiled, inputs: &Inputs) -> Decided {
    let facts = facts(inputs);
    let order = Order::of(facts);
    let mut best: Option<Decided> = None;
    let mut says = Decided::default();
    for (before, (nth, rule)) in (0..).zip(rules_for(strategy, &order, inputs)) {
        let trial = Trial {
            strategy,
            rule,
            facts,
            inputs,
            before,
        };
        let found = Decided {
            rule: Some(nth),
            ..trial.decide()
        };
        tried(&mut says, nth, &rule.rule);
        let goes_on = rule.rule.when_short == AfterAction::NextRule;
        let done = found.plan.short.is_empty() || !goes_on;
        if best
            .as_ref()
            .is_none_or(|best| short_units(&found.plan) < short_units(&best.plan))
        {
            best = Some(found);
        }
        if done {
            break;
        }
    }
    let best = best.unwrap_or_else(|| Decided {
        plan: Sourced::nothing(inputs),
        ..Decided::default()
    });
    Decided {
        last_tried: says.last_tried,
        alert: says.alert,
        ..best
    }
}

/// The rules that are for an order, in their order. One whose condition fails on it is not.
pub(crate) fn rules_for<'s>(
    strategy: &'s Compiled,
    order: &Order<'_>,
    inputs: &Inputs,
) -> impl Iterator<Item = (usize, &'s CompiledRule)> {
    let lines = inputs.lines.len();
    let rules = strategy.rules.iter().enumerate();
    rules.filter(move |(_, rule)| is_for(rule, order, lines) == Ok(true))
}

pub(crate) fn facts(inputs: &Inputs) -> &Facts {
    inputs.facts.as_deref().unwrap_or(&NONE)
}

/// Units that a plan serves from nowhere.
pub(crate) fn short_units(plan: &Sourced) -> u64 {
    plan.short.iter().map(|(_, units)| u64::from(*units)).sum()
}

/// A rule at work on an order.
pub(crate) struct Trial<'a> {
    pub(crate) strategy: &'a Compiled,
    pub(crate) rule: &'a CompiledRule,
    pub(crate) facts: &'a Facts,
    pub(crate) inputs: &'a Inputs,
    /// Rules that were tried before. Each may take half of the steps that the one before it might, so
    /// that many rules together take no longer than two.
    pub(crate) before: u32,
}

/// A candidate that passed the filters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) cost: SiteCost,
    /// Units of each SKU that stay there.
    pub(crate) held: u32,
    /// Units that it may take on.
    pub(crate) room: u32,
}

impl Judged {
    /// What it costs to have it serve everything.
    pub(crate) fn alone(&self, lines: i64, units: i64) -> Minor {
        self.cost.shipment + self.cost.per_line * lines + self.cost.per_unit * units
    }
}

impl<'a> Trial<'a> {
    fn known(&self, nth: usize) -> Option<&'a Known> {
        self.strategy.known(self.inputs.candidates[nth].ordinal)
    }

    /// What a candidate costs, or why it may not serve.
    pub(crate) fn judge(&self, nth: usize) -> Result<Judged, Reason> {
        let known = self.known(nth);
        if let Some(reason) = refusal(self.rule, known, self.facts, self.inputs, nth) {
            return Err(reason);
        }
        let candidate = &self.inputs.candidates[nth];
        let costs = &self.rule.rule.costs;
        let cost = weigh(costs, known, self.facts, candidate);
        Ok(Judged {
            cost: if weighs_promises(costs) {
                with_promise(cost, costs, self.strategy, self.inputs, nth)
            } else {
                cost
            },
            held: held_back(self.rule, known, self.facts),
            room: figure(&self.facts.room, candidate.ordinal).unwrap_or(u32::MAX),
        })
    }

    fn may_serve(&self, at: usize, line: &InputLine, nth: usize) -> bool {
        self.inputs.may_serve(line, nth)
            && (self.facts.lines.is_empty() || self.line_refusal(at, nth).is_none())
    }

    /// Why a candidate may not serve a line for what it is.
    pub(crate) fn line_refusal(&self, at: usize, nth: usize) -> Option<Reason> {
        let ordinal = self.inputs.candidates[nth].ordinal;
        line_refusal(self.rule, self.known(nth), self.facts, ordinal, at)
    }

    /// Units of a line that a candidate could serve, were it the only line.
    pub(crate) fn could_serve(&self, at: usize, nth: usize, judged: &Judged) -> u32 {
        let line = &self.inputs.lines[at];
        if !self.may_serve(at, line, nth) {
            return 0;
        }
        let of_part = |(sku, per_unit): &(u32, u32)| {
            let there = self.inputs.available_at(*sku, nth);
            there.saturating_sub(judged.held) / (*per_unit).max(1)
        };
        let parts = line.parts.iter().map(of_part).min().unwrap_or(0);
        parts.min(line.units).min(judged.room)
    }

    /// Lines that need anything, and how many units in all.
    pub(crate) fn wanted(&self) -> (i64, i64) {
        let needed = self.inputs.lines.iter().filter(|line| line.units > 0);
        needed.fold((0, 0), |(lines, units), line| {
            (lines + 1, units + i64::from(line.units))
        })
    }

    /// Pieces of each SKU that all lines want together: (SKU, pieces).
    fn pieces(&self) -> Vec<(u32, u64)> {
        let mut all: Vec<(u32, u64)> = Vec::with_capacity(self.inputs.lines.len());
        for line in &self.inputs.lines {
            let each =
                |(sku, per_unit): &(u32, u32)| (*sku, u64::from(line.units) * u64::from(*per_unit));
            all.extend(line.parts.iter().map(each));
        }
        all.sort_unstable();
        all.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        all
    }

    fn serves_all(&self, nth: usize, judged: &Judged, pieces: &[(u32, u64)], units: i64) -> bool {
        let there = |(sku, pieces): &(u32, u64)| {
            let there = self.inputs.available_at(*sku, nth);
            u64::from(there.saturating_sub(judged.held)) >= *pieces
        };
        let inputs = self.inputs;
        pieces.iter().all(there)
            && i64::from(judged.room) >= units
            && inputs.lines.iter().enumerate().all(|(at, line)| {
                line.units == 0 || !line.parts.is_empty() && self.may_serve(at, line, nth)
            })
    }

    /// Whether a candidate could serve all lines together.
    pub(crate) fn serves_everything(&self, nth: usize, judged: &Judged) -> bool {
        self.serves_all(nth, judged, &self.pieces(), self.wanted().1)
    }

    fn policy(&self) -> Policy {
        let own = &self.rule.rule.split;
        let single = self.inputs.split == SplitPolicy::SingleLocation;
        let most = own.shipments_max.map_or(usize::MAX, |most| most as usize);
        Policy {
            whole: own.complete || self.inputs.split != SplitPolicy::Allow,
            by_item: own.by_item,
            shipments_max: if single { 1 } else { most },
            value_min: own.shipment_value_min,
            split: self.rule.rule.costs.split,
            halvings: self.before,
        }
    }

    fn decide(&self) -> Decided {
        let (lines, units) = self.wanted();
        let policy = self.policy();
        let one = self.one(lines, units);
        if let Some((nth, cost, least_of_two)) = one
            && (policy.shipments_max == 1 || cost <= least_of_two)
        {
            return Decided {
                plan: self.whole_from(nth),
                cost,
                bound: cost,
                ..Decided::default()
            };
        }
        if policy.whole && policy.shipments_max == 1 {
            return self.none();
        }
        let problem = self.problem(policy).without_useless();
        match optimise(&problem, None) {
            Some(optimum) => self.told(&problem, &optimum),
            None => self.none(),
        }
    }

    fn none(&self) -> Decided {
        Decided {
            plan: Sourced::nothing(self.inputs),
            ..Decided::default()
        }
    }

    fn told(&self, problem: &Problem<'_>, optimum: &Optimum) -> Decided {
        let Optimum { solution, bound } = optimum;
        // A plan of no shipment costs nothing, and so does its bound.
        let bound = if bound.short == solution.cost.short {
            bound.money.min(solution.cost.money)
        } else {
            0
        };
        Decided {
            plan: self.sourced(problem, solution),
            cost: solution.cost.money,
            bound,
            ..Decided::default()
        }
    }

    /// The cheapest candidate that serves everything alone, its cost, and what two shipments cost
    /// at least.
    fn one(&self, lines: i64, units: i64) -> Option<(usize, Minor, Minor)> {
        let pieces = self.pieces();
        let mut best: Option<(Minor, usize)> = None;
        let (mut first, mut second) = (Minor::MAX, Minor::MAX);
        let mut work = Minor::MAX;
        let mut look = |nth: usize, judged: &Judged, open: Minor| {
            (first, second) = (first.min(open), second.min(first.max(open)));
            let served = judged.cost.per_line * lines + judged.cost.per_unit * units;
            work = work.min(served);
            // Candidates come by rising ordinal: of equals the first wins.
            if best.is_none_or(|(cost, _)| open + served < cost)
                && self.serves_all(nth, judged, &pieces, units)
            {
                best = Some((open + served, nth));
            }
        };
        if self.is_plain() {
            let costs = &self.rule.rule.costs;
            let same = Judged {
                cost: SiteCost {
                    per_line: costs.handling_line,
                    ..SiteCost::default()
                },
                held: 0,
                room: u32::MAX,
            };
            for (nth, candidate) in self.inputs.candidates.iter().enumerate() {
                look(nth, &same, plain_shipment(costs, candidate));
            }
        } else {
            for nth in 0..self.inputs.candidates.len() {
                if let Ok(judged) = self.judge(nth) {
                    look(nth, &judged, judged.cost.shipment);
                }
            }
        }
        let two = first
            .saturating_add(second)
            .saturating_add(self.rule.rule.costs.split)
            .saturating_add(work);
        best.map(|(cost, nth)| (nth, cost, two))
    }

    /// Whether nothing is known of candidates but where they are, and no filter removes any.
    fn is_plain(&self) -> bool {
        self.rule.plain && self.inputs.facts.is_none()
    }

    /// Everything from one candidate.
    fn whole_from(&self, nth: usize) -> Sourced {
        let ordinal = self.inputs.candidates[nth].ordinal;
        let allotment = |line: &InputLine| Allotment {
            line: line.line,
            ordinal,
            units: line.units,
        };
        let needed = self.inputs.lines.iter().filter(|line| line.units > 0);
        let allotments: Vec<Allotment> = needed.map(allotment).collect();
        Sourced {
            locations: if allotments.is_empty() {
                Vec::new()
            } else {
                vec![ordinal]
            },
            allotments,
            short: Vec::new(),
        }
    }

    /// The best plan that uses other locations than these.
    pub(crate) fn runner_up(&self, plan: &Sourced) -> Option<Sourced> {
        let problem = self.problem(self.policy());
        let ordinal = |site: &Site| self.inputs.candidates[site.nth].ordinal;
        let used = (0..problem.sites.len())
            .filter(|site| plan.locations.contains(&ordinal(&problem.sites[*site])));
        let used: Vec<usize> = used.collect();
        let other = optimise(&problem, Some(&used))?.solution;
        (!other.takes.is_empty()).then(|| self.sourced(&problem, &other))
    }

    fn problem(&self, policy: Policy) -> Problem<'a> {
        let inputs = self.inputs;
        let (_, units) = self.wanted();
        let mut sites: Vec<(Site, Judged)> = Vec::with_capacity(inputs.candidates.len());
        for nth in 0..inputs.candidates.len() {
            let Ok(judged) = self.judge(nth) else {
                continue;
            };
            if (0..inputs.lines.len()).any(|at| self.could_serve(at, nth, &judged) > 0) {
                let site = Site {
                    nth,
                    open: judged.cost.shipment + policy.split,
                    per_line: judged.cost.per_line,
                    per_unit: judged.cost.per_unit,
                    room: judged.room,
                };
                sites.push((site, judged));
            }
        }
        sites.sort_by_key(|(site, _)| site.open);
        let lines = 0..inputs.lines.len();
        let could = lines.clone().flat_map(|at| {
            let could = |(site, judged): &(Site, Judged)| self.could_serve(at, site.nth, judged);
            sites.iter().map(could).collect::<Vec<u32>>()
        });
        let could: Vec<u32> = could.collect();
        let skus = inputs.available.len() / inputs.candidates.len().max(1);
        let stock = (0..skus as u32).flat_map(|sku| {
            let there = |(site, judged): &(Site, Judged)| {
                let there = inputs.available_at(sku, site.nth);
                there.saturating_sub(judged.held)
            };
            sites.iter().map(there).collect::<Vec<u32>>()
        });
        let stock: Vec<u32> = stock.collect();
        let jobs = self.jobs();
        let parts: usize = inputs.lines.iter().map(|line| line.parts.len()).sum();
        let tight = sites.iter().any(|(site, _)| i64::from(site.room) < units);
        Problem {
            lines: &inputs.lines,
            values: self.facts.lines.iter().map(|line| line.value).collect(),
            coupled: self.pieces().len() < parts || tight || policy.value_min > 0,
            jobs,
            sites: sites.into_iter().map(|(site, _)| site).collect(),
            stock,
            could,
            policy,
        }
    }

    /// Lines that must come from one location together, or alone.
    fn jobs(&self) -> Vec<Vec<usize>> {
        let mut jobs: Vec<Vec<usize>> = Vec::with_capacity(self.inputs.lines.len());
        let mut groups: Vec<(u32, usize)> = Vec::new();
        for (at, line) in self.inputs.lines.iter().enumerate() {
            if line.units == 0 {
                continue;
            }
            let group = self.facts.lines.get(at).and_then(|line| line.keep_with);
            let known = group.and_then(|group| groups.iter().find(|(of, _)| *of == group));
            match (group, known) {
                (_, Some((_, job))) => jobs[*job].push(at),
                (Some(group), None) => {
                    groups.push((group, jobs.len()));
                    jobs.push(vec![at]);
                }
                (None, None) => jobs.push(vec![at]),
            }
        }
        jobs
    }

    fn sourced(&self, problem: &Problem<'_>, solution: &Solution) -> Sourced {
        let mut takes = solution.takes.clone();
        takes.sort_unstable_by_key(|take| (take.line, take.site));
        let ordinal = |site: usize| self.inputs.candidates[problem.sites[site].nth].ordinal;
        let mut plan = Sourced::default();
        for (at, line) in self.inputs.lines.iter().enumerate() {
            let own = takes.iter().filter(|take| take.line == at);
            let before = plan.allotments.len();
            plan.allotments.extend(own.map(|take| Allotment {
                line: line.line,
                ordinal: ordinal(take.site),
                units: take.units,
            }));
            let served: u32 = plan.allotments[before..].iter().map(|of| of.units).sum();
            if served < line.units {
                plan.short.push((line.line, line.units - served));
            }
        }
        plan.locations = solution.sites().into_iter().map(ordinal).collect();
        plan.locations.sort_unstable();
        plan
    }
}
