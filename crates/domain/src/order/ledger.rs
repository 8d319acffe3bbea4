//! An order's money: a double-entry ledger, and per line what its open and captured units come to.
//!
//! In: what happened to units (placed, cancelled, captured, lost, returned). Out: [`Totals`].
//! Every entry moves an amount from one account to another, so the balances sum to zero (L6).
//! Parts that fall on single units are cut by [`share`] from what is left of a pool, so that units
//! cancelled, captured or refunded one by one sum exactly to the whole.

use serde::{Deserialize, Serialize};

use super::command::NewLine;
use super::types::Header;
use crate::money::{Currency, Minor, share};

/// What the order comes to, in minor units, for units that are not cancelled, lost or returned
/// (shipping and fees of returned units stay owed).
/// `total = subtotal − discounts + shipping + tax + fees`, `balance_due = total − (captured − refunded)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Lines at their prices.
    pub subtotal: Minor,
    /// All discounts.
    pub discounts: Minor,
    /// Shipping.
    pub shipping: Minor,
    /// Taxes that are not in the prices.
    pub tax: Minor,
    /// Fees.
    pub fees: Minor,
    /// What the customer owes in all, paid or not.
    pub total: Minor,
    /// Taken from the customer.
    pub captured: Minor,
    /// Given back to the customer.
    pub refunded: Minor,
    /// `total − (captured − refunded)`.
    pub balance_due: Minor,
}

/// What a number of units comes to, component by component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// How many units.
    pub units: u32,
    /// At their price.
    pub subtotal: Minor,
    /// The line's own discount plus the line's share of the order's.
    pub discount: Minor,
    /// Taxes that are not in the price.
    pub tax: Minor,
    /// Share of the order's shipping.
    pub shipping: Minor,
    /// Share of the order's fees.
    pub fees: Minor,
}

impl Amounts {
    /// What is given back when units are returned: not shipping, not fees.
    #[must_use]
    pub fn goods(&self) -> Minor {
        self.subtotal - self.discount + self.tax
    }
    /// Shipping and fees.
    #[must_use]
    pub fn extras(&self) -> Minor {
        self.shipping + self.fees
    }
    /// Goods and extras.
    #[must_use]
    pub fn total(&self) -> Minor {
        self.goods() + self.extras()
    }
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Amounts) -> Amounts {
        Amounts {
            units: self.units + other.units,
            subtotal: self.subtotal + other.subtotal,
            discount: self.discount + other.discount,
            tax: self.tax + other.tax,
            shipping: self.shipping + other.shipping,
            fees: self.fees + other.fees,
        }
    }

    /// Takes `units` out of this pool, with what falls on them. The last unit takes all that is left.
    pub(super) fn take(&mut self, units: u32) -> Amounts {
        let units = units.min(self.units);
        let part = |total: Minor| share(total, self.units, 0, units);
        let taken = Amounts {
            units,
            subtotal: part(self.subtotal),
            discount: part(self.discount),
            tax: part(self.tax),
            shipping: part(self.shipping),
            fees: part(self.fees),
        };
        self.units -= taken.units;
        self.subtotal -= taken.subtotal;
        self.discount -= taken.discount;
        self.tax -= taken.tax;
        self.shipping -= taken.shipping;
        self.fees -= taken.fees;
        taken
    }

    /// Puts what was taken elsewhere into this pool.
    pub(super) fn put(&mut self, more: &Amounts) {
        *self = self.plus(more);
    }
}

/// A line's money, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineAccount {
    /// Of units neither captured nor cancelled.
    pub open: Amounts,
    /// Of units captured and neither refunded nor returned.
    pub captured: Amounts,
}

impl LineAccount {
    /// What the line comes to now: units not cancelled, lost or returned.
    #[must_use]
    pub fn now(&self) -> Amounts {
        self.open.plus(&self.captured)
    }
}

/// Where money lies. Assets carry a positive balance, income a negative one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// What the customer owes.
    Receivable,
    /// Goods sold.
    Revenue,
    /// Given away.
    Discounts,
    /// Shipping charged.
    Shipping,
    /// Owed to the tax office.
    Tax,
    /// Fees charged.
    Fees,
    /// Taken from the customer.
    Cash,
    /// Given back to the customer.
    Refunds,
}

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryReason {
    /// The order was placed, or a line added.
    Charged,
    /// A price was changed.
    Repriced,
    /// Units were cancelled.
    Cancelled,
    /// Units were shipped or delivered.
    Captured,
    /// Units came back.
    Returned,
    /// Units were lost or damaged on the way.
    Lost,
}

