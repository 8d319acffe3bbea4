//! Routes of staff and carriers with bad input; `order_way` walks them with good.

use consign_tests::{Node, Shop, eventually, order, recount};
use serde_json::{Value, json};

use crate::CONSIGN;

async fn placed() -> (Node, String, String) {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON"]).await;
    node.receive("LONDON", "A", 10).await;
    node.receive("LONDON", "B", 10).await;
    let placed = node
        .place(&order(&[("A", 3, "1.00"), ("B", 2, "1.00")]))
        .await;
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let (id, work) = (
        text(&placed["id"]),
        text(&placed["fulfillment_orders"][0]["id"]),
    );
    (node, id, work)
}

#[tokio::test]
async fn unknown_work_is_not_found() {
    let (node, id, _) = placed().await;
    for work in [
        "NONE-f1".to_owned(),
        format!("{id}-f9"),
        format!("{id}-x1"),
        id.clone(),
    ] {
        node.get(format!("/v1/fulfillment-orders/{work}"))
            .refused(404, "fulfillment_order_not_found")
            .await;
        for action in ["accept", "pick", "pack", "ship"] {
            let path = format!("/v1/fulfillment-orders/{work}/{action}");
            node.post(path, &json!({}))
                .refused(404, "fulfillment_order_not_found")
                .await;
        }
        let path = format!("/v1/fulfillment-orders/{work}/reject");
        node.post(path, &json!({"reason": "x"}))
            .refused(404, "fulfillment_order_not_found")
            .await;
    }
    node.get("/v1/tracking/NONE")
        .refused(404, "tracking_number_not_found")
        .await;
    let scan = json!({"tracking_number": "NONE", "status": "delivered"});
    node.post("/v1/tracking-events", &scan)
        .refused(404, "tracking_number_not_found")
        .await;
    node.get(format!("/v1/returns/{id}-r1"))
        .refused(404, "return_not_found")
        .await;
    let back = json!({"order": "NONE", "lines": [{"line": 1, "quantity": 1}], "reason": "x"});
    node.post("/v1/returns", &back)
        .refused(404, "order_not_found")
        .await;
    node.post(
        format!("/v1/returns/{id}-r1/receive"),
        &json!({"location": "LONDON"}),
    )
    .refused(404, "return_not_found")
    .await;
}

