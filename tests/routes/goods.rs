//! What goods need: special handling and attributes decide where an order goes, their weight what it
//! costs to send.

use consign_tests::{Node, Shop, order};
use serde_json::{Value, json};

use crate::CONSIGN;

/// Frozen cod, a fragile vase for the summer, a mug; a hamper of a cod and a mug; two warehouses that
/// have all of it. London is the nearer one.
async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["MUG"], &["LONDON", "LEEDS"]).await;
    let cod = json!({"name": "Cod", "handling": ["cold_chain"]});
    node.put("/v1/products/COD", &cod).expect(201).await;
    let vase = json!({"name": "Vase", "handling": ["fragile"], "attributes": {"season": "summer"}});
    node.put("/v1/products/VASE", &vase).expect(201).await;
    let hamper = json!({"name": "Hamper", "kind": "bundle", "components": [
        {"sku": "COD", "quantity": 1}, {"sku": "MUG", "quantity": 1}]});
    node.put("/v1/products/HAMPER", &hamper).expect(201).await;
    for location in ["LONDON", "LEEDS"] {
        for sku in ["COD", "VASE", "MUG"] {
            node.receive(location, sku, 50).await;
        }
    }
    node
}

/// Drafts a strategy and lets it decide.
async fn activate(node: &Node, strategy: &Value) {
    let drafted = node.post("/v1/strategies", strategy).expect(201).await;
    let version = &drafted.json()["version"];
    let path = format!("/v1/strategies/{version}/activate");
    node.post(path, &json!({})).expect(200).await;
}

/// Locations that serve an order by rising name, and the explanation of its one decision.
async fn served(node: &Node, lines: &[(&str, u32, &str)]) -> (Vec<String>, Value) {
    let placed = node.place(&order(lines)).await;
    let owed = placed["fulfillment_orders"].as_array();
    let location = |of: &Value| of["location"].as_str().expect("a location").to_owned();
    let mut from: Vec<String> = owed.into_iter().flatten().map(location).collect();
    from.sort();
    let id = placed["id"].as_str().expect("an id");
    let said = node.get(format!("/v1/orders/{id}/explanation"));
    let said = said.expect(200).await.json();
    (from, said["decisions"][0].clone())
}

