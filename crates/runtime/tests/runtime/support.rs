//! A small kind of entity that does everything that the runtime must cope with: it counts, asks
//! its like, waits for a moment, keeps personal data, refuses, and panics.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use consign_domain::entity::{Context, Decision, DecisionOf, Effect, Entity, Stamp};
use consign_domain::time::Timestamp;
use consign_runtime::{Behaviour, Host, Node, NodeOptions, Peer, TellError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    Add(u64),
    AddTo(u8, u64),
    Reject,
    PanicInDecide,
    PanicInApply,
    Ping { to: String, number: u64 },
    Pinged { number: u64 },
    Confirm { number: u64 },
    WakeAt(Timestamp),
    Wake,
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Added(u8, u64),
    Unappliable,
    PingWanted { to: String, number: u64 },
    WasPinged { number: u64 },
    PingConfirmed { number: u64 },
    WakeSet(Timestamp),
    Woken,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub total: u64,
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
pub struct No;

#[derive(Clone, Debug)]
pub struct Ping {
    pub to: String,
    pub number: u64,
}

impl Effect for Ping {
    type Key = u64;
    fn key(&self) -> u64 {
        self.number
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PartKey {
    Core,
    Slot(u8),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    Core(Core),
    Slot(u64),
    /// Of a counter of one part.
    Whole(Core, BTreeMap<u8, u64>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Core {
    pub version: u64,
    pub recorded_at: Timestamp,
    pub pings: BTreeMap<u64, String>,
    pub pinged: BTreeSet<u64>,
    pub wake_at: Option<Timestamp>,
    pub woken: u32,
}

/// A counter; stored in parts like a location, or as one like an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter<const ONE_PART: bool = false> {
    pub id: String,
    pub core: Core,
    pub slots: BTreeMap<u8, u64>,
    pub name: Option<String>,
}

impl<const ONE_PART: bool> Counter<ONE_PART> {
    pub fn total(&self) -> u64 {
        self.slots.values().sum()
    }
}

impl<const ONE_PART: bool> Entity for Counter<ONE_PART> {
    const KIND: &'static str = "counter";
    const KIND_CODE: u8 = b'c';
    const ONE_PART: bool = ONE_PART;
    type Id = String;
    type Command = Command;
    type Event = Event;
    type Private = String;
    type Effect = Ping;
    type Reply = Reply;
    type Rejection = No;
    type PartKey = PartKey;
    type Part = Part;

    fn empty(id: String) -> Self {
        Counter {
            id,
            core: Core::default(),
            slots: BTreeMap::new(),
            name: None,
        }
    }
    fn id(&self) -> &String {
        &self.id
    }
    fn version(&self) -> u64 {
        self.core.version
    }
    fn recorded_at(&self) -> Timestamp {
        self.core.recorded_at
    }
    fn decide(&self, command: &Command, context: &Context) -> Result<DecisionOf<Self>, No> {
        let mut private = None;
        let events = match command {
            Command::Add(0) => vec![],
            Command::Add(amount) => vec![Event::Added(0, *amount)],
            Command::AddTo(slot, amount) => vec![Event::Added(*slot, *amount)],
            Command::Reject => return Err(No),
            Command::PanicInDecide => panic!("asked to panic in decide"),
            Command::PanicInApply => vec![Event::Added(0, 1_000_000), Event::Unappliable],
            Command::Ping { to, number } => {
                vec![Event::PingWanted {
                    to: to.clone(),
                    number: *number,
                }]
            }
            Command::Pinged { number } if self.core.pinged.contains(number) => vec![],
            Command::Pinged { number } => vec![Event::WasPinged { number: *number }],
            Command::Confirm { number } if self.core.pings.contains_key(number) => {
                vec![Event::PingConfirmed { number: *number }]
            }
            Command::Confirm { .. } => vec![],
            Command::WakeAt(at) => vec![Event::WakeSet(*at)],
            Command::Wake if self.core.wake_at.is_some_and(|at| at <= context.now) => {
                vec![Event::Woken]
            }
            Command::Wake => vec![],
            Command::Name(name) => {
                private = Some(name.clone());
                vec![Event::Added(0, 1)]
            }
        };
        let added: u64 = events
            .iter()
            .map(|event| {
                if let Event::Added(_, n) = event {
                    *n
                } else {
                    0
                }
            })
            .sum();
        let version = self.core.version + events.len() as u64;
        Ok(Decision {
            events,
            private,
            reply: Reply {
                total: self.total() + added,
                version,
            },
        })
    }
    fn apply(&mut self, event: &Event, stamp: &Stamp) {
        self.core.version += 1;
        self.core.recorded_at = stamp.recorded_at;
        match event {
            Event::Added(slot, amount) => *self.slots.entry(*slot).or_default() += amount,
            Event::Unappliable => panic!("asked to panic in apply"),
            Event::PingWanted { to, number } => drop(self.core.pings.insert(*number, to.clone())),
            Event::WasPinged { number } => drop(self.core.pinged.insert(*number)),
            Event::PingConfirmed { number } => drop(self.core.pings.remove(number)),
            Event::WakeSet(at) => self.core.wake_at = Some(*at),
            Event::Woken => {
                self.core.wake_at = None;
                self.core.woken += 1;
            }
        }
    }
    fn apply_private(&mut self, private: &String) {
        self.name = Some(private.clone());
    }
    fn private(&self) -> Option<String> {
        self.name.clone()
    }
    fn pending(&self) -> Vec<Ping> {
        let ping = |(number, to): (&u64, &String)| Ping {
            to: to.clone(),
            number: *number,
        };
        self.core.pings.iter().map(ping).collect()
    }
    fn wakeup(&self) -> Option<Timestamp> {
        self.core.wake_at
    }
    fn wake_command(_: Timestamp) -> Command {
        Command::Wake
    }
    fn touched_parts(event: &Event, parts: &mut Vec<PartKey>) {
        parts.push(PartKey::Core);
        if let Event::Added(slot, _) = event
            && !ONE_PART
        {
            parts.push(PartKey::Slot(*slot));
        }
    }
    fn part(&self, key: &PartKey) -> Option<Cow<'_, Part>> {
        let part = match key {
            PartKey::Core if ONE_PART => Some(Part::Whole(self.core.clone(), self.slots.clone())),
            PartKey::Core => Some(Part::Core(self.core.clone())),
            PartKey::Slot(slot) => self.slots.get(slot).copied().map(Part::Slot),
        };
        part.map(Cow::Owned)
    }
    fn assemble(id: String, parts: Vec<(PartKey, Part)>) -> Self {
        let mut counter = Counter::empty(id);
        for part in parts {
            match part {
                (_, Part::Core(core)) => counter.core = core,
                (_, Part::Whole(core, slots)) => (counter.core, counter.slots) = (core, slots),
                (PartKey::Slot(slot), Part::Slot(amount)) => {
                    counter.slots.insert(slot, amount);
                }
                (PartKey::Core, Part::Slot(_)) => unreachable!("a core is no slot"),
            }
        }
        counter
    }
}

/// Sends pings, confirms pongs, finds counters by total.
#[derive(Default)]
pub struct Counters<const ONE_PART: bool = false> {
    pub host: OnceLock<Host<Counter<ONE_PART>>>,
    /// While set, effects go nowhere, as if the network lost them.
    pub loses_messages: AtomicBool,
    pub panics_in_perform: AtomicBool,
    /// Whether counters stay in memory, as locations do.
    pub stay: AtomicBool,
    pub performed: AtomicU64,
    pub committed: AtomicU64,
    pub refused: AtomicU64,
}

impl<const ONE_PART: bool> Behaviour<Counter<ONE_PART>> for Counters<ONE_PART> {
    fn perform(&self, id: &String, effects: Vec<Ping>) {
        self.performed
            .fetch_add(effects.len() as u64, Ordering::SeqCst);
        assert!(
            !self.panics_in_perform.load(Ordering::SeqCst),
            "asked to panic in perform"
        );
        if self.loses_messages.load(Ordering::SeqCst) {
            return;
        }
        for Ping { to, number } in effects {
            let peer = Peer::new((id.clone(), number));
            self.host
                .get()
                .expect("set")
                .tell(to, Command::Pinged { number }, peer);
        }
    }
    fn answered(&self, _: &String, to: Vec<(Peer, Result<Reply, TellError<No>>)>) {
        for (peer, result) in to {
            let Some((id, number)) = peer.get::<(String, u64)>() else {
                continue;
            };
            if result == Err(TellError::Quarantined) {
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
            let command = Command::Confirm { number: *number };
            self.host
                .get()
                .expect("set")
                .tell(id.clone(), command, Peer::nobody());
        }
    }
    fn committed(&self, _: &Arc<Counter<ONE_PART>>, events: &[Event]) {
        self.committed
            .fetch_add(events.len() as u64, Ordering::SeqCst);
    }
    fn preload(&self) -> bool {
        self.stay.load(Ordering::SeqCst)
    }
    fn index(&self, state: &Counter<ONE_PART>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut key = b"total".to_vec();
        key.extend_from_slice(&state.total().to_be_bytes());
        key.extend_from_slice(state.id.as_bytes());
        vec![(key, b"value".to_vec())]
    }
}

pub struct World<const ONE_PART: bool = false> {
    pub node: Node,
    pub host: Host<Counter<ONE_PART>>,
    pub counters: Arc<Counters<ONE_PART>>,
}

/// Options for tests: no checkpoint unless asked, quick resends.
pub fn options(dir: &Path) -> NodeOptions {
    NodeOptions {
        partitions: 3,
        checkpoints: false,
        resend_after: Duration::from_millis(50),
        ..NodeOptions::new(dir.to_owned())
    }
}

pub async fn start(options: NodeOptions) -> World {
    start_with(options, Arc::new(Counters::default())).await
}

/// Counters that stay in memory if `stay` says so.
pub async fn start_staying(options: NodeOptions, stay: bool) -> World {
    start_kept(options, stay).await
}

/// Counters of one part or of several.
pub async fn start_kept<const ONE_PART: bool>(options: NodeOptions, stay: bool) -> World<ONE_PART> {
    let counters = Counters::default();
    counters.stay.store(stay, Ordering::SeqCst);
    start_with(options, Arc::new(counters)).await
}

pub async fn start_with<const ONE_PART: bool>(
    options: NodeOptions,
    counters: Arc<Counters<ONE_PART>>,
) -> World<ONE_PART> {
    let mut builder = Node::builder(options).expect("opens");
    let host = builder.host::<Counter<ONE_PART>>(Arc::clone(&counters) as _);
    assert!(counters.host.set(host.clone()).is_ok());
    let node = builder.start().await.expect("starts");
    World {
        node,
        host,
        counters,
    }
}

/// Waits until `condition` holds; fails after a generous while.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
