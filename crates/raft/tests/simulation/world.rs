//! A group of nodes, and all that befalls it: one event after another, drawn from a seed.
//!
//! ```text
//! faults, clients, operator ──► line of events ──► a node's Raft ──► its driver ──► line of events
//! └────────────── chaos ──────────────┘ then calm: all is whole, and all must come to agree
//! ```

use std::collections::{BTreeMap, BinaryHeap};

use consign_raft::{Membership, Raft};

use crate::disk::Disk;
use crate::event::{Due, Event};
use crate::laws::Laws;
use crate::node::Node;
use crate::profile::{Lie, Profile};
use crate::random::{Random, digest};

pub const MS: u64 = 1_000;
/// How many nodes there are; not all are in the group.
pub const NODES: u64 = 6;
/// How long things go wrong, ms.
const CHAOS: (u64, u64) = (4_000, 16_000);
/// How long it may take until all is well again, ms.
const CALM_MAX: u64 = 60_000;
/// How long all must then stay well, ms.
const STAYS: u64 = 2_500;

/// What is asked of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask {
    pub seed: u64,
    pub lie: Option<Lie>,
    /// Says what happens.
    pub aloud: bool,
}

pub struct World {
    pub ask: Ask,
    pub random: Random,
    pub profile: Profile,
    pub now: u64,
    line: BinaryHeap<Due>,
    in_line: u64,
    pub nodes: Vec<Node>,
    pub laws: Laws,
    /// Until when nothing gets from one node to another.
    pub cut_off: BTreeMap<(u64, u64), u64>,
    pub lossy_until: u64,
    pub tickets: u64,
    /// The last key that a client has used.
    pub keys: u64,
    /// Since when nothing goes wrong any more.
    pub calm_since: Option<u64>,
    /// Which keys are proposed since then.
    pub fresh_from: u64,
    /// Whether one of them is committed.
    pub fresh: bool,
    /// Who leads in which term since all is well, and since when.
    well: Option<(u64, u64, u64)>,
    done: bool,
    pub trace: u64,
    pub counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub fn new(ask: Ask) -> World {
        let mut random = Random::seeded(ask.seed);
        let profile = Profile::drawn(&mut random);
        let node = |id, random: &mut Random| {
            let disk = Disk::default();
            disk.change().read_max = usize::try_from(random.between(1, 12)).unwrap_or(1);
            disk.change().lie = ask.lie;
            let rate = random.between(1_000 - profile.skew, 1_000 + profile.skew);
            Node::new(id, rate, disk)
        };
        let nodes = (1..=NODES).map(|id| node(id, &mut random)).collect();
        let mut world = World {
            ask,
            random,
            profile,
            now: 0,
            line: BinaryHeap::new(),
            in_line: 0,
            nodes,
            laws: Laws::default(),
            cut_off: BTreeMap::new(),
            lossy_until: 0,
            tickets: 0,
            keys: 1_000,
            fresh_from: u64::MAX,
            calm_since: None,
            fresh: false,
            well: None,
            done: false,
            trace: ask.seed,
            counts: BTreeMap::new(),
        };
        // That a snapshot is lost again has no other outcome than that its node has to get it again.
        world.laws.only_outcomes = ask.lie.is_some_and(|lie| lie != Lie::InstalledEarly);
        world.begin();
        world
    }

    fn begin(&mut self) {
        for id in 1..=NODES {
            self.start(id);
        }
        for event in [Event::Asks, Event::Changes, Event::HandsOver, Event::Fault] {
            let after = self.random.between(500, 2_500);
            self.later(after * MS, 0, event);
        }
        let chaos = self.random.between(CHAOS.0, CHAOS.1);
        self.later(chaos * MS, 0, Event::Looks);
    }

    /// Lets everything happen, until all is well or a law is broken.
    pub fn run(&mut self) {
        while !self.done && self.laws.broken.is_none() {
            let Some(due) = self.line.pop() else { break };
            self.now = due.at_us;
            self.count("events", 1);
            self.happen(due.node, due.life, due.event);
        }
        self.laws.end();
    }

    pub fn count(&mut self, what: &'static str, by: u64) {
        *self.counts.entry(what).or_default() += by;
    }

    pub fn note(&mut self, numbers: &[u64]) {
        self.trace = digest(self.trace, numbers);
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.ask.aloud {
            println!("{:>9.3} {}", self.now as f64 / 1e6, what());
        }
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[usize::try_from(id - 1).unwrap_or_default()]
    }

    /// Puts an event in line. What is for a node is for its life of now.
    pub fn later(&mut self, after_us: u64, node: u64, event: Event) {
        let life = (node > 0).then(|| self.node(node).life);
        self.in_line += 1;
        self.line.push(Due {
            at_us: self.now + after_us,
            nth: self.in_line,
            node,
            life,
            event,
        });
    }

    /// As [`World::later`], for whatever life the node is in by then.
    pub fn later_in_any_life(&mut self, after_us: u64, node: u64, event: Event) {
        self.in_line += 1;
        self.line.push(Due {
            at_us: self.now + after_us,
            nth: self.in_line,
            node,
            life: None,
            event,
        });
    }

