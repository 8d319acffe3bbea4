//! Placing a day's orders.
//!
//! In: the day's invoices. Out: orders that the server has taken; what it refuses becomes skipped
//! lines with its reason. One order per invoice, one line per line: lines are never merged.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::fulfil::{Outcome, ask, list, text, units};
use super::plan::Fate;
use super::replay::{Day, LATENCY_MAX_US, Replay, Taken, decimal};
use super::stock;
use crate::http::ClientError;

/// Decimals of an amount in GBP.
const PENCE_DECIMALS: u32 = 2;

/// What placing an order came to.
struct Placed {
    invoice: usize,
    outcome: Outcome,
    latency: Duration,
}

impl Replay<'_> {
    /// Places a day's orders, those of one customer one after the other.
    pub(super) async fn place(
        &mut self,
        day: &Day,
        orders: u64,
        progress: &mut impl FnMut(&str, u64, u64),
    ) -> Result<(), ClientError> {
        let since = Instant::now();
        let mut chains: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for invoice in &day.orders {
            let chain = *known
                .entry(self.file.invoices[*invoice].customer_id())
                .or_insert(chains.len());
            if chain == chains.len() {
                chains.push(Vec::new());
            }
            chains[chain].push(*invoice);
        }
        let this = &*self;
        let chains = chains.into_iter().map(|chain| async move {
            let mut placed = Vec::with_capacity(chain.len());
            for invoice in chain {
                placed.push(this.place_one(invoice).await?);
            }
            Ok::<_, ClientError>(placed)
        });
        let mut answered = Vec::with_capacity(day.orders.len());
        let before = self.counts.orders + self.counts.orders_refused;
        {
            let mut chains = stream::iter(chains).buffer_unordered(self.concurrency);
            while let Some(placed) = chains.try_next().await? {
                answered.extend(placed);
                progress("orders", before + answered.len() as u64, orders);
            }
        }
        self.counts.placing += since.elapsed();
        for placed in answered {
            self.count_placed(placed);
        }
        Ok(())
    }

    async fn place_one(&self, invoice: usize) -> Result<Placed, ClientError> {
        let body = self.order(invoice);
        let key = format!(
            "demo-{:016x}-order-{}",
            self.file.digest, self.file.invoices[invoice].number
        );
        let since = Instant::now();
        let outcome = ask(self.client, "/v1/orders", &key, &body).await?;
        Ok(Placed {
            invoice,
            outcome,
            latency: since.elapsed(),
        })
    }

    /// The order of an invoice, as the API takes it.
    fn order(&self, nth: usize) -> Value {
        let invoice = &self.file.invoices[nth];
        let country = invoice
            .country
            .expect("rows of unknown countries are skipped");
        let customer = invoice.customer_id();
        let mut lines = Vec::new();
        let (mut shipping, mut fees, mut discounts) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        for (row, fate) in self.plan.ordered(self.file, nth) {
            let code = self.file.code(row);
            let sku = if *fate == Fate::Service {
                stock::service_sku(code)
            } else {
                code.to_owned()
            };
            match fate {
                Fate::Shipping => shipping += row.amount(),
                Fate::Fee => fees += row.amount(),
                Fate::Discount => discounts -= row.amount(),
                _ => lines.push(json!({
                    "id": row.number.to_string(), "sku": sku, "quantity": row.quantity,
                    "unit_price": row.price.to_string(),
                })),
            }
        }
        let amount = |amount: Decimal| {
            amount
                .round_dp_with_strategy(PENCE_DECIMALS, RoundingStrategy::MidpointAwayFromZero)
                .to_string()
        };
        let mut ship_to = json!({ "country": country });
        if let Some(town) = self.places.draw(country, &customer) {
            ship_to["city"] = town.name.as_str().into();
            ship_to["latitude"] = town.latitude.into();
            ship_to["longitude"] = town.longitude.into();
        }
        json!({
            "external_id": invoice.number, "channel": "web", "currency": "GBP", "placed_at": invoice.at.to_string(),
            "customer": {"id": customer}, "ship_to": ship_to, "service_level": "standard", "split": "allow",
            "shortage": "backorder", "shipping": amount(shipping), "fees": amount(fees),
            "discounts": amount(discounts), "lines": lines,
        })
    }

    fn count_placed(&mut self, placed: Placed) {
        let Placed {
            invoice,
            outcome,
            latency,
        } = placed;
        match outcome {
            Outcome::Done(order) => {
                let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
                self.latency.saturating_record(micros);
                self.counts.orders += 1;
                self.counts.order_lines += list(&order, "lines").count() as u64;
                let waiting: u64 = list(&order, "lines")
                    .map(|line| units(line, "backordered"))
                    .sum();
                self.counts.backordered_orders += u64::from(waiting > 0);
                self.counts.backordered_units += waiting;
                self.counts.money_placed += decimal(&order["totals"]["total"]);
                let id = text(&order, "id").to_owned();
                self.orders.insert(invoice, Taken { id, over: false });
            }
            Outcome::Refused(code, words) => {
                self.counts.orders_refused += 1;
                self.refused(words);
                let rows = &self.file.invoices[invoice].rows;
                for row in rows.iter().map(|row| *row as usize) {
                    if self.plan.fates[row].is_ordered() {
                        self.plan.skip(row, format!("refused_{code}"));
                    }
                }
            }
        }
    }
}
