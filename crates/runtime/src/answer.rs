//! How whoever asked hears what came of it: a caller through its line, an entity through its peer.

use consign_domain::entity::Entity;

use crate::batch::Verdict;
use crate::mailbox::Line;
use crate::types::{AskError, Asked, Peer, TellError};

type Answer<E> = (
    Peer,
    Result<<E as Entity>::Reply, TellError<<E as Entity>::Rejection>>,
);

/// What another entity hears, unless nobody wants it.
pub(crate) fn for_peer<E: Entity>(peer: Peer, verdict: Verdict<E>) -> Option<Answer<E>> {
    (!peer.is_nobody()).then(|| (peer, verdict.for_peer()))
}

/// What a caller from outside hears.
pub(crate) fn answer<E: Entity>(line: Line<E>, result: Result<Asked<E>, AskError<E::Rejection>>) {
    // A caller that has gone away does not undo the command. The permit is free before the caller
    // hears, so that it may ask again at once.
    let Line {
        reply,
        patience,
        hold,
        permit,
    } = line;
    drop((patience, hold, permit));
    let _ = reply.send(result);
}
