//! Reads server-sent events off an open answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;

use crate::client::{Client, Request};

/// How long a stream may say nothing while something is awaited.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// Behind it.
    pub cursor: String,
    /// The kind of entity.
    pub entity: String,
    /// Its id.
    pub id: String,
    /// Its version after the event.
    pub version: u64,
    /// The whole event.
    pub data: Value,
}

/// An open stream.
pub struct EventStream {
    body: Incoming,
    read: String,
    /// The connection lives as long as its sender.
    _sender: SendRequest<Full<Bytes>>,
}

impl EventStream {
    /// Opens `/v1/events` at a cursor, `now` or `beginning`.
    pub async fn since(client: &Client, since: &str) -> EventStream {
        EventStream::of(client.get(format!("/v1/events?since={since}"))).await
    }

    /// Opens a stream with a request of its own.
    ///
    /// # Panics
    /// When the answer is no stream.
    pub async fn of(request: Request) -> EventStream {
        let (response, sender) = request.open().await.expect("the stream opens");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        EventStream {
            body: response.into_body(),
            read: String::new(),
            _sender: sender,
        }
    }

    /// The next event; `None` when the stream has ended or broken.
    ///
    /// # Panics
    /// When nothing comes for too long, or what comes is no event.
    pub async fn next(&mut self) -> Option<Happened> {
        loop {
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                if let Some(happened) = parse(&block) {
                    return Some(happened);
                }
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.expect("the stream goes on")?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.read
                    .push_str(std::str::from_utf8(&data).expect("events are UTF-8"));
            }
        }
    }
}

impl EventStream {
    /// All that is still to come, as it comes, until the stream has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn rest(mut self) -> String {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            match frame.expect("the stream ends") {
                None | Some(Err(_)) => return self.read,
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    self.read.push_str(&String::from_utf8_lossy(&data));
                }
            }
        }
    }
}

/// One block between blank lines; `None` for a comment.
fn parse(block: &str) -> Option<Happened> {
    let (mut cursor, mut entity, mut data) = (None, None, String::new());
    for line in block.lines() {
        match line.split_once(':') {
            Some(("id", value)) => cursor = Some(value.trim_start().to_owned()),
            Some(("event", value)) => entity = Some(value.trim_start().to_owned()),
            Some(("data", value)) => data.push_str(value.strip_prefix(' ').unwrap_or(value)),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let data: Value = serde_json::from_str(&data).expect("an event's data is JSON");
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let happened = Happened {
        cursor: cursor.expect("an event has an id"),
        entity: entity.expect("an event has a kind"),
        id: text("id"),
        version: data["version"].as_u64().expect("an event has a version"),
        data: data.clone(),
    };
    assert_eq!(
        (text("cursor"), text("entity")),
        (happened.cursor.clone(), happened.entity.clone())
    );
    Some(happened)
}
