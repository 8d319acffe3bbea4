//! The laws, counted again from outside: what `consign verify` does, written a second time and
//! without its code, so that one does not hide the other's mistakes.
//!
//! In: everything a node shows. Out: the [`Books`], or a failed test with the evidence. Orders and
//! locations confirm one another by message, so a count that does not come out is made again for a
//! while before it is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::shop::{Shop, amount};

/// How long messages under way may take to arrive.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a recount found.
#[derive(Debug, Default)]
pub struct Books {
    /// Every order.
    pub orders: Vec<Value>,
    /// Units on hand, by SKU, over all locations.
    pub on_hand: BTreeMap<String, i64>,
    /// Units reserved, by SKU, over all locations.
    pub reserved: BTreeMap<String, i64>,
}

/// Recounts until it comes out.
///
/// # Panics
/// When it never does.
pub async fn recount(client: &Client) -> Books {
    let started = Instant::now();
    loop {
        match count(client).await {
            Ok(books) => return books,
            Err(reason) if started.elapsed() > SETTLE_TIMEOUT => {
                panic!("a law is broken: {reason}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

type Counted<T> = Result<T, String>;
/// Units by order, line index and location.
type Promises = BTreeMap<(String, u64, String), i64>;

async fn count(client: &Client) -> Counted<Books> {
    let mut books = Books {
        orders: client.all("/v1/orders", "orders").await,
        ..Books::default()
    };
    let mut owed = Promises::new();
    let mut makeup: BTreeMap<(String, u64), Vec<(String, i64)>> = BTreeMap::new();
    for order in &books.orders {
        units_add_up(order)?;
        money_balances(order)?;
        status_follows(order)?;
        promises(order, &mut owed)?;
        for (index, line) in (0..).zip(list(&order["lines"])) {
            makeup.insert((text(&order["id"]), index), parts(line));
        }
    }
    let mut granted = Promises::new();
    let mut available: BTreeMap<String, i64> = BTreeMap::new();
    for location in client.all("/v1/locations", "locations").await {
        let id = text(&location["id"]);
        let balances = balances(client, &id).await?;
        let mut reserved: BTreeMap<String, i64> = BTreeMap::new();
        for reservation in client
            .all(&format!("/v1/locations/{id}/reservations"), "reservations")
            .await
        {
            let (order, line) = (
                text(&reservation["order"]),
                reservation["line"].as_u64().unwrap_or(u64::MAX),
            );
            let units = int(&reservation["units"]);
            let made_of = makeup.get(&(order.clone(), line));
            let made_of = made_of
                .ok_or_else(|| format!("L5: {id} holds units for no order: {reservation}"))?;
            for (sku, each) in made_of {
                *reserved.entry(sku.clone()).or_default() += units * each;
            }
            *granted.entry((order, line, id.clone())).or_default() += units;
        }
        for (sku, balance) in &balances {
            let held = reserved.remove(sku).unwrap_or(0);
            if held != int(&balance["reserved"]) {
                return Err(format!(
                    "L5: {sku} at {id}: reservations come to {held}, the balance says {balance}"
                ));
            }
            *books.on_hand.entry(sku.clone()).or_default() += int(&balance["on_hand"]);
            *books.reserved.entry(sku.clone()).or_default() += held;
            *available.entry(sku.clone()).or_default() += int(&balance["available"]);
        }
        if let Some(stray) = reserved.into_iter().find(|(_, units)| *units != 0) {
            return Err(format!("L5: {id} reserves what it never had: {stray:?}"));
        }
    }
    granted.retain(|_, units| *units != 0);
    if granted != owed {
        return Err(format!(
            "L5: locations reserve {granted:?}, orders believe {owed:?}"
        ));
    }
    for (sku, units) in available {
        let seen = client
            .get(format!("/v1/inventory/{sku}"))
            .expect(200)
            .await
            .json();
        if int(&seen["available"]) != units {
            return Err(format!(
                "{sku}: locations have {units} available, /v1/inventory says {seen}"
            ));
        }
    }
    Ok(books)
}

/// A location's balances, each checked against the movements that led to it.
async fn balances(client: &Client, location: &str) -> Counted<BTreeMap<String, Value>> {
    const COUNTED: [&str; 5] = ["on_hand", "reserved", "picked", "damaged", "safety_stock"];
    let mut sums: BTreeMap<String, [i64; 5]> = BTreeMap::new();
    for movement in client
        .all(&format!("/v1/locations/{location}/movements"), "movements")
        .await
    {
        let sum = sums.entry(text(&movement["sku"])).or_default();
        for (figure, sum) in COUNTED.iter().zip(sum) {
            *sum += int(&movement[format!("{figure}_delta")]);
        }
    }
    let mut balances = BTreeMap::new();
    for balance in client
        .all(&format!("/v1/locations/{location}/inventory"), "inventory")
        .await
    {
        let sku = text(&balance["sku"]);
        let said = COUNTED.map(|figure| int(&balance[figure]));
        let moved = sums.remove(&sku).unwrap_or_default();
        if said != moved {
            return Err(format!(
                "{sku} at {location}: movements sum to {moved:?}, the balance says {balance}"
            ));
        }
        let [on_hand, reserved, picked, damaged, safety_stock] = said;
        let sane = on_hand >= damaged && damaged >= 0 && reserved >= picked && picked >= 0;
        if !sane || int(&balance["available"]) != on_hand - damaged - reserved - safety_stock {
            return Err(format!("{sku} at {location}: {balance} cannot be"));
        }
        balances.insert(sku, balance);
    }
    if let Some(stray) = sums
        .into_iter()
        .find(|(_, sum)| sum.iter().any(|figure| *figure != 0))
    {
        return Err(format!(
            "{location}: movements of a SKU without a balance: {stray:?}"
        ));
    }
    Ok(balances)
}

fn units_add_up(order: &Value) -> Counted<()> {
    for line in list(&order["lines"]) {
        let units = &line["units"];
        let of = |name: &str| int(&units[name]);
        let states = [
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
        let sum: i64 = states.iter().map(|state| of(state)).sum();
        let fits = sum == int(&line["quantity"])
            && of("returned") <= of("delivered")
            && of("backordered") == int(&line["backordered"]);
        if !fits {
            return Err(format!(
                "a line's units do not add up in order {}: {line}",
                order["id"]
            ));
        }
    }
    Ok(())
}

fn money_balances(order: &Value) -> Counted<()> {
    let totals = &order["totals"];
    let of = |name: &str| amount(&totals[name]);
    let total = of("subtotal") - of("discounts") + of("shipping") + of("tax") + of("fees");
    let mut accounts: BTreeMap<String, i64> = BTreeMap::new();
    for entry in list(&order["ledger"]) {
        let moved = amount(&entry["amount"]);
        *accounts.entry(text(&entry["from"])).or_default() -= moved;
        *accounts.entry(text(&entry["to"])).or_default() += moved;
    }
    let account = |name: &str| accounts.get(name).copied().unwrap_or(0);
    let by_lines = |name: &str| {
        list(&order["lines"])
            .map(|line| amount(&line["amounts"][name]))
            .sum::<i64>()
    };
    let fits = total == of("total")
        && of("balance_due") == total - of("captured") + of("refunded")
        && account("receivable") == of("balance_due")
        && account("cash") + account("refunds") == of("captured") - of("refunded")
        && by_lines("subtotal") == of("subtotal")
        && by_lines("discounts") == of("discounts")
        && by_lines("tax") == of("tax");
    if fits {
        Ok(())
    } else {
        Err(format!(
            "L6: the money of order {} does not balance: {order}",
            order["id"]
        ))
    }
}

/// The order's status, by the table of the vocabulary.
fn status_follows(order: &Value) -> Counted<()> {
    let units = |line: &Value, names: &[&str]| -> i64 {
        let of_name = |name: &&str| int(&line["units"][*name]);
        names.iter().map(of_name).sum()
    };
    let lines = || list(&order["lines"]);
    let sum = |names: &[&str]| -> i64 { lines().map(|line| units(line, names)).sum() };
    let physical = |names: &[&str]| -> i64 {
        let physical = lines().filter(|line| line["kind"] == "physical");
        physical.map(|line| units(line, names)).sum()
    };
    let open = sum(&[
        "unsourced",
        "backordered",
        "allocated",
        "picked",
        "packed",
        "shipped",
    ]);
    let status = order["status"].as_str().unwrap_or_default();
    let fits = match status {
        "cancelled" => open == 0 && sum(&["delivered", "lost"]) == 0,
        "completed" => open == 0 && sum(&["delivered", "lost"]) > 0,
        // Units that were picked may be put back by a cancellation: then only the past tells.
        "in_fulfillment" => open > 0,
        _ if open == 0 || physical(&["picked", "packed", "shipped", "delivered"]) > 0 => false,
        "placed" | "sourcing" => sum(&["unsourced"]) > 0,
        "backordered" => sum(&["unsourced"]) == 0 && sum(&["backordered"]) > 0,
        "allocated" => sum(&["unsourced", "backordered"]) == 0,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("L7: status {status} does not follow from {order}"))
    }
}

/// What the order believes to be reserved for it.
fn promises(order: &Value, owed: &mut Promises) -> Counted<()> {
    let ids: Vec<String> = list(&order["lines"])
        .map(|line| text(&line["line"]))
        .collect();
    for fulfillment_order in list(&order["fulfillment_orders"]) {
        for line in list(&fulfillment_order["lines"]) {
            let of = |name: &str| int(&line[name]);
            let inside = of("open") + of("picked") + of("packed");
            if of("quantity") != inside + of("shipped") + of("cancelled") + of("short") {
                return Err(format!(
                    "a fulfillment order's units do not add up: {fulfillment_order}"
                ));
            }
            let index = ids.iter().position(|id| *id == text(&line["line"]));
            let index = index
                .ok_or_else(|| format!("a fulfillment order of no line: {fulfillment_order}"))?;
            if inside > 0 {
                let key = (
                    text(&order["id"]),
                    index as u64,
                    text(&fulfillment_order["location"]),
                );
                *owed.entry(key).or_default() += inside;
            }
        }
    }
    Ok(())
}

/// What one unit of a line is made of.
fn parts(line: &Value) -> Vec<(String, i64)> {
    let components: Vec<(String, i64)> = list(&line["components"])
        .map(|part| (text(&part["sku"]), int(&part["quantity"])))
        .collect();
    if components.is_empty() {
        vec![(text(&line["sku"]), 1)]
    } else {
        components
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

fn int(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("not a whole number: {value}"))
}