/// Money moved from one account to another, summed over all movements of one kind. Negative when
/// it went the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Credited.
    pub from: Account,
    /// Debited.
    pub to: Account,
    /// Why.
    pub reason: EntryReason,
    /// Minor units.
    pub amount: Minor,
}

/// The order's double-entry ledger: at most one entry per pair of accounts and reason, so that it
/// stays small however many parts an order is shipped in; the events hold each single movement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The entries, in the order in which their kinds first occurred.
    pub entries: Vec<LedgerEntry>,
}

impl Ledger {
    /// Moves `amount` from one account to another.
    fn post(&mut self, from: Account, to: Account, reason: EntryReason, amount: Minor) {
        if amount == 0 {
            return;
        }
        let same = |e: &&mut LedgerEntry| e.from == from && e.to == to && e.reason == reason;
        match self.entries.iter_mut().find(same) {
            Some(entry) => entry.amount += amount,
            None => self.entries.push(LedgerEntry {
                from,
                to,
                reason,
                amount,
            }),
        }
    }

    /// Puts goods and extras on the customer's account, or takes them off when negative.
    fn charge(&mut self, what: &Amounts, reason: EntryReason, sign: Minor) {
        self.post(
            Account::Revenue,
            Account::Receivable,
            reason,
            sign * what.subtotal,
        );
        self.post(
            Account::Receivable,
            Account::Discounts,
            reason,
            sign * what.discount,
        );
        self.post(Account::Tax, Account::Receivable, reason, sign * what.tax);
        self.post(
            Account::Shipping,
            Account::Receivable,
            reason,
            sign * what.shipping,
        );
        self.post(Account::Fees, Account::Receivable, reason, sign * what.fees);
    }

    /// The customer owes this much more (or less, when a component is negative).
    pub(super) fn charged(&mut self, what: &Amounts, reason: EntryReason) {
        self.charge(what, reason, 1);
    }

    /// Units were cancelled before they were captured.
    pub(super) fn cancelled(&mut self, what: &Amounts) {
        self.charge(what, EntryReason::Cancelled, -1);
    }

    /// Units left, or were delivered at once: their money is taken.
    pub(super) fn captured(&mut self, what: &Amounts) {
        self.post(
            Account::Receivable,
            Account::Cash,
            EntryReason::Captured,
            what.total(),
        );
    }

    /// Captured units are gone: goods and extras are given back.
    pub(super) fn lost(&mut self, what: &Amounts) {
        self.charge(what, EntryReason::Lost, -1);
        self.post(
            Account::Refunds,
            Account::Receivable,
            EntryReason::Lost,
            what.total(),
        );
    }

    /// Captured units came back: the goods are given back, shipping and fees stay owed. A line whose
    /// discount outweighs its goods gives nothing back. Says what was refunded.
    pub(super) fn returned(&mut self, what: &Amounts) -> Minor {
        if what.goods() <= 0 {
            return 0;
        }
        let goods = Amounts {
            shipping: 0,
            fees: 0,
            ..*what
        };
        self.charge(&goods, EntryReason::Returned, -1);
        self.post(
            Account::Refunds,
            Account::Receivable,
            EntryReason::Returned,
            goods.goods(),
        );
        goods.goods()
    }

    /// What lies in an account: debits less credits.
    #[must_use]
    pub fn balance(&self, account: Account) -> Minor {
        self.entries
            .iter()
            .map(|e| match (e.to == account, e.from == account) {
                (true, false) => e.amount,
                (false, true) => -e.amount,
                _ => 0,
            })
            .sum()
    }

    /// The order's totals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let totals = Totals {
            subtotal: -self.balance(Account::Revenue),
            discounts: self.balance(Account::Discounts),
            shipping: -self.balance(Account::Shipping),
            tax: -self.balance(Account::Tax),
            fees: -self.balance(Account::Fees),
            total: 0,
            captured: self.balance(Account::Cash),
            refunded: -self.balance(Account::Refunds),
            balance_due: self.balance(Account::Receivable),
        };
        let total = totals.subtotal - totals.discounts + totals.shipping + totals.tax + totals.fees;
        Totals { total, ..totals }
    }
}

