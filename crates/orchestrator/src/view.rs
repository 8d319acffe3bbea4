//! The availability view: for each SKU, what each location may still grant. A hint for sourcing;
//! the location's own answer is the truth and corrects it.
//!
//! In: every committed change of a location. Out: dense cells by location ordinal. Cells are
//! interned per SKU; last value wins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use consign_domain::ids::Sku;
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::atlas::Stock;

/// Locations that the view has room for; definitions beyond it are refused.
pub const LOCATIONS_MAX: u32 = 4_096;

/// Cells of one SKU by location ordinal, grown by replacement.
type Cells = Arc<[AtomicI64]>;

/// What each location may still grant, by SKU.
#[derive(Debug, Default)]
pub struct AvailabilityView {
    cells: RwLock<HashMap<Sku, Cells, RandomState>>,
}

impl AvailabilityView {
    /// Takes in that `sku` has `available` units at the location with `ordinal`.
    pub fn set(&self, sku: &Sku, ordinal: u32, available: i64) {
        let at = ordinal as usize;
        if let Some(cells) = self.cells.read().get(sku)
            && let Some(cell) = cells.get(at)
        {
            cell.store(available, Ordering::Relaxed);
            return;
        }
        let mut all = self.cells.write();
        let old = all
            .get(sku)
            .cloned()
            .unwrap_or_else(|| Arc::from(Vec::new()));
        // Room for a few more locations, so that growing is rare.
        let size = (at + 1).next_multiple_of(16);
        let grown: Cells = (0..size.max(old.len()))
            .map(|i| AtomicI64::new(old.get(i).map_or(0, |cell| cell.load(Ordering::Relaxed))))
            .collect();
        grown[at].store(available, Ordering::Relaxed);
        all.insert(sku.clone(), grown);
    }

    /// The cells of `sku`, to be read without a lock.
    #[must_use]
    pub fn of(&self, sku: &Sku) -> AvailabilityOfSku {
        AvailabilityOfSku {
            cells: self.cells.read().get(sku).cloned(),
            more: Vec::new(),
        }
    }
}

/// One SKU's cells.
#[derive(Debug, Clone)]
pub struct AvailabilityOfSku {
    cells: Option<Cells>,
    /// (ordinal, units) that are thought to be there besides; none for what is there now.
    more: Vec<(u32, i64)>,
}

impl Stock for AvailabilityOfSku {
    fn at(&self, ordinal: u32) -> i64 {
        let cell = self.cells.as_ref();
        let there = cell
            .and_then(|cells| cells.get(ordinal as usize))
            .map_or(0, |cell| cell.load(Ordering::Relaxed));
        let more = self.more.iter().filter(|(of, _)| *of == ordinal);
        more.fold(there, |sum, (_, units)| sum.saturating_add(*units))
    }
}

impl AvailabilityOfSku {
    /// As if these were there too: (ordinal, units).
    #[must_use]
    pub fn with(self, more: Vec<(u32, i64)>) -> AvailabilityOfSku {
        AvailabilityOfSku { more, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_grow_and_keep_their_values() {
        let view = AvailabilityView::default();
        let sku = Sku::new("A").expect("valid");
        view.set(&sku, 0, 5);
        view.set(&sku, 40, 7);
        view.set(&sku, 0, 4);
        let cells = view.of(&sku);
        assert_eq!(
            (cells.at(0), cells.at(1), cells.at(40), cells.at(4_000)),
            (4, 0, 7, 0)
        );
        assert_eq!(view.of(&Sku::new("a").expect("valid")).at(0), 0);
    }
}
