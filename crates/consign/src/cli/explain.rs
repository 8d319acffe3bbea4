//! `consign explain`: why an order is served from where it is.

use consign_simulator::Client;
use http::Method;

use crate::cli::node_options;
use crate::cli::strategy::ask;
use crate::exit::Failure;

/// Says why an order is served from where it is: each sourcing decision, with every location and what
/// became of it, recomputed from what was recorded with the decision.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The order's id.
    order: String,
    /// Any node.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        node_options::runtime(1)?.block_on(self.show())
    }

    async fn show(&self) -> Result<(), Failure> {
        let client = Client::new(&self.target).map_err(anyhow::Error::from)?;
        let path = format!("/v1/orders/{}/explanation", self.order);
        let said = ask(&client, Method::GET, &path, None).await?;
        if self.json {
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
