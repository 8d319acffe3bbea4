//! The course of the replay, day by day of the file.
//!
//! In: a file and what its lines are taken as. Out: the counts of what happened. Each day's orders
//! are placed, its write-offs booked and its cancellations made; then the orders of earlier days are
//! worked on, so that a cancellation finds some of them on the shelf and others at the customer's.
//! Midway the rest of the stock arrives. An order of a customer waits for that customer's earlier one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::fulfil::{Done, Outcome, Work, ask, fulfil, list, text, units};
use super::invoices::{InvoiceFile, Row};
use super::places::{Places, stable};
use super::plan::{Fate, Plan};
use super::report::Counts;
use super::stock::{self, LOCATIONS, Receipt};
use super::undo::{Undo, Undone, undo};
use crate::http::{Client, ClientError, encoded};

/// One of this many orders is on its way overnight, and delivered a day later.
const SLOW_OF: u64 = 6;
/// How long nothing may move before what is still open is left as it is.
const IDLE_ROUNDS_MAX: u32 = 40;
/// After how many of them what is still lacking is bought.
const IDLE_ROUNDS_BEFORE_REORDER: u32 = 4;
/// The pause after a round in which nothing moved.
const IDLE_PAUSE: Duration = Duration::from_millis(150);
/// Refusals whose words are kept.
const REFUSALS_MAX: usize = 20;
/// Latencies up to a minute, in microseconds, to three digits.
pub(super) const LATENCY_MAX_US: u64 = 60_000_000;

/// An order that the server has taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) id: String,
    /// Whether nothing is left to do for it.
    pub(super) over: bool,
}

/// A replay under way.
pub(super) struct Replay<'a> {
    pub(super) client: &'a Client,
    pub(super) file: &'a InvoiceFile,
    pub(super) plan: Plan,
    pub(super) concurrency: usize,
    pub(super) places: Places,
    /// By invoice.
    pub(super) orders: BTreeMap<usize, Taken>,
    /// Units undone by line, up to now.
    undone: HashMap<u32, u64>,
    pub(super) latency: Histogram<u64>,
    pub(super) counts: Counts,
}

