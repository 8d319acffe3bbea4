//! A committed state in memory: whole, or packed into its stored form.
//!
//! In: states that wait for a checkpoint and that nobody has looked at for a while. Out: the same
//! states, in a fraction of the room, so that a checkpoint can wait until it is worth its while.
//! Only entities of one part are packed: they are small, many, and done with after a few steps.

use std::sync::Arc;

use bytes::Bytes;
use consign_domain::entity::Entity;

use crate::codec::{self, CodecError};

/// A committed state.
#[derive(Debug)]
pub(crate) enum Held<E> {
    Whole(Arc<E>),
    Packed(Packed),
}

/// A state as bytes.
#[derive(Debug)]
pub(crate) struct Packed {
    version: u64,
    /// Its only part, key and value.
    part: Box<[u8]>,
    private: Option<Bytes>,
}

impl<E: Entity> Held<E> {
    pub(crate) fn version(&self) -> u64 {
        match self {
            Held::Whole(state) => state.version(),
            Held::Packed(packed) => packed.version,
        }
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, Held::Packed(_))
    }

    /// The state, for somebody who looks once.
    pub(crate) fn look(&self, id: &E::Id) -> Arc<E> {
        match self {
            Held::Whole(state) => Arc::clone(state),
            Held::Packed(packed) => Arc::new(packed.unpack(id)),
        }
    }

    /// The state, whole from now on.
    pub(crate) fn whole(&mut self, id: &E::Id) -> &mut Arc<E> {
        if let Held::Packed(packed) = self {
            *self = Held::Whole(Arc::new(packed.unpack(id)));
        }
        match self {
            Held::Whole(state) => state,
            Held::Packed(_) => unreachable!("it was unpacked above"),
        }
    }

    /// Packs it. `private` is its personal record encoded, where that is at hand.
    pub(crate) fn pack(
        &mut self,
        key: &E::PartKey,
        private: Option<&Bytes>,
    ) -> Result<(), CodecError> {
        let Held::Whole(state) = self else {
            return Ok(());
        };
        let Some(part) = state.part(key) else {
            return Ok(());
        };
        let private = match (private, state.private()) {
            (_, None) => None,
            (Some(encoded), Some(_)) => Some(encoded.clone()),
            (None, Some(private)) => Some(codec::encode(&private)?.into()),
        };
        *self = Held::Packed(Packed {
            version: state.version(),
            part: codec::encode(&(key, part))?.into(),
            private,
        });
        Ok(())
    }
}

impl Packed {
    fn unpack<E: Entity>(&self, id: &E::Id) -> E {
        let part = codec::decode(&self.part).expect("what was encoded here decodes");
        let mut state = E::assemble(id.clone(), vec![part]);
        if let Some(private) = &self.private {
            state.apply_private(&codec::decode(private).expect("what was encoded here decodes"));
        }
        state
    }
}
