//! How the command line answers those who do not know it yet.

use consign_tests::{file, run};

use crate::CONSIGN;

#[tokio::test]
async fn help_teaches_every_command() {
    let help = run(CONSIGN, ["--help"]).await.ok().out;
    for command in [
        "demo", "serve", "import", "simulate", "verify", "backup", "restore", "certs", "cluster",
        "token",
    ] {
        assert!(help.contains(command), "{command}: {help}");
        let of_command = run(CONSIGN, [command, "--help"]).await.ok().out;
        assert!(of_command.contains("Usage: consign"), "{of_command}");
    }
    assert_eq!(run(CONSIGN, ["frobnicate"]).await.code, 2);
    assert_eq!(run(CONSIGN, ["serve", "--prot", "1"]).await.code, 2);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_the_right_key() {
    let home = tempfile::tempdir().expect("a directory");
    let config = file(home.path(), "node.toml", "[storage]\npartition = 4\n");
    let data = home.path().join("data");
    let arguments = [
        "serve",
        "--config",
        config.to_str().expect("UTF-8"),
        "--data",
        data.to_str().expect("UTF-8"),
    ];
    let ran = run(CONSIGN, arguments).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("partitions"),
        "the nearest key is named: {ran:?}"
    );
    assert!(!data.exists(), "nothing was made");
}

#[tokio::test]
async fn a_node_that_its_cluster_does_not_know_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let members = "[cluster]\nmembers = [\"1=127.0.0.1:9080\", \"2=127.0.0.1:9081\"]\n";
    let config = file(home.path(), "nodes.toml", members);
    let data = home.path().join("data");
    let arguments = [
        "serve",
        "--config",
        config.to_str().expect("UTF-8"),
        "--data",
        data.to_str().expect("UTF-8"),
        "--node",
        "3",
    ];
    let ran = run(CONSIGN, arguments).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("names only 1, 2"), "{ran:?}");
    assert!(!data.exists(), "nothing was made");
}

#[tokio::test]
async fn a_target_that_is_not_there_is_told() {
    for arguments in [
        ["verify", "--target", "http://127.0.0.1:9"],
        ["simulate", "--target", "http://127.0.0.1:9"],
    ] {
        let ran = run(CONSIGN, arguments).await;
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains("127.0.0.1:9"), "{ran:?}");
    }
}
