//! What a node is configured with: built-in defaults, under a TOML file, under `CONSIGN__…`
//! variables of the environment, under the command line.
//!
//! In: a file's path. Out: [`Settings`], or an error that names the key. A key that is not known
//! is refused together with the nearest known one: a misspelt bound must not silently be a
//! default. `cluster-config/template.toml` explains every setting; a test keeps it in step.

mod admin;
mod cluster;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use config::{Config, Environment, File, FileFormat};
use consign_gateway::GatewayOptions;
use consign_orchestrator::ConsignOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use admin::{AdminPort, AdminSettings};
pub(crate) use cluster::{ClusterSettings, is_address};

/// Variables of the environment that are settings start so: `CONSIGN__SERVER__PORT=80`.
const ENVIRONMENT_PREFIX: &str = "CONSIGN";
/// Stands between the prefix, the table and the key of such a variable.
const ENVIRONMENT_SEPARATOR: &str = "__";
/// A variable of the environment is one text; these settings are lists.
const LISTS: [&str; 1] = ["cluster.members"];
/// Stands between the entries of such a list: `CONSIGN__CLUSTER__MEMBERS=1=a:9080,2=b:9080`.
const LIST_SEPARATOR: &str = ",";
/// How alike two keys must be for one to be offered in place of the other (0 to 1).
const LIKENESS_MIN: f64 = 0.6;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) server: ServerSettings,
    pub(crate) storage: StorageSettings,
    pub(crate) runtime: RuntimeSettings,
    pub(crate) cluster: ClusterSettings,
    pub(crate) admin: AdminSettings,
    pub(crate) log: LogSettings,
}

/// The HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServerSettings {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) request_timeout_ms: u64,
    pub(crate) settle_timeout_ms: u64,
    pub(crate) requests_in_flight_max: usize,
    pub(crate) batch_lines_in_flight_max: usize,
}

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StorageSettings {
    pub(crate) data: PathBuf,
    pub(crate) partitions: u16,
    pub(crate) journal_bytes_max: u64,
    pub(crate) history_retention_days: u64,
    pub(crate) cache_bytes: usize,
}

/// The entities' runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RuntimeSettings {
    pub(crate) permits: usize,
    pub(crate) resident_max: usize,
    pub(crate) threads: usize,
}

/// The log on stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        let edge = GatewayOptions::default();
        ServerSettings {
            address: IpAddr::from([127, 0, 0, 1]),
            port: 8080,
            request_timeout_ms: in_ms(edge.request_timeout),
            settle_timeout_ms: in_ms(edge.settle_timeout),
            requests_in_flight_max: edge.requests_in_flight_max,
            batch_lines_in_flight_max: edge.batch_lines_in_flight_max,
        }
    }
}

impl Default for StorageSettings {
    fn default() -> StorageSettings {
        let options = ConsignOptions::new(PathBuf::from("data"));
        StorageSettings {
            data: options.data,
            partitions: options.partitions,
            journal_bytes_max: options.journal_bytes_max,
            history_retention_days: options.history_retention.as_secs() / SECONDS_PER_DAY,
            cache_bytes: options.cache_bytes,
        }
    }
}

impl Default for RuntimeSettings {
    fn default() -> RuntimeSettings {
        let options = ConsignOptions::new(PathBuf::new());
        RuntimeSettings {
            permits: options.permits,
            resident_max: options.resident_max,
            threads: 0,
        }
    }
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

const SECONDS_PER_DAY: u64 = 86_400;
/// No timeout is longer.
const DAY_MS: u64 = SECONDS_PER_DAY * 1_000;
/// Nothing that is counted in memory is more.
const COUNT_MAX: u64 = 1_000_000;
/// Each partition costs a little even when idle; a few per core are enough.
const PARTITIONS_MAX: u64 = 4_096;
/// No journal and no cache is larger.
const BYTES_MAX: u64 = 1 << 40;
/// A hundred years.
const RETENTION_DAYS_MAX: u64 = 36_600;

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Settings {
    /// Reads a file, if one is named, and the environment. `over` then sets what the command line
    /// says; only the outcome must make sense, not what it replaces.
    ///
    /// # Errors
    /// When the file cannot be read, a key is not known, or a value is not what its key takes.
    pub(crate) fn load(
        file: Option<&Path>,
        over: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Settings> {
        let environment = std::env::vars().collect();
        match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Settings::parse(&text, environment, over)
                    .with_context(|| path.display().to_string())
            }
            None => Settings::parse("", environment, over),
        }
    }

