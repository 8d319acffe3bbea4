//! Values by SKU: found by hash, walked in byte order. A location looks each SKU of each order up
//! four times, and a walk through a tree of names would be most of the work.
//!
//! Persistent: a clone costs a few pointers, a change copies only the nodes on its way.

use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::FixedState;
use imbl::{GenericHashMap, OrdSet, shared_ptr::DefaultSharedPtr};

use crate::ids::Sku;

/// Each SKU's value. Values never go: a SKU that was once known stays so.
#[derive(Clone, Debug)]
pub struct BySku<T> {
    /// The hasher's seed is fixed (L10), and nothing depends on the order in here.
    values: GenericHashMap<Sku, Arc<T>, FixedState, DefaultSharedPtr>,
    names: OrdSet<Sku>,
}

impl<T> Default for BySku<T> {
    fn default() -> Self {
        BySku {
            values: GenericHashMap::default(),
            names: OrdSet::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for BySku<T> {
    fn eq(&self, other: &Self) -> bool {
        let same = |sku| self.get(sku) == other.get(sku);
        self.names == other.names && self.names.iter().all(same)
    }
}

impl<T: Eq> Eq for BySku<T> {}

impl<T> BySku<T> {
    /// A SKU's value.
    #[must_use]
    pub fn get(&self, sku: &Sku) -> Option<&Arc<T>> {
        self.values.get(sku)
    }

    /// Puts a value in the place of the one that was there, if any.
    pub fn insert(&mut self, sku: Sku, value: Arc<T>) {
        if let Some(there) = self.values.get_mut(&sku) {
            *there = value;
            return;
        }
        self.names.insert(sku.clone());
        self.values.insert(sku, value);
    }

    /// All after one, in byte order of the SKUs.
    pub fn after(&self, after: Option<&Sku>) -> impl Iterator<Item = (&Sku, &Arc<T>)> {
        let from = after.map_or(Bound::Unbounded, |sku| Bound::Excluded(sku.clone()));
        let names = self.names.range((from, Bound::Unbounded));
        names.filter_map(|sku| Some((sku, self.values.get(sku)?)))
    }
}

impl<T: Clone> BySku<T> {
    /// A SKU's value, to be changed.
    pub fn get_mut(&mut self, sku: &Sku) -> Option<&mut T> {
        self.values.get_mut(sku).map(Arc::make_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::new(text).expect("a valid SKU")
    }

    #[test]
    fn walks_are_in_byte_order_and_copies_keep_their_values() {
        let mut all = BySku::default();
        for name in ["b", "A", "a", "10", "9"] {
            all.insert(sku(name), Arc::new(0));
        }
        let before = all.clone();
        *all.get_mut(&sku("a")).expect("it is there") = 7;
        all.insert(sku("b"), Arc::new(8));
        all.insert(sku("c"), Arc::new(9));
        let walk = |of: &BySku<i32>, after: Option<&Sku>| -> Vec<(String, i32)> {
            of.after(after)
                .map(|(sku, value)| (sku.to_string(), **value))
                .collect()
        };
        let expected = [("10", 0), ("9", 0), ("A", 0), ("a", 7), ("b", 8), ("c", 9)]
            .map(|(name, value)| (name.to_owned(), value));
        assert_eq!(walk(&all, None), expected);
        assert_eq!(walk(&all, Some(&sku("A"))), expected[3..]);
        assert!(walk(&before, None).iter().all(|(_, value)| *value == 0));
        assert_eq!(before.after(None).count(), 5);
        assert!(all != before && all == all.clone());
    }
}
