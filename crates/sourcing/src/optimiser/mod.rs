//! The cheapest plan over all sites together.
//!
//! In: a [`Problem`], already without the candidates that filters removed. Out: a [`Solution`] and
//! a bound that no plan beats. What is bounded is bounded by steps, never by time, so that the same
//! problem gives the same plan on every machine (L9, L10).

mod bound;
mod greedy;
mod problem;
mod search;

pub(crate) use problem::{Cost, Policy, Problem, Site, Solution, Take};

/// Steps of one search at most: a step looks at one open line at one site.
const STEPS_MAX: u64 = 2_000_000;

/// The best plan found, and what no plan costs less than.
#[derive(Debug)]
pub(crate) struct Optimum {
    pub(crate) solution: Solution,
    pub(crate) bound: Cost,
}

/// Finds the cheapest plan that uses other sites than exactly those in `avoid`. `None` when the
/// policy allows no plan at all.
pub(crate) fn optimise(problem: &Problem<'_>, avoid: Option<&[usize]>) -> Option<Optimum> {
    let start = greedy::greedy(problem).filter(|start| avoid != Some(&start.sites()[..]));
    let (found, bound) = search::search(problem, start, avoid, STEPS_MAX);
    let solution = found?;
    let solution = if avoid.is_none() {
        refit(problem, solution)
    } else {
        solution
    };
    Some(Optimum { solution, bound })
}

/// Distributes the units anew over the sites that serve, as their opening is paid: each line goes
/// to the one that is preferred among those that cost the same.
fn refit(problem: &Problem<'_>, solution: Solution) -> Solution {
    let sites = solution.sites();
    if sites.len() < 2 || problem.coupled {
        return solution;
    }
    let (again, _) = search::search(&problem.opened(&sites), None, None, STEPS_MAX);
    let Some(again) = again else {
        return solution;
    };
    let takes = again.takes.iter().map(|take| Take {
        site: sites[take.site],
        ..*take
    });
    match problem.checked(takes.collect()) {
        Some(again) if again.cost <= solution.cost => again,
        _ => solution,
    }
}

/// The greedy plan, for comparison.
#[cfg(test)]
pub(crate) fn greedy_plan(problem: &Problem<'_>) -> Option<Solution> {
    greedy::greedy(problem)
}
