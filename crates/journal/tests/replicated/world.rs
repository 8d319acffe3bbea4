//! Nodes of a cluster in one process, each with its own directory, joined by lines that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use consign_journal::{
    Answering, AppendError, Committed, Entry, Journal, LeaderId, Machine, NextPart, Options,
    PartitionId, Position, ReplicaOptions, ReplicaWire, Replicas, Rows, StateStore, Table, Timing,
    WireError, Write,
};
use parking_lot::{Mutex, RwLock};

pub const PARTITIONS: u16 = 2;
pub const P0: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(20);

/// Table, key, value.
type Row = (Table, Vec<u8>, Vec<u8>);

/// Remembers what it was handed.
#[derive(Default)]
pub struct Recorder {
    /// Records that nobody here waited for.
    pub taken: Mutex<BTreeMap<(PartitionId, u64), Entry>>,
    /// Who this node leads under.
    pub leads: Mutex<BTreeMap<PartitionId, LeaderId>>,
    pub failures: Mutex<Vec<String>>,
    /// Rows of the last snapshot.
    pub replaced: Mutex<Vec<Row>>,
    state: Mutex<Option<Arc<StateStore>>>,
}

impl Machine for Recorder {
    fn apply(&self, partition: PartitionId, index: u64, entry: &Entry) -> Result<(), String> {
        let before = self.taken.lock().insert((partition, index), entry.clone());
        match before {
            None => Ok(()),
            Some(_) => Err(format!("record {index} came twice")),
        }
    }
    fn applied(&self) {}
    fn lead(&self, partition: PartitionId, lead: LeaderId) {
        self.leads.lock().insert(partition, lead);
    }
    fn follow(&self, partition: PartitionId) {
        self.leads.lock().remove(&partition);
    }
    fn leader_changed(&self, _: PartitionId) {}
    fn each_row(
        &self,
        PartitionId(partition): PartitionId,
        rows: &Rows,
        visit: &mut dyn FnMut(Table, &[u8], &[u8]) -> bool,
    ) -> Result<(), String> {
        let prefix = partition.to_be_bytes();
        let from = Bound::Included(prefix.as_slice());
        let all = rows.scan(Table::Parts, from, Bound::Unbounded, false, usize::MAX);
        for (key, value) in all.map_err(|error| error.to_string())? {
            if key.starts_with(&prefix) && !visit(Table::Parts, &key, &value) {
                break;
            }
        }
        Ok(())
    }
    fn replace(
        &self,
        partition: PartitionId,
        position: &Position,
        parts: NextPart<'_>,
    ) -> Result<(), String> {
        let mut replaced = self.replaced.lock();
        // Other partitions' snapshots may arrive as well.
        replaced.retain(|(_, key, _)| !key.starts_with(&partition.0.to_be_bytes()));
        while let Some(part) = parts()? {
            replaced.extend(part);
        }
        let state = self.state.lock().clone().expect("it has a store");
        let published = [StateStore::publication_at(partition, position)];
        state.write(&published).map_err(|error| error.to_string())
    }
    fn failed(&self, reason: &str) {
        self.failures.lock().push(reason.to_owned());
    }
}

/// The lines between the nodes of a test.
#[derive(Default)]
pub struct Lines {
    nodes: RwLock<BTreeMap<u64, Arc<Replicas>>>,
    /// Pairs, either way, that hear nothing of each other.
    cut: RwLock<BTreeSet<(u64, u64)>>,
}

impl Lines {
    pub fn cut(&self, node: u64, others: &[u64]) {
        let mut cut = self.cut.write();
        for other in others {
            cut.extend([(node, *other), (*other, node)]);
        }
    }
    pub fn heal(&self) {
        self.cut.write().clear();
    }
}

struct Line {
    from: u64,
    runtime: tokio::runtime::Handle,
    lines: Arc<Lines>,
}

