//! The log on a disk that fails, tears and forgets: at every write and sync in turn, everything
//! acknowledged before is there after a restart, in order, without a gap (L2).

use std::sync::Arc;
use std::sync::mpsc;

use consign_journal::fault::{Disk, Fault};
use consign_journal::{
    AppendError, Entry, Health, Journal, OpenError, Options, PartitionId, Recovered, StateStore,
    Table, Write,
};

use crate::{PARTITIONS, append, entries, entry, open, options};

const ENTRIES: u64 = 12;

/// Appends, purges once in the middle; gives what was acknowledged until the first refusal.
fn work(recovered: &Recovered) -> Vec<(PartitionId, u64, Entry)> {
    let mut acknowledged = Vec::new();
    for nth in 0..ENTRIES {
        let partition = u16::try_from(nth % 2).expect("0 or 1");
        match append(&recovered.journal, partition, entry(nth)) {
            Ok(committed) => acknowledged.push((committed.partition, committed.index, entry(nth))),
            Err(_) => break,
        }
        if nth == ENTRIES / 2 {
            // A checkpoint: what it holds may leave the log, once it is published.
            let upto = [(PartitionId(0), 2)];
            if recovered
                .state
                .write(&StateStore::publication(&upto))
                .is_ok()
            {
                let _ = recovered.journal.purge(&upto);
            }
        }
    }
    acknowledged
}

fn assert_all_there(after: &Recovered, acknowledged: &[(PartitionId, u64, Entry)], context: &str) {
    let checkpoint = after.state.checkpoint_of(PartitionId(0)).expect("reads");
    let entries = entries(after);
    for (partition, index, entry) in acknowledged {
        let in_checkpoint = *partition == PartitionId(0) && *index <= checkpoint;
        let found = entries
            .iter()
            .find(|(of, at, _)| of == partition && at == index);
        match found {
            Some((_, _, found)) => assert_eq!(found, entry, "{context}"),
            None => assert!(in_checkpoint, "{context}: {partition}/{index} is lost"),
        }
    }
    for partition in 0..PARTITIONS {
        let indexes: Vec<u64> = entries
            .iter()
            .filter(|(of, ..)| of.0 == partition)
            .map(|(_, index, _)| *index)
            .collect();
        assert!(
            indexes.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{context}: a gap in {indexes:?}"
        );
    }
    // And the log goes on where it ended.
    let last = after.journal.last_index(PartitionId(1));
    let next = append(&after.journal, 1, entry(99)).expect("the disk works again");
    assert_eq!(next.index, last + 1, "{context}");
}

#[test]
fn whatever_write_or_sync_fails_nothing_acknowledged_is_lost() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    let before = journal.operations();
    let acknowledged = work(&recovered);
    assert_eq!(acknowledged.len() as u64, ENTRIES);
    drop(recovered);
    let operations = journal.operations() - before;
    let mut broke = 0;
    for nth in 0..operations {
        for (fault, seed) in [
            (Fault::Fail, nth),
            (Fault::Tear, nth + 7_919),
            (Fault::Tear, nth + 104_729),
        ] {
            let context = format!("{fault:?} at operation {nth} of {operations}, seed {seed}");
            let (journal, state) = (Disk::default(), Disk::default());
            let recovered = open(&journal, &state).expect("opens");
            journal.plan(nth, fault);
            let acknowledged = work(&recovered);
            broke += u64::from(journal.broken());
            drop(recovered);
            journal.power_loss(seed);
            state.power_loss(seed);
            let after = open(&journal, &state).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_all_there(&after, &acknowledged, &context);
        }
    }
    assert!(
        broke > operations,
        "the faults must happen for this to show anything: {broke}"
    );
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_and_the_reason_is_told() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    let (tell, hear) = mpsc::channel();
    recovered.journal.on_failure(Box::new(move |reason| {
        tell.send(reason.to_owned()).expect("the test waits");
    }));
    append(&recovered.journal, 0, entry(0)).expect("the disk works");
    journal.plan(0, Fault::Fail);
    let first = append(&recovered.journal, 0, entry(1)).expect_err("the disk is broken");
    let second = append(&recovered.journal, 1, entry(2)).expect_err("and stays so");
    assert!(
        matches!(&first, AppendError::Stopped { reason } if reason.contains("cannot write the journal"))
    );
    assert_eq!(first, second);
    assert!(matches!(recovered.journal.health(), Health::Failed(_)));
    assert!(
        hear.recv()
            .expect("told once")
            .contains("cannot write the journal")
    );
    assert_eq!(recovered.journal.last_index(PartitionId(0)), 1);
}

