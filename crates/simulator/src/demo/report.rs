//! What a replay came to, for people and for programs.
//!
//! In: the account of the file, the counts of the replay, the recount of the laws. Out: one report.
//! Amounts are exact decimals in text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use super::fulfil::{list, text, units};
use super::invoices::InvoiceFile;
use super::plan::{Account, Share};
use super::replay::decimal;
use crate::simulate::Latency;
use crate::verify::{BrokenLaw, VerifyReport};

/// What happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) products: u64,
    pub(super) orders: u64,
    pub(super) orders_refused: u64,
    pub(super) order_lines: u64,
    pub(super) backordered_orders: u64,
    pub(super) backordered_units: u64,
    pub(super) units_cancelled_backordered: u64,
    pub(super) short_picks: u64,
    pub(super) rejects: u64,
    pub(super) cancellations: u64,
    pub(super) returns: u64,
    pub(super) units_received: u64,
    pub(super) units_written_off: u64,
    pub(super) refusals: u64,
    pub(super) refusal_samples: Vec<String>,
    pub(super) money_placed: Decimal,
    pub(super) money_undone_otherwise: Decimal,
    pub(super) placing: Duration,
    pub(super) latency_ms: Latency,
    by_status: BTreeMap<String, u64>,
    split_orders: u64,
    still_backordered: u64,
    shipments: u64,
    units: BTreeMap<&'static str, u64>,
    money: BTreeMap<&'static str, Decimal>,
}

const STATES: [&str; 6] = [
    "shipped",
    "delivered",
    "cancelled",
    "lost",
    "returned",
    "backordered",
];
const TOTALS: [&str; 4] = ["total", "captured", "refunded", "balance_due"];

impl Counts {
    /// Adds an order as it is in the end.
    pub(super) fn count_order(&mut self, order: &Value) {
        *self
            .by_status
            .entry(text(order, "status").to_owned())
            .or_default() += 1;
        let mut locations = BTreeSet::new();
        for line in list(order, "lines") {
            locations.extend(list(line, "allocations").map(|at| text(at, "location")));
            self.still_backordered += units(line, "backordered");
            for state in STATES {
                *self.units.entry(state).or_default() += units(&line["units"], state);
            }
        }
        self.split_orders += u64::from(locations.len() > 1);
        self.shipments += list(order, "shipments").count() as u64;
        for name in TOTALS {
            *self.money.entry(name).or_default() += decimal(&order["totals"][name]);
        }
    }
}

/// Some lines of the file.
#[derive(Clone, Debug, Serialize)]
pub struct LineShare {
    /// How many.
    pub lines: u64,
    /// The sum of quantity × price.
    pub amount: String,
}

impl From<&Share> for LineShare {
    fn from(share: &Share) -> LineShare {
        LineShare {
            lines: share.lines,
            amount: money(share.amount),
        }
    }
}

/// Money, in GBP.
#[derive(Clone, Debug, Serialize)]
pub struct Money {
    /// The sum over all lines of the file.
    pub file: String,
    /// Of lines that were taken.
    pub taken: String,
    /// Of lines that were not; with `taken` it gives `file`.
    pub skipped: String,
    /// What the orders came to when they were placed.
    pub orders_placed: String,
    /// What they come to without what was cancelled, lost or returned.
    pub orders_total: String,
    /// Cancellations that the file prices differently from the purchase: their difference.
    pub undone_at_another_price: String,
    /// Captured.
    pub captured: String,
    /// Paid back.
    pub refunded: String,
    /// Not paid yet.
    pub balance_due: String,
}