/// What a line comes to by itself. `None` when it would pass [`crate::money::AMOUNT_MAX`].
pub(super) fn line_amounts(line: &NewLine, currency: Currency) -> Option<Amounts> {
    let not_included = line.taxes.iter().filter(|t| !t.included);
    Some(Amounts {
        units: line.quantity,
        subtotal: line.unit_price.times(line.quantity, currency)?,
        discount: line.discount,
        tax: not_included
            .map(|t| t.amount)
            .try_fold(0, Minor::checked_add)?,
        shipping: 0,
        fees: 0,
    })
}

/// What an order's lines come to, with their shares of its discount, shipping and fees: weighted by
/// their net amounts, or by units when they are all free.
pub(super) fn order_amounts(header: &Header, lines: &[NewLine]) -> Option<Vec<Amounts>> {
    let own = lines.iter().map(|line| line_amounts(line, header.currency));
    let mut amounts = own.collect::<Option<Vec<Amounts>>>()?;
    if header.discount == 0 && header.shipping == 0 && header.fees == 0 {
        return Some(amounts);
    }
    let mut weights: Vec<i64> = amounts
        .iter()
        .map(|a| (a.subtotal - a.discount).max(0))
        .collect();
    if weights.iter().all(|&w| w == 0) {
        weights = amounts.iter().map(|a| i64::from(a.units)).collect();
    }
    let cut = |total: Minor| allocate(total, &weights);
    let (discounts, shipping, fees) =
        (cut(header.discount), cut(header.shipping), cut(header.fees));
    for (index, line) in amounts.iter_mut().enumerate() {
        line.discount += discounts[index];
        line.shipping = shipping[index];
        line.fees = fees[index];
    }
    Some(amounts)
}

/// Cuts `total` over `weights` (≥ 0) by largest remainder, so that the parts sum to it exactly;
/// ties go to the earlier part. With no weight at all, nothing can be cut: the first takes all.
pub(super) fn allocate(total: Minor, weights: &[i64]) -> Vec<Minor> {
    let sum: i128 = weights.iter().map(|&w| i128::from(w)).sum();
    let mut parts = vec![0; weights.len()];
    if total == 0 || parts.is_empty() {
        return parts;
    }
    if sum == 0 {
        parts[0] = total;
        return parts;
    }
    let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
    let mut left = total;
    for (index, &weight) in weights.iter().enumerate() {
        let exact = i128::from(total) * i128::from(weight);
        let part = i64::try_from(exact / sum).unwrap_or(0);
        parts[index] = part;
        left -= part;
        remainders.push((exact % sum, index));
    }
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders {
        if left == 0 {
            break;
        }
        parts[index] += 1;
        left -= 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole() {
        for total in [0, 1, 7, 100, 99_999] {
            for weights in [
                vec![1, 1, 1],
                vec![5, 0, 3],
                vec![0, 0],
                vec![1_000_000, 1, 1],
            ] {
                assert_eq!(
                    allocate(total, &weights).iter().sum::<i64>(),
                    total,
                    "{total} {weights:?}"
                );
            }
        }
        assert_eq!(allocate(10, &[1, 1, 1]), [4, 3, 3]);
    }

    #[test]
    fn a_pool_empties_exactly_in_any_cut() {
        let whole = Amounts {
            units: 7,
            subtotal: 1_000,
            discount: 33,
            tax: 101,
            shipping: 5,
            fees: 1,
        };
        for cuts in [vec![1; 7], vec![3, 4], vec![6, 1], vec![2, 2, 3]] {
            let mut pool = whole;
            let mut sum = Amounts::default();
            for cut in cuts {
                sum.put(&pool.take(cut));
            }
            assert_eq!(sum, whole);
            assert_eq!(pool, Amounts::default());
        }
    }

    #[test]
    fn a_return_keeps_shipping_owed_and_a_loss_does_not() {
        let what = Amounts {
            units: 1,
            subtotal: 1_000,
            discount: 100,
            tax: 50,
            shipping: 20,
            fees: 5,
        };
        let mut ledger = Ledger::default();
        ledger.charged(&what, EntryReason::Charged);
        ledger.captured(&what);
        let mut lost = ledger.clone();
        assert_eq!(ledger.returned(&what), 950);
        assert_eq!(ledger.totals().total, 25);
        assert_eq!(ledger.totals().balance_due, 0);
        lost.lost(&what);
        assert_eq!(
            lost.totals(),
            Totals {
                captured: 975,
                refunded: 975,
                ..Totals::default()
            }
        );
    }
}
