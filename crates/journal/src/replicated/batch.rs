//! All that waited for a partition, as one entry of its Raft log: the same bytes on every disk and
//! on every line.
//!
//! ```text
//! batch = count u32 | term u64 | node u64 | ticket u64 | item × count
//! item  = expected u64 | entity_len u16 | body_len u32 | private_len u32 (0xffff_ffff: none)
//!       | entity | body | private
//! ```
//! All numbers are little-endian.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::log::Entry;
use crate::take::take;

/// Stands for "no private record".
const NO_PRIVATE: u32 = u32::MAX;
const HEAD_BYTES: usize = 4 + 8 + 8 + 8;

/// Who leads a partition: a node, in a term of which it is the only leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaderId {
    /// Counts elections.
    pub term: u64,
    /// The node.
    pub node: u64,
}

impl fmt::Display for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} in term {}", self.node, self.term)
    }
}

/// The bytes of a batch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Bytes);

/// What stands before the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Items.
    pub(crate) count: u32,
    /// Under whom it was decided.
    pub(crate) lead: LeaderId,
    /// Names it among the batches of the process that made it.
    pub(crate) ticket: u64,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.head())
    }
}

impl Batch {
    pub(crate) fn of<'a>(
        lead: LeaderId,
        ticket: u64,
        entries: impl ExactSizeIterator<Item = &'a Entry> + Clone,
    ) -> Batch {
        let size: u64 = entries.clone().map(|entry| entry.size() + 18).sum();
        let mut out = Vec::with_capacity(HEAD_BYTES + usize::try_from(size).unwrap_or_default());
        out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        for number in [lead.term, lead.node, ticket] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for entry in entries {
            out.extend_from_slice(&entry.expected.to_le_bytes());
            out.extend_from_slice(&(entry.entity.len() as u16).to_le_bytes());
            out.extend_from_slice(&(entry.body.len() as u32).to_le_bytes());
            let private = entry
                .private
                .as_ref()
                .map_or(NO_PRIVATE, |it| it.len() as u32);
            out.extend_from_slice(&private.to_le_bytes());
            out.extend_from_slice(&entry.entity);
            out.extend_from_slice(&entry.body);
            out.extend_from_slice(entry.private.as_deref().unwrap_or_default());
        }
        Batch(Bytes::from(out))
    }

    /// What stands before the items; nothing is in a batch that has been damaged.
    pub(crate) fn head(&self) -> Head {
        self.try_head().unwrap_or(Head {
            count: 0,
            lead: LeaderId { term: 0, node: 0 },
            ticket: 0,
        })
    }

    fn try_head(&self) -> Result<Head, &'static str> {
        let mut at = 0;
        let count = u32::from_le_bytes(take(&self.0, &mut at)?);
        let mut number = || take(&self.0, &mut at).map(u64::from_le_bytes);
        let (term, node, ticket) = (number()?, number()?, number()?);
        Ok(Head {
            count,
            lead: LeaderId { term, node },
            ticket,
        })
    }

    /// How many records it is, committed under `term`, which has one leader.
    pub(crate) fn records_under(&self, term: u64) -> u64 {
        let head = self.head();
        if head.lead.term == term {
            u64::from(head.count)
        } else {
            0
        }
    }

    /// Its items.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub(crate) fn items(&self) -> Result<Vec<Entry>, &'static str> {
        let mut items = Vec::new();
        let mut at = HEAD_BYTES;
        for _ in 0..self.try_head()?.count {
            let expected = u64::from_le_bytes(take(&self.0, &mut at)?);
            let entity_len = usize::from(u16::from_le_bytes(take(&self.0, &mut at)?));
            let body_len = u32::from_le_bytes(take(&self.0, &mut at)?) as usize;
            let private_len = u32::from_le_bytes(take(&self.0, &mut at)?);
            let mut slice = |len: usize| {
                let stop = at.checked_add(len).filter(|stop| *stop <= self.0.len());
                let stop = stop.ok_or("it is cut off")?;
                let bytes = self.0.slice(at..stop);
                at = stop;
                Ok::<Bytes, &'static str>(bytes)
            };
            let (entity, body) = (slice(entity_len)?, slice(body_len)?);
            let private = match private_len {
                NO_PRIVATE => None,
                len => Some(slice(len as usize)?),
            };
            items.push(Entry {
                entity,
                expected,
                body,
                private,
            });
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEAD: LeaderId = LeaderId { term: 3, node: 2 };

    fn entry(body: &[u8], private: Option<&[u8]>) -> Entry {
        Entry {
            entity: Bytes::from_static(b"e"),
            expected: 7,
            body: Bytes::copy_from_slice(body),
            private: private.map(Bytes::copy_from_slice),
        }
    }

    /// The layout is a contract with disks and with nodes of other versions.
    #[test]
    fn a_batch_is_these_bytes() {
        let batch = Batch::of(LEAD, 9, [entry(b"cd", Some(b"f"))].iter());
        let golden: &[u8] = &[
            1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7,
            0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'e', b'c', b'd', b'f',
        ];
        assert_eq!(&batch.0[..], golden);
    }

    /// The fence of L4: committed under anybody else, it is nothing.
    #[test]
    fn a_batch_counts_only_under_the_leader_that_decided_it() {
        let batch = Batch::of(LEAD, 9, [entry(b"a", None), entry(b"b", None)].iter());
        assert_eq!(batch.records_under(3), 2);
        assert_eq!(batch.records_under(4), 0);
        assert_eq!(batch.records_under(2), 0);
    }

    proptest! {
        #[test]
        fn batches_come_back(bodies in proptest::collection::vec((
            proptest::collection::vec(any::<u8>(), 0..50),
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))), 0..8))
        {
            let entries: Vec<Entry> =
                bodies.iter().map(|(body, private)| entry(body, private.as_deref())).collect();
            prop_assert_eq!(Batch::of(LEAD, 1, entries.iter()).items(), Ok(entries));
        }

        #[test]
        fn noise_is_an_error_not_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let batch = Batch(Bytes::from(noise));
            let _ = (batch.head(), batch.items());
        }
    }
}