#[test]
fn a_flipped_bit_in_a_row_is_refused_by_name() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    append(&recovered.journal, 0, entry(0)).expect("appends");
    drop(recovered);
    let mut flipped = 0;
    while let Some(at) = journal.find(b"body of 0") {
        journal.flip_bit(at + 2);
        flipped += 1;
    }
    assert!(flipped > 0);
    let error = open(&journal, &state).expect_err("damaged");
    assert!(
        matches!(error, OpenError::DamagedRow { row: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_purged_log_goes_on_after_a_restart_and_keeps_its_clock() {
    let (journal, state) = (Disk::default(), Disk::default());
    let now = Arc::new(|| 5_000_000_i64);
    let recovered = Journal::open(Options {
        now,
        ..options(&journal, &state)
    })
    .expect("opens");
    for nth in 0..4 {
        append(&recovered.journal, 0, entry(nth)).expect("appends");
    }
    assert!(recovered.journal.tail_bytes() > 0);
    let upto = [(PartitionId(0), 4)];
    let publication = StateStore::publication(&upto);
    recovered.state.write(&publication).expect("writes");
    recovered.journal.purge(&upto).expect("purges");
    assert_eq!(recovered.journal.tail_bytes(), 0);
    assert_eq!(recovered.journal.first_index(PartitionId(0)), 5);
    assert!(recovered.journal.tail(PartitionId(0), 1, 10).is_empty());
    drop(recovered);
    let after = Journal::open(Options {
        now: Arc::new(|| 0),
        ..options(&journal, &state)
    })
    .expect("opens");
    assert_eq!((entries(&after).len(), after.time_floor), (0, 5_000_000));
    assert_eq!(
        append(&after.journal, 0, entry(9)).expect("appends").index,
        5
    );
}

#[test]
fn a_backup_comes_back_whole_and_never_over_anything() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, copy, back) = (
        dir.path().join("data"),
        dir.path().join("copy"),
        dir.path().join("back"),
    );
    let recovered = Journal::open(Options {
        partitions: PARTITIONS,
        ..Options::new(data)
    })
    .expect("opens");
    for nth in 0..5 {
        append(&recovered.journal, 1, entry(nth)).expect("appends");
    }
    let row = Write {
        table: Table::Parts,
        key: b"key".to_vec(),
        value: Some(b"value".to_vec()),
    };
    recovered.state.write(&[row]).expect("writes");
    let manifest = recovered
        .journal
        .backup(&recovered.state, &copy)
        .expect("copies");
    assert_eq!((manifest.journal_rows, manifest.state_rows), (5, 1));
    assert!(
        recovered.journal.backup(&recovered.state, &copy).is_err(),
        "never over anything"
    );
    append(&recovered.journal, 1, entry(5)).expect("work goes on");
    assert_eq!(
        consign_journal::restore(&copy, &back).expect("restores"),
        manifest
    );
    assert!(
        consign_journal::restore(&copy, &back).is_err(),
        "never over anything"
    );
    let after = Journal::open(Options {
        partitions: PARTITIONS,
        ..Options::new(back)
    })
    .expect("opens");
    assert_eq!(entries(&after).len(), 5);
    assert_eq!(entries(&after)[4].2, entry(4));
    assert_eq!(
        after.state.get(Table::Parts, b"key").expect("reads"),
        Some(b"value".to_vec())
    );
    std::fs::remove_file(copy.join("manifest.json")).expect("removes");
    let error = consign_journal::restore(&copy, &dir.path().join("again")).expect_err("not whole");
    assert!(error.to_string().contains("not a whole backup"), "{error}");
}
