//! A node alone: the same thing with one voter.

use consign_journal::{AppendError, LeaderId, ReplicaOptions};

use crate::world::{Member, P0, entry, eventually};

async fn start(dir: &std::path::Path) -> (Member, LeaderId) {
    let member = Member::start(dir, ReplicaOptions::alone()).await;
    let lead = eventually("it leads", || member.lead(P0)).await;
    (member, lead)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_handed_over_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (member, lead) = start(dir.path()).await;
    for nth in 0..20 {
        let committed = member.append(lead, nth).await.expect("appends");
        assert_eq!(committed.index, nth + 1);
    }
    assert!(
        member.machine.taken.lock().is_empty(),
        "who waits takes them"
    );
    assert_eq!(member.records(), (0..20).map(entry).collect::<Vec<_>>());
    member.stop(None).await;
    let (member, lead) = start(dir.path()).await;
    assert_eq!(member.machine.taken.lock().len(), 20);
    assert_eq!(member.records(), (0..20).map(entry).collect::<Vec<_>>());
    assert_eq!(member.append(lead, 20).await.expect("appends").index, 21);
    member.stop(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_appends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (member, lead) = start(dir.path()).await;
    let stale = LeaderId {
        term: lead.term - 1,
        ..lead
    };
    let refused = member.append(stale, 0).await;
    assert!(matches!(refused, Err(AppendError::Deposed { .. })));
    assert!(member.records().is_empty());
    member.stop(None).await;
}
