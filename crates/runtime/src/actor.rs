//! The actor of one entity. Only `apply` changes its state.
//!
//! ```text
//!  mails ─► waiting ─► decide as one batch ─► journal (one write in flight)
//!                ▲                                │ durable
//!                └──── next batch gathers         ▼
//!                          effects, replies, answers to peers leave
//! ```
//! In: mails, all at once per sweep. Out: after durability and only then: effects, replies (L2).
//! Its life: called by the router with the first mail; loads its state; retires when it has
//! nothing pending, nothing waiting, nobody to answer, and has received all that was sent; fails
//! only by a bug outside `decide` and `apply`, and is then restarted by its supervisor, with its
//! mailbox as it was. One that has retired is not stopped but waits to become another entity of its
//! kind: a start and a stop cost ractor ten allocations, two tasks and four channels.

mod leaving;

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use consign_domain::entity::{Effect, Entity};
use consign_domain::time::Timestamp;
use consign_journal::LeaderId;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use self::leaving::{turn_away, turn_away_all};
use crate::answer::{answer, for_peer};
use crate::batch::{Batch, Fate, Finished, Judged, Verdict};
use crate::host::HostInner;
use crate::mailbox::{Asker, Errand, Line, Mail, Mailbox, Outcome, Sent};
use crate::types::{AskError, Asked, EntityRef};

/// Longest time until an effect without an answer is sent again, in milliseconds.
const RESEND_AFTER_MAX_MS: u64 = 30_000;

/// ractor's handler; all state is in [`EntityState`].
pub(crate) struct EntityActor<E>(PhantomData<fn() -> E>);

impl<E> Default for EntityActor<E> {
    fn default() -> Self {
        EntityActor(PhantomData)
    }
}

/// When an effect is to be sent again.
struct Due {
    due_ms: u64,
    after_ms: u64,
}

/// What one actor holds.
pub(crate) struct EntityState<E: Entity> {
    host: Arc<HostInner<E>>,
    entity: EntityRef,
    id: E::Id,
    mailbox: Arc<Mailbox<E>>,
    received: u64,
    /// Whether it has not looked at its state yet.
    is_new: bool,
    /// Whether the disk cannot have it: its id was drawn for a command that is here.
    is_drawn: bool,
    /// The committed state, if it is at hand. Of an entity that stays in memory it is not kept from
    /// one sweep to the next: who alone has a state can change it where it lies.
    state: Option<Arc<E>>,
    /// Of an entity that stays in memory: what the next batch is decided on. It is equal to the
    /// committed state unless a write is in flight, and shares hardly anything with it, so that
    /// both take events in without copying the paths to what changes.
    ahead: Option<E>,
    waiting: VecDeque<Sent<E>>,
    /// Callers who wait for the outcome of what is durable.
    settling: Vec<(Line<E>, E::Reply, bool)>,
    /// Pending effects that were sent.
    performed: HashMap<<E::Effect as Effect>::Key, Due>,
    wakeup: Option<Timestamp>,
    spare: Vec<Mail<E>>,
    /// Under whom it decides; none when its partition is led elsewhere: then it ends, and whoever
    /// waits hears so.
    lead: Option<LeaderId>,
    retired: bool,
}

impl<E: Entity> Actor for EntityActor<E> {
    type Msg = Errand<E>;
    /// Whom the actor is; nobody while it is idle.
    type State = Option<Box<EntityState<E>>>;
    type Arguments = Box<EntityState<E>>;

    async fn pre_start(
        &self,
        _: ActorRef<Errand<E>>,
        state: Box<EntityState<E>>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(state))
    }

    async fn handle(
        &self,
        myself: ActorRef<Errand<E>>,
        errand: Errand<E>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Errand::Become(next) = errand {
            *state = Some(next);
        }
        let Some(entity) = state else { return Ok(()) };
        entity.sweep();
        if entity.retired {
            let host = Arc::clone(&entity.host);
            *state = None;
            host.idle(myself);
        }
        Ok(())
    }
}

