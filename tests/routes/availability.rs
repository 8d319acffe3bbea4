//! What could be had, before anybody orders: it is what orders then get, by the strategy that decides.

use consign_tests::{Node, Shop, order};
use serde_json::{Value, json};

use crate::CONSIGN;

const FROM_LONDON: &str = "GB,51.5,-0.12";

/// Products A and B, a bundle of two A and a B, something virtual; two warehouses and a shop.
async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS"]).await;
    let bundle = json!({"sku": "AAB", "name": "Set", "kind": "bundle",
        "components": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]});
    let service = json!({"sku": "WRAP", "name": "Wrapping", "kind": "service"});
    for product in [bundle, service] {
        let sku = product["sku"].as_str().expect("a SKU").to_owned();
        let put = node.put(format!("/v1/products/{sku}"), &product);
        put.expect(201).await;
    }
    let store = json!({"id": "YORK", "name": "York", "kind": "store", "country": "GB",
        "latitude": 53.96, "longitude": -1.08, "time_zone": "Europe/London"});
    node.put("/v1/locations/YORK", &store).expect(201).await;
    node.receive("LONDON", "A", 5).await;
    node.receive("LEEDS", "A", 30).await;
    node.receive("LEEDS", "B", 4).await;
    node.receive("YORK", "A", 3).await;
    node
}

