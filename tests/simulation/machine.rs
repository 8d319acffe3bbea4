//! A machine of the cluster: its disks and its clock, which outlive the node that runs on it.
//!
//! In: crashes, losses of power, stops, clocks that are set. Out: the product's own node (service, gateway,
//! transport, replicas) over them, in an [`Execution`], with no thread but the one that simulates.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use consign_cluster::{
    ClusterId, Ears, NodeId, NodeLines, Transport, TransportOptions, WIRE_VERSION,
    WIRE_VERSION_OLDEST,
};
use consign_domain::time::Timestamp;
use consign_gateway::GatewayOptions;
use consign_journal::fault::Disk;
use consign_orchestrator::{Consign, Readiness};
use consign_runtime::{
    COMMAND_MEMORY_DEFAULT, Clock, NodeOptions, ReplicaOptions, ReplicaWire, Threads, Timing,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use crate::execution::{Ended, Execution};
use crate::lies::{Lie, TellsAll};
use crate::network::{self, CLUSTER_PORT};
use crate::post::{ByPost, Letters, Post};
use crate::wires::{self, Inside};

/// Partitions of the cluster.
const PARTITIONS: u16 = 2;
/// Small, so that checkpoints, purges and snapshots happen within seconds.
const JOURNAL_BYTES_MAX: u64 = 48 << 10;
const SEGMENT_BYTES: u64 = 32 << 10;
/// How often a node looks whether its storage has failed.
const HEALTH_EVERY: Duration = Duration::from_millis(200);
/// 2026-01-01, in µs since the epoch.
const MIDNIGHT: i64 = 1_767_225_600_000_000;

thread_local! {
    static DISK_CHANCE: RefCell<SmallRng> = RefCell::new(SmallRng::seed_from_u64(0));
}

/// From here on disks are as fast and slow as this seed has it.
pub fn seed_disks(seed: u64) {
    DISK_CHANCE.with(|chance| *chance.borrow_mut() = SmallRng::seed_from_u64(seed));
}

/// How long a row takes: mostly little, at times as long as a disk that is busy elsewhere.
fn write_takes() -> Duration {
    DISK_CHANCE.with(|chance| {
        let mut chance = chance.borrow_mut();
        let millis = if chance.random_ratio(1, 400) {
            chance.random_range(100..600)
        } else {
            chance.random_range(0..4)
        };
        Duration::from_millis(millis)
    })
}

/// What survives of a node.
pub struct Machine {
    /// The node's number.
    pub number: u64,
    /// The disk of `journal.log`.
    pub log: Disk,
    /// The disk of `state.redb`.
    pub state: Disk,
    /// What the wall clock is off by at the next start, in µs.
    clock_off_by: AtomicI64,
    /// By how much it is too fast, in millionths.
    drift: i64,
    dir: PathBuf,
    nodes: u64,
    post: Arc<Post>,
    lie: Mutex<Option<Lie>>,
    running: Mutex<Option<Consign>>,
    /// Simulated time, in µs.
    now: AtomicI64,
    /// The wires that were laid last, until a process has them.
    wires: Mutex<Option<Inside>>,
    execution: Mutex<Option<Execution>>,
}

impl Machine {
    /// A machine with empty disks. Snapshots on their way lie in `dir`; entities speak by `post`.
    pub fn new(number: u64, nodes: u64, drift: i64, dir: PathBuf, post: Arc<Post>) -> Machine {
        Machine {
            number,
            log: Disk::default(),
            state: Disk::default(),
            clock_off_by: AtomicI64::new(0),
            drift,
            dir,
            nodes,
            post,
            lie: Mutex::new(None),
            running: Mutex::new(None),
            now: AtomicI64::new(0),
            wires: Mutex::new(None),
            execution: Mutex::new(None),
        }
    }

    /// At the next start the wall clock is off by this, in µs.
    pub fn set_clock(&self, off_by: i64) {
        self.clock_off_by.store(off_by, Ordering::SeqCst);
    }

    /// From the next start on its node is lied to.
    pub fn hear_lie(&self, lie: Lie) {
        *self.lie.lock() = Some(lie);
    }

    /// The process is about to be killed: nothing of it reaches the disks any more.
    pub fn process_ends(&self) {
        self.running.lock().take();
        self.log.process_ends();
        self.state.process_ends();
    }

    /// The power is about to go: of what was not synced, `seed` says what is kept.
    pub fn power_goes(&self, seed: u64) {
        self.running.lock().take();
        self.log.power_loss(seed);
        self.state.power_loss(seed.rotate_left(17));
    }

    /// The process is about to be killed, and its disks are taken away: empty ones take their place.
    pub fn loses_disks(&self) {
        self.running.lock().take();
        self.log.replace();
        self.state.replace();
        // A snapshot that was arriving lay on them, too.
        for file in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(file.path());
        }
    }

    /// What the machine's system does for whatever process runs on it: it lays wires.
    pub fn carries(&self) -> impl Future<Output = turmoil::Result> + use<> {
        let (outside, inside) = wires::lay();
        *self.wires.lock() = Some(inside);
        outside.carry()
    }

    /// Starts a node, over the wires that were laid last.
    pub fn start(self: &Arc<Self>) {
        let wires = self.wires.lock().take();
        let running = wires.map(|wires| Execution::begin(Arc::clone(self).run(wires)));
        *self.execution.lock() = running;
    }

    /// The process is no more.
    pub fn end(&self) {
        self.execution.lock().take();
    }

    /// Stops the process as it is, or lets it go on.
    pub fn stop(&self, is_stopped: bool) {
        if let Some(execution) = &mut *self.execution.lock() {
            execution.stop(is_stopped);
        }
    }

    /// Whether the process has come to an end by itself.
    pub fn has_ended(&self) -> bool {
        let execution = self.execution.lock();
        execution.as_ref().is_some_and(Execution::has_ended)
    }

    /// Runs the process for a tick, up to `now`.
    ///
    /// # Errors
    /// When it fails.
    pub fn run_for(&self, tick: Duration, now: Duration) -> Ended {
        let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        self.now.store(micros, Ordering::SeqCst);
        let mut execution = self.execution.lock();
        execution.as_mut().map_or(Ok(()), |it| it.run_for(tick))
    }

    /// Whether its node votes on every partition, and has read all that was acknowledged.
    pub fn votes(&self) -> bool {
        let running = self.running.lock();
        running.as_ref().is_some_and(|consign| {
            let groups = consign.replicas().1;
            let votes = groups.iter().all(|it| it.voters.contains(&self.number));
            votes && matches!(consign.readiness(), Readiness::Ready)
        })
    }

    /// The groups that this node leads, as far as it knows: partition and term.
    pub fn leads(&self) -> Vec<(u16, u64)> {
        let running = self.running.lock();
        let groups = running.as_ref().map(|consign| consign.replicas().1);
        let groups = groups.unwrap_or_default().into_iter();
        let led = groups.filter(|group| group.leader == Some(self.number));
        led.map(|group| (group.partition, group.term)).collect()
    }

    /// A node on it, until its storage fails.
    async fn run(self: Arc<Self>, (wired, clients): Inside) -> Ended {
        let lines = Arc::new(NodeLines::default());
        let lie = *self.lie.lock();
        let newest = match lie {
            Some(Lie::DisksUnsaid) => WIRE_VERSION_OLDEST,
            _ => WIRE_VERSION,
        };
        let address = |node| format!("{}:{CLUSTER_PORT}", network::host(node));
        let options = TransportOptions {
            cluster: ClusterId(77),
            node: NodeId(self.number),
            listen: format!("0.0.0.0:{CLUSTER_PORT}"),
            // TLS draws random numbers that no seed reaches: it would not replay.
            identity: None,
            versions: (WIRE_VERSION_OLDEST, newest),
            seed: self.number,
        };
        let ears = Arc::new(Ears(Arc::clone(&lines)));
        let transport = Transport::start(wired, options, ears).await;
        let transport = transport.map_err(|error| error.to_string())?;
        let members: BTreeMap<u64, String> = (1..=self.nodes).map(|n| (n, address(n))).collect();
        for (other, address) in members.iter().filter(|(other, _)| **other != self.number) {
            transport.set_peer(NodeId(*other), address);
        }
        lines.speak(transport);
        let wire: Arc<dyn ReplicaWire> = match lie {
            Some(Lie::VotesForAll) => Arc::new(TellsAll {
                lines: Arc::clone(&lines),
                nodes: self.nodes,
            }),
            _ => Arc::clone(&lines) as _,
        };
        let letters = Arc::new(Letters {
            number: self.number,
            lines: Arc::clone(&lines),
            post: Arc::clone(&self.post),
            node: OnceLock::new(),
        });
        let command_memory = match lie {
            Some(Lie::AnswersForgotten) => Duration::ZERO,
            _ => COMMAND_MEMORY_DEFAULT,
        };
        let options = NodeOptions {
            partitions: PARTITIONS,
            permits: 64,
            waiting_max: 64,
            journal_bytes_max: JOURNAL_BYTES_MAX,
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 1 << 20,
            resident_max: 16,
            command_memory,
            threads: Threads::None { write_takes },
            clock: Arc::new(self.clock()),
            replicas: ReplicaOptions {
                node: self.number,
                members,
                timing: Timing::default(),
                wire,
            },
            remote: Some(Arc::new(ByPost(Arc::clone(&letters)))),
            journal_backend: Some(self.log.backend()),
            state_backend: Some(self.state.backend()),
            ..NodeOptions::new(self.dir.clone())
        };
        let consign = Consign::open_on(options)
            .await
            .map_err(|error| format!("node {} does not start: {error}", self.number))?;
        lines.answer_for(consign.node());
        letters.node.get_or_init(|| consign.node());
        *self.running.lock() = Some(consign.clone());
        let router = consign_gateway::router(consign.clone(), GatewayOptions::default());
        let failed = async {
            loop {
                tokio::time::sleep(HEALTH_EVERY).await;
                if let Readiness::Stopped { reason } = consign.readiness() {
                    return reason;
                }
            }
        };
        tokio::select! {
            () = network::serve(router, clients) => {}
            _ = failed => {}
        }
        self.process_ends();
        Ok(())
    }

    /// Its clock, as it stands now.
    fn clock(&self) -> MachineClock {
        let off_by = self.clock_off_by.load(Ordering::SeqCst);
        MachineClock {
            wall: MIDNIGHT + self.now.load(Ordering::SeqCst) + off_by,
            began: Instant::now(),
            drift: self.drift,
        }
    }
}

/// The wall clock at a node's start, and then simulated time, a little too fast or too slow.
#[derive(Debug)]
struct MachineClock {
    wall: i64,
    began: Instant,
    drift: i64,
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.began.elapsed().as_micros()).unwrap_or_default();
        Timestamp(self.wall + since + since * self.drift / 1_000_000)
    }
}
