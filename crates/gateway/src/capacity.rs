//! A location's capacity over HTTP: what it takes on at most, and what is left of it now.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use consign_domain::ids::LocationId;
use consign_domain::location::CapacityLimits;
use consign_domain::location::capacity::{
    CAPACITY_MAX, CapacityWindow, UTC_OFFSET_MINUTES_MAX, WARM_UP_MINUTES_MAX,
};
use consign_domain::time::Timestamp;
use consign_orchestrator::CapacityAt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::fields::{At, Faults};
use crate::gateway::Gateway;
use crate::locations::location_of;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// What a location takes on at most. What is left out or `null` is not limited; 0 is nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SetCapacity)]
#[serde(deny_unknown_fields)]
pub struct CapacityDto {
    /// Units of order lines, in an hour.
    units_per_hour: Option<u32>,
    /// Units of order lines, in a day.
    #[schema(example = 100)]
    units_per_day: Option<u32>,
    /// Orders, in an hour.
    orders_per_hour: Option<u32>,
    /// Orders, in a day.
    orders_per_day: Option<u32>,
    /// In the first so many minutes of an hour or a day its limits open evenly, from nothing to all;
    /// of an hour, at most all of it. 0 if left out, at most 1,440.
    warm_up_minutes: Option<u32>,
    /// Minutes by which the location's hours and days begin before those of UTC, −840 to 840; 0 if
    /// left out.
    utc_offset_minutes: Option<i32>,
}

/// What has been taken on in an hour or a day.
#[derive(Serialize, ToSchema)]
#[schema(as = CapacityWindow)]
struct WindowBody {
    #[schema(value_type = String)]
    began_at: TimeText,
    /// When it starts anew.
    #[schema(value_type = String)]
    ends_at: TimeText,
    /// Units granted and not given back.
    units: u64,
    /// Orders taken on and not given back.
    orders: u64,
}

impl WindowBody {
    fn of(window: CapacityWindow, end: Timestamp) -> WindowBody {
        WindowBody {
            began_at: TimeText(window.starts_at),
            ends_at: TimeText(end),
            units: window.units,
            orders: window.orders,
        }
    }
}

/// What may be taken on now; `null` is no limit.
#[derive(Serialize, ToSchema)]
#[schema(as = CapacityRoom)]
struct RoomBody {
    units: Option<u32>,
    orders: Option<u32>,
}

/// What a location takes on.
#[derive(Serialize, ToSchema)]
#[schema(as = Capacity)]
pub struct CapacityBody<'a> {
    location: &'a str,
    units_per_hour: Option<u32>,
    units_per_day: Option<u32>,
    orders_per_hour: Option<u32>,
    orders_per_day: Option<u32>,
    warm_up_minutes: u32,
    utc_offset_minutes: i32,
    /// What may be taken on now.
    room: RoomBody,
    /// The hour that runs; `null` where nothing was ever limited, as nothing is counted then.
    hour: Option<WindowBody>,
    /// The day that runs.
    day: Option<WindowBody>,
    /// The location's version.
    version: u64,
}

impl<'a> CapacityBody<'a> {
    fn of(location: &'a LocationId, known: &CapacityAt) -> CapacityBody<'a> {
        let capacity = known.capacity;
        let limits = capacity.map_or_else(CapacityLimits::default, |capacity| capacity.limits());
        let room = capacity.map(|capacity| capacity.room(known.at));
        let room = room.unwrap_or_default();
        let (hour, day) = capacity
            .map(|capacity| {
                let (hour, day) = capacity.ends(known.at);
                (
                    WindowBody::of(capacity.hour(known.at), hour),
                    WindowBody::of(capacity.day(known.at), day),
                )
            })
            .unzip();
        CapacityBody {
            location: location.as_str(),
            units_per_hour: limits.units_per_hour,
            units_per_day: limits.units_per_day,
            orders_per_hour: limits.orders_per_hour,
            orders_per_day: limits.orders_per_day,
            warm_up_minutes: limits.warm_up_minutes,
            utc_offset_minutes: limits.utc_offset_minutes,
            room: RoomBody {
                units: room.units,
                orders: room.orders,
            },
            hour,
            day,
            version: known.version,
        }
    }
}

fn parse(path: &str, dto: &CapacityDto) -> Result<(LocationId, CapacityLimits), Problem> {
    let location = location_of(path)?;
    let mut faults = Faults::default();
    let root = At::Root;
    for (name, value, most) in [
        ("units_per_hour", dto.units_per_hour, CAPACITY_MAX),
        ("units_per_day", dto.units_per_day, CAPACITY_MAX),
        ("orders_per_hour", dto.orders_per_hour, CAPACITY_MAX),
        ("orders_per_day", dto.orders_per_day, CAPACITY_MAX),
        ("warm_up_minutes", dto.warm_up_minutes, WARM_UP_MINUTES_MAX),
    ] {
        faults.range(&root.field(name), value.unwrap_or(0), 0, most);
    }
    let offset = dto.utc_offset_minutes.unwrap_or(0);
    if offset.unsigned_abs() > UTC_OFFSET_MINUTES_MAX {
        let most = UTC_OFFSET_MINUTES_MAX;
        let detail = format!("must be -{most} to {most}, not {offset}");
        faults.add(&root.field("utc_offset_minutes"), "out_of_range", detail);
    }
    let limits = CapacityLimits {
        units_per_hour: dto.units_per_hour,
        units_per_day: dto.units_per_day,
        orders_per_hour: dto.orders_per_hour,
        orders_per_day: dto.orders_per_day,
        warm_up_minutes: dto.warm_up_minutes.unwrap_or(0),
        utc_offset_minutes: offset,
    };
    faults.finish(Some((location, limits)))
}

fn answered(location: &LocationId, known: &CapacityAt) -> Result<Response, Problem> {
    let body = CapacityBody::of(location, known);
    let response = answer::versioned(StatusCode::OK, known.version, &body)?;
    Ok(answer::replayed(response, known.replayed))
}

/// Limits what a location takes on from now on; what it has taken on stays.
#[utoipa::path(put, path = "/v1/locations/{id}/capacity", tag = "inventory", params(("id" = String, Path),
    ("If-Match" = Option<String>, Header)), request_body = CapacityDto, responses(
        (status = 200, body = CapacityBody<'static>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn put(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Submission { body, call }: Submission<CapacityDto>,
) -> Answered {
    let (location, limits) = parse(&id, &body)?;
    let set = gateway
        .consign
        .set_capacity(location.clone(), limits, call)
        .await?;
    answered(&location, &set)
}

/// What a location takes on, what it has taken on, and when that starts anew.
#[utoipa::path(get, path = "/v1/locations/{id}/capacity", tag = "inventory", params(("id" = String, Path)),
    responses((status = 200, body = CapacityBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(State(gateway): State<Gateway>, Path(id): Path<String>) -> Answered {
    let location = location_of(&id)?;
    // It changes with the clock too, so that no version says that a client has it already.
    answered(&location, &gateway.consign.capacity(&location)?)
}
