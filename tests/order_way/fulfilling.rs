//! From allocated to delivered and back: short picks, part shipments, scans, signature, return.

use consign_tests::{Node, Shop, amount, eventually, order, recount};
use serde_json::json;

use crate::{CONSIGN, id, units};

#[tokio::test]
async fn an_order_goes_its_whole_way_and_the_books_balance_at_each_step() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 6).await;
    node.receive("LEEDS", "A", 4).await;
    node.receive("LONDON", "B", 5).await;
    let mut asked = order(&[("A", 8, "2.55"), ("B", 2, "10.00")]);
    asked["shipping"] = json!("4.95");
    asked["lines"][1]["taxes"] = json!([{"rate": "0.20", "amount": "4.00", "included": false}]);
    let placed = node.place(&asked).await;
    let order_id = id(&placed["id"]);
    // 20.40 + 20.00 + 4.95 + 4.00
    assert_eq!(placed["totals"]["total"], "49.35");
    assert_eq!(
        placed["fulfillment_orders"].as_array().map(Vec::len),
        Some(2)
    );
    recount(&node).await;
    let work = |order: &serde_json::Value, location: &str| {
        let works = order["fulfillment_orders"]
            .as_array()
            .expect("work")
            .clone();
        id(&works
            .iter()
            .find(|w| w["location"] == location)
            .expect("a location")["id"])
    };
    let (london, leeds) = (work(&placed, "LONDON"), work(&placed, "LEEDS"));

    // London finds one A less than it believed: Leeds has two to spare.
    assert_eq!(
        node.work(&london, "accept", &json!({})).await.json()["status"],
        "in_progress"
    );
    let lines =
        json!({"lines": [{"line": "1", "quantity": 5, "short": 1}, {"line": "2", "quantity": 2}]});
    node.work(&london, "pick", &lines).await;
    let short = node
        .order_when(&order_id, "the missing one from Leeds", |order| {
            units(order, 0, "picked") == 5
                && units(order, 1, "picked") == 2
                && units(order, 0, "allocated") == 3
        })
        .await;
    assert_eq!(short["status"], "in_fulfillment");
    let books = recount(&node).await;
    assert_eq!(books.on_hand["A"], 9, "what is not there is off the books");

    // Two packages, one of which leaves first.
    let packages = json!({"packages": [{"lines": [{"line": "1", "quantity": 5}], "weight_grams": 900},
        {"lines": [{"line": "2", "quantity": 2}], "weight_grams": 400}]});
    let packed = node.work(&london, "pack", &packages).await.json();
    assert_eq!(packed["packages"].as_array().map(Vec::len), Some(2));
    let sent = node
        .work(
            &london,
            "ship",
            &json!({"packages": [2], "tracking_number": "LON-2"}),
        )
        .await
        .json();
    assert_eq!(
        sent["shipment"]["lines"],
        json!([{"line": "2", "quantity": 2}])
    );
    let partly = node.order(&order_id).await;
    assert_eq!(
        (&partly["fulfillment_status"], &partly["payment_status"]),
        (&json!("partial"), &json!("partially_captured"))
    );
    // The two B with their tax and their share of the shipping.
    assert!(
        amount(&partly["totals"]["captured"]) >= amount(&json!("24.00")),
        "{partly}"
    );
    let books = recount(&node).await;
    assert_eq!(books.on_hand["B"], 3);
    node.work(&london, "ship", &json!({"tracking_number": "LON-1"}))
        .await;
    let now = node.order(&order_id).await;
    let leeds_works: Vec<String> = now["fulfillment_orders"]
        .as_array()
        .expect("work")
        .iter()
        .filter(|w| w["location"] == "LEEDS" && w["status"] != "cancelled")
        .map(|w| id(&w["id"]))
        .collect();
    assert!(leeds_works.contains(&leeds));
    let mut numbers = vec!["LON-1".to_owned(), "LON-2".to_owned()];
    for (n, work) in leeds_works.iter().enumerate() {
        numbers.push(format!("LEE-{n}"));
        node.send_off(work, &numbers[n + 2]).await;
    }
    let shipped = node
        .order_when(&order_id, "all shipped", |order| {
            units(order, 0, "shipped") == 8
        })
        .await;
    assert_eq!(
        (&shipped["fulfillment_status"], &shipped["payment_status"]),
        (&json!("fulfilled"), &json!("captured"))
    );
    assert_eq!(
        (
            &shipped["totals"]["captured"],
            &shipped["totals"]["balance_due"]
        ),
        (&json!("49.35"), &json!("0.00"))
    );
    let books = recount(&node).await;
    assert_eq!((books.on_hand["A"], books.reserved["A"]), (1, 0));

    // Scans come twice and late; the parcel is delivered once.
    node.scan("LON-1", "in_transit").await;
    let late = json!({"tracking_number": "LON-1", "status": "out_for_delivery", "occurred_at": "2020-01-01T00:00:00Z", "place": "Reading"});
    for number in &numbers {
        let signed = json!({"tracking_number": number, "status": "delivered", "signature": "Ada L.", "occurred_at": "2026-06-01T12:00:00Z"});
        node.post("/v1/tracking-events", &signed).expect(200).await;
        node.post("/v1/tracking-events", &signed).expect(200).await;
    }
    node.post("/v1/tracking-events", &late).expect(200).await;
    let seen = node.get("/v1/tracking/LON-1").expect(200).await.json();
    assert_eq!(
        (&seen["status"], &seen["signed"]),
        (&json!("delivered"), &json!(true))
    );
    assert!(
        !seen.to_string().contains("Ada"),
        "tracking shows nothing personal: {seen}"
    );
    let done = node.order(&order_id).await;
    assert_eq!(
        (
            &done["status"],
            units(&done, 0, "delivered"),
            units(&done, 1, "delivered")
        ),
        (&json!("completed"), 8, 2)
    );
    assert_eq!(done["shipments"][0]["signature"], "Ada L.");
    recount(&node).await;

    // Three A come back: two are good, one is not.
    let back =
        json!({"order": order_id, "lines": [{"line": "1", "quantity": 3}], "reason": "too many"});
    let made = node
        .post("/v1/returns", &back)
        .key("rma-1")
        .expect(201)
        .await
        .json();
    let again = node
        .post("/v1/returns", &back)
        .key("rma-1")
        .expect(201)
        .await
        .json();
    assert_eq!(made["id"], again["id"]);
    let came = json!({"location": "LEEDS", "lines": [{"line": "1", "quantity": 2, "disposition": "restocked"},
        {"line": "1", "quantity": 1, "disposition": "not_restocked"}]});
    node.post(format!("/v1/returns/{}/receive", id(&made["id"])), &came)
        .expect(200)
        .await;
    let closed = eventually("the return is closed", || async {
        let now = node
            .get(format!("/v1/returns/{}", id(&made["id"])))
            .expect(200)
            .await
            .json();
        (now["status"] == "closed").then_some(now)
    })
    .await;
    assert_eq!(closed["refunded"], "7.65");
    let after = node.order(&order_id).await;
    assert_eq!(
        (
            &after["totals"]["refunded"],
            &after["totals"]["balance_due"]
        ),
        (&json!("7.65"), &json!("0.00"))
    );
    assert_eq!(
        (&after["payment_status"], &after["fulfillment_status"]),
        (&json!("partially_refunded"), &json!("partially_returned"))
    );
    assert_eq!(
        (&after["status"], units(&after, 0, "returned")),
        (&json!("completed"), 3)
    );
    let books = recount(&node).await;
    assert_eq!(books.on_hand["A"], 3, "two of three are on the shelf again");
}

