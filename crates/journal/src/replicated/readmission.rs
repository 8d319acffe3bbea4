//! A node that comes back with another disk is taken out of every group, and in again as one that has
//! nothing.
//!
//! ```text
//! strange ──another knows better──► learned
//!    └──it is empty, and others are a quorum──► out of all groups ──► its disk counts ──► in, and votes
//! ```
//! In: disks that do not count. Out: disks that do. Holds: the new disk counts nowhere before it is
//! committed in every group that the node is out. From then on no vote and no entry that it has forgotten
//! is missed: whoever could be elected with its vote lacks that entry, and so the votes of those who have
//! it, who are all but a minority of the rest. Why that is so stands in decision 0025. An operator's join of
//! such a node waits until its disk counts.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use consign_raft::Raft;

use super::disk_words::{DiskId, DiskStatus, DiskWord, Known, Returning};
use super::disks::Disks;
use super::group::Group;
use super::messages::{Answer, Question, ask};
use super::moves::Change;
use super::replicas::{Position, Replicas, ReplicasError, Running};
use super::store::GroupLog;
use crate::error::StoreError;
use crate::log::PartitionId;

/// How often a node looks at its peers' disks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it goes on with those that return.
const GO_ON_EVERY: Duration = Duration::from_secs(1);
/// How long another may take to say what it knows.
const WORD_MAX: Duration = Duration::from_secs(1);
/// How long a node may take to hear all that is committed.
const READ_MAX: Duration = Duration::from_secs(5);
/// How long it goes on taking a node out or in before it looks again whether that is still wanted.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// Whether a group has never had anything but, at most, a vote.
fn has_nothing(raft: &Raft<GroupLog>) -> bool {
    raft.terms().last().index == 0 && raft.membership_at().is_none()
}

/// All groups have nothing.
pub(super) fn have_nothing(groups: &[Arc<Group>]) -> bool {
    groups.iter().all(|group| group.look(has_nothing))
}

impl Replicas {
    /// What this node says of its disk; none before it runs.
    #[must_use]
    pub fn disk(&self) -> Option<DiskWord> {
        let running = self.running.get()?;
        Some(DiskWord {
            disk: running.disks.own(),
            is_empty: have_nothing(&running.groups),
        })
    }

    /// A peer comes with a disk, or, when it speaks version 1, says nothing of it. Gives whether
    /// anything of it counts.
    pub async fn meet(&self, node: u64, word: Option<DiskWord>) -> bool {
        let is_member = self.all_members().contains(&node);
        let is_empty = self.disk().is_some_and(|own| own.is_empty);
        let met = self.with_disks(move |disks| disks.meet(node, word, (is_empty, is_member)));
        met.await.unwrap_or_else(|error| {
            tracing::error!(node, %error, "its disk cannot be remembered, so it does not count");
            false
        })
    }

    /// A peer refuses this node's disk, or takes it.
    pub fn disk_refused(&self, peer: u64, is_refused: bool) {
        if let Ok(running) = self.running() {
            let of = self.options.members.len().max(self.all_members().len());
            running.disks.refused(peer, is_refused, of);
        }
    }

    /// How this node stands with others' disks, and they with its own.
    #[must_use]
    pub fn disk_status(&self) -> DiskStatus {
        let members = self.all_members();
        let status = |running: &Running| running.disks.status(&members);
        self.running.get().map_or_else(DiskStatus::default, status)
    }

    /// What is known here of a node's disk. Of its own a node says something once it has data.
    pub(super) fn known(&self, node: u64) -> Known {
        if node == self.node() {
            let own = self.disk().filter(|own| !own.is_empty);
            return Known {
                disk: own.map(|own| own.disk),
                as_of: 0,
            };
        }
        let running = self.running.get();
        running.map_or_else(Known::default, |running| running.disks.known(node))
    }

