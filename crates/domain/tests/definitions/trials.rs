//! Trials of a strategy: one at a time, ended for a reason that stays readable.

use consign_domain::catalogue::{
    BUILT_IN, Catalogue, CatalogueCommand, CatalogueId, CataloguePartKey, CatalogueReply,
    Guardrails, REASON_BYTES_MAX, SHARE_PERMILLE_MAX, TRIALS_KEPT, TrialMode, TrialOutcome,
};
use consign_domain::entity::{Context, Entity};
use consign_domain::time::Timestamp;
use proptest::prelude::*;

/// A catalogue of versions 1 and 2, of which none is active; told things as an operator does.
struct Desk(Catalogue);

impl Desk {
    fn new() -> Desk {
        let mut desk = Desk(Catalogue::empty(CatalogueId));
        for text in ["one", "two"] {
            let command = CatalogueCommand::DraftStrategy {
                name: text.into(),
                text: text.into(),
                expected_version: None,
            };
            desk.tell(&command).expect("a draft");
        }
        desk
    }

    fn tell(&mut self, command: &CatalogueCommand) -> Result<CatalogueReply, String> {
        let context = Context {
            now: Timestamp(7),
            occurred_at: None,
            by: "ops".into(),
        };
        let decided = self.0.decide(command, &context);
        let decided = decided.map_err(|rejection| rejection.to_string())?;
        for event in &decided.events {
            self.0.apply(event, &context.stamp());
        }
        Ok(decided.reply)
    }

    fn start(&mut self, number: u32, mode: TrialMode) -> Result<CatalogueReply, String> {
        let expected_version = None;
        self.tell(&CatalogueCommand::StartTrial {
            number,
            mode,
            expected_version,
        })
    }

    fn end(
        &mut self,
        trial: Option<u32>,
        outcome: TrialOutcome,
        reason: &str,
    ) -> Result<CatalogueReply, String> {
        self.tell(&CatalogueCommand::EndTrial {
            trial,
            outcome,
            reason: reason.into(),
            expected_version: None,
        })
    }

    fn activate(&mut self, number: u32) {
        let expected_version = None;
        let command = CatalogueCommand::ActivateStrategy {
            number,
            expected_version,
        };
        self.tell(&command).expect("a version");
    }

    /// How the last trial ended: what it came to, why, and by whom.
    fn end_of_last(&self) -> Option<(TrialOutcome, String, String)> {
        let end = self.0.trials().all().next_back()?.end.as_ref()?;
        Some((end.outcome, end.reason.to_string(), end.by.to_string()))
    }
}

fn guardrails() -> Guardrails {
    Guardrails {
        cost_permille_max: Some(1_100),
        split_permille_max: None,
        refusal_permille_max: None,
        short_permille_max: None,
        decision_us_p99_max: None,
        decisions_min: 100,
    }
}

fn canary(share_permille: u16, guardrails: Guardrails) -> TrialMode {
    TrialMode::Canary {
        share_permille,
        guardrails,
    }
}

#[test]
fn one_runs_at_a_time_and_says_why_it_ended() {
    let mut desk = Desk::new();
    let stop = TrialOutcome::Stopped;
    assert!(desk.end(None, stop, "nothing runs").is_err());
    let started = desk.start(1, TrialMode::Shadow);
    assert_eq!(started, Ok(CatalogueReply::Trial { number: 1 }));
    let running = desk.0.trials().running().expect("it runs");
    assert_eq!((running.version, running.beside), (1, BUILT_IN));
    let second = desk.start(2, TrialMode::Shadow).expect_err("one runs");
    assert!(second.contains("trial_running"), "{second}");
    desk.end(None, stop, "seen enough").expect("it ends");
    let ended = (stop, "seen enough".to_owned(), "ops".to_owned());
    assert_eq!(desk.end_of_last(), Some(ended));

    // A late word about the first ends the second no more.
    desk.start(2, canary(50, guardrails())).expect("none runs");
    let late = desk.end(Some(1), TrialOutcome::RolledBack, "cost");
    assert!(late.is_err() && desk.0.trials().running().is_some());
    let long = "x".repeat(REASON_BYTES_MAX + 1);
    assert!(desk.end(Some(2), TrialOutcome::RolledBack, &long).is_err());
    desk.end(Some(2), TrialOutcome::RolledBack, "cost: too much")
        .expect("it ends");
    assert!(
        desk.end(Some(2), TrialOutcome::RolledBack, "again")
            .is_err()
    );
    let (outcome, reason, _) = desk.end_of_last().expect("it ended");
    assert_eq!(
        (outcome, reason.as_str()),
        (TrialOutcome::RolledBack, "cost: too much")
    );
}