impl<E: Entity> EntityState<E> {
    pub(crate) fn new(
        host: Arc<HostInner<E>>,
        id: E::Id,
        mailbox: Arc<Mailbox<E>>,
        received: u64,
    ) -> Self {
        let entity = EntityRef::of::<E>(&id);
        EntityState {
            lead: host.node.lead(host.partition(&entity)),
            entity,
            host,
            id,
            mailbox,
            received,
            is_new: true,
            is_drawn: false,
            state: None,
            ahead: None,
            waiting: VecDeque::new(),
            settling: Vec::new(),
            performed: HashMap::new(),
            wakeup: None,
            spare: Vec::new(),
            retired: false,
        }
    }

    fn sweep(&mut self) {
        let mut mails = std::mem::take(&mut self.spare);
        let swept = self.mailbox.take(&mut mails);
        self.received = swept.sent;
        let (mut resend, mut retime) = (false, false);
        let mut refused = Vec::new();
        for mail in mails.drain(..) {
            match mail {
                Mail::Moved => self.moved(),
                Mail::Command(sent) if self.lead.is_none() => turn_away(sent.asker),
                Mail::Command(sent) if self.host.quarantine.holds(&self.id) => {
                    refused.push(Judged {
                        asker: sent.asker,
                        verdict: Verdict::Quarantined,
                    });
                }
                Mail::Command(sent) => {
                    self.is_drawn |= self.is_new && sent.draws_id();
                    self.waiting.push_back(sent);
                }
                Mail::Finished(finished) => self.finished(*finished),
                Mail::Resend => resend = true,
                Mail::ResendAll => {
                    resend = true;
                    self.performed
                        .values_mut()
                        .for_each(|sent| *sent = Due::anew());
                }
                Mail::Nudge => retime = true,
            }
        }
        self.spare = mails;
        if !refused.is_empty() {
            self.refuse_all(refused, || Verdict::Quarantined);
        }
        let decides = !swept.in_flight && !self.waiting.is_empty();
        let stays = self.host.resident;
        if self.lead.is_none() {
            return self.maybe_retire();
        }
        if self.is_new || retime || decides || (!stays && self.state.is_none()) {
            let Some(state) = self.loaded() else { return };
            if retime {
                self.wakeup = state.wakeup();
                self.host.node.timers.set(&self.entity, self.wakeup);
            }
            if decides {
                self.decide(state);
            }
        }
        if resend {
            self.perform(true);
        }
        self.mailbox
            .backlog
            .store(self.waiting.len(), Ordering::Relaxed);
        self.maybe_retire();
        if stays {
            self.state = None;
        }
    }

    /// The committed state; reads it when it is not at hand.
    fn loaded(&mut self) -> Option<Arc<E>> {
        if let Some(state) = &self.state {
            return Some(Arc::clone(state));
        }
        let loaded = if std::mem::take(&mut self.is_drawn) {
            Ok(self.host.in_memory_or_empty(&self.id))
        } else {
            self.host.load_or_empty(&self.id)
        };
        match loaded {
            Ok(state) => {
                self.state = Some(Arc::clone(&state));
                if std::mem::replace(&mut self.is_new, false) {
                    self.wakeup = state.wakeup();
                    if state.has_pending() {
                        self.perform(true);
                    }
                }
                Some(state)
            }
            Err(error) => {
                tracing::error!(kind = E::KIND, entity = %self.id, %error, "cannot read the entity");
                let reason = compact_str::format_compact!("{error}");
                for Sent { asker, .. } in std::mem::take(&mut self.waiting) {
                    if let Asker::Outside(outside) = asker {
                        let reason = reason.clone();
                        answer(outside.line, Err(AskError::Unavailable { reason }));
                    }
                }
                self.maybe_retire();
                None
            }
        }
    }

