//! Deciding all that waits as one batch, on a scratch copy over the committed state.
//!
//! In: the committed state, the commands that wait, the time. Out: the steps to write, the state
//! that they lead to, and each asker's outcome. Nothing here is observable: outcomes leave when
//! the steps are durable (L2). A command that panics changes nothing and costs nobody else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use consign_domain::entity::{Context, Entity};
use consign_domain::time::Timestamp;

use crate::codec::{self, CodecError, Keyed, Record, Step};
use crate::commands::Commands;
use crate::mailbox::{Asker, Outside, Sent};
use crate::touched::Touched;
use crate::types::{AskError, CommandKey, EntityRef, Remembered, TellError};

/// Commands decided as one batch at most.
const BATCH_COMMANDS_MAX: usize = 4_096;
/// Events in one batch, over which no further command joins it.
const BATCH_EVENTS_MAX: usize = 16_384;
/// The principal of messages between entities.
const BY_SYSTEM: CompactString = CompactString::const_new("system");

/// What a command came to.
pub(crate) enum Verdict<E: Entity> {
    /// It is answered.
    Reply { reply: E::Reply, replayed: bool },
    /// It is refused.
    Rejected(E::Rejection),
    /// The version is another.
    VersionMismatch { current: u64 },
    /// It panicked.
    Panicked,
    /// The entity is set aside.
    Quarantined,
    /// A remembered answer cannot be read.
    Unreadable(CompactString),
}

/// One asker's outcome.
pub(crate) struct Judged<E: Entity> {
    pub(crate) asker: Asker<E>,
    pub(crate) verdict: Verdict<E>,
}

/// A decided batch.
pub(crate) struct Batch<E: Entity> {
    pub(crate) base: Arc<E>,
    /// The state after the steps so far; absent while nothing changed.
    scratch: Option<E>,
    steps: Vec<Step<E::Event>>,
    pub(crate) judged: Vec<Judged<E>>,
    touched: Touched<E::PartKey>,
    private: Option<E::Private>,
    events: usize,
    pub(crate) panics: u32,
}

/// A batch on its way to the journal and back.
pub(crate) struct Finished<E: Entity> {
    pub(crate) expected: u64,
    /// The state that the steps lead to; absent where the committed state takes the steps in.
    pub(crate) state: Option<Arc<E>>,
    pub(crate) steps: Vec<Step<E::Event>>,
    pub(crate) judged: Vec<Judged<E>>,
    pub(crate) touched: Touched<E::PartKey>,
    pub(crate) private: Option<Bytes>,
    pub(crate) keyed: Vec<(u128, Remembered)>,
    pub(crate) fate: Fate,
}

/// A batch as bytes, what follows when they are written, and the state to decide the next batch on
/// where the actor keeps it; or why there are no bytes, and who must hear so.
pub(crate) type Encoded<E> =
    Result<(Bytes, Box<Finished<E>>, Option<E>), (CodecError, Vec<Judged<E>>)>;

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Not known yet.
    Open,
    /// Durable and published.
    Durable,
    /// Decided on a state that was not the newest: it changed nothing.
    Fenced,
    /// The journal cannot take it, e.g. because it is too large; nothing changed.
    Refused(CompactString),
    /// The partition went to another node: whether it was done is not known here.
    Lost(CompactString),
    /// The journal has stopped.
    Stopped(CompactString),
}

impl<E: Entity> Batch<E> {
    /// Decides what waits, oldest first, on the committed state `base`; on `ahead` where the actor
    /// keeps a state of its own, which is equal to it.
    pub(crate) fn decide(
        base: &Arc<E>,
        ahead: Option<E>,
        waiting: &mut VecDeque<Sent<E>>,
        now: Timestamp,
        commands: &Commands,
    ) -> Batch<E> {
        let mut batch = Batch {
            base: Arc::clone(base),
            scratch: ahead,
            steps: Vec::new(),
            judged: Vec::with_capacity(waiting.len().min(BATCH_COMMANDS_MAX)),
            touched: Touched::default(),
            private: None,
            events: 0,
            panics: 0,
        };
        let now = now.max(base.recorded_at());
        while batch.judged.len() < BATCH_COMMANDS_MAX && batch.events < BATCH_EVENTS_MAX {
            let Some(Sent { command, asker }) = waiting.pop_front() else {
                break;
            };
            let verdict = batch.judge(&command, &asker, now, commands);
            batch.judged.push(Judged { asker, verdict });
        }
        batch
    }

