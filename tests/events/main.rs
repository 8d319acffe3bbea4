//! The live stream of everything that happened: resumable without gaps across reconnections,
//! restarts, kills and checkpoints; opaque cursors that are refused when they are not ours.

use std::collections::BTreeMap;

use consign_tests::{EventStream, Happened, Node, Shop, order};
use serde_json::{Value, json};

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");

async fn shop(settings: &[consign_tests::Setting]) -> Node {
    let node = Node::start_with(CONSIGN, settings).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1_000_000).await;
    node
}

/// All events of a node in pages.
async fn all(node: &Node) -> Vec<Value> {
    let (mut events, mut since) = (Vec::new(), "beginning".to_owned());
    loop {
        let page = node
            .get(format!("/v1/events?since={since}&limit=500"))
            .header("accept", "application/json")
            .expect(200)
            .await;
        let page = page.json();
        let found = page["events"].as_array().expect("events").clone();
        if found.is_empty() {
            return events;
        }
        events.extend(found);
        since = page["next_cursor"].as_str().expect("a cursor").to_owned();
    }
}

/// Each entity's versions, which must be 1, 2, 3, … in this order, repeats aside.
fn gapless<'a>(events: impl Iterator<Item = (&'a str, &'a str, u64)>) -> BTreeMap<String, u64> {
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for (entity, id, version) in events {
        let last = versions.entry(format!("{entity}/{id}")).or_default();
        assert!(
            version <= *last + 1,
            "a gap before version {version} of {entity}/{id}, which was at {last}"
        );
        *last = version.max(*last);
    }
    versions
}

fn of(events: &[Happened]) -> impl Iterator<Item = (&str, &str, u64)> {
    events
        .iter()
        .map(|e| (e.entity.as_str(), e.id.as_str(), e.version))
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let node = shop(&[]).await;
    let mut live = EventStream::since(&node, "now").await;
    let placed = node.place(&order(&[("A", 1, "1.00")])).await;
    let mut kinds = Vec::new();
    while !kinds.contains(&("location".to_owned(), "reserved".to_owned())) || kinds.len() < 3 {
        let happened = live.next().await.expect("the stream is open");
        if happened.entity == "order" {
            assert_eq!(happened.id, placed["id"].as_str().expect("an id"));
        }
        for member in ["occurred_at", "recorded_at", "by", "type"] {
            assert!(
                happened.data[member].is_string(),
                "{member}: {}",
                happened.data
            );
        }
        assert!(
            !happened.data.to_string().contains("ada@example.org"),
            "personal data in the stream"
        );
        kinds.push((
            happened.entity.clone(),
            happened.data["type"].as_str().expect("a type").to_owned(),
        ));
    }
    assert!(
        kinds.contains(&("order".to_owned(), "placed".to_owned())),
        "{kinds:?}"
    );
}

/// One reader, always coming back with its last cursor: through kills, restarts and checkpoints.
#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let mut node = shop(&[("CONSIGN__STORAGE__JOURNAL_BYTES_MAX", "131072")]).await;
    let mut cursor = "beginning".to_owned();
    let mut seen: Vec<Happened> = Vec::new();
    for round in 0..6_u32 {
        let mut stream = EventStream::since(&node, &cursor).await;
        // Large orders fill the small journal, so that checkpoints and purges come in between.
        for _ in 0..4 {
            let lines: Vec<(&str, u32, &str)> = (0..300).map(|_| ("A", 1, "1.00")).collect();
            node.place(&order(&lines)).await;
            node.place(&order(&[("A", 1, "1.00")])).await;
        }
        // It leaves in the middle, having read some.
        for _ in 0..5 + round {
            let happened = stream.next().await.expect("the stream is open");
            cursor.clone_from(&happened.cursor);
            seen.push(happened);
        }
        drop(stream);
        match round % 3 {
            0 => node.kill().await,
            1 => assert!(node.stop().await.success()),
            _ => continue,
        }
        node.restart().await;
    }
    assert!(
        node.log().contains("checkpoint"),
        "no checkpoint came in between"
    );
    let known = all(&node).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let expected = gapless(known.iter().map(|e| {
        (
            e["entity"].as_str().expect("a kind"),
            e["id"].as_str().expect("an id"),
            e["version"].as_u64().expect("a version"),
        )
    }));
    let orders = node.all("/v1/orders", "orders").await;
    assert_eq!(orders.len(), 48);
    for order in &orders {
        assert_eq!(
            expected.get(&format!("order/{}", text(&order["id"]))),
            order["version"].as_u64().as_ref()
        );
    }
    // `Last-Event-ID` goes before `since`, as browsers need it.
    let request = node
        .get("/v1/events?since=now")
        .header("last-event-id", &cursor);
    let mut rest = EventStream::of(request).await;
    while gapless(of(&seen)) != expected {
        seen.push(rest.next().await.expect("the stream is open"));
    }
    // A stream with a limit tells so many and closes; a page goes on where it ended.
    let mut stream = EventStream::since(&node, "beginning&limit=3").await;
    for _ in 0..3 {
        stream.next().await.expect("three events");
    }
    assert_eq!(stream.next().await, None, "closed after the limit");
}

#[tokio::test]
async fn cursors_that_are_not_ours_are_refused() {
    let node = shop(&[]).await;
    for cursor in ["x", "-1", "%00", "zzzz", "AAAA", "1.2.3", "beginning2"] {
        let reply = node.get(format!("/v1/events?since={cursor}")).send().await;
        assert!([400, 410].contains(&reply.status), "{cursor}: {reply}");
        let code = reply.json()["code"].clone();
        assert!(
            code == "cursor_invalid" || code == "cursor_expired",
            "{cursor}: {reply}"
        );
    }
    node.get("/v1/events?since=now&limit=0")
        .refused(400, "invalid_query")
        .await;
    node.get("/v1/events?from=now")
        .refused(400, "invalid_query")
        .await;
    // A cursor of a node that has lived longer cannot be true here.
    let other = shop(&[]).await;
    for _ in 0..50 {
        other.place(&order(&[("A", 1, "1.00")])).await;
    }
    let page = other
        .get("/v1/events?since=now")
        .header("accept", "application/json")
        .expect(200)
        .await
        .json();
    let foreign = page["next_cursor"].as_str().expect("a cursor").to_owned();
    let reply = node
        .get(format!("/v1/events?since={foreign}"))
        .header("accept", "application/json")
        .send()
        .await;
    assert!([200, 400, 410].contains(&reply.status), "{reply}");
    // Whatever it says to a stranger, nothing breaks.
    node.get("/readyz").expect(200).await;
    assert_eq!(
        json!([]),
        node.get("/v1/events?since=now")
            .header("accept", "application/json")
            .expect(200)
            .await
            .json()["events"]
    );
}