fn text(decision: &Value) -> &str {
    decision["text"].as_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_particular_is_put_and_shown_with_its_product() {
    let mut node = shop().await;
    let path = "/v1/products/VASE";
    let vase = node.get(path).expect(200).await.json();
    assert_eq!(vase["handling"], json!(["fragile"]));
    assert_eq!(vase["attributes"], json!({"season": "summer"}));
    let listed = node.all("/v1/products", "products").await;
    assert!(listed.contains(&vase), "{listed:?}");
    // The same again changes nothing, in whichever order it is written.
    let mut again = json!({"name": "Vase", "handling": ["oversize", "fragile"]});
    let second = node.put(path, &again).key("vase").if_match(1).expect(200);
    let second = second.await.json();
    assert_eq!(second["version"], 2);
    again["handling"] = json!(["fragile", "oversize"]);
    let third = node.put(path, &again).expect(200).await;
    assert_eq!(
        (third.json(), third.header("etag")),
        (second.clone(), Some("\"2\""))
    );
    assert_eq!(second.get("attributes"), None, "put without any");
    let stale = node.put(path, &json!({"name": "Vase"}));
    stale.if_match(1).refused(412, "version_mismatch").await;
    // Put without, it has none; and all of it outlives the process.
    let plain = node.put(path, &json!({"name": "Vase"})).expect(200).await;
    assert_eq!(
        plain.json(),
        json!({"sku": "VASE", "name": "Vase", "kind": "stocked", "weight_grams": 0, "version": 3})
    );
    node.kill().await;
    node.restart().await;
    assert_eq!(node.get(path).expect(200).await.json(), plain.json());
    let cod = node.get("/v1/products/COD").expect(200).await.json();
    assert_eq!(cod["handling"], json!(["cold_chain"]));
    // A retry of what came before hears the same.
    let retry = json!({"name": "Vase", "handling": ["oversize", "fragile"]});
    let retry = node.put(path, &retry).key("vase").if_match(1).expect(200);
    assert_eq!(retry.await.json(), second);

    let wrong = json!({"name": "Vase", "handling": ["Fragile", "a", "a"],
        "attributes": {"sea son": "x", "size": "", "wide": "x".repeat(65)}});
    let faults = [
        ("/handling/0", "invalid_value"),
        ("/handling/2", "duplicate"),
        ("/attributes/sea son", "invalid_value"),
        ("/attributes/size", "empty"),
        ("/attributes/wide", "too_long"),
    ];
    node.put(path, &wrong).faults(&faults).await;
    let shape = json!({"name": "Vase", "handling": "fragile", "attributes": ["season"]});
    node.put(path, &shape)
        .faults(&[
            ("/handling", "invalid_type"),
            ("/attributes", "invalid_type"),
        ])
        .await;
    assert_eq!(node.get(path).expect(200).await.json(), plain.json());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_go_only_where_they_can_be_handled() {
    let mut node = shop().await;
    // The built-in strategy asks nothing about goods.
    let (from, _) = served(&node, &[("COD", 1, "2.55")]).await;
    assert_eq!(from, ["LONDON"]);
    let strategy = json!({
        "name": "cold goods from Leeds",
        "groups": {"cold-stores": ["LEEDS"], "shops": ["LONDON"]},
        "rules": [
            {"name": "presents", "when": {"expression":
                "order.lines.exists(line, 'season=summer' in line.attributes)"},
             "costs": {"per_100_km": 100}},
            {"name": "all", "costs": {"per_100_km": 100, "split": 5_000},
             "filters": {"item_groups": {"cold_chain": ["cold-stores"]}}}
        ],
        "locations": {
            "LONDON": {"handles": ["fragile", "cold_chain"]},
            "LEEDS": {"handles": ["fragile", "cold_chain"], "refuses": ["season=summer"]}
        }
    });
    activate(&node, &strategy).await;
    for sku in ["COD", "HAMPER"] {
        let (from, decision) = served(&node, &[(sku, 1, "2.55")]).await;
        assert_eq!(from, ["LEEDS"], "{sku}: {decision}");
        let reason = "LONDON, 1 km: left out, as the rule assigns such items to other locations";
        assert!(text(&decision).contains(reason), "{decision}");
        let london = &decision["explanation"]["candidates"][0];
        assert_eq!(london["reason"], "item_assigned_elsewhere", "{decision}");
        assert_eq!(decision["repeats"], true);
    }
    // An order keeps together what it can, and says what London could not send.
    let (from, decision) = served(&node, &[("MUG", 1, "2.55"), ("COD", 1, "2.55")]).await;
    assert_eq!(from, ["LEEDS"], "{decision}");
    let reason = "not for line 2, as the rule assigns such items to other locations";
    assert!(text(&decision).contains(reason), "{decision}");
    let (from, decision) = served(&node, &[("VASE", 1, "2.55")]).await;
    assert_eq!(from, ["LONDON"]);
    let reason = "left out, as it refuses such items";
    assert!(text(&decision).contains(reason), "{decision}");
    assert!(text(&decision).contains("by the rule \"presents\""));
    assert_eq!(decision["repeats"], true);
    // What nobody can handle waits, and the product page says so before.
    let lead = json!({"name": "Lead", "handling": ["hazardous"]});
    node.put("/v1/products/LEAD", &lead).expect(201).await;
    node.receive("LONDON", "LEAD", 5).await;
    let (from, decision) = served(&node, &[("LEAD", 1, "2.55")]).await;
    assert!(from.is_empty(), "{from:?}");
    let reason = "left out, as it cannot do the special handling";
    assert!(text(&decision).contains(reason), "{decision}");
    let page = node.get("/v1/availability?sku=LEAD&destination=GB");
    assert_eq!(page.expect(200).await.json()["quantity"], 0);
    // Decisions are repeated from what was stored with them, whatever the product is by now.
    let (_, before) = served(&node, &[("VASE", 1, "2.55")]).await;
    let plain = json!({"name": "Vase"});
    node.put("/v1/products/VASE", &plain).expect(200).await;
    assert_eq!(before["repeats"], true);
    let (from, decision) = served(&node, &[("VASE", 1, "2.55")]).await;
    assert_eq!(from, ["LONDON"]);
    assert!(
        text(&decision).contains("by the rule \"all\""),
        "{decision}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_no_product_can_have_are_refused_with_their_place() {
    let node = shop().await;
    let strategy = |filters: Value, london: Value| {
        json!({"name": "x", "groups": {"south": ["LONDON"]},
            "rules": [{"name": "all", "filters": filters}], "locations": {"LONDON": london}})
    };
    let items = |items: Value| strategy(json!({"item_groups": items}), json!({}));
    for (wrong, pointer) in [
        (
            items(json!({"fragile": ["north"]})),
            "/rules/0/filters/item_groups/fragile/0",
        ),
        (
            items(json!({"Fragile": ["south"]})),
            "/rules/0/filters/item_groups/Fragile",
        ),
        (
            items(json!({"fragile": []})),
            "/rules/0/filters/item_groups/fragile",
        ),
        (
            strategy(json!({}), json!({"refuses": ["fragile", "a b"]})),
            "/locations/LONDON/refuses/1",
        ),
    ] {
        let refused = node.post("/v1/strategies", &wrong);
        refused.faults(&[(pointer, "invalid_strategy")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_that_of_what_an_order_weighs() {
    let mut node = shop().await;
    let royal = json!({"id": "ROYAL", "name": "Royal", "currency": "GBP", "services": ["standard"],
        "zones": [{"code": "UK", "countries": ["GB"]}],
        "rates": [{"service": "standard", "zone": "UK", "up_to_grams": 500, "price": "2.00"},
                  {"service": "standard", "zone": "UK", "up_to_grams": 1000, "price": "3.95"},
                  {"service": "standard", "zone": "UK", "up_to_grams": 5000, "price": "7.50"}],
        "tracking_prefix": "RM"});
    node.put("/v1/carriers/ROYAL", &royal).expect(201).await;
    for (sku, grams) in [("CUP", 250), ("PAN", 1_500)] {
        let product = json!({"name": sku, "weight_grams": grams});
        let path = format!("/v1/products/{sku}");
        node.put(path, &product).expect(201).await;
        node.receive("LONDON", sku, 100).await;
    }
    let rate = async |lines: &[(&str, u32, &str)]| {
        let (from, decision) = served(&node, lines).await;
        let candidates = decision["explanation"]["candidates"].as_array();
        let london = candidates.and_then(|all| all.iter().find(|it| it["ordinal"] == 0));
        (from.len(), london.expect("it was asked")["rate"].clone())
    };
    assert_eq!(rate(&[("CUP", 2, "1.00")]).await, (1, json!(200)));
    assert_eq!(rate(&[("CUP", 3, "1.00")]).await, (1, json!(395)));
    let heavy = rate(&[("CUP", 1, "1.00"), ("PAN", 3, "1.00")]).await;
    assert_eq!(heavy, (1, json!(750)));
    // Nobody knows what a mug weighs: it counts as a small parcel, or as what else there is.
    assert_eq!(rate(&[("MUG", 1, "1.00")]).await, (1, json!(395)));
    let with_mug = rate(&[("MUG", 1, "1.00"), ("PAN", 2, "1.00")]).await;
    assert_eq!(with_mug, (1, json!(750)));
    // Too heavy for any parcel: it goes, and no rate is known.
    assert_eq!(rate(&[("PAN", 4, "1.00")]).await, (1, Value::Null));

    // Who sends nothing without a rate sends no such order; a product page asks about one pan.
    let strategy =
        json!({"name": "rated", "rules": [{"name": "all", "filters": {"rate_required": true}}]});
    activate(&node, &strategy).await;
    assert_eq!(rate(&[("PAN", 3, "1.00")]).await, (1, json!(750)));
    let (from, decision) = served(&node, &[("PAN", 4, "1.00")]).await;
    assert!(from.is_empty(), "{from:?}");
    let reason = "left out, as no carrier quotes a rate";
    assert!(text(&decision).contains(reason), "{decision}");
    let page = node.get("/v1/availability?sku=PAN&destination=GB");
    let page = page.expect(200).await.json();
    assert!(page["quantity"].as_u64() > Some(50), "{page}");
    node.stop().await;
}
