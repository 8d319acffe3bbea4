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
const STEPS_MAX: u64 = 500_000;

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
    let (found, bound) = search::search(problem, start, avoid, problem.policy.halved(STEPS_MAX));
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
    let (again, _) = {
        let steps = problem.policy.halved(STEPS_MAX);
        search::search(&problem.opened(&sites), None, None, steps)
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::InputLine;
    use proptest::prelude::*;

    /// Lines and sites, as (units of each line, opening and stock of each site).
    fn orders() -> impl Strategy<Value = (Vec<u32>, Vec<(i64, Vec<u32>)>)> {
        let units = proptest::collection::vec(1_u32..9, 8..14);
        let site = (
            200_i64..900,
            proptest::collection::vec(prop_oneof![3 => Just(0), 1 => 1_u32..5, 1 => Just(9)], 14),
        );
        (units, proptest::collection::vec(site, 15..40))
    }

    fn lines(units: &[u32]) -> Vec<InputLine> {
        let line = |(line, units): (u32, &u32)| InputLine {
            line,
            units: *units,
            parts: vec![(line, 1)],
            only: None,
        };
        (0..).zip(units).map(line).collect()
    }

    fn problem<'a>(lines: &'a [InputLine], sites: &[(i64, Vec<u32>)]) -> Problem<'a> {
        const SPLIT: i64 = 300;
        let mut sites = sites.to_vec();
        sites.sort();
        let row = |line: usize| sites.iter().map(move |(_, stock)| stock[line]);
        let could = |line: usize| {
            row(line)
                .map(move |there| there.min(lines[line].units))
                .collect::<Vec<u32>>()
        };
        let site = |(nth, (open, _)): (usize, &(i64, Vec<u32>))| Site {
            nth,
            open: open + SPLIT,
            per_line: 20,
            per_unit: (nth % 3) as i64,
            room: u32::MAX,
        };
        Problem {
            lines,
            values: Vec::new(),
            jobs: (0..lines.len()).map(|line| vec![line]).collect(),
            stock: (0..lines.len()).flat_map(row).collect(),
            could: (0..lines.len()).flat_map(could).collect(),
            sites: sites.iter().enumerate().map(site).collect(),
            policy: Policy {
                whole: false,
                by_item: false,
                shipments_max: usize::MAX,
                value_min: 0,
                split: SPLIT,
                halvings: 0,
            },
            coupled: false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_plan_is_worse_than_the_greedy_one_or_better_than_the_bound(
            (units, sites) in orders(),
            steps in 0_u64..3_000,
        ) {
            let lines = lines(&units);
            let problem = problem(&lines, &sites);
            let greedy = greedy::greedy(&problem).expect("any split is allowed");
            let full = optimise(&problem, None).expect("any split is allowed");
            prop_assert!(full.solution.cost <= greedy.cost);
            prop_assert!(full.bound <= full.solution.cost);
            let (cut, bound) = search::search(&problem, Some(greedy.clone()), None, steps);
            let cut = cut.expect("it began with one").cost;
            prop_assert!(cut <= greedy.cost && bound <= full.solution.cost);
            let (again, _) = search::search(&problem, Some(greedy), None, steps);
            prop_assert_eq!(again.expect("it began with one").cost, cut);
            // Sites that are useless are.
            let fewer = problem.clone().without_useless();
            let fewer = optimise(&fewer, None).expect("any split is allowed");
            if full.bound == full.solution.cost {
                prop_assert!(fewer.solution.cost >= full.solution.cost);
                if fewer.bound == fewer.solution.cost {
                    prop_assert_eq!(fewer.solution.cost, full.solution.cost);
                }
            }
        }
    }

    /// What searches that come to the end of their steps are worth, against full ones.
    #[test]
    fn plans_of_searches_cut_short_are_within_a_hundredth_on_average() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        const CUT: [u64; 4] = [0, 2_000, 20_000, 200_000];
        let mut runner = TestRunner::deterministic();
        let (mut sums_ppm, mut unproven, mut compared) = ([0; 4], [0; 4], 0);
        for _ in 0..200 {
            let (units, sites) = orders().new_tree(&mut runner).expect("orders").current();
            let lines = lines(&units);
            let problem = problem(&lines, &sites);
            let best = optimise(&problem, None).expect("any split is allowed");
            if best.bound != best.solution.cost {
                continue;
            }
            compared += 1;
            let best = best.solution.cost;
            for (nth, steps) in CUT.into_iter().enumerate() {
                let greedy = greedy::greedy(&problem);
                let (cut, bound) = search::search(&problem, greedy, None, steps);
                let cut = cut.expect("any split is allowed").cost;
                assert_eq!(cut.short, best.short);
                sums_ppm[nth] += (cut.money - best.money) * 1_000_000 / best.money.max(1);
                unproven[nth] += u32::from(bound != cut);
            }
        }
        let means = sums_ppm.map(|sum| sum / compared);
        println!("{compared} compared; cut at {CUT:?} steps: {means:?} ppm, {unproven:?} unproven");
        assert!(
            compared >= 150 && means[2] <= 10_000,
            "{compared}, {means:?}"
        );
    }
}
