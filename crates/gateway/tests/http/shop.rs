//! A router on a real service in a directory of its own, and how tests talk to it.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use consign_gateway::{GatewayOptions, router};
use consign_orchestrator::{Consign, ConsignOptions};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub struct Shop {
    pub router: Router,
    pub consign: Consign,
    _data: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Shop {
    /// A service with a product, a bundle, two locations and a carrier, and 10 units at Leeds.
    pub async fn open() -> Shop {
        let data = TempDir::new().expect("a directory");
        let consign = Consign::open(ConsignOptions::new(data.path().to_owned()))
            .await
            .expect("opens");
        let router = router(consign.clone(), GatewayOptions::default());
        let shop = Shop {
            router,
            consign,
            _data: data,
        };
        for (path, body) in [
            ("/v1/products/A", json!({"sku": "A", "name": "Holder"})),
            ("/v1/products/B", json!({"sku": "B", "name": "Lantern"})),
            ("/v1/locations/LEEDS", place("LEEDS", 53.8, -1.55)),
            ("/v1/locations/YORK", place("YORK", 53.96, -1.08)),
            (
                "/v1/carriers/royal",
                json!({"id": "royal", "name": "Royal", "services": ["standard"],
                "zones": [{"code": "uk", "countries": ["GB"]}],
                "rates": [{"service": "standard", "zone": "uk", "up_to_grams": 30_000, "price": "3.95"}]}),
            ),
        ] {
            let answer = shop.send("PUT", path, &[], &body).await;
            assert_eq!(
                answer.status,
                StatusCode::CREATED,
                "{path}: {}",
                answer.body
            );
        }
        let received = shop
            .post(
                "/v1/inventory/receipts",
                &json!({"location": "LEEDS", "sku": "A", "quantity": 10, "reference": "D1"}),
            )
            .await;
        assert_eq!(
            (received.status, &received.body["available"]),
            (StatusCode::OK, &json!(10)),
            "{}",
            received.body
        );
        shop
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, bytes.to_vec())
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, headers, bytes) = self.raw(method, path, &all, text).await;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
        }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &Value::Null).await
    }
}

pub fn place(id: &str, latitude: f64, longitude: f64) -> Value {
    json!({"id": id, "name": id, "kind": "warehouse", "country": "GB", "latitude": latitude,
        "longitude": longitude, "time_zone": "Europe/London"})
}

pub fn order(sku: &str, quantity: u32) -> Value {
    json!({"channel": "web", "currency": "GBP", "customer": {"id": "17850", "name": "A B"},
        "ship_to": {"city": "Leeds", "country": "GB", "latitude": 53.8, "longitude": -1.55},
        "service_level": "standard",
        "lines": [{"sku": sku, "quantity": quantity, "unit_price": "2.55"}]})
}
