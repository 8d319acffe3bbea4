//! How an actor leaves: with nothing left to do, with its partition, or with the node.
//!
//! In: an actor's state. Out: everybody who waits for it has heard, and its place is free.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use consign_domain::entity::Entity;

use super::EntityState;
use crate::answer::answer;
use crate::batch::Judged;
use crate::erased::AnyHost;
use crate::mailbox::{Asker, Sent};
use crate::types::{AskError, Asked};

impl<E: Entity> EntityState<E> {
    /// The journal has stopped: everybody hears so, and nothing more leaves.
    pub(super) fn stop_all(&mut self, judged: Vec<Judged<E>>, reason: &str) {
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|sent| sent.asker);
        for asker in judged.into_iter().map(|judged| judged.asker).chain(waiting) {
            if let Asker::Outside(outside) = asker {
                answer(
                    outside.line,
                    Err(AskError::Stopped {
                        reason: reason.into(),
                    }),
                );
            }
        }
        for (line, ..) in self.settling.drain(..) {
            let reason = reason.into();
            answer(line, Err(AskError::Stopped { reason }));
        }
        self.performed.clear();
        self.mailbox.resend_at_ms.store(0, Ordering::Relaxed);
    }

    /// The partition went to another node. Who waits to be heard is turned away; who waits for the
    /// outcome of what is durable hears that it is durable.
    pub(super) fn moved(&mut self) {
        self.lead = None;
        for Sent { asker, .. } in std::mem::take(&mut self.waiting) {
            turn_away(asker);
        }
        let state = self.host.load_or_empty(&self.id).ok();
        for (line, reply, replayed) in std::mem::take(&mut self.settling) {
            let result = match &state {
                Some(state) => Ok(Asked {
                    reply,
                    replayed,
                    state: Arc::clone(state),
                    settled: state.settled(),
                }),
                None => Err(AskError::Moved),
            };
            answer(line, result);
        }
        (self.state, self.ahead) = (None, None);
        self.performed.clear();
        self.mailbox.resend_at_ms.store(0, Ordering::Relaxed);
    }

    /// Leaves as soon as there is nothing to do: being reborn is cheaper than staying. In a crowd
    /// it also leaves while it only waits for answers, and is reminded when they are overdue.
    pub(super) fn maybe_retire(&mut self) {
        self.settling.retain(|(line, ..)| !line.reply.is_closed());
        let idle = self.waiting.is_empty() && self.settling.is_empty();
        if self.lead.is_none() {
            self.retired = self.host.retire(&self.id, &self.mailbox, self.received);
            if self.retired && self.host.lives_here(&self.id) {
                // It came back meanwhile; whoever looked for what is pending found this actor.
                Arc::clone(&self.host).wake_pending(&self.entity);
            }
            return;
        }
        if !idle || self.host.resident {
            return;
        }
        let due_ms = self.mailbox.resend_at_ms.load(Ordering::Relaxed);
        let pending = self.state.as_ref().is_some_and(|state| state.has_pending());
        if pending && (due_ms == 0 || !self.host.is_crowded()) {
            return;
        }
        self.retired = self.host.retire(&self.id, &self.mailbox, self.received);
        if self.retired && pending {
            let millis =
                i64::try_from(due_ms.saturating_sub(self.host.now_ms())).unwrap_or(i64::MAX);
            let node = &self.host.node;
            node.reminders
                .set(&self.entity, Some(node.now().plus_millis(millis)));
        }
    }
}

/// Says that the entity lives elsewhere; nothing was done. Entities ask again by themselves.
pub(super) fn turn_away<E: Entity>(asker: Asker<E>) {
    if let Asker::Outside(outside) = asker {
        answer(outside.line, Err(AskError::Moved));
    }
}

/// Says that whether it was done is known elsewhere.
pub(super) fn turn_away_all<E: Entity>(judged: Vec<Judged<E>>, reason: &str) {
    tracing::debug!(reason, commands = judged.len(), "turned away");
    for Judged { asker, .. } in judged {
        turn_away(asker);
    }
}
