//! Carriers' definitions over HTTP.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use compact_str::CompactString;
use consign_domain::catalogue::{CarrierDefinition, Rate, Zone};
use consign_domain::ids::CarrierId;
use consign_domain::money::Currency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::definitions;
use crate::fields::{At, CODE_BYTES_MAX, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::money_text::DecimalText;
use crate::orders::dto::MoneyText;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// Services, zones or countries in one list at most.
const CODES_MAX: usize = 300;
/// Rows of a rate table at most.
const RATES_MAX: usize = 5_000;
/// The currency of rates when the client does not say.
const CURRENCY_DEFAULT: &str = "GBP";

/// A carrier as a client defines it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CarrierDto {
    /// As in the path.
    #[schema(value_type = Option<String>)]
    id: Option<CompactString>,
    /// For people.
    #[schema(value_type = String, example = "Royal Parcel")]
    name: CompactString,
    /// ISO 4217 code of its rates.
    #[schema(value_type = Option<String>, example = "GBP")]
    currency: Option<CompactString>,
    /// Service codes.
    #[schema(value_type = Option<Vec<String>>)]
    services: Option<Vec<CompactString>>,
    /// Zones.
    zones: Option<Vec<ZoneDto>>,
    /// The rate table.
    rates: Option<Vec<RateDto>>,
    /// Two upper-case letters before its tracking numbers.
    #[schema(value_type = Option<String>, example = "RP")]
    tracking_prefix: Option<CompactString>,
}

/// Destinations that cost the same.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneDto {
    /// Its code.
    #[schema(value_type = String)]
    code: CompactString,
    /// ISO 3166-1 alpha-2 codes; `*` for every other country.
    #[schema(value_type = Vec<String>)]
    countries: Vec<CompactString>,
}

/// A row of the rate table.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateDto {
    /// A service's code.
    #[schema(value_type = String)]
    service: CompactString,
    /// A zone's code.
    #[schema(value_type = String)]
    zone: CompactString,
    /// Up to and including this weight.
    up_to_grams: u32,
    /// Price of a parcel.
    #[schema(value_type = String, example = "3.95")]
    price: MoneyText,
}

/// A carrier.
#[derive(Serialize, ToSchema)]
#[schema(as = Carrier)]
pub struct CarrierBody<'a> {
    id: &'a str,
    name: &'a str,
    currency: &'a str,
    #[schema(value_type = Vec<String>)]
    services: &'a [CompactString],
    zones: Vec<ZoneBody<'a>>,
    rates: Vec<RateBody<'a>>,
    tracking_prefix: &'a str,
    version: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Zone)]
struct ZoneBody<'a> {
    code: &'a str,
    #[schema(value_type = Vec<String>)]
    countries: &'a [CompactString],
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rate)]
struct RateBody<'a> {
    service: &'a str,
    zone: &'a str,
    up_to_grams: u32,
    #[schema(value_type = String)]
    price: DecimalText,
}