    fn parse(
        text: &str,
        environment: std::collections::HashMap<String, String>,
        over: impl FnOnce(&mut Settings),
    ) -> anyhow::Result<Settings> {
        let mut variables = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator(ENVIRONMENT_SEPARATOR)
            .separator(ENVIRONMENT_SEPARATOR)
            .try_parsing(true)
            .list_separator(LIST_SEPARATOR)
            .source(Some(environment));
        for list in LISTS {
            variables = variables.with_list_parse_key(list);
        }
        let read = Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(variables)
            .build()?;
        let given: Value = read.clone().try_deserialize()?;
        let known = serde_json::to_value(Settings::default())?;
        refuse_unknown(&given, &known, "")?;
        let mut settings: Settings = read.try_deserialize()?;
        over(&mut settings);
        settings.check()?;
        Ok(settings)
    }

    /// Refuses what would fail later, or never do anything.
    fn check(&self) -> anyhow::Result<()> {
        let (server, storage, runtime) = (&self.server, &self.storage, &self.runtime);
        let ranges: [(&str, u64, u64); 9] = [
            (
                "server.request_timeout_ms",
                server.request_timeout_ms,
                DAY_MS,
            ),
            ("server.settle_timeout_ms", server.settle_timeout_ms, DAY_MS),
            (
                "server.requests_in_flight_max",
                server.requests_in_flight_max as u64,
                COUNT_MAX,
            ),
            (
                "server.batch_lines_in_flight_max",
                server.batch_lines_in_flight_max as u64,
                COUNT_MAX,
            ),
            (
                "storage.partitions",
                u64::from(storage.partitions),
                PARTITIONS_MAX,
            ),
            (
                "storage.journal_bytes_max",
                storage.journal_bytes_max,
                BYTES_MAX,
            ),
            ("storage.cache_bytes", storage.cache_bytes as u64, BYTES_MAX),
            (
                "storage.history_retention_days",
                storage.history_retention_days,
                RETENTION_DAYS_MAX,
            ),
            ("runtime.permits", runtime.permits as u64, COUNT_MAX),
        ];
        for (key, value, most) in ranges {
            if !(1..=most).contains(&value) {
                bail!("{key} is {value} and must be from 1 to {most}");
            }
        }
        self.cluster.check()?;
        self.admin.check()
    }

    /// What the service is opened with.
    pub(crate) fn consign(&self) -> ConsignOptions {
        let storage = &self.storage;
        ConsignOptions {
            partitions: storage.partitions,
            permits: self.runtime.permits,
            journal_bytes_max: storage.journal_bytes_max,
            history_retention: Duration::from_secs(
                storage
                    .history_retention_days
                    .saturating_mul(SECONDS_PER_DAY),
            ),
            resident_max: self.runtime.resident_max,
            cache_bytes: storage.cache_bytes,
            ..ConsignOptions::new(storage.data.clone())
        }
    }

    /// How the HTTP interface behaves.
    pub(crate) fn gateway(&self) -> GatewayOptions {
        GatewayOptions {
            request_timeout: Duration::from_millis(self.server.request_timeout_ms),
            settle_timeout: Duration::from_millis(self.server.settle_timeout_ms),
            requests_in_flight_max: self.server.requests_in_flight_max,
            batch_lines_in_flight_max: self.server.batch_lines_in_flight_max,
            ..GatewayOptions::default()
        }
    }
}

/// Walks what was given beside what is known.
fn refuse_unknown(given: &Value, known: &Value, path: &str) -> anyhow::Result<()> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else {
        return Ok(());
    };
    for (key, value) in given {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match known.get(key) {
            Some(below) => refuse_unknown(value, below, &full)?,
            None => return Err(unknown_key(&full)),
        }
    }
    Ok(())
}

/// Says which key is not known, and which known one is nearest to it over all tables.
fn unknown_key(key: &str) -> anyhow::Error {
    let known = keys();
    let likeness = |other: &str| {
        // Half a name is nearer to the whole of it than to any other.
        let is_begun = other.starts_with(key) && !key.ends_with('.');
        let likeness = strsim::normalized_damerau_levenshtein(key, other);
        if is_begun { likeness + 1.0 } else { likeness }
    };
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|nearest| likeness(nearest) >= LIKENESS_MIN);
    match nearest {
        Some(nearest) => anyhow!("the setting {key} is not known; did you mean {nearest}?"),
        None => anyhow!(
            "the setting {key} is not known; there are {}",
            known.join(", ")
        ),
    }
}

