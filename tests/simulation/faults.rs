//! What goes wrong: drawn from the seed, one fault after another, each ended by itself after a while.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use turmoil::Sim;

use crate::history::History;
use crate::machine::Machine;
use crate::network::host;
use crate::post::Post;

/// One hour, in µs.
const HOUR: i64 = 3_600_000_000;

/// How often each kind of fault happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Processes that were killed.
    pub kills: u64,
    /// Machines that lost their power.
    pub power_losses: u64,
    /// Links that were cut, both ways or one way.
    pub cuts: u64,
    /// Links that held everything back for a while.
    pub held: u64,
    /// Spells of loss.
    pub losses: u64,
    /// Spells of delay.
    pub delays: u64,
    /// Wall clocks that were set at a start.
    pub clocks: u64,
    /// Disks that were lost, and replaced by empty ones.
    pub disks: u64,
    /// Processes that were stopped, and went on.
    pub stops: u64,
    /// Messages between entities that others overtook.
    pub overtaken: u64,
    /// Messages between entities that came once more.
    pub repeated: u64,
}

impl Counts {
    /// All of machines and links; of messages there are many more.
    pub fn total(&self) -> u64 {
        self.kills
            + self.power_losses
            + self.cuts
            + self.held
            + self.losses
            + self.delays
            + self.clocks
            + self.disks
            + self.stops
    }
}

/// What ends later.
enum Ending {
    Start(u64),
    GoOn(u64),
    Heal(String, String),
    Release(String, String),
    LossOver,
    DelayOver,
}

/// The faults of one run.
pub struct Faults {
    chance: SmallRng,
    machines: Vec<Arc<Machine>>,
    history: History,
    next: Duration,
    endings: Vec<(Duration, Ending)>,
    down: Vec<u64>,
    post: Arc<Post>,
    counts: Counts,
    /// Whether power losses take all machines at once, as one socket would.
    pub one_socket: bool,
    /// Whether disks get lost.
    pub disks_get_lost: bool,
    /// Whether whoever is killed loses its disk, too.
    pub kills_take_disks: bool,
    /// The node whose disk was replaced last, until it votes again.
    returning: Option<u64>,
}

impl Faults {
    /// Faults for these machines.
    pub fn new(
        chance: SmallRng,
        machines: &[Arc<Machine>],
        history: &History,
        post: &Arc<Post>,
    ) -> Faults {
        Faults {
            chance,
            machines: machines.to_vec(),
            history: history.clone(),
            next: Duration::ZERO,
            endings: Vec::new(),
            down: Vec::new(),
            post: Arc::clone(post),
            counts: Counts::default(),
            one_socket: false,
            // A disk more would be no minority.
            disks_get_lost: machines.len() > 2,
            kills_take_disks: false,
            returning: None,
        }
    }

    /// How often each kind happened.
    pub fn counts(&self) -> Counts {
        let (overtaken, repeated) = self.post.counts();
        Counts {
            overtaken,
            repeated,
            ..self.counts
        }
    }

