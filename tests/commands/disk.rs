//! A disk that is full: what cannot be written is not acknowledged, the process says why and ends,
//! and what was acknowledged before is there when there is room again (L2).

use std::time::Duration;

use consign_tests::{Node, Shop, order, recount};

use crate::CONSIGN;

/// The largest file that the node may write: a stand-in for a full disk that needs no root.
const FILE_BYTES_MAX: u64 = 6 << 20;

#[tokio::test]
async fn a_full_disk_stops_the_node_and_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    // A limit on file sizes comes with a signal that would kill the node before it can say anything;
    // what a shell ignores stays ignored by what it becomes.
    let ignoring = "trap '' XFSZ; exec \"$@\"";
    let fsize = format!("--fsize={FILE_BYTES_MAX}");
    let limit = ["sh", "-c", ignoring, "sh", "prlimit", &fsize].map(str::to_owned);
    let mut node = Node::start_on(CONSIGN, &[], &limit, home, data).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1_000_000).await;
    let lines: Vec<(&str, u32, &str)> = (0..200).map(|_| ("A", 1, "1.00")).collect();
    let big = order(&lines);
    let mut acknowledged = Vec::new();
    let mut unanswered = None;
    for n in 0..2_000 {
        match node
            .post("/v1/orders", &big)
            .key(format!("o-{n}"))
            .try_send()
            .await
        {
            Ok(reply) if reply.status == 201 => {
                acknowledged.push(reply.json()["id"].as_str().expect("an id").to_owned())
            }
            other => {
                // Neither a success nor a shrug: it says that it does not serve, or is gone.
                if let Ok(reply) = other {
                    assert!([202, 500, 503].contains(&reply.status), "{reply}");
                }
                unanswered = Some(n);
                break;
            }
        }
    }
    let unanswered =
        unanswered.expect("a file of this size is full before two thousand large orders");
    assert!(!acknowledged.is_empty());
    // Nothing more is taken, readiness says so, and the process ends by itself with its reason.
    for _ in 0..50 {
        match node.post("/v1/orders", &big).try_send().await {
            Ok(reply) => assert!(reply.status >= 500, "{reply}"),
            Err(_) => break,
        }
        if let Ok(ready) = node.get("/readyz").try_send().await {
            assert_eq!(ready.status, 503, "{ready}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = node.ended().await;
    assert!(
        ended.code().is_some_and(|code| code != 0),
        "it ends by itself, not by a signal: {ended}"
    );
    let log = node.log();
    assert!(
        log.to_lowercase().contains("stop") && log.contains("File too large"),
        "it says why:\n{log}"
    );
    // With room again, all that was acknowledged is there, and the unanswered one may be sent again.
    node.lift_limit();
    node.restart().await;
    for id in &acknowledged {
        assert_eq!(
            node.order(id).await["lines"].as_array().map(Vec::len),
            Some(200)
        );
    }
    node.post("/v1/orders", &big)
        .key(format!("o-{unanswered}"))
        .expect(201)
        .await;
    let books = recount(&node).await;
    let count = books.orders.len();
    assert!(
        count == acknowledged.len() + 1,
        "{count} orders, {} acknowledged and one sent again",
        acknowledged.len()
    );
}
