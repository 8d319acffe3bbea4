//! A channel's own names for its orders: unique per channel, also while two requests race, and
//! also when a cancellation names an order that has not arrived.
//!
//! In: (channel, external id). Out: a turn, so that place and cancel of one name never interleave;
//! and the id under which a cancellation waits for the order that it names. What is durable is
//! found through the index; this holds only names that are in use at this moment.

use std::collections::HashMap;
use std::sync::Arc;

use consign_domain::ids::{Channel, OrderId};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use xxhash_rust::xxh3::xxh3_128;

use crate::mint::base62;

/// Turns by name.
#[derive(Debug, Default)]
pub(crate) struct ExternalIds {
    turns: Mutex<HashMap<u128, Arc<tokio::sync::Mutex<()>>>>,
}

/// While it lives, nobody else handles the same name.
pub(crate) struct Turn<'a> {
    ids: &'a ExternalIds,
    name: u128,
    guard: Option<OwnedMutexGuard<()>>,
}

impl ExternalIds {
    /// Waits for the name's turn.
    pub(crate) async fn turn(&self, channel: &Channel, external_id: &str) -> Turn<'_> {
        let name = hash(channel, external_id);
        let mutex = Arc::clone(self.turns.lock().entry(name).or_default());
        Turn {
            ids: self,
            name,
            guard: Some(mutex.lock_owned().await),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.ids.turns.lock();
        // Frees the turn under the map's lock, so that nobody joins it between the count and the removal.
        self.guard = None;
        if turns
            .get(&self.name)
            .is_some_and(|mutex| Arc::strong_count(mutex) == 1)
        {
            turns.remove(&self.name);
        }
    }
}

/// The order id under which a cancellation waits for an order that has not arrived.
pub(crate) fn tombstone_id(channel: &Channel, external_id: &str) -> OrderId {
    let text = format!("x{}", base62(hash(channel, external_id)));
    OrderId::new(&text).expect("base62 is visible ASCII")
}

fn hash(channel: &Channel, external_id: &str) -> u128 {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(channel.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(external_id.as_bytes());
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_name_is_handled_by_one_at_a_time_and_forgotten_after() {
        let ids = ExternalIds::default();
        let channel = Channel::new("web").expect("valid");
        let first = ids.turn(&channel, "A-1").await;
        let second = ids.turn(&channel, "A-1");
        tokio::pin!(second);
        assert!(futures_now(second.as_mut()).is_none());
        let other = ids.turn(&channel, "A-2").await;
        drop(first);
        drop(second.await);
        drop(other);
        assert!(ids.turns.lock().is_empty());
    }

    /// Polls once.
    fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