    /// Lets happen what is due.
    pub fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.end_due(sim, now);
        self.notice_ended(sim, now);
        if now >= self.next {
            let pause = self.chance.random_range(150..2_500);
            self.next = now + Duration::from_millis(pause);
            self.begin_one(sim, now);
        }
    }

    /// Ends all faults.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        for (at, _) in &mut self.endings {
            *at = now;
        }
        self.end_due(sim, now);
        self.post.be_reliable();
        self.notice_ended(sim, now);
        for (at, _) in &mut self.endings {
            *at = now;
        }
        self.end_due(sim, now);
    }

    /// Without new faults: a node that has ended is started again.
    pub fn notice_and_restart(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.notice_ended(sim, now);
        self.end_due(sim, now);
    }

    /// A node whose storage failed ends itself; something starts it again.
    fn notice_ended(&mut self, sim: &mut Sim<'_>, now: Duration) {
        for machine in self.machines.clone() {
            let node = machine.number;
            if !self.down.contains(&node) && machine.has_ended() {
                self.tell(now, &format!("node {node} has ended by itself"));
                sim.crash(host(node));
                machine.end();
                self.down.push(node);
                self.endings
                    .push((now + Duration::from_millis(500), Ending::Start(node)));
            }
        }
    }

    fn tell(&self, now: Duration, what: &str) {
        self.history.tell(now, &format!("-- {what}"));
    }

    fn end_due(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let (due, later) = std::mem::take(&mut self.endings)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.endings = later;
        let due: Vec<(Duration, Ending)> = due;
        for (_, ending) in due {
            match ending {
                Ending::Start(node) => self.start(sim, now, node),
                Ending::GoOn(node) => {
                    self.tell(now, &format!("node {node} goes on"));
                    self.machine(node).stop(false);
                }
                Ending::Heal(a, b) => {
                    self.tell(now, &format!("{a} and {b} reach each other"));
                    sim.repair(a, b);
                }
                Ending::Release(a, b) => {
                    self.tell(now, &format!("what {a} and {b} said arrives"));
                    sim.release(a, b);
                }
                Ending::LossOver => {
                    self.tell(now, "nothing is lost");
                    sim.set_fail_rate(0.0);
                }
                Ending::DelayOver => {
                    self.tell(now, "the network is quick");
                    sim.set_max_message_latency(Duration::from_millis(3));
                }
            }
        }
    }

    fn start(&mut self, sim: &mut Sim<'_>, now: Duration, node: u64) {
        self.tell(now, &format!("node {node} starts"));
        self.down.retain(|down| *down != node);
        sim.bounce(host(node));
        self.machine(node).start();
    }

    fn machine(&self, node: u64) -> &Arc<Machine> {
        let mut machines = self.machines.iter();
        let found = machines.find(|machine| machine.number == node);
        found.expect("it is one of them")
    }

    fn any(&mut self) -> Arc<Machine> {
        let nth = self.chance.random_range(0..self.machines.len());
        Arc::clone(&self.machines[nth])
    }

    fn two(&mut self) -> Option<(String, String)> {
        let (one, other) = (self.any().number, self.any().number);
        (one != other).then(|| (host(one), host(other)))
    }

    fn lasting(&mut self, now: Duration, millis: std::ops::Range<u64>) -> Duration {
        now + Duration::from_millis(self.chance.random_range(millis))
    }

    fn begin_one(&mut self, sim: &mut Sim<'_>, now: Duration) {
        match self.chance.random_range(0..100) {
            0..16 => self.kill(sim, now),
            16..20 => self.lose_disk(sim, now),
            20..40 => self.power_loss(sim, now),
            40..65 => self.cut(sim, now),
            65..75 => self.hold(sim, now),
            75..84 => self.pause(now),
            84..92 => {
                self.counts.losses += 1;
                self.tell(now, "messages get lost");
                sim.set_fail_rate(0.02);
                let until = self.lasting(now, 200..2_000);
                self.endings.push((until, Ending::LossOver));
            }
            _ => {
                self.counts.delays += 1;
                self.tell(now, "the network is slow");
                sim.set_max_message_latency(Duration::from_millis(60));
                let until = self.lasting(now, 500..4_000);
                self.endings.push((until, Ending::DelayOver));
            }
        }
    }

    /// As SIGSTOP and SIGCONT do. One at a time, or hardly anything else would happen.
    fn pause(&mut self, now: Duration) {
        let machine = self.any();
        let goes_on = |(_, ending): &(Duration, Ending)| matches!(ending, Ending::GoOn(_));
        if self.down.contains(&machine.number) || self.endings.iter().any(goes_on) {
            return;
        }
        self.counts.stops += 1;
        self.tell(now, &format!("node {} is stopped", machine.number));
        machine.stop(true);
        // As often briefly, about as long as a lead lasts without word of the others.
        let millis = if self.chance.random() { 3_000 } else { 15_000 };
        let until = self.lasting(now, 300..millis);
        self.endings.push((until, Ending::GoOn(machine.number)));
    }

    fn kill(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let machine = self.any();
        if self.down.contains(&machine.number) {
            return;
        }
        if self.kills_take_disks {
            return self.lose_disk(sim, now);
        }
        self.counts.kills += 1;
        self.tell(now, &format!("node {} is killed", machine.number));
        machine.process_ends();
        self.stop(sim, now, &machine);
    }

    /// One at a time: the next only once the last is a voter again.
    fn lose_disk(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let machine = self.any();
        let is_back = |node: u64| {
            let mut machines = self.machines.iter();
            machines.any(|it| it.number == node && it.votes())
        };
        if !self.returning.is_none_or(is_back) {
            return;
        }
        self.returning = None;
        if !self.disks_get_lost || self.down.contains(&machine.number) || !machine.votes() {
            return;
        }
        self.returning = Some(machine.number);
        self.counts.disks += 1;
        self.tell(now, &format!("node {} loses its disk", machine.number));
        machine.loses_disks();
        self.stop(sim, now, &machine);
    }

    fn power_loss(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let one_socket = self.one_socket || self.chance.random_ratio(1, 4);
        let hit = if one_socket {
            self.machines.clone()
        } else {
            vec![self.any()]
        };
        for machine in hit {
            if self.down.contains(&machine.number) {
                continue;
            }
            self.counts.power_losses += 1;
            self.tell(now, &format!("node {} loses its power", machine.number));
            machine.power_goes(self.chance.random());
            self.stop(sim, now, &machine);
        }
    }

    fn stop(&mut self, sim: &mut Sim<'_>, now: Duration, machine: &Machine) {
        sim.crash(host(machine.number));
        machine.end();
        let number = machine.number;
        self.endings
            .retain(|(_, it)| !matches!(it, Ending::GoOn(node) if *node == number));
        self.down.push(number);
        if self.chance.random_ratio(1, 5) {
            self.counts.clocks += 1;
            machine.set_clock(self.chance.random_range(-HOUR..=HOUR));
        }
        let until = self.lasting(now, 200..5_000);
        self.endings.push((until, Ending::Start(machine.number)));
    }

    fn cut(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let Some((a, b)) = self.two() else { return };
        self.counts.cuts += 1;
        let alone = self.chance.random_ratio(1, 3);
        let one_way = self.chance.random_ratio(1, 3);
        let others: Vec<String> = if alone {
            let all = self.machines.iter().map(|machine| host(machine.number));
            all.filter(|other| *other != a).collect()
        } else {
            vec![b]
        };
        let until = self.lasting(now, 300..6_000);
        for other in others {
            if one_way {
                self.tell(now, &format!("{other} hears nothing of {a}"));
                sim.partition_oneway(a.clone(), other.clone());
            } else {
                self.tell(now, &format!("{a} and {other} are cut off"));
                sim.partition(a.clone(), other.clone());
            }
            self.endings.push((until, Ending::Heal(a.clone(), other)));
        }
    }

    fn hold(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let Some((a, b)) = self.two() else { return };
        self.counts.held += 1;
        self.tell(now, &format!("what {a} and {b} say is held back"));
        sim.hold(a.clone(), b.clone());
        let until = self.lasting(now, 200..3_000);
        self.endings.push((until, Ending::Release(a, b)));
    }
}
