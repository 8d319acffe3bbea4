//! What is to be distributed, over what, and what it costs.
//!
//! A plan gives each line units from sites. It costs, over its sites, the opening of each, a sum
//! for each line that a site serves, and a sum for each unit. Units that nobody serves come before
//! all money: a plan that serves more is better, whatever it costs.

use consign_domain::money::Minor;

use crate::inputs::InputLine;

/// Lines up to which sites are compared by the lines that they serve.
const COMPARED_LINES_MAX: usize = 64;

/// A candidate that passed all filters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// Which candidate of the inputs.
    pub(crate) nth: usize,
    /// Cost of a shipment from it, with the cost of one shipment more.
    pub(crate) open: Minor,
    /// Cost of each line that it serves.
    pub(crate) per_line: Minor,
    /// Cost of each unit that it serves.
    pub(crate) per_unit: Minor,
    /// Units that it may take on.
    pub(crate) room: u32,
}

/// What a plan must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// All units or none.
    pub(crate) whole: bool,
    /// No line comes from two sites.
    pub(crate) by_item: bool,
    /// Shipments at most.
    pub(crate) shipments_max: usize,
    /// What each shipment must be worth where there are several.
    pub(crate) value_min: Minor,
    /// What of each [`Site::open`] is the cost of one shipment more; the first has no such cost.
    pub(crate) split: Minor,
    /// How often the steps of a search are halved.
    pub(crate) halvings: u32,
}

impl Policy {
    /// What is left of so many steps.
    pub(crate) fn halved(&self, steps: u64) -> u64 {
        steps.checked_shr(self.halvings).unwrap_or(0)
    }
}

/// Units of a line from a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) line: usize,
    pub(crate) site: usize,
    pub(crate) units: u32,
}

/// What plans are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost {
    /// Units that nobody serves.
    pub(crate) short: u64,
    /// Minor units of money.
    pub(crate) money: Minor,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Solution {
    pub(crate) takes: Vec<Take>,
    pub(crate) cost: Cost,
}

impl Solution {
    /// The sites that serve, rising.
    pub(crate) fn sites(&self) -> Vec<usize> {
        let mut sites: Vec<usize> = self.takes.iter().map(|take| take.site).collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }
}

/// What is to be distributed.
#[derive(Clone, Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) lines: &'a [InputLine],
    /// What each line is worth in all; empty where that is not known.
    pub(crate) values: Vec<Minor>,
    /// Lines that must come from one site together, or alone.
    pub(crate) jobs: Vec<Vec<usize>>,
    /// By preference.
    pub(crate) sites: Vec<Site>,
    /// Pieces: SKU by SKU, and in it site by site.
    pub(crate) stock: Vec<u32>,
    /// Units that a site could serve, were it the only line: line by line.
    pub(crate) could: Vec<u32>,
    pub(crate) policy: Policy,
    /// Whether what a line takes can keep something from another.
    pub(crate) coupled: bool,
}

impl Problem<'_> {
    pub(crate) fn could(&self, line: usize, site: usize) -> u32 {
        self.could[line * self.sites.len() + site]
    }

    /// Whether the site could serve all lines of a group.
    pub(crate) fn could_all(&self, job: &[usize], site: usize) -> bool {
        job.iter()
            .all(|line| self.could(*line, site) == self.lines[*line].units)
    }

    /// Minor units that so many units of a line are worth, rounded down.
    pub(crate) fn worth(&self, line: usize, units: u32) -> Minor {
        let value = self.values.get(line).copied().unwrap_or(0);
        let of = i128::from(self.lines[line].units.max(1));
        i64::try_from(i128::from(value) * i128::from(units) / of).unwrap_or(Minor::MAX)
    }

    pub(crate) fn wanted(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.units)).sum()
    }

    /// The plan with these units and its cost; `None` when the policy forbids it.
    pub(crate) fn checked(&self, takes: Vec<Take>) -> Option<Solution> {
        let mut cost = Cost {
            short: self.wanted(),
            money: 0,
        };
        let mut worth: Vec<Option<Minor>> = vec![None; self.sites.len()];
        for take in &takes {
            let site = &self.sites[take.site];
            cost.short -= u64::from(take.units);
            cost.money += site.per_line + site.per_unit * i64::from(take.units);
            let more = self.worth(take.line, take.units);
            match &mut worth[take.site] {
                Some(known) => *known = known.saturating_add(more),
                none => {
                    *none = Some(more);
                    cost.money += site.open;
                }
            }
        }
        let shipments = worth.iter().flatten().count();
        if shipments > 0 {
            cost.money -= self.policy.split;
        }
        let poor = shipments > 1
            && worth
                .iter()
                .flatten()
                .any(|worth| *worth < self.policy.value_min);
        let forbidden =
            poor || shipments > self.policy.shipments_max || (self.policy.whole && cost.short > 0);
        (!forbidden).then_some(Solution { takes, cost })
    }

    /// The same with only these sites, whose opening is paid.
    pub(crate) fn opened(&self, sites: &[usize]) -> Self {
        let only = |all: &[u32]| -> Vec<u32> {
            let rows = all.chunks(self.sites.len().max(1));
            rows.flat_map(|row| sites.iter().map(|site| row[*site]))
                .collect()
        };
        let paid = |site: &usize| Site {
            open: 0,
            ..self.sites[*site]
        };
        Problem {
            sites: sites.iter().map(paid).collect(),
            stock: only(&self.stock),
            could: only(&self.could),
            jobs: self.jobs.clone(),
            values: self.values.clone(),
            policy: Policy {
                split: 0,
                ..self.policy
            },
            ..*self
        }
    }

    /// Leaves out sites that another makes useless: it serves all lines of theirs alone and whole,
    /// and costs no more. Nothing is lost where lines take nothing from each other: whatever the
    /// useless one serves, the other can serve as well.
    pub(crate) fn without_useless(self) -> Self {
        let lines = self.lines.len();
        if self.coupled || lines > COMPARED_LINES_MAX {
            return self;
        }
        let mask = |site: usize, counts: &dyn Fn(u32, u32) -> bool| -> u64 {
            let of = |line: &usize| counts(self.could(*line, site), self.lines[*line].units);
            (0..lines).filter(of).fold(0, |mask, line| mask | 1 << line)
        };
        let mut kept: Vec<(usize, u64)> = Vec::new();
        for (nth, site) in self.sites.iter().enumerate() {
            let some = mask(nth, &|could, _| could > 0);
            // Sites are sorted by what opening them costs.
            let useless = kept.iter().any(|(other, whole)| {
                let other = &self.sites[*other];
                some & !whole == 0
                    && other.open <= site.open
                    && other.per_line <= site.per_line
                    && other.per_unit <= site.per_unit
            });
            if some != 0 && !useless {
                kept.push((nth, mask(nth, &|could, units| could == units)));
            }
        }
        let kept: Vec<usize> = kept.into_iter().map(|(nth, _)| nth).collect();
        if kept.len() == self.sites.len() {
            return self;
        }
        let less = self.opened(&kept);
        Problem {
            sites: kept.iter().map(|nth| self.sites[*nth]).collect(),
            policy: self.policy,
            ..less
        }
    }
}
