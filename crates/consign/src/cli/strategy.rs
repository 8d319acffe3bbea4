//! `consign strategy`: how orders are sourced, drafted from files, tried, activated, rolled back.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use consign_simulator::Client;
use http::Method;
use serde_json::{Value, json};

use crate::cli::node_options;
use crate::cli::trial;
use crate::exit::Failure;

/// Shows the sourcing strategies of a running node's cluster, and changes which one decides.
///
/// A strategy is a file in TOML or JSON (`cluster-config/strategies/` has some, `docs/sourcing.md` says what
/// may stand in it). A draft is checked and becomes the next version; it decides nothing until it is
/// activated. Each decision names the version that it was made by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign strategy draft cluster-config/strategies/nearest.toml
  consign strategy canary 1 --share 5% --cost-max 110%
  consign strategy trial
  consign strategy activate 1
  consign strategy list
  consign strategy rollback")]
pub(crate) struct Strategy {
    /// Any node.
    #[arg(
        long,
        value_name = "URL",
        global = true,
        default_value = "http://127.0.0.1:8080"
    )]
    target: String,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All versions, newest first, and which of them decides.
    List,
    /// What a version says, as JSON.
    Show {
        /// Its version; 0 is built in.
        number: u32,
    },
    /// Checks a strategy and keeps it as the next version.
    Draft {
        /// In TOML, or in JSON when its name ends so.
        file: PathBuf,
    },
    /// Lets a version decide from now on.
    Activate {
        /// Its version; 0 is built in.
        number: u32,
    },
    /// Lets the version decide again that did before the last activation.
    Rollback,
    #[command(flatten)]
    Trial(trial::Action),
}

impl Strategy {
    pub(crate) fn run(self) -> Result<(), Failure> {
        node_options::runtime(1)?.block_on(self.act())
    }

    async fn act(&self) -> Result<(), Failure> {
        let client = Client::new(&self.target).map_err(anyhow::Error::from)?;
        let all = "/v1/strategies";
        let said = match &self.action {
            Action::List => heads(&client).await?,
            Action::Show { number } => {
                let said = ask(&client, Method::GET, &format!("{all}/{number}"), None).await?;
                println!("{:#}", said["strategy"]);
                return Ok(());
            }
            Action::Draft { file } => {
                let strategy = read(file).map_err(Failure::Usage)?;
                ask(&client, Method::POST, all, Some(&strategy)).await?
            }
            Action::Activate { number } => {
                let path = format!("{all}/{number}/activate");
                ask(&client, Method::POST, &path, Some(&json!({}))).await?
            }
            Action::Rollback => {
                let path = format!("{all}/rollback");
                ask(&client, Method::POST, &path, Some(&json!({}))).await?
            }
            Action::Trial(action) => {
                let said = action.act(&client).await?;
                let text = if self.json {
                    said.to_string()
                } else {
                    trial::text_of(&said)
                };
                println!("{text}");
                return Ok(());
            }
        };
        if self.json {
            println!("{said}");
            return Ok(());
        }
        let versions = said["strategies"].as_array();
        for version in versions.map_or_else(|| vec![&said], |all| all.iter().collect()) {
            println!("{}", line_of(version));
        }
        Ok(())
    }
}

/// All versions, page after page.
async fn heads(client: &Client) -> anyhow::Result<Value> {
    let mut heads = Vec::new();
    let mut path = "/v1/strategies".to_owned();
    loop {
        let page = ask(client, Method::GET, &path, None).await?;
        heads.extend(page["strategies"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/strategies?cursor={cursor}"),
            None => return Ok(json!({ "strategies": heads })),
        }
    }
}

/// A version in a line.
fn line_of(version: &Value) -> String {
    let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
    let drafted = match version["drafted_at"].as_str() {
        Some(at) => format!("drafted {at} by {}", text("drafted_by")),
        None => "built in".to_owned(),
    };
    let active = match (
        version["active"].as_bool(),
        version["active_since"].as_str(),
    ) {
        (Some(true), Some(since)) => format!(", active since {since}"),
        (Some(true), None) => ", active".to_owned(),
        _ => String::new(),
    };
    format!(
        "{:>4}  {}  {drafted}{active}",
        version["version"],
        text("name")
    )
}

/// A strategy from a file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    if file
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("json"))
    {
        return serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"));
    }
    toml::from_str(&text).with_context(|| format!("{shown} is no TOML"))
}

/// Asks a node; a refusal is an error that names every fault.
pub(crate) async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let answer = client.call(method, path, None, body).await?;
    let said = answer.json();
    if answer.status.is_success() {
        return Ok(said);
    }
    let mut text = format!(
        "{}: {}",
        answer.status,
        said["detail"].as_str().unwrap_or("it refuses")
    );
    for fault in said["errors"].as_array().into_iter().flatten() {
        let part = |key: &str| fault[key].as_str().unwrap_or_default();
        text.push_str(&format!("\n  {}: {}", part("pointer"), part("detail")));
    }
    anyhow::bail!(text)
}
