//! The file's cancellations: of units that have not left, or as returns of those that were
//! delivered. What is under way is delivered first and then comes back.
//!
//! In: a line of an order and how many of its units are to be undone by now, in all. Out: how it was
//! done. The total, not the difference, is what is asked for, so that undoing again changes nothing.

use serde_json::{Value, json};

use super::fulfil::{Outcome, Work, ask, fulfil, list, text, units};
use crate::http::{Client, ClientError, encoded};

/// How often the order is looked at until its units can be undone.
const LOOKS_MAX: u32 = 5;

/// Units of a line that are to be undone.
#[derive(Clone, Debug)]
pub(super) struct Undo<'a> {
    /// The order as it would be worked on.
    pub(super) work: Work<'a>,
    /// The line's id.
    pub(super) line: String,
    /// Units undone when this is done, by this and by what came before.
    pub(super) total: u64,
    /// Differs from cancellation to cancellation.
    pub(super) key: String,
}

/// How it was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Undone {
    pub(super) units_cancelled: u64,
    /// Of those, the ones that were waiting for stock.
    pub(super) units_cancelled_backordered: u64,
    pub(super) units_returned: u64,
    pub(super) short_picks: u64,
    pub(super) rejects: u64,
    /// Why it could not be done, as code and words.
    pub(super) refused: Option<(String, String)>,
}

/// Undoes units of a line.
pub(super) async fn undo(client: &Client, undo: &Undo<'_>) -> Result<Undone, ClientError> {
    let path = format!("/v1/orders/{}", encoded(undo.work.order));
    let mut undone = Undone::default();
    for _ in 0..LOOKS_MAX {
        let order = client.get(&path).await?;
        let Some(line) = list(&order, "lines").find(|line| text(line, "line") == undo.line) else {
            undone.refused = Some((
                "line_not_found".to_owned(),
                format!("{path} has no line {}", undo.line),
            ));
            return Ok(undone);
        };
        let ledger = &line["units"];
        let missing = undo
            .total
            .saturating_sub(units(ledger, "cancelled") + units(ledger, "returned"));
        if missing == 0 {
            return Ok(undone);
        }
        let open: u64 = ["unsourced", "backordered", "allocated"]
            .iter()
            .map(|state| units(ledger, state))
            .sum();
        let delivered = units(ledger, "delivered") - units(ledger, "returned");
        let outcome = if open >= missing || (open > 0 && open + delivered >= missing) {
            cancel(client, undo, ledger, missing.min(open), &mut undone).await?
        } else if delivered >= missing {
            send_back(client, undo, &order, missing, &mut undone).await?
        } else {
            let work = Work {
                deliver: true,
                mishaps: false,
                ..undo.work
            };
            let done = fulfil(client, work).await?;
            undone.short_picks += done.short_picks;
            undone.rejects += done.rejects;
            continue;
        };
        if let Outcome::Refused(code, words) = outcome {
            undone.refused = Some((code, words));
            return Ok(undone);
        }
    }
    if undone.units_cancelled + undone.units_returned == 0 {
        undone.refused = Some((
            "never_delivered".to_owned(),
            format!("{path}: its units never arrive"),
        ));
    }
    Ok(undone)
}

async fn cancel(
    client: &Client,
    undo: &Undo<'_>,
    before: &Value,
    quantity: u64,
    undone: &mut Undone,
) -> Result<Outcome, ClientError> {
    let path = format!("/v1/orders/{}/cancel", encoded(undo.work.order));
    let body = json!({"reason": "customer_cancelled", "lines": [{"line": undo.line, "quantity": quantity}]});
    let outcome = ask(client, &path, &format!("{}-cancel", undo.key), &body).await?;
    if let Outcome::Done(order) = &outcome
        && let Some(line) = list(order, "lines").find(|line| text(line, "line") == undo.line)
    {
        undone.units_cancelled += quantity;
        let waiting = |ledger: &Value| units(ledger, "backordered");
        undone.units_cancelled_backordered +=
            waiting(before).saturating_sub(waiting(&line["units"]));
    }
    Ok(outcome)
}

async fn send_back(
    client: &Client,
    undo: &Undo<'_>,
    order: &Value,
    quantity: u64,
    undone: &mut Undone,
) -> Result<Outcome, ClientError> {
    let body = json!({
        "order": undo.work.order, "lines": [{"line": undo.line, "quantity": quantity}], "reason": "sent_back",
    });
    let opened = match ask(
        client,
        "/v1/returns",
        &format!("{}-return", undo.key),
        &body,
    )
    .await?
    {
        Outcome::Done(opened) => opened,
        refused @ Outcome::Refused(..) => return Ok(refused),
    };
    // It goes back to where it came from.
    let from = list(order, "fulfillment_orders")
        .find(|fulfillment| list(fulfillment, "lines").any(|line| text(line, "line") == undo.line))
        .map_or("", |fulfillment| text(fulfillment, "location"));
    let path = format!("/v1/returns/{}/receive", encoded(text(&opened, "id")));
    let body = json!({
        "location": from, "lines": [{"line": undo.line, "quantity": quantity, "disposition": "restocked"}],
    });
    let received = ask(client, &path, &format!("{}-receive", undo.key), &body).await?;
    if let Outcome::Done(_) = received {
        undone.units_returned += quantity;
    }
    Ok(received)
}
