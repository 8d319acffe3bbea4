//! Moving leaders between nodes, and nodes in and out, while traffic flows.
//!
//! ```text
//! lead moves:  seal ─► target has everything ─► no heartbeats for a lease ─► target campaigns
//! node joins:  learner ─► has everything ─► voter          node leaves: leads nothing ─► no voter
//! ```
//! In: who should lead, who should be in. Out: the same cluster in that shape, a partition at a time.
//! Every step can be repeated: what is done already is found done. A lead that cannot be moved stays
//! where it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::{BasicNode, ChangeMembers, Raft};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Groups;
use super::group::Group;
use super::messages::{Answer, Question, ask};
use super::replicas::{Replicas, ReplicasError};
use crate::log::PartitionId;

/// Entries that a replica may lack and still count as one that keeps up.
const KEEPS_UP_ENTRIES: u64 = 500;
/// How long a lead waits until its target has everything.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// How long a lead waits until its target leads.
const ELECTED_MAX: Duration = Duration::from_secs(2);
/// How often those two are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is added to a lease: clocks of two nodes run apart a little.
const LEASE_MARGIN: Duration = Duration::from_millis(20);
/// How often a node looks whether it leads what it should.
const BALANCE_EVERY: Duration = Duration::from_secs(2);
/// How long a step of a change may take at a partition's leader.
const STEP_MAX: Duration = Duration::from_secs(5);
/// How long until a step is tried again.
const STEP_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A change of a partition's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// This node votes from now on; others reach it there.
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
        self.change_all(&Change::Join(node, address.to_owned()), within)
            .await
    }

    /// Takes a node out, or goes on doing so: one that runs gives its leads away first. Gives the
    /// partitions that it is still in when the time is over.
    ///
    /// # Errors
    /// When a partition's leader refuses.
    pub async fn leave(&self, node: u64, within: Duration) -> Result<usize, ReplicasError> {
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
        let moves = running.groups.iter().zip(&running.rafts).map(|(group, raft)| async {
            let Some(lead) = group.lead() else { return };
            let others = keeping_up(raft);
            // Each partition begins elsewhere, so that no one node gets all of them.
            let nth = usize::from(group.partition.0) % others.len().max(1);
            for to in others.iter().cycle().skip(nth).take(others.len()) {
                if self.move_lead(group, raft, *to).await.is_ok() {
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
            for (group, raft) in running.groups.iter().zip(&running.rafts) {
                let whose_turn = whose_turn(group.partition, raft);
                let Some(to) = whose_turn.filter(|to| *to != self.node() && group.lead().is_some())
                else {
                    continue;
                };
                if !keeps_up(raft, to) {
                    continue;
                }
                // Seen twice: who has just come back must keep up for a while.
                seen.insert((group.partition, to));
                if seen_before.contains(&(group.partition, to))
                    && let Err(error) = self.move_lead(group, raft, to).await
                {
                    tracing::info!(partition = %group.partition, to, %error, "a lead stays here");
                }
            }
            seen_before = seen;
        }
    }

    /// Changes all partitions, one after another.
    async fn change_all(&self, change: &Change, within: Duration) -> Result<usize, ReplicasError> {
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
                None => Ok(false),
            };
            if step.map_err(ReplicasError::Raft)? {
                return Ok(true);
            }
            if Instant::now() + STEP_AGAIN_AFTER >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(STEP_AGAIN_AFTER).await;
        }
    }

    /// The next step of a change, at the partition's leader. Says whether nothing is left to do.
    pub(crate) async fn take_step(&self, partition: u16, change: &Change) -> Result<bool, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let running = self.running().map_err(|error| text(&error))?;
        let at = usize::from(partition);
        let (Some(group), Some(raft)) = (running.groups.get(at), running.rafts.get(at)) else {
            return Err(format!("there is no partition {partition}"));
        };
        let membership = raft
            .metrics()
            .borrow()
            .membership_config
            .membership()
            .clone();
        let votes = |node: u64| membership.voter_ids().any(|voter| voter == node);
        let listens = |node: u64| membership.learner_ids().any(|learner| learner == node);
        let changed = match change {
            Change::Join(node, _) if votes(*node) => return Ok(true),
            Change::Join(node, address) if !listens(*node) => {
                let place = BasicNode::new(address);
                raft.add_learner(*node, place, false).await
            }
            Change::Join(node, _) if keeps_up(raft, *node) => {
                let voter = ChangeMembers::AddVoterIds(BTreeSet::from([*node]));
                raft.change_membership(voter, true).await
            }
            Change::Join(..) => return Ok(false),
            Change::Leave(node) if *node == self.node() => {
                let others = keeping_up(raft);
                let nth = usize::from(partition) % others.len().max(1);
                let to = others.get(nth).ok_or("nobody else could lead it")?;
                if let Err(error) = self.move_lead(group, raft, *to).await {
                    tracing::info!(partition, to, error, "a lead stays here");
                }
                return Ok(false);
            }
            Change::Leave(node) if votes(*node) => {
                if membership.voter_ids().count() == 1 {
                    return Err("it is the only node that has the data".to_owned());
                }
                let voter = ChangeMembers::RemoveVoters(BTreeSet::from([*node]));
                raft.change_membership(voter, false).await
            }
            Change::Leave(node) if listens(*node) => {
                let learner = ChangeMembers::RemoveNodes(BTreeSet::from([*node]));
                raft.change_membership(learner, false).await
            }
            Change::Leave(_) => return Ok(true),
            Change::Lead(node) if *node == self.node() => return Ok(true),
            Change::Lead(node) if !votes(*node) => {
                return Err(format!("node {node} has no vote in partition {partition}"));
            }
            Change::Lead(node) => return self.move_lead(group, raft, *node).await.map(|()| true),
        };
        match changed {
            Ok(_) => Ok(false),
            Err(error) if error.forward_to_leader().is_some() => Ok(false),
            // Another change is under way; this one comes after it.
            Err(error) => {
                tracing::debug!(partition, %error, "a change has to wait");
                Ok(false)
            }
        }
    }

    /// Moves a lead of this node.
    async fn move_lead(&self, group: &Group, raft: &Raft<Groups>, to: u64) -> Result<(), String> {
        if !keeps_up(raft, to) {
            return Err(format!("node {to} does not keep up"));
        }
        group.seal(true);
        let moved = self.try_move_lead(group, raft, to).await;
        raft.runtime_config().heartbeat(true);
        group.seal(false);
        moved
    }

    async fn try_move_lead(
        &self,
        group: &Group,
        raft: &Raft<Groups>,
        to: u64,
    ) -> Result<(), String> {
        let partition = group.partition;
        let has_all = || lacks(raft, to) == Some(0);
        if !looked_for(has_all, CATCH_UP_MAX).await {
            return Err(format!("node {to} has not come to have everything"));
        }
        raft.runtime_config().heartbeat(false);
        // Inside a lease the others would refuse any candidate.
        tokio::time::sleep(self.lease() + LEASE_MARGIN).await;
        let question = Question::Elect(partition.0);
        let asked = ask(self.wire(), to, &question, ELECTED_MAX).await;
        asked.map_err(|error| error.to_string())?;
        let is_led = || {
            let leader = raft.metrics().borrow().current_leader;
            leader.is_some_and(|leader| leader != self.node())
        };
        if !looked_for(is_led, ELECTED_MAX).await {
            return Err(format!("node {to} was not elected"));
        }
        tracing::info!(%partition, to, "gave the lead away");
        Ok(())
    }
}

