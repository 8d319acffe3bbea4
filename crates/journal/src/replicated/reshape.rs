//! Makes the groups of a directory, on which no node runs, groups of one node: what a cluster left goes
//! on as a node alone, or as the first node of another cluster.
//!
//! In: a directory with the replicas of any cluster. Out: the same records; the given node is the only
//! voter of every partition, and elects itself when it starts. What was in the log and not committed is
//! committed then: nobody heard of it, so nobody minds. Holds: no entry and no checkpoint names anybody
//! else. Empty nodes that come later often have the numbers of old ones, and must not hear of a group
//! in which they would be a majority without this node.
//!
//! Half of it must not start: the caller sees to that ([`crate::restore_as`]).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use consign_raft::{Entry, Log as _, Mark, Membership, Payload, Restored, Vote};

use super::replicas::Position;
use super::store::GroupLog;
use crate::error::BackupError;
use crate::journal::{Journal, Options, Recovered};
use crate::log::{Health, PartitionId};
use crate::state::StateStore;

/// Cache of the state meanwhile, in bytes: a few rows are touched.
const CACHE_BYTES: usize = 16 << 20;

/// Makes `node`, which others reach at `address`, the only voter of every partition of `dir`.
pub(crate) fn reshape(
    dir: &Path,
    partitions: u16,
    node: u64,
    address: &str,
) -> Result<(), BackupError> {
    let Recovered { journal, state, .. } = Journal::open_unfinished(Options {
        partitions,
        cache_bytes: CACHE_BYTES,
        ..Options::new(dir.to_owned())
    })?;
    let alone = Membership {
        voters: BTreeMap::from([(node, address.to_owned())]),
        learners: BTreeMap::new(),
    };
    let mut ends = Vec::new();
    for partition in (0..partitions).map(PartitionId) {
        ends.push(reshape_group(&journal, &state, partition, (node, &alone))?);
    }
    // Writes what waits.
    journal.close();
    for (partition, end) in (0..).map(PartitionId).zip(ends) {
        if journal.last_index(partition) != end {
            let what = match journal.health() {
                Health::Failed(reason) => reason,
                Health::Serving => "the end of its log is not durable".to_owned(),
            };
            return Err(BackupError::Reshape { partition, what });
        }
    }
    Ok(())
}

/// Makes a partition's group that of one node; gives the last entry of its log.
fn reshape_group(
    journal: &Arc<Journal>,
    state: &StateStore,
    partition: PartitionId,
    (node, alone): (u64, &Membership),
) -> Result<u64, BackupError> {
    let failed = |what| BackupError::Reshape { partition, what };
    let published = state.position_of(partition)?;
    let applied = published.clone().unwrap_or_default();
    let (mut log, restored) = GroupLog::open(journal, partition, &applied).map_err(failed)?;
    let last = restored.terms.last();
    // Later than all that anybody has written or promised here.
    let term = restored.vote.term.max(last.term) + 1;
    // Before the entries: they are durable only if this is.
    log.save_vote(Vote {
        term,
        given_to: Some(node),
    });
    forget_memberships(&mut log, &restored).map_err(failed)?;
    let end = Mark {
        term,
        index: last.index + 1,
    };
    let payload = Payload::Membership(alone.clone());
    log.append(end, Entry { term, payload }, false);
    if let Some(published) = published {
        // A snapshot of it says who is in the group, too.
        let position = Position {
            membership: alone.clone(),
            ..published
        };
        state.write(&[StateStore::publication_at(partition, &position)])?;
    }
    Ok(end.index)
}

/// Puts blank entries in the place of those that say who was in the group; all others stay as they are.
fn forget_memberships(log: &mut GroupLog, restored: &Restored) -> Result<(), String> {
    let (first, last) = (
        restored.terms.purged().index + 1,
        restored.terms.last().index,
    );
    let entries = log.entries(first, last, u64::MAX)?;
    let mut rest = (first..)
        .zip(entries)
        .skip_while(|(_, entry)| !matches!(entry.payload, Payload::Membership(_)))
        .peekable();
    let Some((from, _)) = rest.peek() else {
        return Ok(());
    };
    log.cut(*from);
    for (index, Entry { term, payload }) in rest {
        let payload = match payload {
            Payload::Membership(_) => Payload::Blank,
            Payload::Blank | Payload::Data(_) => payload,
        };
        log.append(Mark { term, index }, Entry { term, payload }, false);
    }
    Ok(())
}
