//! Many orders in one request: NDJSON in, NDJSON out, streamed both ways.
//!
//! In: one order a line, of any number. Out: one answer a line, in the order of the lines, while
//! later lines still come in. A bad line never loses another. A bounded number of lines is worked
//! on at once; the next is read only when one is done, so that a fast client is slowed down
//! instead of filling memory (L8).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use consign_orchestrator::CallMeta;
use futures::{Stream, StreamExt};
use serde::Serialize;

use crate::answer::{ANSWER_BYTES, Answered, PREFERENCE_APPLIED};
use crate::body_hash::BodyHash;
use crate::call::{RequestId, call_of, check_key, command_key};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::json_body;
use crate::limits::{BATCH_IDLE_TIMEOUT, BATCH_LINE_BYTES_MAX};
use crate::orders::dto::PlaceOrder;
use crate::orders::render::OrderBody;
use crate::orders::routes::{place_one, placed_status};
use crate::problem::{Problem, ProblemBody};

/// How often a line is tried again while the service is busy, before its client hears so.
const BUSY_TRIES_MAX: u32 = 100;
/// The longest pause between two tries.
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The media type of one JSON value a line.
const NDJSON: &str = "application/x-ndjson";

/// The answer to one line of a batch.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = BatchAnswer)]
pub struct LineAnswer<'a> {
    /// Which line, from 1.
    line: u64,
    /// As the order alone would have been answered.
    status: u16,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderBody<'a>>,
    /// Whether this is the remembered answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemBody>)]
    problem: Option<&'a Problem>,
}

/// Places many orders: one a line, with `idempotency_key` among its members if wanted.
#[utoipa::path(post, path = "/v1/orders/batch", tag = "orders",
    request_body(content = PlaceOrder, content_type = "application/x-ndjson"), responses(
        (status = 200, description = "One answer a line, in the order of the lines", body = LineAnswer<'static>, content_type = "application/x-ndjson"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn place(State(gateway): State<Gateway>, request: Request) -> Answered {
    let (parts, body) = request.into_parts();
    check_media_type(&parts.headers)?;
    let open = gateway.batches.take(1)?;
    let settle_timeout = gateway.options.settle_timeout;
    let request_id = parts.extensions.get::<RequestId>();
    let call = call_of(&parts.headers, request_id, settle_timeout, || 0)?;
    if call.key.is_some() {
        let detail = "a batch is no single command; give each line an `idempotency_key` of its own";
        return Err(Problem::header("Idempotency-Key", detail));
    }
    let call = CallMeta {
        expected_version: None,
        ..call
    };
    let respond_async = call.respond_async;
    let at_once = gateway.options.batch_lines_in_flight_max;
    let answers = lines(body.into_data_stream())
        // In a box of its own: what is buffered is moved about, and this has some thousand bytes.
        .map(move |line| Box::pin(answer(gateway.clone(), call.clone(), line)))
        .buffered(at_once)
        .ready_chunks(at_once)
        .map(move |answers| {
            // The batch counts as open until its last answer is taken.
            let _open = &open;
            Ok::<Bytes, Infallible>(joined(answers))
        });
    let mut response = Response::new(Body::from_stream(answers));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    if respond_async {
        response.headers_mut().insert(
            PREFERENCE_APPLIED,
            HeaderValue::from_static("respond-async"),
        );
    }
    Ok(response)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(media_type) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let text = media_type.to_str().unwrap_or_default().to_ascii_lowercase();
    if ["ndjson", "jsonl", "json-lines", "application/json"]
        .iter()
        .any(|known| text.contains(known))
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("a batch is one JSON object a line; send it with `Content-Type: {NDJSON}`"),
    ))
}

/// Answers that are ready together leave in one write.
fn joined(answers: Vec<Vec<u8>>) -> Bytes {
    if answers.len() == 1 {
        return answers.into_iter().next().unwrap_or_default().into();
    }
    answers.concat().into()
}

/// A line, or why it could not be read.
struct Line {
    number: u64,
    json: Result<Bytes, Problem>,
}

/// Cuts a body into lines. Empty ones are passed over, but counted.
fn lines(body: BodyDataStream) -> impl Stream<Item = Line> {
    let cutter = Cutter {
        body,
        read: BytesMut::new(),
        searched: 0,
        number: 0,
        skipping: false,
        ended: false,
    };
    futures::stream::unfold(cutter, |mut cutter| async move {
        let line = cutter.next().await?;
        Some((line, cutter))
    })
}

struct Cutter {
    body: BodyDataStream,
    read: BytesMut,
    /// How far `read` holds no line feed.
    searched: usize,
    number: u64,
    /// Whether the rest of a line that is too long is being thrown away.
    skipping: bool,
    ended: bool,
}

