//! The wires between a machine's process and the simulated network: what the system does for a process,
//! whether that runs or is stopped.
//!
//! In: connections that others open, and those that the process asks for. Out: the same as pipes, whose
//! other end the process has. What comes for a process that is stopped waits in them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use consign_cluster::Network;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use turmoil::net::{TcpListener, TcpStream};

use crate::network::{CLUSTER_PORT, HTTP_PORT};

/// What a pipe holds each way, in bytes: more than comes for a process while it is stopped.
const PIPE_BYTES: usize = 4 << 20;

/// Pipes as they come.
pub type Pipes = UnboundedReceiver<DuplexStream>;

/// A connection that the process asks for.
struct Dial {
    address: String,
    answer: oneshot::Sender<io::Result<DuplexStream>>,
}

/// The ends on the network's side.
pub struct Outside {
    dials: UnboundedReceiver<Dial>,
    cluster: UnboundedSender<DuplexStream>,
    http: UnboundedSender<DuplexStream>,
}

/// The ends on the process's side: for its transport, and for its clients' connections.
pub type Inside = (Wired, Pipes);

/// The network as the process's transport sees it.
pub struct Wired {
    dials: UnboundedSender<Dial>,
    /// For the one listener.
    cluster: Mutex<Option<Pipes>>,
}

/// Wires for a process that starts.
pub fn lay() -> (Outside, Inside) {
    let (dials, dialled) = unbounded_channel();
    let (cluster, from_cluster) = unbounded_channel();
    let (http, from_http) = unbounded_channel();
    let outside = Outside {
        dials: dialled,
        cluster,
        http,
    };
    let wired = Wired {
        dials,
        cluster: Mutex::new(Some(from_cluster)),
    };
    (outside, (wired, from_http))
}

/// Joins a connection to a pipe, whose other end it gives.
fn joined(mut stream: TcpStream) -> DuplexStream {
    let (inner, mut outer) = duplex(PIPE_BYTES);
    // A connection that breaks is one whose pipe ends.
    tokio::spawn(async move { drop(copy_bidirectional(&mut stream, &mut outer).await) });
    inner
}

async fn accept(port: u16, to: UnboundedSender<DuplexStream>) -> io::Result<()> {
    let listener = TcpListener::bind((IpAddr::from([0, 0, 0, 0]), port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // When the process has ended, this ends the connection.
        let _ = to.send(joined(stream));
    }
}

impl Outside {
    /// Carries everything, as long as the machine is on.
    pub async fn carry(mut self) -> turmoil::Result {
        tokio::spawn(accept(CLUSTER_PORT, self.cluster));
        tokio::spawn(accept(HTTP_PORT, self.http));
        while let Some(Dial { address, answer }) = self.dials.recv().await {
            tokio::spawn(async move {
                let stream = TcpStream::connect(address).await;
                let _ = answer.send(stream.map(joined));
            });
        }
        std::future::pending().await
    }
}

impl Network for Wired {
    type Stream = DuplexStream;
    type Listener = Pipes;

    async fn bind(&self, _: &str) -> io::Result<(Pipes, SocketAddr)> {
        let pipes = self.cluster.lock().take();
        let pipes = pipes.ok_or(io::ErrorKind::AddrInUse)?;
        Ok((pipes, SocketAddr::from(([0, 0, 0, 0], CLUSTER_PORT))))
    }

    async fn accept(&self, listener: &mut Pipes) -> io::Result<DuplexStream> {
        let pipe = listener.recv().await;
        pipe.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn connect(&self, address: &str) -> io::Result<DuplexStream> {
        let (answer, hear) = oneshot::channel();
        let address = address.to_owned();
        let gone = || io::Error::from(io::ErrorKind::NetworkDown);
        let dialled = self.dials.send(Dial { address, answer });
        dialled.map_err(|_| gone())?;
        hear.await.map_err(|_| gone())?
    }
}
