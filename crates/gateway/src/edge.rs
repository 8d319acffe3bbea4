//! The one layer around every route: request id, admission, time limit, panics, problems, logs.
//!
//! One layer and not six, because each would box a future per request. Whatever comes from inside
//! with a status of 400 or more leaves as `application/problem+json`, the framework's own
//! rejections included.

use std::any::Any;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use compact_str::{CompactString, format_compact};
use futures::FutureExt;
use http_body_util::BodyExt;
use metrics::{Counter, Gauge, Histogram};
use tower::{Layer, Service};
use tracing::Instrument;

use crate::call::RequestId;
use crate::gateway::GatewayOptions;
use crate::limits::{Bound, HEAD_BYTES_MAX};
use crate::problem::{PROBLEM_JSON, Problem};

/// A request's id, in and out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken over from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// How much of a framework's own error text is read.
const FRAMEWORK_TEXT_BYTES_MAX: usize = 4_096;

/// Makes the edge.
#[derive(Clone)]
pub struct EdgeLayer(Arc<Shared>);

struct Shared {
    in_flight: Bound,
    timeout: Duration,
    process: u64,
    counted: AtomicU64,
    requests_under_way: Gauge,
    seconds: Histogram,
    responses: [Counter; 4],
    shed: Counter,
}

impl EdgeLayer {
    /// The edge with these options.
    #[must_use]
    pub fn new(options: &GatewayOptions) -> EdgeLayer {
        EdgeLayer::counted(options, "consign_http")
    }

    /// The same for the admin port, which is counted apart.
    #[must_use]
    pub fn admin(options: &GatewayOptions) -> EdgeLayer {
        EdgeLayer::counted(options, "consign_admin")
    }

    /// What is counted is named so.
    fn counted(options: &GatewayOptions, name: &str) -> EdgeLayer {
        let class = |class: &'static str| metrics::counter!(format!("{name}_responses_total"), "class" => class);
        EdgeLayer(Arc::new(Shared {
            in_flight: Bound::new("requests", options.requests_in_flight_max),
            timeout: options.request_timeout,
            // Ids of two runs must not meet.
            process: RandomState::new().hash_one(std::process::id()),
            counted: AtomicU64::new(0),
            requests_under_way: metrics::gauge!(format!("{name}_requests_in_flight")),
            seconds: metrics::histogram!(format!("{name}_request_seconds")),
            responses: [class("2xx"), class("3xx"), class("4xx"), class("5xx")],
            shed: metrics::counter!(format!("{name}_requests_shed_total")),
        }))
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;
    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            shared: Arc::clone(&self.0),
        }
    }
}

/// A service behind the edge.
#[derive(Clone)]
pub struct Edge<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Edge<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let id = shared.request_id(&request);
        request.extensions_mut().insert(RequestId(id.clone()));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answering = check_head(&request)
            .and_then(|()| shared.in_flight.take(1))
            .map(|taken| (taken, self.inner.call(request)));
        let span = tracing::debug_span!("request", %id, %method, path = uri.path());
        let answered = async move {
            let started = Instant::now();
            let outcome = match answering {
                Ok((taken, inner)) => {
                    shared
                        .requests_under_way
                        .set(shared.in_flight.taken() as f64);
                    let outcome = shared.bounded(inner).await;
                    drop(taken);
                    outcome
                }
                // Liveness is asked most urgently when there is too much to do.
                Err(problem) if shed(&problem) && uri.path() == "/healthz" => {
                    Ok(Response::new("{\"status\":\"alive\"}".into()))
                }
                Err(problem) => {
                    if shed(&problem) {
                        shared.shed.increment(1);
                    }
                    Err(problem)
                }
            };
            let mut response = match outcome {
                Ok(response) if response.status().as_u16() < 400 => response,
                Ok(response) => problem_of(response, &method, uri.path(), &id).await,
                Err(problem) => problem.respond(uri.path(), &id),
            };
            shared.note(&response, &method, uri.path(), &id, started.elapsed());
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(X_REQUEST_ID, id);
            }
            Ok(response)
        };
        if span.is_disabled() {
            Box::pin(answered)
        } else {
            Box::pin(answered.instrument(span))
        }
    }
}

