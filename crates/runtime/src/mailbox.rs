//! An entity's mailbox: what was sent to it and not yet taken, apart from its actor, so that it
//! outlives an actor that fails and a sweep takes all of it at once.
//!
//! In: commands, finished writes, reminders. Out: everything at once, per sweep. The actor gets
//! one [`Errand::Sweep`] however many mails arrive before it looks. At most one write is in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use compact_str::CompactString;
use consign_domain::entity::Entity;
use consign_domain::time::Timestamp;
use parking_lot::Mutex;
use ractor::{ActorRef, MessagingErr};
use tokio::sync::oneshot;

use crate::actor::EntityState;
use crate::admission::Permit;
use crate::batch::Finished;
use crate::commands::Commands;
use crate::types::{AskError, Asked, CommandKey, Peer};

/// Mails from other entities that wait at most; more are dropped, and their effects sent again.
pub(crate) const MAILS_MAX: usize = 65_536;

/// What an actor is told.
pub(crate) enum Errand<E: Entity> {
    /// Look into the mailbox.
    Sweep,
    /// Be this entity, as long as it has something to do, and look into its mailbox.
    Become(Box<EntityState<E>>),
}

/// What comes into a mailbox.
pub(crate) enum Mail<E: Entity> {
    /// Something to decide.
    Command(Sent<E>),
    /// The write in flight has ended.
    Finished(Box<Finished<E>>),
    /// Effects without an answer are due again; also after a start.
    Resend,
    /// Effects without an answer may have been lost, all of them.
    ResendAll,
    /// The partition is led elsewhere from here on.
    Moved,
    /// Look whether anybody still waits, what is pending, and when time matters.
    Nudge,
}

/// A command and who sent it.
pub(crate) struct Sent<E: Entity> {
    pub(crate) command: E::Command,
    pub(crate) asker: Asker<E>,
}

/// Who gets the reply.
pub(crate) enum Asker<E: Entity> {
    Outside(Box<Outside<E>>),
    Peer(Peer),
}

/// A caller from outside.
pub(crate) struct Outside<E: Entity> {
    pub(crate) by: CompactString,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) key: Option<CommandKey>,
    pub(crate) expected_version: Option<u64>,
    pub(crate) request_id: Option<CompactString>,
    /// As in [`crate::Call`].
    pub(crate) id_is_drawn: bool,
    pub(crate) line: Line<E>,
}

/// The line back to a caller from outside; holds its permit and its key while it lives.
pub(crate) struct Line<E: Entity> {
    pub(crate) reply: oneshot::Sender<Result<Asked<E>, AskError<E::Rejection>>>,
    /// Present when the caller waits for the outcome.
    pub(crate) patience: Option<Arc<Patience<E>>>,
    pub(crate) hold: Option<Hold>,
    pub(crate) permit: Permit,
}

/// Keeps a key in use while its command is under way.
pub(crate) struct Hold {
    pub(crate) commands: Arc<Commands>,
    pub(crate) id: u128,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.commands.release(self.id);
    }
}

/// Where a caller who waits for the outcome finds what is durable, when its patience ends.
pub(crate) struct Patience<E: Entity>(pub(crate) Mutex<Outcome<E>>);

pub(crate) enum Outcome<E: Entity> {
    /// Nothing is durable yet.
    Open,
    /// Durable, but not at its end.
    Durable(Box<Asked<E>>),
    /// The caller takes what is durable as soon as it is.
    Impatient,
}

impl<E: Entity> Default for Patience<E> {
    fn default() -> Self {
        Patience(Mutex::new(Outcome::Open))
    }
}

struct Inner<E: Entity> {
    mails: Vec<Mail<E>>,
    /// A sweep is on its way to the actor.
    swept: bool,
    /// A write is on its way to the journal.
    in_flight: bool,
    /// Mails ever put in.
    sent: u64,
    actor: Option<ActorRef<Errand<E>>>,
}

pub(crate) struct Mailbox<E: Entity> {
    inner: Mutex<Inner<E>>,
    /// When unanswered effects are due again, in milliseconds of the host's own time; 0 for never.
    pub(crate) resend_at_ms: AtomicU64,
    /// Commands that the actor has taken and not yet decided.
    pub(crate) backlog: AtomicUsize,
}

