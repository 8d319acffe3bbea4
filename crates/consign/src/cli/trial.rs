//! Trials of a sourcing strategy as `consign strategy` starts and shows them.

use consign_simulator::Client;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::strategy::ask;

/// What can be done about trials.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Lets a version decide about every order after the active one did, and only counts what would come of it.
    Shadow {
        /// Its version; 0 is built in.
        number: u32,
    },
    /// Lets a version decide about a share of orders, until a guardrail is broken.
    Canary(Canary),
    /// The trial that runs with its figures, and those that ended, newest first, with why.
    Trial,
    /// Ends the trial that runs.
    Stop {
        /// Why, for those who read it later.
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Action {
    /// Does it; gives what the node said.
    pub(crate) async fn act(&self, client: &Client) -> anyhow::Result<Value> {
        let (path, body) = match self {
            Action::Trial => return all(client).await,
            Action::Shadow { number } => (format!("/v1/strategies/{number}/shadow"), json!({})),
            Action::Canary(canary) => canary.request(),
            Action::Stop { reason } => (
                "/v1/strategies/trial/stop".to_owned(),
                json!({"reason": reason}),
            ),
        };
        ask(client, Method::POST, &path, Some(&body)).await
    }
}

/// A version on a share of orders.
#[derive(Debug, clap::Args)]
pub(crate) struct Canary {
    /// Its version; 0 is built in.
    number: u32,
    /// How many orders it decides about, as `5%`: 0.1% to 99.9%.
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    share: u32,
    /// What a unit may cost, of what it costs the active version, as `110%`.
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    cost_max: Option<u32>,
    /// Decisions that may come to more than one shipment, as `10%`.
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    split_max: Option<u32>,
    /// Reservations that locations may refuse, as `5%`.
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    refusal_max: Option<u32>,
    /// Units that may find no location, as `2%`.
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    short_max: Option<u32>,
    /// Microseconds that 99 of 100 decisions may take.
    #[arg(long, value_name = "MICROSECONDS")]
    decision_us_max: Option<u32>,
    /// Decisions of both versions before anything is judged.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    decisions_min: u32,
}

impl Canary {
    /// Where to ask for it, and how.
    fn request(&self) -> (String, Value) {
        let guardrails = json!({
            "cost_permille_max": self.cost_max,
            "split_permille_max": self.split_max,
            "refusal_permille_max": self.refusal_max,
            "short_permille_max": self.short_max,
            "decision_us_p99_max": self.decision_us_max,
            "decisions_min": self.decisions_min,
        });
        (
            format!("/v1/strategies/{}/canary", self.number),
            json!({"share_permille": self.share, "guardrails": guardrails}),
        )
    }
}

/// `5%`, `0.5 %`: thousandths.
fn permille(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no percentage with at most one decimal, like 5% or 0.5%");
    let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(tenths) || tenths.len() != 1 {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let tenths: u32 = tenths.parse().map_err(|_| wrong())?;
    let all = whole
        .checked_mul(10)
        .and_then(|all| all.checked_add(tenths));
    all.ok_or_else(wrong)
}

/// The trial that runs with its figures, `null` when none does, and those that ended.
async fn all(client: &Client) -> anyhow::Result<Value> {
    let path = "/v1/strategies/trial";
    let answer = client.call::<Value>(Method::GET, path, None, None).await?;
    let running = match answer.status {
        StatusCode::NOT_FOUND => Value::Null,
        _ => ask(client, Method::GET, path, None).await?,
    };
    let said = ask(client, Method::GET, "/v1/strategies/trials", None).await?;
    let trials = said["trials"].as_array().into_iter().flatten();
    let ended = trials.filter(|trial| trial["running"] == false);
    let ended: Vec<&Value> = ended.collect();
    Ok(json!({"running": running, "ended": ended}))
}

/// For people: a trial, or all of them.
pub(crate) fn text_of(said: &Value) -> String {
    if said["trial"].is_u64() {
        return lines_of(said);
    }
    let running = match &said["running"] {
        Value::Null => "No trial runs.".to_owned(),
        running => lines_of(running),
    };
    let ended = said["ended"].as_array().into_iter().flatten().map(lines_of);
    let all: Vec<String> = [running].into_iter().chain(ended).collect();
    all.join("\n")
}

/// A trial: a line, and its figures where they are known.
fn lines_of(trial: &Value) -> String {
    let text = |key: &str| trial[key].as_str().unwrap_or_default();
    let how = match trial["share_permille"].as_u64() {
        Some(share) => format!("on {}.{} % of orders", share / 10, share % 10),
        None => "in shadow".to_owned(),
    };
    let mut told = format!(
        "{:>4}  version {} beside version {}, {how}, since {} by {}",
        trial["trial"].as_u64().unwrap_or_default(),
        trial["version"],
        trial["beside"],
        text("started_at"),
        text("started_by")
    );
    if trial["running"] == false {
        let outcome = text("outcome").replace('_', " ");
        let (at, by, reason) = (text("ended_at"), text("ended_by"), text("reason"));
        told.push_str(&format!(", {outcome} {at} by {by}: {reason}"));
    }
    let figures = &trial["figures"];
    if figures.is_object() {
        let of = |arm: &str| line_of(&figures[arm]);
        told.push_str(&format!("\n      tried:  {}", of("tried")));
        told.push_str(&format!("\n      active: {}", of("active")));
        let node = &figures["node"];
        told.push_str(&match trial["mode"].as_str() {
            Some("shadow") => format!(
                "\n      {} plans differ, {} decisions passed over, on node {node}",
                figures["differing"], figures["passed_over"]
            ),
            _ => format!("\n      on node {node}"),
        });
    }
    told
}

/// The figures of a version in a line.
fn line_of(arm: &Value) -> String {
    let count = |key: &str| arm[key].as_u64().unwrap_or_default();
    let percent = |part: u64, all: u64| {
        let permille = (part * 1_000 + all / 2).checked_div(all).unwrap_or(0);
        format!("{}.{} %", permille / 10, permille % 10)
    };
    let cost = match &arm["cost_per_unit"] {
        Value::Null => "-".to_owned(),
        cost => cost.to_string(),
    };
    format!(
        "{} decisions, {cost} a unit, {} split, {} of units short, {} refused, 99 of 100 within {} µs",
        count("decisions"),
        percent(count("split"), count("decisions")),
        percent(count("short"), count("short") + count("served")),
        percent(count("refused"), count("refused") + count("granted")),
        count("decision_us_p99"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_thousandths() {
        assert_eq!(permille("5%"), Ok(50));
        assert_eq!(permille("0.5 %"), Ok(5));
        assert_eq!(permille("110%"), Ok(1_100));
        for wrong in [
            "5",
            "%",
            ".5%",
            "0.55%",
            "-5%",
            "5.%",
            "99999999999%",
            "five%",
        ] {
            assert!(permille(wrong).is_err(), "{wrong}");
        }
    }
}
