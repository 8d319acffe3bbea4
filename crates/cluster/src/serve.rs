//! Incoming connections: who may come in, and what they want.
//!
//! In: connections that somebody opened. Out: messages and questions for the [`Handler`], each with
//! the node that sent it; its answers. A stranger is refused, a stalled greeting is cut off and
//! blocks nobody: when too many are under way, the oldest goes. Of two connections of one node on
//! one lane the later one stays: the node has lost the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_runtime::DiskId;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use crate::alive::{Alive, Watched};
use crate::frame_writer::{FrameWriter, WRITE_FRAMES_MAX};
use crate::greeting::{Greeted, GreetingError, Me, Wire, codec_of, receive};
use crate::link::GREETING_TIMEOUT;
use crate::network::Network;
use crate::transport::Handler;
use crate::wire::{Frame, Lane, NodeId, WireError};

/// Greetings under way at most.
const GREETINGS_MAX: usize = 64;
/// Questions of one connection that are worked on at most; more are refused at once. Were they left
/// unread, so would be the pings behind them, and a busy node would be taken for a dead one.
const QUESTIONS_MAX: usize = 1_024;
/// How long to wait after an accept failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all incoming connections share.
pub(crate) struct Door {
    pub(crate) me: Arc<Me>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) stop: CancellationToken,
    greetings: Mutex<VecDeque<(u64, CancellationToken)>>,
    guests: Mutex<HashMap<(NodeId, Lane), Guest>>,
}

/// A connection that a node has made.
struct Guest {
    number: u64,
    ended: CancellationToken,
    disk: Option<DiskId>,
}

impl Door {
    pub(crate) fn new(me: Arc<Me>, handler: Arc<dyn Handler>, stop: CancellationToken) -> Door {
        Door {
            me,
            handler,
            stop,
            greetings: Mutex::default(),
            guests: Mutex::default(),
        }
    }

