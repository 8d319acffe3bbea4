//! What the lines that are still open cost at least.
//!
//! Dual ascent of the facility location problem (Erlenkotter 1978), one pass: each line raises a
//! price until some site would serve it for that, and what the price pays towards opening that
//! site is no longer there for the next line. The sum of the prices is a lower bound for every
//! plan, lines split over sites included: a site that could serve a share `c / u` of a line is
//! opened for that share at most.

use consign_domain::money::Minor;

use super::problem::{Cost, Problem};

/// Stands for sites that may not be opened any more.
pub(super) const CLOSED: Minor = Minor::MAX;

/// A lower bound for the jobs in `order`. `slack` holds what opening each site still costs, and is
/// used up.
pub(super) fn bound(problem: &Problem<'_>, order: &[usize], slack: &mut [Minor]) -> Cost {
    let mut least = Cost::default();
    for job in order {
        let job = &problem.jobs[*job];
        let own = match job[..] {
            [line] => line_bound(problem, line, slack),
            _ => group_bound(problem, job, slack),
        };
        least.short += own.short;
        least.money = least.money.saturating_add(own.money);
    }
    least
}

fn line_bound(problem: &Problem<'_>, line: usize, slack: &mut [Minor]) -> Cost {
    let width = problem.sites.len();
    let could = &problem.could[line * width..][..width];
    let units = problem.lines[line].units;
    let mut reach = 0_u64;
    let mut best = 0;
    for (could, slack) in could.iter().zip(slack.iter()) {
        if *slack != CLOSED {
            reach += u64::from(*could);
            best = best.max(*could);
        }
    }
    let served = if problem.policy.by_item {
        best
    } else {
        units.min(u32::try_from(reach).unwrap_or(u32::MAX))
    };
    let short = u64::from(units - served);
    if served == 0 {
        return Cost { short, money: 0 };
    }
    let mut price = Minor::MAX;
    for (nth, site) in problem.sites.iter().enumerate() {
        if could[nth] == 0 || slack[nth] == CLOSED {
            continue;
        }
        let fixed = site.per_line + slack[nth];
        let share = if could[nth] >= served {
            fixed
        } else {
            scaled(fixed, served, could[nth])
        };
        price = price.min(share.saturating_add(site.per_unit * i64::from(served)));
    }
    for (nth, site) in problem.sites.iter().enumerate() {
        if could[nth] == 0 || slack[nth] == CLOSED {
            continue;
        }
        let above = price - site.per_unit * i64::from(served);
        let paid = if above <= 0 {
            0
        } else if could[nth] >= served {
            above
        } else {
            // Rounded up: more paid here means less for the next line, so the bound stays one.
            scaled(above, could[nth], served) + 1
        };
        slack[nth] -= (paid - site.per_line).clamp(0, slack[nth]);
    }
    Cost {
        short,
        money: price,
    }
}

fn group_bound(problem: &Problem<'_>, job: &[usize], slack: &mut [Minor]) -> Cost {
    let units: u64 = job
        .iter()
        .map(|line| u64::from(problem.lines[*line].units))
        .sum();
    let service = |site: usize| {
        let site = &problem.sites[site];
        site.per_line * job.len() as i64 + site.per_unit * units as i64
    };
    let able: Vec<usize> = (0..problem.sites.len())
        .filter(|site| slack[*site] != CLOSED && problem.could_all(job, *site))
        .collect();
    let price = able.iter().map(|site| service(*site) + slack[*site]).min();
    let Some(price) = price else {
        return Cost {
            short: units,
            money: 0,
        };
    };
    for site in able {
        slack[site] -= (price - service(site)).clamp(0, slack[site]);
    }
    Cost {
        short: 0,
        money: price,
    }
}

/// `amount · times / of`, rounded down.
fn scaled(amount: Minor, times: u32, of: u32) -> Minor {
    let exact = i128::from(amount) * i128::from(times) / i128::from(of);
    i64::try_from(exact).unwrap_or(Minor::MAX / 2)
}
