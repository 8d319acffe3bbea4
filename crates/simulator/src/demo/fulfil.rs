//! What staff and carriers do with an order: accept or reject, pick, pack, ship, scan.
//!
//! In: an order as it is. Out: what was done. Every step is taken from the order's present state and
//! its key from that state too, so that a step taken twice is one step. A few orders, always the
//! same ones, are rejected or come up short.

use http::Method;
use serde_json::{Value, json};

use super::places::stable;
use super::stock::{CARRIER_ABROAD, CARRIER_HOME, SERVICE};
use crate::http::{Client, ClientError, encoded};

/// One of this many orders is rejected by the first location.
const REJECTED_OF: u64 = 40;
/// One of this many orders has a unit that is not found on the shelf.
const SHORT_OF: u64 = 25;
/// One of this many shipments is delivered without a signature.
const UNSIGNED_OF: u64 = 10;
/// How often an order is looked at again in one go: what is rejected or short is sourced elsewhere.
const LOOKS_MAX: u32 = 3;

/// An answer that is a success, or the server's refusal.
pub(super) enum Outcome {
    /// The body.
    Done(Value),
    /// The problem's code, and its words.
    Refused(String, String),
}

/// Sends, and tells a refusal from a failure to get any answer.
pub(super) async fn ask(
    client: &Client,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<Outcome, ClientError> {
    let answer = client
        .call(Method::POST, path, Some(key), Some(body))
        .await?;
    let value = answer.json();
    if answer.status.is_success() {
        return Ok(Outcome::Done(value));
    }
    let status = answer.status.as_u16().to_string();
    // What is wrong in the body says more than that something is.
    let code = value["errors"][0]["code"]
        .as_str()
        .or(value["code"].as_str());
    let code = code.unwrap_or(&status).to_owned();
    let item = value["errors"]
        .get(0)
        .map(|item| format!(" {item}"))
        .unwrap_or_default();
    let words = format!(
        "POST {path}: {code}: {}{item}",
        value["detail"].as_str().unwrap_or_default()
    );
    Ok(Outcome::Refused(code, words))
}

/// An order to be worked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    /// The order.
    pub(super) order: &'a str,
    /// Its invoice, by which the exceptions are drawn.
    pub(super) invoice: &'a str,
    /// When, in the file's time.
    pub(super) at: &'a str,
    /// Whether shipments are delivered, too.
    pub(super) deliver: bool,
    /// Whether things may go wrong.
    pub(super) mishaps: bool,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    pub(super) steps: u64,
    pub(super) rejects: u64,
    pub(super) short_picks: u64,
    /// Whether nothing is left to do, ever.
    pub(super) over: bool,
    /// What the server refused.
    pub(super) refusals: Vec<String>,
}

/// Does what can be done with an order now.
pub(super) async fn fulfil(client: &Client, work: Work<'_>) -> Result<Done, ClientError> {
    let mut done = Done::default();
    for _ in 0..LOOKS_MAX {
        let order = client
            .get(&format!("/v1/orders/{}", encoded(work.order)))
            .await?;
        done.over = is_over(&order);
        let before = done.steps;
        for fulfillment in list(&order, "fulfillment_orders") {
            if matches!(text(fulfillment, "status"), "open" | "in_progress") {
                serve(
                    client,
                    &work,
                    fulfillment,
                    text(&order["ship_to"], "country"),
                    &mut done,
                )
                .await?;
            }
        }
        for shipment in list(&order, "shipments") {
            scan(client, &work, shipment, &mut done).await?;
        }
        if done.over || done.steps == before {
            break;
        }
    }
    Ok(done)
}

