//! Every route, and the OpenAPI 3.1 document that is made from the very same list, with a page to
//! try it.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use consign_orchestrator::Consign;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::admin::elsewhere;
use crate::cluster;
use crate::common_answers::with_common_answers;
use crate::edge::{EdgeLayer, no_route};
use crate::gateway::{Gateway, GatewayOptions};
use crate::operations::keep_metrics;
use crate::orders::{changes, lists, parking, routes as orders};
use crate::{
    availability, batch, blocks, capacity, carriers, events, fulfillment, incoming, inventory,
    locations, operations, products, recording, reservations, returns, stock_lists, strategies,
    tracking, trials,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Consign",
        description = "Order orchestration: from \"buy\" until the parcel is delivered, returned or refunded, and the books balance. Money is decimal text, times are RFC 3339, errors are RFC 9457 problems with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "orders", description = "Place, read, change orders"),
        (name = "fulfillment", description = "What staff at a location do"),
        (name = "tracking", description = "What carriers report"),
        (name = "returns", description = "What comes back"),
        (name = "inventory", description = "Stock: movements and balances"),
        (name = "availability", description = "What could be had, before anybody orders"),
        (name = "reservations", description = "Carts that are held for a while"),
        (name = "definitions", description = "Products, locations, carriers"),
        (name = "strategies", description = "How orders are sourced: drafted, tried, activated, rolled back"),
        (name = "events", description = "Everything that happened"),
        (name = "operations", description = "What operators ask")
    ),
    modifiers(&AdminToken)
)]
struct Frame;

/// How operators show that they are operators.
struct AdminToken;

impl Modify for AdminToken {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of the node's `admin.token_file`. Where a node has an admin port (`admin.listen`), the cluster is changed only there and only with a token; a node without one asks for none.",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("admin_token", SecurityScheme::Http(scheme));
    }
}

/// Every route but those that change the cluster: [`cluster::changes`].
fn described() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(orders::place, lists::list))
        .routes(routes!(batch::place))
        .routes(routes!(orders::read))
        .routes(routes!(lists::history))
        .routes(routes!(lists::explanation))
        .routes(routes!(changes::cancel))
        .routes(routes!(changes::cancel_external))
        .routes(routes!(changes::amend))
        .routes(routes!(changes::hold))
        .routes(routes!(changes::release_hold))
        .routes(routes!(parking::release))
        .routes(routes!(parking::release_all))
        .routes(routes!(fulfillment::list))
        .routes(routes!(fulfillment::read))
        .routes(routes!(fulfillment::accept))
        .routes(routes!(fulfillment::reject))
        .routes(routes!(fulfillment::pick))
        .routes(routes!(fulfillment::pack))
        .routes(routes!(fulfillment::ship))
        .routes(routes!(tracking::report))
        .routes(routes!(tracking::read))
        .routes(routes!(returns::request))
        .routes(routes!(returns::receive))
        .routes(routes!(returns::read))
        .routes(routes!(inventory::receive))
        .routes(routes!(inventory::adjust))
        .routes(routes!(inventory::transfer))
        .routes(routes!(inventory::count))
        .routes(routes!(inventory::safety_stock))
        .routes(routes!(inventory::of_sku))
        .routes(routes!(incoming::announce, incoming::end))
        .routes(routes!(stock_lists::inventory))
        .routes(routes!(stock_lists::movements))
        .routes(routes!(stock_lists::reservations))
        .routes(routes!(capacity::read, capacity::put))
        .routes(routes!(blocks::list))
        .routes(routes!(blocks::put, blocks::delete))
        .routes(routes!(availability::of_sku))
        .routes(routes!(availability::of_cart))
        .routes(routes!(recording::recording))
        .routes(routes!(reservations::hold))
        .routes(routes!(reservations::read, reservations::release))
        .routes(routes!(products::list))
        .routes(routes!(products::read, products::put))
        .routes(routes!(locations::list))
        .routes(routes!(locations::read, locations::put))
        .routes(routes!(carriers::list))
        .routes(routes!(carriers::read, carriers::put))
        .routes(routes!(strategies::list, strategies::draft))
        .routes(routes!(strategies::roll_back))
        .routes(routes!(strategies::read))
        .routes(routes!(strategies::activate))
        .routes(routes!(trials::shadow))
        .routes(routes!(trials::canary))
        .routes(routes!(trials::stop))
        .routes(routes!(trials::running))
        .routes(routes!(trials::list))
        .routes(routes!(events::stream))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(cluster::cluster))
        .routes(routes!(operations::metrics))
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> Document {
    with_common_answers(described().merge(cluster::changes()).into_openapi())
}