impl<'a> CarrierBody<'a> {
    fn of(carrier: &'a CarrierDefinition) -> CarrierBody<'a> {
        let currency = Currency::from_code(&carrier.currency)
            .unwrap_or_else(|| Currency::from_code(CURRENCY_DEFAULT).expect("GBP is in ISO 4217"));
        CarrierBody {
            id: carrier.id.as_str(),
            name: &carrier.name,
            currency: &carrier.currency,
            services: &carrier.services,
            zones: carrier
                .zones
                .iter()
                .map(|z| ZoneBody {
                    code: &z.code,
                    countries: &z.countries,
                })
                .collect(),
            rates: carrier
                .rates
                .iter()
                .map(|rate| RateBody {
                    service: &rate.service,
                    zone: &rate.zone,
                    up_to_grams: rate.up_to_grams,
                    price: DecimalText::amount(rate.price, currency),
                })
                .collect(),
            tracking_prefix: &carrier.tracking_prefix,
            version: carrier.version,
        }
    }
}

fn parse(path: &str, dto: CarrierDto) -> Result<CarrierDefinition, Problem> {
    let mut faults = Faults::default();
    let root = At::Root;
    let id: Option<CarrierId> = definitions::name(&mut faults, "id", path, dto.id.as_ref());
    faults.text(&root.field("name"), &dto.name, TEXT_BYTES_MAX);
    let code = dto
        .currency
        .unwrap_or(CompactString::const_new(CURRENCY_DEFAULT));
    let currency = faults.currency(&root.field("currency"), &code);
    let services = dto.services.unwrap_or_default();
    let services_at = root.field("services");
    for (index, service) in services.iter().enumerate() {
        faults.text(&services_at.index(index), service, CODE_BYTES_MAX);
    }
    let zones = zones(
        &mut faults,
        &root.field("zones"),
        dto.zones.unwrap_or_default(),
    );
    let rates_at = root.field("rates");
    let dtos = dto.rates.unwrap_or_default();
    if dtos.len() > RATES_MAX || services.len() > CODES_MAX {
        faults.add(
            &rates_at,
            "too_many",
            format!("at most {RATES_MAX} rates and {CODES_MAX} services"),
        );
    }
    let mut rates = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.into_iter().enumerate() {
        let place = rates_at.index(index);
        if !services.contains(&dto.service) {
            faults.add(
                &place.field("service"),
                "unknown_service",
                "is not among `services`",
            );
        }
        if !zones.iter().any(|zone| zone.code == dto.zone) {
            faults.add(&place.field("zone"), "unknown_zone", "is not among `zones`");
        }
        let price = faults.amount(&place.field("price"), &dto.price.0, currency);
        let Some(price) = price else { continue };
        rates.push(Rate {
            service: dto.service,
            zone: dto.zone,
            up_to_grams: dto.up_to_grams,
            price,
        });
    }
    // Empty: the catalogue keeps or chooses one that no other carrier has.
    let tracking_prefix = dto.tracking_prefix.unwrap_or_default();
    let given = !tracking_prefix.is_empty();
    if given
        && (tracking_prefix.len() != 2 || !tracking_prefix.bytes().all(|b| b.is_ascii_uppercase()))
    {
        faults.add(
            &root.field("tracking_prefix"),
            "invalid_value",
            "must be two upper-case letters",
        );
    }
    let carrier = id.map(|id| CarrierDefinition {
        id,
        name: dto.name,
        currency: code,
        services,
        zones,
        rates,
        tracking_prefix,
        version: 0,
    });
    faults.finish(carrier)
}

fn zones(faults: &mut Faults, at: &At<'_>, dtos: Vec<ZoneDto>) -> Vec<Zone> {
    if dtos.len() > CODES_MAX {
        faults.add(at, "too_many", format!("at most {CODES_MAX} zones"));
    }
    let mut zones: Vec<Zone> = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.into_iter().enumerate() {
        let place = at.index(index);
        faults.text(&place.field("code"), &dto.code, CODE_BYTES_MAX);
        if zones.iter().any(|zone| zone.code == dto.code) {
            faults.add(
                &place.field("code"),
                "duplicate",
                "another zone has this code",
            );
        }
        let countries_at = place.field("countries");
        for (index, country) in dto.countries.iter().enumerate() {
            if country != "*" {
                faults.country(&countries_at.index(index), country);
            }
        }
        zones.push(Zone {
            code: dto.code,
            countries: dto.countries,
        });
    }
    zones
}

/// Defines a carrier, or defines it anew.
#[utoipa::path(put, path = "/v1/carriers/{id}", tag = "definitions", params(("id" = String, Path),
    ("If-Match" = Option<String>, Header)), request_body = CarrierDto, responses(
        (status = 201, body = CarrierBody<'static>), (status = 200, body = CarrierBody<'static>),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<CarrierDto>,
) -> Answered {
    let definition = parse(&id, body)?;
    let put = gateway.consign.put_carrier(definition, call).await?;
    let carrier = &put.definition;
    definitions::put(
        &put,
        carrier.version,
        &format!("/v1/carriers/{}", carrier.id),
        &CarrierBody::of(carrier),
    )
}

/// A carrier.
#[utoipa::path(get, path = "/v1/carriers/{id}", tag = "definitions", params(("id" = String, Path)),
    responses((status = 200, body = CarrierBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let found = id.parse().ok().and_then(|id| gateway.consign.carrier(&id));
    let carrier = found.ok_or_else(|| Problem::not_found("carrier", &id))?;
    answer::read(&headers, carrier.version, || CarrierBody::of(&carrier))
}

/// A page of carriers.
#[derive(Serialize, ToSchema)]
#[schema(as = CarriersPage)]
pub struct CarriersBody<'a> {
    carriers: Vec<CarrierBody<'a>>,
    next_cursor: Option<String>,
}

/// Carriers by id.
#[utoipa::path(get, path = "/v1/carriers", tag = "definitions", params(PageQuery),
    responses((status = 200, body = CarriersBody<'static>)))]
pub async fn list(State(gateway): State<Gateway>, Asked(page): Asked<PageQuery>) -> Answered {
    let limit = page.limit()?;
    let after: Option<CarrierId> = page.after('c')?;
    let found = gateway.consign.carriers(after.as_ref(), limit);
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::json(
        StatusCode::OK,
        &CarriersBody {
            carriers: found.iter().map(CarrierBody::of).collect(),
            next_cursor: last.map(|carrier| paging::encode('c', carrier.id.as_str())),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_body;

    #[test]
    fn a_rate_table_hangs_together() {
        let json = r#"{"name":"Royal","currency":"GBP","services":["standard"],"zones":[{"code":"uk","countries":["GB"]},{"code":"row","countries":["*"]}],
            "rates":[{"service":"standard","zone":"uk","up_to_grams":2000,"price":"3.95"},{"service":"express","zone":"eu","up_to_grams":1,"price":"1"}]}"#;
        let dto = json_body::parse::<CarrierDto>(json.as_bytes()).expect("well formed");
        let problem = parse("royal", dto).expect_err("two faults");
        let found: Vec<_> = problem
            .errors
            .iter()
            .map(|e| (e.pointer.as_str(), e.code.as_ref()))
            .collect();
        assert_eq!(
            found,
            [
                ("/rates/1/service", "unknown_service"),
                ("/rates/1/zone", "unknown_zone")
            ]
        );
    }

    #[test]
    fn a_name_is_enough() {
        let dto = json_body::parse::<CarrierDto>(br#"{"name":"Royal"}"#).expect("well formed");
        let carrier = parse("r-9", dto).expect("valid");
        assert_eq!(
            (carrier.currency.as_str(), carrier.tracking_prefix.as_str()),
            ("GBP", "")
        );
    }
}
