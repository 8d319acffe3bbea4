//! Crashes that `each_write` does not try: in the middle of opening, in state.redb's slices, in group
//! commits, twice in a row; with nothing, everything or half of the unsynced kept (L2).

use std::sync::{Arc, mpsc};

use consign_journal::fault::{Disk, Fault};
use consign_journal::{
    Committed, Entry, Health, Journal, OpenError, Options, PartitionId, Recovered, StateStore,
    Table, Write,
};

use crate::{PARTITIONS, entries, entry, open, publish_five};

/// Sends a whole group before it waits for any answer, so that rows hold several entries.
fn append_group(journal: &Journal, numbers: std::ops::Range<u64>) -> Vec<(Committed, Entry)> {
    let (tell, hear) = mpsc::channel();
    let count = numbers.clone().count();
    for nth in numbers {
        let tell = tell.clone();
        let partition = PartitionId(u16::try_from(nth % 2).expect("0 or 1"));
        journal.append(
            partition,
            entry(nth),
            Box::new(move |result| {
                tell.send((nth, result)).expect("the test waits");
            }),
        );
    }
    drop(tell);
    let answers: Vec<_> = hear.iter().collect();
    assert_eq!(answers.len(), count, "every append is answered, once");
    let acknowledged =
        |(nth, result): (u64, Result<Committed, _>)| Some((result.ok()?, entry(nth)));
    answers.into_iter().filter_map(acknowledged).collect()
}

fn assert_there(after: &Recovered, acknowledged: &[(Committed, Entry)], context: &str) {
    let entries = entries(after);
    for (at, entry) in acknowledged {
        let found = entries
            .iter()
            .find(|(partition, index, _)| *partition == at.partition && *index == at.index);
        let (.., found) = found.unwrap_or_else(|| panic!("{context}: {at:?} is lost"));
        assert_eq!(found, entry, "{context}");
    }
    for partition in 0..PARTITIONS {
        let of_partition = entries.iter().filter(|(of, ..)| of.0 == partition);
        let indexes: Vec<u64> = of_partition.map(|(_, index, _)| *index).collect();
        let expected: Vec<u64> = (1..=indexes.len() as u64).collect();
        assert_eq!(indexes, expected, "{context}: partition {partition}");
    }
}

#[test]
fn group_commits_survive_a_crash_at_every_operation_and_a_second_crash_while_recovering() {
    // Which entries share a row is up to the threads, so the bound is generous, and what did not
    // break is not counted.
    let mut broke = 0;
    for nth in 0..20 {
        for fault in [Fault::Fail, Fault::Tear] {
            let context = format!("{fault:?} at {nth}");
            let (journal, state) = (Disk::default(), Disk::default());
            let recovered = open(&journal, &state).expect("opens");
            journal.plan(nth, fault);
            let groups = (0..10).map(|group| group * 4..(group + 1) * 4);
            let acknowledged: Vec<_> = groups
                .flat_map(|group| append_group(&recovered.journal, group))
                .collect();
            broke += u32::from(journal.broken());
            drop(recovered);
            journal.power_loss(nth * 31 + 7);
            // The second crash, inside recovery.
            journal.plan(nth % 7, fault);
            drop(open(&journal, &state));
            journal.power_loss(nth * 17 + 3);
            let after = open(&journal, &state).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_there(&after, &acknowledged, &context);
        }
    }
    assert!(broke >= 10, "the faults must happen: {broke}");
}

