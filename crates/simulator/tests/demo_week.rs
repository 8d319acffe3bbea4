//! Replays the week against a server, if one is given in `CONSIGN_DEMO_TARGET`.
//!
//! In: the target. Out: the report, printed. Must hold: every line is accounted for, no law broken.

use consign_simulator::demo::{DemoOptions, demo};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: CONSIGN_DEMO_TARGET=http://127.0.0.1:8080"]
async fn the_week_replays() {
    let target = std::env::var("CONSIGN_DEMO_TARGET").expect("CONSIGN_DEMO_TARGET names a server");
    let mut options = DemoOptions::new(&target);
    options.orders = std::env::var("CONSIGN_DEMO_ORDERS").ok().map(Into::into);
    let report = demo(&options, |_, _, _| {})
        .await
        .expect("the server answers");
    println!("{}", report.text());
    let skipped: u64 = report.lines_skipped.values().map(|share| share.lines).sum();
    assert_eq!(report.lines_taken + skipped, report.lines_read);
    assert!(report.laws_broken.is_empty(), "{:?}", report.laws_broken);
    assert!(report.orders > 0 && report.orders_refused == 0);
}
