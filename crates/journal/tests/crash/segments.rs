//! Segments that are used again, rows that need several, damage in every place (L2).

use std::collections::BTreeMap;

use bytes::Bytes;
use consign_journal::fault::{Disk, Fault};
use consign_journal::{Entry, Journal, OpenError, Options, PartitionId, Recovered, StateStore};
use proptest::prelude::*;

use crate::{PARTITIONS, append, entries, open};

/// What was acknowledged, by place.
type Acknowledged = BTreeMap<(u16, u64), Entry>;

fn sized(nth: u64, bytes: usize) -> Entry {
    Entry {
        entity: Bytes::from(format!("entity-{nth}")),
        expected: nth,
        body: Bytes::from(format!("<{nth}>{}", "y".repeat(bytes))),
        private: None,
    }
}

fn checkpoint(recovered: &Recovered) -> bool {
    let upto: Vec<_> = (0..PARTITIONS)
        .map(PartitionId)
        .map(|partition| (partition, recovered.journal.last_index(partition)))
        .collect();
    let published = recovered.state.write(&StateStore::publication(&upto));
    published.is_ok() && recovered.journal.purge(&upto).is_ok()
}

fn assert_there(after: &Recovered, acknowledged: &Acknowledged, context: &str) {
    let found: BTreeMap<(u16, u64), Entry> = entries(after)
        .into_iter()
        .map(|(partition, index, entry)| ((partition.0, index), entry))
        .collect();
    for ((partition, index), entry) in acknowledged {
        let checkpoint = after
            .state
            .checkpoint_of(PartitionId(*partition))
            .expect("reads");
        if *index <= checkpoint {
            continue;
        }
        let found = found.get(&(*partition, *index));
        let found = found.unwrap_or_else(|| panic!("{context}: {partition}/{index} is lost"));
        assert_eq!(found, entry, "{context}");
    }
}

/// Appends `count` entries, every seventh too long for a segment, with a checkpoint after each
/// fifth; ends with the first refusal.
fn work(recovered: &Recovered, from: u64, count: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for nth in from..from + count {
        let bytes = if nth % 7 == 6 { 9_000 } else { 700 };
        let entry = sized(nth, bytes);
        let partition = u16::try_from(nth % 2).expect("0 or 1");
        let Ok(committed) = append(&recovered.journal, partition, entry.clone()) else {
            break;
        };
        acknowledged.insert((partition, committed.index), entry);
        if nth % 5 == 4 && !checkpoint(recovered) {
            break;
        }
    }
    acknowledged
}

#[test]
fn segments_are_used_again_and_the_file_stops_growing() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    work(&recovered, 0, 100);
    let length = journal.length();
    let mut acknowledged = work(&recovered, 100, 203);
    assert!(
        journal.length() <= length + 3 * 4_096,
        "{length} became {}",
        journal.length()
    );
    drop(recovered);
    let after = open(&journal, &state).expect("opens");
    assert_there(&after, &acknowledged, "after a restart");
    acknowledged.append(&mut work(&after, 303, 9));
    drop(after);
    assert_there(
        &open(&journal, &state).expect("opens"),
        &acknowledged,
        "after two",
    );
}

/// Also in the middle of using segments again, and twice in a row.
#[test]
fn whatever_write_or_sync_fails_while_segments_are_used_again_nothing_is_lost() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    let before = journal.operations();
    work(&recovered, 0, 40);
    drop(recovered);
    let operations = journal.operations() - before;
    let mut broke = 0;
    for nth in 0..operations {
        for (fault, seed) in [
            (Fault::Fail, nth),
            (Fault::Tear, nth * 7 + 1),
            (Fault::Tear, nth * 3 + 2),
        ] {
            let context = format!("{fault:?} at operation {nth} of {operations}, seed {seed}");
            let (journal, state) = (Disk::default(), Disk::default());
            let recovered = open(&journal, &state).expect("opens");
            journal.plan(nth, fault);
            let mut acknowledged = work(&recovered, 0, 40);
            broke += u64::from(journal.broken());
            drop(recovered);
            journal.power_loss(seed);
            let again = open(&journal, &state).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_there(&again, &acknowledged, &context);
            // What was not acknowledged may be there all the same: indexes are the journal's.
            journal.plan(nth % 11, fault);
            acknowledged.append(&mut work(&again, 100, 12));
            drop(again);
            journal.power_loss(seed + 5);
            let after =
                open(&journal, &state).unwrap_or_else(|error| panic!("{context}, again: {error}"));
            assert_there(&after, &acknowledged, &context);
            append(&after.journal, 0, sized(999, 10)).expect("it goes on");
        }
    }
    assert!(broke > operations, "the faults must happen: {broke}");
}

