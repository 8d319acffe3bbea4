//! What befalls a group, drawn from the seed, so that each seed is a world of another kind; and the lies
//! that the laws must find out.

use crate::random::Random;

/// Something that is done wrong around the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A disk says that entries are durable before they are.
    DurableEarly,
    /// A disk forgets votes in a crash.
    VotesForgotten,
    /// A driver says that votes are durable before they are.
    VotesEarly,
    /// A driver takes all that was kept for committed.
    AllIsCommitted,
    /// A driver reads without asking whether it still leads.
    ReadsAtOnce,
    /// A driver has a read wait for the answer to an earlier one.
    ReadsJoin,
    /// A driver acknowledges what its log has.
    AcksAppended,
    /// A driver takes a snapshot for installed before it is durable.
    InstalledEarly,
}

/// How often what happens: in a thousand messages, or weights of faults.
#[derive(Clone, Debug)]
pub struct Profile {
    pub lost: u64,
    pub repeated: u64,
    pub late: u64,
    /// Between two faults at most, ms; none without.
    pub fault_every: Option<u64>,
    pub crashes: u64,
    pub power_cuts: u64,
    pub partitions: u64,
    pub one_way: u64,
    pub pauses: u64,
    pub slow_disks: u64,
    pub lossy_whiles: u64,
    /// Between two proposals or reads at most, ms.
    pub client_every: u64,
    /// Between two changes of the group at most, ms; none without.
    pub change_every: Option<u64>,
    /// Between two hand-overs at most, ms; none without.
    pub hand_over_every: Option<u64>,
    /// Between two checkpoints of a node at most, ms.
    pub keep_every: u64,
    /// How long a flush takes at most, ms.
    pub flush_max: u64,
    /// How long a message is on its way at most, if it is not late, ms.
    pub way_max: u64,
    /// A node's clock is so many in a thousand off at most.
    pub skew: u64,
    pub founders: u64,
}

impl Profile {
    pub fn drawn(random: &mut Random) -> Profile {
        let mut weight = |often: u64| {
            if random.chance(700) {
                random.between(1, often)
            } else {
                0
            }
        };
        let (crashes, power_cuts, partitions) = (weight(10), weight(4), weight(8));
        let (one_way, pauses, slow_disks) = (weight(6), weight(6), weight(6));
        let (lossy_whiles, lost, repeated, late) = (weight(3), weight(60), weight(80), weight(60));
        Profile {
            lost,
            repeated,
            late,
            fault_every: random.chance(950).then(|| random.between(100, 1_500)),
            crashes,
            power_cuts,
            partitions,
            one_way,
            pauses,
            slow_disks,
            lossy_whiles,
            client_every: random.between(20, 150),
            change_every: random.chance(750).then(|| random.between(200, 3_000)),
            hand_over_every: random.chance(500).then(|| random.between(500, 6_000)),
            keep_every: random.between(300, 4_000),
            flush_max: random.pick(&[2, 10, 30, 30, 150, 400]).unwrap_or(30),
            way_max: random.pick(&[3, 6, 6, 60, 250]).unwrap_or(6),
            skew: random.between(0, 100),
            founders: random.pick(&[1, 2, 3, 3, 3, 5]).unwrap_or(3),
        }
    }
}
