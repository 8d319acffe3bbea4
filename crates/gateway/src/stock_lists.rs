//! What a location has and what happened to it: balances, movements, reservations.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use consign_domain::ids::{AttemptId, OrderId, Sku};
use consign_domain::location::MovementKind;
use consign_orchestrator::MovementItem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::blocking::blocking;
use crate::gateway::Gateway;
use crate::inventory::BalanceBody;
use crate::locations::location_of;
use crate::paging::{self, Asked, PageQuery};
use crate::problem::ProblemBody;
use crate::time_text::TimeText;

/// A page of what a location has.
#[derive(Serialize, ToSchema)]
#[schema(as = LocationInventory)]
pub struct LocationInventoryBody<'a> {
    location: &'a str,
    version: u64,
    inventory: Vec<LocationSkuBody<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LocationSku)]
struct LocationSkuBody<'a> {
    sku: &'a str,
    #[serde(flatten)]
    balance: BalanceBody,
    /// Units that are announced and have not come.
    incoming: u64,
}

/// What a location has, by SKU.
#[utoipa::path(get, path = "/v1/locations/{id}/inventory", tag = "inventory", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = LocationInventoryBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn inventory(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Answered {
    let location = location_of(&id)?;
    let limit = page.limit()?;
    let after: Option<Sku> = page.after('i')?;
    let (version, found) = blocking(gateway.consign.threads(), move || {
        gateway
            .consign
            .location_inventory(&location, after.as_ref(), limit)
    })
    .await?;
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    answer::versioned(
        StatusCode::OK,
        version,
        &LocationInventoryBody {
            location: &id,
            version,
            next_cursor: last.map(|last| paging::encode('i', last.sku.as_str())),
            inventory: found
                .iter()
                .map(|item| LocationSkuBody {
                    sku: item.sku.as_str(),
                    balance: item.balance.into(),
                    incoming: item.incoming,
                })
                .collect(),
        },
    )
}

/// A page of a location's movements.
#[derive(Serialize, ToSchema)]
#[schema(as = LocationMovements)]
pub struct MovementsBody<'a> {
    location: &'a str,
    movements: Vec<MovementBody<'a>>,
    next_cursor: Option<String>,
}

/// One row of the ledger of movements: what it changed about the SKU's figures.
#[derive(Serialize, ToSchema)]
#[schema(as = Movement)]
struct MovementBody<'a> {
    /// The location's version after it.
    version: u64,
    /// Why.
    #[schema(value_type = String, example = "received")]
    r#type: MovementKind,
    sku: &'a str,
    on_hand_delta: i64,
    reserved_delta: i64,
    picked_delta: i64,
    damaged_delta: i64,
    safety_stock_delta: i64,
    /// The caller's paper, the attempt, the hold, the return.
    #[serde(skip_serializing_if = "str::is_empty")]
    reference: &'a str,
    #[schema(value_type = String)]
    occurred_at: TimeText,
    #[schema(value_type = String)]
    recorded_at: TimeText,
    by: &'a str,
}

impl<'a> MovementBody<'a> {
    fn of(item: &'a MovementItem) -> MovementBody<'a> {
        let movement = &item.movement;
        MovementBody {
            version: item.version,
            r#type: movement.kind,
            sku: movement.sku.as_str(),
            on_hand_delta: movement.on_hand_delta,
            reserved_delta: movement.reserved_delta,
            picked_delta: movement.picked_delta,
            damaged_delta: movement.damaged_delta,
            safety_stock_delta: movement.safety_delta,
            reference: &movement.reference,
            occurred_at: TimeText(item.stamp.occurred_at),
            recorded_at: TimeText(item.stamp.recorded_at),
            by: &item.stamp.by,
        }
    }
}

/// The immutable ledger of a location's movements, oldest first; it sums to the balances.
#[utoipa::path(get, path = "/v1/locations/{id}/movements", tag = "inventory", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = MovementsBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn movements(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Answered {
    let location = location_of(&id)?;
    let limit = page.limit()?;
    let after: u64 = page.after('m')?.unwrap_or(0);
    let items = blocking(gateway.consign.threads(), move || {
        gateway.consign.movements(&location, after, limit)
    })
    .await?;
    let last = (items.len() >= limit).then(|| items.last()).flatten();
    let next_cursor = last.map(|item| paging::encode('m', &item.version.to_string()));
    let movements = items.iter().map(MovementBody::of).collect();
    answer::json(
        StatusCode::OK,
        &MovementsBody {
            location: &id,
            movements,
            next_cursor,
        },
    )
}

/// A page of a location's reservations.
#[derive(Serialize, ToSchema)]
#[schema(as = LocationReservations)]
pub struct ReservationsBody<'a> {
    location: &'a str,
    reservations: Vec<ReservationBody<'a>>,
    next_cursor: Option<String>,
}

/// Units that an order has reserved.
#[derive(Serialize, ToSchema)]
#[schema(as = Reservation)]
struct ReservationBody<'a> {
    order: &'a str,
    /// Index of the order's line, from 0.
    line: u32,
    /// The order's attempt, from 1.
    attempt: u32,
    /// Units of the line that are reserved and have not left.
    units: u32,
    /// Of those, picked.
    picked: u32,
}

/// Reservations that hold units at a location.
#[utoipa::path(get, path = "/v1/locations/{id}/reservations", tag = "inventory", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = ReservationsBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn reservations(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Asked(page): Asked<PageQuery>,
) -> Answered {
    let location = location_of(&id)?;
    let limit = page.limit()?;
    let after: Option<AttemptName> = page.after('r')?;
    let found = blocking(gateway.consign.threads(), move || {
        gateway
            .consign
            .location_reservations(&location, after.as_ref().map(|a| &a.0), limit)
    })
    .await?;
    let last = (found.len() >= limit).then(|| found.last()).flatten();
    let next_cursor = last.map(|item| paging::encode('r', &item.attempt.to_string()));
    let reservations = found
        .iter()
        .map(|item| ReservationBody {
            order: item.attempt.order.as_str(),
            line: item.attempt.line,
            attempt: item.attempt.attempt,
            units: item.units,
            picked: item.picked,
        })
        .collect();
    answer::json(
        StatusCode::OK,
        &ReservationsBody {
            location: &id,
            reservations,
            next_cursor,
        },
    )
}

/// An attempt, read from its text form `order:line:attempt`. Order ids may hold colons.
struct AttemptName(AttemptId);

impl std::str::FromStr for AttemptName {
    type Err = ();
    fn from_str(text: &str) -> Result<AttemptName, ()> {
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse::<u32>().ok();
        let attempt = number().ok_or(())?;
        let line = number().ok_or(())?;
        let order: OrderId = parts.next().ok_or(())?.parse().map_err(|_| ())?;
        Ok(AttemptName(AttemptId {
            order,
            line,
            attempt,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_read_back_from_cursors() {
        let order = OrderId::new("a:b:1").expect("valid");
        let attempt = AttemptId {
            order,
            line: 3,
            attempt: 7,
        };
        let read: AttemptName = attempt
            .to_string()
            .parse()
            .unwrap_or_else(|()| unreachable!("its own text"));
        assert_eq!(read.0, attempt);
        assert!("x".parse::<AttemptName>().is_err());
    }
}
