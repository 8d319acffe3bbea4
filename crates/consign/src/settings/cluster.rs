//! The table `[cluster]`: which node of which cluster this process is.
//!
//! In: the table as it was read. Out: the nodes by number, and where this one listens, or an error
//! that says what was given and what is expected. Opens no file and resolves no name: a name may
//! come to be known only after the node has started.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use consign_cluster::{WIRE_VERSION, WIRE_VERSION_OLDEST};
use consign_orchestrator::Timing;
use serde::{Deserialize, Serialize};

/// A quorum of more nodes than this answers no faster, and a group with so many is a slip.
const MEMBERS_MAX: usize = 64;
/// Nobody waits longer than a minute for a leader.
const TIMING_MS_MAX: u64 = 60_000;
/// A follower that missed one heartbeat or two has met a busy network, not a dead leader.
const HEARTBEATS_MISSED_MIN: u64 = 3;
/// How an error shows what a member looks like.
const MEMBER_EXPECTED: &str = r#""number=host:port", e.g. "1=10.0.0.1:9080""#;

/// The cluster that this node is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterSettings {
    /// 0 when it is part of none.
    pub(crate) node: u64,
    pub(crate) certificates: PathBuf,
    pub(crate) listen: String,
    pub(crate) members: Vec<String>,
    pub(crate) heartbeat_ms: u64,
    pub(crate) election_timeout_ms: u64,
    pub(crate) seal_after_ms: u64,
    pub(crate) wire_version_newest: u16,
}

impl Default for ClusterSettings {
    fn default() -> ClusterSettings {
        let timing = Timing::default();
        ClusterSettings {
            node: 0,
            certificates: PathBuf::from("certs"),
            listen: String::new(),
            members: Vec::new(),
            heartbeat_ms: super::in_ms(timing.heartbeat),
            election_timeout_ms: super::in_ms(timing.election),
            seal_after_ms: super::in_ms(timing.seal_after),
            wire_version_newest: WIRE_VERSION,
        }
    }
}

impl ClusterSettings {
    /// The nodes of the cluster when it is first started, by number, each with the `host:port`
    /// where other nodes reach it; this node is one of them.
    ///
    /// # Errors
    /// When a member cannot be understood, two of them contradict each other, there are none or
    /// too many, or this node is not among them.
    pub(crate) fn members(&self) -> anyhow::Result<Vec<(u64, String)>> {
        if self.members.is_empty() {
            bail!(
                "cluster.members is empty and must name every node, this one too, as {MEMBER_EXPECTED}"
            );
        }
        if self.members.len() > MEMBERS_MAX {
            let count = self.members.len();
            bail!("cluster.members names {count} nodes and may name {MEMBERS_MAX}");
        }
        let mut members: Vec<(u64, String)> = Vec::with_capacity(self.members.len());
        for given in &self.members {
            let (number, address) = member(given)?;
            if let Some((_, other)) = members.iter().find(|(known, _)| *known == number) {
                bail!("cluster.members names node {number} twice, as {other} and as {address}");
            }
            if let Some((other, _)) = members.iter().find(|(_, known)| *known == address) {
                bail!("cluster.members gives nodes {other} and {number} the same {address}");
            }
            members.push((number, address));
        }
        members.sort_unstable();
        if !members.iter().any(|(number, _)| *number == self.node) {
            let numbers: Vec<String> = members.iter().map(|(n, _)| n.to_string()).collect();
            bail!(
                "cluster.node is {} and cluster.members names only {}",
                self.node,
                numbers.join(", ")
            );
        }
        Ok(members)
    }

    /// The `host:port` where this node listens for other nodes.
    ///
    /// # Errors
    /// When it is none, or as for [`ClusterSettings::members`].
    pub(crate) fn listen_address(&self) -> anyhow::Result<String> {
        let given = self.listen.trim();
        if !given.is_empty() {
            host_of(given).with_context(|| {
                format!("cluster.listen is {given:?}; expected \"host:port\", or \"\" for the address in cluster.members")
            })?;
            return Ok(given.to_owned());
        }
        let own = self.members()?.into_iter().find(|(n, _)| *n == self.node);
        own.map(|(_, address)| address)
            .context("cluster.members does not name this node")
    }