impl Shared {
    /// The client's id for the request if it is presentable, else one of ours.
    fn request_id(&self, request: &Request) -> CompactString {
        let given = request
            .headers()
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok());
        let presentable = |id: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_graphic())
        };
        match given.filter(presentable) {
            Some(id) => id.into(),
            None => {
                let count = self.counted.fetch_add(1, Ordering::Relaxed);
                format_compact!("{:08x}-{count:x}", self.process >> 32)
            }
        }
    }

    /// The inner response, unless it panics or takes too long.
    async fn bounded(
        &self,
        inner: impl Future<Output = Result<Response, Infallible>>,
    ) -> Result<Response, Problem> {
        let caught = AssertUnwindSafe(inner).catch_unwind();
        match tokio::time::timeout(self.timeout, caught).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => Err(panicked(panic.as_ref())),
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                format!(
                    "no answer within {} s; what was asked may still happen, send it again with the same `Idempotency-Key`",
                    self.timeout.as_secs()
                ),
            )),
        }
    }

    fn note(&self, response: &Response, method: &Method, path: &str, id: &str, took: Duration) {
        let status = response.status();
        let class = (usize::from(status.as_u16()) / 100).clamp(2, 5) - 2;
        self.responses[class].increment(1);
        self.seconds.record(took.as_secs_f64());
        if status.is_server_error() {
            tracing::warn!(request_id = id, %method, path, status = status.as_u16(), took_ms = took.as_secs_f64() * 1e3, "answered");
        } else {
            tracing::debug!(request_id = id, %method, path, status = status.as_u16(), took_ms = took.as_secs_f64() * 1e3, "answered");
        }
    }
}

fn shed(problem: &Problem) -> bool {
    problem.status == StatusCode::TOO_MANY_REQUESTS
}

/// The HTTP library bounds what it buffers, but takes a larger head that arrives at once.
fn check_head(request: &Request) -> Result<(), Problem> {
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let bytes = fields.sum::<usize>()
        + request
            .uri()
            .path_and_query()
            .map_or(0, |p| p.as_str().len());
    if bytes <= HEAD_BYTES_MAX {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head_too_large",
        format!("the request's head has {bytes} bytes, more than {HEAD_BYTES_MAX}"),
    ))
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or("(no text)"), "a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the request failed inside; report the request id",
    )
}

/// The response with its problem written out. One that has none is the framework's own.
async fn problem_of(mut response: Response, method: &Method, path: &str, id: &str) -> Response {
    if response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|t| t == PROBLEM_JSON)
    {
        return response;
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.respond(path, id);
    }
    let status = response.status();
    let allow = response.headers_mut().remove(ALLOW);
    let problem = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = allow
                .as_ref()
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            let detail = format!("{method} is not allowed on {path}; allowed: {allowed}");
            Problem::new(status, "method_not_allowed", detail)
        }
        StatusCode::NOT_FOUND => no_route(method, path),
        _ => {
            let text = framework_text(response).await;
            let code = match status {
                StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
                status if status.is_server_error() => "internal_error",
                _ => "bad_request",
            };
            Problem::new(status, code, text)
        }
    };
    let mut response = problem.respond(path, id);
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// 404 for a path that no route has.
#[must_use]
pub fn no_route(method: &Method, path: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        format!(
            "there is nothing at {method} {}; /docs lists what there is",
            crate::problem::shown(path)
        ),
    )
}

async fn framework_text(response: Response) -> String {
    let body = http_body_util::Limited::new(response.into_body(), FRAMEWORK_TEXT_BYTES_MAX);
    match body.collect().await {
        Ok(text) => String::from_utf8_lossy(&text.to_bytes()).into_owned(),
        Err(_) => "the request cannot be served".to_owned(),
    }
}
