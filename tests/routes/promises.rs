//! When it will be there: what product pages and carts are promised, and what an order's explanation
//! says of it.

use std::time::{SystemTime, UNIX_EPOCH};

use consign_tests::{Node, Shop, order};
use serde_json::{Value, json};

use crate::CONSIGN;

const FROM_LONDON: &str = "GB,51.5,-0.12";
const ALL_WEEK: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The day number of today by the clock in Greenwich, where all locations of these tests lie.
fn today() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.expect("after 1970").as_secs();
    i64::try_from(seconds / 86_400).expect("not so far")
}

/// A day number as a date (Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: i64) -> String {
    let days = day + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{:02}",
        of_year - (153 * shifted + 2) / 5 + 1
    )
}

/// So many days from the day on which `asked` was asked: tests may run over midnight.
fn is_in(promise: &Value, (asked, first, last): (i64, i64, i64)) -> bool {
    (asked..=today())
        .any(|day| *promise == json!({"earliest": date(day + first), "latest": date(day + last)}))
}

/// Product A in two warehouses and a shop.
async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &[]).await;
    for (id, kind, latitude, longitude) in [
        ("LONDON", "warehouse", 51.51, -0.13),
        ("LEEDS", "warehouse", 53.8, -1.55),
        ("YORK", "store", 53.96, -1.08),
    ] {
        let location = json!({"id": id, "name": id, "kind": kind, "country": "GB",
            "latitude": latitude, "longitude": longitude, "time_zone": "Africa/Abidjan"});
        let put = node.put(format!("/v1/locations/{id}"), &location);
        put.expect(201).await;
    }
    node
}

/// London takes two days longer than the others; the shop is open all day, every day.
fn strategy() -> Value {
    json!({
        "name": "promises", "rules": [{"name": "all"}],
        "locations": {
            "LONDON": {"handling_days": 2},
            "YORK": {"handling_minutes": 0, "calendar": {"working_days": ALL_WEEK,
                "opens": "00:00", "closes": "24:00", "cut_off": "24:00"}}},
        "transit": {"lanes": [
            {"service_levels": ["standard"], "countries": ["GB"], "km_max": 100, "days_min": 1, "days_max": 2},
            {"service_levels": ["standard"], "countries": ["GB"], "days_min": 2, "days_max": 4}]}
    })
}

async fn activate(node: &Node, strategy: &Value) {
    let drafted = node.post("/v1/strategies", strategy).expect(201).await;
    let version = drafted.json()["version"].clone();
    let path = format!("/v1/strategies/{version}/activate");
    node.post(path, &json!({})).expect(200).await;
}

async fn asked(node: &Node, more: &str) -> Value {
    let path = format!("/v1/availability?sku=A&destination={FROM_LONDON}{more}");
    node.get(path).expect(200).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_page_is_promised_what_an_order_then_gets() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 5).await;
    node.receive("YORK", "A", 5).await;
    let unknown = asked(&node, "").await;
    assert_eq!(unknown["promise"], Value::Null, "no lanes, no promise");
    assert_eq!(unknown["pickup"][0]["ready_at"], Value::Null);

    let mut by_distance = strategy();
    by_distance["rules"][0]["costs"] = json!({"per_100_km": 100});
    activate(&node, &by_distance).await;
    let day = today();
    // From London: two days of handling, one or two under way.
    let page = asked(&node, "").await;
    assert!(is_in(&page["promise"], (day, 3, 4)), "{page}");
    let ready = page["pickup"][0]["ready_at"].as_str().expect("a moment");
    assert!(
        (day..=today()).any(|day| ready.starts_with(&date(day))),
        "{page}"
    );
    let page = asked(&node, "&service_level=express").await;
    assert_eq!(page["promise"], Value::Null, "no lane is for it");
    // Nobody knows how far it is: the lane for all distances.
    let page = node
        .get("/v1/availability?sku=A&destination=GB")
        .expect(200)
        .await
        .json();
    assert!(is_in(&page["promise"], (day, 4, 6)), "{page}");

    // A strategy that weighs days takes it from the shop, which is farther away.
    by_distance["rules"][0]["costs"]["per_promise_day"] = json!(1_000);
    by_distance["locations"]["LONDON"]["handling_days"] = json!(9);
    activate(&node, &by_distance).await;
    let page = asked(&node, "").await;
    assert!(is_in(&page["promise"], (day, 2, 4)), "{page}");
    let placed = node.place(&order(&[("A", 1, "2.55")])).await;
    assert_eq!(placed["lines"][0]["allocations"][0]["location"], "YORK");
    let id = placed["id"].as_str().expect("an id");
    let said = node.get(format!("/v1/orders/{id}/explanation"));
    let said = said.expect(200).await.json();
    let decision = &said["decisions"][0];
    assert_eq!(decision["repeats"], true);
    let candidates = &decision["explanation"]["candidates"];
    assert!(
        is_in(&candidates[2]["promise"], (day, 2, 4)),
        "{candidates}"
    );
    assert!(
        is_in(&candidates[0]["promise"], (day, 10, 11)),
        "{candidates}"
    );
    assert_eq!(candidates[2]["cost"]["promise"], 4_000);
    let text = decision["text"].as_str().expect("a text");
    assert!(text.contains("there from "), "{text}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_there_when_its_last_shipment_is() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 5).await;
    node.receive("LEEDS", "A", 5).await;
    node.receive("YORK", "A", 5).await;
    activate(&node, &strategy()).await;
    let day = today();
    let mut cart = json!({"ship_to": {"country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": [{"sku": "A", "quantity": 10}, {"sku": "A", "quantity": 5, "pickup_location": "YORK"}]});
    let served = node
        .post("/v1/availability/cart", &cart)
        .expect(200)
        .await
        .json();
    assert_eq!(served["complete"], true, "{served}");
    let of = |location: &str| {
        let all = served["shipments"].as_array().expect("a list");
        let found = all.iter().find(|shipment| shipment["location"] == location);
        found
            .cloned()
            .unwrap_or_else(|| panic!("nothing from {location}: {served}"))
    };
    assert!(is_in(&of("LONDON")["promise"], (day, 3, 4)), "{served}");
    assert!(is_in(&of("LEEDS")["promise"], (day, 2, 4)), "{served}");
    // What is picked up is ready at a moment, and under way never.
    assert_eq!(of("YORK")["promise"], Value::Null);
    assert!(of("YORK")["ready_at"].is_string(), "{served}");
    assert!(is_in(&served["promise"], (day, 3, 4)), "{served}");

    cart["lines"][0]["quantity"] = json!(11);
    let short = node
        .post("/v1/availability/cart", &cart)
        .expect(200)
        .await
        .json();
    assert_eq!(
        (&short["complete"], &short["promise"]),
        (&json!(false), &Value::Null)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_make_no_sense_are_refused_with_their_place() {
    let mut node = shop().await;
    for (pointer, value, place) in [
        (
            "/transit/lanes/1/days_min",
            json!(5),
            "transit.lanes[1].days_min",
        ),
        ("/transit/lanes", json!([]), "transit.lanes"),
        (
            "/locations/LONDON/handling_days",
            json!(61),
            "locations.LONDON.handling_days",
        ),
    ] {
        let mut wrong = strategy();
        *wrong.pointer_mut(pointer).expect("it is there") = value;
        let refused = node.post("/v1/strategies", &wrong).expect(422).await;
        let said = refused.json().to_string();
        assert!(said.contains(place), "{pointer}: {said}");
    }
    node.stop().await;
}