async fn asked(node: &Node, sku: &str, more: &str) -> Value {
    let path = format!("/v1/availability?sku={sku}&destination={FROM_LONDON}{more}");
    node.get(path).expect(200).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_page_hears_how_much_from_how_near_and_in_which_shops() {
    let mut node = shop().await;
    let a = asked(&node, "A", "").await;
    assert_eq!(
        (&a["quantity"], &a["quantity_from_one"], &a["strategy"]),
        (&json!(38), &json!(30), &json!(0))
    );
    let nearest = &a["nearest"];
    assert_eq!(
        (&nearest["location"], &nearest["quantity"]),
        (&json!("LONDON"), &json!(5))
    );
    assert_eq!(nearest["km"], 1);
    let shops = a["pickup"].as_array().expect("a list");
    let shown = |shop: &Value| (shop["location"].clone(), shop["quantity"].clone());
    assert_eq!(
        shops.iter().map(shown).collect::<Vec<_>>(),
        [(json!("YORK"), json!(3))]
    );
    // Of a bundle, what its scarcest component allows where all are.
    let set = asked(&node, "AAB", "").await;
    assert_eq!(
        (&set["quantity"], &set["nearest"]["location"]),
        (&json!(4), &json!("LEEDS"))
    );
    let wrap = asked(&node, "WRAP", "").await;
    assert_eq!(
        (&wrap["stocked"], &wrap["quantity"]),
        (&json!(false), &Value::Null)
    );
    // Without a place nothing is near; nobody says how far it is.
    let somewhere = node.get("/v1/availability?sku=A&destination=GB");
    let somewhere = somewhere.expect(200).await.json();
    assert_eq!(
        (&somewhere["quantity"], &somewhere["nearest"]["km"]),
        (&json!(38), &Value::Null)
    );

    // What an order took and what is kept back is not there for the next.
    node.place(&order(&[("A", 4, "2.55")])).await;
    let kept = json!({"location": "LEEDS", "sku": "A", "quantity": 28});
    let put = node.post("/v1/inventory/safety-stock", &kept);
    put.expect(200).await;
    assert_eq!(asked(&node, "A", "").await["quantity"], 6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_strategy_that_decides_answers() {
    let mut node = shop().await;
    let strategy = json!({"name": "web from the north", "groups": {"north": ["LEEDS", "YORK"]}, "rules": [
        {"name": "phone", "when": {"channels": ["phone"]}},
        {"name": "others", "filters": {"groups": ["north"], "minimum_remaining": 2}}
    ]});
    node.post("/v1/strategies", &strategy).expect(201).await;
    let activate = node.post("/v1/strategies/1/activate", &json!({}));
    activate.expect(200).await;
    let web = asked(&node, "A", "").await;
    assert_eq!(
        (
            &web["quantity"],
            &web["nearest"]["location"],
            &web["strategy"]
        ),
        (&json!(29), &json!("LEEDS"), &json!(1))
    );
    assert_eq!(asked(&node, "A", "&channel=phone").await["quantity"], 38);
    node.stop().await;
}

fn cart(lines: &[(&str, u32)]) -> Value {
    let line = |(sku, quantity): &(&str, u32)| json!({"sku": sku, "quantity": quantity});
    json!({"ship_to": {"country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": lines.iter().map(line).collect::<Vec<_>>()})
}

async fn served(node: &Node, cart: &Value) -> Value {
    let asked = node.post("/v1/availability/cart", cart);
    asked.expect(200).await.json()
}

/// By line: (location, units), as an order was served or a cart would be.
fn by_line(shipments: &Value) -> Vec<(u64, String, u64)> {
    let shipments = shipments.as_array().expect("a list");
    let mut all: Vec<_> = shipments
        .iter()
        .flat_map(|shipment| {
            let location = shipment["location"].as_str().expect("a location");
            let lines = shipment["lines"].as_array().expect("a list");
            lines.iter().map(move |line| {
                let number = |name: &str| line[name].as_u64().expect("a number");
                (number("line"), location.to_owned(), number("quantity"))
            })
        })
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_hears_what_an_order_would_get() {
    let mut node = shop().await;
    let wanted = [("A", 20), ("B", 2), ("AAB", 1), ("WRAP", 1)];
    let told = served(&node, &cart(&wanted)).await;
    assert_eq!(told["complete"], true);
    let promised = by_line(&told["shipments"]);
    assert_eq!(
        promised,
        [
            (0, "LEEDS".to_owned(), 20),
            (1, "LEEDS".to_owned(), 2),
            (2, "LEEDS".to_owned(), 1)
        ]
    );
    // Asking holds nothing: the same again, and then an order gets just that.
    assert_eq!(served(&node, &cart(&wanted)).await, told);
    let lines = wanted.map(|(sku, quantity)| (sku, quantity, "1.00"));
    let placed = node.place(&order(&lines)).await;
    let lines = placed["lines"].as_array().expect("lines");
    for (line, location, quantity) in promised {
        let at = usize::try_from(line).expect("small");
        assert_eq!(
            lines[at]["allocations"],
            json!([{"location": location, "quantity": quantity}])
        );
    }

    let told = served(&node, &cart(&[("A", 30), ("B", 1)])).await;
    assert_eq!(told["complete"], false);
    let figures = |line: &Value| (line["quantity"].as_u64(), line["available"].as_u64());
    let lines = told["lines"].as_array().expect("lines");
    // Of 38 A, 22 went into the order.
    assert_eq!(
        lines.iter().map(figures).collect::<Vec<_>>(),
        [(Some(30), Some(16)), (Some(1), Some(1))]
    );
    let mut whole = cart(&[("A", 10)]);
    whole["split"] = json!("ship_complete");
    assert_eq!(served(&node, &whole).await["complete"], true);
    whole["lines"][0]["pickup_location"] = json!("YORK");
    let at_york = served(&node, &whole).await;
    assert_eq!(
        (&at_york["complete"], &at_york["shipments"]),
        (&json!(false), &json!([]))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_named() {
    let mut node = shop().await;
    for (query, named) in [
        ("", "sku"),
        ("sku=A", "destination"),
        ("sku=A&destination=Leeds", "destination"),
        ("sku=A&destination=GB,53.8", "destination"),
        ("sku=A&destination=GB,north,west", "destination"),
        ("sku=A&destination=GB,NaN,0", "destination"),
        ("sku=A&destination=GB,91,0", "destination"),
        ("sku=%20&destination=GB", "sku"),
        ("sku=A&destination=GB&channel=", "channel"),
        ("sku=A&destination=GB&quantity=1", "quantity"),
    ] {
        let path = format!("/v1/availability?{query}");
        let refused = node.get(path).refused(400, "invalid_query").await.json();
        let detail = refused["detail"].as_str().expect("a detail");
        assert!(detail.contains(named), "{query}: {detail}");
    }
    node.get("/v1/availability?sku=NONE&destination=GB")
        .refused(404, "product_not_found")
        .await;

    let mut no_lines = cart(&[]);
    let mut strange = cart(&[("A", 1)]);
    strange["ship_to"]["country"] = json!("Leeds");
    let mut priced = cart(&[("A", 1)]);
    priced["lines"][0]["unit_price"] = json!("2.55");
    let mut nowhere = cart(&[("A", 1)]);
    nowhere["lines"][0]["pickup_location"] = json!("NOWHERE");
    no_lines["split"] = json!("allow");
    for (cart, pointer) in [
        (no_lines, "/lines"),
        (strange, "/ship_to/country"),
        (priced, "/currency"),
        (nowhere, "/lines/0/pickup_location"),
        (cart(&[("NONE", 1)]), "/lines/0/sku"),
        (cart(&[("A", 0)]), "/lines/0/quantity"),
    ] {
        let refused = node.post("/v1/availability/cart", &cart);
        let refused = refused.refused(422, "validation_failed").await.json();
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    node.stop().await;
}
