//! Orders: units, status, money, history; and what each location owes them.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Halt, VerifyOptions, VerifyReport, broken};
use crate::http::{Client, ClientError, encoded};

/// Orders of one page.
const PAGE_ORDERS: usize = 200;

/// What orders say they have at locations.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Units by location and SKU, summed over live orders, bundles broken into their components.
    pub(super) by_sku: HashMap<(String, String), i64>,
    /// Units by order, line index and location, for live orders.
    pub(super) by_line: HashMap<(String, u64, String), i64>,
}

pub(super) async fn count(
    client: &Client,
    options: &VerifyOptions,
    report: &mut VerifyReport,
    promises: &mut Promises,
    progress: &mut impl FnMut(&str, u64),
) -> Result<(), Halt> {
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!("/v1/orders?limit={PAGE_ORDERS}{cursor}"))
            .await?;
        let orders = page["orders"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = orders
            .iter()
            .map(|order| text(order, "id").to_owned())
            .collect();
        let mut histories = futures::stream::iter(ids.iter().map(|id| history(client, id)))
            .buffered(options.concurrency.max(1));
        for order in &orders {
            let history = histories.next().await.expect("one history per order")?;
            // Read again where the order moved on between the two reads.
            let moved = history.last_version != order["version"].as_u64().unwrap_or(0);
            let again = if moved {
                Some(
                    client
                        .get(&format!("/v1/orders/{}", encoded(text(order, "id"))))
                        .await?,
                )
            } else {
                None
            };
            check(again.as_ref().unwrap_or(order), &history)?;
            promise(again.as_ref().unwrap_or(order), promises);
            report.orders += 1;
            report.events += history.events;
            *report
                .orders_by_status
                .entry(text(order, "status").to_owned())
                .or_default() += 1;
        }
        drop(histories);
        progress("orders", report.orders);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => return Ok(()),
        }
    }
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn figure(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or(0)
}