    /// Works on what is known of disks, where the disk may be waited for.
    pub(super) async fn with_disks<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disks) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReplicasError> {
        let disks = Arc::clone(&self.running()?.disks);
        let failed = |error: &dyn Display| ReplicasError::Log(error.to_string());
        let done = self.journal.threads().run(move || work(&disks)).await;
        done.map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    /// Everybody who is in any group, committed or not.
    fn all_members(&self) -> BTreeSet<u64> {
        let groups = self.running.get().map(|running| &running.groups);
        let mut all = BTreeSet::new();
        for group in groups.into_iter().flatten() {
            group.look(|raft| all.extend(raft.membership().nodes().map(|(node, _)| node)));
        }
        all
    }

    /// Keeps what is known of disks, as long as the node lives.
    pub(super) async fn keep_disks(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let kept = self.look_at_disks().await;
            if let Err(error) = kept {
                tracing::error!(%error, "what is known of disks cannot be kept");
            }
        }
    }

    async fn look_at_disks(&self) -> Result<(), ReplicasError> {
        let disks = &self.running()?.disks;
        self.found_if_nobody_has_anything().await?;
        let members = self.all_members();
        for node in disks.unremembered(&members) {
            self.ask_of(node).await?;
        }
        for node in disks.unremembered(&members) {
            let is_distrusted = self.with_disks(move |disks| disks.remember_as_met(node));
            if is_distrusted.await? {
                self.wire().hang_up(node);
            }
        }
        for (node, _) in disks.strange() {
            self.ask_of(node).await?;
        }
        Ok(())
    }

    /// The entry of partition 0 as of which a node is out of all groups, for certain: all that was
    /// committed by now has been applied here.
    async fn out_everywhere_at(&self, node: u64) -> Option<u64> {
        self.read(READ_MAX).await.ok()?;
        let positions = self.positions();
        let is_in = |position: &Position| position.membership.has(node);
        let is_out = !positions.iter().any(is_in) && !self.all_members().contains(&node);
        positions.first().filter(|_| is_out).map(Position::entry)
    }

    /// Others may have heard what became of a node while this one was away; and it may have come to have
    /// data since it was met.
    async fn ask_of(&self, node: u64) -> Result<(), ReplicasError> {
        let others = self.running()?.disks.can_be_asked();
        for other in others {
            let question = Question::Disk(node);
            let answer = ask(self.wire(), other, &question, WORD_MAX).await;
            let Ok(Answer::Disk(known)) = answer else {
                continue;
            };
            let learnt = self.with_disks(move |disks| disks.learn(node, known));
            if learnt.await? {
                self.wire().hang_up(node);
            }
        }
        Ok(())
    }

    /// Goes on with those that return, as long as the node lives.
    pub(super) async fn keep_readmitting(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(GO_ON_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Ok(running) = self.running() else { return };
            for (node, word) in running.disks.strange() {
                if let Some(returning) = self.may_return(node, word) {
                    let noted = self
                        .with_disks(move |disks| disks.returns(node, Some(returning)))
                        .await;
                    if let Err(error) = noted {
                        tracing::error!(node, %error, "it cannot be noted that a node returns");
                    }
                }
            }
            for (node, returning) in running.disks.returning() {
                if let Err(error) = self.readmit(node, returning).await {
                    tracing::warn!(node, %error, "a node that lost its disk is not back yet");
                }
            }
        }
    }

    /// Whether this node is to see to it that another returns: it leads partition 0, so one does; the
    /// other's disk is empty, and nothing has been heard of it on the one before; and nobody speaks
    /// version 1, who would take it at once.
    fn may_return(&self, node: u64, word: DiskWord) -> Option<Returning> {
        let group = self.group(PartitionId(0))?;
        group.lead()?;
        let silence = group.look(|raft| raft.silence_of(node)).unwrap_or(u64::MAX);
        let is_gone = Duration::from_millis(silence) >= self.options.timing.seal_after;
        let disks = &self.running().ok()?.disks;
        let speaks_old = |other: &u64| {
            let met = disks.met(*other);
            *other != node && met.is_some_and(|met| met.word.is_none())
        };
        if !word.is_empty || !is_gone || self.all_members().iter().any(speaks_old) {
            return None;
        }
        let groups = &self.running().ok()?.groups;
        let address = |group: &Arc<Group>| {
            group.look(|raft| {
                let mut nodes = raft.membership().nodes();
                let found = nodes.find(|(other, _)| *other == node);
                found.map(|(_, address)| address.to_owned())
            })
        };
        Some(Returning {
            disk: word.disk,
            address: groups.iter().find_map(address)?,
        })
    }

    /// Takes the next steps of a node's return. Every one can be repeated.
    async fn readmit(&self, node: u64, returning: Returning) -> Result<(), ReplicasError> {
        let Some(returning) = self.returns_with(node, returning) else {
            return Ok(());
        };
        let Returning { disk, address } = returning.clone();
        self.with_disks(move |disks| disks.returns(node, Some(returning)))
            .await?;
        if self.known(node).disk != Some(disk) {
            self.ask_of(node).await?;
        }
        if self.known(node).disk != Some(disk) {
            tracing::warn!(node, %disk, "it has lost its disk: it is taken out, and in again");
            self.change_all(&Change::Leave(node), CHANGE_MAX).await?;
            if !self.vouch_for(node, disk).await? {
                return Ok(());
            }
            metrics::counter!("consign_disks_replaced_total").increment(1);
        }
        let join = Change::Join(node, address);
        if self.change_all(&join, CHANGE_MAX).await? == 0 {
            self.with_disks(move |disks| disks.returns(node, None))
                .await?;
            tracing::info!(node, %disk, "it is back, on another disk");
        }
        Ok(())
    }

    /// With which disk a node returns, if it has come with it.
    fn returns_with(&self, node: u64, returning: Returning) -> Option<Returning> {
        let word = self.comes_with(node)?;
        let returning = Returning {
            // It may have lost one more meanwhile.
            disk: if word.is_empty {
                word.disk
            } else {
                returning.disk
            },
            ..returning
        };
        (word.disk == returning.disk).then_some(returning)
    }

    /// Whether this node is taking another out of all groups, which then comes in again: until that disk
    /// counts, an operator's join would only undo it step by step.
    pub(super) fn is_taking_out(&self, node: u64) -> bool {
        let Ok(running) = self.running() else {
            return false;
        };
        let returning = running.disks.returning().remove(&node);
        let returning = returning.and_then(|it| self.returns_with(node, it));
        returning.is_some_and(|it| self.known(node).disk != Some(it.disk))
    }

    /// A node that is in no group may stand on whichever disk it likes: it has promised nothing that
    /// still matters. If that is so, it is known by this one from here on.
    async fn vouch_for(&self, node: u64, disk: DiskId) -> Result<bool, ReplicasError> {
        let Some(at) = self.out_everywhere_at(node).await else {
            return Ok(false);
        };
        self.with_disks(move |disks| disks.replace(node, disk, at))
            .await?;
        Ok(true)
    }

    /// A node is about to be taken in: if it is in no group and comes with another disk than before, it
    /// is known by that one.
    pub(super) async fn vouch_as_met(&self, node: u64) -> Result<(), ReplicasError> {
        if let Some(word) = self.comes_with(node)
            && self.known(node).disk != Some(word.disk)
        {
            self.vouch_for(node, word.disk).await?;
        }
        Ok(())
    }

    /// Whether a node has been met, or needs not be.
    pub(super) fn has_met(&self, node: u64) -> bool {
        let met = |running: &Running| running.disks.met(node).is_some();
        node == self.node() || !self.wire().tells_disks() || self.running.get().is_some_and(met)
    }

    /// With which disk a node came last, if it says so.
    fn comes_with(&self, node: u64) -> Option<DiskWord> {
        self.running().ok()?.disks.met(node)?.word
    }
}