/// Every key, as `table.key`.
fn keys() -> Vec<String> {
    let Ok(Value::Object(tables)) = serde_json::to_value(Settings::default()) else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (table, below) in &tables {
        keys.extend(
            below
                .as_object()
                .into_iter()
                .flat_map(|below| below.keys().map(|key| format!("{table}.{key}"))),
        );
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Settings::parse(text, variables.iter().map(owned).collect(), |_| {})
    }

    #[test]
    fn the_environment_is_over_the_file_and_the_file_over_the_defaults() {
        let settings = parse(
            "[server]\nport = 81\n[storage]\ndata = \"here\"",
            &[("CONSIGN__SERVER__PORT", "82"), ("OTHER__SERVER", "x")],
        )
        .expect("good settings");
        assert_eq!(settings.server.port, 82);
        assert_eq!(settings.storage.data, PathBuf::from("here"));
        assert_eq!(settings.runtime, RuntimeSettings::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let faults = [
            parse("[server]\nprot = 81", &[]),
            parse("", &[("CONSIGN__SERVER__PROT", "81")]),
        ];
        let said = format!(
            "{:#}",
            parse("[admin]\ntoken = 1", &[]).expect_err("unknown")
        );
        assert!(said.contains("did you mean admin.token_file?"), "{said}");
        for fault in faults {
            let said = format!("{:#}", fault.expect_err("unknown"));
            assert!(said.contains("server.prot"), "{said}");
            assert!(said.contains("did you mean server.port?"), "{said}");
        }
        let said = format!("{:#}", parse("[zzz]\nq = 1", &[]).expect_err("unknown"));
        assert!(said.contains("there are"), "{said}");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for text in [
            "[runtime]\npermits = 0",
            "[server]\nport = 70000",
            "[log]\nformat = \"xml\"",
            "[server]\nport = \"none\"",
            "[cluster]\nnode = 1",
            "[cluster]\nnode = -1",
            "[cluster]\nmembers = [1, {}]",
            "[admin]\nlisten = \"127.0.0.1:9180\"",
            "[admin]\nallow_plaintext = \"perhaps\"",
        ] {
            assert!(parse(text, &[]).is_err(), "{text}");
        }
    }

    /// One file serves all nodes, so what `--node` says is judged, not what stood in its place.
    #[test]
    fn the_command_line_says_which_node_before_that_is_judged() {
        let three = include_str!("../../../cluster-config/three-nodes.toml");
        let as_node = |node| {
            let over = |settings: &mut Settings| settings.cluster.node = node;
            Settings::parse(three, std::collections::HashMap::new(), over)
        };
        for node in 1..=3 {
            let settings = as_node(node).expect("good settings");
            let own = format!("127.0.0.1:{}", 9079 + node);
            assert_eq!(settings.cluster.listen_address().expect("good"), own);
            assert_eq!(settings.cluster.members().expect("good").len(), 3);
        }
        let said = format!("{:#}", as_node(4).expect_err("no such node"));
        assert!(said.contains("cluster.node is 4"), "{said}");
        let stranger = three.replace("\nnode = 0", "\nnode = 9");
        parse(&stranger, &[]).expect_err("no such node");
        let over = |settings: &mut Settings| settings.cluster.node = 1;
        Settings::parse(&stranger, std::collections::HashMap::new(), over).expect("replaced");
    }

    #[test]
    fn a_list_in_the_environment_is_separated_by_commas() {
        let variables = [
            ("CONSIGN__CLUSTER__NODE", "2"),
            ("CONSIGN__CLUSTER__MEMBERS", "1=a:9080, 2=b:9080"),
            // Only a list is taken apart.
            ("CONSIGN__LOG__LEVEL", "info,ractor=info"),
        ];
        let settings = parse("[cluster]\nmembers = [\"1=c:1\"]", &variables).expect("good");
        let members = [(1, "a:9080".to_owned()), (2, "b:9080".to_owned())];
        assert_eq!(settings.cluster.members().expect("good"), members);
        assert_eq!(settings.log.level, "info,ractor=info");
        let one = parse(
            "",
            &[
                ("CONSIGN__CLUSTER__NODE", "1"),
                ("CONSIGN__CLUSTER__MEMBERS", "1=a:1"),
            ],
        );
        assert_eq!(one.expect("good").cluster.members, ["1=a:1"]);
    }

    /// People copy the template; it must name every setting and say the true default.
    #[test]
    fn the_template_holds_every_setting_with_its_default() {
        let template = include_str!("../../../cluster-config/template.toml");
        assert_eq!(parse(template, &[]).expect("parses"), Settings::default());
        let table: toml::Table = template.parse().expect("TOML");
        for key in keys() {
            let (table_name, name) = key.split_once('.').expect("table.key");
            assert!(table[table_name].get(name).is_some(), "{key} is missing");
        }
        parse(include_str!("../../../cluster-config/one-node.toml"), &[]).expect("parses");
    }
}
