//! One outgoing connection: to one peer, for one lane. Dialled again as long as the peer is known.
//!
//! ```text
//! away ──dialled, welcome──► open ──silent, broken, refused──► away (pause, doubling)
//! ```
//! In: messages and questions, at once or not at all. Out: the same, packed into few writes; the
//! answers to those who wait. A peer that says nothing for [`crate::alive::SILENCE_MAX`] is taken for gone,
//! whatever its sockets say. Bounded (L8): [`QUEUE_FRAMES_MAX`] frames and [`QUEUE_BYTES_MAX`] bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use crate::alive::{Alive, Watched};
use crate::frame_writer::{FrameWriter, WRITE_FRAMES_MAX};
use crate::greeting::{Greeted, GreetingError, Me, Wire, codec_of, greet};
use crate::network::Network;
use crate::transport::{CallError, Handler, SendError};
use crate::wire::{Frame, Lane, NodeId};

/// Frames that wait for a peer at most.
const QUEUE_FRAMES_MAX: usize = 4_096;
/// Payload bytes that wait for a peer at most; one frame is always let in.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often a peer is asked whether it lives.
const PING_EVERY: Duration = Duration::from_millis(500);
/// How long dialling and greeting may take together.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before dialling again; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Messages that have waited for longer are dropped: their senders have sent them again by then.
const MESSAGE_AGE_MAX: Duration = Duration::from_secs(5);

type Answer = Result<Bytes, CallError>;

/// What waits to be sent.
enum Outgoing {
    Message {
        payload: Bytes,
        since: Instant,
    },
    Question {
        payload: Bytes,
        deadline: Instant,
        answer: oneshot::Sender<Answer>,
    },
}

impl Outgoing {
    fn size(&self) -> usize {
        match self {
            Outgoing::Message { payload, .. } | Outgoing::Question { payload, .. } => payload.len(),
        }
    }
}

/// A handle to the connection; it ends with the last.
pub(crate) struct Link {
    lane: Lane,
    queue: mpsc::Sender<Outgoing>,
    pub(crate) state: Arc<LinkState>,
    stop: CancellationToken,
}

/// How it stands.
#[derive(Debug, Default)]
pub(crate) struct LinkState {
    pub(crate) open: AtomicBool,
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) dropped: AtomicU64,
    /// Why the last connection ended, or was not made.
    pub(crate) trouble: Mutex<Option<String>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Link {
    pub(crate) fn to<N: Network>(
        network: Arc<N>,
        (me, handler): (Arc<Me>, Arc<dyn Handler>),
        peer: (NodeId, String),
        lane: Lane,
        seed: u64,
        stop: &CancellationToken,
    ) -> Link {
        let (queue, waiting) = mpsc::channel(QUEUE_FRAMES_MAX);
        let state = Arc::new(LinkState::default());
        let stop = stop.child_token();
        let line = Line {
            network,
            me,
            handler,
            peer: peer.0,
            address: peer.1,
            lane,
            state: Arc::clone(&state),
            chance: SmallRng::seed_from_u64(seed),
        };
        let stopped = stop.clone();
        tokio::spawn(async move {
            stopped.run_until_cancelled(line.run(waiting)).await;
        });
        Link {
            lane,
            queue,
            state,
            stop,
        }
    }

    /// Sends or drops, at once.
    pub(crate) fn send(&self, payload: Bytes) -> Result<(), SendError> {
        let since = Instant::now();
        self.put(Outgoing::Message { payload, since })
    }

    /// Asks, and waits for the answer until `deadline`.
    pub(crate) async fn call(&self, payload: Bytes, deadline: Instant) -> Answer {
        let (answer, answered) = oneshot::channel();
        let question = Outgoing::Question {
            payload,
            deadline,
            answer,
        };
        self.put(question).map_err(CallError::NotSent)?;
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::TimedOut),
        }
    }

    fn put(&self, outgoing: Outgoing) -> Result<(), SendError> {
        let size = outgoing.size();
        if size > self.lane.payload_bytes_max() {
            return Err(SendError::TooLarge {
                bytes: size,
                max: self.lane.payload_bytes_max(),
            });
        }
        let before = self.state.queued_bytes.fetch_add(size, Ordering::Relaxed);
        let fits = before == 0 || before + size <= QUEUE_BYTES_MAX;
        if fits && self.queue.try_send(outgoing).is_ok() {
            return Ok(());
        }
        self.state.queued_bytes.fetch_sub(size, Ordering::Relaxed);
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("consign_transport_dropped_total", "lane" => self.lane.name())
            .increment(1);
        Err(SendError::Full)
    }
}