/// Every byte of every row counts: after an orderly end even the last one's.
#[test]
fn damage_in_any_row_is_refused() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    for nth in 0..12 {
        append(
            &recovered.journal,
            0,
            sized(nth, if nth == 6 { 9_000 } else { 700 }),
        )
        .expect("appends");
    }
    drop(recovered);
    for nth in 0..12_u64 {
        let at = journal
            .find(format!("<{nth}>").as_bytes())
            .expect("is there");
        journal.flip_bit(at);
        let error = open(&journal, &state).expect_err("damaged");
        // Where a segment's first row is damaged, the later ones of it cannot be reached either.
        let is_refused = match error {
            OpenError::DamagedRow { row, .. } => row == nth + 1,
            OpenError::Gap { expected, .. } => expected == nth + 1,
            _ => false,
        };
        assert!(is_refused, "row {}: {error}", nth + 1);
        journal.flip_bit(at);
    }
    assert_eq!(
        entries(&open(&journal, &state).expect("whole again")).len(),
        12
    );
}

/// Without an orderly end a bad last row is taken for one that was being written: nobody was told.
#[test]
fn a_torn_last_row_is_dropped_and_its_place_is_used_again() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    append(&recovered.journal, 0, sized(0, 700)).expect("appends");
    journal.plan(0, Fault::Tear);
    append(&recovered.journal, 0, sized(1, 2_000)).expect_err("torn");
    drop(recovered);
    for seed in 0..6 {
        // The first crash keeps half of the row, the later ones tear a shorter row in its place.
        journal.power_loss(seed);
        let again = open(&journal, &state).expect("opens");
        assert_eq!(entries(&again).len(), 1, "seed {seed}");
        journal.plan(0, Fault::Tear);
        append(&again.journal, 0, sized(2 + seed, 300)).expect_err("torn");
    }
    journal.power_loss(9);
    let after = open(&journal, &state).expect("opens");
    append(&after.journal, 0, sized(50, 300)).expect("appends");
    drop(after);
    let entries = entries(&open(&journal, &state).expect("opens"));
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].2, sized(50, 300));
}

#[test]
fn a_log_whose_headers_are_gone_is_refused() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    append(&recovered.journal, 0, sized(0, 700)).expect("appends");
    drop(recovered);
    for slot in [0, 64 << 10] {
        journal.flip_bit(slot + 20);
    }
    let error = open(&journal, &state).expect_err("refused");
    assert!(matches!(error, OpenError::DamagedLog), "{error}");
    // One of the two is enough, but then it must be the newest that counts.
    journal.flip_bit(20);
    assert!(open(&journal, &state).is_ok());
}

#[test]
fn a_second_process_is_refused_while_the_first_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Journal::open(Options::new(dir.path().to_owned())).expect("opens");
    let error = Journal::open(Options::new(dir.path().to_owned())).expect_err("refused");
    assert!(
        error.to_string().contains("another process has it open"),
        "{error}"
    );
    drop(first);
    assert!(Journal::open(Options::new(dir.path().to_owned())).is_ok());
}

#[derive(Clone, Debug)]
enum Act {
    Append { partition: u16, bytes: usize },
    Purge { keep: u64 },
    Crash { nth: u64, tear: bool, seed: u64 },
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => (0..PARTITIONS, prop_oneof![8 => 0..900_usize, 1 => 4_000..14_000_usize])
            .prop_map(|(partition, bytes)| Act::Append { partition, bytes }),
        3 => (0..6_u64).prop_map(|keep| Act::Purge { keep }),
        2 => (0..8_u64, any::<bool>(), any::<u64>())
            .prop_map(|(nth, tear, seed)| Act::Crash { nth, tear, seed }),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 400, ..ProptestConfig::default() })]
    /// Appends, purges of some or all, crashes a few operations on, restarts, in any order.
    #[test]
    fn what_was_acknowledged_is_there_whatever_happens(acts in acts()) {
        let (journal, state) = (Disk::default(), Disk::default());
        let mut recovered = open(&journal, &state).expect("opens");
        let mut acknowledged = Acknowledged::new();
        let mut crash_with = 0;
        for (nth, act) in (0..).zip(acts) {
            let mut again = false;
            match act {
                Act::Append { partition, bytes } => {
                    let entry = sized(nth, bytes);
                    match append(&recovered.journal, partition, entry.clone()) {
                        Ok(committed) => drop(acknowledged.insert((partition, committed.index), entry)),
                        Err(_) => again = true,
                    }
                }
                Act::Purge { keep } => {
                    let partition = PartitionId(u16::try_from(nth % 2).expect("0 or 1"));
                    let upto = recovered.journal.last_index(partition).saturating_sub(keep);
                    let before = recovered.state.checkpoint_of(partition).expect("reads");
                    let upto = [(partition, upto.max(before))];
                    recovered.state.write(&StateStore::publication(&upto)).expect("the state's disk works");
                    again = recovered.journal.purge(&upto).is_err();
                }
                Act::Crash { nth, tear, seed } => {
                    journal.plan(nth, if tear { Fault::Tear } else { Fault::Fail });
                    crash_with = seed;
                }
                Act::Restart => again = true,
            }
            if again {
                drop(recovered);
                journal.power_loss(crash_with);
                recovered = open(&journal, &state).expect("opens");
                assert_there(&recovered, &acknowledged, "after a crash");
            }
        }
        drop(recovered);
        journal.power_loss(crash_with);
        assert_there(&open(&journal, &state).expect("opens"), &acknowledged, "in the end");
    }
}
