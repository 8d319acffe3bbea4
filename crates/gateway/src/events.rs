//! Everything that happened, as a live stream (server-sent events) or in pages.
//!
//! In: a cursor. Out: events after it, each with the cursor that stands behind it, so that a
//! client that comes back with the last one it saw misses nothing. Duplicates are possible,
//! gaps are not.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, HeaderMap};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use compact_str::CompactString;
use consign_domain::entity::Stamp;
use consign_orchestrator::{EventCursor, HappenedEvent, ServiceError};
use futures::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::answer::{self, Answered};
use crate::blocking::blocking;
use crate::event_text::presentable;
use crate::gateway::Gateway;
use crate::limits::Taken;
use crate::paging::{self, Asked};
use crate::problem::{Problem, ProblemBody};
use crate::time_text::TimeText;

/// Events that are read at a time for a stream.
const EVENTS_PER_READ: usize = 200;
/// How often a stream to which nothing comes looks whether anything can.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a stream that has nothing to say says so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The header in which a browser sends the last id that it saw.
const LAST_EVENT_ID: &str = "last-event-id";

/// Where a stream starts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// A cursor, `now` or `beginning`; `now` if left out. `Last-Event-ID` goes before it.
    #[param(value_type = Option<String>)]
    since: Option<CompactString>,
    /// Closes the stream after so many events, 1 to 500; of a page, its items.
    #[param(value_type = Option<u32>)]
    limit: Option<CompactString>,
}

/// One thing that happened.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct EventBody {
    /// Behind this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// `order`, `location`, `carrier`, `catalogue`, `reservation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    entity: Option<&'static str>,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The entity's version after it.
    version: u64,
    /// What: `placed`, `sourced`, `reserved`, ….
    r#type: String,
    /// When it happened.
    #[schema(value_type = String)]
    occurred_at: TimeText,
    /// When it was recorded.
    #[schema(value_type = String)]
    recorded_at: TimeText,
    /// Who acted.
    by: String,
    /// The event as recorded: amounts in minor units, lines by index from 0.
    data: Value,
}

/// An event with what is recorded beside it.
///
/// # Errors
/// 500 when the event cannot be written as JSON.
pub fn recorded(
    happened: Option<&HappenedEvent>,
    version: u64,
    stamp: &Stamp,
    event: &impl Serialize,
) -> Result<EventBody, Problem> {
    let (kind, data) = presentable(event).map_err(unwritable)?;
    Ok(EventBody {
        cursor: happened.map(|h| h.cursor.to_string()),
        entity: happened.map(|h| h.entity_kind),
        id: happened.map(|h| h.entity.clone()),
        version,
        r#type: kind,
        occurred_at: TimeText(stamp.occurred_at),
        recorded_at: TimeText(stamp.recorded_at),
        by: stamp.by.to_string(),
        data,
    })
}

/// 500 for a record that cannot be written as JSON.
#[must_use]
pub fn unwritable(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "a record cannot be written as JSON");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "a record cannot be shown; report the request id",
    )
}

/// A page of events.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = EventsPage)]
pub struct EventsBody {
    events: Vec<EventBody>,
    /// Behind the last event; ask again with `since=` it.
    next_cursor: String,
}

/// Everything that happened, live, as server-sent events; with `Accept: application/json`, a page.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery,
    ("Last-Event-ID" = Option<String>, Header, description = "The last id seen; resumes behind it")),
    responses(
        (status = 200, description = "`id` is a cursor, `event` the entity's kind, `data` an Event", body = EventBody, content_type = "text/event-stream"),
        (status = 410, description = "`cursor_expired`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn stream(
    State(gateway): State<Gateway>,
    Asked(query): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Answered {
    let last_id = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok());
    let cursor = match last_id
        .filter(|id| !id.is_empty())
        .or(query.since.as_deref())
        .unwrap_or("now")
    {
        "now" => gateway.consign.cursor_now(),
        "beginning" => gateway.consign.cursor_beginning(),
        text => text.parse().map_err(|_| ServiceError::CursorInvalid)?,
    };
    let accepts = |media: &str| {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| accept.contains(media))
    };
    if accepts("application/json") && !accepts("text/event-stream") {
        let limit = paging::limit(query.limit.as_deref())?;
        return page(gateway, cursor, limit).await;
    }
    let limit = query
        .limit
        .as_deref()
        .map(|limit| paging::limit(Some(limit)))
        .transpose()?;
    let open = gateway.event_streams.take(1)?;
    // Whether the cursor still holds is found out before the stream begins, while there is a status.
    let commits = gateway.consign.commits();
    let first = read(&gateway, cursor.clone(), EVENTS_PER_READ).await?;
    let reader = Reader {
        gateway,
        commits,
        cursor: first.cursor,
        waiting: first.events.into_iter(),
        left: limit,
        _open: open,
        ended: false,
    };
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(reader.into_stream())
        .keep_alive(alive)
        .into_response())
}

