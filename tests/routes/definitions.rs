//! Products, locations, carriers: put, read, listed, refused.

use consign_tests::{Node, Shop};
use serde_json::json;

use crate::CONSIGN;

#[tokio::test]
async fn a_product_is_put_read_changed_and_guarded_by_its_version() {
    let node = Node::start(CONSIGN).await;
    let path = "/v1/products/85123A";
    node.get(path).refused(404, "product_not_found").await;
    let made = node
        .put(path, &json!({"sku": "85123A", "name": "T-light holder"}))
        .expect(201)
        .await;
    assert_eq!(made.header("location"), Some(path));
    assert_eq!(made.header("etag"), Some("\"1\""));
    let product = made.json();
    assert_eq!(
        (&product["kind"], &product["version"]),
        (&json!("stocked"), &json!(1))
    );
    // The same again changes nothing; another name does.
    node.put(path, &json!({"name": "T-light holder"}))
        .expect(200)
        .await;
    assert_eq!(node.get(path).expect(200).await.json(), product);
    let changed = node
        .put(path, &json!({"name": "Holder", "weight_grams": 120}))
        .if_match(1)
        .expect(200)
        .await;
    assert_eq!(changed.json()["version"], 2);
    // A writer who saw version 1 must look again.
    let stale = node
        .put(path, &json!({"name": "Lost"}))
        .if_match(1)
        .refused(412, "version_mismatch")
        .await;
    assert_eq!(stale.json()["current_version"], 2);
    node.put(path, &json!({"name": "Lost"}))
        .header("if-none-match", "*")
        .refused(412, "version_mismatch")
        .await;
    node.get(path)
        .header("if-none-match", "\"2\"")
        .expect(304)
        .await;
    assert_eq!(
        node.get(path)
            .header("if-none-match", "\"1\"")
            .expect(200)
            .await
            .header("etag"),
        Some("\"2\"")
    );
    node.put(path, &json!({"name": "x"}))
        .header("if-match", "2")
        .refused(400, "invalid_header")
        .await;
}

#[tokio::test]
async fn wrong_products_are_refused_with_every_fault() {
    let node = Node::start(CONSIGN).await;
    node.define(&["A"], &[]).await;
    let path = "/v1/products/B";
    node.put(path, &json!({}))
        .faults(&[("/name", "missing_field")])
        .await;
    node.put(path, &json!({"sku": "C", "name": "", "colour": "red"}))
        .faults(&[("/colour", "unknown_field")])
        .await;
    node.put(path, &json!({"sku": "C", "name": ""}))
        .faults(&[("/sku", "mismatch"), ("/name", "empty")])
        .await;
    node.put(path, &json!({"name": "b", "kind": "bundle"}))
        .faults(&[("/components", "empty")])
        .await;
    let components = |sku: &str| json!({"name": "b", "kind": "bundle", "components": [{"sku": sku, "quantity": 2}]});
    node.put(path, &components("NONE"))
        .faults(&[("/components/0/sku", "unknown_sku")])
        .await;
    node.put(path, &components("A")).expect(201).await;
    node.put("/v1/products/D", &components("B"))
        .faults(&[("/components/0/sku", "not_stocked")])
        .await;
    let stocked = json!({"name": "b", "components": [{"sku": "A", "quantity": 1}]});
    node.put("/v1/products/D", &stocked)
        .faults(&[("/components", "not_allowed")])
        .await;
    node.put("/v1/products/%20", &json!({"name": "b"}))
        .faults(&[("/sku", "invalid_id")])
        .await;
    // SKUs that differ in case are two products.
    node.define(&["15056bl", "15056BL"], &[]).await;
    node.get("/v1/products/15056Bl")
        .refused(404, "product_not_found")
        .await;
}

