//! `consign cluster`: how a cluster stands, and its shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use consign_simulator::http::Answer;
use consign_simulator::{Authority, Client};
use http::Method;
use serde_json::{Value, json};

use crate::cli::node_options;
use crate::exit::Failure;
use crate::token_file;

/// How often a change that takes long is asked for again.
const ASKED_MAX: u32 = 60;

/// Shows a cluster, and changes its shape while traffic flows.
///
/// Any node may be asked. A change is made partition by partition and can be asked for again at any
/// time: what is done already is found done. A new node is started first, with the numbers and
/// addresses of all nodes and its own in its configuration, then joined; one that goes is drained
/// first, then stopped. A dead one is removed.
///
/// Where nodes have an admin port (`admin.listen`), that is the target for changes, and a token of its
/// `admin.token_file` is presented: the first one in the file of `--token-file`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  consign cluster --target http://127.0.0.1:8080 status
  consign cluster --target http://127.0.0.1:8080 join 4 10.0.0.4:9080
  consign cluster --target http://127.0.0.1:8080 drain 2
  consign cluster --target http://127.0.0.1:8080 transfer-leader 0 3
  consign cluster --target http://127.0.0.1:9180 --token-file admin.token drain 2
  consign cluster --target https://node-1:9180 --authority authority.pem --token-file admin.token status

  ssh -N -L 9180:127.0.0.1:9180 node-1 &     the admin port of another machine, as a local one")]
pub(crate) struct Cluster {
    /// A node: http://host:port, or https://host:port with --authority.
    #[arg(
        long,
        value_name = "URL",
        global = true,
        default_value = "http://127.0.0.1:8080"
    )]
    target: String,
    /// A file with a token for the admin port, as `consign token` makes it.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "CONSIGN_ADMIN_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// Whom the certificate of an https target must come from: a PEM file with one certificate or more.
    ///
    /// `authority.pem` of `consign certs`, or the system's own, e.g. /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE", global = true)]
    authority: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Who leads what, and how far that node's replicas are.
    Status,
    /// Takes a node in that runs and waits for it.
    Join {
        /// Its number.
        node: u64,
        /// Where other nodes reach it, host:port.
        address: String,
    },
    /// Takes a node out that runs: it gives its leads away, then its replicas.
    Drain {
        /// Its number.
        node: u64,
    },
    /// Takes a node out that is dead and does not come back.
    Remove {
        /// Its number.
        node: u64,
    },
    /// Gives each partition to the node whose turn it is, now instead of in a few seconds.
    Rebalance,
    /// Has a node lead a partition. The even spread takes it back after a while.
    TransferLeader {
        /// The partition.
        partition: u16,
        /// The node.
        node: u64,
    },
}

impl Cluster {
    pub(crate) fn run(self) -> Result<(), Failure> {
        node_options::runtime(1)?.block_on(self.act())
    }

    async fn act(&self) -> Result<(), Failure> {
        let client = self.client()?;
        match &self.action {
            Action::Status => {}
            Action::Join { node, address } => {
                let body = json!({ "node": node, "address": address });
                self.change(&client, Method::POST, "/v1/cluster/members", Some(body))
                    .await?;
            }
            Action::Drain { node } | Action::Remove { node } => {
                let path = format!("/v1/cluster/members/{node}");
                self.change(&client, Method::DELETE, &path, None).await?;
            }
            Action::Rebalance => self.rebalance(&client).await?,
            Action::TransferLeader { partition, node } => {
                let body = json!({ "partition": partition, "node": node });
                self.change(&client, Method::POST, "/v1/cluster/leaders", Some(body))
                    .await?;
            }
        }
        let status = self.ask(&client, Method::GET, "/v1/cluster", None).await?;
        if self.json {
            println!("{status}");
        } else {
            print_status(&status);
        }
        Ok(())
    }

    /// A client of the target that shows the token, if there is one.
    fn client(&self) -> Result<Client, Failure> {
        let is_secure = self.target.starts_with("https://");
        let client = match &self.authority {
            Some(_) if !is_secure => {
                return Err(usage(
                    "--authority is for an https:// target: over http:// nobody vouches for whom the token is shown to",
                ));
            }
            None if is_secure => {
                return Err(usage(
                    "an https:// target wants --authority FILE: the PEM certificate of whoever has signed the admin port's, e.g. authority.pem of `consign certs`",
                ));
            }
            Some(path) => Client::secure(&self.target, authority(path)?),
            None => Client::new(&self.target),
        };
        let client = client.map_err(anyhow::Error::from)?;
        let Some(path) = &self.token_file else {
            return Ok(client);
        };
        let tokens = token_file::read(path).map_err(Failure::Usage)?;
        Ok(match tokens.first() {
            Some(first) => client.with_token(first),
            None => client,
        })
    }

    async fn ask(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = client.call(method, path, None, body).await;
        let answer = answer.map_err(anyhow::Error::from)?;
        match answer.status.is_success() {
            true => Ok(answer.json()),
            false => Err(self.refusal(&answer)),
        }
    }

