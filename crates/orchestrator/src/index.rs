//! The rows by which orders are found without opening them, derived from an order's state.
//!
//! In: a committed order. Out: key-value rows that replace all its earlier ones. Every key starts
//! with two letters that name the list, then the fields of its sort order; text fields end in a
//! zero byte, numbers are big-endian, so that byte order is list order.

use consign_domain::ids::{Channel, LocationId, Sku, TrackingNumber};
use consign_domain::order::{FulfillmentStatus, Fulfilment, Order, OrderStatus};
use consign_domain::time::Timestamp;

/// All orders by (placed_at, id).
const BY_TIME: &[u8] = b"op";
/// Orders of a customer by (placed_at, id).
const BY_CUSTOMER: &[u8] = b"oc";
/// Orders that still have work in them, by (status, placed_at, id).
const OPEN_BY_STATUS: &[u8] = b"os";
/// An order by the channel's own name for it.
const BY_EXTERNAL: &[u8] = b"oe";
/// A shipment by tracking number.
const BY_TRACKING: &[u8] = b"ot";
/// Orders that wait for a SKU, by (placed_at, id).
const WAITING: &[u8] = b"ow";
/// Orders that wait until somebody releases them, by (placed_at, id).
const PARKED: &[u8] = b"ok";
/// Fulfillment orders by (done, location, placed_at, id, number).
const FULFILLMENT: &[u8] = b"of";

/// One row.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Builds keys field by field.
struct Key(Vec<u8>);