#[tokio::test]
async fn a_rejected_order_goes_elsewhere() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON", "LEEDS"]).await;
    node.receive("LONDON", "A", 5).await;
    node.receive("LEEDS", "A", 5).await;
    let placed = node.place(&order(&[("A", 2, "1.00")])).await;
    let (order_id, work) = (
        id(&placed["id"]),
        id(&placed["fulfillment_orders"][0]["id"]),
    );
    node.work(&work, "reject", &json!({"reason": "shop is closed"}))
        .await;
    let moved = node
        .order_when(&order_id, "another location", |order| {
            order["status"] == "allocated"
                && order["fulfillment_orders"]
                    .as_array()
                    .is_some_and(|w| w.len() == 2)
        })
        .await;
    assert_eq!(
        (
            &moved["fulfillment_orders"][0]["status"],
            &moved["fulfillment_orders"][1]["location"]
        ),
        (&json!("cancelled"), &json!("LEEDS"))
    );
    node.post(format!("/v1/fulfillment-orders/{work}/accept"), &json!({}))
        .refused(409, "wrong_state")
        .await;
    recount(&node).await;
    // When nobody else has it, it waits.
    let work = id(&moved["fulfillment_orders"][1]["id"]);
    node.work(&work, "reject", &json!({"reason": "closed too"}))
        .await;
    let settled = node
        .order_when(&order_id, "settled", |order| {
            ["backordered", "allocated"].contains(&order["status"].as_str().unwrap_or_default())
                && units(order, 0, "unsourced") == 0
                && order["fulfillment_orders"][1]["status"] == "cancelled"
        })
        .await;
    assert_eq!(
        units(&settled, 0, "allocated") + units(&settled, 0, "backordered"),
        2
    );
    recount(&node).await;
}

#[tokio::test]
async fn lost_and_damaged_parcels_end_open_units_and_are_given_back() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    let placed = node.place(&order(&[("A", 2, "3.00")])).await;
    node.send_off(&id(&placed["fulfillment_orders"][0]["id"]), "LOST-1")
        .await;
    node.scan("LOST-1", "in_transit").await;
    node.scan("LOST-1", "lost").await;
    let after = node.order(&id(&placed["id"])).await;
    assert_eq!(
        (units(&after, 0, "lost"), &after["status"]),
        (2, &json!("completed"))
    );
    assert_eq!(after["totals"]["balance_due"], "0.00");
    // An end stays, whatever is scanned after it (L7).
    node.scan("LOST-1", "delivered").await;
    assert_eq!(units(&node.order(&id(&placed["id"])).await, 0, "lost"), 2);
    recount(&node).await;
}
