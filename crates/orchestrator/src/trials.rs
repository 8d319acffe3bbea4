//! Trials of a version of the strategy: started, stopped, looked at, and ended by their guardrails.
//!
//! In: a version and how it is tried. Out: a trial in the catalogue, which every node takes up as soon
//! as it hears of it. Each node judges a canary by its own figures, once a second; the first that finds
//! a guardrail broken ends the trial for all, and says why.

use std::sync::{Arc, Weak};
use std::time::Duration;

use compact_str::{CompactString, format_compact};
use consign_domain::catalogue::{
    BUILT_IN, CatalogueCommand, CatalogueReply, Trial, TrialMode, TrialOutcome,
};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::{Consign, Inner};
use crate::strategies;
use crate::trying::{TrialFigures, Trying};

/// How often a node judges a canary.
const JUDGED_EVERY: Duration = Duration::from_secs(1);

/// A trial, and what this node has counted of it.
#[derive(Clone, Debug)]
pub struct TrialStands {
    /// The trial.
    pub trial: Trial,
    /// What was counted on the node that answers; `None` when it has not heard of the trial.
    pub figures: Option<TrialFigures>,
}

/// What a change of trials came to.
#[derive(Clone, Debug)]
pub struct TrialChange {
    /// The trial that it is about.
    pub stands: TrialStands,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
}

impl Consign {
    /// Tries a version on real orders, beside the active one.
    ///
    /// # Errors
    /// `NotFound` when there is no such version; a rejection when it is the active one, when another
    /// trial runs, or when a share or a guardrail makes no sense.
    pub async fn start_trial(
        &self,
        number: u32,
        mode: TrialMode,
        call: CallMeta,
    ) -> Result<TrialChange, ServiceError> {
        self.read().await?;
        if number != BUILT_IN {
            strategies::compiled(&self.inner.catalogue.load_full(), number)?;
        }
        let command = CatalogueCommand::StartTrial {
            number,
            mode,
            expected_version: call.expected_version,
        };
        self.change_trials(command, call).await
    }

    /// Ends the trial that runs.
    ///
    /// # Errors
    /// A rejection when none does.
    pub async fn stop_trial(
        &self,
        reason: CompactString,
        call: CallMeta,
    ) -> Result<TrialChange, ServiceError> {
        // They are gone with the trial.
        let last = self.trial().and_then(|stands| stands.figures);
        let command = CatalogueCommand::EndTrial {
            trial: None,
            outcome: TrialOutcome::Stopped,
            reason,
            expected_version: call.expected_version,
        };
        let mut change = self.change_trials(command, call).await?;
        change.stands.figures = change.stands.figures.or(last);
        Ok(change)
    }

    async fn change_trials(
        &self,
        command: CatalogueCommand,
        call: CallMeta,
    ) -> Result<TrialChange, ServiceError> {
        let (number, replayed) = match self.define(command, call).await? {
            (CatalogueReply::Trial { number }, replayed) => (number, replayed),
            (other, _) => return Err(ServiceError::strange(&other)),
        };
        if !self.is_alone() {
            self.read().await?;
        }
        let catalogue = self.inner.catalogue.load_full();
        let trial = catalogue.trials().trial(number).cloned();
        let trial = trial.ok_or_else(|| ServiceError::NotFound {
            kind: "trial".into(),
            name: format_compact!("{number}"),
        })?;
        Ok(TrialChange {
            stands: self.stands(trial),
            replayed,
        })
    }

    /// The trial that runs.
    #[must_use]
    pub fn trial(&self) -> Option<TrialStands> {
        let catalogue = self.inner.catalogue.load();
        let running = catalogue.trials().running()?;
        Some(self.stands(running.clone()))
    }

    /// The last trials, newest first, the one that runs among them.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let catalogue = self.inner.catalogue.load();
        catalogue.trials().all().rev().cloned().collect()
    }

    fn stands(&self, trial: Trial) -> TrialStands {
        let atlas = self.inner.views.atlas.load();
        let same = |trying: &&Arc<Trying>| trying.trial.number == trial.number;
        let trying = atlas.trial.as_ref().filter(same);
        let figures = trying.map(|trying| trying.figures(self.node_number()));
        TrialStands { trial, figures }
    }

    fn node_number(&self) -> u64 {
        self.inner.node.replicas().0
    }
}

/// Starts the task that judges canaries; it sleeps while there is none.
pub(crate) fn guard(inner: &Arc<Inner>) {
    let news = Arc::clone(&inner.views.trial_news);
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            match canary(&inner) {
                None => return,
                Some(Some((consign, trying))) => consign.judge(&trying).await,
                // Nothing of the service is held while this waits.
                Some(None) => news.notified().await,
            }
            tokio::time::sleep(JUDGED_EVERY).await;
        }
    });
}

/// The canary that is to be judged, if there is one, if the service is still there.
fn canary(inner: &Weak<Inner>) -> Option<Option<(Consign, Arc<Trying>)>> {
    let inner = inner.upgrade()?;
    let trying = inner.views.atlas.load().trial.clone();
    let is_canary = |trying: &Arc<Trying>| matches!(trying.trial.mode, TrialMode::Canary { .. });
    let canary = trying.filter(is_canary);
    Some(canary.map(|trying| (Consign { inner }, trying)))
}

impl Consign {
    async fn judge(&self, trying: &Trying) {
        let Some(broken) = trying.broken() else {
            return;
        };
        let reason = format_compact!("{broken} on node {}", self.node_number());
        let version = trying.trial.version;
        tracing::warn!(version, %reason, "a canary has broken a guardrail and is rolled back");
        let command = CatalogueCommand::EndTrial {
            trial: Some(trying.trial.number),
            outcome: TrialOutcome::RolledBack,
            reason,
            expected_version: None,
        };
        match self.define(command, CallMeta::by("guardrail")).await {
            Ok(_) => metrics::counter!("consign_trials_rolled_back_total").increment(1),
            // Another node or an operator was first.
            Err(ServiceError::Catalogue(_)) => {}
            Err(error) => {
                tracing::warn!(version, %error, "the canary could not be ended yet; this node gives it no more orders");
            }
        }
    }
}
