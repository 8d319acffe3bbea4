//! Parked orders, released one after another.
//!
//! In: how many. Out: those orders as they are then, oldest first. Each is sourced and its stock
//! reserved before the next is asked, so that none is overtaken and locations are not rushed.

use std::sync::Arc;

use consign_domain::order::{Order, OrderCommand};

use crate::error::ServiceError;
use crate::lists::{OrderFilter, Page};
use crate::options::CallMeta;
use crate::service::Consign;

impl Consign {
    /// Has parked orders sourced again, the oldest first, at most `limit` and for no longer than the
    /// call waits for an outcome. One for which there is still nothing is parked again; the cursor
    /// leads past it.
    ///
    /// # Errors
    /// When the cursor is not one of ours, the store cannot be read, or the first order cannot be
    /// told. What stops a later one ends the page before it.
    pub async fn release_parked(
        &self,
        cursor: Option<&str>,
        limit: usize,
        call: &CallMeta,
    ) -> Result<Page<Arc<Order>>, ServiceError> {
        let filter = OrderFilter {
            parked: Some(true),
            ..OrderFilter::default()
        };
        let patience_ms = i64::try_from(call.settle_timeout.as_millis()).unwrap_or(i64::MAX);
        let until = self.inner.node.now().plus_millis(patience_ms);
        let mut items = Vec::new();
        let mut next_cursor = cursor.map(str::to_owned);
        loop {
            let found = self.orders(&filter, next_cursor.as_deref(), 1)?;
            for order in found.items {
                // The key of the call names all of them; releasing an order again changes nothing.
                let call = CallMeta {
                    key: None,
                    expected_version: None,
                    ..call.clone()
                };
                let told = self.command(&order.id, OrderCommand::ReleaseParking, call);
                match told.await {
                    Ok(outcome) => items.push(outcome.order),
                    Err(error) if items.is_empty() => return Err(error),
                    Err(error) => {
                        tracing::warn!(order = %order.id, %error, "parked orders are not released further");
                        return Ok(Page { items, next_cursor });
                    }
                }
            }
            next_cursor = found.next_cursor;
            let enough = items.len() >= limit || self.inner.node.now() >= until;
            if next_cursor.is_none() || enough {
                return Ok(Page { items, next_cursor });
            }
        }
    }
}
