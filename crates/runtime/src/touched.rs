//! The keys of the parts that changed, gathered as they come and told apart only when somebody asks:
//! a set that is kept in order would compare long keys at every event.
//!
//! In: keys, many of them again and again. Out: each once, rising. Bounded (L8) by what is there: it
//! never holds more than twice as many keys as differ, and a few.

/// Keys beyond which it is worth looking for repetitions.
const COMPACT_MIN: usize = 256;

/// Gathered keys.
#[derive(Clone, Debug)]
pub(crate) struct Touched<K> {
    keys: Vec<K>,
    compact_at: usize,
}

impl<K> Default for Touched<K> {
    fn default() -> Self {
        Touched {
            keys: Vec::new(),
            compact_at: COMPACT_MIN,
        }
    }
}

impl<K: Ord> Touched<K> {
    /// Lets `gather` push keys.
    pub(crate) fn gather(&mut self, gather: impl FnOnce(&mut Vec<K>)) {
        gather(&mut self.keys);
        if self.keys.len() >= self.compact_at {
            self.compact();
            self.compact_at = (self.keys.len() * 2).max(COMPACT_MIN);
        }
    }

    /// Takes in all of `other`.
    pub(crate) fn append(&mut self, mut other: Touched<K>) {
        self.gather(|keys| keys.append(&mut other.keys));
    }

    /// Some key.
    pub(crate) fn first(&self) -> Option<&K> {
        self.keys.first()
    }

    /// Each key once, rising.
    pub(crate) fn into_sorted(mut self) -> Vec<K> {
        self.compact();
        self.keys
    }

    fn compact(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_comes_out_once_and_repetitions_take_no_room() {
        let mut touched = Touched::default();
        for n in 0..100_000_u32 {
            touched.gather(|keys| keys.extend([n % 300, 7]));
            assert!(touched.keys.len() <= 2 * 300 + 2);
        }
        let mut other = Touched::default();
        other.gather(|keys| keys.push(500));
        touched.append(other);
        let expected: Vec<u32> = (0..300).chain([500]).collect();
        assert_eq!(touched.into_sorted(), expected);
    }
}