#[tokio::test]
async fn a_location_is_put_read_and_checked() {
    let node = Node::start(CONSIGN).await;
    let path = "/v1/locations/LEEDS";
    let leeds = json!({"id": "LEEDS", "name": "Leeds", "kind": "warehouse", "country": "GB",
        "latitude": 53.8, "longitude": -1.55, "time_zone": "Europe/London"});
    node.get(path).refused(404, "location_not_found").await;
    let made = node.put(path, &leeds).expect(201).await.json();
    assert_eq!(
        (&made["active"], &made["latitude"]),
        (&json!(true), &json!(53.8))
    );
    let mut shut = leeds.clone();
    shut["active"] = json!(false);
    assert_eq!(
        node.put(path, &shut).expect(200).await.json()["active"],
        false
    );
    let wrong = json!({"name": "X", "kind": "warehouse", "country": "gb", "latitude": 91, "longitude": -181,
        "time_zone": "Europe/Nowhere"});
    let faults = [
        ("/country", "invalid_country"),
        ("/latitude", "out_of_range"),
        ("/longitude", "out_of_range"),
        ("/time_zone", "unknown_time_zone"),
    ];
    node.put("/v1/locations/X", &wrong).faults(&faults).await;
    let mut moon = leeds.clone();
    moon["kind"] = json!("moon");
    node.put(path, &moon)
        .faults(&[("/kind", "invalid_value")])
        .await;
    // Of several that are missing at least the first is named; a kind cannot be guessed to look on.
    let reply = node
        .put("/v1/locations/X", &json!({"name": "X"}))
        .refused(422, "validation_failed")
        .await;
    assert_eq!(
        reply.faults()[0],
        ("/kind".to_owned(), "missing_field".to_owned()),
        "{reply}"
    );
}

#[tokio::test]
async fn a_carrier_is_put_read_and_checked() {
    let node = Node::start(CONSIGN).await;
    let path = "/v1/carriers/ROYAL";
    let royal = json!({"id": "ROYAL", "name": "Royal", "currency": "GBP", "services": ["48", "24"],
        "zones": [{"code": "UK", "countries": ["GB"]}, {"code": "WORLD", "countries": ["*"]}],
        "rates": [{"service": "48", "zone": "UK", "up_to_grams": 2000, "price": "3.95"},
                  {"service": "48", "zone": "WORLD", "up_to_grams": 2000, "price": "12.50"}],
        "tracking_prefix": "RM"});
    node.get(path).refused(404, "carrier_not_found").await;
    let made = node.put(path, &royal).expect(201).await.json();
    assert_eq!(made["rates"][0]["price"], "3.95");
    assert_eq!(node.get(path).expect(200).await.json(), made);
    let mut wrong = royal.clone();
    wrong["rates"][0]["price"] = json!("3.955");
    node.put(path, &wrong)
        .faults(&[("/rates/0/price", "too_many_decimals")])
        .await;
    wrong["rates"][0]["price"] = json!(3.95);
    node.put(path, &wrong)
        .faults(&[("/rates/0/price", "invalid_type")])
        .await;
    let mut wrong = royal.clone();
    wrong["rates"][1]["service"] = json!("99");
    node.put(path, &wrong)
        .faults(&[("/rates/1/service", "unknown_service")])
        .await;
    let mut wrong = royal;
    wrong["currency"] = json!("XXQ");
    assert_eq!(node.put(path, &wrong).send().await.status, 422);
}

#[tokio::test]
async fn definitions_are_listed_page_by_page() {
    let node = Node::start(CONSIGN).await;
    let skus: Vec<String> = (0..23).map(|n| format!("SKU-{n:02}")).collect();
    for sku in &skus {
        node.put(format!("/v1/products/{sku}"), &json!({"name": sku}))
            .expect(201)
            .await;
    }
    node.define(&[], &["LONDON", "LEEDS"]).await;
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = node
            .get(format!("/v1/products?limit=7{cursor}"))
            .expect(200)
            .await
            .json();
        let names = page["products"].as_array().expect("products").iter();
        seen.extend(names.map(|p| p["sku"].as_str().expect("a SKU").to_owned()));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, skus);
    assert!((4..=5).contains(&pages), "{pages}");
    assert_eq!(node.all("/v1/locations", "locations").await.len(), 2);
    assert_eq!(
        node.get("/v1/carriers").expect(200).await.json(),
        json!({"carriers": [], "next_cursor": null})
    );
    for path in [
        "/v1/products?limit=0",
        "/v1/locations?limit=501",
        "/v1/carriers?limit=x",
        "/v1/products?page=2",
    ] {
        node.get(path).refused(400, "invalid_query").await;
    }
    for path in [
        "/v1/products?cursor=zz",
        "/v1/locations?cursor=",
        "/v1/carriers?cursor=p00",
    ] {
        node.get(path).refused(400, "cursor_invalid").await;
    }
}
