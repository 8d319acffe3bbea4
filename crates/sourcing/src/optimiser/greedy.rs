//! A good plan without search: sites are added one by one, then exchanged while that helps.

use consign_domain::money::Minor;

use super::problem::{Problem, Solution, Take};

/// Distributions that the exchange of sites tries at most, in looks at a line at a site.
const EXCHANGE_STEPS_MAX: u64 = 1_000_000;

/// What is left of stock and room while units are given away.
pub(super) struct Left {
    pub(super) stock: Vec<u32>,
    pub(super) room: Vec<u32>,
}

impl Left {
    pub(super) fn of(problem: &Problem<'_>) -> Left {
        Left {
            stock: problem.stock.clone(),
            room: problem.sites.iter().map(|site| site.room).collect(),
        }
    }

    /// Units of the line that the site can still serve.
    pub(super) fn can(&self, problem: &Problem<'_>, line: usize, site: usize) -> u32 {
        let could = problem.could(line, site);
        if could == 0 || !problem.coupled {
            return could;
        }
        let width = problem.sites.len();
        let of_part = |(sku, per_unit): &(u32, u32)| {
            self.stock[*sku as usize * width + site] / (*per_unit).max(1)
        };
        let parts = problem.lines[line].parts.iter().map(of_part);
        could
            .min(self.room[site])
            .min(parts.min().unwrap_or_default())
    }

    pub(super) fn take(&mut self, problem: &Problem<'_>, take: Take) {
        if !problem.coupled {
            return;
        }
        let width = problem.sites.len();
        for (sku, per_unit) in &problem.lines[take.line].parts {
            self.stock[*sku as usize * width + take.site] -= take.units * per_unit;
        }
        self.room[take.site] -= take.units;
    }

    pub(super) fn put_back(&mut self, problem: &Problem<'_>, take: Take) {
        if !problem.coupled {
            return;
        }
        let width = problem.sites.len();
        for (sku, per_unit) in &problem.lines[take.line].parts {
            self.stock[*sku as usize * width + take.site] += take.units * per_unit;
        }
        self.room[take.site] += take.units;
    }

    /// Takes all lines of a group from the site, or nothing.
    pub(super) fn take_all(
        &mut self,
        problem: &Problem<'_>,
        job: &[usize],
        site: usize,
    ) -> Option<Vec<Take>> {
        let mut taken: Vec<Take> = Vec::with_capacity(job.len());
        for line in job {
            let take = Take {
                line: *line,
                site,
                units: problem.lines[*line].units,
            };
            if self.can(problem, *line, site) < take.units {
                taken.iter().for_each(|take| self.put_back(problem, *take));
                return None;
            }
            self.take(problem, take);
            taken.push(take);
        }
        Some(taken)
    }
}

/// The better of two ways to add sites, improved; `None` when neither comes to an allowed plan.
pub(super) fn greedy(problem: &Problem<'_>) -> Option<Solution> {
    let most = chosen(problem, |gain, open| (u64::MAX - gain, open));
    // Cost per unit in billionths, so that small differences count.
    let best_value = chosen(problem, |gain, open| {
        let each = i128::from(open) * 1_000_000_000 / i128::from(gain);
        (u64::try_from(each).unwrap_or(u64::MAX), 0)
    });
    let plans = [most, best_value].into_iter().flatten();
    let best = plans.reduce(|a, b| if b.cost < a.cost { b } else { a })?;
    Some(exchanged(problem, best))
}

/// Adds the site with the least key of (units gained, cost of opening) until nothing is gained.
fn chosen(problem: &Problem<'_>, key: impl Fn(u64, Minor) -> (u64, Minor)) -> Option<Solution> {
    let mut left = Left::of(problem);
    let mut open: Vec<u32> = problem.lines.iter().map(|line| line.units).collect();
    let mut set: Vec<usize> = Vec::new();
    while set.len() < problem.policy.shipments_max {
        let mut best = None;
        for site in (0..problem.sites.len()).filter(|site| !set.contains(site)) {
            let gain: u64 = problem
                .jobs
                .iter()
                .map(|job| gain(problem, &left, job, &open, site))
                .sum();
            if gain > 0 {
                let next = (key(gain, problem.sites[site].open), site);
                if best.is_none_or(|best| next < best) {
                    best = Some(next);
                }
            }
        }
        let Some((_, site)) = best else { break };
        set.push(site);
        serve(problem, &mut left, &mut open, site);
    }
    filled_or_less(problem, &set)
}

fn gain(problem: &Problem<'_>, left: &Left, job: &[usize], open: &[u32], site: usize) -> u64 {
    if let [line] = job[..] {
        let can = left.can(problem, line, site);
        if problem.policy.by_item {
            let served = problem.lines[line].units - open[line];
            return u64::from(can.saturating_sub(served));
        }
        return u64::from(can.min(open[line]));
    }
    let unserved = open[job[0]] > 0;
    if unserved && problem.could_all(job, site) {
        job.iter().map(|line| u64::from(open[*line])).sum()
    } else {
        0
    }
}