    fn state(&self) -> &E {
        self.scratch.as_ref().unwrap_or(&self.base)
    }

    fn judge(
        &mut self,
        command: &E::Command,
        asker: &Asker<E>,
        now: Timestamp,
        commands: &Commands,
    ) -> Verdict<E> {
        let Asker::Outside(outside) = asker else {
            let context = Context {
                now,
                occurred_at: None,
                by: BY_SYSTEM,
            };
            return self.step(command, &context, None);
        };
        if let Some(key) = outside.key
            && let Some(verdict) = self.remembered(key, commands)
        {
            return verdict;
        }
        let current = self.state().version();
        if outside
            .expected_version
            .is_some_and(|expected| expected != current)
        {
            return Verdict::VersionMismatch { current };
        }
        tracing::debug!(kind = E::KIND, entity = %self.base.id(), request_id = request_id(outside), "deciding");
        let context = Context {
            now,
            occurred_at: outside.occurred_at,
            by: outside.by.clone(),
        };
        self.step(command, &context, outside.key)
    }

    /// The first answer of a keyed command: from an earlier batch, or from this one.
    fn remembered(&self, key: CommandKey, commands: &Commands) -> Option<Verdict<E>> {
        let decoded = |bytes: &[u8]| match codec::decode(bytes) {
            Ok(reply) => Verdict::Reply {
                reply,
                replayed: true,
            },
            Err(error) => Verdict::Unreadable(error.to_string().into()),
        };
        if let Some(done) = commands.done(key.id) {
            return Some(decoded(&done.reply));
        }
        let mut keyed = self.steps.iter().filter_map(|step| step.keyed.as_ref());
        keyed
            .find(|keyed| keyed.id == key.id)
            .map(|keyed| decoded(&keyed.reply))
    }

    /// Decides one command and takes its events in.
    fn step(
        &mut self,
        command: &E::Command,
        context: &Context,
        key: Option<CommandKey>,
    ) -> Verdict<E> {
        let decided = catch_unwind(AssertUnwindSafe(|| self.state().decide(command, context)));
        let decision = match decided {
            Ok(Ok(decision)) => decision,
            Ok(Err(rejection)) => return Verdict::Rejected(rejection),
            Err(_) => return self.panicked(),
        };
        let keyed = match key.map(|key| keyed(key, &decision.reply)).transpose() {
            Ok(keyed) => keyed,
            Err(error) => return Verdict::Unreadable(error.to_string().into()),
        };
        if decision.events.is_empty() && decision.private.is_none() && keyed.is_none() {
            return Verdict::Reply {
                reply: decision.reply,
                replayed: false,
            };
        }
        let step = Step {
            stamp: context.stamp(),
            keyed,
            events: decision.events,
        };
        if !step.events.is_empty() || decision.private.is_some() {
            let scratch = self.scratch.get_or_insert_with(|| E::clone(&self.base));
            let touched = &mut self.touched;
            let applied = catch_unwind(AssertUnwindSafe(|| {
                take_in(scratch, &step, touched);
                if let Some(private) = &decision.private {
                    scratch.apply_private(private);
                }
            }));
            if applied.is_err() {
                self.rebuild();
                return self.panicked();
            }
        }
        self.events += step.events.len();
        self.private = decision.private.or(self.private.take());
        self.steps.push(step);
        Verdict::Reply {
            reply: decision.reply,
            replayed: false,
        }
    }

    fn panicked(&mut self) -> Verdict<E> {
        self.panics += 1;
        Verdict::Panicked
    }

    /// The scratch without the step whose events could not be applied.
    fn rebuild(&mut self) {
        let mut scratch = E::clone(&self.base);
        let mut touched = Touched::default();
        for step in &self.steps {
            take_in(&mut scratch, step, &mut touched);
        }
        if let Some(private) = &self.private {
            scratch.apply_private(private);
        }
        self.scratch = Some(scratch);
        self.touched = touched;
    }

    /// Whether there is anything to write.
    pub(crate) fn is_silent(&self) -> bool {
        self.steps.is_empty()
    }

