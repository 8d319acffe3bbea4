//! The admin port inside TLS: who trusts whom, and what those hear who do not.

use std::path::Path;

use consign_tests::{Node, Ran, Setting, eventually, run};

use crate::admin::{TOKENS, admin_of, token_file};
use crate::{CONSIGN, kept};

/// Certificates of an authority of its own.
async fn certificates(home: &Path, name: &str, hosts: &[&str]) -> String {
    let dir = home.join(name).to_str().expect("UTF-8").to_owned();
    let hosts = hosts.iter().flat_map(|host| ["--admin", host]);
    let words = ["certs", &dir, "--nodes", "1"].into_iter().chain(hosts);
    run(CONSIGN, words).await.ok();
    dir
}

/// A node alone whose admin port shows this certificate.
async fn node(dir: &str, pair: &str, tokens: &'static str) -> Node {
    let file = |end: &str| kept(format!("{dir}/{pair}.{end}"));
    let settings: [Setting; 5] = [
        ("CONSIGN__ADMIN__LISTEN", "127.0.0.1:0"),
        ("CONSIGN__ADMIN__TOKEN_FILE", tokens),
        ("CONSIGN__ADMIN__CERTIFICATE", file("pem")),
        ("CONSIGN__ADMIN__KEY", file("key")),
        ("CONSIGN__STORAGE__PARTITIONS", "1"),
    ];
    Node::start_with(CONSIGN, &settings).await
}

#[track_caller]
fn refused(ran: &Ran, code: i32, said: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for part in said {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_come_in_through_tls_if_they_trust_its_authority() {
    let home = tempfile::tempdir().expect("a directory");
    let tokens = token_file(home.path(), "tokens", &TOKENS);
    let own = certificates(home.path(), "own", &["ops.example.com"]).await;
    let others = certificates(home.path(), "others", &[]).await;
    let mut node = node(&own, "admin-ops.example.com", tokens).await;
    let admin = admin_of(&node);
    let port = admin.address().port();
    let (authority, stranger) = (
        format!("{own}/authority.pem"),
        format!("{others}/authority.pem"),
    );
    let status = async |target: &str, authority: &str| {
        let words = ["cluster", "--target", target, "--token-file", tokens];
        let words = words
            .into_iter()
            .chain(["--authority", authority, "status", "--json"]);
        run(CONSIGN, words).await
    };

    for host in ["127.0.0.1", "localhost"] {
        let target = format!("https://{host}:{port}");
        let stands = status(&target, &authority).await.ok().json();
        assert_eq!(stands["partitions"][0]["partition"], 0, "{stands}");
    }
    let target = format!("https://127.0.0.1:{port}");
    let said = ["certificate is not of the authority", "127.0.0.1"];
    refused(&status(&target, &stranger).await, 1, &said);
    let without_token = [
        "cluster",
        "--target",
        &target,
        "--authority",
        &authority,
        "status",
    ];
    refused(
        &run(CONSIGN, without_token).await,
        1,
        &["401", "--token-file"],
    );
    let without_authority = ["cluster", "--target", &target, "status"];
    refused(
        &run(CONSIGN, without_authority).await,
        2,
        &["--authority FILE"],
    );
    refused(
        &status(&target, tokens).await,
        2,
        &["--authority", "no certificate"],
    );

    // Who speaks plain HTTP to it, and who speaks TLS to the port that does not.
    let hears = admin.get("/readyz").expect(400).await.json();
    assert_eq!(hears["code"], "tls_required", "{hears}");
    let plain = format!("http://127.0.0.1:{port}");
    let words = ["cluster", "--target", &plain, "status"];
    refused(&run(CONSIGN, words).await, 1, &["400", "https://"]);
    refused(
        &status(&plain, &authority).await,
        2,
        &["--authority", "https://"],
    );
    let public = format!("https://{}", node.address());
    refused(
        &status(&public, &authority).await,
        1,
        &["does not speak TLS", "http://"],
    );

    // Whoever says nothing holds nobody up.
    let mut silent = Vec::new();
    for _ in 0..20 {
        let silence = tokio::net::TcpStream::connect(admin.address()).await;
        silent.push(silence.expect("it listens"));
    }
    status(&target, &authority).await.ok();
    assert!(
        node.stop().await.success(),
        "they do not hold its end up either"
    );
}

/// As who renews a certificate puts it there.
fn put(from: &str, to: &str, end: &str) {
    let new = format!("{to}.new");
    std::fs::copy(format!("{from}.{end}"), &new).expect("it is there");
    std::fs::rename(new, format!("{to}.{end}")).expect("both are ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_a_node_runs() {
    let home = tempfile::tempdir().expect("a directory");
    let tokens = token_file(home.path(), "tokens", &TOKENS);
    let old = certificates(home.path(), "old", &["127.0.0.1"]).await;
    let new = certificates(home.path(), "new", &["127.0.0.1"]).await;
    let shown = certificates(home.path(), "shown", &[]).await;
    let pair = |dir: &str| format!("{dir}/admin-127.0.0.1");
    for end in ["pem", "key"] {
        put(&pair(&old), &pair(&shown), end);
    }
    let mut node = node(&shown, "admin-127.0.0.1", tokens).await;
    let target = format!("https://127.0.0.1:{}", admin_of(&node).address().port());
    let trusting = async |dir: &str| {
        let authority = format!("{dir}/authority.pem");
        let words = ["cluster", "--target", &target, "--token-file", tokens];
        let words = words
            .into_iter()
            .chain(["--authority", &authority, "status"]);
        run(CONSIGN, words).await
    };
    trusting(&old).await.ok();

    // One after the other, with a look between: until both fit together, the old ones serve.
    put(&pair(&new), &pair(&shown), "pem");
    eventually("it is logged", || async {
        let log = node.log();
        (log.contains("do not fit together") && log.contains("does not serve")).then_some(())
    })
    .await;
    trusting(&old).await.ok();
    put(&pair(&new), &pair(&shown), "key");
    eventually("the new one is shown", || async {
        (trusting(&new).await.code == 0).then_some(())
    })
    .await;
    let said = ["certificate is not of the authority"];
    refused(&trusting(&old).await, 1, &said);
    node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_not_believed() {
    let home = tempfile::tempdir().expect("a directory");
    let tokens = token_file(home.path(), "tokens", &TOKENS);
    let own = certificates(home.path(), "own", &[]).await;
    let mut node = node(&own, "node-1", tokens).await;
    let target = format!("https://127.0.0.1:{}", admin_of(&node).address().port());
    let authority = format!("{own}/authority.pem");
    let words = [
        "cluster",
        "--target",
        &target,
        "--authority",
        &authority,
        "status",
    ];
    let said = [
        "certificate is not for the name 127.0.0.1",
        "node-1.consign",
    ];
    refused(&run(CONSIGN, words).await, 1, &said);
    node.kill().await;
}