    /// Decides what waits and writes it, or answers at once what needs no write.
    fn decide(&mut self, state: Arc<E>) {
        let keeps_ahead = self.host.resident;
        while !self.waiting.is_empty() {
            let now = self.host.node.now();
            let ahead = keeps_ahead.then(|| self.ahead.take().unwrap_or_else(|| E::clone(&state)));
            let commands = &self.host.node.commands;
            let batch = Batch::decide(&state, ahead, &mut self.waiting, now, commands);
            self.host
                .metrics
                .commands
                .increment(batch.judged.len() as u64);
            if batch.panics > 0 {
                self.host.failed(&self.id, batch.panics);
            }
            if batch.is_silent() {
                let (judged, ahead) = batch.into_silence();
                self.ahead = ahead;
                self.answer_all(judged, &state);
                continue;
            }
            match batch.encode(&self.entity, keeps_ahead) {
                Ok((body, finished, ahead)) => {
                    self.host.metrics.batches.increment(1);
                    self.ahead = ahead;
                    if keeps_ahead {
                        self.state = None;
                        drop(state);
                    }
                    self.host.append(
                        self.lead,
                        &self.entity,
                        &self.id,
                        &self.mailbox,
                        body,
                        finished,
                    );
                    return;
                }
                Err((error, judged)) => {
                    tracing::error!(kind = E::KIND, entity = %self.id, %error, "a batch cannot be written");
                    self.refuse_all(judged, || Verdict::Panicked);
                }
            }
        }
    }

    /// The write in flight has ended.
    fn finished(&mut self, finished: Finished<E>) {
        let Finished {
            state,
            steps,
            judged,
            fate,
            ..
        } = finished;
        if !matches!(fate, Fate::Durable) {
            self.ahead = None;
        }
        match fate {
            Fate::Durable => {}
            Fate::Open | Fate::Fenced => {
                // Whatever this actor believed is not the newest state: read it again.
                self.state = None;
                let reason = "decided on a state that was overtaken";
                return self.refuse_all(judged, || Verdict::Unreadable(reason.into()));
            }
            Fate::Refused(reason) => {
                return self.refuse_all(judged, || Verdict::Unreadable(reason.clone()));
            }
            Fate::Lost(reason) => {
                self.state = None;
                return turn_away_all(judged, &reason);
            }
            Fate::Stopped(reason) => return self.stop_all(judged, &reason),
        }
        let was_new = std::mem::replace(&mut self.is_new, false);
        self.state = state;
        let Some(state) = self.loaded() else {
            let reason = "done, but the state cannot be read";
            return self.refuse_all(judged, || Verdict::Unreadable(reason.into()));
        };
        let wakeup = state.wakeup();
        if wakeup != self.wakeup || was_new {
            self.host.node.timers.set(&self.entity, wakeup);
            self.wakeup = wakeup;
        }
        for step in steps.iter().filter(|step| !step.events.is_empty()) {
            self.host.behaviour.committed(&state, &step.events);
        }
        self.perform(false);
        self.answer_all(judged, &state);
        if !self.settling.is_empty() && state.settled() {
            for (line, reply, replayed) in self.settling.drain(..) {
                let state = Arc::clone(&state);
                answer(
                    line,
                    Ok(Asked {
                        reply,
                        replayed,
                        state,
                        settled: true,
                    }),
                );
            }
        }
    }

