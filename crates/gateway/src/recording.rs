//! A recording of what happened, as far as sourcing rests on it: JSON lines, as many as there are.
//!
//! In: a window of time. Out: what `consign whatif` replays. Read in portions from this node's own copy,
//! so that a long one holds nothing up; a fault midway ends it without its last line, by which whoever
//! reads it knows that it was cut off.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use compact_str::CompactString;
use consign_domain::time::Timestamp;
use consign_orchestrator::{EventCursor, Recorded, Window};
use futures::Stream;
use serde::Deserialize;

use crate::answer::Answered;
use crate::blocking::blocking;
use crate::gateway::Gateway;
use crate::limits::Taken;
use crate::paging::Asked;
use crate::problem::{Problem, ProblemBody};
use crate::time_text;

/// Events that are read at a time.
const EVENTS_PER_READ: usize = 1_000;
/// What a recording is.
const JSON_LINES: &str = "application/jsonl";

/// What of time is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordingQuery {
    /// Orders that were placed before are left out; RFC 3339. Without it all are in.
    #[param(value_type = Option<String>)]
    since: Option<CompactString>,
    /// Orders that were placed then or later are left out; RFC 3339.
    #[param(value_type = Option<String>)]
    until: Option<CompactString>,
}

impl RecordingQuery {
    fn window(&self) -> Result<Window, Problem> {
        let time = |name: &'static str, text: &Option<CompactString>, without: i64| match text {
            None => Ok(Timestamp(without)),
            Some(text) => time_text::parse(text)
                .ok_or_else(|| Problem::query(name, "a time as in RFC 3339, 2026-11-28T00:00:00Z")),
        };
        let window = Window {
            since: time("since", &self.since, i64::MIN)?,
            until: time("until", &self.until, i64::MAX)?,
        };
        if window.until <= window.since {
            return Err(Problem::query("until", "a time after `since`"));
        }
        Ok(window)
    }
}

/// What happened, as far as sourcing rests on it, as JSON lines: what `consign whatif` replays.
#[utoipa::path(get, path = "/v1/recording", tag = "strategies", params(RecordingQuery),
    responses(
        (status = 200, description = "A line each: `head`, `definition`, `stands`, `stock`, `limited`, `order`, `decided`, `end`. One that does not end with `end` was cut off.", content_type = "application/jsonl"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn recording(
    State(gateway): State<Gateway>,
    Asked(query): Asked<RecordingQuery>,
) -> Answered {
    let window = query.window()?;
    let open = gateway.event_streams.take(1)?;
    let reader = gateway.clone();
    // What locations stand at is read first: it counts events up to a version, and those follow.
    let (head, end) = blocking(gateway.consign.threads(), move || {
        let head = reader.consign.recording_head(window)?;
        Ok((head, reader.consign.cursor_now()))
    })
    .await?;
    let lines = head.len() as u64;
    let portions = Portions {
        at: gateway.consign.cursor_beginning(),
        gateway,
        window,
        end,
        first: Some(head),
        lines,
        is_over: false,
        _open: open,
    };
    let mut response = Response::new(Body::from_stream(portions.into_stream()));
    let kind = axum::http::HeaderValue::from_static(JSON_LINES);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// A recording under way.
struct Portions {
    gateway: Gateway,
    window: Window,
    at: EventCursor,
    end: EventCursor,
    first: Option<Vec<Recorded>>,
    lines: u64,
    is_over: bool,
    _open: Taken,
}

impl Portions {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        futures::stream::unfold(self, |mut portions| async move {
            let next = portions.next().await?;
            Some((next, portions))
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        loop {
            if self.is_over {
                return None;
            }
            let lines = match self.first.take() {
                Some(head) => head,
                None => match self.read().await {
                    Ok(lines) => lines,
                    Err(problem) => {
                        self.is_over = true;
                        tracing::warn!(?problem, "a recording was broken off");
                        return Some(Err(std::io::Error::other("broken off")));
                    }
                },
            };
            match written(&lines) {
                Ok(bytes) if bytes.is_empty() => {}
                written => return Some(written.map_err(std::io::Error::other)),
            }
        }
    }

    /// The next portion; the last one when all that had happened when it began is in.
    async fn read(&mut self) -> Result<Vec<Recorded>, Problem> {
        if self.at.is_behind(&self.end) {
            let (gateway, window, at) = (self.gateway.clone(), self.window, self.at.clone());
            let (lines, at) = blocking(self.gateway.consign.threads(), move || {
                gateway.consign.recorded_after(&at, EVENTS_PER_READ, window)
            })
            .await?;
            self.at = at;
            self.lines += lines.len() as u64;
            return Ok(lines);
        }
        self.is_over = true;
        Ok(vec![Recorded::End { lines: self.lines }])
    }
}

fn written(lines: &[Recorded]) -> Result<Bytes, serde_json::Error> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}
