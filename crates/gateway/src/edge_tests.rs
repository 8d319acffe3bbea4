//! The edge around a few routes that behave badly, over a real socket where that matters.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::edge::{EdgeLayer, X_REQUEST_ID, no_route};
use crate::gateway::GatewayOptions;
use crate::problem::{PROBLEM_JSON, Problem};

fn router(options: &GatewayOptions) -> Router {
    async fn panics() -> &'static str {
        panic!("on purpose")
    }
    async fn sleeps() -> &'static str {
        std::future::pending().await
    }
    async fn refuses() -> Problem {
        Problem::new(StatusCode::CONFLICT, "held", "held").with("hold", "1")
    }
    async fn takes_a_number(Path(number): Path<u32>) -> String {
        number.to_string()
    }
    Router::new()
        .route("/healthz", get(|| async { "alive" }))
        .route("/ok", get(|| async { "ok" }))
        .route("/panics", get(panics))
        .route("/sleeps", get(sleeps))
        .route("/refuses", get(refuses))
        .route("/numbers/{number}", get(takes_a_number))
        .fallback(|method: Method, uri: Uri| async move { no_route(&method, uri.path()) })
        .layer(EdgeLayer::new(options))
}

async fn ask(router: &Router, method: &str, path: &str) -> (Response, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (Response::from_parts(parts, Body::empty()), json)
}

#[tokio::test]
async fn whatever_goes_wrong_leaves_as_a_problem() {
    let options = GatewayOptions {
        request_timeout: Duration::from_millis(50),
        ..GatewayOptions::default()
    };
    let router = router(&options);
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "route_not_found"),
        ("POST", "/ok", 405, "method_not_allowed"),
        ("GET", "/panics", 500, "internal_error"),
        ("GET", "/sleeps", 408, "request_timeout"),
        ("GET", "/refuses", 409, "held"),
        ("GET", "/numbers/x", 400, "bad_request"),
        ("GET", "/numbers/%ff", 400, "bad_request"),
    ] {
        let (response, problem) = ask(&router, method, path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON, "{path}");
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}");
        assert_eq!(problem["instance"], path);
        let id = response.headers()[X_REQUEST_ID].to_str().expect("ASCII");
        assert_eq!(problem["request_id"], id);
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{path}"
        );
    }
    let (response, _) = ask(&router, "POST", "/ok").await;
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    let (_, problem) = ask(&router, "GET", "/refuses").await;
    assert_eq!(problem["hold"], "1");
}

#[tokio::test]
async fn request_ids_are_kept_when_presentable_and_never_repeat() {
    let router = router(&GatewayOptions::default());
    let with = |id: &str| {
        let request = Request::builder()
            .uri("/ok")
            .header(X_REQUEST_ID, id)
            .body(Body::empty());
        let answering = router.clone().oneshot(request.expect("a request"));
        async move { answering.await.expect("an answer").headers()[X_REQUEST_ID].clone() }
    };
    assert_eq!(with("abc-123").await, "abc-123");
    let (a, b) = (with("with space").await, with(&"x".repeat(200)).await);
    assert_ne!(a, "with space");
    assert_ne!(a, b);
}

#[tokio::test]
async fn over_the_bound_requests_are_shed_but_liveness_answers() {
    let options = GatewayOptions {
        requests_in_flight_max: 1,
        ..GatewayOptions::default()
    };
    let router = router(&options);
    let waiting = Request::builder()
        .uri("/sleeps")
        .body(Body::empty())
        .expect("a request");
    let mut waiting = Box::pin(router.clone().oneshot(waiting));
    // One poll is enough for it to be under way.
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let (response, problem) = ask(&router, "GET", "/ok").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert_eq!(problem["code"], "too_many_requests");
    let (response, _) = ask(&router, "GET", "/healthz").await;
    assert_eq!(response.status(), StatusCode::OK);
    drop(waiting);
    let (response, _) = ask(&router, "GET", "/ok").await;
    assert_eq!(response.status(), StatusCode::OK);
}

async fn sent(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).await.expect("answered");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn connections_are_kept_and_end_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = GatewayOptions::default();
    let serving = tokio::spawn(crate::server::serve(
        listener,
        router(&options),
        None,
        async {
            let _ = stopped.await;
        },
    ));
    let mut kept = TcpStream::connect(address).await.expect("connected");
    for _ in 0..2 {
        let answer = sent(&mut kept, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let mut wide = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "GET /ok HTTP/1.1\r\nhost: x\r\nx-wide: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let answer = sent(&mut wide, &head).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // The kept connection idles, so stopping need not wait for it.
    stop.send(()).expect("still serving");
    serving.await.expect("no panic").expect("an orderly end");
    assert_eq!(kept.read(&mut [0; 1]).await.expect("closed"), 0);
}
