//! Goods that are to come: announced, changed, taken back, arrived.

use consign_domain::location::{LocationCommand, LocationReply};

use crate::location_world::{Shelf, at, sku};

fn announce(shelf: &mut Shelf, reference: &str, quantity: u32, millis: i64) -> usize {
    let command = LocationCommand::Announce {
        sku: sku(1),
        reference: reference.into(),
        quantity,
        expected_at: at(millis),
    };
    let (_, events) = shelf.record(&command).expect("it is sane");
    events.len()
}

fn receive(shelf: &mut Shelf, reference: &str, quantity: u32) {
    let command = LocationCommand::Receive {
        sku: sku(1),
        quantity,
        reference: reference.into(),
    };
    shelf.tell(&command).expect("a receipt of some units");
}

fn to_come(shelf: &Shelf) -> Vec<(&str, u32)> {
    let all = shelf.location.announced(&sku(1)).iter();
    all.map(|of| (of.reference.as_str(), of.quantity)).collect()
}

#[test]
fn what_arrives_under_its_paper_is_no_longer_to_come() {
    let mut shelf = Shelf::new("LEEDS");
    announce(&mut shelf, "late", 10, 9_000);
    announce(&mut shelf, "soon", 5, 1_000);
    assert_eq!(to_come(&shelf), [("soon", 5), ("late", 10)]);
    // It is known here, and nothing of it can be had.
    let balance = shelf
        .location
        .balance_if_known(&sku(1))
        .expect("it is known");
    assert_eq!((balance.on_hand, balance.available()), (0, 0));
    receive(&mut shelf, "late", 4);
    receive(&mut shelf, "another paper", 1);
    assert_eq!(to_come(&shelf), [("soon", 5), ("late", 6)]);
    // More than was announced may come.
    receive(&mut shelf, "soon", 7);
    assert_eq!(to_come(&shelf), [("late", 6)]);
    receive(&mut shelf, "late", 6);
    assert_eq!(to_come(&shelf), []);
    assert_eq!(shelf.location.balance(&sku(1)).on_hand, 18);
}

#[test]
fn announcements_are_changed_taken_back_and_repeated() {
    let mut shelf = Shelf::new("LEEDS");
    assert_eq!(announce(&mut shelf, "a", 10, 2_000), 1);
    assert_eq!(
        announce(&mut shelf, "a", 10, 2_000),
        0,
        "it says nothing new"
    );
    assert_eq!(announce(&mut shelf, "b", 1, 3_000), 1);
    assert_eq!(announce(&mut shelf, "a", 8, 4_000), 1);
    assert_eq!(to_come(&shelf), [("b", 1), ("a", 8)]);
    let end = LocationCommand::EndAnnouncement {
        sku: sku(1),
        reference: "a".into(),
    };
    let (reply, events) = shelf.record(&end).expect("it is never refused");
    assert!(matches!(reply, LocationReply::Moved { .. }) && events.len() == 1);
    let (_, events) = shelf.record(&end).expect("it is never refused");
    assert!(events.is_empty());
    assert_eq!(to_come(&shelf), [("b", 1)]);
}

#[test]
fn announcements_are_bounded_and_checked() {
    let mut shelf = Shelf::new("LEEDS");
    let command = |reference: &str, quantity| LocationCommand::Announce {
        sku: sku(1),
        reference: reference.into(),
        quantity,
        expected_at: at(1_000),
    };
    for nth in 0..32 {
        announce(&mut shelf, &format!("paper {nth}"), 1, 1_000);
    }
    shelf
        .tell(&command("one more", 1))
        .expect_err("there are too many");
    shelf
        .tell(&command("paper 3", 2))
        .expect("it is there already");
    shelf
        .tell(&command("paper 3", 0))
        .expect_err("none is no announcement");
    shelf.tell(&command("", 1)).expect_err("it needs a paper");
    assert_eq!(to_come(&shelf).len(), 32);
}