async fn read(
    gateway: &Gateway,
    cursor: EventCursor,
    limit: usize,
) -> Result<consign_orchestrator::EventPage, Problem> {
    let gateway = gateway.clone();
    blocking(gateway.consign.threads(), move || {
        gateway.consign.events_after(&cursor, limit)
    })
    .await
}

async fn page(gateway: Gateway, mut cursor: EventCursor, limit: usize) -> Answered {
    let mut events = Vec::new();
    loop {
        let page = read(&gateway, cursor.clone(), limit).await?;
        // Records that hold no event move the cursor only; an empty page says that there is no more.
        let stands_still = page.cursor == cursor;
        cursor = page.cursor;
        // Every partition gives at least a record, so there may be more events than were asked for.
        for happened in page.events.iter().take(limit) {
            events.push(recorded(
                Some(happened),
                happened.version,
                &happened.stamp,
                &happened.kind,
            )?);
            cursor = happened.cursor.clone();
        }
        if !events.is_empty() || stands_still {
            return answer::json(
                StatusCode::OK,
                &EventsBody {
                    events,
                    next_cursor: cursor.to_string(),
                },
            );
        }
    }
}

/// One open stream.
struct Reader {
    gateway: Gateway,
    commits: watch::Receiver<u64>,
    cursor: EventCursor,
    waiting: std::vec::IntoIter<HappenedEvent>,
    left: Option<usize>,
    _open: Taken,
    ended: bool,
}

impl Reader {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok(event), reader))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.ended || self.left == Some(0) {
            return None;
        }
        loop {
            if let Some(happened) = self.waiting.next() {
                self.left = self.left.map(|left| left - 1);
                return Some(event_of(&happened));
            }
            // Marked as seen before reading: what is committed during the read wakes it again.
            self.commits.borrow_and_update();
            let stands_still;
            match read(&self.gateway, self.cursor.clone(), EVENTS_PER_READ).await {
                Ok(page) => {
                    stands_still = page.cursor == self.cursor;
                    self.cursor = page.cursor;
                    self.waiting = page.events.into_iter();
                }
                Err(problem) => {
                    return Some(self.end_with(&problem));
                }
            }
            // Only when there is nothing left to read is there something to wait for.
            if stands_still && let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Waits until there may be something to read; or gives how the stream ends.
    async fn wait(&mut self) -> Result<(), Option<Event>> {
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.commits.changed()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => return Err(None),
                // Where nothing comes any more, the stream ends all the same.
                Err(_) => {
                    if let Err(error) = self.gateway.consign.ensure_in() {
                        return Err(Some(self.end_with(&error.into())));
                    }
                }
            }
        }
    }

    /// The last event of a stream that cannot go on.
    fn end_with(&mut self, problem: &Problem) -> Event {
        self.ended = true;
        let text = serde_json::to_string(problem).unwrap_or_default();
        Event::default().event("problem").data(text)
    }
}

fn event_of(happened: &HappenedEvent) -> Event {
    let event = Event::default()
        .id(happened.cursor.to_string())
        .event(happened.entity_kind);
    let body = recorded(
        Some(happened),
        happened.version,
        &happened.stamp,
        &happened.kind,
    );
    match body.map(|body| serde_json::to_string(&body)) {
        Ok(Ok(text)) => event.data(text),
        _ => event.data("{}"),
    }
}
