//! Products over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use compact_str::CompactString;
use consign_domain::catalogue::{Component, Product, ProductKind};
use consign_domain::ids::Sku;
use consign_orchestrator::Goods;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::definitions;
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::orders::render_parts::ComponentBody;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody};
use crate::product_traits;
use crate::submission::Submission;

/// Components of a bundle at most.
const COMPONENTS_MAX: usize = 100;
/// Units of a component in one bundle at most.
const COMPONENT_UNITS_MAX: u32 = 10_000;
/// The heaviest product, in grams.
const WEIGHT_GRAMS_MAX: u32 = 100_000_000;

/// A product as a client defines it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductDto {
    /// As in the path.
    #[schema(value_type = Option<String>)]
    sku: Option<CompactString>,
    /// For people.
    #[schema(value_type = String, example = "WHITE HANGING HEART T-LIGHT HOLDER")]
    name: CompactString,
    /// How it is fulfilled.
    #[schema(value_type = Option<ProductKindDto>)]
    kind: Option<ProductKind>,
    /// What a bundle is made of.
    components: Option<Vec<ComponentDto>>,
    /// Of one unit; 0 if unknown.
    weight_grams: Option<u32>,
    /// Special handling that it needs: `hazardous`, `fragile`, `oversize`, `cold_chain`,
    /// `age_restricted`, or names of the retailer's own; at most 16. None if left out.
    #[schema(value_type = Option<Vec<String>>, example = json!(["fragile", "cold_chain"]))]
    handling: Option<Vec<CompactString>>,
    /// The retailer's own attributes; at most 32. None if left out.
    #[schema(value_type = Option<BTreeMap<String, String>>, example = json!({"season": "summer"}))]
    attributes: Option<BTreeMap<CompactString, CompactString>>,
}

/// How a product is fulfilled.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "stands for the domain's type in the OpenAPI document"
)]
pub enum ProductKindDto {
    /// Kept in stock.
    Stocked,
    /// Rendered, never sourced.
    Service,
    /// Delivered electronically.
    Digital,
    /// Never sourced.
    GiftCard,
    /// Its components are reserved together.
    Bundle,
}

/// A component of a bundle.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentDto {
    /// A stocked product.
    #[schema(value_type = String)]
    sku: CompactString,
    /// Units of it in one bundle.
    quantity: u32,
}

/// A product.
#[derive(Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductBody<'a> {
    sku: &'a str,
    name: &'a str,
    #[schema(value_type = ProductKindDto)]
    kind: ProductKind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentBody<'a>>,
    weight_grams: u32,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    handling: &'a BTreeSet<CompactString>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    attributes: &'a BTreeMap<CompactString, CompactString>,
    version: u64,
}

impl<'a> ProductBody<'a> {
    fn of(Goods { product, traits }: &'a Goods) -> ProductBody<'a> {
        let component = |c: &'a Component| ComponentBody {
            sku: c.sku.as_str(),
            quantity: c.quantity,
        };
        ProductBody {
            sku: product.sku.as_str(),
            name: &product.name,
            kind: product.kind,
            components: product.components.iter().map(component).collect(),
            weight_grams: product.weight_grams,
            handling: &traits.handling,
            attributes: &traits.attributes,
            version: product.version,
        }
    }
}

fn parse(path: &str, dto: ProductDto) -> Result<Goods, Problem> {
    let mut faults = Faults::default();
    let root = At::Root;
    let sku: Option<Sku> = definitions::name(&mut faults, "sku", path, dto.sku.as_ref());
    faults.text(&root.field("name"), &dto.name, TEXT_BYTES_MAX);
    let weight_grams = dto.weight_grams.unwrap_or(0);
    faults.range(
        &root.field("weight_grams"),
        weight_grams,
        0,
        WEIGHT_GRAMS_MAX,
    );
    let kind = dto.kind.unwrap_or_default();
    let dtos = dto.components.unwrap_or_default();
    let at = root.field("components");
    if dtos.len() > COMPONENTS_MAX {
        faults.add(
            &at,
            "too_many",
            format!("at most {COMPONENTS_MAX} components"),
        );
    }
    match kind {
        ProductKind::Bundle if dtos.is_empty() => {
            faults.add(&at, "empty", "a bundle has at least one component");
        }
        ProductKind::Bundle => {}
        _ if !dtos.is_empty() => faults.add(&at, "not_allowed", "only a bundle has components"),
        _ => {}
    }
    let mut components = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.iter().enumerate() {
        let place = at.index(index);
        faults.range(
            &place.field("quantity"),
            dto.quantity,
            1,
            COMPONENT_UNITS_MAX,
        );
        if let Some(sku) = faults.id(&place.field("sku"), &dto.sku) {
            components.push(Component {
                sku,
                quantity: dto.quantity,
            });
        }
    }
    let handling = dto.handling.unwrap_or_default();
    let attributes = dto.attributes.unwrap_or_default();
    let traits = product_traits::parse(&mut faults, &root, handling, attributes);
    let goods = sku.map(|sku| Goods {
        product: Product {
            sku,
            name: dto.name,
            kind,
            components,
            weight_grams,
            version: 0,
        },
        traits,
    });
    faults.finish(goods)
}