#[tokio::test]
async fn work_that_cannot_be_is_refused() {
    let (node, id, work) = placed().await;
    let path = |action: &str| format!("/v1/fulfillment-orders/{work}/{action}");
    node.post(path("reject"), &json!({}))
        .faults(&[("/reason", "missing_field")])
        .await;
    node.post(path("pick"), &json!({"lines": []}))
        .faults(&[("/lines", "empty")])
        .await;
    node.post(
        path("pick"),
        &json!({"lines": [{"line": "9", "quantity": 1}]}),
    )
    .faults(&[("/lines/0/line", "unknown_line")])
    .await;
    node.post(
        path("pick"),
        &json!({"lines": [{"line": "1", "quantity": 0}]}),
    )
    .faults(&[("/lines/0", "empty")])
    .await;
    let much = node
        .post(
            path("pick"),
            &json!({"lines": [{"line": "1", "quantity": 4}]}),
        )
        .refused(409, "not_enough_units")
        .await;
    assert_eq!(
        (&much.json()["asked"], &much.json()["available"]),
        (&json!(4), &json!(3))
    );
    node.post(path("pack"), &json!({}))
        .refused(409, "wrong_state")
        .await;
    node.post(path("ship"), &json!({}))
        .refused(409, "wrong_state")
        .await;
    node.post(
        path("pick"),
        &json!({"lines": [{"line": 1, "quantity": 2}]}),
    )
    .expect(200)
    .await;
    node.order_when(&id, "picked", |order| {
        order["lines"][0]["units"]["picked"] == 2
    })
    .await;
    let pack = |quantity: u32| json!({"packages": [{"lines": [{"line": "1", "quantity": quantity}], "weight_grams": 500}]});
    node.post(path("pack"), &pack(3))
        .refused(409, "not_enough_units")
        .await;
    node.post(path("pack"), &json!({"packages": []}))
        .send()
        .await;
    node.post(path("pack"), &pack(0))
        .faults(&[("/packages/0/lines/0/quantity", "out_of_range")])
        .await;
    node.post(path("pack"), &pack(2)).expect(200).await;
    node.post(path("ship"), &json!({"packages": [7]}))
        .refused(404, "package_not_found")
        .await;
    let unknown = node
        .post(path("ship"), &json!({"carrier": "NONE"}))
        .send()
        .await;
    assert!([404, 422].contains(&unknown.status), "{unknown}");
    node.post(path("ship"), &json!({"tracking_number": "a b"}))
        .faults(&[("/tracking_number", "invalid_id")])
        .await;
    node.post(
        path("ship"),
        &json!({"packages": [1], "tracking_number": "TN-1"}),
    )
    .expect(200)
    .await;
    // Said again, it changes nothing.
    let again = node
        .post(
            path("ship"),
            &json!({"packages": [1], "tracking_number": "TN-1"}),
        )
        .expect(200)
        .await
        .json();
    assert_eq!(again["shipment"]["id"], format!("{id}-s1"));
    let scan = |status: &str| json!({"tracking_number": "TN-1", "status": status});
    node.post("/v1/tracking-events", &scan("teleported"))
        .faults(&[("/status", "invalid_value")])
        .await;
    let back = |quantity: u32| json!({"order": id, "lines": [{"line": "1", "quantity": quantity}], "reason": "broken"});
    node.post("/v1/returns", &back(1))
        .refused(409, "not_enough_units")
        .await;
    node.post("/v1/tracking-events", &scan("delivered"))
        .expect(200)
        .await;
    node.post("/v1/returns", &back(3))
        .refused(409, "not_enough_units")
        .await;
    node.post("/v1/returns", &back(0))
        .faults(&[("/lines/0/quantity", "out_of_range")])
        .await;
    let made = node.post("/v1/returns", &back(2)).expect(201).await;
    assert_eq!(
        made.header("location"),
        Some(format!("/v1/returns/{id}-r1").as_str())
    );
    let receive = format!("/v1/returns/{id}-r1/receive");
    node.post(&receive, &json!({"location": "NOWHERE"}))
        .faults(&[("/location", "unknown_location")])
        .await;
    let lines = json!({"location": "LONDON", "lines": [{"line": "1", "quantity": 2, "disposition": "eaten"}]});
    node.post(&receive, &lines)
        .faults(&[("/lines/0/disposition", "invalid_value")])
        .await;
    node.post(&receive, &json!({"location": "LONDON"}))
        .expect(200)
        .await;
    node.post(&receive, &json!({"location": "LONDON"}))
        .expect(200)
        .await;
    node.post(&receive, &json!({"location": "LONDON", "lines": [{"line": "1", "quantity": 1, "disposition": "missing"}]}))
        .refused(409, "wrong_state")
        .await;
    eventually("the shelf has them again", || async {
        (node.balance("LONDON", "A").await["on_hand"] == 10).then_some(())
    })
    .await;
    recount(&node).await;
}

#[tokio::test]
async fn a_carrier_gives_tracking_numbers_with_a_check_digit() {
    let (node, id, work) = placed().await;
    let royal = json!({"name": "Royal", "services": ["48"], "zones": [{"code": "UK", "countries": ["GB"]}],
        "rates": [{"service": "48", "zone": "UK", "up_to_grams": 2000, "price": "3.95"}], "tracking_prefix": "RM"});
    node.put("/v1/carriers/ROYAL", &royal).expect(201).await;
    let path = |action: &str| format!("/v1/fulfillment-orders/{work}/{action}");
    node.post(path("pick"), &json!({})).expect(200).await;
    node.order_when(&id, "picked", |order| {
        order["lines"][1]["units"]["picked"] == 2
    })
    .await;
    node.post(path("pack"), &json!({})).expect(200).await;
    node.post(path("ship"), &json!({"carrier": "ROYAL", "service": "48"}))
        .expect(200)
        .await;
    let shipped = node
        .order_when(&id, "numbered", |order| {
            order["shipments"][0]["tracking_number"].is_string()
        })
        .await;
    let number = shipped["shipments"][0]["tracking_number"]
        .as_str()
        .expect("a number")
        .to_owned();
    assert!(number.starts_with("RM"), "{number}");
    let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
    // UPU S10: eight digits with these weights, and a ninth that checks them.
    if digits.len() == 9 {
        let sum: u32 = digits
            .iter()
            .zip([8, 6, 4, 2, 3, 5, 9, 7])
            .map(|(digit, weight)| digit * weight)
            .sum();
        let check = match 11 - sum % 11 {
            10 => 0,
            11 => 5,
            check => check,
        };
        assert_eq!(digits[8], check, "{number}");
    }
    let scan = json!({"tracking_number": number, "status": "in_transit", "carrier": "OTHER"});
    node.post("/v1/tracking-events", &scan)
        .faults(&[("/carrier", "mismatch")])
        .await;
    let seen = node
        .get(format!("/v1/tracking/{number}"))
        .expect(200)
        .await
        .json();
    assert_eq!(
        (&seen["carrier"], &seen["service"]),
        (&json!("ROYAL"), &json!("48"))
    );
}
