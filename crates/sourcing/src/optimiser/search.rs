//! Branch and bound, depth first: line by line, each from every site that makes a difference.
//!
//! A line that is split takes all that a site has, but from one: among the cheapest plans there is
//! always such a one, as costs are sums and fixed costs. That holds while lines take nothing from
//! each other; where they do, every number of units is tried. Looks are counted, and a search that
//! comes to their end returns the best plan so far with the bound of its beginning.

use consign_domain::money::Minor;

use super::bound::{CLOSED, bound};
use super::greedy::Left;
use super::problem::{Cost, Problem, Solution, Take};

/// Lines that are searched at most; larger orders get the greedy plan with its gap.
const JOBS_MAX: usize = 128;
/// Pieces of a plan at most while it is searched: how deep the search calls itself.
const TAKES_MAX: usize = 512;

/// The best plan of those allowed, and what none costs less than.
pub(super) fn search(
    problem: &Problem<'_>,
    start: Option<Solution>,
    avoid: Option<&[usize]>,
    steps: u64,
) -> (Option<Solution>, Cost) {
    let sites = problem.sites.len();
    let mut order: Vec<usize> = (0..problem.jobs.len()).collect();
    // Lines with the fewest choices first: they decide most.
    let choices = |job: usize| {
        let able = |site: &usize| problem.could(problem.jobs[job][0], *site) > 0;
        (0..sites).filter(able).count()
    };
    order.sort_by_cached_key(|job| (choices(*job), *job));
    let mut slack: Vec<Minor> = problem.sites.iter().map(|site| site.open).collect();
    let mut least = bound(problem, &order, &mut slack);
    least.money = (least.money - problem.policy.split).max(0);
    let short_min = short_at_least(problem);
    if short_min > least.short {
        least = Cost {
            short: short_min,
            money: 0,
        };
    }
    let mut search = Search {
        problem,
        left: Left::of(problem),
        pieces: vec![0; sites],
        shipments: 0,
        takes: Vec::new(),
        spent: Cost::default(),
        short_min,
        short_from: short_from(problem, &order),
        able: (0..problem.lines.len())
            .map(|line| {
                let able = |site: &u32| problem.could(line, *site as usize) > 0;
                (0..sites as u32).filter(able).collect()
            })
            .collect(),
        slack,
        best: start,
        avoid,
        steps_left: if problem.jobs.len() > JOBS_MAX {
            0
        } else {
            steps
        },
        cut: problem.jobs.len() > JOBS_MAX,
        order,
    };
    search.job(0);
    let proven = search.best.as_ref().filter(|_| !search.cut);
    let bound = proven.map_or(least, |best| best.cost);
    (search.best, bound)
}

/// Units that stay short whatever the plan, because lines together want more of a SKU than there is.
fn short_at_least(problem: &Problem<'_>) -> u64 {
    let mut wanted: std::collections::BTreeMap<u32, (u64, u64)> = std::collections::BTreeMap::new();
    for line in problem.lines {
        for (sku, per_unit) in &line.parts {
            let (pieces, largest) = wanted.entry(*sku).or_default();
            *pieces += u64::from(line.units) * u64::from(*per_unit);
            *largest = u64::from(*per_unit).max(*largest);
        }
    }
    let width = problem.sites.len();
    let short = |(sku, (pieces, largest)): (&u32, &(u64, u64))| {
        let row = problem.stock.get(*sku as usize * width..).unwrap_or(&[]);
        let there: u64 = row.iter().take(width).map(|cell| u64::from(*cell)).sum();
        pieces.saturating_sub(there).div_ceil((*largest).max(1))
    };
    wanted.iter().map(short).max().unwrap_or(0)
}

/// Units that stay short because all sites together have too few, of each job and those after it.
fn short_from(problem: &Problem<'_>, order: &[usize]) -> Vec<u64> {
    let mut from = vec![0; order.len() + 1];
    for (at, job) in order.iter().enumerate().rev() {
        let mut slack = vec![0; problem.sites.len()];
        from[at] = from[at + 1] + bound(problem, &[*job], &mut slack).short;
    }
    from
}

