//! A version of the strategy at work on real orders, beside the active one: on this node.
//!
//! In: what a decision rests on, gathered for both versions. Out: the decision of the one that the order
//! falls to, and figures of both. A canary decides all rounds of the orders that fall to it. A shadow
//! decides after the active version did, on the same inputs, in a task of its own that takes at most a
//! tenth of a core; what is too much for it is passed over, so it never delays an order and
//! breaks none. Figures are this node's own, in memory: they begin anew with each trial and each start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use consign_domain::catalogue::{BUILT_IN, Catalogue, Trial, TrialMode};
use consign_domain::ids::OrderId;
use consign_domain::location::Answer;
use consign_sourcing::{
    Arm, Broken, Compiled, Decided, Inputs, Observed, Sourced, broken, decide, is_chosen, price,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::atlas::Wants;
use crate::strategies;

/// Decisions that wait for a shadow at most.
const SHADOW_WAITING_MAX: usize = 64;
/// Figures of stock that one of them holds at most: larger ones are passed over. With
/// [`SHADOW_WAITING_MAX`] of them, 16 MiB.
const SHADOW_CELLS_MAX: usize = 65_536;
/// For each moment that a shadow decides, it rests this many.
const SHADOW_RESTS: u32 = 9;
/// Rests shorter than this are saved up.
const SHADOW_REST_MIN: Duration = Duration::from_millis(2);
/// How often a plan that differs is told of at the level `info`; all of them are at `debug`.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The trial that runs, ready to decide.
#[derive(Debug)]
pub(crate) struct Trying {
    pub(crate) trial: Trial,
    tried: Compiled,
    /// Whose weights say what both versions' plans are worth; the tried version's where it is `None`.
    weigher: Option<Compiled>,
    /// What must be gathered for either of them to decide.
    pub(crate) wants: Wants,
    /// Outlives changes of locations and carriers.
    figures: Arc<Figures>,
}

/// What was counted of a trial on this node.
#[derive(Debug, Default)]
struct Figures {
    tried: Mutex<Arm>,
    active: Mutex<Arm>,
    differing: AtomicU64,
    passed_over: AtomicU64,
    given_up: AtomicBool,
}

/// What was counted of a trial on one node, as it stands.
#[derive(Clone, Debug)]
pub struct TrialFigures {
    /// Which node.
    pub node: u64,
    /// Decisions of the version that is tried.
    pub tried: Arm,
    /// Decisions of the active version; of a shadow, those about the same orders.
    pub active: Arm,
    /// Of a shadow: plans that are not those of the active version.
    pub differing: u64,
    /// Of a shadow: decisions that were too many or too large for it.
    pub passed_over: u64,
}

impl Trying {
    /// The trial that runs, if any. `before` is what ran on this node until now.
    pub(crate) fn of(
        catalogue: &Catalogue,
        active: &Compiled,
        active_number: u32,
        before: Option<&Arc<Trying>>,
    ) -> Option<Arc<Trying>> {
        let trial = catalogue.trials().running()?;
        let tried = match strategies::compiled(catalogue, trial.version) {
            Ok(tried) => tried,
            Err(error) => {
                let version = trial.version;
                tracing::error!(version, %error, "the version on trial cannot decide; the active one does");
                return None;
            }
        };
        let same = before.filter(|before| before.trial.number == trial.number);
        Some(Arc::new(Trying {
            // The built-in one's sums are no money.
            weigher: (active_number != BUILT_IN).then(|| active.clone()),
            wants: Wants {
                strategy: active_number,
                held_back_max: active.held_back_max().max(tried.held_back_max()),
                facts: true,
            },
            figures: same.map_or_else(Arc::default, |same| Arc::clone(&same.figures)),
            trial: trial.clone(),
            tried,
        }))
    }

    /// Whether an order is decided about by the version that is tried.
    fn takes(&self, order: &OrderId) -> bool {
        match &self.trial.mode {
            TrialMode::Shadow => false,
            TrialMode::Canary { share_permille, .. } => {
                is_chosen(order.as_str(), *share_permille)
                    && !self.figures.given_up.load(Ordering::Relaxed)
            }
        }
    }

    fn arm(&self, is_tried: bool) -> &Mutex<Arm> {
        if is_tried {
            &self.figures.tried
        } else {
            &self.figures.active
        }
    }

    fn worth(&self, inputs: &Inputs, plan: &Sourced) -> i64 {
        let weigher = self.weigher.as_ref().unwrap_or(&self.tried);
        price(weigher, inputs, &plan.allotments).cost
    }

    /// Decides about an order by the version that it falls to. `wide` was gathered for both.
    /// Gives what it rested on, the decision, and who made it.
    pub(crate) fn decide<'a>(
        self: &'a Arc<Self>,
        (number, active): (u32, &'a Compiled),
        order: &OrderId,
        wide: Inputs,
        shadow: &Shadow,
    ) -> (Inputs, Decided, &'a Compiled) {
        let is_tried = self.takes(order);
        let (number, by) = if is_tried {
            (self.trial.version, &self.tried)
        } else {
            (number, active)
        };
        let inputs = wide.narrowed(number, by.held_back_max(), number != BUILT_IN);
        let (decided, micros) = timed(by, &inputs);
        let plan = &decided.plan;
        match self.trial.mode {
            TrialMode::Canary { .. } => {
                let observed = Observed::of(plan, self.worth(&wide, plan), micros);
                self.arm(is_tried).lock().observe(&observed);
            }
            TrialMode::Shadow => shadow.offer(self, order, wide, (plan, micros)),
        }
        (inputs, decided, by)
    }

    /// Takes note of what a location answered an order.
    pub(crate) fn heard(&self, order: &OrderId, answers: &[Answer]) {
        let (mut granted, mut refused) = (0, 0);
        for answer in answers {
            match answer {
                // What was picked or given back is told of again; it was counted before.
                Answer::Stands {
                    units,
                    picked: 0,
                    short: 0,
                    shipped: 0,
                    ..
                } if *units > 0 => granted += 1,
                Answer::Refused { reason, .. } if reason == "insufficient" => refused += 1,
                Answer::Stands { .. } | Answer::Refused { .. } | Answer::Closed { .. } => {}
            }
        }
        if granted + refused > 0 {
            let mut arm = self.arm(self.takes(order)).lock();
            arm.granted += granted;
            arm.refused += refused;
        }
    }

    /// What was counted here.
    pub(crate) fn figures(&self, node: u64) -> TrialFigures {
        TrialFigures {
            node,
            tried: self.figures.tried.lock().clone(),
            active: self.figures.active.lock().clone(),
            differing: self.figures.differing.load(Ordering::Relaxed),
            passed_over: self.figures.passed_over.load(Ordering::Relaxed),
        }
    }

    /// The guardrail that is broken by what was counted here. From then on the active version decides
    /// about all orders of this node, even before the others have heard of it.
    pub(crate) fn broken(&self) -> Option<Broken> {
        let TrialMode::Canary { guardrails, .. } = &self.trial.mode else {
            return None;
        };
        let (tried, active) = (&self.figures.tried, &self.figures.active);
        let broken = broken(guardrails, &tried.lock(), &active.lock())?;
        self.figures.given_up.store(true, Ordering::Relaxed);
        Some(broken)
    }

    fn shadowed(&self, pair: &Pair) -> bool {
        let (wide, tried) = (&pair.wide, &self.tried);
        let version = self.trial.version;
        let inputs = wide.narrowed(version, tried.held_back_max(), version != BUILT_IN);
        let (decided, micros) = timed(tried, &inputs);
        let plan = decided.plan;
        let (cost, active_cost) = (self.worth(wide, &plan), self.worth(wide, &pair.plan));
        let ours = Observed::of(&plan, cost, micros);
        let theirs = Observed::of(&pair.plan, active_cost, pair.micros);
        self.figures.tried.lock().observe(&ours);
        self.figures.active.lock().observe(&theirs);
        let differs = plan.allotments != pair.plan.allotments;
        self.figures
            .differing
            .fetch_add(u64::from(differs), Ordering::Relaxed);
        tracing::debug!(order = %pair.order, version, differs, cost, active_cost, ?plan, "a shadow decided");
        differs
    }
}

fn timed(strategy: &Compiled, inputs: &Inputs) -> (Decided, u64) {
    let began = Instant::now();
    let decided = decide(strategy, inputs);
    let nanos = began.elapsed().as_nanos().div_ceil(1_000);
    (decided, u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A decision of the active version, for a shadow to make again.
struct Pair {
    trying: Arc<Trying>,
    order: OrderId,
    wide: Inputs,
    plan: Sourced,
    micros: u64,
}

/// The way to the task in which shadows decide.
pub(crate) struct Shadow(mpsc::Sender<Pair>);

impl Shadow {
    /// The way, and what [`ShadowTask::start`] starts.
    pub(crate) fn new() -> (Shadow, ShadowTask) {
        let (sender, receiver) = mpsc::channel(SHADOW_WAITING_MAX);
        (Shadow(sender), ShadowTask(receiver))
    }

    fn offer(
        &self,
        trying: &Arc<Trying>,
        order: &OrderId,
        wide: Inputs,
        (plan, micros): (&Sourced, u64),
    ) {
        let place = (wide.available.len() <= SHADOW_CELLS_MAX).then(|| self.0.try_reserve());
        let Some(Ok(place)) = place else {
            trying.figures.passed_over.fetch_add(1, Ordering::Relaxed);
            return;
        };
        place.send(Pair {
            trying: Arc::clone(trying),
            order: order.clone(),
            wide,
            plan: plan.clone(),
            micros,
        });
    }
}

/// The task in which shadows decide.
pub(crate) struct ShadowTask(mpsc::Receiver<Pair>);

impl ShadowTask {
    /// Ends with the last [`Shadow`].
    pub(crate) fn start(mut self) {
        tokio::spawn(async move {
            let mut rest = Duration::ZERO;
            let mut told: Option<Instant> = None;
            while let Some(pair) = self.0.recv().await {
                let began = Instant::now();
                let differs = pair.trying.shadowed(&pair);
                rest += began.elapsed() * SHADOW_RESTS;
                if differs && told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    let differing = pair.trying.figures.differing.load(Ordering::Relaxed);
                    tracing::info!(order = %pair.order, version = pair.trying.trial.version, differing, "a shadow would have decided otherwise");
                }
                if rest >= SHADOW_REST_MIN {
                    tokio::time::sleep(std::mem::take(&mut rest)).await;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use consign_domain::catalogue::{CatalogueCommand, CatalogueId, Guardrails};
    use consign_domain::entity::{Context, Entity};
    use consign_domain::time::Timestamp;

    use super::*;

    /// A canary of the built-in strategy's like, on half of the orders.
    fn trying() -> Arc<Trying> {
        let strategy = consign_sourcing::Strategy::built_in();
        let guardrails = Guardrails {
            cost_permille_max: None,
            split_permille_max: None,
            refusal_permille_max: Some(100),
            short_permille_max: None,
            decision_us_p99_max: None,
            decisions_min: 10,
        };
        let commands = [
            CatalogueCommand::DraftStrategy {
                name: strategy.name.clone(),
                text: serde_json::to_string(&strategy).expect("text").into(),
                expected_version: None,
            },
            CatalogueCommand::StartTrial {
                number: 1,
                mode: TrialMode::Canary {
                    share_permille: 500,
                    guardrails,
                },
                expected_version: None,
            },
        ];
        let mut catalogue = Catalogue::empty(CatalogueId);
        let context = Context {
            now: Timestamp(7),
            occurred_at: None,
            by: "ops".into(),
        };
        for command in &commands {
            let decided = catalogue.decide(command, &context).expect("accepted");
            for event in &decided.events {
                catalogue.apply(event, &context.stamp());
            }
        }
        let active = Compiled::default();
        let first = Trying::of(&catalogue, &active, BUILT_IN, None).expect("it runs");
        let again = Trying::of(&catalogue, &active, BUILT_IN, Some(&first)).expect("it runs");
        assert!(Arc::ptr_eq(&first.figures, &again.figures), "counted on");
        again
    }

    /// Refusals count for the version that the order falls to, and the node that finds a guardrail
    /// broken gives the canary no more orders.
    #[test]
    fn refusals_roll_it_back() {
        let trying = trying();
        let orders = (0..100).map(|nth| OrderId::new(&format!("A-{nth}")).expect("valid"));
        let (ours, theirs): (Vec<OrderId>, Vec<OrderId>) =
            orders.partition(|order| trying.takes(order));
        assert!(ours.len() >= 20 && theirs.len() >= 20);
        let stands = Answer::Stands {
            attempt: 1,
            units: 2,
            picked: 0,
            short: 0,
            shipped: 0,
        };
        let picked = Answer::Stands {
            attempt: 1,
            units: 2,
            picked: 2,
            short: 0,
            shipped: 0,
        };
        let refused = |reason: &str| Answer::Refused {
            attempt: 2,
            available: 0,
            reason: reason.into(),
        };
        for order in theirs.iter().take(20) {
            trying.heard(order, &[stands.clone(), picked.clone(), refused("expired")]);
        }
        for order in ours.iter().take(20) {
            trying.heard(order, &[stands.clone(), refused("insufficient")]);
        }
        let figures = trying.figures(1);
        assert_eq!((figures.tried.granted, figures.tried.refused), (20, 20));
        assert_eq!((figures.active.granted, figures.active.refused), (20, 0));
        assert_eq!(trying.broken(), None, "no decision was counted yet");
        for arm in [true, false] {
            for _ in 0..10 {
                trying.arm(arm).lock().observe(&Observed::default());
            }
        }
        let broken = trying.broken().expect("half of them were refused");
        assert_eq!(
            broken.to_string(),
            "refused: 50.0 % of reservations beside 0.0 % of the active version, more than 10.0 %; after 10 and 10 decisions"
        );
        assert!(!ours.iter().any(|order| trying.takes(order)));
    }

    /// More than a shadow can take is passed over, and the order hears of none of it.
    #[tokio::test]
    async fn a_shadow_passes_over_what_is_too_much() {
        let trying = trying();
        let (shadow, _task) = Shadow::new();
        let order = OrderId::new("A-1").expect("valid");
        let wide = |cells: usize| Inputs {
            rule_version: consign_sourcing::RULE_VERSION,
            strategy: BUILT_IN,
            split: consign_domain::order::SplitPolicy::Allow,
            lines: Vec::new(),
            candidates: Vec::new(),
            without_stock: Vec::new(),
            available: vec![1; cells],
            excluded: Vec::new(),
            facts: None,
        };
        shadow.offer(
            &trying,
            &order,
            wide(SHADOW_CELLS_MAX + 1),
            (&Sourced::default(), 1),
        );
        assert_eq!(trying.figures(1).passed_over, 1);
        for _ in 0..SHADOW_WAITING_MAX + 5 {
            shadow.offer(&trying, &order, wide(1), (&Sourced::default(), 1));
        }
        assert_eq!(trying.figures(1).passed_over, 6);
    }
}