/// The task behind a link.
struct Line<N> {
    network: Arc<N>,
    me: Arc<Me>,
    handler: Arc<dyn Handler>,
    peer: NodeId,
    address: String,
    lane: Lane,
    state: Arc<LinkState>,
    chance: SmallRng,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it sent what is no frame: {0}")]
    Wire(#[from] crate::wire::WireError),
    #[error("it sent a frame that only a dialling node sends")]
    NotAnAnswer,
    #[error("it closed the connection")]
    Closed,
    #[error("it has said nothing for too long")]
    Silent,
    #[error("nobody sends to it any more")]
    Unwanted,
}

impl<N: Network> Line<N> {
    async fn run(mut self, mut waiting: mpsc::Receiver<Outgoing>) {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.dial().await {
                Ok(Greeted {
                    stream, version, ..
                }) => {
                    tracing::info!(peer = %self.peer, lane = self.lane.name(), version, "connected");
                    pause = PAUSE_FIRST;
                    self.state.open.store(true, Ordering::Relaxed);
                    let ended = self.converse(stream, &mut waiting).await;
                    self.state.open.store(false, Ordering::Relaxed);
                    self.turn_away(&mut waiting);
                    self.trouble(&ended);
                    if matches!(ended, Ended::Unwanted) {
                        return;
                    }
                }
                Err(error) => self.trouble(&error),
            }
            // Up to half as long again, so that nodes that lost each other do not dial in step.
            let jitter = pause.mul_f64(self.chance.random_range(0.0..0.5));
            tokio::time::sleep(pause + jitter).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whoever still waits to be sent hears at once that it was not: it may know another way.
    fn turn_away(&self, waiting: &mut mpsc::Receiver<Outgoing>) {
        while let Ok(outgoing) = waiting.try_recv() {
            self.state
                .queued_bytes
                .fetch_sub(outgoing.size(), Ordering::Relaxed);
            if let Outgoing::Question { answer, .. } = outgoing {
                let _ = answer.send(Err(CallError::NotSent(SendError::NotConnected)));
            }
        }
    }

    fn trouble(&self, what: &dyn std::fmt::Display) {
        let text = what.to_string();
        let mut known = self.state.trouble.lock();
        // The same again and again is said once.
        if known.as_ref() != Some(&text) {
            tracing::warn!(peer = %self.peer, lane = self.lane.name(), reason = text, "not connected");
            *known = Some(text);
        }
    }

    async fn dial(&self) -> Result<Greeted, GreetingError> {
        let dialled = async {
            let stream = self.network.connect(&self.address).await?;
            greet(&self.me, &*self.handler, self.peer, self.lane, stream).await
        };
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        tokio::time::timeout(GREETING_TIMEOUT, dialled)
            .await
            .map_err(|_| late())?
    }

    /// Talks until the connection ends; whoever waits for an answer by then hears that it is lost.
    async fn converse(
        &self,
        stream: Box<dyn Wire>,
        waiting: &mut mpsc::Receiver<Outgoing>,
    ) -> Ended {
        let (asked, alive) = (Asked::default(), Alive::now());
        let (read, write) = tokio::io::split(stream);
        let read = FramedRead::new(Watched(read, alive.clone()), codec_of(self.lane));
        let ended = tokio::select! {
            biased;
            ended = asked.hear(read) => ended,
            ended = self.speak(FrameWriter::new(write, alive.clone()), waiting, &asked) => ended,
            () = alive.silence() => Err(Ended::Silent),
        };
        asked.lost();
        match ended {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn speak(
        &self,
        mut writer: FrameWriter<impl tokio::io::AsyncWrite + Unpin>,
        waiting: &mut mpsc::Receiver<Outgoing>,
        asked: &Asked,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(WRITE_FRAMES_MAX);
        let mut next = 0_u64;
        loop {
            // In this order, always: a run in a simulation must replay.
            tokio::select! {
                biased;
                _ = pings.tick() => {
                    next += 1;
                    writer.put(&Frame::Ping(next)).await?;
                }
                taken = waiting.recv_many(&mut batch, WRITE_FRAMES_MAX) => {
                    if taken == 0 {
                        return Err(Ended::Unwanted);
                    }
                    for outgoing in batch.drain(..) {
                        self.state.queued_bytes.fetch_sub(outgoing.size(), Ordering::Relaxed);
                        next += 1;
                        if let Some(frame) = asked.frame(next, outgoing) {
                            writer.put(&frame).await?;
                        }
                    }
                }
            }
            writer.flush().await?;
        }
    }
}

/// Those who wait for answers on one connection.
#[derive(Default)]
struct Asked {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
}

impl Asked {
    /// The frame for what waited, unless it has waited for too long.
    fn frame(&self, id: u64, outgoing: Outgoing) -> Option<Frame> {
        let now = Instant::now();
        match outgoing {
            Outgoing::Message { payload, since } => {
                (now.duration_since(since) <= MESSAGE_AGE_MAX).then_some(Frame::Message(payload))
            }
            Outgoing::Question {
                payload,
                deadline,
                answer,
            } => {
                let left = deadline.saturating_duration_since(now).as_millis();
                if left == 0 || answer.is_closed() {
                    return None;
                }
                let mut waiting = self.waiting.lock();
                // Who has given up leaves no room taken for long.
                if waiting.len() >= QUEUE_FRAMES_MAX {
                    waiting.retain(|_, answer| !answer.is_closed());
                }
                waiting.insert(id, answer);
                Some(Frame::Request {
                    id,
                    left_ms: u32::try_from(left).unwrap_or(u32::MAX),
                    question: payload,
                })
            }
        }
    }

    async fn hear(
        &self,
        mut read: FramedRead<impl tokio::io::AsyncRead + Unpin, LengthDelimitedCodec>,
    ) -> Result<std::convert::Infallible, Ended> {
        loop {
            let body = read.next().await.ok_or(Ended::Closed)??;
            let (id, answer) = match Frame::decode(body.freeze())? {
                Frame::Pong(_) => continue,
                Frame::Answer { id, answer } => (id, Ok(answer)),
                Frame::Refusal { id, reason } => {
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    (id, Err(CallError::Refused(reason)))
                }
                Frame::Ping(_) | Frame::Message(_) | Frame::Request { .. } | Frame::Disk(_) => {
                    return Err(Ended::NotAnAnswer);
                }
            };
            if let Some(asker) = self.waiting.lock().remove(&id) {
                // Whether it still waits is its own affair.
                let _ = asker.send(answer);
            }
        }
    }

    fn lost(&self) {
        for asker in std::mem::take(&mut *self.waiting.lock()).into_values() {
            let _ = asker.send(Err(CallError::Lost));
        }
    }
}
