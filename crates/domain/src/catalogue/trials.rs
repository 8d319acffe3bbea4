//! Trials of a version of the sourcing strategy on real orders: one at a time, beside the active one.
//!
//! ```text
//!           ┌── an operator ends it ─────────────► stopped
//!           ├── a guardrail is broken ───────────► rolled back
//!  running ─┤
//!           ├── its version is activated ────────► activated
//!           └── another version becomes active ──► overtaken
//! ```
//! In: which version, how, and until when it may go wrong. Out: what all nodes do alike, and why it
//! ended, kept so that it can be read later. What a trial decides is counted on each node, not here.

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

use super::command::{CatalogueRejection, CatalogueReply};
use super::decide::invalid;
use super::state::{Catalogue, CatalogueEvent};
use super::strategies::{BUILT_IN, expect};
use crate::entity::{Decision, DecisionOf, Stamp};
use crate::time::Timestamp;

/// The largest share of orders that a canary decides, in thousandths: the others are what it is
/// compared with.
pub const SHARE_PERMILLE_MAX: u16 = 999;
/// Bytes of a reason at most.
pub const REASON_BYTES_MAX: usize = 500;
/// Trials that are remembered, the running one among them.
pub const TRIALS_KEPT: usize = 50;
/// A cost compared with another one at most, in thousandths.
const COST_PERMILLE_MAX: u32 = 1_000_000;
/// The longest decision that a guardrail may allow, in microseconds.
const DECISION_US_MAX: u32 = 60_000_000;
/// Decisions that a guardrail may wait for at most.
const DECISIONS_MAX: u32 = 1_000_000;

/// Until when a canary may go wrong. What is `None` is not watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// What a unit may cost, in thousandths of what it costs the active version.
    pub cost_permille_max: Option<u32>,
    /// Decisions in a thousand that may come to more than one shipment.
    pub split_permille_max: Option<u32>,
    /// Reservations in a thousand that locations may refuse.
    pub refusal_permille_max: Option<u32>,
    /// Units in a thousand that may find no location.
    pub short_permille_max: Option<u32>,
    /// Microseconds that 99 of 100 decisions may take.
    pub decision_us_p99_max: Option<u32>,
    /// Decisions of the canary, and as many of the active version, before anything is judged.
    pub decisions_min: u32,
}

/// How a version is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrialMode {
    /// It decides about orders after the active version did, and nothing comes of it.
    Shadow,
    /// It decides about a share of orders.
    Canary {
        /// Thousandths of orders, from 1 to [`SHARE_PERMILLE_MAX`].
        share_permille: u16,
        /// Until when.
        guardrails: Guardrails,
    },
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// An operator ended it.
    Stopped,
    /// A guardrail was broken.
    RolledBack,
    /// Its version was activated.
    Activated,
    /// Another version became active, so there was nothing left to compare it with.
    Overtaken,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialEnd {
    /// What it came to.
    pub outcome: TrialOutcome,
    /// Why, for people.
    pub reason: CompactString,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: CompactString,
}

/// A trial of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Counts trials, from 1.
    pub number: u32,
    /// The version that is tried.
    pub version: u32,
    /// The version that was active, with which it is compared.
    pub beside: u32,
    /// How.
    pub mode: TrialMode,
    /// Since when.
    pub started_at: Timestamp,
    /// By whom.
    pub started_by: CompactString,
    /// How it ended; `None` while it runs.
    pub end: Option<TrialEnd>,
}

/// The last trials. Changed by `apply` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// Oldest first, [`TRIALS_KEPT`] at most. Only the last one may run.
    trials: Vec<Trial>,
}

impl Trials {
    /// The trial that runs.
    #[must_use]
    pub fn running(&self) -> Option<&Trial> {
        self.trials.last().filter(|last| last.end.is_none())
    }

    /// A trial that is still remembered.
    #[must_use]
    pub fn trial(&self, number: u32) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.number == number)
    }

    /// All that are remembered, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Trial> {
        self.trials.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    pub(super) fn start(
        &mut self,
        number: u32,
        version: u32,
        beside: u32,
        mode: &TrialMode,
        stamp: &Stamp,
    ) {
        if self.trials.len() >= TRIALS_KEPT {
            self.trials.remove(0);
        }
        self.trials.push(Trial {
            number,
            version,
            beside,
            mode: mode.clone(),
            started_at: stamp.recorded_at,
            started_by: stamp.by.clone(),
            end: None,
        });
    }

    pub(super) fn end(
        &mut self,
        number: u32,
        outcome: TrialOutcome,
        reason: &CompactString,
        stamp: &Stamp,
    ) {
        let running = self.trials.last_mut().filter(|last| last.number == number);
        if let Some(running) = running {
            running.end = Some(TrialEnd {
                outcome,
                reason: reason.clone(),
                at: stamp.recorded_at,
                by: stamp.by.clone(),
            });
        }
    }
}