    /// What a refusal means for whoever sits at the command line.
    fn refusal(&self, answer: &Answer) -> Failure {
        let (said, status, target) = (answer.json(), answer.status, &self.target);
        let token_file = self.token_file.as_ref().map(|path| path.display());
        let error = match (said["code"].as_str().unwrap_or_default(), token_file) {
            ("admin_token_missing", None) => anyhow::anyhow!(
                "{status}: {target} is an admin port and wants a token; name its file with --token-file FILE or CONSIGN_ADMIN_TOKEN_FILE"
            ),
            ("admin_token_unknown", Some(file)) => anyhow::anyhow!(
                "{status}: {target} does not know the first token of {file}; it must be in that node's admin.token_file, which is read again each second"
            ),
            ("admin_port_only", _) => {
                let port = &said["admin_port"];
                anyhow::anyhow!(
                    "{status}: {target} is for clients; the cluster is changed at that node's admin port, {port}: --target http://127.0.0.1:{port} --token-file FILE, on its machine or through `ssh -L {port}:127.0.0.1:{port}`; https:// and --authority FILE if it has a certificate"
                )
            }
            _ => {
                let detail = said["detail"].as_str().unwrap_or("it refuses");
                anyhow::anyhow!("{status}: {detail}")
            }
        };
        error.into()
    }

    /// Asks for a change until it is done everywhere.
    async fn change(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(), Failure> {
        for _ in 0..ASKED_MAX {
            let said = self
                .ask(client, method.clone(), path, body.as_ref())
                .await?;
            match said["partitions_left"].as_u64() {
                Some(0) | None => return Ok(()),
                Some(left) if !self.json => println!("{left} partitions are left"),
                Some(_) => {}
            }
        }
        Err(anyhow::anyhow!("not done everywhere yet; ask again").into())
    }

    async fn rebalance(&self, client: &Client) -> Result<(), Failure> {
        let status = self.ask(client, Method::GET, "/v1/cluster", None).await?;
        for partition in status["partitions"].as_array().into_iter().flatten() {
            let number = partition["partition"].as_u64().unwrap_or_default();
            let mut voters: Vec<u64> = numbers(&partition["voters"]);
            voters.sort_unstable();
            let nth = usize::try_from(number).unwrap_or_default() % voters.len().max(1);
            let Some(turn) = voters.get(nth) else {
                continue;
            };
            if partition["leader"].as_u64() != Some(*turn) {
                let body = json!({ "partition": number, "node": turn });
                self.change(client, Method::POST, "/v1/cluster/leaders", Some(body))
                    .await?;
            }
        }
        Ok(())
    }
}

fn usage(what: &'static str) -> Failure {
    Failure::Usage(anyhow::anyhow!(what))
}

fn authority(path: &Path) -> Result<Authority, Failure> {
    let read = std::fs::read_to_string(path).map_err(anyhow::Error::from);
    let authority = read.and_then(|text| Ok(Authority::from_pem(&text)?));
    let named = authority.with_context(|| format!("--authority {}", path.display()));
    named.map_err(Failure::Usage)
}

fn numbers(list: &Value) -> Vec<u64> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_u64).collect()
}

fn print_status(status: &Value) {
    if status["taken_out"] == true {
        let partitions = status["partitions"].as_array().into_iter().flatten();
        let count = partitions.clone().count();
        let out = partitions.filter(|it| it["taken_out"] == true).count();
        println!(
            "node {} has been taken out of the cluster ({out} of {count} partitions) and refuses clients; this is what it saw last:\n",
            status["node"]
        );
    }
    if status["disk_unknown"] == true {
        println!(
            "node {} stands on another disk than the one by which the others know it, and refuses clients\n",
            status["node"]
        );
    }
    for node in numbers(&status["other_disks"]) {
        println!("node {node} comes with another disk: nothing of it counts\n");
    }
    let mut leads: BTreeMap<u64, usize> = BTreeMap::new();
    println!("partition  leader  term  voters        entries  applied here");
    for partition in status["partitions"].as_array().into_iter().flatten() {
        let leader = partition["leader"].as_u64();
        if let Some(leader) = leader {
            *leads.entry(leader).or_default() += 1;
        }
        let voters: Vec<String> = numbers(&partition["voters"])
            .iter()
            .map(u64::to_string)
            .collect();
        println!(
            "{:>9}  {:>6}  {:>4}  {:<12}  {:>7}  {:>12}",
            partition["partition"],
            leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            partition["term"],
            voters.join(", "),
            partition["last_index"],
            partition["applied_index"],
        );
    }
    println!();
    for member in status["members"].as_array().into_iter().flatten() {
        let node = member["node"].as_u64().unwrap_or_default();
        let address = member["address"].as_str().unwrap_or_default();
        let count = leads.get(&node).copied().unwrap_or_default();
        println!("node {node} at {address} leads {count}");
    }
}