#[test]
fn a_crash_while_a_directory_is_first_made_leaves_one_that_opens_or_is_refused() {
    let (journal, state) = (Disk::default(), Disk::default());
    drop(open(&journal, &state).expect("opens"));
    let (of_journal, of_state) = (journal.operations(), state.operations());
    let (mut broke, mut refused) = (0, 0);
    for (in_state, operations) in [(false, of_journal), (true, of_state)] {
        for nth in 0..operations {
            for fault in [Fault::Fail, Fault::Tear] {
                let context = format!("{fault:?} at {nth} of {operations}, state: {in_state}");
                let (journal, state) = (Disk::default(), Disk::default());
                let faulty = if in_state { &state } else { &journal };
                faulty.plan(nth, fault);
                drop(open(&journal, &state));
                broke += u32::from(faulty.broken());
                journal.power_loss(nth + 5);
                state.power_loss(nth + 11);
                // redb refuses a file whose first bytes never arrived; nothing was acknowledged yet.
                match open(&journal, &state) {
                    Ok(after) => {
                        assert_eq!(append_group(&after.journal, 0..2).len(), 2, "{context}")
                    }
                    Err(OpenError::Database { .. }) => refused += 1,
                    Err(error) => panic!("{context}: {error}"),
                }
            }
        }
    }
    assert!(broke > 0, "the faults must happen");
    println!("{refused} of {broke} crashes leave a file that redb refuses");
}

#[test]
fn a_slice_of_state_is_there_whole_or_not_at_all() {
    let slice = |generation: u64| -> Vec<Write> {
        let mut writes: Vec<Write> = (0..50_u64)
            .map(|key| Write {
                table: if key % 2 == 0 {
                    Table::Parts
                } else {
                    Table::History
                },
                key: key.to_be_bytes().to_vec(),
                value: Some(generation.to_be_bytes().repeat(40)),
            })
            .collect();
        writes.push(Write {
            table: Table::Meta,
            key: b"generation".to_vec(),
            value: Some(generation.to_be_bytes().to_vec()),
        });
        writes
    };
    let mut broke = 0;
    for nth in 0..60 {
        for fault in [Fault::Fail, Fault::Tear] {
            let context = format!("{fault:?} at {nth}");
            let (journal, state) = (Disk::default(), Disk::default());
            let recovered = open(&journal, &state).expect("opens");
            state.plan(nth, fault);
            let mut written = 0;
            let mut tried = 0;
            for generation in 1..=4 {
                tried = generation;
                match recovered.state.write(&slice(generation)) {
                    Ok(()) => written = generation,
                    Err(_) => break,
                }
            }
            broke += u32::from(state.broken());
            drop(recovered);
            state.power_loss(nth + 13);
            let after = open(&journal, &state).unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = after.state.get(Table::Meta, b"generation").expect("reads");
            let found = found.map_or(0, |bytes| {
                u64::from_be_bytes(bytes.try_into().expect("8 bytes"))
            });
            assert!(
                found == written || found == tried,
                "{context}: {written} {found} {tried}"
            );
            for write in slice(found).iter().filter(|_| found > 0) {
                let row = after.state.get(write.table, &write.key).expect("reads");
                assert_eq!(row, write.value, "{context}");
            }
        }
    }
    assert!(broke > 20, "the faults must happen: {broke}");
}

#[test]
fn either_files_unknown_version_is_refused_on_opening() {
    for version in [0, 1, u64::from(u32::MAX)] {
        for file in ["journal.log", "state.redb"] {
            let dir = tempfile::tempdir().expect("a directory");
            drop(Journal::open(Options::new(dir.path().to_owned())).expect("opens"));
            let path = dir.path().join(file);
            if file == "journal.log" {
                write_log_version(&path, version);
            } else {
                write_state_version(&path, version);
            }
            let error = Journal::open(Options::new(dir.path().to_owned())).expect_err("refused");
            let text = error.to_string();
            assert!(
                text.contains(file) && text.contains(&version.to_string()),
                "{text}"
            );
        }
    }
}

/// Into both headers, behind the magic.
fn write_log_version(path: &std::path::Path, version: u64) {
    let mut bytes = std::fs::read(path).expect("reads");
    let version = u32::try_from(version).expect("32 bits").to_le_bytes();
    for slot in [0, 64 << 10] {
        bytes[slot + 8..slot + 12].copy_from_slice(&version);
    }
    std::fs::write(path, bytes).expect("writes");
}

fn write_state_version(path: &std::path::Path, version: u64) {
    let facts: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("facts");
    let database = redb::Database::open(path).expect("opens");
    let write = database.begin_write().expect("begins");
    let mut table = write.open_table(facts).expect("opens");
    table.insert("format_version", version).expect("inserts");
    drop(table);
    write.commit().expect("commits");
}

