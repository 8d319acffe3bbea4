//! One keep-alive connection to the target, driven by hand: the server is what is measured, so a
//! request costs one write, its answer rarely more than one read, and no task, channel or timer.
//!
//! In: requests, one at a time. Out: the status and the body of each answer, in a buffer that the
//! next one uses again. A connection that breaks is opened again once and the request repeated,
//! since orders carry idempotency keys. A request takes [`REQUEST_TIMEOUT`] at most.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::response::{Body, Head};
use crate::http::{Client, ClientError, REQUEST_TIMEOUT, Stream};

/// Bytes that are asked for at once, at least.
const READ_BYTES: usize = 16 << 10;
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection, open or to be opened.
pub(super) struct Connection<'c> {
    client: &'c Client,
    stream: Option<Stream>,
    request: Vec<u8>,
    /// What was read lies in front; behind it is room.
    read: Vec<u8>,
    filled: usize,
    /// Rings now and then, so that a request does not need a timer of its own.
    watch: Pin<Box<Sleep>>,
}

/// An answer.
pub(super) struct Heard<'a> {
    /// Its status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: &'a [u8],
}

impl<'c> Connection<'c> {
    /// Opens with its first request.
    pub(super) fn new(client: &'c Client) -> Connection<'c> {
        Connection {
            client,
            stream: None,
            request: Vec::new(),
            read: vec![0; READ_BYTES],
            filled: 0,
            watch: Box::pin(sleep(REQUEST_TIMEOUT)),
        }
    }

    /// Posts a body and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// When the connection fails, also after it was opened again.
    pub(super) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Heard<'_>, ClientError> {
        self.request.clear();
        self.client
            .write_head(&mut self.request, "POST", path, headers, body.len());
        self.request.extend_from_slice(body);
        self.asked().await
    }

    /// Gets what lies at a path, whatever the answer's status.
    ///
    /// # Errors
    /// When the connection fails, also after it was opened again.
    pub(super) async fn get(&mut self, path: &str) -> Result<Heard<'_>, ClientError> {
        self.request.clear();
        self.client
            .write_head(&mut self.request, "GET", path, &[], 0);
        self.asked().await
    }

    /// Sends the request, and once more on a new connection when the one before has broken.
    async fn asked(&mut self) -> Result<Heard<'_>, ClientError> {
        let was_open = self.stream.is_some();
        let mut went = self.exchange().await;
        if went.is_err() && was_open {
            went = self.exchange().await;
        }
        let (status, body) = went?;
        Ok(Heard {
            status,
            body: &self.read[body],
        })
    }

    /// Sends the request and reads its answer; gives the status, and where the body lies.
    async fn exchange(&mut self) -> Result<(u16, std::ops::Range<usize>), ClientError> {
        // Only a connection whose answer was read to its end is kept.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.client.open().await?,
        };
        let failed = |reason: &dyn std::fmt::Display| self.client.failed(reason);
        let began = Instant::now();
        let (mut sent, mut head, mut body) = (0, None::<Head>, None::<Body>);
        self.filled = 0;
        loop {
            if sent == self.request.len() && head.is_none() {
                head = Head::parse(&self.read[..self.filled]).map_err(|error| failed(&error))?;
                body = head.as_ref().map(Head::body);
            }
            if let Some(head) = &head
                && let Some(body) = &mut body
                && let Some(whole) = body
                    .take(&mut self.read[..self.filled])
                    .map_err(|error| failed(&error))?
            {
                if !head.closes {
                    self.stream = Some(stream);
                }
                return Ok((head.status, whole));
            }
            if self.filled + READ_BYTES > self.read.len() {
                if self.read.len() >= ANSWER_BYTES_MAX {
                    return Err(failed(&"the answer is too large"));
                }
                self.read.resize(self.read.len() * 2, 0);
            }
            let (request, read) = (&self.request[sent..], &mut self.read[self.filled..]);
            let mut watch = self.watch.as_mut();
            let step = poll_fn(|context| {
                let step = poll_step(Pin::new(&mut stream), context, request, read);
                if step.is_pending() && watch.as_mut().poll(context).is_ready() {
                    watch.as_mut().reset(began + REQUEST_TIMEOUT);
                    if watch.as_mut().poll(context).is_ready() {
                        let late = io::Error::new(io::ErrorKind::TimedOut, "timed out");
                        return Poll::Ready(Err(late));
                    }
                }
                step
            });
            match step.await.map_err(|error| failed(&error))? {
                Step::Wrote(0) | Step::Read(0) => {
                    return Err(failed(&"the connection was closed"));
                }
                Step::Wrote(bytes) => sent += bytes,
                Step::Read(bytes) => self.filled += bytes,
            }
        }
    }
}

/// What can be done on a stream: bytes went out, or came in.
enum Step {
    Wrote(usize),
    Read(usize),
}

/// Reads also while the request is not out: a server may answer a batch's first lines before it
/// takes its last ones.
fn poll_step<S: AsyncRead + AsyncWrite>(
    mut stream: Pin<&mut S>,
    context: &mut Context<'_>,
    request: &[u8],
    read: &mut [u8],
) -> Poll<io::Result<Step>> {
    if !request.is_empty()
        && let Poll::Ready(wrote) = stream.as_mut().poll_write(context, request)
    {
        return Poll::Ready(wrote.map(Step::Wrote));
    }
    let mut room = ReadBuf::new(read);
    match stream.poll_read(context, &mut room) {
        Poll::Ready(done) => Poll::Ready(done.map(|()| Step::Read(room.filled().len()))),
        Poll::Pending => Poll::Pending,
    }
}