#[test]
fn it_ends_when_another_version_becomes_active() {
    let mut desk = Desk::new();
    let outcome = |desk: &Desk| desk.end_of_last().map(|(outcome, ..)| outcome);
    desk.start(1, TrialMode::Shadow).expect("none runs");
    desk.activate(BUILT_IN);
    assert_eq!(outcome(&desk), None, "it was the active one already");
    desk.activate(1);
    assert_eq!(outcome(&desk), Some(TrialOutcome::Activated));
    let active = desk.start(1, TrialMode::Shadow).expect_err("it is active");
    assert!(active.contains("already_active"), "{active}");
    desk.start(BUILT_IN, TrialMode::Shadow)
        .expect("also the built-in one");
    desk.activate(2);
    assert_eq!(outcome(&desk), Some(TrialOutcome::Overtaken));
    desk.start(1, TrialMode::Shadow).expect("none runs");
    let expected_version = None;
    desk.tell(&CatalogueCommand::RollBackStrategy { expected_version })
        .expect("to version 1");
    assert_eq!(outcome(&desk), Some(TrialOutcome::Activated));
    assert_eq!(desk.0.strategies().active(), 1);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let mut desk = Desk::new();
    let with = |change: fn(&mut Guardrails)| {
        let mut all = guardrails();
        change(&mut all);
        canary(50, all)
    };
    for (version, mode, said) in [
        (3, TrialMode::Shadow, "unknown_strategy at /version"),
        (BUILT_IN, TrialMode::Shadow, "already_active at /version"),
        (
            1,
            canary(0, guardrails()),
            "out_of_range at /share_permille",
        ),
        (
            1,
            canary(SHARE_PERMILLE_MAX + 1, guardrails()),
            "out_of_range at /share_permille",
        ),
        (
            1,
            with(|all| all.cost_permille_max = None),
            "no_guardrail at /guardrails",
        ),
        (
            1,
            with(|all| all.cost_permille_max = Some(0)),
            "out_of_range at /guardrails/cost_permille_max",
        ),
        (
            1,
            with(|all| all.split_permille_max = Some(1_001)),
            "out_of_range at /guardrails/split_permille_max",
        ),
        (
            1,
            with(|all| all.decision_us_p99_max = Some(0)),
            "out_of_range at /guardrails/decision_us_p99_max",
        ),
        (
            1,
            with(|all| all.decisions_min = 0),
            "out_of_range at /guardrails/decisions_min",
        ),
    ] {
        let refused = desk.start(version, mode).expect_err(said);
        assert_eq!(refused, said);
    }
    let stale = desk.tell(&CatalogueCommand::StartTrial {
        number: 1,
        mode: TrialMode::Shadow,
        expected_version: Some(7),
    });
    assert_eq!(stale, Err("the version is 2".to_owned()));
    assert!(desk.0.trials().running().is_none());
}

/// What may be told, in any order.
fn told() -> impl Strategy<Value = CatalogueCommand> {
    let expected_version = None;
    prop_oneof![
        (0..4_u32, any::<bool>()).prop_map(move |(number, shadow)| CatalogueCommand::StartTrial {
            number,
            mode: if shadow {
                TrialMode::Shadow
            } else {
                canary(50, guardrails())
            },
            expected_version,
        }),
        prop::option::of(1..4_u32).prop_map(move |trial| CatalogueCommand::EndTrial {
            trial,
            outcome: TrialOutcome::Stopped,
            reason: "enough".into(),
            expected_version,
        }),
        (0..3_u32).prop_map(move |number| CatalogueCommand::ActivateStrategy {
            number,
            expected_version,
        }),
        Just(CatalogueCommand::RollBackStrategy { expected_version }),
    ]
}

proptest! {
    /// However they are told: only the last may run, never the active version, never beside another
    /// one than it; all ended ones say why; few are kept; and they come back from their part.
    #[test]
    fn trials_keep_to_their_states(commands in prop::collection::vec(told(), 0..200)) {
        let mut desk = Desk::new();
        for command in &commands {
            // What is refused changes nothing.
            let before = desk.0.clone();
            if desk.tell(command).is_err() {
                prop_assert_eq!(&before, &desk.0);
            }
            let all: Vec<_> = desk.0.trials().all().collect();
            prop_assert!(all.len() <= TRIALS_KEPT);
            prop_assert!(all.windows(2).all(|two| two[0].number + 1 == two[1].number && two[0].end.is_some()));
            if let Some(running) = desk.0.trials().running() {
                let active = desk.0.strategies().active();
                prop_assert!(running.version != active && running.beside == active);
            }
        }
        let part = |key: CataloguePartKey| desk.0.part(&key).map(|part| (key.clone(), part.into_owned()));
        let keys = [CataloguePartKey::Header, CataloguePartKey::Strategy(1), CataloguePartKey::Strategy(2),
            CataloguePartKey::StrategyRecord, CataloguePartKey::Trials];
        let parts = keys.into_iter().filter_map(part).collect();
        prop_assert_eq!(Catalogue::assemble(CatalogueId, parts), desk.0);
    }
}
