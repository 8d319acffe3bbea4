//! What becomes of units that nobody has in the draft's world, by its rules and by what the order says.

use consign_domain::ids::Sku;
use consign_domain::order::{
    Fulfilment, ShortageAction, ShortagePolicy, ShortageRule, SplitPolicy,
};
use consign_sourcing::{Allotment, Decided, Inputs, decide};

use super::course::{Course, Held};
use super::replay::Replay;

impl Replay<'_> {
    /// What the draft's rules say of what a decision leaves short.
    pub(super) fn shortage_rule(&self, order: u32, decided: &Decided) -> ShortageRule {
        let course = &self.courses[order as usize];
        let short = decided.plan.short.iter();
        let parts = short.flat_map(|(line, _)| parts(course, *line));
        let skus = parts.map(|(sku, _)| sku);
        self.atlas.strategy.shortage(decided, skus)
    }

    /// Whether what is short becomes something else by the draft than it did by the version that decided
    /// in the recorded world.
    pub(super) fn ends_otherwise(
        &mut self,
        order: u32,
        decided: &Decided,
        recorded: &Inputs,
    ) -> bool {
        if decided.plan.short.is_empty() {
            return false;
        }
        let ours = self.shortage_rule(order, decided);
        let of_order = &self.courses[order as usize];
        let short = decided.plan.short.iter();
        let skus = short.flat_map(|(line, _)| parts(of_order, *line));
        let skus: Vec<Sku> = skus.map(|(sku, _)| sku.clone()).collect();
        let theirs = self.live(recorded.strategy).map(|live| {
            let then = decide(live, recorded);
            live.shortage(&then, skus.iter())
        });
        let theirs = theirs.unwrap_or_default();
        let course = &self.courses[order as usize];
        let end = |rule: &ShortageRule| {
            let is_park = rule.action == ShortageAction::Park;
            (policy(course, rule), is_park, rule.common.len())
        };
        end(&ours) != end(&theirs)
    }

    /// What an order takes of a plan: all, or nothing where a short one is not carried out in part.
    pub(super) fn effective(&self, order: u32, decided: &Decided) -> Vec<Held> {
        let short = &decided.plan.short;
        let rule = self.shortage_rule(order, decided);
        let course = &self.courses[order as usize];
        let header = course.header.as_deref();
        let is_whole = header.is_some_and(|header| header.split != SplitPolicy::Allow);
        let some_waits = short.iter().any(|(line, _)| waits(course, *line, &rule));
        let takes_nothing = policy(course, &rule) == ShortagePolicy::CancelOrder;
        if !short.is_empty() && (takes_nothing || is_whole && some_waits) {
            return Vec::new();
        }
        let held = |of: &Allotment| Held {
            line: of.line,
            ordinal: of.ordinal,
            units: of.units,
        };
        decided.plan.allotments.iter().map(held).collect()
    }

    /// Cancels what is short, or lets it wait.
    pub(super) fn settle(&mut self, order: u32, decided: &Decided) {
        if decided.plan.short.is_empty() {
            return;
        }
        let rule = self.shortage_rule(order, decided);
        let course = &mut self.courses[order as usize];
        if policy(course, &rule) == ShortagePolicy::CancelOrder {
            self.take_all_back(order);
            for line in &mut self.courses[order as usize].lines {
                line.cancelled_draft = line.of.quantity;
            }
            return;
        }
        let short = decided.plan.short.iter();
        let gone: Vec<(u32, u32)> = short
            .filter(|(line, _)| !waits(course, *line, &rule))
            .copied()
            .collect();
        for (line, units) in gone {
            if let Some(line) = course.lines.get_mut(line as usize) {
                line.cancelled_draft += units;
            }
        }
        let short = &decided.plan.short;
        let all_common = short
            .iter()
            .all(|(line, _)| is_common(course, *line, &rule));
        course.is_parked = rule.action == ShortageAction::Park && !all_common;
    }
}

fn policy(course: &Course, rule: &ShortageRule) -> ShortagePolicy {
    let header = course.header.as_deref();
    rule.policy(header.map(|header| header.shortage).unwrap_or_default())
}

/// Whether what is short of a line waits for stock.
fn waits(course: &Course, line: u32, rule: &ShortageRule) -> bool {
    let header = course.header.as_deref();
    let own = header.map(|header| header.shortage).unwrap_or_default();
    match policy(course, rule) {
        ShortagePolicy::Backorder => true,
        ShortagePolicy::CancelLine => {
            own == ShortagePolicy::Backorder && is_common(course, line, rule)
        }
        ShortagePolicy::CancelOrder => false,
    }
}

fn is_common(course: &Course, line: u32, rule: &ShortageRule) -> bool {
    let mut parts = parts(course, line).peekable();
    parts.peek().is_some() && parts.all(|(sku, _)| rule.common.contains(sku))
}

fn parts(course: &Course, line: u32) -> impl Iterator<Item = &(Sku, u32)> {
    let of = course.lines.get(line as usize);
    let parts = of.map(|line| match &line.of.fulfilment {
        Fulfilment::Physical(parts) => parts.as_slice(),
        Fulfilment::Virtual => &[],
    });
    parts.unwrap_or_default().iter()
}