/// Gives the open units to a site that was added.
fn serve(problem: &Problem<'_>, left: &mut Left, open: &mut [u32], site: usize) {
    for job in &problem.jobs {
        if let [line] = job[..] {
            let can = left.can(problem, line, site);
            if problem.policy.by_item {
                // The larger piece replaces the smaller one; what that held is not given back.
                open[line] = open[line].min(problem.lines[line].units - can);
                continue;
            }
            let units = can.min(open[line]);
            open[line] -= units;
            left.take(problem, Take { line, site, units });
        } else if open[job[0]] > 0 && left.take_all(problem, job, site).is_some() {
            job.iter().for_each(|line| open[*line] = 0);
        }
    }
}

/// Distributes over a set; where a shipment would be worth too little, over the set without it.
fn filled_or_less(problem: &Problem<'_>, set: &[usize]) -> Option<Solution> {
    let mut set = set.to_vec();
    while !set.is_empty() {
        let takes = fill(problem, &set);
        let worth = |site: usize| -> Minor {
            let own = takes.iter().filter(|take| take.site == site);
            own.map(|take| problem.worth(take.line, take.units))
                .fold(0, Minor::saturating_add)
        };
        let least = set.iter().copied().min_by_key(|site| (worth(*site), *site));
        if let Some(plan) = problem.checked(takes.clone()) {
            return Some(plan);
        }
        set.retain(|site| Some(*site) != least);
    }
    problem.checked(Vec::new())
}

/// Distributes over a set: each line whole to the cheapest that has all of it, else the cheapest
/// first.
fn fill(problem: &Problem<'_>, set: &[usize]) -> Vec<Take> {
    let mut left = Left::of(problem);
    let mut takes = Vec::new();
    let mut ordered = set.to_vec();
    for job in &problem.jobs {
        let [line] = job[..] else {
            ordered.sort_unstable_by_key(|site| {
                let of = &problem.sites[*site];
                (of.per_line.saturating_add(of.per_unit), *site)
            });
            let mut able = ordered.iter();
            takes.extend(
                able.find_map(|site| left.take_all(problem, job, *site))
                    .unwrap_or_default(),
            );
            continue;
        };
        let mut open = problem.lines[line].units;
        ordered.sort_unstable_by_key(|site| {
            let of = &problem.sites[*site];
            (of.per_line + of.per_unit * i64::from(open), *site)
        });
        let whole = ordered
            .iter()
            .copied()
            .find(|site| left.can(problem, line, *site) >= open);
        let largest = || {
            let key = |site: &usize| (left.can(problem, line, *site), usize::MAX - *site);
            ordered.iter().copied().max_by_key(key)
        };
        let one = if problem.policy.by_item {
            whole.or_else(largest)
        } else {
            whole
        };
        let rest = ordered.iter().copied().filter(|_| !problem.policy.by_item);
        for site in one.into_iter().chain(rest) {
            let units = left.can(problem, line, site).min(open);
            if units > 0 {
                let take = Take { line, site, units };
                left.take(problem, take);
                open -= units;
                takes.push(take);
            }
        }
    }
    takes
}

/// Leaves out and exchanges sites one by one while that makes the plan cheaper.
fn exchanged(problem: &Problem<'_>, mut best: Solution) -> Solution {
    let mut steps = problem.policy.halved(EXCHANGE_STEPS_MAX);
    'again: loop {
        let sites = best.sites();
        let each = (problem.lines.len() * sites.len().max(1)) as u64;
        for (nth, _) in sites.iter().enumerate() {
            let others = (0..problem.sites.len()).filter(|site| !sites.contains(site));
            for instead in std::iter::once(None).chain(others.map(Some)) {
                let Some(rest) = steps.checked_sub(each) else {
                    return best;
                };
                steps = rest;
                let mut set = sites.clone();
                match instead {
                    Some(site) => set[nth] = site,
                    None => _ = set.remove(nth),
                }
                if !may_be_better(problem, &set, &best) {
                    continue;
                }
                set.sort_unstable();
                let plan = problem.checked(fill(problem, &set));
                if let Some(plan) = plan
                    && plan.cost < best.cost
                {
                    best = plan;
                    continue 'again;
                }
            }
        }
        return best;
    }
}

/// Whether a set could come to a better plan, were all of it used. Without some of it, it is
/// another set, which has its own turn.
fn may_be_better(problem: &Problem<'_>, set: &[usize], best: &Solution) -> bool {
    let opening = set.iter().map(|site| problem.sites[*site].open);
    let opening = opening.fold(-problem.policy.split, Minor::saturating_add);
    let reach = |line: usize| {
        let could = set.iter().map(|site| u64::from(problem.could(line, *site)));
        could.sum::<u64>().min(u64::from(problem.lines[line].units))
    };
    let served = problem.wanted() - best.cost.short;
    let reach: u64 = (0..problem.lines.len()).map(reach).sum();
    reach > served || reach == served && opening < best.cost.money
}
