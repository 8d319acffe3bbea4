//! What must hold of an order at any moment, checked from its state alone: tests after every event,
//! `verify` on a running cluster, and whoever doubts.

use super::ledger::Account;
use super::logistics::{Attempt, FulfillmentOrder};
use super::state::Order;
use super::types::Line;

impl Order {
    /// The first law that this order breaks, with the figures; `None` when it is sound.
    #[must_use]
    pub fn broken_law(&self) -> Option<String> {
        (0..self.lines.len())
            .find_map(|index| self.broken_units(index as u32))
            .or_else(|| self.attempts.iter().find_map(broken_attempt))
            .or_else(|| {
                self.fulfillment_orders
                    .iter()
                    .find_map(|f| self.broken_fulfillment_order(f))
            })
            .or_else(|| self.broken_money())
            .or_else(|| self.broken_end())
    }

    /// Each line is a ledger of units, and agrees with the attempts that hold them.
    fn broken_units(&self, index: u32) -> Option<String> {
        let line = &self.lines[index as usize];
        let units = &line.units;
        let broken = |law: &str| Some(format!("line {}: {law}: {line:?}", line.id));
        if units.ordered() != line.quantity {
            return broken("units do not sum to what was ordered");
        }
        if units.returned > units.delivered {
            return broken("more returned than delivered");
        }
        let of = |granted: bool| {
            self.attempts
                .iter()
                .filter(move |a| a.line == index && a.granted == granted)
        };
        if of(false).map(|a| a.units).sum::<u32>() != line.reserving
            || line.reserving > units.unsourced
        {
            return broken("units being reserved do not agree with the attempts");
        }
        if of(true).map(|a| a.units - a.picked).sum::<u32>() != units.allocated {
            return broken("allocated units do not agree with the attempts");
        }
        if of(true).map(|a| a.picked - a.shipped).sum::<u32>() != units.picked + units.packed {
            return broken("picked and packed units do not agree with the attempts");
        }
        if line.account.open.units + line.account.captured.units + gone(line) != line.quantity {
            return broken("the account covers another number of units (L6)");
        }
        None
    }

    fn broken_fulfillment_order(&self, found: &FulfillmentOrder) -> Option<String> {
        let broken = |law: &str| {
            Some(format!(
                "fulfillment order {}: {law}: {found:?}",
                found.number
            ))
        };
        for line in &found.lines {
            let used = line.picked + line.packed + line.shipped + line.cancelled + line.short;
            if used > line.quantity {
                return broken("more happened to units than there were");
            }
            let of =
                |a: &&Attempt| a.fulfillment_order == Some(found.number) && a.line == line.line;
            let open: u32 = self
                .attempts
                .iter()
                .filter(of)
                .map(|a| a.units - a.picked)
                .sum();
            if open != line.open() {
                return broken("open units do not agree with the attempts");
            }
        }
        None
    }

    /// Debits and credits balance, and the ledger says what the lines say (L6).
    fn broken_money(&self) -> Option<String> {
        let accounts = [
            Account::Receivable,
            Account::Revenue,
            Account::Discounts,
            Account::Shipping,
            Account::Tax,
            Account::Fees,
            Account::Cash,
            Account::Refunds,
        ];
        let totals = self.totals();
        let broken = |law: &str| Some(format!("money: {law} (L6): {totals:?} {:?}", self.ledger));
        if accounts
            .iter()
            .map(|a| self.ledger.balance(*a))
            .sum::<i64>()
            != 0
        {
            return broken("accounts do not sum to zero");
        }
        if totals.balance_due != totals.total - (totals.captured - totals.refunded) {
            return broken("the balance due is not what is owed less what was paid");
        }
        let open: i64 = self.lines.iter().map(|l| l.account.open.total()).sum();
        let captured: i64 = self.lines.iter().map(|l| l.account.captured.total()).sum();
        if totals.balance_due != open {
            return broken("the balance due is not what the open units come to");
        }
        // What is kept of returned units is owed and paid alike.
        if totals.total - open - captured != totals.captured - totals.refunded - captured {
            return broken("what is owed is not what the lines come to");
        }
        None
    }

    /// A cancelled or completed order holds no unit anywhere (L5).
    fn broken_end(&self) -> Option<String> {
        let holds = |a: &Attempt| a.units > a.shipped;
        (self.ended() && self.attempts.iter().any(holds)).then(|| {
            format!(
                "an ended order still holds reservations (L5): {:?}",
                self.attempts
            )
        })
    }
}

/// Units whose money is settled: cancelled, lost, returned.
fn gone(line: &Line) -> u32 {
    line.units.cancelled + line.units.lost + line.units.returned
}

fn broken_attempt(attempt: &Attempt) -> Option<String> {
    let a = attempt;
    let sound = a.shipped_confirmed <= a.shipped
        && a.shipped <= a.packed
        && a.packed <= a.picked
        && a.picked <= a.pick_target
        && a.short <= a.short_target
        && (!a.granted || a.picked <= a.units);
    (!sound).then(|| format!("attempt {}: its figures are out of order: {a:?}", a.number))
}
