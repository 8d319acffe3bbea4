//! Stock came in: wakes the orders that wait for it, oldest first, and no more than it can serve.
//!
//! In: SKUs whose availability rose. Out: `Replenish` to waiting orders. A wake-up is a hint: the
//! order sources and reserves as ever (L1), and its own timer comes round if a hint is lost.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::Duration;

use consign_domain::ids::Sku;
use consign_domain::order::{Order, OrderCommand};
use consign_runtime::Peer;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::atlas::Stock as _;
use crate::index;
use crate::service::Views;

/// Receipts that come within this time wake their orders together.
const GATHER: Duration = Duration::from_millis(20);
/// Waiting orders that are read at a time.
const ROWS_PER_READ: usize = 256;
/// Waiting orders that one rise wakes at most; the next rise or their timers wake the others.
const WAKES_PER_RISE_MAX: usize = 10_000;

/// SKUs whose availability rose since the last round.
#[derive(Debug, Default)]
pub(crate) struct Replenisher {
    risen: Mutex<HashSet<Sku>>,
    work: Arc<Notify>,
}

impl Replenisher {
    /// Takes note that there is more of `sku` somewhere.
    pub(crate) fn risen(&self, sku: Sku) {
        self.risen.lock().insert(sku);
        self.work.notify_one();
    }

    /// Starts the task that wakes waiting orders; it ends with the views.
    pub(crate) fn start(&self, views: Weak<Views>) {
        let work = Arc::clone(&self.work);
        tokio::spawn(async move {
            loop {
                work.notified().await;
                tokio::time::sleep(GATHER).await;
                let Some(views) = views.upgrade() else { return };
                let risen = std::mem::take(&mut *views.replenisher.risen.lock());
                for sku in risen {
                    wake_waiting(&views, &sku);
                }
            }
        });
    }
}

/// Wakes orders that wait for `sku`, oldest first, until what is available is spoken for.
fn wake_waiting(views: &Views, sku: &Sku) {
    let cells = views.availability.of(sku);
    let now = views.hosts().node.now();
    // Units that may be had, and orders that may have them: a full location has none.
    let (mut left, mut orders) = (0_i64, 0_usize);
    for ordinal in views.atlas.load().ordinals() {
        let room = views.rooms.at(ordinal, now);
        let units = cells.at(ordinal).max(0);
        let units = units.min(i64::from(room.for_new_order()));
        left = left.saturating_add(units);
        if units > 0 {
            let most = room.orders.map_or(usize::MAX, |orders| orders as usize);
            orders = orders.saturating_add(most);
        }
    }
    let prefix = index::waiting_prefix(sku);
    let end = Bound::Excluded(index::end_of(&prefix));
    let mut from = Bound::Included(prefix);
    let mut woken = 0;
    let wakes_max = orders.min(WAKES_PER_RISE_MAX);
    while left > 0 && woken < wakes_max {
        let hosts = views.hosts();
        let rows = match hosts
            .node
            .index_scan(from.clone(), end.clone(), false, ROWS_PER_READ)
        {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%sku, %error, "cannot read who waits for stock; their timers will wake them");
                return;
            }
        };
        let Some((last, _)) = rows.last() else { return };
        from = Bound::Excluded(last.clone());
        for (_, row) in rows {
            let units = row
                .value
                .first_chunk::<4>()
                .map_or(0, |bytes| u32::from_be_bytes(*bytes));
            if let Some(order) = row.owner.id_as::<Order>() {
                hosts
                    .orders
                    .tell(order, OrderCommand::Replenish, Peer::nobody());
                woken += 1;
                left -= i64::from(units);
            }
            if left <= 0 || woken >= wakes_max {
                break;
            }
        }
    }
    metrics::counter!("consign_replenish_wakes_total").increment(woken as u64);
}
