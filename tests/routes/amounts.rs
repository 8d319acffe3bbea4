//! Money of currencies with 0, 2 and 3 decimals, free goods, and kinds of products that are not on
//! a shelf.

use consign_tests::{Node, Shop, order, recount};
use serde_json::json;

use crate::CONSIGN;

#[tokio::test]
async fn each_line_is_rounded_once_in_its_currency() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 1_000).await;
    // (currency, unit price, units, shipping, line, total); halves go away from zero.
    let cases = [
        ("JPY", "12.5", 3, "500", "38", "538"),
        ("JPY", "0.4999", 1, "0", "0", "0"),
        ("GBP", "0.0125", 2, "0.00", "0.03", "0.03"),
        ("GBP", "0.0049", 1, "1.10", "0.00", "1.10"),
        ("GBP", "2.55", 6, "0", "15.30", "15.30"),
        ("KWD", "0.0125", 1, "1.250", "0.013", "1.263"),
        ("KWD", "1.2345", 10, "0.005", "12.345", "12.350"),
    ];
    for (currency, price, units, shipping, line, total) in cases {
        let mut asked = order(&[("A", units, price)]);
        asked["currency"] = json!(currency);
        asked["shipping"] = json!(shipping);
        let placed = node.place(&asked).await;
        let case = format!("{units} × {price} {currency}");
        assert_eq!(placed["lines"][0]["amounts"]["subtotal"], line, "{case}");
        assert_eq!(placed["totals"]["total"], total, "{case}");
        assert_eq!(placed["totals"]["balance_due"], total, "{case}");
    }
    let mut yen = order(&[("A", 1, "100")]);
    yen["currency"] = json!("JPY");
    yen["shipping"] = json!("1.50");
    node.post("/v1/orders", &yen)
        .faults(&[("/shipping", "too_many_decimals")])
        .await;
    recount(&node).await;
}

#[tokio::test]
async fn what_is_free_is_an_order_too() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    let placed = node.place(&order(&[("A", 1, "0"), ("A", 2, "0.00")])).await;
    assert_eq!(
        (&placed["status"], &placed["totals"]["total"]),
        (&json!("allocated"), &json!("0.00"))
    );
    let shipped = node
        .send_off(
            placed["fulfillment_orders"][0]["id"]
                .as_str()
                .expect("work"),
            "FREE-1",
        )
        .await;
    assert_eq!(shipped["tracking_number"], "FREE-1");
    node.scan("FREE-1", "delivered").await;
    let done = node.order(placed["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&done["status"], &done["payment_status"]),
        (&json!("completed"), &json!("captured"))
    );
    recount(&node).await;
}

#[tokio::test]
async fn a_bundle_reserves_its_components_together() {
    let node = Node::start(CONSIGN).await;
    node.define(&["CUP", "SAUCER"], &["LONDON"]).await;
    let set = json!({"name": "Tea set", "kind": "bundle",
        "components": [{"sku": "CUP", "quantity": 6}, {"sku": "SAUCER", "quantity": 6}]});
    node.put("/v1/products/SET", &set).expect(201).await;
    node.receive("LONDON", "CUP", 20).await;
    node.receive("LONDON", "SAUCER", 13).await;
    let placed = node.place(&order(&[("SET", 3, "20.00")])).await;
    // 13 saucers make two sets.
    assert_eq!(
        (&placed["status"], &placed["lines"][0]["backordered"]),
        (&json!("backordered"), &json!(1))
    );
    assert_eq!(node.balance("LONDON", "CUP").await["reserved"], 12);
    assert_eq!(node.balance("LONDON", "SAUCER").await["reserved"], 12);
    recount(&node).await;
    node.receive("LONDON", "SAUCER", 5).await;
    let id = placed["id"].as_str().expect("an id");
    let released = node
        .order_when(id, "allocated", |order| order["status"] == "allocated")
        .await;
    for (n, work) in released["fulfillment_orders"]
        .as_array()
        .expect("work")
        .iter()
        .enumerate()
    {
        node.send_off(work["id"].as_str().expect("an id"), &format!("SET-{n}"))
            .await;
    }
    node.order_when(id, "shipped", |order| {
        order["lines"][0]["units"]["shipped"] == 3
    })
    .await;
    let books = recount(&node).await;
    assert_eq!((books.on_hand["CUP"], books.on_hand["SAUCER"]), (2, 0));
}

#[tokio::test]
async fn services_and_digital_goods_need_no_location() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &["LONDON"]).await;
    node.receive("LONDON", "A", 5).await;
    for (sku, kind) in [
        ("WRAP", "service"),
        ("EBOOK", "digital"),
        ("CARD", "gift_card"),
    ] {
        node.put(
            format!("/v1/products/{sku}"),
            &json!({"name": sku, "kind": kind}),
        )
        .expect(201)
        .await;
    }
    let virtual_only = node
        .place(&order(&[("EBOOK", 1, "9.99"), ("CARD", 2, "25.00")]))
        .await;
    assert_eq!(
        (&virtual_only["status"], &virtual_only["totals"]["captured"]),
        (&json!("completed"), &json!("59.99"))
    );
    assert_eq!(virtual_only["fulfillment_orders"], json!([]));
    let mixed = node
        .place(&order(&[("A", 1, "5.00"), ("WRAP", 1, "2.00")]))
        .await;
    assert_eq!(mixed["lines"][1]["kind"], "virtual");
    assert_eq!(mixed["lines"][1]["allocations"], json!([]));
    assert_eq!(mixed["status"], "allocated");
    node.get("/v1/inventory/EBOOK").expect(200).await;
    recount(&node).await;
}
