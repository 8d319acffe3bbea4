//! The pure core: deciding and applying, the codec, sourcing. No disk, no actor.

use consign_benches::{NOW, context, location_id, order_id, place, placed, reserve, step, stocked};
use consign_domain::entity::Entity;
use consign_domain::order::{Order, OrderEvent, OrderPartKey, SplitPolicy};
use consign_runtime::{decode, encode};
use consign_sourcing::{
    Candidate, Compiled, Facts, InputLine, Inputs, KnownLocation, LineFacts, RULE_VERSION,
    Strategy, WaveOrder, WaveStock, ZoneTable, decide, explain, wave,
};
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

/// Four lines at fifty locations, by a strategy with filters and three scores; half of the
/// locations have all of it.
fn by_strategy(when: &serde_json::Value) -> (Compiled, Inputs) {
    let mut inputs = inputs(50);
    for (nth, units) in inputs.available.iter_mut().enumerate() {
        *units = if nth % 2 == 0 { 9 } else { *units };
    }
    let facts = Facts {
        now: NOW,
        channel: "web".into(),
        country: "GB".into(),
        service_level: "standard".into(),
        lines: vec![LineFacts::default(); 4],
        load_permille: (0..50).map(|n| (n, n * 37 % 1_000)).collect(),
        ..Facts::default()
    };
    inputs.facts = Some(Box::new(facts));
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ];
    let calendar = serde_json::json!({"working_days": days, "opens": "00:00", "closes": "24:00", "cut_off": "16:00"});
    let profile = |n: u32| {
        serde_json::json!({"channels": ["web", "mobile"], "countries": ["GB"], "calendar": calendar,
            "closures": [{"from": "2012-01-01", "until": "2012-01-02"}], "safety_stock": 1, "priority": n % 3})
    };
    let profiles: serde_json::Map<_, _> = (0..50)
        .map(|n| (location_id(n).to_string(), profile(n)))
        .collect();
    let strategy = serde_json::json!({"name": "bench", "locations": profiles, "rules": [{
        "name": "filters and three scores", "when": when,
        "filters": {"km_max": 700, "cut_off_within_minutes": 2_880},
        "costs": {"split": 400, "per_100_km": 60, "per_full_load": 80, "per_priority": 25},
    }]});
    let strategy: Strategy = serde_json::from_value(strategy).expect("a strategy");
    let known = |ordinal| KnownLocation {
        id: location_id(ordinal).as_str().into(),
        ordinal,
        zone: ZoneTable::default(),
    };
    let known: Vec<KnownLocation> = (0..50).map(known).collect();
    (strategy.compiled(&known).expect("a sane strategy"), inputs)
}

/// A plan by a strategy with filters and three scores.
#[divan::bench(sample_count = 1_000)]
fn sourcing_by_strategy(bencher: Bencher) {
    let (strategy, inputs) = by_strategy(&serde_json::json!({}));
    assert_eq!(decide(&strategy, &inputs).plan.locations.len(), 1);
    bencher.bench_local(|| decide(black_box(&strategy), black_box(&inputs)));
}

/// The same where an expression says which orders the rule is for.
#[divan::bench(sample_count = 1_000)]
fn sourcing_by_condition(bencher: Bencher) {
    let expression =
        "order.channel in ['web', 'mobile'] && !order.lines.exists(line, line.value > 5000)";
    let (strategy, inputs) = by_strategy(&serde_json::json!({"expression": expression}));
    assert_eq!(decide(&strategy, &inputs).plan.locations.len(), 1);
    bencher.bench_local(|| decide(black_box(&strategy), black_box(&inputs)));
}

/// The same where no location has all of it.
#[divan::bench(sample_count = 1_000)]
fn sourcing_by_strategy_split(bencher: Bencher) {
    let (strategy, mut inputs) = by_strategy(&serde_json::json!({}));
    for (nth, units) in inputs.available.iter_mut().enumerate() {
        *units = if nth / 50 == nth % 4 { 0 } else { *units };
    }
    let plan = decide(&strategy, &inputs).plan;
    assert!(plan.short.is_empty() && plan.locations.len() == 2);
    bencher.bench_local(|| decide(black_box(&strategy), black_box(&inputs)));
}

