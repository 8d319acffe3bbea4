//! The laws, counted once everything has healed: from outside, through every node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consign_tests::{Client, Shop, recount};
use serde_json::Value;
use tokio::time::Instant;

use crate::customers::{LOCATIONS, SKUS};
use crate::history::Records;
use crate::ledger;
use crate::network::client_of;

/// Orders by their ids.
type Orders = BTreeMap<String, Value>;

/// How long a cluster without faults may take until it serves.
const HEALS_WITHIN: Duration = Duration::from_secs(60);

/// Waits until every node serves.
///
/// # Errors
/// When one never does.
pub async fn until_all_serve(nodes: u64) -> Result<(), String> {
    let began = Instant::now();
    for node in 1..=nodes {
        let client = client_of(node);
        loop {
            let ready = client.get("/readyz").try_send().await;
            match ready {
                Ok(reply) if reply.status == 200 => break,
                other if began.elapsed() > HEALS_WITHIN => {
                    return Err(format!("node {node} does not serve: {other:?}"));
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
    Ok(())
}

/// Counts everything. `records` is what clients were told.
///
/// # Errors
/// The first law that is broken, with the evidence.
pub async fn judge(nodes: u64, records: &Records) -> Result<(), String> {
    if let Some(broken) = records.broken.first() {
        return Err(broken.clone());
    }
    let orders = same_everywhere(nodes, records).await?;
    for node in 1..=nodes {
        stock(&client_of(node), records).await?;
    }
    let client = client_of(1);
    for id in orders.keys() {
        history_is_whole(&client, id).await?;
    }
    Ok(())
}

/// All orders: every node shows the same, once nothing is under way any more.
async fn same_everywhere(nodes: u64, records: &Records) -> Result<Orders, String> {
    let began = Instant::now();
    loop {
        let mut seen: Vec<Orders> = Vec::new();
        for node in 1..=nodes {
            // L5, L6, L7, and the balances of L1: a book that does not come out panics.
            let books = recount(&client_of(node)).await;
            let orders = books.orders.into_iter();
            let orders: Orders = orders.map(|order| (text(&order["id"]), order)).collect();
            acknowledged_orders(&orders, records)?;
            seen.push(orders);
        }
        let same = seen.windows(2).all(|two| two[0] == two[1]);
        let mut orders = seen.iter().flat_map(BTreeMap::values);
        let under_way = orders.find(|order| order["status"] == "sourcing");
        if same && under_way.is_none() {
            return seen.pop().ok_or_else(|| "there is no node".to_owned());
        }
        if began.elapsed() > HEALS_WITHIN {
            return Err(match under_way {
                Some(order) => format!("nobody sources {order}"),
                None => format!("nodes show other orders than each other: {seen:?}"),
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// L2 and L3: what was acknowledged is there, as it was ordered, and once.
fn acknowledged_orders(orders: &Orders, records: &Records) -> Result<(), String> {
    let mut by_external: BTreeMap<String, &Value> = BTreeMap::new();
    for order in orders.values() {
        let external = text(&order["external_id"]);
        if let Some(other) = by_external.insert(external.clone(), order) {
            return Err(format!(
                "L3: {external} was placed twice, as {} and {}",
                other["id"], order["id"]
            ));
        }
        if !records.placed.contains_key(&external) {
            return Err(format!("nobody placed {order}"));
        }
    }
    for (external, placed) in &records.placed {
        let found = by_external.get(external);
        match (&placed.id, found) {
            (Some(id), None) => {
                return Err(format!(
                    "L2: order {id} ({external}) was acknowledged and is gone"
                ));
            }
            (Some(id), Some(found)) if text(&found["id"]) != *id => {
                return Err(format!("L3: {external} was {id}, and is {}", found["id"]));
            }
            (_, Some(found)) => {
                let mut units: BTreeMap<String, u64> = BTreeMap::new();
                for line in found["lines"].as_array().into_iter().flatten() {
                    *units.entry(text(&line["sku"])).or_default() +=
                        line["quantity"].as_u64().unwrap_or_default();
                }
                if units != placed.units {
                    return Err(format!(
                        "L2: {external} was {:?}, and is {found}",
                        placed.units
                    ));
                }
            }
            (None, None) => {}
        }
    }
    for id in records.cancelled.keys() {
        let order = orders.get(id).ok_or_else(|| format!("L2: {id} is gone"))?;
        let left = order["lines"].as_array().into_iter().flatten().any(|line| {
            let of = |state: &str| line["units"][state].as_i64().unwrap_or(0);
            ["unsourced", "backordered"]
                .iter()
                .any(|state| of(state) > 0)
        });
        if left {
            return Err(format!(
                "L2: {id} was cancelled, and waits for stock: {order}"
            ));
        }
    }
    Ok(())
}

/// L1, L2, L3 for stock, and linearizability.
async fn stock(client: &Client, records: &Records) -> Result<(), String> {
    for location in LOCATIONS {
        let path = format!("/v1/locations/{location}/movements");
        let movements = client.all(&path, "movements").await;
        for sku in SKUS {
            let of_sku: Vec<&Value> = movements.iter().filter(|m| m["sku"] == sku).collect();
            ledger::judge((location, sku), &of_sku, records)?;
        }
    }
    Ok(())
}

/// L2 and L7: every step of an order is in its history, once, and its status went forward only.
async fn history_is_whole(client: &Client, id: &str) -> Result<(), String> {
    let read = || async {
        let order = client.get(format!("/v1/orders/{id}"));
        order.expect(200).await.json()
    };
    // What waits for stock is sourced again when its time comes, also between two looks at it.
    let mut before = read().await;
    let (events, order) = loop {
        let events = format!("/v1/orders/{id}/events");
        let events = client.all(&events, "events").await;
        let after = read().await;
        if before["version"] == after["version"] {
            break (events, after);
        }
        before = after;
    };
    let versions: BTreeSet<u64> = events
        .iter()
        .filter_map(|e| e["version"].as_u64())
        .collect();
    let last = order["version"].as_u64().unwrap_or_default();
    let whole = versions.iter().copied().eq(1..=last) && versions.len() == events.len();
    if whole {
        Ok(())
    } else {
        Err(format!(
            "L7: the history of {id} has the versions {versions:?}: {events:?}, and it is {order}"
        ))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
