//! Versions of the sourcing strategy: drafted, activated, rolled back.
//!
//! ```text
//!  drafted ──activate──► active ──another is activated──► was active ──roll back──► active
//! ```
//! In: the text of a strategy, which others have checked and only they can read. Out: numbered
//! versions that never change, so that a decision can name the one that it was made by. Number 0 is
//! the strategy that is built in; it is active until another is.

use std::sync::Arc;

use compact_str::CompactString;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::command::{CatalogueRejection, CatalogueReply};
use super::decide::invalid;
use super::state::{Catalogue, CatalogueEvent};
use super::trials;
use crate::entity::{Decision, DecisionOf, Stamp};
use crate::time::Timestamp;

/// The number of the strategy that is built in.
pub const BUILT_IN: u32 = 0;
/// Bytes of a strategy's text at most.
pub const STRATEGY_BYTES_MAX: usize = 256 * 1_024;
/// Versions at most: they are kept for good, as decisions name them.
pub const STRATEGIES_MAX: u32 = 1_000;
/// Activations that can be rolled back, one after another.
const ACTIVATIONS_KEPT: usize = 100;

/// A version of the sourcing strategy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyVersion {
    /// From 1, in the order in which they were drafted.
    pub number: u32,
    /// Its name for people.
    pub name: CompactString,
    /// The whole of it.
    pub text: CompactString,
    /// When it was drafted.
    pub drafted_at: Timestamp,
    /// By whom.
    pub drafted_by: CompactString,
}

/// Which version was made active, when and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Its number; [`BUILT_IN`] for the one that is built in.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: CompactString,
}

/// All versions, and which of them decides. Changed by `apply` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategies {
    pub(super) versions: OrdMap<u32, Arc<StrategyVersion>>,
    pub(super) record: StrategyRecord,
}

/// What happened to strategies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyRecord {
    /// Counts every draft, activation and rollback.
    pub revision: u64,
    /// What was made active, oldest first, as far as it can be rolled back. The last one decides.
    pub activations: Vec<Activation>,
}

impl Strategies {
    /// A version, whole.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&Arc<StrategyVersion>> {
        self.versions.get(&number)
    }

    /// All versions but the one that is built in, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &StrategyVersion> {
        self.versions.values().map(Arc::as_ref)
    }

    /// The number of the version that decides.
    #[must_use]
    pub fn active(&self) -> u32 {
        let last = self.record.activations.last();
        last.map_or(BUILT_IN, |last| last.number)
    }

    /// What happened to them.
    #[must_use]
    pub fn record(&self) -> &StrategyRecord {
        &self.record
    }

    pub(super) fn draft(
        &mut self,
        number: u32,
        name: &CompactString,
        text: &CompactString,
        stamp: &Stamp,
    ) {
        let version = StrategyVersion {
            number,
            name: name.clone(),
            text: text.clone(),
            drafted_at: stamp.recorded_at,
            drafted_by: stamp.by.clone(),
        };
        self.versions.insert(number, Arc::new(version));
        self.record.revision += 1;
    }

    pub(super) fn activate(&mut self, number: u32, stamp: &Stamp) {
        let activations = &mut self.record.activations;
        if activations.len() >= ACTIVATIONS_KEPT {
            activations.remove(0);
        }
        activations.push(Activation {
            number,
            at: stamp.recorded_at,
            by: stamp.by.clone(),
        });
        self.record.revision += 1;
    }

    pub(super) fn roll_back(&mut self) {
        self.record.activations.pop();
        self.record.revision += 1;
    }

    fn next(&self) -> u32 {
        self.versions.get_max().map_or(1, |(last, _)| last + 1)
    }
}

pub(super) fn draft(
    catalogue: &Catalogue,
    name: &CompactString,
    text: &CompactString,
    expected: Option<u64>,
) -> Result<DecisionOf<Catalogue>, CatalogueRejection> {
    let strategies = catalogue.strategies();
    expect(strategies, expected)?;
    // The same draft again is the same version.
    let last = strategies.versions().next_back();
    if let Some(last) = last.filter(|last| last.name == *name && last.text == *text) {
        return Ok(decided(None, last.number, strategies.active()));
    }
    let number = strategies.next();
    if text.len() > STRATEGY_BYTES_MAX {
        return Err(invalid("", "too_long"));
    }
    if number > STRATEGIES_MAX {
        return Err(invalid("", "too_many"));
    }
    let event = CatalogueEvent::StrategyDrafted {
        number,
        name: name.clone(),
        text: text.clone(),
    };
    Ok(decided(Some(event), number, strategies.active()))
}

pub(super) fn activate(
    catalogue: &Catalogue,
    number: u32,
    expected: Option<u64>,
) -> Result<DecisionOf<Catalogue>, CatalogueRejection> {
    let strategies = catalogue.strategies();
    expect(strategies, expected)?;
    if number != BUILT_IN && strategies.version(number).is_none() {
        return Err(invalid("/version", "unknown_strategy"));
    }
    let changes = strategies.active() != number;
    let event = changes.then_some(CatalogueEvent::StrategyActivated { number });
    Ok(with_trial_ended(catalogue, decided(event, number, number)))
}

