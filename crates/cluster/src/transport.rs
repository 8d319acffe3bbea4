//! A node's end of all connections.
//!
//! In: what the node has to say to others. Out: what they say to it, through its [`Handler`]. Each
//! pair of nodes has one connection for each lane and direction; who dials asks, who is dialled
//! answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use consign_runtime::DiskWord;
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::greeting::Me;
use crate::identity::Identity;
use crate::link::Link;
use crate::network::Network;
use crate::serve::Door;
use crate::wire::{ClusterId, DISKS_SINCE, Lane, NodeId, WIRE_VERSION, WIRE_VERSION_OLDEST};

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which node of it.
    pub node: NodeId,
    /// Where to listen, `host:port`.
    pub listen: String,
    /// How to prove who we are; without it connections are plain, which only a simulation wants.
    pub identity: Option<Identity>,
    /// The oldest and newest version of frames to speak.
    pub versions: (u16, u16),
    /// From which pauses are drawn.
    pub seed: u64,
}

impl TransportOptions {
    /// The versions of this build, over TLS.
    #[must_use]
    pub fn new(cluster: ClusterId, node: NodeId, listen: &str, identity: Identity) -> Self {
        TransportOptions {
            cluster,
            node,
            listen: listen.to_owned(),
            identity: Some(identity),
            versions: (WIRE_VERSION_OLDEST, WIRE_VERSION),
            seed: node.0,
        }
    }
}

/// An answer that is being worked out.
pub type Handling = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// Whether a peer's disk counts, once that is known.
pub type Meeting = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Hears what other nodes say. Called on a connection's own task, so it must not block.
pub trait Handler: Send + Sync + 'static {
    /// The disk on which this node stands; none as long as it starts.
    fn disk(&self) -> Option<DiskWord>;
    /// A connection begins, and at its other end a peer says on which disk it stands; at version 1 it
    /// says nothing. Gives whether it counts; the connection goes on only then.
    fn meet(&self, peer: NodeId, word: Option<DiskWord>) -> Meeting;
    /// A peer refuses to connect with the disk of this node, or does not any more.
    fn disk_refused(&self, peer: NodeId, is_refused: bool);
    /// A message: nobody waits for anything.
    fn message(&self, from: NodeId, lane: Lane, payload: Bytes);
    /// A question; the answer is of no use after `deadline`.
    fn call(&self, from: NodeId, lane: Lane, question: Bytes, deadline: Instant) -> Handling;
}

/// Why something was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody has told us where that node is.
    #[error("{0} is not known here")]
    Unknown(NodeId),
    /// There is no connection to it now.
    #[error("it is not connected")]
    NotConnected,
    /// Too much waits for it already.
    #[error("too much waits to be sent to it")]
    Full,
    /// It does not fit a frame.
    #[error("{bytes} bytes are more than the {max} of this lane")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It never left: asking again is safe.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// The connection broke after it may have left: the outcome is unknown.
    #[error("the connection broke before the answer came")]
    Lost,
    /// The deadline passed: the outcome is unknown.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The other node will not answer it.
    #[error("refused: {0}")]
    Refused(String),
}

/// How the connection to a peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which peer.
    pub node: NodeId,
    /// On which lane.
    pub lane: Lane,
    /// Whether it is connected.
    pub connected: bool,
    /// Payload bytes that wait for it.
    pub queued_bytes: usize,
    /// Frames that found no room since it is known.
    pub dropped: u64,
    /// Why the last connection ended, or could not be made.
    pub trouble: Option<String>,
}

/// A peer: where it is, and the connections to it.
struct Peer {
    address: String,
    links: [Arc<Link>; 3],
}

/// Makes the connections to a peer.
type Dial = Box<dyn Fn(NodeId, &str) -> [Arc<Link>; 3] + Send + Sync>;

struct Inner {
    dial: Dial,
    peers: RwLock<BTreeMap<NodeId, Peer>>,
    stop: CancellationToken,
    address: SocketAddr,
    tells_disks: bool,
    door: Arc<Door>,
}