    /// Refuses what would fail later, or never elect a leader. Nothing when the table is not used.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.node == 0 {
            return Ok(());
        }
        self.members()?;
        self.listen_address()?;
        if self.certificates.as_os_str().is_empty() {
            bail!(
                "cluster.certificates is empty and must be the directory that `consign certs` made"
            );
        }
        let newest = self.wire_version_newest;
        if !(WIRE_VERSION_OLDEST..=WIRE_VERSION).contains(&newest) {
            bail!(
                "cluster.wire_version_newest is {newest} and must be from {WIRE_VERSION_OLDEST} to {WIRE_VERSION}"
            );
        }
        self.check_timing()
    }

    fn check_timing(&self) -> anyhow::Result<()> {
        let timings = [
            ("cluster.heartbeat_ms", self.heartbeat_ms),
            ("cluster.election_timeout_ms", self.election_timeout_ms),
            ("cluster.seal_after_ms", self.seal_after_ms),
        ];
        for (key, value) in timings {
            if !(1..=TIMING_MS_MAX).contains(&value) {
                bail!("{key} is {value} and must be from 1 to {TIMING_MS_MAX}");
            }
        }
        let least = HEARTBEATS_MISSED_MIN * self.heartbeat_ms;
        for (key, value) in &timings[1..] {
            if *value < least {
                bail!(
                    "{key} is {value} and must be at least {least}, {HEARTBEATS_MISSED_MIN} times cluster.heartbeat_ms"
                );
            }
        }
        Ok(())
    }
}

/// Reads `number=host:port`.
fn member(given: &str) -> anyhow::Result<(u64, String)> {
    let expected = || format!("cluster.members has {given:?}; each must be {MEMBER_EXPECTED}");
    let (number, address) = given.split_once('=').with_context(expected)?;
    let (number, address) = (number.trim(), address.trim());
    let number = decimal(number).with_context(expected)?;
    if number == 0 {
        bail!("cluster.members has {given:?}; numbers begin with 1, as 0 is a node alone");
    }
    let host = host_of(address).with_context(expected)?;
    let names_no_host = |ip: IpAddr| ip.is_unspecified();
    if host.parse().is_ok_and(names_no_host) {
        bail!(
            "cluster.members has {given:?}; other nodes cannot reach {host}: that belongs in cluster.listen"
        );
    }
    Ok((number, address.to_owned()))
}

/// Whether other nodes could reach a node at this `host:port`.
pub(crate) fn is_address(given: &str) -> bool {
    let is_nowhere = |host: &str| host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    host_of(given).is_some_and(|host| !is_nowhere(host))
}

/// The host of `host:port`, an IPv6 address without its brackets; nothing when it is not that.
fn host_of(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let port = decimal(port)?;
    if port == 0 || port > u64::from(u16::MAX) {
        return None;
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().is_ok().then_some(inner);
    }
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!host.is_empty() && host.chars().all(is_of_a_name)).then_some(host)
}