impl Key {
    fn of(list: &[u8]) -> Key {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(list);
        Key(bytes)
    }
    fn text(mut self, text: &str) -> Key {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }
    fn byte(mut self, byte: u8) -> Key {
        self.0.push(byte);
        self
    }
    fn time(mut self, at: Timestamp) -> Key {
        // The sign bit is flipped, so that moments before 1970 sort first.
        let sortable = at.0.cast_unsigned() ^ (1 << 63);
        self.0.extend_from_slice(&sortable.to_be_bytes());
        self
    }
    fn number(mut self, number: u32) -> Key {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
}

/// The rows of `order`.
pub(crate) fn rows(order: &Order) -> Vec<Row> {
    let mut rows = Vec::with_capacity(6);
    let Some(header) = order.header.as_ref() else {
        // A tombstone: cancelled before it arrived. Nothing but its name is known, and that is
        // found through the deterministic id (`external`).
        return rows;
    };
    let (id, status, at) = (order.id.as_str(), order.status, header.placed_at);
    let summary = summary(status, &header.channel);
    rows.push((Key::of(BY_TIME).time(at).text(id).0, summary.clone()));
    rows.push((
        Key::of(BY_CUSTOMER)
            .text(&header.customer)
            .time(at)
            .text(id)
            .0,
        summary.clone(),
    ));
    if !matches!(status, OrderStatus::Completed | OrderStatus::Cancelled) {
        rows.push((
            Key::of(OPEN_BY_STATUS)
                .byte(status as u8)
                .time(at)
                .text(id)
                .0,
            summary.clone(),
        ));
    }
    if order.is_parked() {
        rows.push((Key::of(PARKED).time(at).text(id).0, summary));
    }
    if let Some(external) = &header.external_id {
        rows.push((external_key(&header.channel, external), Vec::new()));
    }
    for shipment in &order.shipments {
        if let Some(number) = &shipment.tracking_number {
            rows.push((tracking_key(number), shipment.number.to_be_bytes().to_vec()));
        }
    }
    for fulfillment in &order.fulfillment_orders {
        let key = Key::of(FULFILLMENT)
            .byte(done(fulfillment.status))
            .text(fulfillment.location.as_str())
            .time(at)
            .text(id)
            .number(fulfillment.number)
            .0;
        rows.push((key, vec![fulfillment.status as u8]));
    }
    // Also where other units of the order are being worked already.
    for (sku, units) in waiting(order) {
        rows.push((
            Key::of(WAITING).text(sku.as_str()).time(at).text(id).0,
            units.to_be_bytes().to_vec(),
        ));
    }
    rows
}

/// What a list shows of an order without opening it: its status, then its channel.
fn summary(status: OrderStatus, channel: &Channel) -> Vec<u8> {
    let mut value = vec![status as u8];
    value.extend_from_slice(channel.as_str().as_bytes());
    value
}

/// Whether a row's summary says `status` and `channel`, where those are asked for.
pub(crate) fn matches(
    value: &[u8],
    status: Option<OrderStatus>,
    channel: Option<&Channel>,
) -> bool {
    let Some((first, rest)) = value.split_first() else {
        return false;
    };
    status.is_none_or(|status| status as u8 == *first)
        && channel.is_none_or(|channel| channel.as_str().as_bytes() == rest)
}

/// SKUs that the order waits for, with the units it lacks. Stock does not wake one that is parked.
fn waiting(order: &Order) -> Vec<(Sku, u32)> {
    let mut waiting: Vec<(Sku, u32)> = Vec::new();
    if order.is_parked() {
        return waiting;
    }
    for line in order.lines.iter().filter(|line| line.units.backordered > 0) {
        let Fulfilment::Physical(parts) = &line.fulfilment else {
            continue;
        };
        for (sku, per_unit) in parts {
            let lacks = line.units.backordered.saturating_mul(*per_unit);
            match waiting.iter_mut().find(|(known, _)| known == sku) {
                Some((_, units)) => *units = units.saturating_add(lacks),
                None => waiting.push((sku.clone(), lacks)),
            }
        }
    }
    waiting
}

/// Where the order with the channel's own name is found.
pub(crate) fn external_key(channel: &Channel, external_id: &str) -> Vec<u8> {
    Key::of(BY_EXTERNAL)
        .text(channel.as_str())
        .text(external_id)
        .0
}

/// Where the shipment with a tracking number is found.
pub(crate) fn tracking_key(number: &TrackingNumber) -> Vec<u8> {
    Key::of(BY_TRACKING).text(number.as_str()).0
}

/// The orders that wait for `sku`, oldest first: all keys with this prefix.
pub(crate) fn waiting_prefix(sku: &Sku) -> Vec<u8> {
    Key::of(WAITING).text(sku.as_str()).0
}

/// All orders that wait, by SKU: all keys with this prefix.
pub(crate) fn waiting_list() -> Vec<u8> {
    WAITING.to_vec()
}

/// The SKU that a key of that list is about.
pub(crate) fn waiting_sku(key: &[u8]) -> Option<Sku> {
    let text = key.strip_prefix(WAITING)?.split(|byte| *byte == 0).next()?;
    Sku::new(std::str::from_utf8(text).ok()?).ok()
}

/// The list that serves a question best: its prefix, and where `since` falls in it.
pub(crate) fn orders_range(
    parked: bool,
    customer: Option<&str>,
    status: Option<OrderStatus>,
    since: Option<Timestamp>,
) -> (Vec<u8>, Vec<u8>) {
    let prefix = match (customer, status) {
        _ if parked => PARKED.to_vec(),
        (Some(customer), _) => Key::of(BY_CUSTOMER).text(customer).0,
        (None, Some(status))
            if !matches!(status, OrderStatus::Completed | OrderStatus::Cancelled) =>
        {
            Key::of(OPEN_BY_STATUS).byte(status as u8).0
        }
        (None, _) => BY_TIME.to_vec(),
    };
    let start = match since {
        Some(since) => Key(prefix.clone()).time(since).0,
        None => prefix.clone(),
    };
    (prefix, start)
}

/// The prefixes of the fulfillment orders asked for: work to do before work done.
pub(crate) fn fulfillment_prefixes(
    location: Option<&LocationId>,
    status: Option<FulfillmentStatus>,
) -> Vec<Vec<u8>> {
    let flags = match status {
        Some(status) => vec![done(status)],
        None => vec![0, 1],
    };
    let prefix = |flag: u8| {
        let key = Key::of(FULFILLMENT).byte(flag);
        match location {
            Some(location) => key.text(location.as_str()).0,
            None => key.0,
        }
    };
    flags.into_iter().map(prefix).collect()
}

/// The fulfillment order's number, from its key.
pub(crate) fn fulfillment_number(key: &[u8]) -> Option<u32> {
    let tail = key.last_chunk::<4>()?;
    Some(u32::from_be_bytes(*tail))
}

/// The first key after all keys with `prefix`.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; 2]
}

const fn done(status: FulfillmentStatus) -> u8 {
    match status {
        FulfillmentStatus::Scheduled | FulfillmentStatus::Open | FulfillmentStatus::InProgress => 0,
        FulfillmentStatus::Closed
        | FulfillmentStatus::Incomplete
        | FulfillmentStatus::Cancelled => 1,
    }
}
