//! Moving leaders between nodes, and nodes in and out, while traffic flows.
//!
//! ```text
//! lead moves:  seal ─► target has everything ─► it campaigns at once, by this leader's word
//! node joins:  learner ─► has everything ─► voter          node leaves: leads nothing ─► no voter
//! ```
//! In: who should lead, who should be in. Out: the same cluster in that shape, a partition at a time.
//! Every step can be repeated: what is done already is found done. A lead that cannot be moved stays
//! where it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use consign_raft::{ProposeError, Raft};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::group::Group;
use super::messages::{Answer, Question, ask};
use super::replicas::{Replicas, ReplicasError};
use super::store::GroupLog;
use crate::log::PartitionId;

/// Entries that a replica may lack and still count as one that keeps up.
const KEEPS_UP_ENTRIES: u64 = 500;
/// Heartbeats that a replica may leave unanswered and still count as one that is there.
const UNANSWERED_MAX: u32 = 3;
/// How long a lead waits until its target has everything.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// How long a lead waits until its target leads.
const ELECTED_MAX: Duration = Duration::from_secs(2);
/// How often those two are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often a node looks whether it leads what it should.
const BALANCE_EVERY: Duration = Duration::from_secs(2);
/// How long a node that is to be taken in may take to dial this one.
const MET_MAX: Duration = Duration::from_secs(5);
/// How long a step of a change may take at a partition's leader.
const STEP_MAX: Duration = Duration::from_secs(5);
/// How long until a step is tried again.
const STEP_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A change of a partition's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// This node votes from now on; others reach it there, whatever was known of it before.
    Join(u64, String),
    /// This node is out.
    Leave(u64),
    /// This node leads.
    Lead(u64),
}

impl Replicas {
    /// Takes a node in, or goes on doing so. Gives the partitions that it is not in yet when the
    /// time is over.
    ///
    /// # Errors
    /// When a partition's leader refuses.
    pub async fn join(
        &self,
        node: u64,
        address: &str,
        within: Duration,
    ) -> Result<usize, ReplicasError> {
        // Whether its disk counts must be known before it is in a group: after that only a quorum without it
        // could take it out again.
        looked_for(|| self.has_met(node), || false, MET_MAX.min(within)).await;
        self.vouch_as_met(node).await?;
        self.change_all(&Change::Join(node, address.to_owned()), within)
            .await
    }

    /// Takes a node out, or goes on doing so: one that runs gives its leads away first. Gives the
    /// partitions that it is still in when the time is over.
    ///
    /// # Errors
    /// When a partition's leader refuses.
    pub async fn leave(&self, node: u64, within: Duration) -> Result<usize, ReplicasError> {
        // Whoever takes it out does not want it back.
        self.with_disks(move |disks| disks.returns(node, None))
            .await?;
        self.change_all(&Change::Leave(node), within).await
    }

    /// Has a node lead a partition.
    ///
    /// # Errors
    /// When it cannot: it does not keep up, or is none of the partition's voters.
    pub async fn transfer(
        &self,
        PartitionId(partition): PartitionId,
        to: u64,
        within: Duration,
    ) -> Result<bool, ReplicasError> {
        let deadline = Instant::now() + within;
        self.change(partition, &Change::Lead(to), deadline).await
    }

    /// Gives all leads of this node to others, at once.
    pub async fn hand_over(&self) {
        let Ok(running) = self.running() else { return };
        let moves = running.groups.iter().map(|group| async {
            let Some(lead) = group.lead() else { return };
            let others = group.look(|raft| self.keeping_up(raft));
            // Each partition begins elsewhere, so that no one node gets all of them.
            let nth = usize::from(group.partition.0) % others.len().max(1);
            for to in others.iter().cycle().skip(nth).take(others.len()) {
                if self.move_lead(group, *to).await.is_ok() {
                    return;
                }
            }
            tracing::warn!(partition = %group.partition, %lead, "nobody could take the lead over");
        });
        join_all(moves).await;
    }

