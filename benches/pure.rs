//! The pure core: deciding and applying, the codec, sourcing. No disk, no actor.

use consign_benches::{context, order_id, place, placed, reserve, step, stocked};
use consign_domain::entity::Entity;
use consign_domain::order::{Order, OrderEvent, OrderPartKey, SplitPolicy};
use consign_runtime::{decode, encode};
use consign_sourcing::{Candidate, Compiled, InputLine, Inputs, RULE_VERSION, decide, explain};
use divan::{Bencher, black_box};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Placing an order with its plan: decide and apply.
#[divan::bench(args = [1, 4, 100])]
fn order_place(bencher: Bencher, lines: u32) {
    let command = place(lines);
    bencher
        .with_inputs(|| Order::empty(order_id(1)))
        .bench_values(|mut order| {
            step(&mut order, &command);
            order
        });
}

/// Reserving at a location that has served many orders: decide and apply.
#[divan::bench(args = [1, 4, 100])]
fn location_reserve(bencher: Bencher, lines: u32) {
    let mut location = stocked(1_000);
    let mut n = 0;
    bencher.bench_local(|| {
        n += 1;
        step(&mut location, &reserve(n, lines))
    });
}

/// The scratch copy that a batch is decided on.
#[divan::bench(args = [100, 10_000])]
fn location_clone(bencher: Bencher, skus: u32) {
    let location = stocked(skus);
    bencher.bench_local(|| black_box(&location).clone());
}

/// The events of a placed order, to bytes and back.
#[divan::bench(args = [1, 4, 100])]
fn events_encode(bencher: Bencher, lines: u32) {
    let events = events(lines);
    bencher.bench_local(|| encode(black_box(&events)));
}

/// The events of a placed order, from bytes.
#[divan::bench(args = [1, 4, 100])]
fn events_decode(bencher: Bencher, lines: u32) {
    let bytes = encode(&events(lines)).expect("events have a stored form");
    bencher.bench_local(|| decode::<Vec<OrderEvent>>(black_box(&bytes)));
}

/// The stored part of an order, as a checkpoint writes it.
#[divan::bench(args = [1, 4, 100])]
fn state_encode(bencher: Bencher, lines: u32) {
    let order = placed(lines);
    bencher.bench_local(|| encode(&order.part(&OrderPartKey::Body)));
}

fn events(lines: u32) -> Vec<OrderEvent> {
    let decision = Order::empty(order_id(1)).decide(&place(lines), &context());
    decision.expect("a good order").events
}

/// Four lines over so many locations, each of which has some of it.
fn inputs(locations: u32) -> Inputs {
    let line = |n: u32| InputLine {
        line: n,
        units: 3,
        parts: vec![(n, 1)],
        only: None,
    };
    let candidate = |n: u32| Candidate {
        ordinal: n,
        km: (n * 7_919) % 800,
        rate: Some(395 + i64::from(n % 5)),
    };
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 0,
        facts: None,
        split: SplitPolicy::Allow,
        lines: (0..4).map(line).collect(),
        candidates: (0..locations).map(candidate).collect(),
        without_stock: Vec::new(),
        // Nobody has all, so that a split must be found.
        available: (0..4 * locations)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 29) & 3)
            .collect(),
        excluded: Vec::new(),
    }
}

/// A plan.
#[divan::bench(args = [5, 50, 500])]
fn sourcing(bencher: Bencher, locations: u32) {
    let inputs = inputs(locations);
    let strategy = Compiled::default();
    bencher.bench_local(|| decide(black_box(&strategy), black_box(&inputs)));
}

/// The same where the nearest has everything: the common case.
#[divan::bench(args = [5, 50, 500])]
fn sourcing_plenty(bencher: Bencher, locations: u32) {
    let mut inputs = inputs(locations);
    inputs.available.fill(3);
    let strategy = Compiled::default();
    bencher.bench_local(|| decide(black_box(&strategy), black_box(&inputs)));
}

/// The plan with every candidate's fate.
#[divan::bench]
fn sourcing_explained(bencher: Bencher) {
    let inputs = inputs(50);
    let strategy = Compiled::default();
    bencher.bench_local(|| explain(black_box(&strategy), black_box(&inputs)));
}
