//! Whether a canary has gone wrong, and how to say so.
//!
//! A figure is judged when both versions have made enough decisions. A share of splits, refusals or
//! short units, or a time, is a canary's fault only where the active version does better: what goes
//! wrong for both is no reason to end a trial.

use std::fmt;

use consign_domain::catalogue::Guardrails;

use super::arm::Arm;

/// A guardrail that is broken. Shown, it is a sentence with the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    what: What,
    /// Decisions of the canary and of the active version.
    decisions: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// Tenths of minor units a unit, of both; and what was allowed, in thousandths.
    Cost {
        tried: u128,
        active: u128,
        permille: Option<u128>,
        most: u32,
    },
    /// Thousandths of both, and what was allowed.
    Share {
        name: &'static str,
        of: &'static str,
        tried: u64,
        active: u64,
        most: u32,
    },
    /// Microseconds of both, and what was allowed.
    Time { tried: u64, active: u64, most: u32 },
}

/// The first guardrail that a canary has broken.
#[must_use]
pub fn broken(guardrails: &Guardrails, tried: &Arm, active: &Arm) -> Option<Broken> {
    let least = u64::from(guardrails.decisions_min);
    if tried.decisions < least || active.decisions < least {
        return None;
    }
    let reservations = |arm: &Arm| arm.granted + arm.refused;
    let units = |arm: &Arm| arm.served + arm.short;
    let asked = (reservations(tried), reservations(active));
    let are_asked = asked.0 >= least && asked.1 >= least;
    let refusal_max = guardrails.refusal_permille_max.filter(|_| are_asked);
    let what = cost(guardrails.cost_permille_max, tried, active)
        .or_else(|| {
            let shares = [
                (tried.split, tried.decisions),
                (active.split, active.decisions),
            ];
            share(
                ("split", "decisions"),
                guardrails.split_permille_max,
                shares,
            )
        })
        .or_else(|| {
            let shares = [(tried.refused, asked.0), (active.refused, asked.1)];
            share(("refused", "reservations"), refusal_max, shares)
        })
        .or_else(|| {
            let shares = [(tried.short, units(tried)), (active.short, units(active))];
            share(("short", "units"), guardrails.short_permille_max, shares)
        })
        .or_else(|| time(guardrails.decision_us_p99_max, tried, active))?;
    Some(Broken {
        what,
        decisions: (tried.decisions, active.decisions),
    })
}

fn cost(most: Option<u32>, tried: &Arm, active: &Arm) -> Option<What> {
    let most = most?;
    let (of_tried, of_active) = (
        tried.cost_per_unit_tenths()?,
        active.cost_per_unit_tenths()?,
    );
    // Crosswise, so that nothing is rounded before it is compared.
    let ours = tried.cost.saturating_mul(u128::from(active.served));
    let theirs = active.cost.saturating_mul(u128::from(tried.served));
    let ours = ours.saturating_mul(1_000);
    (ours > theirs.saturating_mul(u128::from(most))).then(|| What::Cost {
        tried: of_tried,
        active: of_active,
        permille: ours.checked_div(theirs),
        most,
    })
}

/// `[(how many, of how many)]` of the canary and the active version.
fn share(
    (name, of): (&'static str, &'static str),
    most: Option<u32>,
    [tried, active]: [(u64, u64); 2],
) -> Option<What> {
    let most = most?;
    let wide = u128::from;
    let too_many = wide(tried.0) * 1_000 > wide(most.into()) * wide(tried.1);
    let worse = wide(tried.0) * wide(active.1) > wide(active.0) * wide(tried.1);
    let permille = |(part, all): (u64, u64)| (part * 1_000 + all / 2).checked_div(all).unwrap_or(0);
    (too_many && worse).then(|| What::Share {
        name,
        of,
        tried: permille(tried),
        active: permille(active),
        most,
    })
}

fn time(most: Option<u32>, tried: &Arm, active: &Arm) -> Option<What> {
    let most = most?;
    let (tried, active) = (tried.micros_at(990), active.micros_at(990));
    (tried > u64::from(most) && tried > active).then_some(What::Time {
        tried,
        active,
        most,
    })
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Cost {
                tried,
                active,
                permille,
                most,
            } => {
                let (tried, active) = (Tenths(*tried), Tenths(*active));
                write!(
                    f,
                    "cost: {tried} a unit beside {active} of the active version, "
                )?;
                if let Some(permille) = permille {
                    write!(f, "{} % of it, ", Tenths(*permille))?;
                }
                write!(f, "more than {} %", Tenths((*most).into()))
            }
            What::Share {
                name,
                of,
                tried,
                active,
                most,
            } => {
                let [tried, active] = [tried, active].map(|of| Tenths((*of).into()));
                let most = Tenths((*most).into());
                write!(
                    f,
                    "{name}: {tried} % of {of} beside {active} % of the active version, more than {most} %"
                )
            }
            What::Time {
                tried,
                active,
                most,
            } => {
                let [tried, active] = [tried, active].map(|us| Whole((*us).into()));
                let most = Whole((*most).into());
                write!(
                    f,
                    "latency: 99 of 100 decisions within {tried} µs beside {active} µs of the active version, more than {most} µs"
                )
            }
        }?;
        let (tried, active) = self.decisions;
        let (tried, active) = (Whole(tried.into()), Whole(active.into()));
        write!(f, "; after {tried} and {active} decisions")
    }
}

