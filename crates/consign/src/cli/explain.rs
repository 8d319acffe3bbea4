//! `consign explain` and `consign replay-decision`: why an order is served from where it is, and whether
//! the same would be decided again.

use consign_simulator::Client;
use http::Method;
use serde_json::{Value, json};

use crate::cli::node_options;
use crate::cli::strategy::ask;
use crate::exit::Failure;

/// An order, and whom to ask about it.
#[derive(Debug, clap::Args)]
struct OfOrder {
    /// The order's id.
    order: String,
    /// Any node.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl OfOrder {
    /// Its decisions, each with what is recomputed of it.
    async fn explanation(&self) -> anyhow::Result<Value> {
        let client = Client::new(&self.target)?;
        let path = format!("/v1/orders/{}/explanation", self.order);
        ask(&client, Method::GET, &path, None).await
    }
}

/// Says why an order is served from where it is: each sourcing decision, with every location and what
/// became of it, recomputed from what was recorded with the decision.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    of: OfOrder,
}

/// Decides again what was decided about an order, from what was recorded with each decision and by the
/// version of the strategy that made it, and says whether it comes out the same. Exit code 1 when not.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayDecision {
    #[command(flatten)]
    of: OfOrder,
}

impl ReplayDecision {
    pub(crate) fn run(self) -> Result<(), Failure> {
        node_options::runtime(1)?.block_on(self.replay())
    }

    async fn replay(&self) -> Result<(), Failure> {
        let said = self.of.explanation().await?;
        let decisions = said["decisions"].as_array().cloned().unwrap_or_default();
        let others = decisions.iter().filter(|it| it["repeats"] != true);
        let others: Vec<&Value> = others.map(|it| &it["round"]).collect();
        if self.of.json {
            let decided = decisions.len();
            println!("{}", json!({"decisions": decided, "not_repeated": others}));
        } else {
            for decision in &decisions {
                let (round, strategy) = (&decision["round"], &decision["strategy"]);
                let same = match decision["repeats"] == true {
                    true => "comes out the same",
                    false => "comes out otherwise",
                };
                println!("Decision {round}, by version {strategy} of the strategy, {same}.");
            }
        }
        match others.is_empty() {
            true => Ok(()),
            false => Err(anyhow::anyhow!(
                "{} of {} decisions come out otherwise",
                others.len(),
                decisions.len()
            )
            .into()),
        }
    }
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        node_options::runtime(1)?.block_on(self.show())
    }

    async fn show(&self) -> Result<(), Failure> {
        let said = self.of.explanation().await?;
        if self.of.json {
            println!("{said}");
            return Ok(());
        }
        let decisions = said["decisions"].as_array();
        for decision in decisions.into_iter().flatten() {
            println!("{}", decision["text"].as_str().unwrap_or_default());
        }
        if decisions.is_none_or(Vec::is_empty) {
            println!("Nothing of this order needs a location.");
        }
        Ok(())
    }
}
