//! Tokens of operators: drawn once, private, and asked for before a node opens its admin port.

use std::os::unix::fs::PermissionsExt as _;

use consign_tests::run;

use crate::CONSIGN;

#[tokio::test]
async fn a_token_is_private_and_never_written_over() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("admin.token");
    let out = path.to_str().expect("UTF-8");
    let made = run(CONSIGN, ["token", "--out", out]).await.ok();
    let held = std::fs::read_to_string(&path).expect("it is there");
    assert!(held.trim().len() >= 32, "{held}");
    assert!(!made.out.contains(held.trim()), "it is not shown");
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let again = run(CONSIGN, ["token", "--out", out]).await;
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("is there already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), held);
    let printed = run(CONSIGN, ["token"]).await.ok().out;
    assert_eq!(printed.len(), held.len());
    assert_ne!(printed, held);
}

#[tokio::test]
async fn a_node_starts_with_no_admin_port_that_others_could_use() {
    let home = tempfile::tempdir().expect("a directory");
    let (token, data) = (home.path().join("token"), home.path().join("data"));
    let config = home.path().join("node.toml");
    let [token_path, data_path, config_path] =
        [&token, &data, &config].map(|path| path.to_str().expect("UTF-8"));
    run(CONSIGN, ["token", "--out", token_path]).await.ok();
    let admin =
        |listen: &str| format!("[admin]\nlisten = {listen:?}\ntoken_file = {token_path:?}\n");
    let serve = async |text: String, said: &[&str]| {
        std::fs::write(&config, text).expect("written");
        let arguments = [
            "serve",
            "--port",
            "0",
            "--config",
            config_path,
            "--data",
            data_path,
        ];
        let ran = run(CONSIGN, arguments).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        for part in said {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
        }
        assert!(!data.exists(), "nothing was made");
    };
    serve(admin("0.0.0.0:0"), &["no TLS", "admin.allow_plaintext"]).await;
    let half = format!("{}certificate = {token_path:?}\n", admin("127.0.0.1:0"));
    serve(
        half.clone(),
        &["admin.certificate is set", "admin.key is not"],
    )
    .await;
    let no_pem = format!("{half}key = {token_path:?}\n");
    serve(no_pem, &["admin.certificate", token_path, "no PEM"]).await;
    let no_file = format!("{half}key = {:?}\n", home.path().join("none"));
    serve(no_file, &["admin.key", "cannot read"]).await;
    serve(
        admin("127.0.0.1:0").replace("token_file", "token_fiel"),
        &["admin.token_fiel", "did you mean admin.token_file?"],
    )
    .await;
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
    serve(admin("127.0.0.1:0"), &[token_path, "0640", "chmod 600"]).await;
    std::fs::remove_file(&token).expect("it was there");
    serve(admin("127.0.0.1:0"), &[token_path, "consign token --out"]).await;
}
