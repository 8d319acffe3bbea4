//! Nodes of a test: what they are told is kept, what they are asked is echoed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_cluster::certs::{self, Pair};
use consign_cluster::{
    ClusterId, Handler, Handling, Identity, Lane, Meeting, NodeId, SystemNetwork, Transport,
    TransportOptions,
};
use consign_runtime::{DiskId, DiskWord};
use parking_lot::Mutex;
use tokio::time::Instant;

pub const CLUSTER: ClusterId = ClusterId(77);

/// The disk of a listener that has no other.
pub const DISK: DiskWord = DiskWord {
    disk: DiskId(7),
    is_empty: false,
};

/// Keeps messages; answers `echo …` with the rest, `slow …` after a second, `never` not at all, and
/// refuses the rest.
pub struct Listener {
    pub messages: Mutex<Vec<(NodeId, Lane, Bytes)>>,
    /// None as long as it starts.
    pub disk: Mutex<Option<DiskWord>>,
    /// What each peer said when it was met last.
    pub met: Mutex<BTreeMap<NodeId, Option<DiskWord>>>,
    /// The disk that it takes from nobody.
    pub refuses: Mutex<Option<DiskId>>,
    /// Those who do not take its own.
    pub refused_by: Mutex<BTreeSet<NodeId>>,
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            messages: Mutex::default(),
            disk: Mutex::new(Some(DISK)),
            met: Mutex::default(),
            refuses: Mutex::default(),
            refused_by: Mutex::default(),
        }
    }
}

impl Handler for Listener {
    fn disk(&self) -> Option<DiskWord> {
        *self.disk.lock()
    }

    fn meet(&self, peer: NodeId, word: Option<DiskWord>) -> Meeting {
        self.met.lock().insert(peer, word);
        let refused = *self.refuses.lock();
        let takes = word.is_none_or(|word| Some(word.disk) != refused);
        Box::pin(std::future::ready(takes))
    }

    fn disk_refused(&self, peer: NodeId, is_refused: bool) {
        let mut refused_by = self.refused_by.lock();
        if is_refused {
            refused_by.insert(peer);
        } else {
            refused_by.remove(&peer);
        }
    }

    fn message(&self, from: NodeId, lane: Lane, payload: Bytes) {
        self.messages.lock().push((from, lane, payload));
    }

    fn call(&self, _: NodeId, _: Lane, question: Bytes, _: Instant) -> Handling {
        Box::pin(async move {
            if question.starts_with(b"slow ") {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(question.slice(5..));
            }
            if question == "never" {
                std::future::pending::<()>().await;
            }
            match question.strip_prefix(b"echo ") {
                Some(rest) => Ok(question.slice_ref(rest)),
                None => Err("only echoes".to_owned()),
            }
        })
    }
}

pub struct Node {
    pub transport: Transport,
    pub listener: Arc<Listener>,
}

/// Options of node `n`, with a certificate of `authority`.
pub fn options(authority: &Pair, n: u64) -> TransportOptions {
    let own = certs::node(authority, NodeId(n)).expect("a certificate");
    let identity = Identity::from_pem(&authority.certificate, &own.certificate, &own.key);
    TransportOptions::new(CLUSTER, NodeId(n), "127.0.0.1:0", identity.expect("fits"))
}

pub async fn start(options: TransportOptions) -> Node {
    let listener = Arc::new(Listener::default());
    let handler = Arc::clone(&listener);
    let transport = Transport::start(SystemNetwork, options, handler);
    Node {
        transport: transport.await.expect("listens"),
        listener,
    }
}

impl Node {
    pub fn knows(&self, n: u64, other: &Node) {
        let address = other.transport.address().to_string();
        self.transport.set_peer(NodeId(n), &address);
    }

    pub async fn echo(&self, n: u64, text: &str, within: Duration) -> Option<Bytes> {
        let question = Bytes::from(format!("echo {text}"));
        let deadline = Instant::now() + within;
        let answer = self
            .transport
            .call(NodeId(n), Lane::Entities, question, deadline);
        answer.await.ok()
    }

    /// Why node `n` is not connected, on the entities' lane.
    pub fn trouble(&self, n: u64) -> Option<String> {
        let all = self.transport.peers();
        let of = |peer: &&consign_cluster::PeerStatus| {
            peer.node == NodeId(n) && peer.lane == Lane::Entities
        };
        all.iter().find(of).and_then(|peer| peer.trouble.clone())
    }
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
