//! How clients name a line of an order that stands: by its id, or by its 1-based position.

use consign_domain::order::Order;

use super::dto::LineName;
use crate::fields::{At, Faults};
use crate::problem::shown;

/// The index of a line that a client names by its id or its 1-based position.
pub fn line_index(faults: &mut Faults, at: &At<'_>, order: &Order, name: &LineName) -> Option<u32> {
    let by_id = order
        .lines
        .iter()
        .position(|line| line.id.as_str() == name.0);
    let by_position = || {
        let position: usize = name.0.parse().ok()?;
        (1..=order.lines.len())
            .contains(&position)
            .then(|| position - 1)
    };
    let found = by_id
        .or_else(by_position)
        .and_then(|index| u32::try_from(index).ok());
    if found.is_none() {
        faults.add(
            at,
            "unknown_line",
            format!("the order has no line \"{}\"", shown(&name.0)),
        );
    }
    found
}
