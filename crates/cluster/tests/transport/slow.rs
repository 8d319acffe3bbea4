//! A slow line is not a silent one: a large frame may take longer than a peer may be silent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use consign_cluster::{
    Lane, Network, NodeId, SystemNetwork, Transport, TransportOptions, WIRE_VERSION,
    WIRE_VERSION_OLDEST,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use crate::world::{CLUSTER, Listener};

/// Bytes that a line takes at a time, and how often: 2 MiB a second.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_EVERY: Duration = Duration::from_millis(31);

/// The system's network behind a slow line.
struct Slow;

struct SlowStream {
    stream: TcpStream,
    pause: Pin<Box<Sleep>>,
}

impl SlowStream {
    fn of(stream: TcpStream) -> SlowStream {
        let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        SlowStream { stream, pause }
    }
}

impl AsyncRead for SlowStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SlowStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.pause.as_mut().poll(context));
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, piece));
        self.pause.as_mut().reset(Instant::now() + PIECE_EVERY);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Network for Slow {
    type Stream = SlowStream;
    type Listener = TcpListener;

    async fn bind(&self, address: &str) -> io::Result<(TcpListener, SocketAddr)> {
        SystemNetwork.bind(address).await
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<SlowStream> {
        Ok(SlowStream::of(SystemNetwork.accept(listener).await?))
    }

    async fn connect(&self, address: &str) -> io::Result<SlowStream> {
        Ok(SlowStream::of(SystemNetwork.connect(address).await?))
    }
}

async fn start(n: u64) -> Transport {
    let options = TransportOptions {
        cluster: CLUSTER,
        node: NodeId(n),
        listen: "127.0.0.1:0".to_owned(),
        identity: None,
        versions: (WIRE_VERSION_OLDEST, WIRE_VERSION),
        seed: n,
    };
    let started = Transport::start(Slow, options, Arc::<Listener>::default());
    started.await.expect("listens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_is_not_a_silent_one() {
    let (one, two) = (start(1).await, start(2).await);
    one.set_peer(NodeId(2), &two.address().to_string());
    // Five seconds there, and five back.
    let mut question = b"echo ".to_vec();
    question.resize(10 << 20, b'x');
    let question = Bytes::from(question);
    let asked = Instant::now();
    let deadline = asked + Duration::from_secs(60);
    let answer = one
        .call(NodeId(2), Lane::Entities, question.clone(), deadline)
        .await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(question.len() - 5));
    assert!(
        asked.elapsed() > Duration::from_secs(8),
        "the line was slow"
    );
}
