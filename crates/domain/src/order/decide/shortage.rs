//! What becomes of units that nobody has: they wait, are parked, or are cancelled; staff are told.
//!
//! In: what is short, and what the rule says that made the plan. Out: events. The rule goes before
//! the order's own policy, but never makes a part of an order that must be whole, and never keeps
//! what an order that says "all or nothing" cancels.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::source::{OUT_OF_STOCK, backorder, free_units, take_back};
use super::{Draft, cancel, hold};
use crate::ids::Sku;
use crate::order::command::{LineQuantity, ShortageAction, ShortageRule};
use crate::order::event::{CancelledUnits, OrderEvent, SkuUnits};
use crate::order::state::Order;
use crate::order::types::{Fulfilment, HoldReason, ShortagePolicy};

/// What is done with units that are short.
struct Verdict {
    /// Nothing is left of the order.
    all_cancelled: bool,
    cancelled: Vec<LineQuantity>,
    waiting: Vec<LineQuantity>,
    parked: bool,
    hold: Option<HoldReason>,
}

/// Whether a plan that leaves this short must not be carried out in part.
pub(super) fn takes_nothing(order: &Order, short: &[LineQuantity], rule: &ShortageRule) -> bool {
    let verdict = judge(order, short, rule);
    verdict.all_cancelled || (order.must_be_whole() && !verdict.waiting.is_empty())
}

/// Carries out what becomes of units that have no location and are not being asked for.
pub(super) fn settle(draft: &mut Draft, short: Vec<LineQuantity>, rule: &ShortageRule) {
    let fresh = is_new(draft.order());
    let verdict = judge(draft.order(), &short, rule);
    if verdict.all_cancelled {
        cancel::everything(draft, &CompactString::const_new(OUT_OF_STOCK));
    }
    if !verdict.cancelled.is_empty() {
        let gone = |s: &LineQuantity| CancelledUnits {
            line: s.line,
            unsourced: s.quantity,
            backordered: 0,
        };
        draft.record(OrderEvent::UnitsCancelled {
            units: verdict.cancelled.iter().map(gone).collect(),
            reason: OUT_OF_STOCK.into(),
        });
    }
    if !verdict.waiting.is_empty() {
        let whole = draft.order().must_be_whole();
        // An order that must be whole waits whole.
        let units = if whole {
            free_units(draft.order())
        } else {
            verdict.waiting
        };
        if verdict.parked {
            draft.record(OrderEvent::Parked { units });
        } else {
            backorder(draft, units);
        }
        if whole {
            take_back(draft, OUT_OF_STOCK);
        }
        // Staff who lifted it have looked.
        if let Some(reason) = verdict.hold.filter(|_| fresh) {
            hold::lay_by_rule(draft, reason);
        }
    }
    if fresh {
        tell(draft, short, rule);
    }
}

fn judge(order: &Order, short: &[LineQuantity], rule: &ShortageRule) -> Verdict {
    let header = order.header.as_deref();
    let own = header.map_or(ShortagePolicy::Backorder, |h| h.shortage);
    let policy = rule.policy(own);
    // What is bought again anyway is kept from a rule that cancels, not from a customer who does.
    let kept = |of: &LineQuantity| own == ShortagePolicy::Backorder && is_common(order, of, rule);
    let (waiting, cancelled): (Vec<LineQuantity>, Vec<LineQuantity>) = match policy {
        ShortagePolicy::Backorder => (short.to_vec(), Vec::new()),
        ShortagePolicy::CancelLine => short.iter().partition(|of| kept(of)),
        ShortagePolicy::CancelOrder => (Vec::new(), Vec::new()),
    };
    let awaits_staff = match rule.action {
        ShortageAction::Park | ShortageAction::Hold(_) => {
            !short.iter().all(|of| is_common(order, of, rule))
        }
        _ => false,
    };
    Verdict {
        all_cancelled: policy == ShortagePolicy::CancelOrder,
        cancelled,
        waiting,
        parked: awaits_staff && rule.action == ShortageAction::Park,
        hold: match rule.action {
            ShortageAction::Hold(reason) if awaits_staff => Some(reason),
            _ => None,
        },
    }
}

/// Whether this is no wait that has been told of before: nothing was tried again since units began
/// to wait, or other units wait already while these were reserved until now.
fn is_new(order: &Order) -> bool {
    let others_wait = || order.lines.iter().any(|l| l.units.backordered > 0);
    order.retries == 0 || (order.rounds_tried == 1 && others_wait())
}

/// Whether all that makes a unit of the line is always bought again.
fn is_common(order: &Order, of: &LineQuantity, rule: &ShortageRule) -> bool {
    let parts = parts(order, of);
    !parts.is_empty() && parts.iter().all(|(sku, _)| rule.common.contains(sku))
}

fn parts<'o>(order: &'o Order, of: &LineQuantity) -> &'o [(Sku, u32)] {
    match order.lines.get(of.line as usize).map(|l| &l.fulfilment) {
        Some(Fulfilment::Physical(parts)) => parts,
        Some(Fulfilment::Virtual) | None => &[],
    }
}

/// Tells whoever buys and whoever looks after orders.
fn tell(draft: &mut Draft, short: Vec<LineQuantity>, rule: &ShortageRule) {
    let order = draft.order();
    let mut wanted: BTreeMap<&Sku, u32> = BTreeMap::new();
    for of in short.iter().filter(|of| is_common(order, of, rule)) {
        for (sku, each) in parts(order, of) {
            let units = wanted.entry(sku).or_default();
            *units = units.saturating_add(of.quantity.saturating_mul(*each));
        }
    }
    let item = |(sku, units): (&Sku, u32)| SkuUnits {
        sku: sku.clone(),
        units,
    };
    let items: Vec<SkuUnits> = wanted.into_iter().map(item).collect();
    if !items.is_empty() {
        draft.record(OrderEvent::RestockRequested { items });
    }
    if rule.alert {
        draft.record(OrderEvent::StaffAlerted {
            rule: rule.rule.clone(),
            action: rule.action,
            units: short,
        });
    }
}