    /// Sends the effects that are pending and were not sent, and with `resend` those that are due.
    fn perform(&mut self, resend: bool) {
        let Some(state) = self.loaded() else { return };
        if !state.has_pending() {
            self.performed.clear();
            self.mailbox.resend_at_ms.store(0, Ordering::Relaxed);
            return;
        }
        let pending = state.pending();
        let now_ms = self.host.now_ms();
        let first_ms = self.host.node.resend_after_ms(now_ms);
        let mut leaving = Vec::new();
        let mut kept = HashMap::with_capacity(pending.len());
        let mut resent = 0_u64;
        for effect in pending {
            let key = effect.key();
            let sent = match self.performed.remove(&key) {
                Some(sent) if !resend || sent.due_ms > now_ms => sent,
                Some(sent) => {
                    resent += 1;
                    leaving.push(effect);
                    let after_ms = (sent.after_ms * 2).min(RESEND_AFTER_MAX_MS);
                    Due::after(now_ms, after_ms.max(first_ms))
                }
                None => {
                    leaving.push(effect);
                    Due::after(now_ms, first_ms)
                }
            };
            kept.insert(key, sent);
        }
        self.performed = kept;
        let next = self
            .performed
            .values()
            .map(|sent| sent.due_ms)
            .min()
            .unwrap_or(0);
        self.mailbox.resend_at_ms.store(next, Ordering::Relaxed);
        if resent > 0 {
            self.host.metrics.resends.increment(resent);
        }
        if !leaving.is_empty() {
            self.host.behaviour.perform(&self.id, leaving);
        }
    }

    fn answer_all(&mut self, judged: Vec<Judged<E>>, state: &Arc<E>) {
        let mut to_peers = Vec::new();
        for Judged { asker, verdict } in judged {
            match asker {
                Asker::Peer(peer) => to_peers.extend(for_peer(peer, verdict)),
                Asker::Outside(outside) => match verdict.for_outside() {
                    Ok((reply, replayed)) => {
                        let request_id = outside.request_id.as_deref().unwrap_or_default();
                        let version = state.version();
                        tracing::debug!(kind = E::KIND, entity = %self.id, request_id, version, "durable");
                        self.answer_outside(outside.line, reply, replayed, state)
                    }
                    Err(error) => answer(outside.line, Err(error)),
                },
            }
        }
        if !to_peers.is_empty() {
            self.host.behaviour.answered(&self.id, to_peers);
        }
    }

    fn answer_outside(&mut self, line: Line<E>, reply: E::Reply, replayed: bool, state: &Arc<E>) {
        let settled = state.settled();
        let Some(patience) = line.patience.as_ref().filter(|_| !settled) else {
            return answer(
                line,
                Ok(Asked {
                    reply,
                    replayed,
                    state: Arc::clone(state),
                    settled,
                }),
            );
        };
        let asked = Asked {
            reply: reply.clone(),
            replayed,
            state: Arc::clone(state),
            settled,
        };
        let mut outcome = patience.0.lock();
        if matches!(*outcome, Outcome::Impatient) {
            drop(outcome);
            return answer(line, Ok(asked));
        }
        *outcome = Outcome::Durable(Box::new(asked));
        drop(outcome);
        self.settling.push((line, reply, replayed));
    }

    fn refuse_all(&mut self, judged: Vec<Judged<E>>, verdict: impl Fn() -> Verdict<E>) {
        let mut to_peers = Vec::new();
        for Judged { asker, .. } in judged {
            match asker {
                Asker::Peer(peer) => to_peers.extend(for_peer(peer, verdict())),
                Asker::Outside(outside) => {
                    if let Err(error) = verdict().for_outside() {
                        answer(outside.line, Err(error));
                    }
                }
            }
        }
        if !to_peers.is_empty() {
            self.host.behaviour.answered(&self.id, to_peers);
        }
    }
}

impl<E: Entity> Drop for EntityState<E> {
    /// An actor that ends without having retired has failed: its supervisor hears of it.
    fn drop(&mut self) {
        if !self.retired {
            self.host.actor_failed(&self.id, &self.mailbox);
        }
    }
}

impl Due {
    /// At once, and after that as if it had never been sent.
    fn anew() -> Due {
        Due {
            due_ms: 0,
            after_ms: 0,
        }
    }

    fn after(now_ms: u64, after_ms: u64) -> Due {
        // Up to a quarter later, so that what failed together does not return together.
        let jitter = rand::random::<u64>() % (after_ms / 4 + 1);
        Due {
            due_ms: now_ms + after_ms + jitter,
            after_ms,
        }
    }
}