fn is_over(order: &Value) -> bool {
    matches!(text(order, "status"), "completed" | "cancelled")
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

pub(super) fn units(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

async fn serve(
    client: &Client,
    work: &Work<'_>,
    fulfillment: &Value,
    country: &str,
    done: &mut Done,
) -> Result<(), ClientError> {
    let id = text(fulfillment, "id");
    let step = async |name: &str,
                      body: Value,
                      done: &mut Done,
                      state: &Value|
           -> Result<Option<Value>, ClientError> {
        let key = format!(
            "demo-{id}-{name}-{:016x}",
            stable(&state["lines"].to_string())
        );
        match ask(
            client,
            &format!("/v1/fulfillment-orders/{id}/{name}"),
            &key,
            &body,
        )
        .await?
        {
            Outcome::Done(value) => {
                done.steps += 1;
                Ok(Some(value))
            }
            Outcome::Refused(_, words) => {
                done.refusals.push(words);
                Ok(None)
            }
        }
    };
    let chance = stable(work.invoice);
    let first = work.mishaps && id.ends_with("-f1");
    let mut now = fulfillment.clone();
    if fulfillment["accepted"] != true {
        if first && chance.is_multiple_of(REJECTED_OF) {
            let rejected = step("reject", json!({"reason": "no_capacity"}), done, &now).await?;
            done.rejects += u64::from(rejected.is_some());
            return Ok(());
        }
        let Some(accepted) = step("accept", json!({}), done, &now).await? else {
            return Ok(());
        };
        now = accepted;
    }
    if list(&now, "lines").any(|line| units(line, "open") > 0) {
        let (body, short) = picks(&now, first && chance % SHORT_OF == 1);
        let Some(picked) = step("pick", body, done, &now).await? else {
            return Ok(());
        };
        done.short_picks += u64::from(short);
        now = picked;
    }
    if list(&now, "lines").any(|line| units(line, "picked") > 0) {
        let Some(packed) = step("pack", json!({}), done, &now).await? else {
            return Ok(());
        };
        now = packed;
    }
    if list(&now, "packages").any(|package| package["shipment"].is_null()) {
        let carrier = if matches!(country, "GB" | "JE") {
            CARRIER_HOME
        } else {
            CARRIER_ABROAD
        };
        let body = json!({"carrier": carrier, "service": SERVICE});
        step("ship", body, done, &now).await?;
    }
    Ok(())
}

/// Everything is found, or one unit of the first line that has two is not.
fn picks(fulfillment: &Value, may_be_short: bool) -> (Value, bool) {
    let mut short = false;
    let lines: Vec<Value> = list(fulfillment, "lines")
        .filter(|line| units(line, "open") > 0)
        .map(|line| {
            let open = units(line, "open");
            let missing = u64::from(may_be_short && !short && open > 1);
            short |= missing > 0;
            json!({"line": line["line"], "quantity": open - missing, "short": missing})
        })
        .collect();
    (json!({ "lines": lines }), short)
}

async fn scan(
    client: &Client,
    work: &Work<'_>,
    shipment: &Value,
    done: &mut Done,
) -> Result<(), ClientError> {
    // Without a number the carrier has not answered yet: the next look finds it.
    let (number, status) = (text(shipment, "tracking_number"), text(shipment, "status"));
    if number.is_empty() {
        return Ok(());
    }
    let mut scans = Vec::new();
    if matches!(status, "created" | "packed" | "shipped") {
        scans.push("in_transit");
    }
    let on_its_way = matches!(status, "in_transit" | "out_for_delivery") || !scans.is_empty();
    if on_its_way && work.deliver {
        scans.push("delivered");
    }
    for status in scans {
        let mut body = json!({"tracking_number": number, "status": status, "occurred_at": work.at});
        if status == "delivered" && !stable(number).is_multiple_of(UNSIGNED_OF) {
            body["signature"] = "A. Customer".into();
        }
        match ask(
            client,
            "/v1/tracking-events",
            &format!("demo-{number}-{status}"),
            &body,
        )
        .await?
        {
            Outcome::Done(_) => done.steps += 1,
            Outcome::Refused(_, words) => done.refusals.push(words),
        }
    }
    Ok(())
}
