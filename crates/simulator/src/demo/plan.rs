//! What becomes of each line of the file: taken as what, or skipped for which reason.
//!
//! In: a file. Out: one fate per line, before anything is sent; the replay changes a fate only when
//! the server refuses what the line was sent as. Taken and skipped always add up to the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use rust_decimal::Decimal;

use super::invoices::{InvoiceFile, Row};

/// Units of an order line at most, by the API.
const LINE_UNITS_MAX: i32 = 100_000;
/// Decimals of a unit price at most, by the API.
const PRICE_DECIMALS_MAX: u32 = 4;

/// What a line is taken as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A line of an order.
    Goods,
    /// A line of an order for something that is not stocked.
    Service,
    /// Part of its order's shipping.
    Shipping,
    /// Part of its order's fees.
    Fee,
    /// Part of its order's discounts.
    Discount,
    /// Stock that is written off.
    WriteOff,
    /// Units of an earlier line that are cancelled or sent back.
    Undo {
        /// The earlier line's place in the file.
        of: u32,
    },
    /// Nothing, for this reason.
    Skipped(Cow<'static, str>),
}

impl Fate {
    /// Whether it is a line of an order.
    pub(super) fn is_line(&self) -> bool {
        matches!(self, Fate::Goods | Fate::Service)
    }

    /// Whether it is part of an order.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_line() || matches!(self, Fate::Shipping | Fate::Fee | Fate::Discount)
    }

    fn name(&self) -> &'static str {
        match self {
            Fate::Goods => "goods",
            Fate::Service => "service",
            Fate::Shipping => "shipping",
            Fate::Fee => "fee",
            Fate::Discount => "discount",
            Fate::WriteOff => "write_off",
            Fate::Undo { .. } => "cancellation",
            Fate::Skipped(_) => "skipped",
        }
    }
}

/// Lines and what they come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) lines: u64,
    pub(super) amount: Decimal,
}

impl Share {
    fn add(&mut self, amount: Decimal) {
        self.lines += 1;
        self.amount += amount;
    }
}

/// The file, accounted for.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) taken: Share,
    pub(super) taken_as: BTreeMap<&'static str, Share>,
    pub(super) skipped: Share,
    pub(super) skipped_for: BTreeMap<String, Share>,
}

/// What becomes of each line.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fates: Vec<Fate>,
}

impl Plan {
    pub(super) fn of(file: &InvoiceFile) -> Plan {
        let mut plan = Plan {
            fates: file.rows.iter().map(|row| alone(file, row)).collect(),
        };
        for nth in 0..file.invoices.len() {
            plan.settle(file, nth);
        }
        plan.match_cancellations(file);
        plan
    }

    /// The rows of an invoice that are part of its order.
    pub(super) fn ordered<'a>(
        &'a self,
        file: &'a InvoiceFile,
        invoice: usize,
    ) -> impl Iterator<Item = (&'a Row, &'a Fate)> {
        let rows = file.invoices[invoice].rows.iter().map(|row| *row as usize);
        rows.map(|row| (&file.rows[row], &self.fates[row]))
            .filter(|(_, fate)| fate.is_ordered())
    }

    pub(super) fn skip(&mut self, row: usize, reason: impl Into<Cow<'static, str>>) {
        self.fates[row] = Fate::Skipped(reason.into());
    }

    /// Taken and skipped, which add up to the file exactly.
    pub(super) fn account(&self, file: &InvoiceFile) -> Account {
        let mut account = Account::default();
        if file.malformed_lines > 0 {
            let share = Share {
                lines: file.malformed_lines,
                amount: file.malformed_amount,
            };
            account.skipped = share;
            account.skipped_for.insert("malformed".to_owned(), share);
        }
        for (row, fate) in file.rows.iter().zip(&self.fates) {
            if let Fate::Skipped(reason) = fate {
                account.skipped.add(row.amount());
                account
                    .skipped_for
                    .entry(reason.to_string())
                    .or_default()
                    .add(row.amount());
            } else {
                account.taken.add(row.amount());
                account
                    .taken_as
                    .entry(fate.name())
                    .or_default()
                    .add(row.amount());
            }
        }
        assert_eq!(
            account.taken.lines + account.skipped.lines,
            file.lines(),
            "no line is lost"
        );
        assert_eq!(
            account.taken.amount + account.skipped.amount,
            file.amount(),
            "no penny is lost"
        );
        account
    }

    /// What an invoice's lines can be depends on one another: an order needs a line, and a discount
    /// goods to be taken off.
    fn settle(&mut self, file: &InvoiceFile, invoice: usize) {
        let rows = &file.invoices[invoice].rows;
        let fates = |plan: &Plan, wanted: fn(&Fate) -> bool| -> Decimal {
            let kept = rows
                .iter()
                .map(|row| *row as usize)
                .filter(|row| wanted(&plan.fates[*row]));
            kept.map(|row| file.rows[row].amount()).sum()
        };
        if !rows.iter().any(|row| self.fates[*row as usize].is_line()) {
            for row in rows.iter().map(|row| *row as usize) {
                match self.fates[row] {
                    // Carriage or a fee without goods is what was sold.
                    Fate::Shipping | Fate::Fee => self.fates[row] = Fate::Service,
                    Fate::Discount => self.skip(row, "discount_without_goods"),
                    _ => {}
                }
            }
        }
        let goods = fates(self, Fate::is_line);
        let discounts = fates(self, |fate| matches!(fate, Fate::Discount));
        if goods + discounts < Decimal::ZERO {
            for row in rows.iter().map(|row| *row as usize) {
                if self.fates[row] == Fate::Discount {
                    self.skip(row, "discount_above_goods");
                }
            }
        }
    }

    /// A cancellation undoes the latest earlier line of that customer and SKU with enough units left.
    fn match_cancellations(&mut self, file: &InvoiceFile) {
        let mut bought: HashMap<(&str, u32), Vec<(u32, i32)>> = HashMap::new();
        let ever: HashSet<(&str, u32)> = file
            .rows
            .iter()
            .filter(|row| row.quantity > 0 && !is_cancellation(file, row))
            .filter_map(|row| Some((file.invoice(row).customer.as_deref()?, row.sku)))
            .collect();
        for (nth, row) in file.rows.iter().enumerate() {
            let customer = file.invoice(row).customer.as_deref();
            if !is_cancellation(file, row) {
                if let (Some(customer), true) =
                    (customer, row.quantity > 0 && self.fates[nth].is_ordered())
                {
                    bought
                        .entry((customer, row.sku))
                        .or_default()
                        .push((nth as u32, row.quantity));
                }
                continue;
            }
            let Some(customer) = customer else {
                self.skip(nth, "no_customer");
                continue;
            };
            let units = row.quantity.saturating_neg();
            if units <= 0 {
                self.skip(nth, "cancels_nothing");
                continue;
            }
            let earlier = bought.get_mut(&(customer, row.sku));
            let earlier =
                earlier.map(|lines| lines.iter_mut().rev().find(|(_, left)| *left >= units));
            match earlier {
                Some(Some((of, left))) => {
                    *left -= units;
                    let of = *of;
                    if self.fates[of as usize] == Fate::Goods {
                        self.fates[nth] = Fate::Undo { of };
                    } else {
                        self.skip(nth, "undoes_a_service");
                    }
                }
                Some(None) => self.skip(nth, "more_than_bought"),
                None if ever.contains(&(customer, row.sku)) => {
                    self.skip(nth, "only_a_later_purchase")
                }
                None => self.skip(nth, "no_earlier_purchase"),
            }
        }
    }
}

