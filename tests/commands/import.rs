//! Files into a node: CSV and JSON Lines of products, locations, inventory and orders.

use consign_tests::{Node, Shop, file, order, recount, run};
use serde_json::json;

use crate::CONSIGN;

#[tokio::test]
async fn a_shop_comes_out_of_files() {
    let node = Node::start(CONSIGN).await;
    let url = node.url();
    let home = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        file(home.path(), name, content)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    let products = write(
        "products.csv",
        "sku,name,handling,attributes\nA,\"Holder, white\",fragile,season=winter\nB,Lamp,,\n",
    );
    let locations = write(
        "locations.csv",
        "id,name,kind,country,latitude,longitude,time_zone\n\
        LONDON,London,warehouse,GB,51.51,-0.13,Europe/London\nLEEDS,Leeds,store,GB,53.8,-1.55,Europe/London\n",
    );
    let inventory = write(
        "inventory.jsonl",
        "{\"location\":\"LONDON\",\"sku\":\"A\",\"quantity\":10,\"reference\":\"opening\"}\n\
        {\"location\":\"LEEDS\",\"sku\":\"B\",\"quantity\":5}\n",
    );
    let mut first = order(&[("A", 2, "1.00")]);
    first["external_id"] = json!("I-1");
    let mut second = order(&[("B", 1, "3.00"), ("A", 1, "1.00")]);
    second["external_id"] = json!("I-2");
    let orders = write("orders.jsonl", &format!("{first}\n{second}\n"));
    let import = async |kind: &str, path: &str| {
        run(CONSIGN, ["import", kind, path, "--target", &url, "--json"]).await
    };
    for (kind, path) in [
        ("products", &products),
        ("locations", &locations),
        ("inventory", &inventory),
        ("orders", &orders),
    ] {
        let ran = import(kind, path).await.ok();
        assert!(ran.json().is_object(), "{ran:?}");
    }
    let holder = node.get("/v1/products/A").expect(200).await.json();
    assert_eq!(
        (&holder["name"], &holder["handling"], &holder["attributes"]),
        (
            &json!("Holder, white"),
            &json!(["fragile"]),
            &json!({"season": "winter"})
        )
    );
    assert_eq!(
        node.get("/v1/locations/LEEDS").expect(200).await.json()["kind"],
        "store"
    );
    assert_eq!(node.balance("LONDON", "A").await["reserved"], 3);
    let placed = node.all("/v1/orders", "orders").await;
    assert_eq!(placed.len(), 2);
    // Orders that came before do not come twice.
    import("orders", &orders).await;
    assert_eq!(node.all("/v1/orders", "orders").await.len(), 2);
    let books = recount(&node).await;
    assert_eq!((books.on_hand["A"], books.on_hand["B"]), (10, 5));
    // A file that is wrong is told line by line, and what is right in it is taken.
    let wrong = write("wrong.csv", "sku,name\nC,Chair\nD,\n");
    let ran = import("products", &wrong).await;
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(
        format!("{}{}", ran.out, ran.err).contains("name"),
        "{ran:?}"
    );
    node.get("/v1/products/C").expect(200).await;
    let missing = import("products", "/nowhere/products.csv").await;
    assert_ne!(missing.code, 0);
}
