//! Which locations may serve a line for what it is: what it needs, and what is said of such items.
//!
//! In: a line's words, as facts have them: special handling (`cold_chain`) and attributes
//! (`season=summer`). Out: whether a location may serve it, and why not. A line without words may be
//! served anywhere, and costs no look at the strategy.

use compact_str::CompactString;

use crate::facts::Facts;
use crate::filter::Reason;
use crate::strategy::{CompiledRule, Known};

/// Locations that items with a word are assigned to.
#[derive(Clone, Debug)]
pub(crate) struct ItemMembers {
    pub(crate) word: CompactString,
    /// Ordinals, rising.
    pub(crate) members: Vec<u32>,
}

/// Why a location may not serve the line; `None` when it may.
pub(crate) fn line_refusal(
    rule: &CompiledRule,
    known: Option<&Known>,
    facts: &Facts,
    ordinal: u32,
    line: usize,
) -> Option<Reason> {
    let requires = &facts.lines.get(line)?.requires;
    let attributes = facts.attributes_of(line);
    if requires.is_empty() && attributes.is_empty() {
        return None;
    }
    let profile = known.map(|known| &known.profile);
    let able = |word: &CompactString| profile.is_some_and(|profile| profile.handles.contains(word));
    if !requires.iter().all(able) {
        return Some(Reason::SpecialHandling);
    }
    let has = |word: &CompactString| requires.contains(word) || attributes.contains(word);
    if profile.is_some_and(|profile| profile.refuses.iter().any(has)) {
        return Some(Reason::ItemRefused);
    }
    let elsewhere =
        |items: &ItemMembers| has(&items.word) && items.members.binary_search(&ordinal).is_err();
    let assigned = rule.item_members.iter().any(elsewhere);
    assigned.then_some(Reason::ItemAssignedElsewhere)
}

/// Why a location may serve none of the lines; `None` when it may serve one. Where several reasons
/// hold, it is one that does not blame the location's abilities.
pub(crate) fn refusal_of_all(
    rule: &CompiledRule,
    known: Option<&Known>,
    facts: &Facts,
    ordinal: u32,
) -> Option<Reason> {
    let mut found = None;
    for line in 0..facts.lines.len() {
        let reason = line_refusal(rule, known, facts, ordinal, line)?;
        if found.is_none_or(|found| found == Reason::SpecialHandling) {
            found = Some(reason);
        }
    }
    found
}
