//! How a cluster comes to be: the first of its founders founds it, once.
//!
//! In: who else is to be in it, and what is on their disks. Out: groups with all of them. Holds: a founder
//! that has lost its disk founds nothing beside the cluster that the others have. So it asks all of them,
//! and begins only when none has anything; that it may is noted before anything is founded, and whoever
//! stops in the middle goes on.

use std::collections::BTreeMap;

use consign_raft::Membership;

use super::disks::Disks;
use super::group::Group;
use super::readmission::have_nothing;
use super::replicas::{Replicas, ReplicasError};

impl Replicas {
    /// Whether nobody needs to be asked: this disk has founded, or begun to; or there is nobody who
    /// would say.
    pub(super) fn founds_at_once(&self) -> bool {
        let founds = self.running.get().is_some_and(|it| it.disks.founds());
        founds || self.is_alone() || !self.wire().tells_disks()
    }

    /// Founds a group, if this node is the first of its founders and has never met it. One alone founds
    /// it: several would found several.
    pub(super) fn found(&self, group: &Group) {
        if self.is_first() {
            let membership = Membership {
                voters: self.options.members.clone(),
                learners: BTreeMap::new(),
            };
            group.act(|core| core.raft.found(membership));
        }
    }

    fn is_first(&self) -> bool {
        let first = self.options.members.first_key_value();
        first.is_some_and(|(first, _)| *first == self.node())
    }

    /// Founds the cluster, if that is this node's part and all others have been met and have nothing.
    pub(super) async fn found_if_nobody_has_anything(&self) -> Result<(), ReplicasError> {
        let running = self.running()?;
        if !self.is_first() || self.founds_at_once() || !have_nothing(&running.groups) {
            return Ok(());
        }
        let has_nothing = |other: &u64| {
            let met = running.disks.met(*other).filter(|met| met.counts);
            // Who speaks version 1 does not say.
            met.is_some_and(|met| met.word.is_none_or(|word| word.is_empty))
        };
        let mut others = self.options.members.keys();
        if !others.all(|other| *other == self.node() || has_nothing(other)) {
            return Ok(());
        }
        self.with_disks(Disks::found).await?;
        tracing::info!("founds the cluster: nobody has anything of one");
        running.groups.iter().for_each(|group| self.found(group));
        Ok(())
    }
}