impl ReplicaWire for Line {
    fn ask(&self, node: u64, question: Bytes, within: Duration, _: bool) -> Answering {
        let (from, lines) = (self.from, Arc::clone(&self.lines));
        Box::pin(async move {
            if lines.cut.read().contains(&(from, node)) {
                tokio::time::sleep(within).await;
                return Err(WireError::NoAnswer("the line is cut".to_owned()));
            }
            let other = lines.nodes.read().get(&node).cloned();
            let other = other.ok_or_else(|| WireError::NotSent("it is down".to_owned()))?;
            let answer = other.answer(question).await;
            answer.map_err(|error| WireError::NoAnswer(error.to_string()))
        })
    }
    fn tell(&self, node: u64, message: Bytes) {
        if self.lines.cut.read().contains(&(self.from, node)) {
            return;
        }
        let Some(other) = self.lines.nodes.read().get(&node).cloned() else {
            return;
        };
        let from = self.from;
        // Whoever tells may hold its own group: others hear it on a task of their own.
        self.runtime
            .spawn(async move { other.hear(from, &message) });
    }
    fn locate(&self, _: u64, _: &str) {}
}

/// A node.
pub struct Member {
    pub node: u64,
    pub replicas: Arc<Replicas>,
    pub machine: Arc<Recorder>,
    pub state: Arc<StateStore>,
}

impl Member {
    pub async fn start(dir: &Path, options: ReplicaOptions) -> Member {
        let recovered = Journal::open(Options {
            partitions: PARTITIONS,
            ..Options::new(dir.to_owned())
        })
        .expect("opens");
        let node = options.node;
        let state = recovered.state;
        let replicas = Replicas::new(dir, recovered.journal, Arc::clone(&state), options);
        let (replicas, machine) = (Arc::new(replicas), Arc::new(Recorder::default()));
        *machine.state.lock() = Some(Arc::clone(&state));
        let hears = Arc::clone(&machine);
        replicas.start(hears).await.expect("starts");
        Member {
            node,
            replicas,
            machine,
            state,
        }
    }

    /// One of `nodes` nodes, joined by `lines`.
    pub async fn join(dir: &Path, node: u64, nodes: u64, lines: &Arc<Lines>) -> Member {
        let wire = Line {
            from: node,
            runtime: tokio::runtime::Handle::current(),
            lines: Arc::clone(lines),
        };
        let options = ReplicaOptions {
            node,
            members: (1..=nodes)
                .map(|node| (node, format!("node-{node}")))
                .collect(),
            timing: Timing::default(),
            wire: Arc::new(wire),
        };
        let member = Member::start(&dir.join(node.to_string()), options).await;
        lines
            .nodes
            .write()
            .insert(node, Arc::clone(&member.replicas));
        member
    }

    pub async fn stop(self, lines: Option<&Lines>) {
        if let Some(lines) = lines {
            lines.nodes.write().remove(&self.node);
        }
        self.replicas.shutdown().await;
    }

    pub fn lead(&self, partition: PartitionId) -> Option<LeaderId> {
        self.machine.leads.lock().get(&partition).copied()
    }

    pub async fn append(&self, lead: LeaderId, nth: u64) -> Result<Committed, AppendError> {
        let (tell, hear) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            let _ = tell.send(result);
        });
        self.replicas.append(P0, lead, entry(nth), done);
        hear.await.expect("every append is answered")
    }

    /// Publishes a checkpoint of everything applied, with one row that tells how much that is.
    pub async fn checkpoint(&self) {
        let (replicas, state) = (Arc::clone(&self.replicas), Arc::clone(&self.state));
        let written = tokio::task::spawn_blocking(move || {
            let positions = replicas.positions();
            let mut writes = StateStore::publication_of(&positions);
            writes.push(Write {
                table: Table::Parts,
                key: P0.0.to_be_bytes().to_vec(),
                value: Some(positions[0].records().to_be_bytes().to_vec()),
            });
            state.write(&writes).expect("writes");
            replicas.purge(&positions).expect("purges");
        });
        written.await.expect("runs");
    }

    /// All records of the first partition that are there.
    pub fn records(&self) -> Vec<Entry> {
        let first = self.replicas.first_index(P0);
        let records = self.replicas.tail(P0, first, usize::MAX);
        for ((index, _), expected) in records.iter().zip(first..) {
            assert_eq!(*index, expected, "records have no gap");
        }
        records.into_iter().map(|(_, entry)| entry).collect()
    }
}

pub fn entry(nth: u64) -> Entry {
    Entry {
        entity: Bytes::from(format!("entity-{nth}")),
        expected: nth,
        body: Bytes::from(format!("body of {nth}")),
        private: None,
    }
}

pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
