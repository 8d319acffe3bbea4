//! A backup taken while the node serves, restored elsewhere, is a node of that moment.

use consign_tests::{Node, Shop, order, recount, run};
use serde_json::Value;

use crate::CONSIGN;

fn ids(orders: &[Value]) -> std::collections::BTreeSet<String> {
    orders
        .iter()
        .map(|order| order["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_restores_to_a_whole_node() {
    let mut node = Node::start_with(
        CONSIGN,
        &[("CONSIGN__STORAGE__JOURNAL_BYTES_MAX", "131072")],
    )
    .await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 100_000).await;
    for n in 0..100 {
        node.post("/v1/orders", &order(&[("A", 1, "1.00")]))
            .key(format!("before-{n}"))
            .expect(201)
            .await;
    }
    let before = node.all("/v1/orders", "orders").await;
    let client = node.client().clone();
    let load = tokio::spawn(async move {
        for n in 0..300 {
            client
                .post("/v1/orders", &order(&[("A", 1, "1.00")]))
                .key(format!("during-{n}"))
                .expect(201)
                .await;
        }
    });
    let home = tempfile::tempdir().expect("a directory");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (target, data) = (text(&home.path().join("backup")), text(node.data()));
    run(CONSIGN, ["backup", &target, "--data", &data, "--json"])
        .await
        .ok();
    // It goes on serving.
    load.await.expect("each order is taken");
    let after = node.all("/v1/orders", "orders").await;
    assert_eq!(after.len(), 400);
    node.kill().await;

    let restored = home.path().join("restored");
    run(
        CONSIGN,
        ["restore", &target, "--data", &text(&restored), "--json"],
    )
    .await
    .ok();
    // Nothing is ever written over.
    let again = run(CONSIGN, ["restore", &target, "--data", &text(&restored)]).await;
    assert_ne!(again.code, 0, "{again:?}");
    let copy = Node::start_on(CONSIGN, &[], &[], home, restored).await;
    let found = copy.all("/v1/orders", "orders").await;
    assert!(
        ids(&found).is_superset(&ids(&before)),
        "all that was there before"
    );
    assert!(
        ids(&after).is_superset(&ids(&found)),
        "nothing that never was"
    );
    recount(&copy).await;
    // What is remembered came along: the same key is the same order.
    let reply = copy
        .post("/v1/orders", &order(&[("A", 1, "1.00")]))
        .key("before-7")
        .expect(201)
        .await;
    assert_eq!(reply.header("idempotent-replayed"), Some("true"));
    run(CONSIGN, ["verify", "--target", &copy.url()]).await.ok();
}

#[tokio::test]
async fn a_backup_at_rest_and_a_damaged_one() {
    let mut node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10).await;
    node.place(&order(&[("A", 1, "1.00")])).await;
    node.kill().await;
    let home = tempfile::tempdir().expect("a directory");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let target = home.path().join("backup");
    run(
        CONSIGN,
        ["backup", &text(&target), "--data", &text(node.data())],
    )
    .await
    .ok();
    // One flipped byte is noticed before anything is made of it.
    let largest = std::fs::read_dir(&target)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "redb"))
        .max_by_key(|path| std::fs::metadata(path).map(|m| m.len()).unwrap_or(0))
        .expect("a database");
    let whole = std::fs::read(&largest).expect("readable");
    let mut noticed = 0;
    for part in 1..8 {
        let mut bytes = whole.clone();
        let at = bytes.len() * part / 8;
        for byte in &mut bytes[at..at + 64] {
            *byte ^= 0x5a;
        }
        std::fs::write(&largest, &bytes).expect("writable");
        let restored = home.path().join(format!("restored-{part}"));
        let ran = run(
            CONSIGN,
            ["restore", &text(&target), "--data", &text(&restored)],
        )
        .await;
        noticed += usize::from(ran.code != 0);
    }
    std::fs::write(&largest, &whole).expect("writable");
    run(
        CONSIGN,
        [
            "restore",
            &text(&target),
            "--data",
            &text(&home.path().join("whole")),
        ],
    )
    .await
    .ok();
    // Bytes that hold no row may change unnoticed.
    println!("{noticed} of 7 damages were noticed");
    let nothing = run(
        CONSIGN,
        [
            "restore",
            &text(&home.path().join("nowhere")),
            "--data",
            &text(&home.path().join("x")),
        ],
    )
    .await;
    assert_ne!(nothing.code, 0);
    let nothing = run(
        CONSIGN,
        [
            "backup",
            &text(&home.path().join("y")),
            "--data",
            &text(&home.path().join("nowhere")),
        ],
    )
    .await;
    assert_ne!(nothing.code, 0);
}
