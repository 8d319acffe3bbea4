//! One run: a cluster, its customers, its faults and its judge, all from one seed, on one thread.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use consign_tests::Shop;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::customers::{Customer, LOCATIONS, SKUS};
use crate::faults::{Counts, Faults};
use crate::history::History;
use crate::judge;
use crate::lies::Lie;
use crate::machine::{self, Machine};
use crate::network::{client_of, host};
use crate::post::Post;

/// Hosts of customers, and customers on each.
const SHOPS: u64 = 2;
const CUSTOMERS: u64 = 3;
/// How long everything together may take, in simulated time.
const ENDS_WITHIN: Duration = Duration::from_secs(400);

/// A step of simulated time.
const TICK: Duration = Duration::from_millis(1);

/// What comes next.
#[derive(Default)]
struct Stage {
    stage: AtomicU8,
    customers: AtomicUsize,
}

const FAULTS: u8 = 1;
const CALM: u8 = 2;

impl Stage {
    fn is(&self, stage: u8) -> bool {
        self.stage.load(Ordering::SeqCst) == stage
    }

    fn set(&self, stage: u8) {
        self.stage.store(stage, Ordering::SeqCst);
    }

    async fn reaches(&self, stage: u8) {
        while !self.is(stage) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// The law that was broken, with the evidence.
    pub verdict: Result<(), String>,
    /// Hash of all that happened.
    pub trace: u64,
    /// Simulated time.
    pub lasted: Duration,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
    /// Orders that were acknowledged.
    pub orders: u64,
    /// What went wrong.
    pub faults: Counts,
}

/// Runs a seed. `lie` is a seam that does not do what it says, which must be found.
pub fn run(seed: u64, lie: Option<Lie>, aloud: bool) -> Outcome {
    let mut chance = SmallRng::seed_from_u64(seed);
    machine::seed_disks(chance.random());
    // Mostly three nodes; at times one, or five.
    let nodes = match (lie.map(Lie::nodes), chance.random_range(0..10)) {
        (Some(nodes), _) => nodes,
        (None, 0) => 1,
        (None, 1) => 5,
        (None, _) => 3,
    };
    // Its name must not be drawn: the same seed may run twice at the same time.
    let process = std::process::id().to_string();
    let dir = tempfile::Builder::new()
        .prefix("consign-simulation-")
        .suffix(&process)
        .rand_bytes(0)
        .tempdir()
        .expect("a directory");
    let history = History::new(aloud);
    let post = Post::new(SmallRng::seed_from_u64(chance.random()));
    let machines = make_machines(nodes, dir.path(), &mut chance, &post);
    let mut sim = turmoil::Builder::new()
        .rng_seed(chance.random())
        .simulation_duration(ENDS_WITHIN)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(0))
        .max_message_latency(Duration::from_millis(3))
        .tcp_capacity(4_096)
        .build();
    for machine in &machines {
        let on = Arc::clone(machine);
        sim.host(host(machine.number), move || on.carries());
        machine.start();
    }
    let stage = Arc::new(Stage::default());
    for shop in 0..SHOPS {
        let (stage, history) = (Arc::clone(&stage), history.clone());
        let chances: Vec<SmallRng> = (0..CUSTOMERS)
            .map(|_| SmallRng::seed_from_u64(chance.random()))
            .collect();
        sim.client(format!("shop-{shop}"), async move {
            stage.reaches(FAULTS).await;
            let customers = (0..).zip(chances).map(|(nth, chance)| {
                let name = format!("c{shop}{nth}");
                let customer = Customer::new(&name, chance, history.clone(), nodes);
                tokio::spawn(shop_until_calm(customer, Arc::clone(&stage)))
            });
            for customer in customers.collect::<Vec<_>>() {
                customer.await?;
            }
            stage.customers.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
    }
    let verdict = Arc::new(Mutex::new(None));
    let judging = judge_at_the_end(
        nodes,
        Arc::clone(&stage),
        history.clone(),
        Arc::clone(&post),
    );
    let judged = Arc::clone(&verdict);
    sim.client("judge", async move {
        *judged.lock() = Some(judging.await);
        Ok(())
    });
    let lasts = Duration::from_secs(chance.random_range(15..30));
    let mut faults = Faults::new(
        SmallRng::seed_from_u64(chance.random()),
        &machines,
        &history,
        &post,
    );
    if let Some(lie) = lie {
        // No lie is about these messages, and without them there are more orders to find it by.
        post.be_reliable();
        lie.tell(&machines, &mut faults);
    }
    let ended = drive(&mut sim, &stage, &mut faults, lasts, &machines);
    let lasted = sim.elapsed();
    let trace = history.trace();
    let verdict = verdict.lock().take();
    let verdict = ended.and(verdict.unwrap_or_else(|| Err("the judge came to no end".to_owned())));
    for machine in &machines {
        machine.process_ends();
        machine.end();
    }
    history.records(|all| Outcome {
        verdict,
        trace,
        lasted,
        answered: all.answered,
        unknown: all.unknown,
        orders: all.placed.values().filter(|it| it.id.is_some()).count() as u64,
        faults: faults.counts(),
    })
}

fn make_machines(
    nodes: u64,
    dir: &Path,
    chance: &mut SmallRng,
    post: &Arc<Post>,
) -> Vec<Arc<Machine>> {
    let make = |node| {
        let dir = dir.join(host(node));
        std::fs::create_dir_all(&dir).expect("a directory");
        let drift = chance.random_range(-200..=200);
        Arc::new(Machine::new(node, nodes, drift, dir, Arc::clone(post)))
    };
    (1..=nodes).map(make).collect()
}

async fn shop_until_calm(mut customer: Customer, stage: Arc<Stage>) {
    while !stage.is(CALM) {
        customer.act().await;
    }
}

/// Fills the shop, waits until all is over, and counts.
async fn judge_at_the_end(
    nodes: u64,
    stage: Arc<Stage>,
    history: History,
    post: Arc<Post>,
) -> Result<(), String> {
    judge::until_all_serve(nodes).await?;
    let client = client_of(1);
    client.define(&SKUS, &LOCATIONS).await;
    for location in LOCATIONS {
        for sku in SKUS {
            client.receive(location, sku, 10).await;
        }
    }
    stage.set(FAULTS);
    stage.reaches(CALM).await;
    judge::until_all_serve(nodes).await?;
    while stage.customers.load(Ordering::SeqCst) < usize::try_from(SHOPS).unwrap_or_default() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    post.until_all_came().await;
    let records = history.records(std::mem::take);
    let verdict = judge::judge(nodes, &records).await;
    history.records(|all| *all = records);
    verdict
}

/// Steps through simulated time until the judge has judged.
fn drive(
    sim: &mut turmoil::Sim<'_>,
    stage: &Stage,
    faults: &mut Faults,
    lasts: Duration,
    machines: &[Arc<Machine>],
) -> Result<(), String> {
    let mut leaders: BTreeMap<(u16, u64), u64> = BTreeMap::new();
    let mut until = None;
    loop {
        match sim.step() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(error.to_string()),
        }
        let now = sim.elapsed();
        for machine in machines {
            machine.run_for(TICK, now)?;
        }
        if stage.is(FAULTS) {
            let until = *until.get_or_insert(now + lasts);
            if now < until {
                faults.step(sim);
            } else {
                faults.heal(sim);
                stage.set(CALM);
            }
        } else {
            faults.notice_and_restart(sim);
        }
        // L4: nobody else leads a partition in the same term.
        for machine in machines {
            for group in machine.leads() {
                let leader = *leaders.entry(group).or_insert(machine.number);
                if leader != machine.number {
                    return Err(format!(
                        "L4: nodes {leader} and {} lead partition {} in term {}",
                        machine.number, group.0, group.1
                    ));
                }
            }
        }
    }
}