    /// The outcomes, and the state to decide the next batch on where the actor keeps it.
    pub(crate) fn into_silence(self) -> (Vec<Judged<E>>, Option<E>) {
        (self.judged, self.scratch)
    }

    /// The bytes to write, and what to do when they are written. With `keeps_ahead` the state stays
    /// with the actor, and the committed one takes the steps in.
    pub(crate) fn encode(self, entity: &EntityRef, keeps_ahead: bool) -> Encoded<E> {
        let expected = self.base.version();
        let record = Record {
            expected,
            steps: self.steps,
        };
        let private = self.private.as_ref().map(codec::encode).transpose();
        let (body, private) = match (codec::encode(&record), private) {
            (Ok(body), Ok(private)) => (body, private),
            (Err(error), _) | (_, Err(error)) => return Err((error, self.judged)),
        };
        let mut steps = record.steps;
        let (state, ahead) = match self.scratch {
            Some(ahead) if keeps_ahead && private.is_none() => (None, Some(ahead)),
            Some(ahead) => (Some(Arc::new(ahead)), None),
            None => (Some(self.base), None),
        };
        let finished = Finished {
            expected,
            state,
            keyed: remembered(entity, expected, &mut steps),
            steps,
            judged: self.judged,
            touched: self.touched,
            private: private.map(Bytes::from),
            fate: Fate::Open,
        };
        Ok((Bytes::from(body), Box::new(finished), ahead))
    }
}

impl<E: Entity> Finished<E> {
    /// Whether the entity changes.
    pub(crate) fn changes(&self) -> bool {
        self.private.is_some() || self.steps.iter().any(|step| !step.events.is_empty())
    }
}

/// Takes the answers of keyed commands out of the steps.
fn remembered<Event>(
    entity: &EntityRef,
    expected: u64,
    steps: &mut [Step<Event>],
) -> Vec<(u128, Remembered)> {
    let mut version = expected;
    let mut keyed = Vec::new();
    for step in steps {
        version += step.events.len() as u64;
        if let Some(Keyed { id, body, reply }) = step.keyed.take() {
            let done = Remembered {
                entity: entity.clone(),
                body,
                reply: Bytes::from(reply),
                version,
                recorded_at: step.stamp.recorded_at,
            };
            keyed.push((id, done));
        }
    }
    keyed
}

/// Applies a step's events, as decided or as read back.
pub(crate) fn take_in<E: Entity>(
    state: &mut E,
    step: &Step<E::Event>,
    touched: &mut Touched<E::PartKey>,
) {
    for event in &step.events {
        touched.gather(|keys| E::touched_parts(event, keys));
        state.apply(event, &step.stamp);
    }
}

fn keyed<R: serde::Serialize>(key: CommandKey, reply: &R) -> Result<Keyed, CodecError> {
    Ok(Keyed {
        id: key.id,
        body: key.body,
        reply: codec::encode(reply)?,
    })
}

fn request_id<E: Entity>(outside: &Outside<E>) -> &str {
    outside.request_id.as_deref().unwrap_or_default()
}

impl<E: Entity> Verdict<E> {
    /// As an outside caller hears a refusal; `Ok` is the reply and whether it is a repetition.
    pub(crate) fn for_outside(self) -> Result<(E::Reply, bool), AskError<E::Rejection>> {
        match self {
            Verdict::Reply { reply, replayed } => Ok((reply, replayed)),
            Verdict::Rejected(rejection) => Err(AskError::Rejected(rejection)),
            Verdict::VersionMismatch { current } => Err(AskError::VersionMismatch { current }),
            Verdict::Panicked => Err(AskError::Panicked),
            Verdict::Quarantined => Err(AskError::Quarantined),
            Verdict::Unreadable(reason) => Err(AskError::Unavailable { reason }),
        }
    }

    /// As another entity hears it.
    pub(crate) fn for_peer(self) -> Result<E::Reply, TellError<E::Rejection>> {
        match self {
            Verdict::Reply { reply, .. } => Ok(reply),
            Verdict::Rejected(rejection) => Err(TellError::Rejected(rejection)),
            Verdict::Quarantined => Err(TellError::Quarantined),
            // Only outside commands carry versions and keys.
            Verdict::VersionMismatch { .. } | Verdict::Panicked | Verdict::Unreadable(_) => {
                Err(TellError::Panicked)
            }
        }
    }
}