/// Defines a product, or defines it anew.
#[utoipa::path(put, path = "/v1/products/{sku}", tag = "definitions", params(("sku" = String, Path),
    ("If-Match" = Option<String>, Header)), request_body = ProductDto, responses(
        (status = 201, body = ProductBody<'static>), (status = 200, body = ProductBody<'static>),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put(
    State(gateway): State<Gateway>,
    Path(sku): Path<String>,
    Submission { body, call }: Submission<ProductDto>,
) -> Answered {
    let goods = parse(&sku, body)?;
    let put = gateway.consign.put_product(goods, call).await?;
    let product = &put.definition.product;
    definitions::put(
        &put,
        product.version,
        &format!("/v1/products/{}", product.sku),
        &ProductBody::of(&put.definition),
    )
}

/// A product.
#[utoipa::path(get, path = "/v1/products/{sku}", tag = "definitions", params(("sku" = String, Path)),
    responses((status = 200, body = ProductBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let found = sku
        .parse()
        .ok()
        .and_then(|sku| gateway.consign.product(&sku));
    let goods = found.ok_or_else(|| Problem::not_found("product", &sku))?;
    answer::read(&headers, goods.product.version, || ProductBody::of(&goods))
}

/// A page of products.
#[derive(Serialize, ToSchema)]
#[schema(as = ProductsPage)]
pub struct ProductsBody<'a> {
    products: Vec<ProductBody<'a>>,
    next_cursor: Option<String>,
}

/// Products by SKU.
#[utoipa::path(get, path = "/v1/products", tag = "definitions", params(PageQuery),
    responses((status = 200, body = ProductsBody<'static>)))]
pub async fn list(State(gateway): State<Gateway>, Asked(page): Asked<PageQuery>) -> Answered {
    let limit = page.limit()?;
    let after: Option<Sku> = page.after('p')?;
    let found = gateway.consign.products(after.as_ref(), limit);
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::json(
        StatusCode::OK,
        &ProductsBody {
            products: found.iter().map(ProductBody::of).collect(),
            next_cursor: last.map(|goods| paging::encode('p', goods.product.sku.as_str())),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_body;

    fn parsed(json: &str) -> Result<Goods, Vec<(String, String)>> {
        json_body::parse::<ProductDto>(json.as_bytes())
            .and_then(|dto| parse("85123A", dto))
            .map_err(|p| {
                p.errors
                    .into_iter()
                    .map(|e| (e.pointer, e.code.into_owned()))
                    .collect()
            })
    }

    #[test]
    fn a_product_needs_no_more_than_a_name() {
        let goods = parsed(r#"{"sku":"85123A","name":"HOLDER"}"#).expect("valid");
        let product = &goods.product;
        assert!(goods.traits.is_none());
        assert_eq!(
            (product.kind, product.weight_grams),
            (ProductKind::Stocked, 0)
        );
        assert!(parsed(r#"{"name":"HOLDER"}"#).is_ok());
    }

    #[test]
    fn bundles_and_contradictions_are_checked() {
        let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(
            parsed(r#"{"sku":"other","name":"x"}"#),
            Err(vec![pair("/sku", "mismatch")])
        );
        assert_eq!(
            parsed(r#"{"name":"x","kind":"bundle"}"#),
            Err(vec![pair("/components", "empty")])
        );
        assert_eq!(
            parsed(r#"{"name":"x","components":[{"sku":"A","quantity":0}]}"#),
            Err(vec![
                pair("/components", "not_allowed"),
                pair("/components/0/quantity", "out_of_range")
            ])
        );
        assert_eq!(
            parsed(r#"{"name":"x","kind":"solid"}"#),
            Err(vec![pair("/kind", "invalid_value")])
        );
    }

    #[test]
    fn what_is_particular_is_checked_name_by_name() {
        let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        let goods = parsed(
            r#"{"name":"x","handling":["fragile","cold_chain"],"attributes":{"season":"summer"}}"#,
        );
        let traits = goods.expect("valid").traits;
        assert!(traits.handling.iter().eq(["cold_chain", "fragile"]));
        assert!(traits.attribute_words().eq(["season=summer"]));
        assert_eq!(
            parsed(
                r#"{"name":"x","handling":["Cold","a","a",""],"attributes":{"a/b":"x","c":""}}"#
            ),
            Err(vec![
                pair("/handling/0", "invalid_value"),
                pair("/handling/2", "duplicate"),
                pair("/handling/3", "invalid_value"),
                pair("/attributes/a~1b", "invalid_value"),
                pair("/attributes/c", "empty"),
            ])
        );
        let many: Vec<String> = (0..17).map(|nth| format!("\"a{nth}\"")).collect();
        assert_eq!(
            parsed(&format!(
                r#"{{"name":"x","handling":[{}]}}"#,
                many.join(",")
            )),
            Err(vec![pair("/handling", "too_many")])
        );
    }
}