/// A day of the file: its invoices, and its rows that are no part of an order.
#[derive(Default)]
pub(super) struct Day {
    pub(super) orders: Vec<usize>,
    write_offs: Vec<u32>,
    undos: Vec<u32>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        client: &'a Client,
        file: &'a InvoiceFile,
        plan: Plan,
        concurrency: usize,
    ) -> Replay<'a> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds in order");
        Replay {
            client,
            file,
            plan,
            concurrency,
            places: Places::embedded(),
            orders: BTreeMap::new(),
            undone: HashMap::new(),
            latency,
            counts: Counts::default(),
        }
    }

    pub(super) async fn run(
        &mut self,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<(), ClientError> {
        let (first, rest) = stock::receipts(self.file, &self.plan);
        let (client, file, concurrency) = (self.client, self.file, self.concurrency);
        self.counts.products =
            stock::define(client, file, &self.plan, concurrency, progress).await?;
        self.counts.units_received += self.receive(&first, "opening-stock", progress).await?;
        let days = self.days();
        let midway = days.len() / 2;
        let orders: u64 = days.values().map(|day| day.orders.len() as u64).sum();
        for (nth, (date, day)) in days.iter().enumerate() {
            if nth == midway {
                self.midweek(&rest, *date, progress).await?;
            }
            self.place(day, orders, progress).await?;
            self.write_off(day).await?;
            self.undo(day, *date).await?;
            let earlier = self.orders.iter().filter(|(invoice, order)| {
                !order.over && self.file.invoices[**invoice].day < *date
            });
            let earlier: Vec<usize> = earlier.map(|(invoice, _)| *invoice).collect();
            self.fulfil(&earlier, *date, false, progress).await?;
        }
        if let Some((last, _)) = days.last_key_value() {
            self.finish(last.tomorrow().unwrap_or(*last), progress)
                .await?;
        }
        self.recount(progress).await
    }

    async fn receive(
        &self,
        receipts: &[Receipt],
        reference: &str,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<u64, ClientError> {
        stock::receive(
            self.client,
            self.file,
            receipts,
            reference,
            self.concurrency,
            progress,
        )
        .await
    }

    fn days(&self) -> BTreeMap<Date, Day> {
        let mut days: BTreeMap<Date, Day> = BTreeMap::new();
        for (nth, invoice) in self.file.invoices.iter().enumerate() {
            if self.plan.ordered(self.file, nth).next().is_some() {
                days.entry(invoice.day).or_default().orders.push(nth);
            }
        }
        for (nth, row) in self.file.rows.iter().enumerate() {
            let day = self.file.invoice(row).day;
            match self.plan.fates[nth] {
                Fate::WriteOff => days.entry(day).or_default().write_offs.push(nth as u32),
                Fate::Undo { .. } => days.entry(day).or_default().undos.push(nth as u32),
                _ => {}
            }
        }
        days
    }

    pub(super) fn refused(&mut self, words: String) {
        self.counts.refusals += 1;
        if self.counts.refusal_samples.len() < REFUSALS_MAX {
            self.counts.refusal_samples.push(words);
        }
    }

    async fn write_off(&mut self, day: &Day) -> Result<(), ClientError> {
        for nth in day.write_offs.iter().map(|nth| *nth as usize) {
            if let Some((code, words)) = self.write_off_one(&self.file.rows[nth]).await? {
                self.refused(words);
                self.plan.skip(nth, format!("refused_{code}"));
            } else {
                let units = u64::from(self.file.rows[nth].quantity.unsigned_abs());
                self.counts.units_written_off += units;
            }
        }
        Ok(())
    }

    /// Writes units off at the first of the SKU's locations that has them; gives the last refusal.
    async fn write_off_one(&self, row: &Row) -> Result<Option<(String, String)>, ClientError> {
        let code = self.file.code(row);
        let mut refusal = None;
        for location in stock::homes(code).into_iter().map(|nth| LOCATIONS[nth].0) {
            let body = json!({
                "location": location, "sku": code, "quantity": row.quantity,
                "reference": format!("write-off-{}", self.file.invoice(row).number),
            });
            let key = format!(
                "demo-{:016x}-write-off-{}-{location}",
                self.file.digest, row.number
            );
            match ask(self.client, "/v1/inventory/adjustments", &key, &body).await? {
                Outcome::Done(_) => return Ok(None),
                Outcome::Refused(code, words) => refusal = Some((code, words)),
            }
        }
        Ok(refusal)
    }

    async fn undo(&mut self, day: &Day, date: Date) -> Result<(), ClientError> {
        for nth in day.undos.iter().map(|nth| *nth as usize) {
            let row = &self.file.rows[nth];
            let Fate::Undo { of } = self.plan.fates[nth] else {
                continue;
            };
            let bought = &self.file.rows[of as usize];
            let Some(order) = self
                .orders
                .get(&(bought.invoice as usize))
                .map(|order| order.id.clone())
            else {
                self.plan.skip(nth, "order_refused");
                continue;
            };
            let units = u64::from(row.quantity.unsigned_abs());
            let total = self.undone.get(&of).copied().unwrap_or(0) + units;
            let at = evening(date);
            let invoice = &self.file.invoice(bought).number;
            let work = Work {
                order: &order,
                invoice,
                at: &at,
                deliver: true,
                mishaps: false,
            };
            let key = format!("demo-{:016x}-undo-{}", self.file.digest, row.number);
            let asked = Undo {
                work,
                line: bought.number.to_string(),
                total,
                key,
            };
            let undone = undo(self.client, &asked).await?;
            if let Some((code, words)) = &undone.refused {
                self.plan.skip(nth, format!("refused_{code}"));
                self.refused(words.clone());
            } else {
                self.undone.insert(of, total);
                let difference = row.amount() + bought.price * Decimal::from(units);
                self.counts.money_undone_otherwise += difference;
            }
            self.count_undone(&undone);
        }
        Ok(())
    }

    fn count_undone(&mut self, undone: &Undone) {
        self.counts.cancellations += u64::from(undone.units_cancelled > 0);
        self.counts.returns += u64::from(undone.units_returned > 0);
        self.counts.units_cancelled_backordered += undone.units_cancelled_backordered;
        self.counts.short_picks += undone.short_picks;
        self.counts.rejects += undone.rejects;
    }

    /// Works on orders; gives whether anything was done.
    async fn fulfil(
        &mut self,
        invoices: &[usize],
        date: Date,
        all: bool,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<bool, ClientError> {
        let at = evening(date);
        let mut done = Vec::with_capacity(invoices.len());
        {
            let this = &*self;
            let at = at.as_str();
            let work = invoices.iter().map(|nth| async move {
                let invoice = this.file.invoices[*nth].number.as_str();
                let deliver = all
                    || !stable(at)
                        .wrapping_add(stable(invoice))
                        .is_multiple_of(SLOW_OF);
                let work = Work {
                    order: &this.orders[nth].id,
                    invoice,
                    at,
                    deliver,
                    mishaps: true,
                };
                Ok::<_, ClientError>((*nth, fulfil(this.client, work).await?))
            });
            let mut work = stream::iter(work).buffer_unordered(this.concurrency);
            while let Some(one) = work.try_next().await? {
                done.push(one);
                progress("fulfillment", done.len() as u64, invoices.len() as u64);
            }
        }
        let moved = done.iter().any(|(_, done)| done.steps > 0 || done.over);
        for (invoice, done) in done {
            self.count_done(invoice, done);
        }
        Ok(moved)
    }

    fn count_done(&mut self, invoice: usize, done: Done) {
        if let Some(order) = self.orders.get_mut(&invoice) {
            order.over = done.over;
        }
        self.counts.short_picks += done.short_picks;
        self.counts.rejects += done.rejects;
        for words in done.refusals {
            self.refused(words);
        }
    }

    /// The rest arrives; what waited for it is waited for.
    async fn midweek(
        &mut self,
        rest: &[Receipt],
        date: Date,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<(), ClientError> {
        self.counts.units_received += self.receive(rest, "midweek-delivery", progress).await?;
        let (mut before, mut idle) = (u64::MAX, 0);
        while idle < IDLE_ROUNDS_MAX {
            let waiting = self.waiting().await?;
            progress("backorders waiting", waiting, waiting);
            if waiting == 0 {
                break;
            }
            idle = if waiting < before { 0 } else { idle + 1 };
            before = waiting.min(before);
            tokio::time::sleep(IDLE_PAUSE).await;
        }
        let open = self.open_orders();
        self.fulfil(&open, date, false, progress).await.map(drop)
    }

    /// The invoices whose orders are not over.
    fn open_orders(&self) -> Vec<usize> {
        let open = self.orders.iter().filter(|(_, order)| !order.over);
        open.map(|(invoice, _)| *invoice).collect()
    }

    /// Orders of which every open unit waits for stock, or is being sourced.
    async fn waiting(&self) -> Result<u64, ClientError> {
        let mut waiting = 0;
        for status in ["backordered", "sourcing"] {
            let page = self
                .client
                .get(&format!("/v1/orders?status={status}&channel=web&limit=500"))
                .await?;
            waiting += list(&page, "orders").count() as u64;
        }
        Ok(waiting)
    }

    /// Works on everything until it is over, or nothing moves any more.
    async fn finish(
        &mut self,
        date: Date,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<(), ClientError> {
        let mut idle = 0;
        while idle < IDLE_ROUNDS_MAX {
            let open = self.open_orders();
            if open.is_empty() {
                break;
            }
            if self.fulfil(&open, date, true, progress).await? {
                idle = 0;
            } else {
                idle += 1;
                if idle == IDLE_ROUNDS_BEFORE_REORDER {
                    self.reorder(&open).await?;
                }
                tokio::time::sleep(IDLE_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Buys what orders still wait for: units that were not found, or that only a location had which
    /// would not serve.
    async fn reorder(&mut self, open: &[usize]) -> Result<(), ClientError> {
        let mut lacking: BTreeMap<String, u64> = BTreeMap::new();
        for id in open.iter().map(|invoice| self.orders[invoice].id.clone()) {
            let order = self
                .client
                .get(&format!("/v1/orders/{}", encoded(&id)))
                .await?;
            for line in list(&order, "lines").filter(|line| units(line, "backordered") > 0) {
                *lacking.entry(text(line, "sku").to_owned()).or_default() +=
                    units(line, "backordered");
            }
        }
        for (sku, units) in lacking {
            let location = LOCATIONS[stock::homes(&sku)[0]].0;
            let body = json!({"location": location, "sku": sku, "quantity": units, "reference": "reorder"});
            let key = format!(
                "demo-{:016x}-reorder-{location}-{sku}-{units}",
                self.file.digest
            );
            self.client
                .post("/v1/inventory/receipts", &key, &body)
                .await?;
            self.counts.units_received += units;
        }
        Ok(())
    }

    /// Looks at every order once more and counts what became of it.
    async fn recount(
        &mut self,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<(), ClientError> {
        let client = self.client;
        let count = self.orders.len() as u64;
        let reads = self.orders.values().map(|order| async move {
            client
                .get(&format!("/v1/orders/{}", encoded(&order.id)))
                .await
        });
        let mut reads = stream::iter(reads).buffer_unordered(self.concurrency);
        let mut done = 0;
        while let Some(order) = reads.try_next().await? {
            self.counts.count_order(&order);
            done += 1;
            progress("recount", done, count);
        }
        let at = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        self.counts.latency_ms = crate::simulate::Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.latency.max() as f64 / 1_000.0,
        };
        Ok(())
    }
}

/// An amount of the API.
pub(super) fn decimal(value: &Value) -> Decimal {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// When the day's work is done, as far as the carriers' scans say.
fn evening(date: Date) -> String {
    format!("{date}T20:00:00Z")
}
