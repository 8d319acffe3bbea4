//! The cluster's shape: leaders spread evenly, nodes that come and go, while records are appended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use consign_journal::{Entry, LeaderId, PartitionId};

use crate::world::{Lines, Member, P0, entry, eventually};

const LONG: Duration = Duration::from_secs(20);

async fn start(dir: &std::path::Path, lines: &Arc<Lines>) -> Vec<Member> {
    let mut members = Vec::new();
    for node in 1..=3 {
        members.push(Member::join(dir, node, 3, lines).await);
    }
    members
}

async fn leader(members: &[Member]) -> (usize, LeaderId) {
    eventually("somebody leads", || {
        let mut leads = members.iter().enumerate();
        leads.find_map(|(at, member)| Some((at, member.lead(P0)?)))
    })
    .await
}

/// Appends, to whoever leads, until it is acknowledged.
async fn append(members: &[Member], nth: u64) {
    loop {
        let (at, lead) = leader(members).await;
        if members[at].append(lead, nth).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_come_to_be_spread_and_are_handed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = Arc::new(Lines::default());
    let mut members = start(dir.path(), &lines).await;
    let led = |members: &[Member]| -> Vec<Option<u64>> {
        let partitions = [P0, PartitionId(1)];
        let leads = |partition| {
            members
                .iter()
                .find(|member| member.lead(partition).is_some())
        };
        partitions
            .map(|partition| leads(partition).map(|member| member.node))
            .to_vec()
    };
    let spread = || (led(&members) == [Some(1), Some(2)]).then_some(());
    eventually("each leads one", spread).await;
    append(&members, 0).await;
    members[0].replicas.hand_over().await;
    let moved = || led(&members)[0].filter(|node| *node != 1);
    eventually("another leads", moved).await;
    append(&members, 1).await;
    let refused = members[1].replicas.transfer(P0, 9, LONG).await;
    assert!(refused.is_err(), "node 9 has no vote");
    while let Some(member) = members.pop() {
        member.stop(Some(&lines)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_and_another_goes_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = Arc::new(Lines::default());
    let mut members = start(dir.path(), &lines).await;
    for nth in 0..20 {
        append(&members, nth).await;
    }
    members.push(Member::join(dir.path(), 4, 4, &lines).await);
    let left = members[1].replicas.join(4, "node-4", LONG).await;
    assert_eq!(left.expect("it may come"), 0);
    append(&members, 20).await;
    let left = members[1].replicas.leave(1, LONG).await;
    assert_eq!(left.expect("it may go"), 0);
    members.remove(0).stop(Some(&lines)).await;
    append(&members, 21).await;
    let expected: Vec<Entry> = (0..22).map(entry).collect();
    for member in &members {
        let holds = || (member.records() == expected).then_some(());
        eventually("all hold the same", holds).await;
        let status = member.replicas.status();
        for group in &status {
            assert_eq!(BTreeSet::from_iter(group.voters.clone()), [2, 3, 4].into());
        }
    }
    // Asked for again, nothing is left to do.
    assert_eq!(members[0].replicas.leave(1, LONG).await.expect("done"), 0);
    for member in members {
        member.stop(Some(&lines)).await;
    }
}
