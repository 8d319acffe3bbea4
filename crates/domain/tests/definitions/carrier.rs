//! Tracking numbers and scans.

use std::collections::{BTreeMap, BTreeSet};

use consign_domain::carrier::{Carrier, CarrierCommand, CarrierReply, is_valid};
use consign_domain::entity::{Context, Entity};
use consign_domain::ids::{CarrierId, OrderId, ShipmentId, TrackingNumber};
use consign_domain::order::ShipmentStatus;
use consign_domain::time::Timestamp;
use proptest::prelude::*;

fn tell(carrier: &mut Carrier, command: &CarrierCommand) -> CarrierReply {
    let context = Context {
        now: Timestamp(7),
        occurred_at: None,
        by: "test".into(),
    };
    let decision = carrier.decide(command, &context).expect("numbers are left");
    decision
        .events
        .iter()
        .for_each(|event| carrier.apply(event, &context.stamp()));
    let parts = carrier
        .part(&())
        .map(|part| ((), part.into_owned()))
        .into_iter()
        .collect();
    assert_eq!(Carrier::assemble(carrier.id().clone(), parts), *carrier);
    decision.reply
}

fn number_for(carrier: &mut Carrier, order: u32) -> TrackingNumber {
    let order = OrderId::new(&format!("o{order}")).expect("a valid name");
    let shipment = ShipmentId { order, number: 1 };
    let command = CarrierCommand::IssueTrackingNumber {
        shipment,
        service: None,
        prefix: "CN".into(),
    };
    match tell(carrier, &command) {
        CarrierReply::Issued {
            tracking_number, ..
        } => tracking_number,
        other => panic!("{other:?}"),
    }
}

fn post() -> Carrier {
    Carrier::empty(CarrierId::new("post").expect("a valid name"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// However often a shipment asks, it has one number, and no other shipment has it (L3).
    #[test]
    fn one_number_per_shipment(orders in prop::collection::vec(0_u32..30, 1..60)) {
        let mut carrier = post();
        let mut issued: BTreeMap<u32, TrackingNumber> = BTreeMap::new();
        for order in orders {
            let number = number_for(&mut carrier, order);
            prop_assert!(is_valid(number.as_str()), "{number}");
            let first = issued.entry(order).or_insert_with(|| number.clone());
            prop_assert_eq!(&*first, &number);
        }
        let distinct: BTreeSet<_> = issued.values().collect();
        prop_assert_eq!(distinct.len(), issued.len());
        prop_assert_eq!(usize::try_from(carrier.issued()).expect("small"), issued.len());
    }

    /// A scan that is sent twice counts once; a parcel may be scanned at one place many times.
    #[test]
    fn a_scan_counts_once(scans in prop::collection::vec((0_u32..3, 0_i64..4, any::<bool>()), 0..60)) {
        let mut carrier = post();
        for (parcel, moment, moving) in &scans {
            let status = if *moving { ShipmentStatus::InTransit } else { ShipmentStatus::Exception };
            let tracking_number = TrackingNumber::new(&format!("T{parcel}")).expect("a valid name");
            let occurred_at = Timestamp(*moment);
            tell(&mut carrier, &CarrierCommand::Scan { tracking_number, status, occurred_at });
        }
        let distinct: BTreeSet<_> = scans.into_iter().collect();
        prop_assert_eq!(usize::try_from(carrier.scans()).expect("small"), distinct.len());
    }
}

#[test]
fn what_is_no_tracking_number_is_told_apart() {
    for wrong in [
        "",
        "CN00000001XC",
        "cn000000015XC",
        "CN0000000158C",
        "CN00000001ÄXC",
        "CN-00000015XC",
    ] {
        assert!(!is_valid(wrong), "{wrong}");
    }
}
