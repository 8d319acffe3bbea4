//! Messages between entities, as bad as they may be: at least once, in any order.
//!
//! In: what the entities of a node tell those of others, or of their own node. Out: the same; but some
//! come late, so that later ones overtake them, and some come once more, up to many seconds later, when
//! what they were about may long be over. The seed says which and when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use consign_cluster::NodeLines;
use consign_runtime::{Answering, Node, Remote};
use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::SmallRng;

/// One of this many messages comes late.
const LATE_ONE_OF: u32 = 8;
/// One of this many comes once more.
const AGAIN_ONE_OF: u32 = 8;
/// How late, in milliseconds.
const LATE_MS_MAX: u64 = 3_000;
/// How much later it may come once more: longer than a reservation may be asked for (30 s), within which a
/// location must know what is over.
const AGAIN_MS_MAX: u64 = 35_000;

/// The post of a run: what it does to messages, and those that are still under way.
pub struct Post {
    chance: Mutex<SmallRng>,
    is_reliable: AtomicBool,
    late: AtomicU64,
    again: AtomicU64,
    under_way: AtomicU64,
}

impl Post {
    /// Unreliable until told otherwise.
    pub fn new(chance: SmallRng) -> Arc<Post> {
        Arc::new(Post {
            chance: Mutex::new(chance),
            is_reliable: AtomicBool::new(false),
            late: AtomicU64::new(0),
            again: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
        })
    }

    /// From now on everything comes at once, and once; what is under way still comes.
    pub fn be_reliable(&self) {
        self.is_reliable.store(true, Ordering::SeqCst);
    }

    /// How many messages came late, and how many once more.
    pub fn counts(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (of(&self.late), of(&self.again))
    }

    /// Waits until nothing is under way that was held back.
    pub async fn until_all_came(&self) {
        while self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// After how long a message comes, and comes once more.
    fn deliveries(&self) -> (Duration, Option<Duration>) {
        if self.is_reliable.load(Ordering::SeqCst) {
            return (Duration::ZERO, None);
        }
        let mut chance = self.chance.lock();
        let mut late = Duration::ZERO;
        if chance.random_ratio(1, LATE_ONE_OF) {
            self.late.fetch_add(1, Ordering::SeqCst);
            late = Duration::from_millis(chance.random_range(1..LATE_MS_MAX));
        }
        let again = chance.random_ratio(1, AGAIN_ONE_OF).then(|| {
            self.again.fetch_add(1, Ordering::SeqCst);
            // As often soon as long after.
            let within = if chance.random() { 500 } else { AGAIN_MS_MAX };
            late + Duration::from_millis(chance.random_range(0..within))
        });
        (late, again)
    }
}

/// Counts a message as under way, whatever becomes of it.
struct UnderWay(Arc<Post>);

impl UnderWay {
    fn with(post: &Arc<Post>) -> UnderWay {
        post.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(post))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a node gives to the post. What is held back there is gone when the node ends.
pub struct Letters {
    /// The node's number.
    pub number: u64,
    /// The way to the others.
    pub lines: Arc<NodeLines>,
    /// Whose post it is.
    pub post: Arc<Post>,
    /// The node itself, once it is there.
    pub node: OnceLock<Node>,
}

impl Letters {
    fn deliver(&self, to: u64, message: Bytes) {
        if to != self.number {
            Remote::tell(&*self.lines, to, message);
        } else if let Some(node) = self.node.get() {
            node.told(&message);
        }
    }

    fn deliver_after(self: Arc<Self>, after: Duration, to: u64, message: Bytes) {
        let under_way = UnderWay::with(&self.post);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            self.deliver(to, message);
            drop(under_way);
        });
    }
}

/// A node's entities speak to others by post.
pub struct ByPost(pub Arc<Letters>);

impl Remote for ByPost {
    fn ask(&self, node: u64, question: Bytes, within: Duration) -> Answering {
        Remote::ask(&*self.0.lines, node, question, within)
    }

    fn is_reachable(&self, node: u64) -> bool {
        self.0.lines.is_reachable(node)
    }

    fn tell(&self, node: u64, message: Bytes) {
        let (after, again) = self.0.post.deliveries();
        if let Some(again) = again {
            Arc::clone(&self.0).deliver_after(again, node, message.clone());
        }
        if after.is_zero() {
            self.0.deliver(node, message);
        } else {
            Arc::clone(&self.0).deliver_after(after, node, message);
        }
    }

    fn carries_own(&self) -> bool {
        true
    }
}
