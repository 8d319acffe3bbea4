//! Bodies that are not what they should be: encodings, nesting, sizes, media types, heads.

use consign_tests::{Node, Shop, order};
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::CONSIGN;

const JSON: &str = "application/json";

#[tokio::test]
async fn text_that_is_no_json_in_utf8_is_refused() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    let good = order(&[("A", 1, "1.00")]).to_string();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut invalid = good.clone().into_bytes();
    let at = good.find("Ada").expect("a name");
    invalid[at] = 0xff;
    let cases: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"nul".to_vec(),
        good.as_bytes()[..good.len() - 2].to_vec(),
        format!("{good}{good}").into_bytes(),
        good.replace("Ada", "A\u{0}da").into_bytes(),
        good.replace('"', "'").into_bytes(),
        [b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat(),
        utf16,
        invalid,
        vec![0; 100],
        b"{\"lines\": [1, 2,]}".to_vec(),
    ];
    for body in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let reply = node
            .request(Method::POST, "/v1/orders")
            .raw(JSON, body)
            .send()
            .await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (400, &json!("malformed_json")),
            "{shown:?}: {reply}"
        );
    }
    for body in ["[]", "1", "null", "\"text\"", "true"] {
        node.request(Method::POST, "/v1/orders")
            .raw(JSON, body)
            .faults(&[("", "invalid_type")])
            .await;
    }
    let twice = good.replacen("{", "{\"channel\":\"pos\",", 1);
    node.request(Method::POST, "/v1/orders")
        .raw(JSON, twice)
        .faults(&[("/channel", "duplicate_field")])
        .await;
    let deep = format!(
        "{{\"metadata\":{}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    node.request(Method::POST, "/v1/orders")
        .raw(JSON, deep)
        .refused(400, "json_too_deep")
        .await;
    // An escaped NUL is JSON; it is no name.
    let reply = node
        .post("/v1/orders", &json!({"channel": "we\u{0}b"}))
        .send()
        .await;
    assert_eq!(reply.status, 422, "{reply}");
    assert_eq!(node.all("/v1/orders", "orders").await.len(), 0);
}

#[tokio::test]
async fn sizes_and_media_types_are_bounded() {
    let node = Node::start(CONSIGN).await;
    let big = format!("{{\"channel\":\"{}\"}}", "x".repeat(1 << 20));
    node.request(Method::POST, "/v1/orders")
        .raw(JSON, big)
        .refused(413, "body_too_large")
        .await;
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
    ] {
        node.request(Method::POST, "/v1/orders")
            .raw(media_type, "{}")
            .refused(415, "unsupported_media_type")
            .await;
    }
    let reply = node
        .request(Method::POST, "/v1/orders")
        .raw("application/json; charset=utf-8", "{}")
        .send()
        .await;
    assert_eq!(reply.status, 422);
    node.get("/healthz")
        .header("x-filler", "x".repeat(70_000))
        .refused(431, "head_too_large")
        .await;
    // It still serves.
    node.get("/healthz").expect(200).await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let node = Node::start(CONSIGN).await;
    for path in [
        "/",
        "/v1",
        "/v1/order",
        "/v2/orders",
        "/v1/orders/x/y/z",
        "/v1/../etc/passwd",
    ] {
        node.get(path).refused(404, "route_not_found").await;
    }
    let cases = [
        (Method::DELETE, "/v1/orders"),
        (Method::PUT, "/v1/orders/x"),
        (Method::POST, "/v1/products/x"),
        (Method::PATCH, "/v1/locations/x"),
        (Method::GET, "/v1/inventory/receipts/x"),
        (Method::POST, "/healthz"),
    ];
    for (method, path) in cases {
        let reply = node.request(method.clone(), path).send().await;
        assert!([404, 405].contains(&reply.status), "{reply}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json"),
            "{reply}"
        );
        if reply.status == 405 {
            assert_eq!(reply.json()["code"], "method_not_allowed");
            assert!(reply.header("allow").is_some(), "{reply}");
        }
    }
    node.request(Method::DELETE, "/v1/orders")
        .refused(405, "method_not_allowed")
        .await;
}

/// What hyper itself would refuse, written straight to the socket: the node answers or hangs up,
/// and goes on serving.
#[tokio::test]
async fn broken_requests_do_not_hurt_the_node() {
    let node = Node::start(CONSIGN).await;
    let broken: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/orders/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
    ];
    for bytes in broken {
        let mut stream = TcpStream::connect(node.address()).await.expect("connects");
        stream.write_all(bytes).await.expect("writes");
        stream.shutdown().await.expect("half closes");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(
            std::time::Duration::from_secs(30),
            stream.read_to_end(&mut answer),
        )
        .await;
        assert!(read.is_ok(), "{:?}", String::from_utf8_lossy(bytes));
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    node.get("/readyz").expect(200).await;
}