impl Cutter {
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(json) = self.cut() {
                self.number += 1;
                if self.skipping {
                    self.skipping = false;
                    return Some(self.faulty(too_long()));
                }
                if json.trim_ascii().is_empty() {
                    continue;
                }
                return Some(Line {
                    number: self.number,
                    json: Ok(json),
                });
            }
            if self.ended {
                return None;
            }
            if self.read.len() > BATCH_LINE_BYTES_MAX {
                self.skipping = true;
                self.read.clear();
                self.searched = 0;
            }
            match tokio::time::timeout(BATCH_IDLE_TIMEOUT, self.body.next()).await {
                Ok(Some(Ok(data))) => self.read.extend_from_slice(&data),
                Ok(None) => self.ended = true,
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a batch ended early");
                    return self.broken(
                        StatusCode::BAD_REQUEST,
                        "bad_request",
                        "the body broke off",
                    );
                }
                Err(_) => {
                    let detail = "nothing came for too long; send the remaining lines again";
                    return self.broken(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail);
                }
            }
        }
    }

    /// The next whole line; at the end, what is left.
    fn cut(&mut self) -> Option<Bytes> {
        if let Some(at) = self.read[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line = self.read.split_to(self.searched + at).freeze();
            self.read.advance(1);
            self.searched = 0;
            if line.len() > BATCH_LINE_BYTES_MAX {
                self.skipping = true;
            }
            return Some(line);
        }
        self.searched = self.read.len();
        let rest_is_a_line = self.ended && (self.skipping || !self.read.is_empty());
        rest_is_a_line.then(|| {
            self.searched = 0;
            self.read.split().freeze()
        })
    }

    fn faulty(&self, problem: Problem) -> Line {
        Line {
            number: self.number,
            json: Err(problem),
        }
    }

    /// What was read of a line that did not end is not taken for a whole one.
    fn broken(&mut self, status: StatusCode, code: &'static str, detail: &str) -> Option<Line> {
        self.ended = true;
        self.skipping = false;
        self.read.clear();
        self.searched = 0;
        self.number += 1;
        Some(self.faulty(Problem::new(status, code, detail)))
    }
}

fn too_long() -> Problem {
    let detail = format!("the line is longer than {BATCH_LINE_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

async fn answer(gateway: Gateway, call: CallMeta, line: Line) -> Vec<u8> {
    let number = line.number;
    let asked_async = call.respond_async;
    let outcome = match line.json {
        Ok(json) => place_line(&gateway, &call, &json).await,
        Err(problem) => Err(problem),
    };
    let answer = match &outcome {
        Ok(outcome) => LineAnswer {
            line: number,
            status: placed_status(outcome, asked_async).as_u16(),
            order: Some(OrderBody::of(&outcome.order)),
            replayed: outcome.replayed,
            problem: None,
        },
        Err(problem) => LineAnswer {
            line: number,
            status: problem.status.as_u16(),
            order: None,
            replayed: false,
            problem: Some(problem),
        },
    };
    let mut bytes = Vec::with_capacity(ANSWER_BYTES);
    if let Err(error) = serde_json::to_writer(&mut bytes, &answer) {
        tracing::error!(%error, "an answer cannot be written");
        bytes = format!("{{\"line\":{number},\"status\":500}}").into_bytes();
    }
    bytes.push(b'\n');
    bytes
}

/// Places a line's order. While the service is busy the line waits its turn, for a bounded time.
async fn place_line(
    gateway: &Gateway,
    call: &CallMeta,
    json: &[u8],
) -> Result<consign_orchestrator::OrderOutcome, Problem> {
    let mut tries = 0;
    loop {
        let order: PlaceOrder = json_body::parse(json)?;
        let key = match &order.idempotency_key {
            None => None,
            Some(key) => {
                check_line_key(key)?;
                // The same order sent alone, with the key in its header, is the same command.
                let body = BodyHash::of(json)
                    .unwrap_or(BodyHash(0))
                    .without("idempotency_key", key);
                Some(command_key(key, body.addressed("POST", "/v1/orders")))
            }
        };
        let placed = place_one(
            gateway,
            order,
            CallMeta {
                key,
                ..call.clone()
            },
        )
        .await;
        match placed {
            Err(problem) if problem.code == "busy" && tries < BUSY_TRIES_MAX => {
                tries += 1;
                let pause = Duration::from_millis(problem.retry_after_ms.unwrap_or(1).max(1));
                tokio::time::sleep(pause.min(BUSY_PAUSE_MAX)).await;
            }
            other => return other,
        }
    }
}

fn check_line_key(key: &str) -> Result<(), Problem> {
    check_key(key).map_err(|detail| {
        let mut faults = Faults::default();
        faults.add(&At::Root.field("idempotency_key"), "invalid_value", detail);
        faults.problem()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cut(chunks: Vec<Vec<u8>>) -> Vec<(u64, Result<String, String>)> {
        let chunks = chunks
            .into_iter()
            .map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
        let body = Body::from_stream(futures::stream::iter(chunks));
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        lines(body.into_data_stream())
            .map(|line| {
                (
                    line.number,
                    line.json.map(text).map_err(|p| p.code.into_owned()),
                )
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_chunks_end() {
        let whole = b"{\"a\":1}\n\n{\"b\":2}\r\n  \n{\"c\":3}".to_vec();
        let expected: Vec<(u64, Result<String, String>)> = vec![
            (1, Ok("{\"a\":1}".into())),
            (3, Ok("{\"b\":2}\r".into())),
            (5, Ok("{\"c\":3}".into())),
        ];
        assert_eq!(cut(vec![whole.clone()]).await, expected);
        assert_eq!(
            cut(whole.iter().map(|byte| vec![*byte]).collect()).await,
            expected
        );
        assert_eq!(cut(vec![]).await, vec![]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_loses_no_other() {
        let long = vec![b'x'; BATCH_LINE_BYTES_MAX + 1];
        let expected: Vec<(u64, Result<String, String>)> = vec![
            (1, Ok("a".into())),
            (2, Err("body_too_large".into())),
            (3, Ok("b".into())),
            (4, Err("body_too_large".into())),
        ];
        let in_pieces = vec![
            b"a\n".to_vec(),
            long.clone(),
            long.clone(),
            b"\nb\n".to_vec(),
            long.clone(),
        ];
        assert_eq!(cut(in_pieces).await, expected);
        let whole = [b"a\n".as_slice(), &long, b"\nb\n", &long].concat();
        assert_eq!(cut(vec![whole]).await, expected);
    }

    #[test]
    fn media_types_of_lines_are_taken() {
        let with = |media_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            check_media_type(&headers).is_ok()
        };
        assert!(with("application/x-ndjson") && with("application/jsonl; charset=utf-8"));
        assert!(!with("text/csv"));
    }
}
