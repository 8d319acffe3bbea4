//! What a cluster left goes on as one node, and what one node left as a cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consign_journal::{
    BackupError, Entry, Journal, LeaderId, OpenError, Options, PartitionId, ReplicaOptions,
    restore_as,
};

use crate::world::{Lines, Member, P0, PARTITIONS, entry, eventually};

const LONG: Duration = Duration::from_secs(20);
const RECORDS: u64 = 20;

fn expected(count: u64) -> Vec<Entry> {
    (0..count).map(entry).collect()
}

async fn backup(member: &Member, target: PathBuf) -> PathBuf {
    let (replicas, to) = (Arc::clone(&member.replicas), target.clone());
    let copied = tokio::task::spawn_blocking(move || replicas.backup(&to)).await;
    copied.expect("runs").expect("copies");
    target
}

async fn lead(member: &Member) -> LeaderId {
    eventually("it leads", || member.lead(P0)).await
}

/// Three nodes with records, and a backup of one that does not lead.
async fn backup_of_three(dir: &Path) -> PathBuf {
    let lines = Arc::new(Lines::default());
    let mut members = Vec::new();
    for node in 1..=3 {
        members.push(Member::join(dir, node, 3, &lines).await);
    }
    let mut nth = 0;
    while nth < RECORDS {
        let leads = || {
            members
                .iter()
                .find_map(|member| Some((member, member.lead(P0)?)))
        };
        let (member, lead) = eventually("somebody leads", leads).await;
        match member.append(lead, nth).await {
            Ok(_) => nth += 1,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let follows = || members.iter().find(|member| member.lead(P0).is_none());
    let follower = eventually("somebody follows", follows).await;
    follower.replicas.read(LONG).await.expect("reads");
    let copy = backup(follower, dir.join("backup")).await;
    for member in members {
        member.stop(Some(&lines)).await;
    }
    copy
}

/// Restores node 1, starts it with two empty nodes, and takes those in.
async fn grow(copy: &Path, dir: &Path, lines: &Arc<Lines>) -> Vec<Member> {
    restore_as(copy, &dir.join("1"), 1, "node-1").expect("restores");
    let mut members = Vec::new();
    for node in 1..=3 {
        members.push(Member::join(dir, node, 3, lines).await);
    }
    for node in [2, 3] {
        let address = format!("node-{node}");
        let joined = members[0].replicas.join(node, &address, LONG).await;
        assert_eq!(joined.expect("it may come"), 0);
    }
    members
}

fn all_vote(member: &Member) -> Option<()> {
    let voters = |group: &consign_journal::GroupStatus| BTreeSet::from_iter(group.voters.clone());
    let groups = member.replicas.status();
    groups
        .iter()
        .all(|group| voters(group) == [1, 2, 3].into())
        .then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_become_one_and_one_becomes_three() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = backup_of_three(&dir.path().join("old")).await;
    let alone = dir.path().join("alone");
    restore_as(&copy, &alone, 1, "").expect("restores");
    let member = Member::start(&alone, ReplicaOptions::alone()).await;
    let leads = lead(&member).await;
    assert_eq!(member.records(), expected(RECORDS));
    assert_eq!(member.replicas.members(P0), [1]);
    let appended = member.append(leads, RECORDS).await.expect("appends");
    assert_eq!(appended.index, RECORDS + 1, "records are counted on");
    let copy = backup(&member, dir.path().join("backup")).await;
    member.stop(None).await;

    let lines = Arc::new(Lines::default());
    let mut members = grow(&copy, &dir.path().join("new"), &lines).await;
    for member in &members {
        let holds = || (member.records() == expected(RECORDS + 1)).then_some(());
        eventually("all hold the same", holds).await;
        eventually("all vote", || all_vote(member)).await;
    }
    // Without the node that was restored nothing is missing.
    members.remove(0).stop(Some(&lines)).await;
    let leads = || {
        members
            .iter()
            .find_map(|member| Some((member, member.lead(P0)?)))
    };
    let (leader, under) = eventually("another leads", leads).await;
    let appended = leader.append(under, RECORDS + 1).await.expect("appends");
    assert_eq!(appended.index, RECORDS + 2);
    for member in members {
        member.stop(Some(&lines)).await;
    }
}

/// A checkpoint of the old cluster travels to empty nodes as a snapshot, and must not tell of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_checkpoint_holds_goes_along_and_the_old_cluster_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let alone = dir.path().join("alone");
    let member = Member::start(&alone, ReplicaOptions::alone()).await;
    let leads = lead(&member).await;
    for nth in 0..RECORDS {
        member.append(leads, nth).await.expect("appends");
    }
    member.checkpoint().await;
    member.append(leads, RECORDS).await.expect("appends");
    // The last one before a checkpoint may have come too late for it.
    let first = member.replicas.first_index(P0);
    assert!(first >= RECORDS, "the log begins with record {first}");
    let left: Vec<Entry> = (first - 1..=RECORDS).map(entry).collect();
    let copy = backup(&member, dir.path().join("backup")).await;
    member.stop(None).await;

    let lines = Arc::new(Lines::default());
    let members = grow(&copy, &dir.path().join("new"), &lines).await;
    for member in &members {
        eventually("all vote", || all_vote(member)).await;
        let holds = || (member.records() == left).then_some(());
        eventually("all hold what no checkpoint does", holds).await;
        assert_eq!(member.replicas.first_index(P0), first, "as a snapshot");
        for partition in (0..PARTITIONS).map(PartitionId) {
            let position = member.state.position_of(partition).expect("reads");
            let shown = format!("{position:?}");
            assert!(!shown.contains("\"\""), "nobody is nowhere: {shown}");
        }
    }
    for member in members {
        member.stop(Some(&lines)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ran_alone_can_be_told_its_address() {
    let dir = tempfile::tempdir().expect("a directory");
    let member = Member::start(&dir.path().join("1"), ReplicaOptions::alone()).await;
    let leads = lead(&member).await;
    member.append(leads, 0).await.expect("appends");
    member.stop(None).await;
    let lines = Arc::new(Lines::default());
    let mut members = Vec::new();
    for node in 1..=3 {
        members.push(Member::join(dir.path(), node, 3, &lines).await);
    }
    for node in 1..=3 {
        let address = format!("node-{node}");
        let joined = members[0].replicas.join(node, &address, LONG).await;
        assert_eq!(joined.expect("it may come"), 0);
    }
    let addresses = (1..=3).map(|node| (node, format!("node-{node}")));
    let addresses: Vec<(u64, String)> = addresses.collect();
    for member in &members {
        let known = || {
            let groups = member.replicas.status();
            let known = groups.iter().all(|group| group.members == addresses);
            (known && member.records() == expected(1)).then_some(())
        };
        eventually("all know where all are", known).await;
    }
    for member in members {
        member.stop(Some(&lines)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_restore_does_not_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let member = Member::start(&dir.path().join("data"), ReplicaOptions::alone()).await;
    let leads = lead(&member).await;
    member.append(leads, 0).await.expect("appends");
    let copy = backup(&member, dir.path().join("backup")).await;
    member.stop(None).await;
    let half = dir.path().join("half");
    restore_as(&copy, &half, 1, "").expect("restores");
    assert!(!half.join("restore.unfinished").exists());
    // As a restore leaves it that was killed.
    std::fs::write(half.join("restore.unfinished"), "").expect("writes");
    let opened = Journal::open(Options {
        partitions: PARTITIONS,
        ..Options::new(half.clone())
    });
    let refused = opened.expect_err("it is half a restore");
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    let again = restore_as(&copy, &half, 1, "").expect_err("nothing is written over");
    let is_the_same = matches!(again, BackupError::Open(OpenError::Unfinished { .. }));
    assert!(is_the_same, "{again}");
}
