//! Work on a channel's own name for an order goes to the node that keeps turns for that name, so that
//! no two nodes place or cancel one name at the same time.
//!
//! In: a placement or a cancellation that names an order so. Out: what that node did, with the order
//! as this node reads it then; or nothing, when this node is the one. The same command is put again,
//! with its key, until its patience ends, as long as that node changes or cannot be reached (L3).

use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use consign_domain::ids::{Channel, OrderId, ReservationId};
use consign_domain::order::OrderReply;
use consign_runtime::{CommandKey, PartitionId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::orders::{NewOrder, OrderOutcome};
use crate::service::Consign;

/// How long until a command is put again whose node has changed.
const AGAIN_AFTER: Duration = Duration::from_millis(30);
/// How much longer than its caller an answer may take on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// What is asked of the node that keeps turns for a name.
#[derive(Serialize, Deserialize)]
struct Forwarded {
    /// The partition that the name falls onto.
    home: u16,
    call: CallMeta,
    work: Work,
}

/// What it should do.
#[derive(Serialize, Deserialize)]
enum Work {
    Place(Box<NewOrder>),
    Cancel {
        channel: Channel,
        external_id: String,
        reason: CompactString,
    },
    PlaceReserved(Box<NewOrder>, ReservationId),
}

/// What it did.
#[derive(Serialize, Deserialize)]
enum Done {
    Outcome {
        order: OrderId,
        version: u64,
        reply: OrderReply,
        replayed: bool,
        settled: bool,
    },
    Failed(ServiceError),
    /// It does not keep turns for that name.
    Moved,
}

impl Consign {
    /// Places a named order on the node that keeps turns for its name; `None` when that is this one.
    pub(crate) async fn place_at(
        &self,
        home: PartitionId,
        new: &NewOrder,
        reservation: Option<&ReservationId>,
        call: &CallMeta,
    ) -> Option<Result<OrderOutcome, ServiceError>> {
        self.forward(home, call, || {
            let new = Box::new(new.clone());
            match reservation {
                None => Work::Place(new),
                Some(reservation) => Work::PlaceReserved(new, reservation.clone()),
            }
        })
        .await
    }

    /// Cancels an order by its name there; `None` when that is this node.
    pub(crate) async fn cancel_at(
        &self,
        home: PartitionId,
        (channel, external_id, reason): (&Channel, &str, &CompactString),
        call: &CallMeta,
    ) -> Option<Result<OrderOutcome, ServiceError>> {
        self.forward(home, call, || Work::Cancel {
            channel: channel.clone(),
            external_id: external_id.to_owned(),
            reason: reason.clone(),
        })
        .await
    }

    async fn forward(
        &self,
        home: PartitionId,
        call: &CallMeta,
        work: impl FnOnce() -> Work,
    ) -> Option<Result<OrderOutcome, ServiceError>> {
        let node = &self.inner.node;
        if node.leads(home) {
            return None;
        }
        let mut question = Forwarded {
            home: home.0,
            call: call.clone(),
            work: work(),
        };
        // Without a key it could not be put again.
        question.call.key.get_or_insert_with(|| CommandKey {
            id: rand::random(),
            body: 0,
        });
        let deadline = Instant::now() + call.settle_timeout;
        while !node.leads(home) {
            let left = deadline.saturating_duration_since(Instant::now());
            question.call.settle_timeout = left;
            let bytes = match consign_runtime::encode(&question) {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(ServiceError::storage(error))),
            };
            let answer = node.ask_leader(home, bytes, left + ON_ITS_WAY).await;
            if let Some(Ok(answer)) = answer {
                match consign_runtime::decode(&answer) {
                    Ok(Done::Moved) => {}
                    Ok(done) => return Some(self.as_read_here(done).await),
                    Err(error) => return Some(Err(ServiceError::storage(error))),
                }
            }
            if Instant::now() + AGAIN_AFTER >= deadline {
                let reason = "nobody who keeps turns for its name answered in time".into();
                return Some(Err(ServiceError::Unknown { reason }));
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        None
    }

    /// The outcome with the order as this node has it, once it has what the other one did.
    async fn as_read_here(&self, done: Done) -> Result<OrderOutcome, ServiceError> {
        let (id, version, reply, replayed, settled) = match done {
            Done::Outcome {
                order,
                version,
                reply,
                replayed,
                settled,
            } => (order, version, reply, replayed, settled),
            Done::Failed(error) => return Err(error),
            Done::Moved => unreachable!("asked again above"),
        };
        self.read().await?;
        let order = self.order_at(&id, version)?;
        Ok(OrderOutcome {
            order,
            reply,
            replayed,
            settled,
        })
    }

    /// Answers another node.
    pub(crate) async fn answer_forwarded(&self, question: Bytes) -> Bytes {
        let done = match consign_runtime::decode::<Forwarded>(&question) {
            Ok(forwarded) => self.do_forwarded(forwarded).await,
            Err(error) => Done::Failed(ServiceError::storage(error)),
        };
        consign_runtime::encode(&done).map_or_else(|_| Bytes::new(), Bytes::from)
    }

    async fn do_forwarded(&self, forwarded: Forwarded) -> Done {
        let Forwarded { home, call, work } = forwarded;
        if !self.inner.node.leads(PartitionId(home)) {
            return Done::Moved;
        }
        let outcome = match work {
            Work::Place(new) => self.place(*new, None, call).await,
            Work::PlaceReserved(new, reservation) => {
                self.place(*new, Some(reservation), call).await
            }
            Work::Cancel {
                channel,
                external_id,
                reason,
            } => {
                self.cancel_external(channel, &external_id, reason, call)
                    .await
            }
        };
        match outcome {
            Ok(outcome) => Done::Outcome {
                order: outcome.order.id.clone(),
                version: outcome.order.version,
                reply: outcome.reply,
                replayed: outcome.replayed,
                settled: outcome.settled,
            },
            // One of the release before could not read it; nothing was done here.
            Err(ServiceError::DiskUnknown { reason }) => {
                Done::Failed(ServiceError::Unreachable { reason })
            }
            Err(error) => Done::Failed(error),
        }
    }
}
