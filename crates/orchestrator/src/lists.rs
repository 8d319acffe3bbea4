//! Lists of orders and fulfillment orders, page by page, from index rows.
//!
//! In: a filter and a cursor. Out: committed orders in list order. Every committed order is seen;
//! a page of a narrow filter may be short and still carry a cursor, because the rows that one page
//! looks at are bounded (L8).

use std::ops::Bound;
use std::sync::Arc;

use compact_str::CompactString;
use consign_domain::ids::{Channel, LocationId, OrderId};
use consign_domain::order::{FulfillmentStatus, Order, OrderStatus};
use consign_domain::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::ServiceError;
use crate::index;
use crate::service::Consign;

/// Rows that one page of a filtered list looks at before it ends early with a cursor.
const ROWS_PER_PAGE_MAX: usize = 20_000;

/// Which orders.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// In this status.
    pub status: Option<OrderStatus>,
    /// Of this channel.
    pub channel: Option<Channel>,
    /// Of this customer.
    pub customer: Option<CompactString>,
    /// With this name of the channel's own (needs `channel`).
    pub external_id: Option<CompactString>,
    /// Placed then or later.
    pub since: Option<Timestamp>,
    /// Whether it waits until somebody releases it.
    pub parked: Option<bool>,
}

/// Which fulfillment orders.
#[derive(Clone, Debug, Default)]
pub struct FulfillmentFilter {
    /// Of this location.
    pub location: Option<LocationId>,
    /// In this status.
    pub status: Option<FulfillmentStatus>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// In list order.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
}

impl Consign {
    /// A page of orders by (placed_at, id).
    ///
    /// # Errors
    /// When the cursor is not one of ours, or the store cannot be read.
    pub fn orders(
        &self,
        filter: &OrderFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Arc<Order>>, ServiceError> {
        if let (Some(name), Some(channel)) = (&filter.external_id, &filter.channel) {
            let found = self.find_external(channel, name)?;
            let order = found.map(|id| self.order(&id)).transpose()?.flatten();
            let items = order
                .into_iter()
                .filter(|order| filter.takes(order))
                .collect();
            return Ok(Page {
                items,
                next_cursor: None,
            });
        }
        let (prefix, start) = index::orders_range(
            filter.parked == Some(true),
            filter.customer.as_deref(),
            filter.status,
            filter.since,
        );
        let wanted = |value: &[u8]| index::matches(value, filter.status, filter.channel.as_ref());
        self.page(&prefix, start, cursor, limit, |owner, _, value| {
            if !wanted(value) {
                return Ok(None);
            }
            let order = self.order(owner)?;
            Ok(order.filter(|order| filter.takes(order)))
        })
    }

    /// A page of fulfillment orders: work to do first, then by location, age and number.
    ///
    /// # Errors
    /// When the cursor is not one of ours, or the store cannot be read.
    pub fn fulfillment_orders(
        &self,
        filter: &FulfillmentFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<(Arc<Order>, u32)>, ServiceError> {
        let mut page = Page {
            items: Vec::new(),
            next_cursor: None,
        };
        let mut cursor = cursor;
        for prefix in index::fulfillment_prefixes(filter.location.as_ref(), filter.status) {
            if let Some(text) = cursor
                && !decode_cursor(text)?.starts_with(&prefix)
            {
                // The cursor lies in a later list, or in none; the last one refuses it.
                continue;
            }
            let room = limit - page.items.len();
            if room == 0 {
                page.next_cursor = Some(encode_cursor(&prefix));
                break;
            }
            let mut part = self.page(
                &prefix,
                prefix.clone(),
                cursor.take(),
                room,
                |owner, key, value| {
                    if filter.status.is_some_and(|status| value != [status as u8]) {
                        return Ok(None);
                    }
                    let Some(number) = index::fulfillment_number(key) else {
                        return Ok(None);
                    };
                    Ok(self.order(owner)?.map(|order| (order, number)))
                },
            )?;
            page.items.append(&mut part.items);
            if part.next_cursor.is_some() {
                page.next_cursor = part.next_cursor;
                break;
            }
        }
        match cursor {
            Some(_) => Err(ServiceError::CursorInvalid),
            None => Ok(page),
        }
    }

    /// Walks a list's rows from `cursor` or `start` on, opening each row by `open`.
    fn page<T>(
        &self,
        prefix: &[u8],
        start: Vec<u8>,
        cursor: Option<&str>,
        limit: usize,
        mut open: impl FnMut(&OrderId, &[u8], &[u8]) -> Result<Option<T>, ServiceError>,
    ) -> Result<Page<T>, ServiceError> {
        let mut from = Bound::Included(start);
        if let Some(text) = cursor {
            let key = decode_cursor(text)?;
            if !key.starts_with(prefix) {
                return Err(ServiceError::CursorInvalid);
            }
            from = if key == prefix {
                Bound::Included(key)
            } else {
                Bound::Excluded(key)
            };
        }
        let end = Bound::Excluded(index::end_of(prefix));
        let mut items = Vec::new();
        let mut seen = 0;
        loop {
            let want = (limit - items.len()).clamp(16, 512);
            let rows = self
                .inner
                .node
                .index_scan(from.clone(), end.clone(), false, want)?;
            let last_read = rows.len() < want;
            for (key, row) in rows {
                if items.len() == limit || seen >= ROWS_PER_PAGE_MAX {
                    let Bound::Excluded(last) = &from else { break };
                    return Ok(Page {
                        items,
                        next_cursor: Some(encode_cursor(last)),
                    });
                }
                seen += 1;
                if let Some(owner) = row.owner.id_as::<Order>()
                    && let Some(item) = open(&owner, &key, &row.value)?
                {
                    items.push(item);
                }
                from = Bound::Excluded(key);
            }
            if last_read {
                return Ok(Page {
                    items,
                    next_cursor: None,
                });
            }
        }
    }
}

impl OrderFilter {
    fn takes(&self, order: &Order) -> bool {
        let Some(header) = &order.header else {
            return false;
        };
        self.status.is_none_or(|status| order.status == status)
            && self
                .channel
                .as_ref()
                .is_none_or(|channel| header.channel == *channel)
            && self
                .customer
                .as_ref()
                .is_none_or(|customer| header.customer == *customer)
            && self
                .external_id
                .as_ref()
                .is_none_or(|name| header.external_id.as_ref() == Some(name))
            && self.since.is_none_or(|since| header.placed_at >= since)
            && self.parked.is_none_or(|parked| order.is_parked() == parked)
    }
}

/// Cursors are a key in hexadecimal with a checksum, so that a mangled one is told from ours.
fn encode_cursor(key: &[u8]) -> String {
    let mut text = format!("{:08x}", xxh3_64(key) & 0xffff_ffff);
    for byte in key {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn decode_cursor(text: &str) -> Result<Vec<u8>, ServiceError> {
    let (sum, key) = text
        .split_at_checked(8)
        .ok_or(ServiceError::CursorInvalid)?;
    let digits = |at: usize| {
        key.get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let key: Option<Vec<u8>> = (0..key.len()).step_by(2).map(digits).collect();
    key.filter(|key| format!("{:08x}", xxh3_64(key) & 0xffff_ffff) == sum)
        .ok_or(ServiceError::CursorInvalid)
}