fn is_cancellation(file: &InvoiceFile, row: &Row) -> bool {
    file.invoice(row).number.starts_with('C')
}

/// Whether a SKU is a gift voucher: sold, never stocked.
pub(super) fn is_gift_card(code: &str) -> bool {
    code.starts_with("gift_")
}

/// What a line is, looked at alone. Cancellations are matched later.
fn alone(file: &InvoiceFile, row: &Row) -> Fate {
    let invoice = file.invoice(row);
    let skipped = |reason: &'static str| Fate::Skipped(Cow::Borrowed(reason));
    if invoice.number.starts_with('A') {
        return skipped("bad_debt");
    }
    if invoice.country.is_none() {
        return skipped("unknown_country");
    }
    if row.price < Decimal::ZERO {
        return skipped("negative_price");
    }
    if row.price.normalize().scale() > PRICE_DECIMALS_MAX {
        return skipped("price_too_fine");
    }
    if row.quantity.saturating_abs() > LINE_UNITS_MAX {
        return skipped("too_many_units");
    }
    if row.quantity == 0 {
        return skipped("no_units");
    }
    let more = row.quantity > 0;
    match file.code(row) {
        "POST" | "DOT" | "C2" if more => Fate::Shipping,
        "M" | "m" | "AMAZONFEE" | "BANK CHARGES" | "CRUK" | "D" if more => Fate::Fee,
        "M" | "m" | "D" => Fate::Discount,
        "S" if more => Fate::Service,
        "POST" | "DOT" | "C2" | "AMAZONFEE" | "BANK CHARGES" | "CRUK" | "S" => {
            skipped("negative_service")
        }
        code if !code
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/?#%\\".contains(&byte)) =>
        {
            skipped("sku_not_an_id")
        }
        _ if more => Fate::Goods,
        code if row.price.is_zero() && !is_gift_card(code) => Fate::WriteOff,
        _ => skipped("negative_quantity"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_adds_up_and_its_cancellations_match_as_they_do() {
        let file = InvoiceFile::open(None).expect("the embedded week");
        let plan = Plan::of(&file);
        let account = plan.account(&file);
        println!("{account:#?}");
        assert_eq!(account.taken.lines + account.skipped.lines, 16_985);
        assert_eq!(
            account.taken.amount + account.skipped.amount,
            Decimal::new(28_076_648, 2)
        );
        assert_eq!(account.taken_as["write_off"].lines, 45);
        let skipped = |reason: &str| {
            account
                .skipped_for
                .get(reason)
                .map_or(0, |share| share.lines)
        };
        let undone = account.taken_as["cancellation"].lines;
        let others = [
            "more_than_bought",
            "undoes_a_service",
            "no_earlier_purchase",
            "only_a_later_purchase",
        ];
        let others: u64 = others.iter().map(|reason| skipped(reason)).sum();
        assert_eq!(
            undone + others + skipped("no_customer"),
            183,
            "every line of a C invoice"
        );
        assert!((25..=35).contains(&undone), "{undone}");
        assert!((15..=25).contains(&skipped("only_a_later_purchase")));
        assert!((95..=105).contains(&skipped("no_earlier_purchase")));
        assert_eq!(skipped("no_customer"), 31);
    }
}
