//! What a node's replicas and entities say to those of other nodes, over the transport.
//!
//! In: their questions and messages. Out: the same on the lane that is theirs, so that a piece of a
//! snapshot never stands before a heartbeat; and what others ask of this node, once it is there.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use consign_runtime::{Answering, DiskWord, Node, Remote, ReplicaWire, WireError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::transport::{CallError, Handler, Handling, Meeting, SendError, Transport};
use crate::wire::{Lane, NodeId};

/// The lines of one node; made before the node, which needs them to start.
#[derive(Default)]
pub struct NodeLines {
    transport: OnceLock<Transport>,
    node: OnceLock<Node>,
    /// Peers that speak version 1 and were met before the node was there.
    early: Mutex<BTreeSet<u64>>,
}

impl NodeLines {
    /// Speaks over `transport` from now on.
    pub fn speak(&self, transport: Transport) {
        if self.transport.set(transport).is_err() {
            tracing::error!("the lines have a transport already");
        }
    }

    /// Answers for `node` from now on.
    pub fn answer_for(&self, node: Node) {
        let mut early = self.early.lock();
        if self.node.set(node.clone()).is_err() {
            tracing::error!("the lines have a node already");
        }
        let early = std::mem::take(&mut *early);
        tokio::spawn(async move {
            for peer in early {
                node.meet(peer, None).await;
            }
        });
    }

    /// The node; as long as there is none, whoever is met is noted.
    fn node_or_early(&self, peer: u64) -> Option<Node> {
        let mut early = self.early.lock();
        let node = self.node.get().cloned();
        if node.is_none() {
            early.insert(peer);
        }
        node
    }

    fn ask_on(&self, lane: Lane, node: u64, question: Bytes, within: Duration) -> Answering {
        let transport = self.transport.get().cloned();
        Box::pin(async move {
            let Some(transport) = transport else {
                return Err(WireError::NotSent("the node is starting".to_owned()));
            };
            // Whoever asks knows what to do meanwhile, and asks again.
            if !transport.is_connected(NodeId(node), lane) {
                return Err(WireError::NotSent(SendError::NotConnected.to_string()));
            }
            let deadline = Instant::now() + within;
            let answer = transport.call(NodeId(node), lane, question, deadline).await;
            answer.map_err(|error| match error {
                CallError::NotSent(why) => WireError::NotSent(why.to_string()),
                other => WireError::NoAnswer(other.to_string()),
            })
        })
    }
}

impl ReplicaWire for NodeLines {
    fn ask(&self, node: u64, question: Bytes, within: Duration, bulk: bool) -> Answering {
        let lane = if bulk {
            Lane::Snapshots
        } else {
            Lane::Replicas
        };
        self.ask_on(lane, node, question, within)
    }

    fn tell(&self, node: u64, message: Bytes) {
        let Some(transport) = self.transport.get() else {
            return;
        };
        // Without a connection it would arrive when nobody cares any more.
        if transport.is_connected(NodeId(node), Lane::Replicas)
            && let Err(error) = transport.send(NodeId(node), Lane::Replicas, message)
        {
            tracing::debug!(node, %error, "a message between replicas was not sent");
        }
    }

    fn locate(&self, node: u64, address: &str) {
        if let Some(transport) = self.transport.get() {
            transport.set_peer(NodeId(node), address);
        }
    }

    fn tells_disks(&self) -> bool {
        self.transport.get().is_some_and(Transport::tells_disks)
    }

    fn hang_up(&self, node: u64) {
        if let Some(transport) = self.transport.get() {
            transport.hang_up(NodeId(node));
        }
    }
}

impl Remote for NodeLines {
    fn ask(&self, node: u64, question: Bytes, within: Duration) -> Answering {
        self.ask_on(Lane::Entities, node, question, within)
    }

    fn is_reachable(&self, node: u64) -> bool {
        let transport = self.transport.get();
        transport.is_some_and(|it| it.is_connected(NodeId(node), Lane::Entities))
    }

    fn tell(&self, node: u64, message: Bytes) {
        let sent = self
            .transport
            .get()
            .map(|transport| transport.send(NodeId(node), Lane::Entities, message));
        if let Some(Err(error)) = sent {
            // Its effect is still pending.
            tracing::debug!(node, %error, "a message between entities was not sent");
        }
    }
}

/// Hears other nodes on behalf of the lines.
pub struct Ears(pub Arc<NodeLines>);

impl Handler for Ears {
    fn disk(&self) -> Option<DiskWord> {
        self.0.node.get()?.disk()
    }

    fn meet(&self, NodeId(peer): NodeId, word: Option<DiskWord>) -> Meeting {
        match self.0.node_or_early(peer) {
            Some(node) => Box::pin(async move { node.meet(peer, word).await }),
            // Who speaks version 1 is not told apart, and need not wait.
            None => Box::pin(std::future::ready(word.is_none())),
        }
    }

    fn disk_refused(&self, NodeId(peer): NodeId, is_refused: bool) {
        if let Some(node) = self.0.node.get() {
            node.disk_refused(peer, is_refused);
        }
    }

    fn message(&self, NodeId(from): NodeId, lane: Lane, payload: Bytes) {
        let Some(node) = self.0.node.get() else {
            return;
        };
        match lane {
            Lane::Replicas => node.hear_replica(from, &payload),
            Lane::Entities => node.told(&payload),
            Lane::Snapshots => {}
        }
    }

    fn call(&self, _: NodeId, lane: Lane, question: Bytes, _: Instant) -> Handling {
        let node = self.0.node.get().cloned();
        Box::pin(async move {
            let node = node.ok_or_else(|| "the node is starting".to_owned())?;
            match lane {
                Lane::Replicas | Lane::Snapshots => node.answer_replica(question).await,
                Lane::Entities => node.answer(&question).await,
            }
        })
    }
}