/// A handle; cheap to clone. Everything ends with [`Transport::stop`] or the last handle.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Transport {
    /// Listens; peers are told to it one by one.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn start<N: Network>(
        network: N,
        options: TransportOptions,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Transport> {
        let network = Arc::new(network);
        let me = Arc::new(Me {
            cluster: options.cluster,
            node: options.node,
            versions: options.versions,
            identity: options.identity,
        });
        let tells_disks = me.versions.1 >= DISKS_SINCE;
        let stop = CancellationToken::new();
        let (listener, address) = network.bind(&options.listen).await?;
        let heard = Arc::clone(&handler);
        let door = Arc::new(Door::new(Arc::clone(&me), heard, stop.child_token()));
        tokio::spawn(Arc::clone(&door).keep(Arc::clone(&network), listener));
        let stopped = stop.clone();
        let dial = move |node: NodeId, address: &str| {
            Lane::ALL.map(|lane| {
                let network = Arc::clone(&network);
                let me = (Arc::clone(&me), Arc::clone(&handler));
                let peer = (node, address.to_owned());
                let seed = options.seed ^ (node.0 << 8) ^ lane as u64;
                Arc::new(Link::to(network, me, peer, lane, seed, &stopped))
            })
        };
        Ok(Transport(Arc::new(Inner {
            dial: Box::new(dial),
            peers: RwLock::default(),
            stop,
            address,
            tells_disks,
            door,
        })))
    }

    /// Whether it says on which disk its node stands to those who speak that version, too.
    #[must_use]
    pub fn tells_disks(&self) -> bool {
        self.0.tells_disks
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Makes a peer known, `host:port`, or says that it has moved. Dials it at once.
    pub fn set_peer(&self, node: NodeId, address: &str) {
        let mut peers = self.0.peers.write();
        if peers.get(&node).is_some_and(|peer| peer.address == address) {
            return;
        }
        let links = (self.0.dial)(node, address);
        let address = address.to_owned();
        peers.insert(node, Peer { address, links });
    }

    /// Ends all connections from and to a peer; those to it are made anew.
    pub fn hang_up(&self, node: NodeId) {
        self.0.door.hang_up(node);
        if let Some(peer) = self.0.peers.write().get_mut(&node) {
            peer.links = (self.0.dial)(node, &peer.address);
        }
    }

    /// Forgets a peer. What waits for it is dropped.
    pub fn remove_peer(&self, node: NodeId) {
        self.0.peers.write().remove(&node);
    }

    /// Sends a message, or does not: never waits. It arrives once or not at all.
    ///
    /// # Errors
    /// When the node is not known, or too much waits for it.
    pub fn send(&self, to: NodeId, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        self.link(to, lane)?.send(payload)
    }

    /// Asks a question and waits for the answer.
    ///
    /// # Errors
    /// Why there is none; whether the question was heard is told apart.
    pub async fn call(
        &self,
        to: NodeId,
        lane: Lane,
        question: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let link = self.link(to, lane)?;
        link.call(question, deadline).await
    }

    /// Whether there is a connection to a node on a lane. What is sent without one waits for it.
    #[must_use]
    pub fn is_connected(&self, to: NodeId, lane: Lane) -> bool {
        let link = self.link(to, lane);
        link.is_ok_and(|link| link.state.open.load(Ordering::Relaxed))
    }

    fn link(&self, to: NodeId, lane: Lane) -> Result<Arc<Link>, SendError> {
        let peers = self.0.peers.read();
        let peer = peers.get(&to).ok_or(SendError::Unknown(to))?;
        Ok(Arc::clone(&peer.links[lane as usize]))
    }

    /// How all connections to peers stand.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let peers = self.0.peers.read();
        let status = |(node, peer): (&NodeId, &Peer)| {
            let node = *node;
            let of = |(lane, link): (Lane, &Arc<Link>)| PeerStatus {
                node,
                lane,
                connected: link.state.open.load(Ordering::Relaxed),
                queued_bytes: link.state.queued_bytes.load(Ordering::Relaxed),
                dropped: link.state.dropped.load(Ordering::Relaxed),
                trouble: link.state.trouble.lock().clone(),
            };
            Lane::ALL
                .into_iter()
                .zip(&peer.links)
                .map(of)
                .collect::<Vec<_>>()
        };
        peers.iter().flat_map(status).collect()
    }

    /// Ends all connections and listens no more.
    pub fn stop(&self) {
        self.0.stop.cancel();
        self.0.peers.write().clear();
    }
}