/// All of the gateway: every route behind the edge.
pub fn router(consign: Consign, options: GatewayOptions) -> Router {
    let edge = EdgeLayer::new(&options);
    let gateway = Gateway::new(consign, options);
    keep_metrics(&gateway);
    let changes = match gateway.options.admin_port {
        None => cluster::changes(),
        Some(port) => cluster::changes().route_layer(from_fn_with_state(port, elsewhere)),
    };
    let (routes, document) = described().merge(changes).split_for_parts();
    let page: Router<Gateway> = SwaggerUi::new("/docs")
        .config(Config::from("/openapi.json").try_it_out_enabled(true))
        .into();
    // Written once: it does not change while the process lives.
    let document = with_common_answers(document);
    let text = Bytes::from(document.to_json().unwrap_or_default());
    let serve_document = move || async move {
        (
            [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            text,
        )
            .into_response()
    };
    let routes = routes.route("/openapi.json", get(serve_document));
    let routes = if gateway.consign.is_alone() {
        routes
    } else {
        routes.layer(from_fn_with_state(gateway.clone(), cluster::read_first))
    };
    routes
        .merge(page)
        .fallback(|method: Method, uri: Uri| async move { no_route(&method, uri.path()) })
        .with_state(gateway)
        .layer(edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_names_every_route() {
        let json: serde_json::Value =
            serde_json::from_str(&document().to_json().expect("a document")).expect("JSON");
        assert!(
            json["openapi"]
                .as_str()
                .is_some_and(|v| v.starts_with("3.1"))
        );
        for (path, method) in [
            ("/v1/orders", "post"),
            ("/v1/orders", "get"),
            ("/v1/orders/batch", "post"),
            ("/v1/orders/{id}/holds/{hold}", "delete"),
            ("/v1/orders/{id}/release-parking", "post"),
            ("/v1/orders/parked/release", "post"),
            ("/v1/fulfillment-orders/{id}/ship", "post"),
            ("/v1/returns/{id}/receive", "post"),
            ("/v1/inventory/counts", "post"),
            ("/v1/locations/{id}", "put"),
            ("/v1/locations/{id}/incoming/{sku}/{reference}", "put"),
            ("/v1/availability", "get"),
            ("/v1/availability/cart", "post"),
            ("/v1/reservations", "post"),
            ("/v1/reservations/{id}", "delete"),
            ("/v1/events", "get"),
            ("/v1/recording", "get"),
            ("/readyz", "get"),
            ("/v1/cluster/leaders", "post"),
        ] {
            let operation = &json["paths"][path][method];
            assert!(operation.is_object(), "{method} {path}");
            let unavailable = &operation["responses"]["503"];
            assert!(unavailable.is_object(), "{method} {path}");
        }
        let token = &json["components"]["securitySchemes"]["admin_token"];
        assert_eq!(
            (&token["type"], &token["scheme"]),
            (&"http".into(), &"bearer".into())
        );
        for (path, method) in [
            ("/v1/cluster/members", "post"),
            ("/v1/cluster/members/{node}", "delete"),
            ("/v1/cluster/leaders", "post"),
        ] {
            let operation = &json["paths"][path][method];
            assert_eq!(
                operation["security"],
                serde_json::json!([{"admin_token": []}]),
                "{path}"
            );
            for status in ["401", "403"] {
                assert!(
                    operation["responses"][status].is_object(),
                    "{status} {path}"
                );
            }
        }
        let seen = &json["paths"]["/v1/cluster"]["get"]["security"];
        assert_eq!(*seen, serde_json::json!([{}, {"admin_token": []}]));
        let schemas = json["components"]["schemas"].as_object().expect("schemas");
        for name in [
            "Order",
            "Problem",
            "PlaceOrder",
            "FulfillmentOrder",
            "Return",
        ] {
            assert!(
                schemas.contains_key(name),
                "{name} is not in {:?}",
                schemas.keys()
            );
        }
    }
}