async fn looked_for(found: impl Fn() -> bool, within: Duration) -> bool {
    let looking = async {
        while !found() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(within, looking).await.is_ok()
}

/// The voter whose turn it is to lead a partition.
fn whose_turn(PartitionId(partition): PartitionId, raft: &Raft<Groups>) -> Option<u64> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
    let nth = usize::from(partition) % voters.len().max(1);
    voters.into_iter().nth(nth)
}

/// Entries that a replica lacks, as far as this leader knows.
fn lacks(raft: &Raft<Groups>, node: u64) -> Option<u64> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let last = metrics.last_log_index.map_or(0, |index| index + 1);
    let has = metrics.replication.as_ref()?.get(&node)?;
    Some(last.saturating_sub(has.map_or(0, |id| id.index + 1)))
}

fn keeps_up(raft: &Raft<Groups>, node: u64) -> bool {
    lacks(raft, node).is_some_and(|entries| entries <= KEEPS_UP_ENTRIES)
}

/// The other voters that keep up, by number.
fn keeping_up(raft: &Raft<Groups>) -> Vec<u64> {
    let others: BTreeSet<u64> = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let voters = metrics.membership_config.membership().voter_ids();
        voters.filter(|voter| *voter != metrics.id).collect()
    };
    others
        .into_iter()
        .filter(|other| keeps_up(raft, *other))
        .collect()
}