struct Search<'p> {
    problem: &'p Problem<'p>,
    order: Vec<usize>,
    left: Left,
    /// Pieces that each site serves now.
    pieces: Vec<u32>,
    shipments: usize,
    takes: Vec<Take>,
    spent: Cost,
    short_min: u64,
    /// Units that stay short whatever the plan, of each job and those after it.
    short_from: Vec<u64>,
    /// Of each line, the sites that could serve some of it.
    able: Vec<Vec<u32>>,
    /// Room for what opening each site still costs.
    slack: Vec<Minor>,
    best: Option<Solution>,
    avoid: Option<&'p [usize]>,
    steps_left: u64,
    /// Whether something was left unsearched.
    cut: bool,
}

impl Search<'_> {
    fn job(&mut self, at: usize) {
        let problem = self.problem;
        let Some(job) = self.order.get(at) else {
            return self.end();
        };
        let job = &problem.jobs[*job];
        if self.cut || self.hopeless(at) {
            return;
        }
        match job[..] {
            [line] => self.piece(at, line, problem.lines[line].units, 0),
            _ => self.group(at, job),
        }
    }

    fn step(&mut self, looks: usize) -> bool {
        match self.steps_left.checked_sub(looks as u64) {
            Some(left) => self.steps_left = left,
            None => self.cut = true,
        }
        !self.cut
    }

    fn may_open(&self, site: usize) -> bool {
        self.pieces[site] > 0 || self.shipments < self.problem.policy.shipments_max
    }

    /// Whether no plan that begins like this one is better than the best.
    fn hopeless(&mut self, at: usize) -> bool {
        let Some(best) = &self.best else {
            return false;
        };
        let best = best.cost;
        if self.too_dear(at, self.opening(at)) {
            return true;
        }
        if !self.step((self.order.len() - at + 1) * self.problem.sites.len()) {
            return true;
        }
        for site in 0..self.slack.len() {
            self.slack[site] = match self.pieces[site] {
                0 if !self.may_open(site) => CLOSED,
                0 => self.problem.sites[site].open,
                _ => 0,
            };
        }
        let rest = bound(self.problem, &self.order[at..], &mut self.slack);
        let mut least = Cost {
            short: self.spent.short + rest.short,
            money: self.spent.money.saturating_add(rest.money),
        };
        if self.short_min > least.short {
            least = Cost {
                short: self.short_min,
                money: self.spent.money,
            };
        }
        least.money -= self.problem.policy.split;
        least >= best
    }

    /// What must be opened at least for the line that needs it most. Prices of the bound pay for a
    /// part of an opening where a part would do; this pays all of it.
    fn opening(&self, at: usize) -> Minor {
        let problem = self.problem;
        let most = |job: &usize| -> Minor {
            // Groups are left to the bound.
            let [line] = problem.jobs[*job][..] else {
                return 0;
            };
            let together = |all: u64, could: u64| {
                if problem.policy.by_item {
                    all.max(could)
                } else {
                    all + could
                }
            };
            let units = u64::from(problem.lines[line].units);
            let mut closed = None;
            let (mut reach, mut all) = (0, 0);
            for site in &self.able[line] {
                let site = *site as usize;
                let could = u64::from(problem.could(line, site));
                all = together(all, could);
                if self.pieces[site] > 0 {
                    reach = together(reach, could);
                } else if closed.is_none() {
                    closed = Some(problem.sites[site].open);
                }
                if reach >= units {
                    return 0;
                }
            }
            // Where all together have too few, as many as there are must be served.
            if reach < all.min(units) {
                closed.unwrap_or(0)
            } else {
                0
            }
        };
        self.order[at..].iter().map(most).max().unwrap_or(0)
    }

    fn end(&mut self) {
        let Some(plan) = self.problem.checked(self.takes.clone()) else {
            return;
        };
        let better = self.best.as_ref().is_none_or(|best| plan.cost < best.cost);
        if better && self.avoid.is_none_or(|avoid| plan.sites() != avoid) {
            self.best = Some(plan);
        }
    }

    /// What this piece adds to the cost.
    fn added(&self, line_count: usize, units: u64, site: usize) -> Minor {
        let of = &self.problem.sites[site];
        let open = if self.pieces[site] == 0 { of.open } else { 0 };
        open + of.per_line * line_count as i64 + of.per_unit * units as i64
    }

    /// Does something with a piece of job `at` taken, and puts it back.
    fn with(&mut self, at: usize, take: Take, go_on: impl FnOnce(&mut Self)) {
        if self.takes.len() >= TAKES_MAX {
            self.cut = true;
            return;
        }
        let added = self.added(1, u64::from(take.units), take.site);
        if self.too_dear(at, added) {
            return;
        }
        self.left.take(self.problem, take);
        self.shipments += usize::from(self.pieces[take.site] == 0);
        self.pieces[take.site] += 1;
        self.spent.money += added;
        self.takes.push(take);
        go_on(self);
        self.takes.pop();
        self.spent.money -= added;
        self.pieces[take.site] -= 1;
        self.shipments -= usize::from(self.pieces[take.site] == 0);
        self.left.put_back(self.problem, take);
    }

    fn without(&mut self, units: u64, at: usize) {
        if !self.problem.policy.whole {
            self.spent.short += units;
            self.job(at + 1);
            self.spent.short -= units;
        }
    }

    fn group(&mut self, at: usize, job: &[usize]) {
        let units: u64 = job
            .iter()
            .map(|line| u64::from(self.problem.lines[*line].units))
            .sum();
        let mut able: Vec<(Minor, usize)> = (0..self.problem.sites.len())
            .filter(|site| self.may_open(*site) && self.problem.could_all(job, *site))
            .map(|site| (self.added(job.len(), units, site), site))
            .collect();
        able.sort_unstable();
        for (added, site) in able {
            if self.too_dear(at, added) {
                break;
            }
            self.group_from(at, job, site);
        }
        self.without(units, at);
    }

    /// Takes the lines of a group one after the other, as far as their site has all of them.
    fn group_from(&mut self, at: usize, job: &[usize], site: usize) {
        let Some((line, rest)) = job.split_first() else {
            return self.job(at + 1);
        };
        let units = self.problem.lines[*line].units;
        if self.left.can(self.problem, *line, site) < units {
            return;
        }
        let line = *line;
        let take = Take { line, site, units };
        self.with(at, take, |search| search.group_from(at, rest, site));
    }

    /// Finds the open units of a line: from one site, in pieces, or not at all. Sites before `from`
    /// have been passed over, so that no distribution is tried twice.
    fn piece(&mut self, at: usize, line: usize, open: u32, from: usize) {
        let problem = self.problem;
        if !self.step(self.able[line].len()) || self.too_dear(at, 0) {
            return;
        }
        let mut last: Vec<(Minor, usize)> = Vec::new();
        let mut some: Vec<(usize, u32)> = Vec::new();
        for nth in 0..self.able[line].len() {
            let site = self.able[line][nth] as usize;
            let can = self.left.can(problem, line, site);
            if can == 0 || !self.may_open(site) || self.serves(line, site) {
                continue;
            }
            if can > open && !problem.coupled || can >= open && site >= from {
                last.push((self.added(1, u64::from(open), site), site));
            }
            if site >= from && (can < open || problem.coupled) {
                some.push((site, can.min(open - 1)));
            }
        }
        last.sort_unstable();
        for (added, site) in last {
            if self.too_dear(at, added) {
                break;
            }
            let units = open;
            self.with(at, Take { line, site, units }, |search| search.job(at + 1));
        }
        for (site, most) in some {
            let least = if problem.coupled { 1 } else { most };
            for units in (least..=most).rev() {
                let take = Take { line, site, units };
                if problem.policy.by_item {
                    let short = u64::from(open - units);
                    self.with(at, take, |search| search.without(short, at));
                } else {
                    self.with(at, take, |search| {
                        search.piece(at, line, open - units, site + 1)
                    });
                }
            }
        }
        self.without(u64::from(open), at);
    }

    /// Whether the line, the last that was begun, has units from the site already.
    fn serves(&self, line: usize, site: usize) -> bool {
        let own = self.takes.iter().rev();
        let mut own = own.take_while(|take| take.line == line);
        own.any(|take| take.site == site)
    }

    /// Whether what is spent, with so much more, is as much as the best plan costs.
    fn too_dear(&self, at: usize, added: Minor) -> bool {
        let short = self.spent.short + self.short_from[at];
        let spent = Cost {
            short: short.max(self.short_min),
            money: self.spent.money + added - self.problem.policy.split,
        };
        self.best.as_ref().is_some_and(|best| spent >= best.cost)
    }
}