/// What a sweep found.
pub(crate) struct Swept {
    pub(crate) in_flight: bool,
    pub(crate) sent: u64,
}

impl<E: Entity> Mailbox<E> {
    pub(crate) fn new() -> Mailbox<E> {
        let inner = Inner {
            mails: Vec::new(),
            swept: false,
            in_flight: false,
            sent: 0,
            actor: None,
        };
        Mailbox {
            inner: Mutex::new(inner),
            resend_at_ms: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
        }
    }

    /// Puts a new actor in place, which finds all that was sent before.
    pub(crate) fn occupy(&self, actor: ActorRef<Errand<E>>) {
        let mut inner = self.inner.lock();
        inner.swept = !inner.mails.is_empty();
        if inner.swept {
            // An actor that is gone already is replaced by its supervisor.
            let _ = actor.send_message(Errand::Sweep);
        }
        inner.actor = Some(actor);
    }

    /// Puts an idle actor in place, which becomes this entity. Gives `state` back when that actor
    /// is gone.
    pub(crate) fn embody(
        &self,
        actor: ActorRef<Errand<E>>,
        state: Box<EntityState<E>>,
    ) -> Result<(), Box<EntityState<E>>> {
        let mut inner = self.inner.lock();
        match actor.send_message(Errand::Become(state)) {
            Err(MessagingErr::SendErr(Errand::Become(state))) => Err(state),
            _ => {
                inner.swept = true;
                inner.actor = Some(actor);
                Ok(())
            }
        }
    }

    /// The actor is gone; mails wait for the next one.
    pub(crate) fn vacate(&self) {
        self.inner.lock().actor = None;
    }

    pub(crate) fn put(&self, mail: Mail<E>) -> Result<(), Mail<E>> {
        let mut inner = self.inner.lock();
        let waiting = inner.mails.len() + self.backlog.load(Ordering::Relaxed);
        if waiting >= MAILS_MAX && matches!(&mail, Mail::Command(sent) if sent.is_from_peer()) {
            return Err(mail);
        }
        inner.put(mail);
        Ok(())
    }

    /// The write in flight has ended.
    pub(crate) fn finish(&self, finished: Box<Finished<E>>) {
        let mut inner = self.inner.lock();
        inner.in_flight = false;
        inner.put(Mail::Finished(finished));
    }

    pub(crate) fn set_in_flight(&self) {
        self.inner.lock().in_flight = true;
    }

    /// Swaps the mails into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut Vec<Mail<E>>) -> Swept {
        let mut inner = self.inner.lock();
        std::mem::swap(&mut inner.mails, into);
        inner.swept = false;
        Swept {
            in_flight: inner.in_flight,
            sent: inner.sent,
        }
    }

    /// Whether nothing was sent beyond the `received` mails, and nothing is under way.
    pub(crate) fn is_done(&self, received: u64) -> bool {
        let inner = self.inner.lock();
        inner.sent == received && !inner.in_flight
    }

    /// Whether effects have gone unanswered so far.
    pub(crate) fn awaits_answers(&self) -> bool {
        self.resend_at_ms.load(Ordering::Relaxed) != 0
    }

    /// Whether unanswered effects are due at `now_ms`; says so once.
    pub(crate) fn resend_is_due(&self, now_ms: u64) -> bool {
        let due = self.resend_at_ms.load(Ordering::Relaxed);
        due != 0 && due <= now_ms && self.resend_at_ms.swap(0, Ordering::Relaxed) != 0
    }

    pub(crate) fn actor(&self) -> Option<ActorRef<Errand<E>>> {
        self.inner.lock().actor.clone()
    }
}

impl<E: Entity> Inner<E> {
    fn put(&mut self, mail: Mail<E>) {
        self.mails.push(mail);
        self.sent += 1;
        if !self.swept
            && let Some(actor) = &self.actor
        {
            self.swept = true;
            // An actor that is gone is replaced by its supervisor, and the mails wait here.
            let _ = actor.send_message(Errand::Sweep);
        }
    }
}

impl<E: Entity> Sent<E> {
    /// Whether the entity's id was drawn for this command.
    pub(crate) fn draws_id(&self) -> bool {
        matches!(&self.asker, Asker::Outside(outside) if outside.id_is_drawn)
    }

    fn is_from_peer(&self) -> bool {
        matches!(self.asker, Asker::Peer(_))
    }
}
