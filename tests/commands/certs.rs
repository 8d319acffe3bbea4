//! Certificates from the command line: made once, kept, private.

use std::os::unix::fs::PermissionsExt as _;

use consign_tests::run;

use crate::CONSIGN;

#[tokio::test]
async fn certificates_are_made_once_and_keys_are_private() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("certs");
    let path = dir.to_str().expect("UTF-8");
    let made = run(CONSIGN, ["certs", path, "--nodes", "2", "--json"]).await;
    assert_eq!(
        made.ok().json()["made"],
        serde_json::json!(["authority", "node-1", "node-2"])
    );
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("it is there");
    let before = read("node-1.pem");
    assert!(before.starts_with("-----BEGIN CERTIFICATE-----"));
    for key in ["authority.key", "node-1.key", "node-2.key"] {
        let mode = std::fs::metadata(dir.join(key)).expect("it is there");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{key}");
    }
    let more = run(CONSIGN, ["certs", path, "--nodes", "3", "--json"]).await;
    assert_eq!(more.ok().json()["made"], serde_json::json!(["node-3"]));
    assert_eq!(read("node-1.pem"), before, "kept");
    let admin = [
        "certs", path, "--nodes", "3", "--admin", "10.0.0.1", "--json",
    ];
    let made = run(CONSIGN, admin).await.ok().json();
    assert_eq!(made["made"], serde_json::json!(["admin-10.0.0.1"]));
    assert!(read("admin-10.0.0.1.key").contains("PRIVATE KEY"));
    let as_node = run(CONSIGN, ["certs", path, "--admin", "node-1.consign"]).await;
    assert_eq!(as_node.code, 2, "{as_node:?}");
    assert!(as_node.err.contains("those of nodes"), "{as_node:?}");
    std::fs::remove_file(dir.join("node-2.key")).expect("it was there");
    let half = run(CONSIGN, ["certs", path, "--nodes", "3"]).await;
    assert_eq!(half.code, 2, "{half:?}");
    assert!(half.err.contains("node-2.key"), "{half:?}");
    assert_eq!(run(CONSIGN, ["certs", path, "--nodes", "0"]).await.code, 2);
}