    pub(crate) async fn keep<N: Network>(
        self: Arc<Self>,
        network: Arc<N>,
        mut listener: N::Listener,
    ) {
        let mut number = 0_u64;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = network.accept(&mut listener) => accepted,
            };
            match accepted {
                Ok(stream) => {
                    number += 1;
                    let (door, ended) = (Arc::clone(&self), self.begin(number));
                    tokio::spawn(async move {
                        ended
                            .clone()
                            .run_until_cancelled(door.attend::<N>(number, ended, stream))
                            .await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a node's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A greeting begins; where there are too many, the oldest ends.
    fn begin(&self, number: u64) -> CancellationToken {
        let ended = self.stop.child_token();
        let mut greetings = self.greetings.lock();
        if greetings.len() >= GREETINGS_MAX
            && let Some((_, oldest)) = greetings.pop_front()
        {
            oldest.cancel();
            refused("stalled");
        }
        greetings.push_back((number, ended.clone()));
        ended
    }

    async fn attend<N: Network>(&self, number: u64, ended: CancellationToken, stream: N::Stream) {
        let receiving = receive(&self.me, &*self.handler, stream);
        let greeted = tokio::time::timeout(GREETING_TIMEOUT, receiving).await;
        self.greetings.lock().retain(|(other, _)| *other != number);
        let Greeted {
            stream,
            peer: from,
            lane,
            disk,
            ..
        } = match greeted {
            Ok(Ok(guest)) => guest,
            Ok(Err(error)) => {
                // Whoever knows the disks has said so, once.
                if let GreetingError::TheirDisk(peer) = error {
                    tracing::debug!(%peer, "a disk is refused");
                    return refused("disk");
                }
                tracing::warn!(%error, "a connection is refused");
                return refused("stranger");
            }
            Err(_) => return refused("stalled"),
        };
        let guest = Guest {
            number,
            ended: ended.clone(),
            disk,
        };
        self.take_place(from, lane, guest);
        let left = self.converse(stream, from, lane, &ended).await;
        tracing::debug!(peer = %from, lane = lane.name(), reason = ?left, "a peer's connection ended");
        let mut guests = self.guests.lock();
        if guests
            .get(&(from, lane))
            .is_some_and(|now| now.number == number)
        {
            guests.remove(&(from, lane));
        }
    }

    /// Ends what a node has connected.
    pub(crate) fn hang_up(&self, node: NodeId) {
        let guests = self.guests.lock();
        for lane in Lane::ALL {
            if let Some(guest) = guests.get(&(node, lane)) {
                guest.ended.cancel();
            }
        }
    }

    /// A guest takes the place of the one before; what came from another disk of its node ends.
    fn take_place(&self, from: NodeId, lane: Lane, guest: Guest) {
        let mut guests = self.guests.lock();
        for other in Lane::ALL.into_iter().filter(|other| *other != lane) {
            if let Some(there) = guests.get(&(from, other))
                && there.disk != guest.disk
            {
                there.ended.cancel();
            }
        }
        if let Some(earlier) = guests.insert((from, lane), guest) {
            earlier.ended.cancel();
        }
    }

    async fn converse(
        &self,
        stream: Box<dyn Wire>,
        from: NodeId,
        lane: Lane,
        ended: &CancellationToken,
    ) -> Left {
        let alive = Alive::now();
        let (read, write) = tokio::io::split(stream);
        let read = FramedRead::new(Watched(read, alive.clone()), codec_of(lane));
        let (answers, mut leaving) = mpsc::channel::<Frame>(QUESTIONS_MAX);
        let mut writer = FrameWriter::new(write, alive.clone());
        let speak = async {
            let mut batch = Vec::with_capacity(WRITE_FRAMES_MAX);
            while leaving.recv_many(&mut batch, WRITE_FRAMES_MAX).await > 0 {
                for frame in batch.drain(..) {
                    writer.put(&frame).await?;
                }
                writer.flush().await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            left = self.hear(read, (from, lane), ended, answers) => left,
            left = speak => left.map_or_else(Left::Io, |()| Left::Closed),
            () = alive.silence() => Left::Silent,
        }
    }

    async fn hear(
        &self,
        mut read: FramedRead<impl tokio::io::AsyncRead + Unpin, LengthDelimitedCodec>,
        (from, lane): (NodeId, Lane),
        ended: &CancellationToken,
        answers: mpsc::Sender<Frame>,
    ) -> Left {
        let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
        loop {
            let body = match read.next().await {
                Some(Ok(body)) => body.freeze(),
                Some(Err(error)) => return Left::Io(error),
                None => return Left::Closed,
            };
            // Another has taken its place: what is still buffered is of before.
            if ended.is_cancelled() {
                return Left::Closed;
            }
            match Frame::decode(body) {
                Ok(Frame::Ping(id)) => {
                    if answers.send(Frame::Pong(id)).await.is_err() {
                        return Left::Closed;
                    }
                }
                Ok(Frame::Message(payload)) => self.handler.message(from, lane, payload),
                Ok(Frame::Request {
                    id,
                    left_ms,
                    question,
                }) => {
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                        let reason = Bytes::from_static(b"too many questions are open, ask later");
                        if answers.send(Frame::Refusal { id, reason }).await.is_err() {
                            return Left::Closed;
                        }
                        continue;
                    };
                    let deadline = Instant::now() + Duration::from_millis(u64::from(left_ms));
                    let asked = self.handler.call(from, lane, question, deadline);
                    let answers = answers.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        // Nobody waits for it after that.
                        if let Ok(answer) = tokio::time::timeout_at(deadline, asked).await {
                            let _ = answers.send(answer_frame(id, lane, answer)).await;
                        }
                    });
                }
                Ok(
                    Frame::Pong(_) | Frame::Answer { .. } | Frame::Refusal { .. } | Frame::Disk(_),
                ) => {
                    return Left::NotAQuestion;
                }
                Err(error) => return Left::Wire(error),
            }
        }
    }
}

fn answer_frame(id: u64, lane: Lane, answer: Result<Bytes, String>) -> Frame {
    match answer {
        Ok(answer) if answer.len() <= lane.payload_bytes_max() => Frame::Answer { id, answer },
        Ok(_) => Frame::Refusal {
            id,
            reason: Bytes::from_static(b"the answer is too large for its lane"),
        },
        Err(reason) => Frame::Refusal {
            id,
            reason: Bytes::from(reason),
        },
    }
}

fn refused(why: &'static str) {
    metrics::counter!("consign_transport_refused_total", "why" => why).increment(1);
}

/// Why a peer's connection ended; told in the log.
#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
enum Left {
    Io(std::io::Error),
    Wire(WireError),
    Closed,
    Silent,
    NotAQuestion,
}
