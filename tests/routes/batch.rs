//! Many orders in one request: an answer a line, in order, none lost because another is bad.

use consign_tests::{Node, Shop, order, recount};
use serde_json::{Value, json};

use crate::CONSIGN;

const NDJSON: &str = "application/x-ndjson";

async fn send(node: &Node, body: String) -> Vec<Value> {
    let reply = node
        .request(http::Method::POST, "/v1/orders/batch")
        .raw(NDJSON, body)
        .expect(200)
        .await;
    assert!(
        reply
            .header("content-type")
            .is_some_and(|t| t.contains("ndjson")),
        "{reply}"
    );
    let text = String::from_utf8(reply.body.to_vec()).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one JSON value a line"))
        .collect()
}

#[tokio::test]
async fn each_line_is_answered_in_order_whatever_the_others_are() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1_000).await;
    let good = order(&[("A", 1, "1.00")]);
    let mut lines = Vec::new();
    for n in 0..200 {
        lines.push(match n % 5 {
            0 => "{not json".to_owned(),
            1 => json!({"channel": "web"}).to_string(),
            2 => String::new(),
            3 => "\"text\"".to_owned(),
            _ => good.to_string(),
        });
    }
    let answers = send(&node, lines.join("\n")).await;
    assert_eq!(
        answers.len(),
        160,
        "an answer for each line that is not empty"
    );
    let mut before = 0;
    for answer in &answers {
        let line = answer["line"].as_u64().expect("a line number");
        assert!(line > before, "in order");
        before = line;
        let expected = match (line - 1) % 5 {
            0 => 400,
            4 => 201,
            _ => 422,
        };
        assert_eq!(answer["status"], expected, "{answer}");
        if expected == 201 {
            assert_eq!(answer["order"]["status"], "allocated");
        } else {
            assert_eq!(answer["problem"]["status"], expected);
            assert!(answer["problem"]["code"].is_string());
        }
    }
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 40);
    recount(&node).await;
}

#[tokio::test]
async fn lines_carry_keys_of_their_own() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10).await;
    let mut keyed = order(&[("A", 1, "1.00")]);
    keyed["idempotency_key"] = json!("line-1");
    let mut other = keyed.clone();
    other["lines"][0]["quantity"] = json!(2);
    let first = send(&node, format!("{keyed}\n")).await;
    let again = send(&node, format!("{keyed}\n{other}\n")).await;
    assert_eq!(
        (&again[0]["status"], &again[0]["replayed"]),
        (&json!(201), &json!(true))
    );
    assert_eq!(again[0]["order"]["id"], first[0]["order"]["id"]);
    assert_eq!(again[1]["problem"]["code"], "idempotency_key_reused");
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 1);
    let batch = node.request(http::Method::POST, "/v1/orders/batch");
    batch
        .clone()
        .raw(NDJSON, "{}")
        .key("k")
        .refused(400, "invalid_header")
        .await;
    batch
        .clone()
        .raw("text/csv", "a,b")
        .refused(415, "unsupported_media_type")
        .await;
    assert_eq!(send(&node, String::new()).await, Vec::<Value>::new());
    let long = format!("{{\"channel\":\"{}\"}}\n{keyed}\n", "x".repeat(1 << 20));
    let answers = send(&node, long).await;
    assert_eq!(
        (&answers[0]["status"], &answers[1]["status"]),
        (&json!(413), &json!(201))
    );
}