/// An order so large that the search comes to the end of its steps.
#[divan::bench]
fn sourcing_large(bencher: Bencher) {
    let mut inputs = inputs(50);
    let line = |n: u32| InputLine {
        line: n,
        units: 3,
        parts: vec![(n, 1)],
        only: None,
    };
    inputs.lines = (0..20).map(line).collect();
    inputs.available = (0..20 * 50)
        .map(|n: u32| match (n.wrapping_mul(2_654_435_761) >> 13) % 8 {
            0 => 3,
            1 => 1,
            _ => 0,
        })
        .collect();
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

/// So many orders that wait for 40 SKUs at 12 locations, which have a tenth more than all want, each
/// SKU at a third of the locations.
fn waiting(orders: u32) -> (Compiled, Vec<WaveOrder>, WaveStock) {
    const LOCATIONS: u32 = 12;
    const SKUS: u32 = 40;
    let drawn = |n: u32, of: u32| n.wrapping_add(of << 20).wrapping_mul(2_654_435_761) >> 11;
    let mut wanted = vec![0; SKUS as usize];
    let mut order = |n: u32| {
        let line = |line: u32| InputLine {
            line,
            units: 1 + drawn(4 * n + line, 1) % 3,
            parts: vec![(line, 1)],
            only: None,
        };
        let lines: Vec<InputLine> = (0..1 + drawn(n, 2) % 4).map(line).collect();
        let first = drawn(n, 3) % SKUS;
        let skus: Vec<u32> = (0..lines.len() as u32)
            .map(|sku| (first + 7 * sku) % SKUS)
            .collect();
        for (line, sku) in lines.iter().zip(&skus) {
            wanted[*sku as usize] += line.units;
        }
        let candidate = |ordinal: u32| Candidate {
            ordinal,
            km: drawn(n * LOCATIONS + ordinal, 4) % 800,
            rate: Some(395),
        };
        let pieces = lines.iter().map(|line| line.units);
        WaveOrder {
            skus,
            inputs: Inputs {
                candidates: (0..LOCATIONS).map(candidate).collect(),
                available: pieces
                    .flat_map(|units| [units; LOCATIONS as usize])
                    .collect(),
                lines,
                ..inputs(0)
            },
            priority: 0,
            promise: NOW,
        }
    };
    let orders: Vec<WaveOrder> = (0..orders).map(&mut order).collect();
    let mut available = vec![0; (SKUS * LOCATIONS) as usize];
    for (sku, wanted) in wanted.iter().enumerate() {
        for nth in 0..4 {
            let location = (sku + 3 * nth) % LOCATIONS as usize;
            available[sku * LOCATIONS as usize + location] = wanted * 11 / 40;
        }
    }
    let strategy = serde_json::json!({"name": "money", "rules": [{
        "name": "money", "costs": {"per_100_km": 60, "split": 400, "handling_order": 80, "handling_line": 20},
    }]});
    let strategy: Strategy = serde_json::from_value(strategy).expect("a strategy");
    let stock = WaveStock {
        locations: LOCATIONS,
        available,
        room: Vec::new(),
    };
    (
        strategy.compiled(&[]).expect("a sane strategy"),
        orders,
        stock,
    )
}

/// Orders that wait, sourced together; what it saves is printed.
#[divan::bench(args = [100, 1_000], sample_count = 5, sample_size = 1)]
fn sourcing_wave(bencher: Bencher, orders: u32) {
    let (strategy, orders, stock) = waiting(orders);
    let sourced = wave(&strategy, &orders, &stock);
    let (together, before) = (&sourced.together, &sourced.one_by_one);
    println!(
        "{} orders: one by one {} units short at {}, together {} at {}, bound {:?}, {} decisions",
        orders.len(),
        before.short,
        before.cost,
        together.short,
        together.cost,
        sourced.bound,
        sourced.decisions,
    );
    bencher.bench_local(|| wave(black_box(&strategy), black_box(&orders), &stock));
}