/// What a replay came to.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    /// The file.
    pub file: String,
    /// Its lines without the header.
    pub lines_read: u64,
    /// Those that became something.
    pub lines_taken: u64,
    /// What they became.
    pub lines_taken_as: BTreeMap<String, LineShare>,
    /// Those that did not: how many, by reason.
    pub lines_skipped: BTreeMap<String, u64>,
    /// The sum of quantity × price of those, by reason.
    pub amounts_skipped: BTreeMap<String, String>,
    /// Money.
    pub money: Money,
    /// Products that were defined.
    pub products: u64,
    /// Orders that were taken.
    pub orders: u64,
    /// Orders that the server refused; their lines are among the skipped.
    pub orders_refused: u64,
    /// Orders by their status in the end.
    pub orders_by_status: BTreeMap<String, u64>,
    /// Their lines.
    pub order_lines: u64,
    /// Orders served by more than one location.
    pub split_orders: u64,
    /// Of all orders, from 0 to 1.
    pub split_rate: f64,
    /// Orders of which something had to wait for stock when they were placed.
    pub backordered_orders: u64,
    /// Units that had to wait.
    pub backordered_units: u64,
    /// Of those, the ones that got stock later.
    pub backorders_released_units: u64,
    /// Units that still wait.
    pub backordered_units_left: u64,
    /// Fulfillment orders that a location rejected.
    pub rejects: u64,
    /// Picks that found less than they should.
    pub short_picks: u64,
    /// Shipments.
    pub shipments: u64,
    /// Lines of the file that became a cancellation of units that had not left.
    pub cancellations: u64,
    /// Lines of the file that became a return.
    pub returns: u64,
    /// Units received into stock.
    pub units_in: u64,
    /// Units that left the locations.
    pub units_out: u64,
    /// Units delivered.
    pub units_delivered: u64,
    /// Units cancelled before they left.
    pub units_cancelled: u64,
    /// Units sent back.
    pub units_returned: u64,
    /// Units written off.
    pub units_written_off: u64,
    /// Requests that the server refused.
    pub refusals: u64,
    /// The first few of them, in the server's words.
    pub refusal_samples: Vec<String>,
    /// From request to answer, of orders placed.
    pub latency_ms: Latency,
    /// Orders placed per second while orders were being placed.
    pub orders_per_s: f64,
    /// Laws that were recounted in the end, over everything the server holds.
    pub laws_checked: Vec<&'static str>,
    /// Those that do not hold.
    pub laws_broken: Vec<BrokenLaw>,
    /// From start to end.
    pub duration_s: f64,
}

impl DemoReport {
    pub(super) fn new(
        file: &InvoiceFile,
        account: &Account,
        counts: &Counts,
        laws: VerifyReport,
    ) -> DemoReport {
        let units = |state: &str| counts.units.get(state).copied().unwrap_or(0);
        let total = |name: &str| money(counts.money.get(name).copied().unwrap_or_default());
        let left = counts.still_backordered + counts.units_cancelled_backordered;
        DemoReport {
            file: file.name.clone(),
            lines_read: file.lines(),
            lines_taken: account.taken.lines,
            lines_taken_as: account
                .taken_as
                .iter()
                .map(|(name, share)| ((*name).to_owned(), share.into()))
                .collect(),
            lines_skipped: account
                .skipped_for
                .iter()
                .map(|(name, share)| (name.clone(), share.lines))
                .collect(),
            amounts_skipped: account
                .skipped_for
                .iter()
                .map(|(name, share)| (name.clone(), money(share.amount)))
                .collect(),
            money: Money {
                file: money(file.amount()),
                taken: money(account.taken.amount),
                skipped: money(account.skipped.amount),
                orders_placed: money(counts.money_placed),
                orders_total: total("total"),
                undone_at_another_price: money(counts.money_undone_otherwise),
                captured: total("captured"),
                refunded: total("refunded"),
                balance_due: total("balance_due"),
            },
            products: counts.products,
            orders: counts.orders,
            orders_refused: counts.orders_refused,
            orders_by_status: counts.by_status.clone(),
            order_lines: counts.order_lines,
            split_orders: counts.split_orders,
            split_rate: counts.split_orders as f64 / counts.orders.max(1) as f64,
            backordered_orders: counts.backordered_orders,
            backordered_units: counts.backordered_units,
            backorders_released_units: counts.backordered_units.saturating_sub(left),
            backordered_units_left: counts.still_backordered,
            rejects: counts.rejects,
            short_picks: counts.short_picks,
            shipments: counts.shipments,
            cancellations: counts.cancellations,
            returns: counts.returns,
            units_in: counts.units_received,
            units_out: units("shipped") + units("delivered") + units("lost"),
            units_delivered: units("delivered"),
            units_cancelled: units("cancelled"),
            units_returned: units("returned"),
            units_written_off: counts.units_written_off,
            refusals: counts.refusals,
            refusal_samples: counts.refusal_samples.clone(),
            latency_ms: counts.latency_ms,
            orders_per_s: counts.orders as f64 / counts.placing.as_secs_f64().max(1e-9),
            laws_checked: laws.laws_checked,
            laws_broken: laws.laws_broken,
            duration_s: 0.0,
        }
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let skipped: u64 = self.lines_skipped.values().sum();
        let mut put = |line: String| writeln!(out, "{line}").expect("writing to a string");
        put(format!("Replay of {}", self.file));
        put(String::new());
        put(format!(
            "Lines of the file {:>12} lines  {:>14} GBP",
            self.lines_read, self.money.file
        ));
        put(format!(
            "  taken           {:>12}        {:>14}",
            self.lines_taken, self.money.taken
        ));
        for (name, share) in &self.lines_taken_as {
            put(format!(
                "    {name:<26}{:>6}      {:>14}",
                share.lines, share.amount
            ));
        }
        put(format!(
            "  skipped         {skipped:>12}        {:>14}",
            self.money.skipped
        ));
        for ((name, lines), amount) in self.lines_skipped.iter().zip(self.amounts_skipped.values())
        {
            put(format!("    {name:<26}{lines:>6}      {amount:>14}"));
        }
        put(String::new());
        for line in self.happened() {
            put(line);
        }
        put(String::new());
        let laws = self.laws_checked.len();
        if self.laws_broken.is_empty() {
            put(format!(
                "Laws         {laws} recounted over everything the server holds, none broken"
            ));
        }
        for law in &self.laws_broken {
            put(format!("LAW BROKEN   {}: {}", law.law, law.what));
        }
        put(format!("Took         {:.1} s", self.duration_s));
        out
    }

