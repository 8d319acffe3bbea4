//! How a node reaches the other replicas: a seam, because this crate knows no network.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// Why another replica did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It was not asked.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Whether it was asked is not known.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// An answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Bytes, WireError>> + Send>>;

/// Reaches other nodes.
pub trait ReplicaWire: Send + Sync + 'static {
    /// Asks a node. Small questions must not wait behind a `bulk`.
    fn ask(&self, node: u64, question: Bytes, within: Duration, bulk: bool) -> Answering;
    /// Tells a node something, at once or not at all: never waits, and keeps nothing for later.
    fn tell(&self, node: u64, message: Bytes);
    /// Where a node is reached from now on.
    fn locate(&self, node: u64, address: &str);
    /// Whether this node says on which disk it stands, and hears it of others ([`crate::Replicas::meet`]).
    fn tells_disks(&self) -> bool {
        false
    }
    /// Ends the connections to a node, and makes them anew if it counts.
    fn hang_up(&self, _: u64) {}
}

/// There is nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl ReplicaWire for Alone {
    fn ask(&self, node: u64, _: Bytes, _: Duration, _: bool) -> Answering {
        let nobody = WireError::NotSent(format!("this node runs alone, there is no node {node}"));
        Box::pin(std::future::ready(Err(nobody)))
    }

    fn tell(&self, _: u64, _: Bytes) {}

    fn locate(&self, _: u64, _: &str) {}
}
