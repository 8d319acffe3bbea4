//! One supervisor per host: an actor that failed is put back, with backoff and a limit.
//!
//! In: actors that ended without having retired. Out: a new actor on the same mailbox, which reads
//! the committed state and carries on; or, over the limit, the entity set aside and everybody who
//! waits for it refused. Actors come and go with every order, so they are not linked through
//! ractor's tree, which takes a global lock and two messages per life: the end of an actor's state
//! tells instead ([`crate::actor`]).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use consign_domain::entity::Entity;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::host::HostInner;
use crate::mailbox::{Asker, Mail, Mailbox};
use crate::quarantine::FAILURES_MAX;
use crate::types::{AskError, TellError};

/// Restarts of one entity within [`RESTART_WINDOW`], over which it is set aside.
const RESTARTS_MAX: u32 = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// The pause before the first restart; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// An actor ended without having retired.
pub(crate) struct Failed<E: Entity> {
    pub(crate) id: E::Id,
    pub(crate) mailbox: Arc<Mailbox<E>>,
}

/// ractor's handler.
pub(crate) struct Supervisor<E: Entity>(pub(crate) Arc<HostInner<E>>);

#[derive(Debug)]
struct Restarts {
    count: u32,
    since: Instant,
}

/// Restarts in the current window, by entity.
pub(crate) struct Ledger<E: Entity>(HashMap<E::Id, Restarts>);

impl<E: Entity> Actor for Supervisor<E> {
    type Msg = Failed<E>;
    type State = Ledger<E>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Failed<E>>,
        (): (),
    ) -> Result<Ledger<E>, ActorProcessingErr> {
        Ok(Ledger(HashMap::new()))
    }

    async fn handle(
        &self,
        _: ActorRef<Failed<E>>,
        Failed { id, mailbox }: Failed<E>,
        Ledger(restarts): &mut Ledger<E>,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        restarts.retain(|_, restart| now.duration_since(restart.since) < RESTART_WINDOW);
        let restart = restarts.entry(id.clone()).or_insert(Restarts {
            count: 0,
            since: now,
        });
        restart.count += 1;
        metrics::counter!("consign_runtime_restarts_total", "kind" => E::KIND).increment(1);
        tracing::error!(kind = E::KIND, entity = %id, restarts = restart.count, "an actor failed");
        let host = Arc::clone(&self.0);
        if restart.count > RESTARTS_MAX {
            restarts.remove(&id);
            host.failed(&id, FAILURES_MAX);
            refuse_all(&host, &id, &mailbox);
            return Ok(());
        }
        let pause = BACKOFF_FIRST * 2_u32.pow(restart.count - 1);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            host.spawn(&id, &mailbox);
        });
        Ok(())
    }
}

/// Answers everybody who waits for an entity that is set aside.
fn refuse_all<E: Entity>(host: &Arc<HostInner<E>>, id: &E::Id, mailbox: &Arc<Mailbox<E>>) {
    let mut to_peers = Vec::new();
    for mail in host.abandon(id, mailbox) {
        let Mail::Command(sent) = mail else { continue };
        match sent.asker {
            Asker::Outside(outside) => {
                let _ = outside.line.reply.send(Err(AskError::Quarantined));
            }
            Asker::Peer(peer) if !peer.is_nobody() => {
                to_peers.push((peer, Err(TellError::Quarantined)));
            }
            Asker::Peer(_) => {}
        }
    }
    if !to_peers.is_empty() {
        // Behaviour may be what fails: the supervisor outlives it.
        let told = catch_unwind(AssertUnwindSafe(|| host.behaviour.answered(id, to_peers)));
        if told.is_err() {
            tracing::error!(kind = E::KIND, entity = %id, "peers could not be told of the quarantine");
        }
    }
}
