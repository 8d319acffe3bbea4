//! The rooms view: what each limited location may still take on, as this node knows it, and who is
//! woken when more opens.
//!
//! In: every committed change of a limited location. Out: room in what decisions rest on, and SKUs
//! for the replenisher. A hint, like availability: the location's answer is the truth. Where no
//! location is limited, a decision asks one flag and nothing else.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use consign_domain::ids::Sku;
use consign_domain::location::{Capacity, Location, LocationEvent, Room};
use consign_domain::time::Timestamp;
use consign_sourcing::Inputs;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::atlas::Stock as _;
use crate::index;
use crate::service::Views;

/// What comes back within this time is looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// SKUs that are waited for and looked at when a location opens; the others' orders have timers.
const WAITING_SKUS_MAX: usize = 10_000;

/// What limited locations may still take on.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// Whether any location is limited.
    is_any: AtomicBool,
    /// Limited locations by ordinal.
    known: RwLock<BTreeMap<u32, Capacity>>,
    /// When to look whether a location has opened, by ordinal. One per location at most.
    due: Mutex<BTreeMap<u32, Timestamp>>,
    work: Arc<Notify>,
}

impl Rooms {
    /// Takes in what a location may take on, and that somebody may have waited for it to open.
    pub(crate) fn set(&self, ordinal: u32, location: &Location, events: &[LocationEvent]) {
        let Some(capacity) = location.capacity() else {
            return;
        };
        let is_limited = capacity.limits().any();
        {
            let mut known = self.known.write();
            if is_limited {
                known.insert(ordinal, *capacity);
            } else {
                known.remove(&ordinal);
            }
            self.is_any.store(!known.is_empty(), Ordering::Relaxed);
        }
        let opens = |event: &LocationEvent| match event {
            LocationEvent::CapacitySet { .. } => true,
            LocationEvent::Released { .. } | LocationEvent::Displaced { .. } => is_limited,
            _ => false,
        };
        if events.iter().any(opens) {
            self.look_now(ordinal);
        }
    }

    /// Takes in a location as it was found. Who waited for it to open has been forgotten, so somebody
    /// looks.
    pub(crate) fn recovered(&self, ordinal: u32, location: &Location) {
        if location.capacity().is_some() {
            self.set(ordinal, location, &[]);
            self.look_now(ordinal);
        }
    }

    /// Has somebody look at once whether the location serves anyone who waits.
    fn look_now(&self, ordinal: u32) {
        self.due.lock().insert(ordinal, Timestamp::ZERO);
        self.work.notify_one();
    }

    /// What a location may take on now.
    pub(crate) fn at(&self, ordinal: u32, now: Timestamp) -> Room {
        if !self.is_any.load(Ordering::Relaxed) {
            return Room::default();
        }
        let known = self.known.read();
        known
            .get(&ordinal)
            .map_or_else(Room::default, |capacity| capacity.room(now))
    }

    /// Adds to a decision's inputs which candidates cannot take on all that is wanted. Nothing is
    /// added, nor stored, of those that can.
    pub(crate) fn bound(&self, inputs: &mut Inputs, now: impl FnOnce() -> Timestamp) {
        if !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let now = now();
        let wanted: u64 = inputs.lines.iter().map(|line| u64::from(line.units)).sum();
        let mut room: Vec<(u32, u32)> = Vec::new();
        // Who asks about the order asks about locations' work too.
        let mut load: Vec<(u32, u32)> = Vec::new();
        let asks = inputs.facts.is_some();
        {
            let known = self.known.read();
            for candidate in &inputs.candidates {
                let Some(capacity) = known.get(&candidate.ordinal) else {
                    continue;
                };
                if asks && let Some(permille) = capacity.load_permille(now) {
                    load.push((candidate.ordinal, permille));
                }
                let units = capacity.room(now).for_new_order();
                if u64::from(units) < wanted {
                    room.push((candidate.ordinal, units));
                    self.look_when_open(candidate.ordinal, capacity, now);
                }
            }
        }
        if !room.is_empty() {
            inputs.facts.get_or_insert_default().room = room;
        }
        if let Some(facts) = inputs.facts.as_mut().filter(|_| asks) {
            facts.load_permille = load;
        }
    }

    /// Has somebody look when the location opens next, unless that is to happen earlier anyway.
    fn look_when_open(&self, ordinal: u32, capacity: &Capacity, now: Timestamp) {
        let Some(at) = capacity.next_opening(now) else {
            return;
        };
        if let Entry::Vacant(free) = self.due.lock().entry(ordinal) {
            free.insert(at);
            self.work.notify_one();
        }
    }

    /// Starts the task that looks; it ends with the views.
    pub(crate) fn start(&self, views: Weak<Views>) {
        let work = Arc::clone(&self.work);
        tokio::spawn(async move {
            loop {
                let Some(pause) = views.upgrade().map(|views| pause(&views)) else {
                    return;
                };
                match pause {
                    Some(pause) => drop(tokio::time::timeout(pause, work.notified()).await),
                    None => work.notified().await,
                }
                tokio::time::sleep(GATHER).await;
                let Some(views) = views.upgrade() else { return };
                look(&views);
            }
        });
    }
}

/// Until somebody must look; `None` where nobody must.
fn pause(views: &Views) -> Option<Duration> {
    let next = views.rooms.due.lock().values().min().copied()?;
    let micros = next.0.saturating_sub(views.hosts().node.now().0).max(0);
    Some(Duration::from_micros(micros.unsigned_abs()))
}

/// Looks at each location that is due: orders that wait for what it has are woken if it has room.
fn look(views: &Views) {
    let rooms = &views.rooms;
    let now = views.hosts().node.now();
    let due: Vec<(u32, Timestamp)> = {
        let mut all = rooms.due.lock();
        let due = all.iter().filter(|(_, at)| **at <= now);
        let due: Vec<(u32, Timestamp)> = due.map(|(ordinal, at)| (*ordinal, *at)).collect();
        all.retain(|_, at| *at > now);
        due
    };
    if due.is_empty() {
        return;
    }
    let waiting = waiting_skus(views);
    for (ordinal, at) in due {
        let has = |sku: &&Sku| views.availability.of(sku).at(ordinal) > 0;
        let here: Vec<&Sku> = waiting.iter().filter(has).collect();
        if rooms.at(ordinal, now).for_new_order() > 0 {
            for sku in &here {
                views.replenisher.risen((*sku).clone());
            }
        }
        // An order that is being refused just now waits a moment later: so who looked out of turn
        // looks again in turn.
        if !here.is_empty() || at == Timestamp::ZERO {
            let known = rooms.known.read().get(&ordinal).copied();
            if let Some(capacity) = known {
                rooms.look_when_open(ordinal, &capacity, now);
            }
        }
    }
}

/// The SKUs that orders wait for, in byte order.
fn waiting_skus(views: &Views) -> Vec<Sku> {
    let all = index::waiting_list();
    let end = Bound::Excluded(index::end_of(&all));
    let mut from = Bound::Included(all);
    let mut skus: Vec<Sku> = Vec::new();
    while skus.len() < WAITING_SKUS_MAX {
        let node = &views.hosts().node;
        let rows = match node.index_scan(from, end.clone(), false, 1) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "cannot read who waits for room; their timers will wake them");
                break;
            }
        };
        let Some(sku) = rows.first().and_then(|(key, _)| index::waiting_sku(key)) else {
            break;
        };
        from = Bound::Included(index::end_of(&index::waiting_prefix(&sku)));
        skus.push(sku);
    }
    skus
}