pub(super) fn start(
    catalogue: &Catalogue,
    version: u32,
    mode: &TrialMode,
    expected: Option<u64>,
) -> Result<DecisionOf<Catalogue>, CatalogueRejection> {
    let (strategies, trials) = (catalogue.strategies(), catalogue.trials());
    expect(strategies, expected)?;
    if version != BUILT_IN && strategies.version(version).is_none() {
        return Err(invalid("/version", "unknown_strategy"));
    }
    if version == strategies.active() {
        return Err(invalid("/version", "already_active"));
    }
    if trials.running().is_some() {
        return Err(invalid("", "trial_running"));
    }
    if let TrialMode::Canary {
        share_permille,
        guardrails,
    } = mode
    {
        if !(1..=SHARE_PERMILLE_MAX).contains(share_permille) {
            return Err(invalid("/share_permille", "out_of_range"));
        }
        check(guardrails)?;
    }
    let number = trials.trials.last().map_or(1, |last| last.number + 1);
    let event = CatalogueEvent::TrialStarted {
        number,
        version,
        beside: strategies.active(),
        mode: mode.clone(),
    };
    Ok(decided(event, number))
}

/// A guardrail that no canary could break, or that every one does, is a mistake.
fn check(guardrails: &Guardrails) -> Result<(), CatalogueRejection> {
    let watched = [
        (
            "cost_permille_max",
            guardrails.cost_permille_max,
            1..=COST_PERMILLE_MAX,
        ),
        (
            "split_permille_max",
            guardrails.split_permille_max,
            0..=1_000,
        ),
        (
            "refusal_permille_max",
            guardrails.refusal_permille_max,
            0..=1_000,
        ),
        (
            "short_permille_max",
            guardrails.short_permille_max,
            0..=1_000,
        ),
        (
            "decision_us_p99_max",
            guardrails.decision_us_p99_max,
            1..=DECISION_US_MAX,
        ),
    ];
    for (name, most, range) in &watched {
        if most.is_some_and(|most| !range.contains(&most)) {
            return Err(out_of_range(name));
        }
    }
    if watched.iter().all(|(_, most, _)| most.is_none()) {
        return Err(invalid("/guardrails", "no_guardrail"));
    }
    if !(1..=DECISIONS_MAX).contains(&guardrails.decisions_min) {
        return Err(out_of_range("decisions_min"));
    }
    Ok(())
}

fn out_of_range(name: &str) -> CatalogueRejection {
    invalid(&format_compact!("/guardrails/{name}"), "out_of_range")
}

/// `number` is the trial that is meant, so that a late word about one never ends the next; any
/// where it is `None`.
pub(super) fn end(
    catalogue: &Catalogue,
    number: Option<u32>,
    outcome: TrialOutcome,
    reason: &CompactString,
    expected: Option<u64>,
) -> Result<DecisionOf<Catalogue>, CatalogueRejection> {
    expect(catalogue.strategies(), expected)?;
    let running = catalogue.trials().running();
    let running = running.filter(|running| number.is_none_or(|number| running.number == number));
    let running = running.ok_or_else(|| invalid("", "no_trial_running"))?;
    if reason.len() > REASON_BYTES_MAX {
        return Err(invalid("/reason", "too_long"));
    }
    let event = CatalogueEvent::TrialEnded {
        number: running.number,
        outcome,
        reason: reason.clone(),
    };
    Ok(decided(event, running.number))
}

/// The end of the running trial, when `active` becomes the active version.
pub(super) fn end_with_activation(catalogue: &Catalogue, active: u32) -> Option<CatalogueEvent> {
    let running = catalogue.trials().running()?;
    let outcome = if running.version == active {
        TrialOutcome::Activated
    } else {
        TrialOutcome::Overtaken
    };
    Some(CatalogueEvent::TrialEnded {
        number: running.number,
        outcome,
        reason: format_compact!("version {active} became the active one"),
    })
}

fn decided(event: CatalogueEvent, number: u32) -> DecisionOf<Catalogue> {
    Decision {
        events: vec![event],
        private: None,
        reply: CatalogueReply::Trial { number },
    }
}