#[test]
fn purging_in_steps_keeps_a_row_until_all_of_its_pieces_are_purged() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    assert_eq!(append_group(&recovered.journal, 0..30).len(), 30);
    for upto in [
        [(PartitionId(0), 15), (PartitionId(1), 0)],
        [(PartitionId(0), 15), (PartitionId(1), 7)],
    ] {
        recovered.journal.purge(&upto).expect("purges");
        recovered
            .state
            .write(&StateStore::publication(&upto))
            .expect("writes");
    }
    drop(recovered);
    let after = open(&journal, &state).expect("opens");
    let left: Vec<_> = entries(&after)
        .iter()
        .map(|(partition, index, _)| (partition.0, *index))
        .collect();
    assert_eq!(left, (8..=15).map(|index| (1, index)).collect::<Vec<_>>());
    assert_eq!(after.journal.first_index(PartitionId(0)), 16);
}

#[test]
fn a_lost_state_file_behind_a_purged_log_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let recovered = Journal::open(Options::new(dir.path().to_owned())).expect("opens");
    append_group(&recovered.journal, 0..10);
    let upto = publish_five(&recovered);
    recovered.journal.purge(&upto).expect("purges");
    drop(recovered);
    std::fs::remove_file(dir.path().join("state.redb")).expect("removes");
    let opened = Journal::open(Options::new(dir.path().to_owned()));
    assert!(
        opened.is_err(),
        "ten acknowledged entries are gone, and it opens as if nothing were"
    );
}

#[test]
fn a_restore_that_fails_leaves_nothing_that_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, copy, back) = (
        dir.path().join("data"),
        dir.path().join("copy"),
        dir.path().join("back"),
    );
    let recovered = Journal::open(Options::new(data)).expect("opens");
    append_group(&recovered.journal, 0..4);
    recovered
        .journal
        .backup(&recovered.state, &copy)
        .expect("copies");
    std::fs::remove_file(copy.join("state.redb")).expect("removes");
    consign_journal::restore(&copy, &back).expect_err("not whole");
    let left: Vec<_> = std::fs::read_dir(&back)
        .expect("reads")
        .map(|f| f.expect("reads").file_name())
        .collect();
    assert!(
        left.is_empty(),
        "{left:?} would open as a node, and a second restore is refused"
    );
}

#[test]
fn a_committer_that_panics_is_a_failure_that_is_told() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    let (tell, hear) = mpsc::channel();
    recovered
        .journal
        .on_failure(Box::new(move |reason| drop(tell.send(reason.to_owned()))));
    recovered.journal.append(
        PartitionId(0),
        entry(0),
        Box::new(|_| panic!("a bug above")),
    );
    // The next one is answered or dropped once the thread is gone; either way it is over then.
    let (over, ended) = mpsc::channel();
    let over = Arc::new(over);
    while {
        let over = Arc::clone(&over);
        recovered.journal.append(
            PartitionId(0),
            entry(1),
            Box::new(move |result| {
                let _ = over.send(result.is_err());
            }),
        );
        !ended
            .recv_timeout(std::time::Duration::from_secs(1))
            .unwrap_or(false)
    } {}
    assert!(
        matches!(recovered.journal.health(), Health::Failed(_)),
        "{:?}",
        recovered.journal.health()
    );
    assert!(hear.try_recv().is_ok(), "nobody was told");
}

#[test]
fn reading_the_tail_from_the_last_number_there_is_does_not_panic() {
    let (journal, state) = (Disk::default(), Disk::default());
    let recovered = open(&journal, &state).expect("opens");
    assert!(
        recovered
            .journal
            .tail(PartitionId(0), u64::MAX, 10)
            .is_empty()
    );
}

#[test]
fn a_lost_log_beside_a_published_state_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let recovered = Journal::open(Options::new(dir.path().to_owned())).expect("opens");
    append_group(&recovered.journal, 0..10);
    publish_five(&recovered);
    drop(recovered);
    std::fs::remove_file(dir.path().join("journal.log")).expect("removes");
    let opened = Journal::open(Options::new(dir.path().to_owned()));
    assert!(opened.is_err(), "index 1 would be given to a second entry");
}