/// Digits and nothing else; Rust's own reading would take a sign too.
fn decimal(text: &str) -> Option<u64> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node 1 of these.
    fn with(members: &[&str]) -> ClusterSettings {
        ClusterSettings {
            node: 1,
            members: members.iter().map(|&member| member.to_owned()).collect(),
            ..ClusterSettings::default()
        }
    }

    fn three() -> ClusterSettings {
        with(&["1=127.0.0.1:9080", "2=127.0.0.1:9081", "3=127.0.0.1:9082"])
    }

    #[track_caller]
    fn refused(settings: &ClusterSettings, with: &[&str]) {
        let said = format!("{:#}", settings.check().expect_err("refused"));
        for part in with {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }

    #[test]
    fn members_are_read_by_number() {
        let settings = with(&[
            "2 = [::1]:9081",
            "1=node-1.shop_a.example:80",
            "30=10.0.0.3:65535",
        ]);
        settings.check().expect("good settings");
        let members = settings.members().expect("good members");
        let expected = [
            (1, "node-1.shop_a.example:80".to_owned()),
            (2, "[::1]:9081".to_owned()),
            (30, "10.0.0.3:65535".to_owned()),
        ];
        assert_eq!(members, expected);
    }

    #[test]
    fn a_node_alone_does_not_look_at_the_rest() {
        let settings = ClusterSettings {
            node: 0,
            listen: "nonsense".to_owned(),
            heartbeat_ms: 0,
            ..with(&["nonsense"])
        };
        settings.check().expect("not used");
    }

    #[test]
    fn a_member_that_cannot_be_understood_is_shown_with_what_is_expected() {
        for given in [
            "",
            "1",
            "1:127.0.0.1:9080",
            "one=127.0.0.1:9080",
            "+1=127.0.0.1:9080",
            "=127.0.0.1:9080",
            "-1=127.0.0.1:9080",
            "99999999999999999999=127.0.0.1:9080",
            "1=127.0.0.1",
            "1=:9080",
            "1=127.0.0.1:0",
            "1=127.0.0.1:65536",
            "1=127.0.0.1:+80",
            "1=http://127.0.0.1:9080",
            "1=::1:9080",
            "1=[::1:9080",
            "1=[host]:9080",
            "1=a host:9080",
            "1=127.0.0.1:9080,2=127.0.0.1:9081",
        ] {
            refused(
                &with(&[given]),
                &[&format!("{given:?}"), "number=host:port"],
            );
        }
    }

    #[test]
    fn no_member_has_the_number_of_a_node_alone() {
        refused(
            &with(&["0=127.0.0.1:9080"]),
            &["0=127.0.0.1:9080", "begin with 1"],
        );
    }

    #[test]
    fn an_address_that_is_everywhere_and_nowhere_is_for_listening_only() {
        refused(&with(&["1=0.0.0.0:9080"]), &["0.0.0.0", "cluster.listen"]);
        refused(&with(&["1=[::]:9080"]), &["::", "cluster.listen"]);
        let everywhere = ClusterSettings {
            listen: "0.0.0.0:9080".to_owned(),
            ..three()
        };
        everywhere.check().expect("good settings");
        assert_eq!(everywhere.listen_address().expect("good"), "0.0.0.0:9080");
    }

    #[test]
    fn members_that_contradict_each_other_are_refused() {
        refused(
            &with(&["1=a:9080", "1=b:9080"]),
            &["node 1 twice", "a:9080", "b:9080"],
        );
        refused(
            &with(&["1=a:9080", "2=a:9080"]),
            &["1 and 2", "the same a:9080"],
        );
    }

    #[test]
    fn a_node_that_is_not_a_member_is_refused_with_those_that_are() {
        let stranger = ClusterSettings { node: 4, ..three() };
        refused(&stranger, &["cluster.node is 4", "1, 2, 3"]);
    }

    #[test]
    fn neither_none_nor_too_many_members_are_taken() {
        refused(
            &with(&[]),
            &["cluster.members is empty", "number=host:port"],
        );
        let many = |count: usize| ClusterSettings {
            members: (1..=count).map(|n| format!("{n}=host-{n}:9080")).collect(),
            ..with(&[])
        };
        many(64).check().expect("as many as may be");
        refused(&many(65), &["65", "64"]);
    }

    #[test]
    fn it_listens_where_it_is_told_or_where_others_reach_it() {
        let second = ClusterSettings { node: 2, ..three() };
        assert_eq!(second.listen_address().expect("good"), "127.0.0.1:9081");
        let lost = ClusterSettings {
            listen: "9081".to_owned(),
            ..second
        };
        refused(&lost, &["cluster.listen", "\"9081\"", "host:port"]);
    }

    #[test]
    fn certificates_are_somewhere() {
        let without = ClusterSettings {
            certificates: PathBuf::new(),
            ..three()
        };
        refused(&without, &["cluster.certificates", "consign certs"]);
    }

    #[test]
    fn only_versions_that_this_build_speaks_are_taken() {
        for newest in [WIRE_VERSION_OLDEST, WIRE_VERSION] {
            let held = ClusterSettings {
                wire_version_newest: newest,
                ..three()
            };
            held.check().expect("it is spoken");
        }
        for newest in [WIRE_VERSION_OLDEST - 1, WIRE_VERSION + 1] {
            let held = ClusterSettings {
                wire_version_newest: newest,
                ..three()
            };
            refused(
                &held,
                &["cluster.wire_version_newest", &newest.to_string(), "from 1"],
            );
        }
    }

    #[test]
    fn timings_are_within_bounds_and_leave_room_for_lost_heartbeats() {
        type Set = fn(&mut ClusterSettings, u64);
        let keys: [(&str, Set); 3] = [
            ("cluster.heartbeat_ms", |s, ms| s.heartbeat_ms = ms),
            ("cluster.election_timeout_ms", |s, ms| {
                s.election_timeout_ms = ms
            }),
            ("cluster.seal_after_ms", |s, ms| s.seal_after_ms = ms),
        ];
        for (key, set) in keys {
            for ms in [0, 60_001, u64::MAX] {
                let mut settings = three();
                set(&mut settings, ms);
                refused(&settings, &[key, &ms.to_string(), "from 1 to 60000"]);
            }
        }
        for (key, set) in &keys[1..] {
            let mut settings = three();
            set(&mut settings, 449);
            refused(&settings, &[key, "449", "at least 450", "3 times"]);
            set(&mut settings, 450);
            settings.check().expect("three times as long is enough");
        }
    }
}
