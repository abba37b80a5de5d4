//! The orchestrator: takes replies, timers, starts and operators' verbs in batches, asks the machine, and commits.

mod admission;
mod again;
mod arrival;
mod batch;
mod builder;
mod child;
mod feed;
mod fold;
mod limits;
mod local;
mod mover;
mod operate;
mod outcome;
mod registry;
mod retention;
mod signal;
mod start;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::id::{ParticipantName, SagaId, StepName};
use crate::machine::{Event, Instance, Resolution, Status};
use crate::port::{History, SagaDetails, SagaFilter, SagaSummary, Store, StoreError, StoreHealth};
use crate::runtime::lifecycle::Tasks;
use admission::Admission;
use arrival::{Arrival, EventArrival, Source};
use local::LocalWork;
use mover::Mover;

pub use builder::{OrchestratorBuilder, OrchestratorError};
pub use limits::{Busy, ParticipantLimits, SagaLimits};
pub use operate::OperateError;
pub use outcome::{SagaOutcome, SagaView};
pub use retention::Retention;
pub use start::{OutcomeError, SagaHandle, StartError, StartedIn};

/// How things stand, computed from the tables.
pub type Health = StoreHealth;

/// Runs sagas over a store `S` and a transport. Cheap to clone; every clone is the same orchestrator.
///
/// Several orchestrators, in one process or many, may share a store: there is no leader, and the compare-and-set on
/// a saga's version decides who moves it.
///
/// Dropping every clone stops it at once, which is safe: what was not committed comes again. [`Orchestrator::stop`]
/// drains first.
pub struct Orchestrator<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: Arc<S>,
    mover: Mover,
    inbox: mpsc::Sender<Arrival>,
    /// `None` if nothing is limited.
    admission: Option<Admission>,
    local: LocalWork,
    /// Two groups that stop one after the other: what takes work in, and the relay that sends what came of it.
    intake: Mutex<Tasks>,
    sending: Mutex<Tasks>,
}

impl<S> Clone for Orchestrator<S> {
    fn clone(&self) -> Self {
        Orchestrator(self.0.clone())
    }
}

impl<S: Store + History> Orchestrator<S> {
    /// Lists sagas, newest first; at most 1,000 at a time.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError> {
        self.0.store.list(filter, limit).await
    }

    /// Shows one saga with its journal, or `None` if there is no such saga.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError> {
        self.0.store.show(saga).await
    }

    /// The sagas that the steps of a saga have run in the orchestrators of other services, whose databases have them: whom
    /// to ask for which. `shown` is what [`show`](Orchestrator::show) has told; of a definition that this process does not
    /// know, or a state that it cannot read, nothing is known.
    pub fn children_elsewhere(&self, shown: &SagaDetails) -> Vec<ChildElsewhere> {
        let here = |saga: SagaId| shown.children.iter().any(|child| child.id == saga);
        let plan = self.0.mover.registry.plan(&shown.stored.definition);
        let instance = Instance::decode(shown.stored.clone()).ok();
        let (Some(plan), Some(instance)) = (plan, instance) else { return Vec::new() };
        let asked = instance.state.steps().iter().filter(|record| record.state.was_asked());
        let child = |step: &StepName| {
            let planned = &plan.steps()[plan.position_of(step)?];
            let orchestrator = planned.sub_saga().and(planned.command())?.participant.clone();
            Some(ChildElsewhere { step: step.clone(), saga: shown.stored.id.child(step), orchestrator })
        };
        asked.filter_map(|record| child(&record.name)).filter(|child| !here(child.saga)).collect()
    }

    /// How things stand: what waits in the outbox and since when, the oldest waiting saga, how many are parked, and
    /// which definitions this process leaves alone because it does not know them.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn health(&self) -> Result<Health, StoreError> {
        self.0.store.health(&self.0.mover.registry.references()).await
    }

    /// Sends everything that a saga awaits once more, and counts its attempts from here. Releases a parked saga.
    ///
    /// # Errors
    ///
    /// [`OperateError`] if there is no such saga, or it has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the verb may or may not be carried out. Saying it again is harmless.
    pub async fn retry(&self, saga: SagaId, reason: impl Into<String>) -> Result<Status, OperateError> {
        self.operate(saga, Event::Retry { reason: reason.into() }).await
    }

    /// Says what became of a step that is awaited, from better knowledge than the framework's.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] if the step is not awaited, or must happen (an undo, a step after the pivot) and is
    /// resolved as not done.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the verb may or may not be carried out. Saying it again gives an error at worst.
    pub async fn resolve(
        &self,
        saga: SagaId,
        step: StepName,
        resolution: Resolution,
        reason: impl Into<String>,
    ) -> Result<Status, OperateError> {
        self.operate(saga, Event::Resolve { step, resolution, reason: reason.into() }).await
    }

    /// Has a saga undone. If its pivot is under way, the pivot is closed first, and the answer to that decides.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] if the pivot is done, or the saga has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the verb may or may not be carried out. Saying it again is harmless.
    pub async fn compensate(&self, saga: SagaId, reason: impl Into<String>) -> Result<Status, OperateError> {
        self.operate(saga, Event::Compensate { reason: reason.into() }).await
    }

    /// Cancels a saga whose pivot was not yet asked for.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] if the pivot's command is committed, or the saga has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the saga may or may not be cancelled. Saying it again is harmless.
    pub async fn cancel(&self, saga: SagaId, reason: impl Into<String>) -> Result<Status, OperateError> {
        self.operate(saga, Event::Cancel { reason: reason.into() }).await
    }

    async fn operate(&self, saga: SagaId, event: Event) -> Result<Status, OperateError> {
        operate::check_size(&event)?;
        let (answer, answered) = oneshot::channel();
        let arrival = EventArrival { saga, event, source: Source::Operator(answer) };
        self.0.inbox.send(Arrival::Event(arrival)).await.map_err(|_| OperateError::Stopping)?;
        answered.await.unwrap_or(Err(OperateError::Stopping))
    }
}

/// A saga that a step has run in another service's orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildElsewhere {
    /// The step.
    pub step: StepName,
    /// Its saga, if that has begun.
    pub saga: SagaId,
    /// Who runs it.
    pub orchestrator: ParticipantName,
}

impl<S> Orchestrator<S> {
    /// Stops: takes nothing new, finishes what has arrived, and sends what is committed; at most for `grace` each.
    ///
    /// Whoever waits for a saga's outcome is told that the orchestrator is stopping. Stopping twice is harmless. What is
    /// left when `grace` is over is not lost: replies come again, and unsent
    /// messages are sent by the next orchestrator that starts.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the orchestrator goes on draining until it is dropped itself.
    pub async fn stop(&self, grace: Duration) {
        self.0.intake.lock().await.stop(grace).await;
        self.0.mover.waiting.end();
        self.0.sending.lock().await.stop(grace).await;
    }
}
