//! Three replicas: elections, cuts, fences, restarts.

use std::sync::Arc;
use std::time::Duration;

use consign_journal::{AppendError, Entry, LeaderId};

use crate::world::{Lines, Member, P0, entry, eventually};

struct Three {
    dir: tempfile::TempDir,
    lines: Arc<Lines>,
    members: Vec<Member>,
}

impl Three {
    async fn start() -> Three {
        let dir = tempfile::tempdir().expect("a directory");
        let lines = Arc::new(Lines::default());
        let mut members = Vec::new();
        for node in 1..=3 {
            members.push(Member::join(dir.path(), node, 3, &lines).await);
        }
        Three {
            dir,
            lines,
            members,
        }
    }

    /// Who leads the first partition, of those that are not `without`.
    async fn leader(&self, without: Option<u64>) -> (&Member, LeaderId) {
        let node = eventually("somebody leads", || {
            let mut others = self.members.iter().filter(|it| Some(it.node) != without);
            others.find_map(|it| it.lead(P0).map(|lead| (it.node, lead)))
        })
        .await;
        let member = self.members.iter().find(|it| it.node == node.0);
        (member.expect("it is one of them"), node.1)
    }

    async fn take(&mut self, node: u64) -> Member {
        let at = self.members.iter().position(|it| it.node == node);
        self.members.remove(at.expect("it runs"))
    }

    async fn bring_back(&mut self, node: u64) {
        let member = Member::join(self.dir.path(), node, 3, &self.lines).await;
        self.members.push(member);
    }

    /// All replicas come to hold the same records.
    async fn assert_all_hold(&self, expected: &[Entry]) {
        for member in &self.members {
            let holds = || (member.records() == expected).then_some(());
            eventually("all replicas hold the same", holds).await;
            assert!(member.machine.failures.lock().is_empty());
        }
    }

