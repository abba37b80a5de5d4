//! What arrives at the batch loop, and how each arrival is settled.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::oneshot;
use tracing::error;
use uuid::Uuid;

use super::StartError;
use super::admission::Pass;
use super::operate::OperateError;
use crate::definition::Plan;
use crate::id::{BusinessKey, SagaId};
use crate::machine::{Event, Status};
use crate::message::{Envelope, Payload, TraceParent};
use crate::port::{Committed, HeldId, OutboxRow, Token};
use crate::runtime::settling::Settling;

/// What the batch loop takes.
pub(super) enum Arrival {
    /// Something happened to a saga.
    Event(EventArrival),
    /// A saga is to begin.
    Start(StartArrival),
}

impl Arrival {
    /// Whether it is worth another try: not a start that was not stored and whose caller has lost patience.
    pub(super) fn is_wanted(&self) -> bool {
        match self {
            Arrival::Event(_) => true,
            Arrival::Start(start) => !start.started.is_closed(),
        }
    }
}

/// Something that happened to a saga.
pub(super) struct EventArrival {
    pub(super) saga: SagaId,
    pub(super) event: Event,
    pub(super) source: Source,
}

/// Where an event came from, and so whom its outcome concerns.
pub(super) enum Source {
    /// A message from the broker. It is acked after the commit.
    Delivery { envelope: Box<Envelope>, token: Token, settling: Settling },
    /// A reply that was held for a worker that knows its saga's definition.
    Held(HeldId),
    /// A timer, or the relay. If the event is lost, the next timer makes it good.
    Timer,
    /// A human, who waits for the outcome.
    Operator(oneshot::Sender<Result<Status, OperateError>>),
}

/// A saga that is to begin.
pub(super) struct StartArrival {
    pub(super) begin: Begin,
    pub(super) started: oneshot::Sender<Result<Started, StartError>>,
    /// Here and not with the caller, who may lose patience before the start is committed.
    pub(super) _pass: Option<Pass>,
}

/// All that a saga begins with.
#[derive(Clone)]
pub(super) struct Begin {
    pub(super) plan: Arc<Plan>,
    pub(super) id: SagaId,
    pub(super) key: Option<BusinessKey>,
    pub(super) data: Payload,
    pub(super) trace: TraceParent,
}

impl Begin {
    /// A digest of the input, by which a repeated start is told from another one with the same key.
    pub(super) fn input(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, self.data.as_bytes())
    }
}

/// The saga that a start led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) id: SagaId,
    /// Whether the business key led to a saga that existed already.
    pub(super) existing: bool,
}

impl Started {
    pub(super) fn of(id: SagaId, committed: Committed) -> Self {
        match committed {
            Committed::Stored => Started { id, existing: false },
            Committed::Existing(other) => Started { id: other, existing: other != id },
        }
    }
}

/// What became of an event.
pub(super) enum Verdict {
    /// It moved the saga to this status, or was ignored in it.
    Taken(Status),
    /// It is a question that moves nothing, and this is the answer.
    Answered(Box<OutboxRow>),
    /// It is one that nobody should have sent.
    Wrong(OperateError),
}

impl EventArrival {
    /// Whether nobody says it again: what an operator says, and that a saga need no longer be undoable.
    pub(super) fn is_said_once(&self) -> bool {
        matches!(self.source, Source::Operator(_)) || matches!(self.event, Event::Released)
    }

    /// Tells the source what became of its event, after that is durable. Returns a held reply that is to be dropped.
    pub(super) async fn settle(self, verdict: Verdict) -> Option<HeldId> {
        match (self.source, verdict) {
            (Source::Delivery { token, settling, .. }, Verdict::Taken(_) | Verdict::Answered(_)) => {
                settling.ack(token).await;
            }
            (Source::Delivery { token, settling, .. }, Verdict::Wrong(error)) => {
                settling.dead_letter(token, error.to_string()).await;
            }
            (Source::Held(id), Verdict::Taken(_) | Verdict::Answered(_)) => return Some(id),
            // Another process knows the definition, or another build can read the saga: it stays for them.
            (
                Source::Held(_),
                Verdict::Wrong(OperateError::UnknownDefinition(_) | OperateError::Unreadable(_)),
            ) => {}
            (Source::Held(id), Verdict::Wrong(error)) => {
                counter!("saga_held_replies_wrong_total").increment(1);
                error!(saga = %self.saga, %error, event = ?self.event, "a held reply is dropped, because nothing awaits such");
                return Some(id);
            }
            (Source::Timer, Verdict::Taken(_) | Verdict::Wrong(_)) => {}
            // Only parents ask, and what they ask comes as a message.
            (Source::Timer | Source::Operator(_), Verdict::Answered(_)) => {}
            // An operator who no longer waits sees the outcome in the journal.
            (Source::Operator(answer), Verdict::Taken(status)) => drop(answer.send(Ok(status))),
            (Source::Operator(answer), Verdict::Wrong(error)) => drop(answer.send(Err(error))),
        }
        None
    }

    /// Gives the event back undecided, because this process stops. Timers and held replies come again by themselves.
    pub(super) async fn give_back(self) {
        match self.source {
            Source::Delivery { token, settling, .. } => settling.release(token).await,
            Source::Held(_) | Source::Timer => {}
            Source::Operator(answer) => drop(answer.send(Err(OperateError::Stopping))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_reply_goes_only_if_no_process_could_take_it() {
        let saga = SagaId::from_uuid(Uuid::nil());
        let settled = async |verdict| {
            let source = Source::Held(HeldId(Uuid::nil()));
            EventArrival { saga, event: Event::Released, source }.settle(verdict).await.is_some()
        };
        assert!(settled(Verdict::Taken(Status::Running)).await);
        assert!(settled(Verdict::Wrong(OperateError::NotFound(saga))).await);
        assert!(!settled(Verdict::Wrong(OperateError::UnknownDefinition("order".into()))).await);
    }
}
