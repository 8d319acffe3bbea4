//! A shop to fill a node with: products, locations, stock, orders, and the steps of their way.
//!
//! Every step goes through the public interface and is checked for its status at once.

use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::process::eventually;

/// The locations of the shop, with their places: the further down, the further from London.
const PLACES: [(&str, f64, f64); 4] = [
    ("LONDON", 51.51, -0.13),
    ("LEEDS", 53.80, -1.55),
    ("GLASGOW", 55.86, -4.25),
    ("PARIS", 48.85, 2.35),
];

/// An order from London of these lines (SKU, units, unit price), in pounds.
#[must_use]
pub fn order(lines: &[(&str, u32, &str)]) -> Value {
    let line = |(sku, quantity, price): &(&str, u32, &str)| json!({"sku": sku, "quantity": quantity, "unit_price": price});
    json!({
        "channel": "web", "currency": "GBP", "service_level": "standard",
        "customer": {"id": "17850", "name": "Ada", "email": "ada@example.org"},
        "ship_to": {"name": "Ada", "line1": "1 High St", "city": "London", "postal_code": "EC1",
                    "country": "GB", "latitude": 51.5, "longitude": -0.12},
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
    })
}

/// A decimal amount in ten-thousandths, so that amounts of any currency can be added.
///
/// # Panics
/// When it is no decimal string.
#[must_use]
pub fn amount(text: &Value) -> i64 {
    let text = text
        .as_str()
        .unwrap_or_else(|| panic!("money is a string, not {text}"));
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole}{part:0<4}");
    sign * padded
        .parse::<i64>()
        .unwrap_or_else(|_| panic!("no amount: {text}"))
}

/// What the shop does, on a client.
pub trait Shop {
    /// Defines stocked products and locations of the shop.
    fn define(&self, skus: &[&str], locations: &[&str]) -> impl Future<Output = ()>;
    /// Receives units at a location.
    fn receive(&self, location: &str, sku: &str, quantity: u32) -> impl Future<Output = ()>;
    /// Places an order; gives it as it was answered.
    fn place(&self, order: &Value) -> impl Future<Output = Value>;
    /// Reads an order.
    fn order(&self, id: &str) -> impl Future<Output = Value>;
    /// Reads an order until something holds of it: locations confirm what they did by message.
    fn order_when(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> impl Future<Output = Value>;
    /// A SKU's figures at a location.
    fn balance(&self, location: &str, sku: &str) -> impl Future<Output = Value>;
    /// Does something with a fulfillment order.
    fn work(
        &self,
        fulfillment_order: &str,
        action: &str,
        body: &Value,
    ) -> impl Future<Output = Reply>;
    /// Accepts, picks, packs and ships all of a fulfillment order; gives the shipment.
    fn send_off(
        &self,
        fulfillment_order: &str,
        tracking_number: &str,
    ) -> impl Future<Output = Value>;
    /// Reports a scan.
    fn scan(&self, tracking_number: &str, status: &str) -> impl Future<Output = ()>;
    /// All items of a list, page by page.
    fn all(&self, path: &str, name: &str) -> impl Future<Output = Vec<Value>>;
}

impl Shop for Client {
    async fn define(&self, skus: &[&str], locations: &[&str]) {
        for sku in skus {
            let product = json!({"sku": sku, "name": format!("Product {sku}")});
            self.put(format!("/v1/products/{sku}"), &product)
                .expect(201)
                .await;
        }
        for id in locations {
            let (_, latitude, longitude) = PLACES
                .iter()
                .find(|(name, ..)| name == id)
                .unwrap_or_else(|| panic!("{id} is no place of the shop"));
            let location = json!({"id": id, "name": id, "kind": "warehouse", "country": "GB",
                "latitude": latitude, "longitude": longitude, "time_zone": "Europe/London"});
            self.put(format!("/v1/locations/{id}"), &location)
                .expect(201)
                .await;
        }
    }

    async fn receive(&self, location: &str, sku: &str, quantity: u32) {
        let receipt = json!({"location": location, "sku": sku, "quantity": quantity, "reference": "delivery note"});
        self.post("/v1/inventory/receipts", &receipt)
            .expect(200)
            .await;
    }

    async fn place(&self, order: &Value) -> Value {
        self.post("/v1/orders", order).expect(201).await.json()
    }

    async fn order(&self, id: &str) -> Value {
        self.get(format!("/v1/orders/{id}"))
            .expect(200)
            .await
            .json()
    }

    async fn order_when(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..500 {
            seen = Shop::order(self, id).await;
            if holds(&seen) {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("order {id} never came to: {what}\n{seen:#}")
    }

    async fn balance(&self, location: &str, sku: &str) -> Value {
        let found = self
            .get(format!("/v1/inventory/{sku}"))
            .expect(200)
            .await
            .json();
        let locations = found["locations"].as_array().expect("a list of locations");
        let of = locations.iter().find(|l| l["location"] == location);
        of.cloned()
            .unwrap_or_else(|| panic!("{sku} was never at {location}: {found}"))
    }

    async fn work(&self, fulfillment_order: &str, action: &str, body: &Value) -> Reply {
        self.post(
            format!("/v1/fulfillment-orders/{fulfillment_order}/{action}"),
            body,
        )
        .expect(200)
        .await
    }

    async fn send_off(&self, id: &str, tracking_number: &str) -> Value {
        self.work(id, "accept", &json!({})).await;
        self.work(id, "pick", &json!({})).await;
        // The location confirms a pick by message; packing needs its word.
        let path = format!("/v1/fulfillment-orders/{id}/pack");
        eventually("what was picked can be packed", || async {
            (self.post(&path, &json!({})).send().await.status == 200).then_some(())
        })
        .await;
        let shipped = self
            .work(id, "ship", &json!({"tracking_number": tracking_number}))
            .await;
        shipped.json()["shipment"].clone()
    }

    async fn scan(&self, tracking_number: &str, status: &str) {
        let scan = json!({"tracking_number": tracking_number, "status": status});
        self.post("/v1/tracking-events", &scan).expect(200).await;
    }

    async fn all(&self, path: &str, name: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = self
                .get(format!("{path}{mark}limit=500{cursor}"))
                .expect(200)
                .await
                .json();
            items.extend(
                page[name]
                    .as_array()
                    .unwrap_or_else(|| panic!("{path} has no {name}: {page}"))
                    .iter()
                    .cloned(),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}