/// A number with commas between thousands.
struct Whole(u128);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Tenths, as a number with one decimal.
struct Tenths(u128);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Whole(self.0 / 10), self.0 % 10)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Observed, is_chosen};
    use super::*;

    /// So many decisions of ten units each, of which some are split or short.
    fn arm(decisions: u64, cost: i64, split: u64, short: u64) -> Arm {
        let mut arm = Arm::default();
        for nth in 0..decisions {
            let short = if nth < short { 10 } else { 0 };
            arm.observe(&Observed {
                shipments: if nth < split { 2 } else { 1 },
                served: 10 - short,
                short,
                cost,
                micros: 5,
            });
        }
        (arm.granted, arm.refused) = (decisions, 0);
        arm
    }

    fn none() -> Guardrails {
        Guardrails {
            cost_permille_max: None,
            split_permille_max: None,
            refusal_permille_max: None,
            short_permille_max: None,
            decision_us_p99_max: None,
            decisions_min: 100,
        }
    }

    fn told(guardrails: &Guardrails, tried: &Arm, active: &Arm) -> String {
        broken(guardrails, tried, active).map_or_else(String::new, |broken| broken.to_string())
    }

    #[test]
    fn each_says_what_is_wrong_in_a_sentence() {
        let active = arm(3_800, 12_040, 38, 0);
        let cost = Guardrails {
            cost_permille_max: Some(1_100),
            ..none()
        };
        assert_eq!(
            told(&cost, &arm(200, 19_320, 2, 0), &active),
            "cost: 1,932.0 a unit beside 1,204.0 of the active version, 160.4 % of it, more than 110.0 %; after 200 and 3,800 decisions"
        );
        assert_eq!(told(&cost, &arm(200, 13_000, 2, 0), &active), "");
        assert_eq!(
            told(&cost, &arm(200, 30, 0, 0), &arm(200, 0, 0, 0)),
            "cost: 3.0 a unit beside 0.0 of the active version, more than 110.0 %; after 200 and 200 decisions"
        );
        let split = Guardrails {
            split_permille_max: Some(50),
            ..none()
        };
        assert_eq!(
            told(&split, &arm(200, 0, 40, 0), &active),
            "split: 20.0 % of decisions beside 1.0 % of the active version, more than 5.0 %; after 200 and 3,800 decisions"
        );
        let short = Guardrails {
            short_permille_max: Some(0),
            ..none()
        };
        assert_eq!(
            told(&short, &arm(200, 0, 0, 1), &active),
            "short: 0.5 % of units beside 0.0 % of the active version, more than 0.0 %; after 200 and 3,800 decisions"
        );
        let refusal = Guardrails {
            refusal_permille_max: Some(100),
            ..none()
        };
        let mut refused = arm(200, 0, 0, 0);
        (refused.granted, refused.refused) = (150, 50);
        assert_eq!(
            told(&refusal, &refused, &active),
            "refused: 25.0 % of reservations beside 0.0 % of the active version, more than 10.0 %; after 200 and 3,800 decisions"
        );
        let time = Guardrails {
            decision_us_p99_max: Some(4),
            ..none()
        };
        let mut slow = arm(200, 0, 0, 0);
        for _ in 0..10 {
            let micros = 1_000;
            slow.observe(&Observed {
                micros,
                ..Observed::default()
            });
        }
        assert_eq!(
            told(&time, &slow, &active),
            "latency: 99 of 100 decisions within 1,000 µs beside 5 µs of the active version, more than 4 µs; after 210 and 3,800 decisions"
        );
    }

    /// Every guardrail there is, as tight as can be.
    fn tight() -> Guardrails {
        Guardrails {
            cost_permille_max: Some(1_000),
            split_permille_max: Some(0),
            refusal_permille_max: Some(0),
            short_permille_max: Some(0),
            decision_us_p99_max: Some(1),
            decisions_min: 100,
        }
    }

    proptest! {
        /// However tight they are: whoever does as the active version does breaks none, and nobody is
        /// judged by too little.
        #[test]
        fn the_same_figures_break_nothing(
            decisions in 1..300_u64, cost in 0..100_000_i64, split in 0..300_u64, short in 0..300_u64,
        ) {
            let own = arm(decisions, cost, split, short);
            prop_assert_eq!(broken(&tight(), &own, &own), None);
            let few = arm(99, 100_000_000, 99, 50);
            prop_assert_eq!(broken(&tight(), &few, &own), None);
            prop_assert_eq!(broken(&tight(), &own, &few.clone()), None);
        }

        /// A dearer canary is found out exactly where its mean is above what is allowed.
        #[test]
        fn cost_is_judged_by_the_mean(
            tried in 0..10_000_i64, active in 1..10_000_i64, most in 1..3_000_u32,
            (ours, theirs) in (100..300_u64, 100..300_u64),
        ) {
            let guardrails = Guardrails { cost_permille_max: Some(most), ..none() };
            let is_broken = broken(&guardrails, &arm(ours, tried, 0, 0), &arm(theirs, active, 0, 0));
            prop_assert_eq!(is_broken.is_some(), tried * 1_000 > active * i64::from(most));
        }

        /// A share stays the share that it was, and grows by taking in others.
        #[test]
        fn who_is_chosen_stays_so(order in "[0-9A-Za-z]{1,32}", less in 0..1_000_u16, more in 0..1_000_u16) {
            let (less, more) = (less.min(more), less.max(more));
            prop_assert!(!is_chosen(&order, less) || is_chosen(&order, more));
            prop_assert!(!is_chosen(&order, 0) && is_chosen(&order, 1_000));
        }
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says() {
        for share in [10_u16, 50, 500, 900] {
            let chosen = (0..100_000_u32).filter(|nth| is_chosen(&format!("order-{nth}"), share));
            let chosen = i64::try_from(chosen.count()).expect("few");
            let wanted = i64::from(share) * 100;
            assert!((chosen - wanted).abs() < 700, "{share}: {chosen}");
        }
    }
}
