//! Locations' definitions over HTTP.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use compact_str::CompactString;
use consign_domain::catalogue::{LocationDefinition, LocationKind};
use consign_domain::ids::LocationId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::definitions;
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::{Problem, ProblemBody, shown};
use crate::submission::Submission;
use crate::time_text;

/// The location that a path names, whether it is defined or not.
///
/// # Errors
/// 404 for what no location can be called.
pub fn location_of(id: &str) -> Result<LocationId, Problem> {
    id.parse().map_err(|_| Problem::not_found("location", id))
}

/// A location as a client defines it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationDto {
    /// As in the path.
    #[schema(value_type = Option<String>)]
    id: Option<CompactString>,
    /// For people.
    #[schema(value_type = String, example = "Leeds warehouse")]
    name: CompactString,
    /// What kind of place.
    #[schema(value_type = LocationKindDto)]
    kind: LocationKind,
    /// ISO 3166-1 alpha-2.
    #[schema(value_type = String, example = "GB")]
    country: CompactString,
    /// Degrees, −90 to 90.
    #[schema(example = 53.8)]
    latitude: f64,
    /// Degrees, −180 to 180.
    #[schema(example = -1.55)]
    longitude: f64,
    /// IANA name.
    #[schema(value_type = String, example = "Europe/London")]
    time_zone: CompactString,
    /// Whether new work may be sourced to it; true if left out.
    active: Option<bool>,
}

/// What kind of place.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "stands for the domain's type in the OpenAPI document"
)]
pub enum LocationKindDto {
    /// A distribution centre.
    Warehouse,
    /// A shop.
    Store,
    /// A supplier who ships directly.
    Dropship,
    /// A third party's warehouse.
    ThirdParty,
}

/// A location.
#[derive(Serialize, ToSchema)]
#[schema(as = Location)]
pub struct LocationBody<'a> {
    id: &'a str,
    name: &'a str,
    #[schema(value_type = LocationKindDto)]
    kind: LocationKind,
    country: &'a str,
    latitude: f64,
    longitude: f64,
    time_zone: &'a str,
    active: bool,
    version: u64,
}

impl<'a> LocationBody<'a> {
    fn of(location: &'a LocationDefinition) -> LocationBody<'a> {
        LocationBody {
            id: location.id.as_str(),
            name: &location.name,
            kind: location.kind,
            country: &location.country,
            latitude: f64::from(location.position.latitude_e6) / 1e6,
            longitude: f64::from(location.position.longitude_e6) / 1e6,
            time_zone: &location.time_zone,
            active: location.active,
            version: location.version,
        }
    }
}

fn parse(path: &str, dto: LocationDto) -> Result<LocationDefinition, Problem> {
    let mut faults = Faults::default();
    let root = At::Root;
    let id: Option<LocationId> = definitions::name(&mut faults, "id", path, dto.id.as_ref());
    faults.text(&root.field("name"), &dto.name, TEXT_BYTES_MAX);
    faults.country(&root.field("country"), &dto.country);
    let position = faults.position(&root, Some(dto.latitude), Some(dto.longitude));
    if !time_text::zone_exists(&dto.time_zone) {
        let detail = format!(
            "must be an IANA time zone such as \"Europe/London\", not \"{}\"",
            shown(&dto.time_zone)
        );
        faults.add(&root.field("time_zone"), "unknown_time_zone", detail);
    }
    let definition = id.zip(position).map(|(id, position)| LocationDefinition {
        id,
        // The catalogue assigns it.
        ordinal: 0,
        name: dto.name,
        kind: dto.kind,
        country: dto.country,
        position,
        time_zone: dto.time_zone,
        active: dto.active.unwrap_or(true),
        version: 0,
    });
    faults.finish(definition)
}

/// Defines a location, or defines it anew.
#[utoipa::path(put, path = "/v1/locations/{id}", tag = "definitions", params(("id" = String, Path),
    ("If-Match" = Option<String>, Header)), request_body = LocationDto, responses(
        (status = 201, body = LocationBody<'static>), (status = 200, body = LocationBody<'static>),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<LocationDto>,
) -> Answered {
    let definition = parse(&id, body)?;
    let put = gateway.consign.put_location(definition, call).await?;
    let location = &put.definition;
    definitions::put(
        &put,
        location.version,
        &format!("/v1/locations/{}", location.id),
        &LocationBody::of(location),
    )
}

/// A location.
#[utoipa::path(get, path = "/v1/locations/{id}", tag = "definitions", params(("id" = String, Path)),
    responses((status = 200, body = LocationBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let found = id.parse().ok().and_then(|id| gateway.consign.location(&id));
    let location = found.ok_or_else(|| Problem::not_found("location", &id))?;
    answer::read(&headers, location.version, || LocationBody::of(&location))
}

/// A page of locations.
#[derive(Serialize, ToSchema)]
#[schema(as = LocationsPage)]
pub struct LocationsBody<'a> {
    locations: Vec<LocationBody<'a>>,
    next_cursor: Option<String>,
}

/// Locations by id.
#[utoipa::path(get, path = "/v1/locations", tag = "definitions", params(PageQuery),
    responses((status = 200, body = LocationsBody<'static>)))]
pub async fn list(State(gateway): State<Gateway>, Asked(page): Asked<PageQuery>) -> Answered {
    let limit = page.limit()?;
    let after: Option<LocationId> = page.after('l')?;
    let found = gateway.consign.locations(after.as_ref(), limit);
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::json(
        StatusCode::OK,
        &LocationsBody {
            locations: found.iter().map(LocationBody::of).collect(),
            next_cursor: last.map(|location| paging::encode('l', location.id.as_str())),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_body;

    const WHOLE: &str = r#"{"id":"LEEDS","name":"Leeds","kind":"warehouse","country":"GB","latitude":53.8,"longitude":-1.55,"time_zone":"Europe/London"}"#;

    fn parsed(json: &str) -> Result<LocationDefinition, Vec<(String, String)>> {
        json_body::parse::<LocationDto>(json.as_bytes())
            .and_then(|dto| parse("LEEDS", dto))
            .map_err(|p| {
                p.errors
                    .into_iter()
                    .map(|e| (e.pointer, e.code.into_owned()))
                    .collect()
            })
    }

    #[test]
    fn a_location_is_understood() {
        let location = parsed(WHOLE).expect("valid");
        assert_eq!(
            (
                location.position.latitude_e6,
                location.position.longitude_e6
            ),
            (53_800_000, -1_550_000)
        );
        assert!(location.active);
    }

    #[test]
    fn its_faults_are_named() {
        let bad = WHOLE
            .replace("GB", "UKX")
            .replace("53.8", "95")
            .replace("Europe/London", "Mars/Base");
        let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(
            parsed(&bad),
            Err(vec![
                pair("/country", "invalid_country"),
                pair("/latitude", "out_of_range"),
                pair("/time_zone", "unknown_time_zone")
            ])
        );
    }
}
