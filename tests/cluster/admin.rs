//! The admin port: who may change the cluster, and where.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use consign_tests::{Client, Node, Reply, addresses, eventually, file, run};
use serde_json::json;

use crate::{CONSIGN, Cluster, kept};

/// Two tokens, as while one replaces the other.
pub const TOKENS: [&str; 2] = [
    "new-0123456789abcdef0123456789abcdef",
    "old-fedcba9876543210fedcba9876543210",
];
/// What a node says once about its open port.
const WARNING: &str = "can change the cluster";

/// A file with these tokens, for its owner only.
pub fn token_file(dir: &Path, name: &str, tokens: &[&str]) -> &'static str {
    let path = file(dir, name, &tokens.join("\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    kept(path.to_str().expect("UTF-8").to_owned())
}

/// A client of a node's admin port, which its log names.
pub fn admin_of(node: &Node) -> Client {
    let log = node.log();
    let line = log.lines().find(|line| line.contains("admin port"));
    let line: serde_json::Value =
        serde_json::from_str(line.expect("the log names it")).expect("JSON");
    Client::new(
        line["address"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("an address"),
    )
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Every route of the admin port that wants a token refuses those who have none.
async fn refuses_strangers(admin: &Client) {
    let wants_bearer = |reply: &Reply| {
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{reply}");
    };
    let leaders = admin.post("/v1/cluster/leaders", &json!({"partition": 0, "node": 2}));
    let members = admin.post("/v1/cluster/members", &json!({"node": 4, "address": "a:1"}));
    for request in [
        admin.get("/v1/cluster"),
        admin.get("/metrics"),
        admin.get("/v1/orders"),
        admin.delete("/v1/cluster/members/3"),
        leaders,
        members,
    ] {
        let missing = request.clone().refused(401, "admin_token_missing").await;
        wants_bearer(&missing);
        let basic = request.clone().header("authorization", "Basic YTpi");
        basic.refused(401, "admin_token_missing").await;
        let near = format!("{}0", TOKENS[0]);
        let unknown = request.header("authorization", bearer(&near));
        let unknown = unknown.refused(401, "admin_token_unknown").await;
        wants_bearer(&unknown);
        assert!(!unknown.to_string().contains(&near), "it is not shown");
    }
    admin.get("/healthz").expect(200).await;
    admin.get("/readyz").expect(200).await;
}

/// The public port shows the cluster and changes it for nobody.
async fn shows_only(public: &Client, admin_port: u16) {
    public.get("/v1/cluster").expect(200).await;
    public.get("/metrics").expect(200).await;
    let leaders = json!({"partition": 0, "node": 2});
    for request in [
        public.post("/v1/cluster/leaders", &leaders),
        public.post("/v1/cluster/members", &json!("nonsense")),
        public.delete("/v1/cluster/members/3"),
    ] {
        let with_token = request.clone().header("authorization", bearer(TOKENS[0]));
        for request in [request, with_token] {
            let refused = request.refused(403, "admin_port_only").await.json();
            assert_eq!(refused["admin_port"], admin_port, "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_change_a_cluster_that_has_admin_ports() {
    let home = tempfile::tempdir().expect("a directory");
    let tokens = token_file(home.path(), "tokens", &TOKENS);
    let cluster = Cluster::start_with(&[
        ("CONSIGN__ADMIN__LISTEN", "127.0.0.1:0"),
        ("CONSIGN__ADMIN__TOKEN_FILE", tokens),
    ])
    .await;
    let node = &cluster.nodes[0];
    let admin = admin_of(node);
    refuses_strangers(&admin).await;
    shows_only(node, admin.address().port()).await;

    for token in TOKENS {
        let known =
            |request: consign_tests::Request| request.header("authorization", bearer(token));
        let stands = known(admin.get("/v1/cluster")).expect(200).await.json();
        assert_eq!(stands["members"].as_array().map(Vec::len), Some(3));
        known(admin.get("/v1/orders"))
            .refused(404, "route_not_found")
            .await;
        let nonsense = json!({"node": 0, "address": "a:1"});
        known(admin.post("/v1/cluster/members", &nonsense))
            .refused(422, "validation_failed")
            .await;
        let metrics = known(admin.get("/metrics")).expect(200).await;
        let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
        for (reason, count) in [("missing", 12), ("unknown", 6)] {
            let line = format!("consign_admin_refusals_total{{reason=\"{reason}\"}} {count}");
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
    by_command_line(node, &admin, home.path(), tokens).await;
    for node in &cluster.nodes {
        let log = node.log();
        assert!(!log.contains(WARNING), "{log}");
        for token in TOKENS {
            assert!(!log.contains(token), "a token is in the log");
        }
    }
    cluster.stop().await;
}

async fn by_command_line(node: &Node, admin: &Client, home: &Path, tokens: &str) {
    let (target, public) = (admin.url(), node.url());
    let with_tokens = ["--target", &target, "--token-file", tokens];
    let cluster = |options: &[&str], action: &[&str]| {
        let words = [&["cluster"], options, action].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let shown = run(CONSIGN, cluster(&with_tokens, &["status", "--json"])).await;
    let stands = shown.ok().json();
    let leads = |node: u64| {
        let partitions = stands["partitions"].as_array().expect("partitions");
        let led = partitions.iter().find(|p| p["leader"] == node);
        led.map_or(0, |p| p["partition"].as_u64().expect("a number"))
    };
    let moved = leads(1).to_string();
    let transfer = ["transfer-leader", &moved, "2"];
    run(CONSIGN, cluster(&with_tokens, &transfer)).await.ok();
    run(CONSIGN, cluster(&with_tokens, &["rebalance"]))
        .await
        .ok();

    // By the environment.
    let variable = format!("CONSIGN_ADMIN_TOKEN_FILE={tokens}");
    let words = cluster(&["--target", &target], &["status", "--json"]);
    let words = [variable, CONSIGN.to_owned()].into_iter().chain(words);
    let seen = run("env", words).await.ok().json();
    assert_eq!(seen["node"], 1, "{seen}");

    let unknown = token_file(home, "other", &["0123456789abcdef0123456789abcdef"]);
    let open = token_file(home, "open", &TOKENS);
    std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let refused = async |options: &[&str], action: &[&str], code: i32, said: &[&str]| {
        let ran = run(CONSIGN, cluster(options, action)).await;
        assert_eq!(ran.code, code, "{ran:?}");
        for part in said {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
        }
    };
    let without = ["--target", &target];
    let said = ["401", "--token-file", "CONSIGN_ADMIN_TOKEN_FILE"];
    refused(&without, &["status"], 1, &said).await;
    let with_unknown = ["--target", &target, "--token-file", unknown];
    let said = ["401", unknown, "admin.token_file"];
    refused(&with_unknown, &transfer, 1, &said).await;
    let at_public = ["--target", &public, "--token-file", tokens];
    let said = ["403", &target, "--token-file"];
    refused(&at_public, &transfer, 1, &said).await;
    let with_open = ["--target", &target, "--token-file", open];
    refused(&with_open, &["status"], 2, &["0644", "chmod 600"]).await;
    let seen = run(CONSIGN, cluster(&["--target", &public], &["status"])).await;
    assert!(seen.ok().out.contains("node 3 at"), "anybody may look");
}

/// Without `[admin]` all is as it was, but said.
#[tokio::test]
async fn a_node_without_admin_port_says_that_its_port_changes_the_cluster() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = kept(home.path().to_str().expect("UTF-8").to_owned());
    run(CONSIGN, ["certs", dir, "--nodes", "2"]).await.ok();
    let own = addresses(1)[0];
    let node = |address| {
        let settings = [
            ("CONSIGN__SERVER__ADDRESS", address),
            ("CONSIGN__CLUSTER__NODE", "1"),
            ("CONSIGN__CLUSTER__CERTIFICATES", dir),
            // The other one is never there; this one serves, and says so.
            (
                "CONSIGN__CLUSTER__MEMBERS",
                kept(format!("1={own},2=127.0.0.1:9")),
            ),
            ("CONSIGN__STORAGE__PARTITIONS", "1"),
        ];
        async move { Node::start_with(CONSIGN, &settings).await }
    };
    for (address, warnings) in [("0.0.0.0", 1), ("127.0.0.1", 0)] {
        let mut node = node(address).await;
        assert_eq!(node.log().matches(WARNING).count(), warnings, "{address}");
        let nonsense = json!({"node": 0, "address": "a:1"});
        node.post("/v1/cluster/members", &nonsense)
            .refused(422, "validation_failed")
            .await;
        node.kill().await;
    }
}

/// Writes the file as an operator should: whole, and private from the first moment.
fn put(dir: &Path, tokens: &str, text: &str, mode: u32) {
    let new = token_file(dir, "tokens.new", &[text]);
    std::fs::set_permissions(new, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    std::fs::rename(new, tokens).expect("both are there");
}

/// What a node answers who shows the token, once it is that.
async fn until_answered(admin: &Client, token: &str, status: u16) {
    eventually(&format!("{token} is answered {status}"), || async {
        let asked = admin.get("/v1/cluster");
        let reply = asked
            .header("authorization", bearer(token))
            .try_send()
            .await;
        (reply.ok()?.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_replaced_and_revoked_while_a_node_runs() {
    let home = tempfile::tempdir().expect("a directory");
    let [new, old] = TOKENS;
    let tokens = token_file(home.path(), "tokens", &[old]);
    let mut node = Node::start_with(
        CONSIGN,
        &[
            ("CONSIGN__ADMIN__LISTEN", "127.0.0.1:0"),
            ("CONSIGN__ADMIN__TOKEN_FILE", tokens),
            ("CONSIGN__STORAGE__PARTITIONS", "1"),
        ],
    )
    .await;
    let admin = admin_of(&node);
    until_answered(&admin, old, 200).await;
    until_answered(&admin, new, 401).await;
    put(home.path(), tokens, &format!("{new}\n{old}"), 0o600);
    until_answered(&admin, new, 200).await;
    until_answered(&admin, old, 200).await;
    put(home.path(), tokens, new, 0o600);
    until_answered(&admin, old, 401).await;
    let refused = admin
        .get("/v1/cluster")
        .header("authorization", bearer(old));
    refused.refused(401, "admin_token_unknown").await;
    until_answered(&admin, new, 200).await;

    // What does not serve changes nothing, and is logged once each.
    let wrongs = [("a slip of the pen", 0o600), ("", 0o600), (old, 0o644)];
    for (nth, (text, mode)) in (1..).zip(wrongs) {
        put(home.path(), tokens, text, mode);
        let complains = || node.log().matches("does not serve").count();
        eventually("it is logged", || async {
            (complains() >= nth).then_some(())
        })
        .await;
        until_answered(&admin, new, 200).await;
        until_answered(&admin, old, 401).await;
    }
    std::fs::remove_file(tokens).expect("it was there");
    eventually("it is logged", || async {
        node.log().contains("there is no file").then_some(())
    })
    .await;
    until_answered(&admin, new, 200).await;
    put(home.path(), tokens, old, 0o600);
    until_answered(&admin, old, 200).await;
    until_answered(&admin, new, 401).await;
    for token in TOKENS {
        assert!(!node.log().contains(token), "a token is in the log");
    }
    node.kill().await;
}
