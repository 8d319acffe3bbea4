//! The journal on disks that fail, tear and forget (L2).

mod anywhere;
mod each_write;
mod segments;

use std::path::PathBuf;
use std::sync::mpsc;

use bytes::Bytes;
use consign_journal::fault::Disk;
use consign_journal::{
    AppendError, Committed, Entry, Journal, OpenError, Options, PartitionId, Recovered, StateStore,
};

const PARTITIONS: u16 = 2;

fn options(journal: &Disk, state: &Disk) -> Options {
    Options {
        partitions: PARTITIONS,
        // Small, so that every test comes to the end of segments and to rows that need several.
        segment_bytes: 4_096,
        journal_backend: Some(journal.backend()),
        state_backend: Some(state.backend()),
        ..Options::new(PathBuf::new())
    }
}

fn open(journal: &Disk, state: &Disk) -> Result<Recovered, OpenError> {
    Journal::open(options(journal, state))
}

fn entry(nth: u64) -> Entry {
    Entry {
        entity: Bytes::from(format!("entity-{}", nth % 3)),
        expected: nth,
        body: Bytes::from(format!("body of {nth} {}", "x".repeat(500))),
        private: nth.is_multiple_of(2).then(|| Bytes::from_static(b"secret")),
    }
}

/// Appends, and waits for the answer.
fn append(journal: &Journal, partition: u16, entry: Entry) -> Result<Committed, AppendError> {
    let (tell, hear) = mpsc::channel();
    let done = Box::new(move |result| tell.send(result).expect("the test waits"));
    journal.append(PartitionId(partition), entry, done);
    hear.recv().expect("every append is answered")
}

/// What the log holds, partition after partition.
fn entries(recovered: &Recovered) -> Vec<(PartitionId, u64, Entry)> {
    let partitions = (0..PARTITIONS).map(PartitionId);
    let of = |partition| {
        let first = recovered.journal.first_index(partition);
        let found = recovered.journal.tail(partition, first, usize::MAX);
        let placed = move |(index, entry)| (partition, index, entry);
        found.into_iter().map(placed)
    };
    partitions.flat_map(of).collect()
}

/// Publishes a checkpoint of both partitions up to their fifth entries.
fn publish_five(recovered: &Recovered) -> [(PartitionId, u64); 2] {
    let upto = [(PartitionId(0), 5), (PartitionId(1), 5)];
    let publication = StateStore::publication(&upto);
    recovered.state.write(&publication).expect("writes");
    upto
}
