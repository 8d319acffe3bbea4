//! Why decisions came out as they did, recomputed from the inputs that were recorded with them (L9).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use compact_str::{CompactString, format_compact};
use consign_domain::catalogue::BUILT_IN;
use consign_domain::ids::{LocationId, OrderId};
use consign_domain::order::{Assignment, OrderEvent};
use consign_domain::time::Timestamp;
use consign_sourcing::{Compiled, Explanation, Inputs, Promise, explain};

use crate::error::ServiceError;
use crate::service::Consign;
use crate::strategies;

/// Why a decision came out as it did.
#[derive(Clone, Debug)]
pub struct DecisionExplanation {
    /// Counts the order's decisions, from 1.
    pub round: u32,
    /// When it was recorded.
    pub decided_at: Timestamp,
    /// Which version of the strategy decided; 0 for the built-in one.
    pub strategy: u32,
    /// Whether what was recomputed asks the very locations for the very units that were asked then (L9).
    pub repeats: bool,
    /// What was recomputed from its inputs.
    pub explanation: Explanation,
    /// Which location each ordinal in it stands for.
    pub locations: Vec<(u32, LocationId)>,
    /// The same for people.
    pub text: String,
}

impl Consign {
    /// Why each of an order's decisions came out as it did.
    ///
    /// # Errors
    /// `NotFound`, or when history cannot be read.
    pub fn explanation(&self, id: &OrderId) -> Result<Vec<DecisionExplanation>, ServiceError> {
        const EVENTS_MAX: usize = 10_000;
        let atlas = self.inner.views.atlas.load();
        let catalogue = self.inner.catalogue.load();
        let mut compiled: BTreeMap<u32, Compiled> = BTreeMap::new();
        let mut decisions = Vec::new();
        for item in self.history(id, 0, EVENTS_MAX)? {
            let OrderEvent::Sourced {
                round,
                inputs,
                assignments,
                ..
            } = item.event
            else {
                continue;
            };
            let inputs: Inputs = consign_runtime::decode(&inputs).map_err(ServiceError::storage)?;
            // By the very version that decided, whichever is active now.
            let strategy = match compiled.entry(inputs.strategy) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    new.insert(strategies::compiled(&catalogue, inputs.strategy)?)
                }
            };
            let explanation = explain(strategy, &inputs);
            let name = |ordinal: u32| atlas.by_ordinal(ordinal).map(|spot| spot.id.clone());
            let locations: Vec<(u32, LocationId)> = explanation
                .candidates
                .iter()
                .filter_map(|candidate| Some((candidate.ordinal, name(candidate.ordinal)?)))
                .collect();
            let text = readable((round, inputs.strategy), &explanation, &locations);
            let decided_at = item.stamp.recorded_at;
            decisions.push(DecisionExplanation {
                round,
                decided_at,
                strategy: inputs.strategy,
                repeats: is_the_plan(&assignments, &explanation, &locations),
                explanation,
                locations,
                text,
            });
        }
        Ok(decisions)
    }
}

/// Whether an order's assignments are those of the plan.
fn is_the_plan(
    assignments: &[Assignment],
    explanation: &Explanation,
    locations: &[(u32, LocationId)],
) -> bool {
    let allotments = &explanation.plan.allotments;
    let location = |ordinal: u32| {
        let known = locations.iter().find(|(of, _)| *of == ordinal);
        known.map(|(_, id)| id)
    };
    assignments.len() == allotments.len()
        && assignments.iter().zip(allotments).all(|(then, now)| {
            (then.line, then.quantity, Some(&then.location))
                == (now.line, now.units, location(now.ordinal))
        })
}

/// A decision in sentences.
fn readable(
    (round, strategy): (u32, u32),
    explanation: &Explanation,
    locations: &[(u32, LocationId)],
) -> String {
    let name = |ordinal: u32| {
        let known = locations.iter().find(|(of, _)| *of == ordinal);
        known.map_or_else(
            || format_compact!("location #{ordinal}"),
            |(_, id)| id.as_str().into(),
        )
    };
    let of = match strategy {
        BUILT_IN => "the built-in strategy".to_owned(),
        number => format!("version {number} of the strategy"),
    };
    let rule = &explanation.rule;
    let mut text = format!("Decision {round}, by the rule \"{rule}\" of {of}.\n");
    for failed in &explanation.failed {
        text.push_str(&format!(
            "The condition of the rule \"{}\" failed: {}.\n",
            failed.rule, failed.reason
        ));
    }
    for candidate in &explanation.candidates {
        text.push_str(&format!("- {}", name(candidate.ordinal)));
        if let Some(km) = candidate.km {
            text.push_str(&format!(", {km} km"));
        }
        text.push_str(&format!(": {}", candidate.fate));
        for refused in &candidate.refused_lines {
            let (line, reason) = (refused.line + 1, refused.reason);
            text.push_str(&format!("; not for line {line}, as {reason}"));
        }
        if let Some(Promise { earliest, latest }) = candidate.promise {
            let [earliest, latest] = [earliest, latest].map(String::from);
            text.push_str(&format!("; there from {earliest} to {latest}"));
        }
        text.push('\n');
    }
    for allotment in &explanation.plan.allotments {
        let from = name(allotment.ordinal);
        text.push_str(&format!(
            "Line {}: {} units from {from}.\n",
            allotment.line + 1,
            allotment.units
        ));
    }
    for (line, units) in &explanation.plan.short {
        text.push_str(&format!("Line {}: nobody has {units} units.\n", line + 1));
    }
    if let Some(after) = &explanation.after_action {
        text.push_str(&format!("{after}\n"));
    }
    match explanation.gap {
        Some(0) => text.push_str("By this rule no plan is better.\n"),
        Some(_) => text.push_str("By this rule a better plan may have been missed.\n"),
        None => {}
    }
    if let Some(other) = &explanation.runner_up {
        let names: Vec<CompactString> = other
            .locations
            .iter()
            .map(|ordinal| name(*ordinal))
            .collect();
        text.push_str(&format!("Second best: {}.\n", names.join(", ")));
    }
    text
}