    /// Looks, as long as the node lives, that each partition is led by the voter whose turn it is, so
    /// that leaders are spread evenly.
    pub(crate) async fn keep_balance(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(BALANCE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen_before = BTreeSet::new();
        loop {
            ticks.tick().await;
            let Ok(running) = self.running() else { return };
            let mut seen = BTreeSet::new();
            for group in &running.groups {
                let whose_turn = group.look(|raft| whose_turn(group.partition, raft));
                let Some(to) = whose_turn.filter(|to| *to != self.node() && group.lead().is_some())
                else {
                    continue;
                };
                if !group.look(|raft| self.keeps_up(raft, to)) {
                    continue;
                }
                // Seen twice: who has just come back must keep up for a while.
                seen.insert((group.partition, to));
                if seen_before.contains(&(group.partition, to))
                    && let Err(error) = self.move_lead(group, to).await
                {
                    tracing::info!(partition = %group.partition, to, %error, "a lead stays here");
                }
            }
            seen_before = seen;
        }
    }

    /// Changes all partitions, one after another.
    pub(super) async fn change_all(
        &self,
        change: &Change,
        within: Duration,
    ) -> Result<usize, ReplicasError> {
        let deadline = Instant::now() + within;
        let mut left = 0;
        for partition in 0..self.partitions() {
            if !self.change(partition, change, deadline).await? {
                left += 1;
            }
        }
        Ok(left)
    }

    /// Changes a partition, step by step, until it is done or the time is over.
    async fn change(
        &self,
        partition: u16,
        change: &Change,
        deadline: Instant,
    ) -> Result<bool, ReplicasError> {
        loop {
            let is_done = match change {
                // Partition 0's leader knows whether the node has to be taken out first: it says so each time.
                Change::Join(..) if partition > 0 => {
                    self.ask_for_step(0, change).await?
                        && self.ask_for_step(partition, change).await?
                }
                _ => self.ask_for_step(partition, change).await?,
            };
            if is_done {
                return Ok(true);
            }
            if Instant::now() + STEP_AGAIN_AFTER >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(STEP_AGAIN_AFTER).await;
        }
    }

    /// Has the next step of a change taken by the partition's leader. Says whether nothing is left to do.
    async fn ask_for_step(&self, partition: u16, change: &Change) -> Result<bool, ReplicasError> {
        let step = match self.leader(PartitionId(partition)) {
            Some(leader) if leader == self.node() => self.take_step(partition, change).await,
            Some(leader) => {
                let question = Question::Change(partition, change.clone());
                match ask(self.wire(), leader, &question, STEP_MAX).await {
                    Ok(Answer::Changed(step)) => step,
                    // Whether it was done is found out by the next step.
                    Ok(_) | Err(_) => Ok(false),
                }
            }
            // It hears nothing any more, and so it is done; or others must be asked.
            None if self.is_out_of(PartitionId(partition)) => match change {
                Change::Leave(node) if *node == self.node() => Ok(true),
                _ => return self.ensure_in().map(|()| false),
            },
            None => Ok(false),
        };
        step.map_err(ReplicasError::Refused)
    }

    /// The next step of a change, at the partition's leader. Says whether nothing is left to do.
    pub(crate) async fn take_step(&self, partition: u16, change: &Change) -> Result<bool, String> {
        let running = self.running().map_err(|error| error.to_string())?;
        let group = running.groups.get(usize::from(partition));
        let group = group.ok_or_else(|| format!("there is no partition {partition}"))?;
        let membership = group.look(|raft| raft.membership().clone());
        let mut next = membership.clone();
        match change {
            // It would only be taken out again.
            Change::Join(node, _) if self.is_taking_out(*node) => return Ok(false),
            Change::Join(node, address) if membership.voters.get(node) == Some(address) => {
                return Ok(true);
            }
            // It has moved, or ran alone and had no address.
            Change::Join(node, address) if membership.votes(*node) => {
                next.voters.insert(*node, address.clone());
            }
            Change::Join(node, address) if membership.learners.get(node) != Some(address) => {
                next.learners.insert(*node, address.clone());
            }
            Change::Join(node, address) if group.look(|raft| self.keeps_up(raft, *node)) => {
                next.learners.remove(node);
                next.voters.insert(*node, address.clone());
            }
            Change::Join(..) => return Ok(false),
            Change::Leave(node) if *node == self.node() => {
                let others = group.look(|raft| self.keeping_up(raft));
                let nth = usize::from(partition) % others.len().max(1);
                let to = others.get(nth).ok_or("nobody else could lead it")?;
                if let Err(error) = self.move_lead(group, *to).await {
                    tracing::info!(partition, to, error, "a lead stays here");
                }
                return Ok(false);
            }
            Change::Leave(node) if membership.votes(*node) => {
                if membership.voters.len() == 1 {
                    return Err("it is the only node that has the data".to_owned());
                }
                next.voters.remove(node);
            }
            Change::Leave(node) if membership.listens(*node) => {
                next.learners.remove(node);
            }
            Change::Leave(_) => return Ok(true),
            Change::Lead(node) if *node == self.node() => return Ok(true),
            Change::Lead(node) if !membership.votes(*node) => {
                return Err(format!("node {node} has no vote in partition {partition}"));
            }
            Change::Lead(node) => return self.move_lead(group, *node).await.map(|()| true),
        }
        let changed = group.act(|core| core.raft.change(next));
        match changed {
            Ok(at) => {
                // Whether it is committed is seen by the next step.
                let committed = self.applied_upto(PartitionId(partition), at.index);
                let _ = tokio::time::timeout(STEP_MAX / 2, committed).await;
            }
            // Another change is under way, or another leader; this one comes after it.
            Err(error @ (ProposeError::ChangeUnderWay | ProposeError::NotLeader)) => {
                tracing::debug!(partition, ?error, "a change has to wait");
            }
            Err(ProposeError::TooMuchAtOnce) => {
                return Err("more than one node would change at once".to_owned());
            }
        }
        Ok(false)
    }

    /// Moves a lead of this node.
    async fn move_lead(&self, group: &Group, to: u64) -> Result<(), String> {
        if !group.look(|raft| self.keeps_up(raft, to)) {
            return Err(format!("node {to} does not keep up"));
        }
        group.seal(true);
        let moved = self.try_move_lead(group, to).await;
        group.seal(false);
        moved
    }

    async fn try_move_lead(&self, group: &Group, to: u64) -> Result<(), String> {
        let partition = group.partition;
        let is_gone = || group.look(|raft| self.is_gone(raft, to));
        let has_all = || group.look(|raft| lacks(raft, to)) == Some(0);
        if !looked_for(has_all, is_gone, CATCH_UP_MAX).await {
            return Err(format!("node {to} has not come to have everything"));
        }
        let handed = group.act(|core| core.raft.hand_over(to));
        handed.map_err(|error| format!("node {to} cannot lead it: {error:?}"))?;
        let is_led = || {
            let leader = group.look(Raft::leader);
            leader.is_some_and(|leader| leader != self.node())
        };
        if !looked_for(is_led, is_gone, ELECTED_MAX).await {
            return Err(format!("node {to} was not elected"));
        }
        tracing::info!(%partition, to, "gave the lead away");
        Ok(())
    }

    /// Whether a replica has not answered this leader for a while: nothing is given to it, as everybody
    /// would wait.
    fn is_gone(&self, raft: &Raft<GroupLog>, node: u64) -> bool {
        let silence = raft.silence_of(node).map(Duration::from_millis);
        silence.is_some_and(|silence| silence > self.options.timing.heartbeat * UNANSWERED_MAX)
    }

    fn keeps_up(&self, raft: &Raft<GroupLog>, node: u64) -> bool {
        let keeps_up = lacks(raft, node).is_some_and(|entries| entries <= KEEPS_UP_ENTRIES);
        keeps_up && !self.is_gone(raft, node)
    }

    /// The other voters that keep up, by number.
    fn keeping_up(&self, raft: &Raft<GroupLog>) -> Vec<u64> {
        let voters = raft.membership().voters.keys().copied();
        voters.filter(|other| self.keeps_up(raft, *other)).collect()
    }
}

/// Waits until it is found, but not beyond the time or when there is no hope.
async fn looked_for(
    found: impl Fn() -> bool,
    is_hopeless: impl Fn() -> bool,
    within: Duration,
) -> bool {
    let looking = async {
        while !found() {
            if is_hopeless() {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    };
    tokio::time::timeout(within, looking).await == Ok(true)
}

/// The voter whose turn it is to lead a partition.
fn whose_turn(PartitionId(partition): PartitionId, raft: &Raft<GroupLog>) -> Option<u64> {
    let voters = &raft.membership().voters;
    let nth = usize::from(partition) % voters.len().max(1);
    voters.keys().nth(nth).copied()
}

/// Entries that a replica lacks, as far as this leader knows; none is known of one that has confirmed none.
/// A new one would else get a vote because the log is short, before anything has been heard of it.
fn lacks(raft: &Raft<GroupLog>, node: u64) -> Option<u64> {
    let has = raft.has(node).filter(|has| *has > 0)?;
    Some(raft.terms().last().index.saturating_sub(has))
}