    async fn stop(self) {
        for member in self.members {
            member.stop(Some(&self.lines)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_all_replicas_and_survives_its_leader() {
    let mut three = Three::start().await;
    let (leader, lead) = three.leader(None).await;
    let first = leader.node;
    for nth in 0..10 {
        leader.append(lead, nth).await.expect("a quorum is there");
    }
    let gone = three.take(first).await;
    gone.stop(Some(&three.lines)).await;
    let (leader, lead) = three.leader(None).await;
    assert_ne!(leader.node, first);
    assert_eq!(
        leader
            .append(lead, 10)
            .await
            .expect("two are a quorum")
            .index,
        11
    );
    three.bring_back(first).await;
    let expected: Vec<Entry> = (0..11).map(entry).collect();
    three.assert_all_hold(&expected).await;
    three.stop().await;
}

/// L4: who is cut off does not acknowledge, and what it had decided is refused once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_gives_up() {
    let three = Three::start().await;
    let (old, old_lead) = three.leader(None).await;
    old.append(old_lead, 0).await.expect("a quorum is there");
    let others: Vec<u64> = (1..=3).filter(|node| *node != old.node).collect();
    three.lines.cut(old.node, &others);
    let lost = tokio::time::timeout(Duration::from_secs(10), old.append(old_lead, 77)).await;
    let lost = lost.expect("it is told in time");
    assert!(matches!(lost, Err(AppendError::Unknown { .. })), "{lost:?}");
    eventually("it gives up", || old.lead(P0).is_none().then_some(())).await;
    let refused = old.append(old_lead, 78).await;
    assert!(
        matches!(refused, Err(AppendError::Deposed { .. })),
        "{refused:?}"
    );
    let (new, new_lead) = three.leader(Some(old.node)).await;
    assert!(new_lead.term > old_lead.term);
    new.append(new_lead, 1).await.expect("two are a quorum");
    three.lines.heal();
    three.assert_all_hold(&[entry(0), entry(1)]).await;
    three.stop().await;
}

/// L4: what was decided under an older leader is nothing on any replica, although it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_decision_that_is_committed_is_nothing_anywhere() {
    let three = Three::start().await;
    let (leader, lead) = three.leader(None).await;
    leader.append(lead, 0).await.expect("a quorum is there");
    let older = LeaderId {
        term: lead.term - 1,
        ..lead
    };
    let committed = leader.replicas.propose_as(P0, older, &entry(66)).await;
    committed.expect("a quorum is there");
    let next = leader.append(lead, 1).await.expect("a quorum is there");
    assert_eq!(next.index, 2, "it leaves no hole");
    three.assert_all_hold(&[entry(0), entry(1)]).await;
    for member in &three.members {
        assert!(
            member
                .machine
                .taken
                .lock()
                .values()
                .all(|it| *it != entry(66))
        );
    }
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_miss_nothing_that_was_acknowledged_anywhere() {
    let three = Three::start().await;
    let (leader, lead) = three.leader(None).await;
    for nth in 0..50 {
        leader.append(lead, nth).await.expect("a quorum is there");
        for member in &three.members {
            let read = member.replicas.read(Duration::from_secs(5)).await;
            read.expect("all can be asked");
            assert_eq!(
                member.records().len() as u64,
                nth + 1,
                "on node {}",
                member.node
            );
        }
    }
    let others: Vec<u64> = (1..=3).filter(|node| *node != leader.node).collect();
    three.lines.cut(leader.node, &others);
    let alone = leader.replicas.read(Duration::from_secs(1)).await;
    assert!(alone.is_err(), "who is cut off cannot know what it misses");
    three.stop().await;
}

/// A replica that was away for longer than the log reaches back gets a snapshot, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_too_long_gets_a_snapshot() {
    let mut three = Three::start().await;
    let (leader, _) = three.leader(None).await;
    let away = (1..=3).find(|node| *node != leader.node).expect("three");
    three.take(away).await.stop(Some(&three.lines)).await;
    for round in 0..3 {
        let (leader, lead) = three.leader(None).await;
        for nth in 0..10 {
            leader
                .append(lead, round * 10 + nth)
                .await
                .expect("two are a quorum");
        }
        for member in &three.members {
            member
                .replicas
                .read(Duration::from_secs(5))
                .await
                .expect("reads");
            member.checkpoint().await;
        }
    }
    three.bring_back(away).await;
    let back = &three.members[2];
    let rows = || back.machine.replaced.lock().first().cloned();
    let (_, _, value) = eventually("a snapshot arrives", rows).await;
    assert_eq!(value, 30_u64.to_be_bytes());
    let (leader, lead) = three.leader(None).await;
    leader.append(lead, 30).await.expect("a quorum is there");
    back.replicas
        .read(Duration::from_secs(5))
        .await
        .expect("reads");
    assert_eq!(back.records(), vec![entry(30)]);
    assert!(
        back.machine
            .taken
            .lock()
            .keys()
            .all(|(_, index)| *index > 30)
    );
    // And so it is after a restart.
    three.take(away).await.stop(Some(&three.lines)).await;
    three.bring_back(away).await;
    let back = &three.members[2];
    back.replicas
        .read(Duration::from_secs(5))
        .await
        .expect("reads");
    assert_eq!(back.records(), vec![entry(30)]);
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_stop_and_come_back() {
    let mut three = Three::start().await;
    let (leader, lead) = three.leader(None).await;
    for nth in 0..5 {
        leader.append(lead, nth).await.expect("a quorum is there");
    }
    for node in 1..=3 {
        three.take(node).await.stop(Some(&three.lines)).await;
    }
    for node in 1..=3 {
        three.bring_back(node).await;
    }
    let (leader, lead) = three.leader(None).await;
    leader.append(lead, 5).await.expect("a quorum is there");
    let expected: Vec<Entry> = (0..6).map(entry).collect();
    three.assert_all_hold(&expected).await;
    three.stop().await;
}