    fn happened(&self) -> Vec<String> {
        let statuses: Vec<String> = self
            .orders_by_status
            .iter()
            .map(|(status, count)| format!("{count} {status}"))
            .collect();
        let latency = &self.latency_ms;
        let money = &self.money;
        let mut lines = vec![
            format!(
                "Orders       {} with {} lines of {} products: {}",
                self.orders,
                self.order_lines,
                self.products,
                statuses.join(", ")
            ),
            format!(
                "Split        {} orders over several locations ({:.1} %), {} shipments",
                self.split_orders,
                self.split_rate * 100.0,
                self.shipments
            ),
            format!(
                "Backorders   {} orders, {} units; {} units released, {} left",
                self.backordered_orders,
                self.backordered_units,
                self.backorders_released_units,
                self.backordered_units_left
            ),
            format!(
                "Mishaps      {} rejects, {} short picks",
                self.rejects, self.short_picks
            ),
            format!(
                "Undone       {} cancellations, {} returns",
                self.cancellations, self.returns
            ),
            format!(
                "Units        {} in, {} out, {} delivered, {} cancelled, {} returned, {} written off",
                self.units_in,
                self.units_out,
                self.units_delivered,
                self.units_cancelled,
                self.units_returned,
                self.units_written_off
            ),
            format!(
                "Money        {} placed, {} after what was undone; {} captured, {} refunded, {} due (GBP)",
                money.orders_placed,
                money.orders_total,
                money.captured,
                money.refunded,
                money.balance_due
            ),
            format!(
                "Speed        {:.0} orders/s; an order takes {:.1} ms (p50), {:.1} (p90), {:.1} (p99), {:.1} (max)",
                self.orders_per_s, latency.p50, latency.p90, latency.p99, latency.max
            ),
        ];
        if self.refusals > 0 {
            lines.push(format!(
                "Refused      {} requests; the first:",
                self.refusals
            ));
            lines.extend(
                self.refusal_samples
                    .iter()
                    .take(5)
                    .map(|words| format!("             {words}")),
            );
        }
        lines
    }
}

/// An exact amount with at least two decimals.
fn money(amount: Decimal) -> String {
    let mut amount = amount.normalize();
    if amount.scale() < 2 {
        amount.rescale(2);
    }
    amount.to_string()
}