fn amount(value: &Value, name: &str) -> Decimal {
    value[name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(Decimal::MIN)
}

/// What an order's history says.
struct History {
    events: u64,
    last_version: u64,
    fault: Option<String>,
}

async fn history(client: &Client, id: &str) -> Result<History, ClientError> {
    let mut history = History {
        events: 0,
        last_version: 0,
        fault: None,
    };
    let mut recorded = String::new();
    let path = format!("/v1/orders/{}/events", encoded(id));
    client
        .each(&path, "events", |event| -> Result<(), ClientError> {
            let version = event["version"].as_u64().unwrap_or(0);
            if version != history.last_version + 1 {
                history.fault.get_or_insert(format!(
                    "version {version} comes after {}",
                    history.last_version
                ));
            }
            let at = text(event, "recorded_at").to_owned();
            if moment(&at) < moment(&recorded) {
                history.fault.get_or_insert(format!(
                    "version {version} was recorded before the one before it"
                ));
            }
            let placed = text(event, "type") == "placed";
            if placed && version > 2 {
                history
                    .fault
                    .get_or_insert(format!("it was placed a second time as version {version}"));
            }
            recorded = at;
            history.events += 1;
            history.last_version = version;
            Ok(())
        })
        .await?;
    Ok(history)
}

fn moment(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

fn check(order: &Value, history: &History) -> Result<(), Halt> {
    let id = text(order, "id");
    if let Some(fault) = &history.fault {
        return Err(broken(
            "L7",
            format!("the history of order {id} is wrong: {fault}"),
            order.clone(),
        ));
    }
    if history.last_version < order["version"].as_u64().unwrap_or(0) {
        let what = format!(
            "the history of order {id} ends at version {}",
            history.last_version
        );
        return Err(broken("L7", what, order.clone()));
    }
    units(order)?;
    money(order)
}

/// Each line's units add up, and the status is the one that follows from them.
fn units(order: &Value) -> Result<(), Halt> {
    const PLACES: [&str; 9] = [
        "unsourced",
        "backordered",
        "allocated",
        "picked",
        "packed",
        "shipped",
        "delivered",
        "cancelled",
        "lost",
    ];
    let id = text(order, "id");
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    let mut virtual_only_delivered = 0;
    for line in list(order, "lines") {
        let units = &line["units"];
        let sum: i64 = PLACES.iter().map(|place| figure(units, place)).sum();
        if sum != figure(line, "quantity") || figure(units, "returned") > figure(units, "delivered")
        {
            let what = format!(
                "the units of line {} of order {id} do not add up",
                text(line, "line")
            );
            return Err(broken("L7", what, line.clone()));
        }
        for place in PLACES {
            *sums.entry(place).or_default() += figure(units, place);
        }
        if text(line, "kind") == "virtual" {
            virtual_only_delivered += figure(units, "delivered");
        }
    }
    let sum = |places: &[&str]| {
        places
            .iter()
            .map(|place| sums.get(place).copied().unwrap_or(0))
            .sum::<i64>()
    };
    let open = sum(&[
        "unsourced",
        "backordered",
        "allocated",
        "picked",
        "packed",
        "shipped",
    ]);
    let moved =
        sum(&["picked", "packed", "shipped", "delivered", "lost"]) - virtual_only_delivered > 0;
    let status = text(order, "status");
    let fits = match status {
        "cancelled" => open == 0 && sum(&["delivered", "lost"]) == 0,
        "completed" => open == 0 && sum(&["delivered", "lost"]) > 0,
        "in_fulfillment" => open > 0 && moved,
        "placed" | "sourcing" => open > 0 && !moved && sum(&["unsourced"]) > 0,
        "backordered" => {
            open > 0 && !moved && sum(&["unsourced"]) == 0 && sum(&["backordered"]) > 0
        }
        "allocated" => open > 0 && !moved && sum(&["unsourced", "backordered"]) == 0,
        _ => false,
    };
    if !fits {
        let what = format!("order {id} is {status}, which does not follow from its units");
        return Err(broken("L7", what, json!({"units": sums, "order": order})));
    }
    Ok(())
}

/// The totals add up, and the postings give them.
fn money(order: &Value) -> Result<(), Halt> {
    let id = text(order, "id");
    let totals = &order["totals"];
    let of = |name: &str| amount(totals, name);
    let sum = of("subtotal") - of("discounts") + of("shipping") + of("tax") + of("fees");
    if sum != of("total") {
        return Err(broken(
            "L6",
            format!("the totals of order {id} do not add up"),
            totals.clone(),
        ));
    }
    if of("balance_due") != of("total") - of("captured") + of("refunded") {
        return Err(broken(
            "L6",
            format!("the balance of order {id} is wrong"),
            totals.clone(),
        ));
    }
    let mut accounts: BTreeMap<&str, Decimal> = BTreeMap::new();
    for posting in list(order, "ledger") {
        let amount = amount(posting, "amount");
        *accounts.entry(text(posting, "from")).or_default() -= amount;
        *accounts.entry(text(posting, "to")).or_default() += amount;
    }
    let zero: Decimal = accounts.values().sum();
    let account = |name: &str| accounts.get(name).copied().unwrap_or_default();
    let right = zero.is_zero()
        && account("receivable") == of("balance_due")
        && -account("revenue") == of("subtotal")
        && account("discounts") == of("discounts")
        && -account("shipping") == of("shipping")
        && -account("tax") == of("tax")
        && -account("fees") == of("fees")
        && account("cash") + account("refunds") == of("captured") - of("refunded");
    if !right {
        let evidence = json!({"totals": totals, "ledger": order["ledger"]});
        return Err(broken(
            "L6",
            format!("the postings of order {id} do not give its totals"),
            evidence,
        ));
    }
    Ok(())
}

/// Takes note of what a live order has at locations and has not been shipped.
fn promise(order: &Value, promises: &mut Promises) {
    let id = text(order, "id");
    let lines = list(order, "lines");
    for fulfillment in list(order, "fulfillment_orders") {
        let location = text(fulfillment, "location");
        for part in list(fulfillment, "lines") {
            let units = figure(part, "open") + figure(part, "picked") + figure(part, "packed");
            let Some(nth) = lines.iter().position(|line| line["line"] == part["line"]) else {
                continue;
            };
            if units == 0 {
                continue;
            }
            let line = &lines[nth];
            *promises
                .by_line
                .entry((id.to_owned(), nth as u64, location.to_owned()))
                .or_default() += units;
            let mut add = |sku: &str, pieces: i64| {
                *promises
                    .by_sku
                    .entry((location.to_owned(), sku.to_owned()))
                    .or_default() += pieces;
            };
            match list(line, "components") {
                [] => add(text(line, "sku"), units),
                parts => parts
                    .iter()
                    .for_each(|part| add(text(part, "sku"), units * figure(part, "quantity"))),
            }
        }
    }
}
