//! The configuration: a TOML file, then the environment (`CONSIGN__NODE__DATA=…`), then the command
//! line. A key that does not exist is refused, and the nearest one that does is named.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use consign_orchestrator::ConsignOptions;
use serde::Deserialize;

/// A node's configuration. Every setting is explained in `cluster-config/template.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where data lies and how much of what is taken.
    pub node: NodeConfig,
    /// Where requests come in.
    pub http: HttpConfig,
}

/// Where data lies and how much of what is taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The data directory.
    pub data: PathBuf,
    /// Partitions; fixed when the directory is made.
    pub partitions: u16,
    /// Orders and other outside commands in flight at most.
    pub permits: usize,
    /// Journal that may pile up before a checkpoint, in MiB.
    pub journal_mib_max: u64,
    /// How long history is kept, in days.
    pub history_days: u64,
    /// Clean entity states kept in memory at most.
    pub resident_max: usize,
    /// Cache of each of the two databases, in MiB.
    pub cache_mib: usize,
}

/// Where requests come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The address to listen on.
    pub address: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let defaults = ConsignOptions::new(PathBuf::from("data"));
        NodeConfig {
            data: defaults.data,
            partitions: defaults.partitions,
            permits: defaults.permits,
            journal_mib_max: defaults.journal_bytes_max >> 20,
            history_days: defaults.history_retention.as_secs() / 86_400,
            resident_max: defaults.resident_max,
            cache_mib: defaults.cache_bytes >> 20,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { address: IpAddr::from([127, 0, 0, 1]), port: 8080 }
    }
}

/// Every key there is, for telling the nearest one to a wrong one.
const KEYS: [&str; 9] = [
    "node.data",
    "node.partitions",
    "node.permits",
    "node.journal_mib_max",
    "node.history_days",
    "node.resident_max",
    "node.cache_mib",
    "http.address",
    "http.port",
];

impl Config {
    /// Reads `file`, if there is one, and the environment over it.
    ///
    /// # Errors
    /// When the file cannot be read, a key does not exist, or a value is out of range.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Config> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("CONSIGN")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let raw = builder.add_source(environment).build().context("cannot read the configuration")?;
        let table: toml::Table = raw.clone().try_deserialize().context("cannot read the configuration")?;
        refuse_unknown(&table)?;
        let config: Config = raw.try_deserialize().context("cannot read the configuration")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let node = &self.node;
        let ranges: [(&str, u64, u64, u64); 5] = [
            ("node.partitions", u64::from(node.partitions), 1, 4_096),
            ("node.permits", node.permits as u64, 1, 1_000_000),
            ("node.journal_mib_max", node.journal_mib_max, 1, 65_536),
            ("node.history_days", node.history_days, 1, 36_600),
            ("node.cache_mib", node.cache_mib as u64, 1, 1 << 20),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                bail!("{key} is {value}, and must be from {least} to {most}");
            }
        }
        Ok(())
    }

    /// What the service is opened with.
    #[must_use]
    pub fn service(&self) -> ConsignOptions {
        let node = &self.node;
        ConsignOptions {
            data: node.data.clone(),
            partitions: node.partitions,
            permits: node.permits,
            journal_bytes_max: node.journal_mib_max << 20,
            history_retention: Duration::from_secs(node.history_days * 86_400),
            resident_max: node.resident_max,
            cache_bytes: node.cache_mib << 20,
        }
    }
}

fn refuse_unknown(table: &toml::Table) -> anyhow::Result<()> {
    for (section, value) in table {
        let Some(settings) = value.as_table() else {
            bail!("unknown setting `{section}`; {}", nearest(section));
        };
        for key in settings.keys() {
            let path = format!("{section}.{key}");
            if !KEYS.contains(&path.as_str()) {
                bail!("unknown setting `{path}`; {}", nearest(&path));
            }
        }
    }
    Ok(())
}

/// The key that takes the fewest edits to get to.
fn nearest(wrong: &str) -> String {
    let found = KEYS.iter().min_by_key(|key| edits(wrong, key)).expect("there are keys");
    format!("did you mean `{found}`? Every setting is explained in cluster-config/template.toml")
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).expect("writes");
        Config::load(Some(&path))
    }

    #[test]
    fn the_files_that_are_shipped_can_be_read() {
        for name in ["one-node.toml", "template.toml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-config").join(name);
            Config::load(Some(&path)).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }

    #[test]
    fn a_wrong_key_is_refused_with_the_nearest_right_one() {
        let error = load("[node]\npartition = 4").expect_err("no such key").to_string();
        assert!(error.contains("`node.partition`") && error.contains("`node.partitions`"), "{error}");
        let error = load("[htpp]\nport = 4").expect_err("no such section").to_string();
        assert!(error.contains("`http.port`"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let error = load("[node]\npartitions = 0").expect_err("none").to_string();
        assert!(error.contains("from 1 to 4096"), "{error}");
    }
}
