//! The journal on a real disk: one append alone, and many at once, which share a sync.

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use consign_journal::{Entry, Journal, Options, PartitionId};
use divan::Bencher;
use divan::counter::ItemsCount;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of an ordinary batch of events.
const ENTRY_BYTES: usize = 400;
/// After so many appends the log is purged, as checkpoints do.
const PURGE_EVERY: u64 = 20_000;

fn main() {
    divan::main();
}

fn entry(n: u64) -> Entry {
    Entry {
        entity: Bytes::from(format!("oorder-{n:016}")),
        expected: 0,
        body: Bytes::from(vec![7; ENTRY_BYTES]),
        private: Some(Bytes::from(vec![9; 120])),
    }
}

/// Appends so many from one thread and waits until all are durable.
#[divan::bench(args = [1, 8, 64, 512], sample_count = 50)]
fn append(bencher: Bencher, at_once: u64) {
    let home = tempfile::tempdir().expect("a directory");
    let recovered = Journal::open(Options::new(home.path().join("data"))).expect("a new journal");
    let journal: Arc<Journal> = recovered.journal;
    let mut n = 0;
    let mut purged = 0;
    bencher.counter(ItemsCount::new(at_once)).bench_local(|| {
        let (done, durable) = mpsc::channel();
        for _ in 0..at_once {
            n += 1;
            let done = done.clone();
            let partition = PartitionId(u16::try_from(n % 8).expect("eight partitions"));
            journal.append(
                partition,
                entry(n),
                Box::new(move |result| {
                    // The receiver is there until all have answered.
                    let _ = done.send(result.is_ok());
                }),
            );
        }
        drop(done);
        assert!(durable.iter().all(|ok| ok), "every append is durable");
        if n - purged > PURGE_EVERY {
            purged = n;
            let upto: Vec<_> = (0..8)
                .map(PartitionId)
                .map(|p| (p, journal.last_index(p)))
                .collect();
            journal.purge(&upto).expect("what is durable can be purged");
        }
    });
    journal.close();
}
