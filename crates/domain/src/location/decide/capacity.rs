//! Limits on what a location takes on, set from outside.

use super::{Decided, invalid};
use crate::entity::{Context, Decision, Entity};
use crate::location::capacity::{
    CAPACITY_MAX, Capacity, CapacityLimits, UTC_OFFSET_MINUTES_MAX, WARM_UP_MINUTES_MAX,
};
use crate::location::command::LocationReply;
use crate::location::event::LocationEvent;
use crate::location::state::Location;

pub(super) fn set(location: &Location, limits: &CapacityLimits, context: &Context) -> Decided {
    for (pointer, limit, most) in [
        ("/units_per_hour", limits.units_per_hour, CAPACITY_MAX),
        ("/units_per_day", limits.units_per_day, CAPACITY_MAX),
        ("/orders_per_hour", limits.orders_per_hour, CAPACITY_MAX),
        ("/orders_per_day", limits.orders_per_day, CAPACITY_MAX),
        (
            "/warm_up_minutes",
            Some(limits.warm_up_minutes),
            WARM_UP_MINUTES_MAX,
        ),
    ] {
        if limit.is_some_and(|limit| limit > most) {
            return Err(invalid(pointer, "out_of_range"));
        }
    }
    if limits.utc_offset_minutes.unsigned_abs() > UTC_OFFSET_MINUTES_MAX {
        return Err(invalid("/utc_offset_minutes", "out_of_range"));
    }
    let stands = location.capacity.map(|capacity| capacity.limits());
    let is_same = stands.unwrap_or_default() == *limits;
    let events = if is_same {
        Vec::new()
    } else {
        vec![LocationEvent::CapacitySet { limits: *limits }]
    };
    let version = location.version() + events.len() as u64;
    let capacity = match location.capacity {
        Some(capacity) => Some(capacity.with(*limits, context.now)),
        None if is_same => None,
        None => Some(Capacity::new(*limits, context.now)),
    };
    Ok(Decision {
        events,
        private: None,
        reply: LocationReply::CapacitySet {
            capacity,
            at: context.now,
            version,
        },
    })
}
