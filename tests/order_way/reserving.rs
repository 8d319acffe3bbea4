//! Stock held for a cart: nobody else gets it, the order that names it does, and it comes back.

use consign_tests::{Client, Node, Shop, eventually, order, recount, run};
use serde_json::{Value, json};

use crate::{CONSIGN, id, units};

/// How many customers come at once, and for how many units.
const CUSTOMERS: u64 = 64;
const UNITS: u32 = 40;

async fn shop() -> Node {
    let node = Node::start(CONSIGN).await;
    node.define(&["A", "B"], &["LONDON", "LEEDS", "GLASGOW"])
        .await;
    node
}

fn cart(lines: &[(&str, u32)]) -> Value {
    let line = |(sku, quantity): &(&str, u32)| json!({"sku": sku, "quantity": quantity});
    json!({"ship_to": {"country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": lines.iter().map(line).collect::<Vec<_>>()})
}

async fn held(node: &Client, lines: &[(&str, u32)]) -> Value {
    let asked = node.post("/v1/reservations", &cart(lines));
    let held = asked.expect(201).await.json();
    assert_eq!(held["status"], "held", "{held}");
    held
}

async fn reservation(node: &Client, id: &str) -> Value {
    let asked = node.get(format!("/v1/reservations/{id}"));
    asked.expect(200).await.json()
}

async fn available(node: &Client, sku: &str) -> Value {
    let path = format!("/v1/availability?sku={sku}&destination=GB,51.5,-0.12");
    node.get(path).expect(200).await.json()["quantity"].clone()
}

/// Places an order that names a reservation; gives it, and what became of the reservation.
async fn placed(node: &Client, lines: &[(&str, u32, &str)], reservation: &str) -> (Value, String) {
    let mut order = order(lines);
    order["reservation"] = json!(reservation);
    let reply = node.post("/v1/orders", &order).expect(201).await;
    let used = reply.header("reservation").expect("the header");
    (reply.json(), used.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_for_the_order_that_names_it() {
    let mut node = shop().await;
    node.receive("LEEDS", "A", 3).await;
    let held = held(&node, &[("A", 3)]).await;
    let name = id(&held["id"]);
    assert_eq!(
        held["lines"],
        json!([{"line": 0, "sku": "A", "quantity": 3, "from": [{"location": "LEEDS", "quantity": 3}]}])
    );
    assert_eq!(available(&node, "A").await, 0);
    let short = node.post("/v1/reservations", &cart(&[("A", 1)]));
    let short = short.refused(409, "insufficient_stock").await.json();
    assert_eq!(
        short["short"],
        json!([{"line": 0, "sku": "A", "quantity": 1, "short": 1}])
    );

    let other = node.place(&order(&[("A", 1, "1.00")])).await;
    assert_eq!(other["status"], "backordered");
    let (mine, used) = placed(&node, &[("A", 3, "1.00")], &name).await;
    assert_eq!(
        (&mine["status"], used.as_str()),
        (&json!("allocated"), "used")
    );
    assert_eq!(mine["fulfillment_orders"][0]["location"], "LEEDS");
    let consumed = reservation(&node, &name).await;
    assert_eq!(
        (&consumed["status"], &consumed["order"]),
        (&json!("consumed"), &mine["id"])
    );
    // Whoever names it after that is sourced as anybody else.
    let (second, used) = placed(&node, &[("A", 3, "1.00")], &name).await;
    assert_eq!(
        (&second["status"], used.as_str()),
        (&json!("backordered"), "consumed")
    );
    let released = node.delete(format!("/v1/reservations/{name}"));
    assert_eq!(released.expect(200).await.json()["status"], "consumed");
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 3);

    // History says where the units came from, and the explanation has nothing to explain.
    let path = format!("/v1/orders/{}", id(&mine["id"]));
    let events = node.get(format!("{path}/events")).expect(200).await.json();
    let kinds: Vec<&Value> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| &event["type"])
        .collect();
    assert_eq!(kinds, ["placed", "reservation_used", "reserved"]);
    let explained = node.get(format!("{path}/explanation")).expect(200).await;
    assert_eq!(explained.json()["decisions"], json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_sourced_and_what_is_left_comes_back() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 4).await;
    node.receive("LEEDS", "A", 6).await;
    node.receive("LONDON", "B", 5).await;
    let held = held(&node, &[("A", 3), ("B", 5)]).await;
    let lines = [("A", 5, "1.00"), ("B", 2, "1.00")];
    let (order, used) = placed(&node, &lines, &id(&held["id"])).await;
    assert_eq!(
        (&order["status"], used.as_str()),
        (&json!("allocated"), "used")
    );
    assert_eq!(units(&order, 0, "allocated"), 5);
    assert_eq!(node.balance("LONDON", "B").await["available"], 3);
    let explained = node.get(format!("/v1/orders/{}/explanation", id(&order["id"])));
    let decisions = &explained.expect(200).await.json()["decisions"];
    assert_eq!(
        (decisions.as_array().map(Vec::len), &decisions[0]["repeats"]),
        (Some(1), &json!(true))
    );
    // One that must be whole gets it only if that is all it wants.
    let held = self::held(&node, &[("A", 2)]).await;
    let mut whole = self::order(&[("A", 3, "1.00")]);
    whole["split"] = json!("ship_complete");
    whole["reservation"] = held["id"].clone();
    let placed = node.post("/v1/orders", &whole).expect(201).await;
    assert_eq!(placed.header("reservation"), Some("does_not_fit"));
    assert_eq!(placed.json()["status"], "allocated");
    let books = recount(&node).await;
    assert_eq!((books.reserved["A"], books.reserved["B"]), (8, 2));
    let url = node.url();
    let verified = run(CONSIGN, ["verify", "--target", &url, "--json"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_when_its_time_is_over_or_when_it_is_let_go() {
    let mut node = shop().await;
    node.receive("LONDON", "A", 3).await;
    let mut brief = cart(&[("A", 3)]);
    brief["hold_seconds"] = json!(1);
    let held = node.post("/v1/reservations", &brief).expect(201).await;
    let name = id(&held.json()["id"]);
    let waits = node.place(&order(&[("A", 1, "1.00")])).await;
    assert_eq!(waits["status"], "backordered");
    // Whoever waits gets it as soon as it is there.
    node.order_when(&id(&waits["id"]), "allocated", |order| {
        order["status"] == "allocated"
    })
    .await;
    eventually("the reservation has expired", || async {
        let seen = reservation(&node, &name).await;
        (seen["status"] == "expired").then_some(())
    })
    .await;
    let (late, used) = placed(&node, &[("A", 1, "1.00")], &name).await;
    assert_eq!(
        (&late["status"], used.as_str()),
        (&json!("allocated"), "expired")
    );

    let held = self::held(&node, &[("A", 1)]).await;
    let path = format!("/v1/reservations/{}", id(&held["id"]));
    assert_eq!(available(&node, "A").await, 0);
    for _ in 0..2 {
        let released = node.delete(&path).expect(200).await.json();
        assert_eq!(
            (&released["status"], &released["lines"][0]["from"]),
            (&json!("released"), &json!([]))
        );
    }
    assert_eq!(available(&node, "A").await, 1);
    let (after, used) = placed(&node, &[("A", 1, "1.00")], &id(&held["id"])).await;
    assert_eq!(
        (&after["status"], used.as_str()),
        (&json!("allocated"), "released")
    );
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 3);
    node.stop().await;
}

/// Tries until the node is back; the key makes one order or reservation of all tries.
async fn tried(client: &Client, path: &str, body: &Value, key: &str) -> Value {
    for _ in 0..600 {
        let asked = client.post(path, body).key(key);
        match asked.try_send().await {
            Ok(reply) if matches!(reply.status, 201 | 409) => return reply.json(),
            _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
    panic!("{key} never got an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_as_many_get_it_as_there_are_units_across_crashes() {
    let mut node = shop().await;
    node.receive("LONDON", "A", UNITS - 15).await;
    node.receive("LEEDS", "A", 15).await;
    let customers = (0..CUSTOMERS).map(|nth| {
        let client = node.client().clone();
        tokio::spawn(async move {
            let body = cart(&[("A", 1)]);
            tried(&client, "/v1/reservations", &body, &format!("cart-{nth}")).await
        })
    });
    let customers: Vec<_> = customers.collect();
    // In the middle of it.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    node.kill().await;
    node.restart().await;
    let mut names = Vec::new();
    for customer in customers {
        let heard = customer.await.expect("it is answered");
        if heard["status"] == "held" {
            names.push(id(&heard["id"]));
        } else {
            assert_eq!(heard["code"], "insufficient_stock", "{heard}");
        }
    }
    assert_eq!(names.len(), UNITS as usize);
    assert_eq!(available(&node, "A").await, 0);
    node.kill().await;
    node.restart().await;

    let orders = names.iter().map(|name| {
        let (client, name) = (node.client().clone(), name.clone());
        tokio::spawn(async move {
            let mut order = order(&[("A", 1, "1.00")]);
            order["reservation"] = json!(name);
            tried(&client, "/v1/orders", &order, &format!("order-{name}")).await
        })
    });
    let orders: Vec<_> = orders.collect();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    node.kill().await;
    node.restart().await;
    for order in orders {
        let order = order.await.expect("it is answered");
        node.order_when(&id(&order["id"]), "allocated", |order| {
            order["status"] == "allocated"
        })
        .await;
    }
    let books = recount(&node).await;
    assert_eq!(
        (books.reserved["A"], books.orders.len()),
        (i64::from(UNITS), UNITS as usize)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_orders_at_once_one_gets_it() {
    let mut node = shop().await;
    for nth in 0..12 {
        node.receive("LONDON", "A", 1).await;
        let held = held(&node, &[("A", 1)]).await;
        let mut order = order(&[("A", 1, "1.00")]);
        order["reservation"] = held["id"].clone();
        let one = node.post("/v1/orders", &order).key(format!("one-{nth}"));
        let two = node.post("/v1/orders", &order).key(format!("two-{nth}"));
        let (one, two) = tokio::join!(one.expect(201), two.expect(201));
        let mut used = [one.header("reservation"), two.header("reservation")];
        used.sort_unstable();
        assert_eq!(used, [Some("consumed"), Some("used")]);
        let mut both = [one.json()["status"].clone(), two.json()["status"].clone()];
        both.sort_by_key(ToString::to_string);
        assert_eq!(both, ["allocated", "backordered"]);
        for order in [one.json(), two.json()] {
            if order["status"] == "backordered" {
                let path = format!("/v1/orders/{}/cancel", id(&order["id"]));
                node.post(path, &json!({"reason": "x"})).expect(200).await;
            }
        }
    }
    let books = recount(&node).await;
    assert_eq!(books.reserved["A"], 12);
    node.stop().await;
}