    pub fn happen(&mut self, id: u64, life: Option<u64>, event: Event) {
        if id == 0 {
            self.note(&[self.now, event.code()]);
            return self.happen_to_all(&event);
        }
        let now = self.now;
        let node = self.node(id);
        if life.is_some_and(|life| life != node.life) {
            return;
        }
        if node.paused_until > now && event.waits() {
            return node.backlog.push(event);
        }
        self.note(&[now, id, event.code()]);
        self.happen_to(id, event);
    }

    fn happen_to_all(&mut self, event: &Event) {
        match event {
            Event::Asks => self.client_asks(),
            Event::Changes => self.operator_changes(),
            Event::HandsOver => self.operator_hands_over(),
            Event::Fault => self.fault(),
            _ => self.look(),
        }
    }

    fn happen_to(&mut self, id: u64, event: Event) {
        match event {
            Event::Tick => {
                self.act(id, Raft::tick);
                let after = self.random.between(15, 60);
                self.later(after * MS, id, Event::Tick);
            }
            Event::Arrives { from, message } => {
                self.say(|| format!("{from} → {id}: {message:?}"));
                self.act(id, |raft, now| raft.receive(now, from, message));
            }
            Event::Flushed => self.flushed(id),
            Event::Told(tells) => self.told(id, tells),
            Event::Resumes => self.resume(id),
            Event::Starts => self.start(id),
            Event::Crashes => self.crash(id),
            Event::Keeps => self.keep(id),
            Event::SnapshotArrives {
                from,
                term,
                snapshot,
                ticket,
            } => self.snapshot_arrives(id, (from, term, ticket), snapshot),
            Event::SnapshotPlaced(snapshot) => self.snapshot_placed(id, snapshot),
            Event::SnapshotOutcome { to, upto, ticket } => {
                self.snapshot_outcome(id, to, upto, ticket);
            }
            Event::Asks | Event::Changes | Event::HandsOver | Event::Fault | Event::Looks => {}
        }
    }

    /// Has a node's driver bring its Raft something, and do what follows.
    pub fn act(&mut self, id: u64, act: impl FnOnce(&mut Raft<Disk>, u64)) {
        let now = self.now;
        let node = self.node(id);
        let clock = node.clock_ms(now);
        if let Some(raft) = &mut node.raft {
            act(raft, clock);
            self.settle(id);
        }
    }

    /// Ends the chaos; from then on looks whether all is well.
    fn look(&mut self) {
        let Some(since) = self.calm_since else {
            self.calm_since = Some(self.now);
            self.fresh_from = self.keys + 1;
            self.heal();
            return self.later(100 * MS, 0, Event::Looks);
        };
        let calm_ms = (self.now - since) / MS;
        // By then what was late has come.
        let well = if calm_ms > 3_000 {
            self.is_well()
        } else {
            None
        };
        match (self.well, well) {
            (Some((node, term, since)), now) => {
                self.laws.check("alive", now == Some((node, term)), || {
                    format!("{node} led in term {term} and all was well; now {now:?}")
                });
                self.done = self.now - since > STAYS * MS;
            }
            (None, Some((node, term))) => {
                self.say(|| format!("all is well under {node} in term {term}"));
                self.well = Some((node, term, self.now));
                self.count("calm ms until well", calm_ms);
            }
            (None, None) => {
                let nodes = &self.nodes;
                self.laws.check("alive", calm_ms < CALM_MAX, || {
                    let say =
                        |node: &Node| format!("{} {:?} {:?}", node.id, node.applied, node.raft);
                    let nodes: Vec<String> = nodes.iter().map(say).collect();
                    format!("all is calm and not well:\n{}", nodes.join("\n"))
                });
            }
        }
        self.later(100 * MS, 0, Event::Looks);
    }

    /// Who leads in which term, if something new is committed and all members have all.
    fn is_well(&self) -> Option<(u64, u64)> {
        let term = |node: &&Node| node.raft.as_ref().map_or(0, |raft| raft.vote().term);
        let leader = self
            .nodes
            .iter()
            .filter(|node| node.leads())
            .max_by_key(term)?;
        let raft = leader.raft.as_ref()?;
        let all = self.laws.committed();
        let has_all = |id: u64| {
            let mut nodes = self.nodes.iter();
            nodes.any(|node| node.id == id && node.applied.mark.index == all)
        };
        let members_have_all = raft.membership().nodes().all(|(id, _)| has_all(id));
        let well = self.fresh && members_have_all && raft.committed() == all;
        // A snapshot that comes late puts a node in for a while, so later on only members count.
        let is_settled = self.well.is_some();
        let knows = |node: &Node| knows(node, raft.membership(), is_settled);
        (well && self.nodes.iter().all(knows)).then_some((leader.id, raft.vote().term))
    }
}

/// Whether a node that is in the group does not take itself for one that is out, and the other way round
/// if it ever was in and knows anybody who still is.
fn knows(node: &Node, membership: &Membership, only_members: bool) -> bool {
    let Some(raft) = &node.raft else { return true };
    let mut known = raft.membership().voters.keys();
    let knows_members = known.any(|id| *id != node.id && membership.has(*id));
    match membership.has(node.id) {
        true => !raft.is_out(),
        false => only_members || raft.is_out() || !knows_members,
    }
}