pub(super) fn roll_back(
    catalogue: &Catalogue,
    expected: Option<u64>,
) -> Result<DecisionOf<Catalogue>, CatalogueRejection> {
    let mut strategies = catalogue.strategies().clone();
    expect(&strategies, expected)?;
    if strategies.record.activations.is_empty() {
        return Err(invalid("", "nothing_to_roll_back"));
    }
    strategies.roll_back();
    let number = strategies.active();
    let event = Some(CatalogueEvent::StrategyRolledBack);
    Ok(with_trial_ended(catalogue, decided(event, number, number)))
}

/// A trial compares a version with the active one: it ends before another becomes that.
fn with_trial_ended(
    catalogue: &Catalogue,
    mut decision: DecisionOf<Catalogue>,
) -> DecisionOf<Catalogue> {
    if let (CatalogueReply::Strategy { active, .. }, false) =
        (&decision.reply, decision.events.is_empty())
    {
        let ended = trials::end_with_activation(catalogue, *active);
        decision.events.splice(0..0, ended);
    }
    decision
}

pub(super) fn expect(
    strategies: &Strategies,
    expected: Option<u64>,
) -> Result<(), CatalogueRejection> {
    let current = strategies.record.revision;
    match expected {
        Some(revision) if revision != current => {
            Err(CatalogueRejection::VersionMismatch { current })
        }
        _ => Ok(()),
    }
}

fn decided(event: Option<CatalogueEvent>, number: u32, active: u32) -> DecisionOf<Catalogue> {
    Decision {
        events: event.into_iter().collect(),
        private: None,
        reply: CatalogueReply::Strategy { number, active },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CatalogueCommand, CatalogueId, CataloguePartKey};
    use crate::entity::{Context, Entity};

    fn told(catalogue: &mut Catalogue, command: &CatalogueCommand) -> Result<(u32, u32), String> {
        let context = Context {
            now: Timestamp(7),
            occurred_at: None,
            by: "ops".into(),
        };
        let decided = catalogue.decide(command, &context);
        let decided = decided.map_err(|rejection| rejection.to_string())?;
        for event in &decided.events {
            catalogue.apply(event, &context.stamp());
        }
        match decided.reply {
            CatalogueReply::Strategy { number, active } => Ok((number, active)),
            other => panic!("{other:?}"),
        }
    }

    fn draft(text: &str) -> CatalogueCommand {
        CatalogueCommand::DraftStrategy {
            name: "a name".into(),
            text: text.into(),
            expected_version: None,
        }
    }

    #[test]
    fn versions_are_drafted_activated_and_rolled_back() {
        let activate = |number| CatalogueCommand::ActivateStrategy {
            number,
            expected_version: None,
        };
        let back = CatalogueCommand::RollBackStrategy {
            expected_version: None,
        };
        let mut catalogue = Catalogue::empty(CatalogueId);
        assert!(told(&mut catalogue, &back).is_err(), "there is nothing yet");
        assert_eq!(told(&mut catalogue, &draft("one")), Ok((1, 0)));
        assert_eq!(told(&mut catalogue, &draft("two")), Ok((2, 0)));
        let version = catalogue.version();
        assert_eq!(told(&mut catalogue, &draft("two")), Ok((2, 0)));
        assert_eq!(
            catalogue.version(),
            version,
            "drafted again, nothing changes"
        );
        assert!(told(&mut catalogue, &activate(3)).is_err());
        for number in [1, 2, BUILT_IN] {
            assert_eq!(
                told(&mut catalogue, &activate(number)),
                Ok((number, number))
            );
            assert_eq!(catalogue.strategies().active(), number);
        }
        for active in [2, 1, BUILT_IN] {
            assert_eq!(told(&mut catalogue, &back), Ok((active, active)));
        }
        assert!(told(&mut catalogue, &back).is_err());
        let stale = CatalogueCommand::ActivateStrategy {
            number: 1,
            expected_version: Some(7),
        };
        let refused = told(&mut catalogue, &stale);
        assert_eq!(refused, Err("the version is 8".to_owned()));
        let too_long = draft(&"x".repeat(STRATEGY_BYTES_MAX + 1));
        assert!(told(&mut catalogue, &too_long).is_err());
    }

    #[test]
    fn they_come_back_from_their_parts() {
        let mut catalogue = Catalogue::empty(CatalogueId);
        let activate = CatalogueCommand::ActivateStrategy {
            number: 2,
            expected_version: None,
        };
        for command in [draft("one"), draft("two"), activate] {
            told(&mut catalogue, &command).expect("done");
        }
        let keys = [
            CataloguePartKey::Header,
            CataloguePartKey::Strategy(1),
            CataloguePartKey::Strategy(2),
            CataloguePartKey::StrategyRecord,
        ];
        let part = |key: &CataloguePartKey| {
            let part = catalogue.part(key).expect("it is there");
            (key.clone(), part.into_owned())
        };
        let again = Catalogue::assemble(CatalogueId, keys.iter().map(part).collect());
        assert_eq!(again, catalogue);
    }
}
