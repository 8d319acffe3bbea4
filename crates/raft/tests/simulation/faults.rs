//! What goes wrong, and how it is made good.

use std::collections::BTreeMap;

use consign_raft::Membership;

use crate::event::Event;
use crate::world::{MS, NODES, World};

/// How long a fault lasts at most, ms.
const LASTS_MAX: u64 = 3_500;

impl World {
    /// One fault, by the profile's weights; then the next.
    pub fn fault(&mut self) {
        let Some(every) = self
            .profile
            .fault_every
            .filter(|_| self.calm_since.is_none())
        else {
            return;
        };
        let profile = self.profile.clone();
        // Mostly those on whom much depends.
        let leader = self.some_leader().filter(|_| self.random.chance(350));
        let most = if self.random.chance(500) { 3 } else { NODES };
        let node = leader.unwrap_or(self.random.between(1, most));
        let lasts = self.random.between(50, LASTS_MAX) * MS;
        let weights = [
            profile.crashes,
            profile.power_cuts,
            profile.partitions,
            profile.one_way,
            profile.pauses,
            profile.slow_disks,
            profile.lossy_whiles,
        ];
        let mut drawn = self.random.below(weights.iter().sum());
        let which = weights.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        match which {
            Some(0) if self.random.chance(600) => self.node(node).doomed = true,
            Some(0) => self.crash(node),
            Some(1) => (1..=NODES).for_each(|node| self.crash(node)),
            Some(2) => self.partition(lasts),
            Some(3) => self.cut_off_one_way(node, lasts),
            Some(4) => self.pause(node, lasts),
            Some(5) => {
                self.count("slow disks", 1);
                self.node(node).slow_until = self.now + lasts;
            }
            Some(6) => {
                self.count("lossy whiles", 1);
                self.lossy_until = self.now + lasts;
            }
            _ => {}
        }
        let after = self.random.between(every / 10, every);
        self.later(after * MS, 0, Event::Fault);
    }

    pub fn crash(&mut self, id: u64) {
        if self.node(id).raft.is_none() {
            return;
        }
        let queued = self.node(id).disk.look().queue.len() as u64;
        let survives = self.random.between(0, queued);
        let lost = self
            .node(id)
            .crash(usize::try_from(survives).unwrap_or_default());
        let vote = self.node(id).disk.look().durable.vote;
        self.laws.votes(id, vote);
        self.say(|| format!("{id} crashes and loses {lost} writes"));
        self.count("crashes", 1);
        self.count("writes lost", lost as u64);
        let after = self.random.between(20, LASTS_MAX / 2);
        self.later(after * MS, id, Event::Starts);
    }

    pub fn start(&mut self, id: u64) {
        if self.node(id).raft.is_some() {
            return;
        }
        let (now, mut random) = (self.now, self.random.clone());
        self.node(id).start(now, &mut random);
        self.random = random;
        self.say(|| format!("{id} starts"));
        let after = self.random.between(1, 30);
        self.later(after * MS, id, Event::Tick);
        let after = self.random.between(1, self.profile.keep_every);
        self.later(after * MS, id, Event::Keeps);
        if id == 1 {
            // Whoever may found the group does so at each start; that counts if there is nothing yet.
            let founders = 1..=self.profile.founders;
            let founders = Membership {
                voters: founders.map(|id| (id, String::new())).collect(),
                learners: BTreeMap::new(),
            };
            self.act(id, |raft, _| raft.found(founders));
        }
    }

    fn partition(&mut self, lasts: u64) {
        self.count("partitions", 1);
        let sides = self.random.next();
        self.say(|| format!("a partition: {:06b}", sides & 63));
        for (from, to) in pairs() {
            if (sides >> (from - 1)) & 1 != (sides >> (to - 1)) & 1 {
                self.cut_off.insert((from, to), self.now + lasts);
            }
        }
    }

    /// A node is not heard, or does not hear.
    fn cut_off_one_way(&mut self, node: u64, lasts: u64) {
        self.count("one-way cuts", 1);
        let hears = self.random.chance(500);
        let one = self
            .random
            .chance(400)
            .then(|| self.random.between(1, NODES));
        self.say(|| format!("{node} is cut off from {one:?}, hears: {hears}"));
        for (from, to) in pairs() {
            let (it, other) = if hears { (from, to) } else { (to, from) };
            if it == node && one.is_none_or(|one| one == other) {
                self.cut_off.insert((from, to), self.now + lasts);
            }
        }
    }

    fn pause(&mut self, id: u64, lasts: u64) {
        self.count("pauses", 1);
        self.say(|| format!("{id} stands still for {} ms", lasts / MS));
        let until = self.now + lasts;
        let node = self.node(id);
        if node.raft.is_some() && node.paused_until < until {
            node.paused_until = until;
            self.later(lasts, id, Event::Resumes);
        }
    }

    /// What has waited is seen, in order; its clock first, or not.
    pub fn resume(&mut self, id: u64) {
        let now = self.now;
        let clock_first = self.random.chance(500);
        let node = self.node(id);
        if node.paused_until > now {
            return;
        }
        node.paused_until = 0;
        let mut backlog = std::mem::take(&mut node.backlog);
        if clock_first {
            backlog.sort_by_key(|event| !matches!(event, Event::Tick));
        }
        let life = node.life;
        for event in backlog {
            self.happen(id, Some(life), event);
        }
    }

    /// All is whole from here on.
    pub fn heal(&mut self) {
        self.say(|| "all is whole".to_owned());
        self.cut_off.clear();
        self.lossy_until = 0;
        (self.profile.flush_max, self.profile.way_max) = (5, 6);
        for id in 1..=NODES {
            self.node(id).slow_until = 0;
            self.node(id).doomed = false;
            let now = self.now;
            self.node(id).paused_until = self.node(id).paused_until.min(now);
            self.resume(id);
            self.start(id);
        }
    }
}

/// All ways from one node to another.
fn pairs() -> impl Iterator<Item = (u64, u64)> {
    let from = (1..=NODES).flat_map(|from| (1..=NODES).map(move |to| (from, to)));
    from.filter(|(from, to)| from != to)
}
