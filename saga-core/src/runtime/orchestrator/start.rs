//! Starting sagas: batched with everything else, or inside a transaction of the caller's.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::admission::Pass;
use super::arrival::{Arrival, Begin, StartArrival, Started};
use super::outcome::{SagaOutcome, SagaView, Told};
use super::{Busy, Inner, Orchestrator, fold};
use crate::definition::{Plan, Saga, ScriptError};
use crate::id::{BusinessKey, Direction, MessageId, SagaId};
use crate::machine::{Instance, StateError};
use crate::message::{Payload, PayloadError, TraceParent};
use crate::port::{CommitError, History, StartIn, Store, StoreError, Stored};

/// A saga could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No definition of this saga type is registered.
    #[error("no definition of saga {0:?} is registered with this orchestrator")]
    NotRegistered(&'static str),
    /// The data has no JSON form.
    #[error(transparent)]
    Data(#[from] PayloadError),
    /// The first step's code panicked, or its command has no JSON form.
    #[error("the first step could not be sent: {0}")]
    Script(#[from] ScriptError),
    /// The business key belongs to a saga that was started with another input.
    #[error("the business key belongs to saga {0}, which was started with another input")]
    KeyTaken(SagaId),
    /// The limits of the orchestrator do not allow another saga now. The same start may succeed later.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The store will not take this saga; a body over the limit, for example.
    #[error("the store refused: {0}")]
    Rejected(String),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The orchestrator is stopping.
    #[error("the orchestrator is stopping")]
    Stopping,
}

impl From<CommitError> for StartError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::KeyTaken(saga) => StartError::KeyTaken(saga),
            CommitError::Rejected(why) => StartError::Rejected(why),
            CommitError::Store(error) => StartError::Store(error),
            CommitError::Conflict => StartError::Rejected("a saga with this id exists already".into()),
        }
    }
}

/// The outcome of a saga could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// There is no such saga: it ended long ago and was deleted without being archived, or its start was rolled back.
    #[error("there is no saga {0}: it was deleted long after its end, or its start was rolled back")]
    NotFound(SagaId),
    /// The stored saga cannot be read by this build.
    #[error(transparent)]
    Unreadable(#[from] StateError),
    /// The saga's data is not that of this saga type.
    #[error(transparent)]
    Data(#[from] PayloadError),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The orchestrator has stopped. Another one can be asked.
    #[error("the orchestrator is stopping")]
    Stopping,
}

impl<S: Store + History> Orchestrator<S> {
    /// Starts a saga of the newest version of its definition, and returns once that is committed.
    ///
    /// Starts that arrive together share a transaction. If the sagas of this type are limited, a start may be refused
    /// with [`StartError::Busy`], or wait first: see [`SagaLimits`](super::SagaLimits).
    ///
    /// # Errors
    ///
    /// [`StartError`]; the saga was then not started, unless the store's answer was lost.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the saga may or may not be started. Use [`start_as`](Orchestrator::start_as) to be
    /// able to start again.
    pub async fn start<T: Saga>(&self, saga: T) -> Result<SagaHandle<S, T>, StartError> {
        self.start_keyed(None, saga).await
    }

    /// Starts a saga under the name that the business has for it. Starting it again with the same input gives the
    /// same saga, running or ended.
    ///
    /// # Errors
    ///
    /// [`StartError::KeyTaken`] if the key belongs to a saga that was started with another input.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the saga may or may not be started. Starting it again is harmless.
    pub async fn start_as<T: Saga>(&self, key: BusinessKey, saga: T) -> Result<SagaHandle<S, T>, StartError> {
        self.start_keyed(Some(key), saga).await
    }

    async fn start_keyed<T: Saga>(
        &self,
        key: Option<BusinessKey>,
        saga: T,
    ) -> Result<SagaHandle<S, T>, StartError> {
        let begin = self.begin(key, &saga)?;
        let pass = self.admit::<T>(&begin).await?;
        let early = self.0.mover.waiting.wait_for(begin.id);
        let (started, answered) = oneshot::channel();
        let arrival = Arrival::Start(StartArrival { begin, started, _pass: pass });
        self.0.inbox.send(arrival).await.map_err(|_| StartError::Stopping)?;
        let started = answered.await.unwrap_or(Err(StartError::Stopping))?;
        let early = (!started.existing).then_some(early);
        Ok(SagaHandle { early: Mutex::new(early), ..self.handle_of(started) })
    }

    /// Waits until the saga may start. One that was started before need not wait.
    async fn admit<T: Saga>(&self, begin: &Begin) -> Result<Option<Pass>, StartError> {
        let Some(admission) = &self.0.admission else { return Ok(None) };
        let busy = match admission.enter(&begin.plan).await {
            Err(StartError::Busy(busy)) => busy,
            entered => return entered.map(Some),
        };
        match &begin.key {
            Some(key) if self.find::<T>(key).await?.is_some() => Ok(None),
            Some(_) | None => Err(busy.into()),
        }
    }

    /// The handle of a saga that was started before, here or elsewhere.
    pub fn handle<T: Saga>(&self, saga: SagaId) -> SagaHandle<S, T> {
        self.handle_of(Started { id: saga, existing: true })
    }

    pub(super) fn handle_of<T: Saga>(&self, started: Started) -> SagaHandle<S, T> {
        SagaHandle {
            id: started.id,
            existing: started.existing,
            early: Mutex::new(None),
            inner: self.0.clone(),
            saga: PhantomData,
        }
    }

    fn begin<T: Saga>(&self, key: Option<BusinessKey>, saga: &T) -> Result<Begin, StartError> {
        let plan = self.0.mover.registry.newest(T::NAME).ok_or(StartError::NotRegistered(T::NAME))?.clone();
        let data = Payload::encode(saga)?;
        let id = self.0.mover.ids.saga();
        let trace = TraceParent::of_message(id, MessageId::command(id, &plan.steps()[0].name, Direction::Do));
        Ok(Begin { plan, id, key, data, trace })
    }
}

impl<S: StartIn + History> Orchestrator<S> {
    /// Starts a saga inside a transaction of the caller's, so that both commit together or not at all.
    ///
    /// Nothing is sent before the caller has committed. Call [`StartedIn::committed`] then, so that the first
    /// command leaves at once; if that is forgotten, the sweeper sends it within a second. A local step that comes first
    /// is then run when its timer is due, which counts as an attempt, so give it more than one.
    ///
    /// # Errors
    ///
    /// [`StartError`]. The transaction stays usable after [`StartError::KeyTaken`] and [`StartError::Busy`]; after any
    /// other error roll it back.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, roll the transaction back.
    pub async fn start_in<T: Saga>(
        &self,
        tx: &mut S::Tx,
        key: Option<BusinessKey>,
        saga: T,
    ) -> Result<StartedIn<S, T>, StartError> {
        let begin = self.begin(key, &saga)?;
        let pass = match &self.0.admission {
            Some(admission) => Some(admission.enter(&begin.plan).await?),
            None => None,
        };
        let now = self.0.store.now_in(tx).await?;
        let with = self.0.mover.folding(now);
        let (commit, _) = fold::begin(&with, &begin)?;
        let committed = self.0.store.start_in(tx, &commit).await?;
        let handle = self.handle_of(Started::of(begin.id, committed));
        Ok(StartedIn { handle, plan: begin.plan, pass: pass.map(Pass::lingering) })
    }
}

/// A saga that was started in a transaction which has yet to commit.
#[must_use = "call `committed` once the transaction has, so that the first command leaves at once"]
pub struct StartedIn<S, T> {
    handle: SagaHandle<S, T>,
    plan: Arc<Plan>,
    /// The saga is counted as under way while its transaction has yet to commit.
    pass: Option<Pass>,
}

impl<S, T> StartedIn<S, T> {
    /// The saga's id, to be stored beside the business's own rows.
    pub fn id(&self) -> SagaId {
        self.handle.id
    }

    /// Says that the transaction has committed: the first command leaves now. Where sagas are limited, one of which this
    /// is not said takes its room for a minute, whatever has become of the transaction.
    pub fn committed(self) -> SagaHandle<S, T> {
        let StartedIn { handle, plan, pass } = self;
        handle.inner.mover.relay.wake();
        handle.inner.local.look_at(handle.id, Some(&plan));
        if let Some(pass) = pass {
            pass.committed();
        }
        handle
    }
}

/// A saga that was started. Dropping the handle changes nothing for the saga.
pub struct SagaHandle<S, T> {
    id: SagaId,
    existing: bool,
    /// The wait that began before the saga did, so that its end cannot be missed and nobody has to look.
    early: Mutex<Option<oneshot::Receiver<Told>>>,
    pub(super) inner: Arc<Inner<S>>,
    saga: PhantomData<fn() -> T>,
}

impl<S, T> SagaHandle<S, T> {
    /// The saga's id.
    pub fn id(&self) -> SagaId {
        self.id
    }

    /// Whether the business key led to a saga that existed already.
    pub fn is_existing(&self) -> bool {
        self.existing
    }
}

impl<S: Store + History, T: Saga> SagaHandle<S, T> {
    /// Waits until the saga has ended or needs a human, whichever process moves it there.
    ///
    /// # Errors
    ///
    /// [`OutcomeError`] if the store is away, or the saga's data is not that of a `T`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits. Call it again, or use a timeout around it.
    pub async fn outcome(&self) -> Result<SagaOutcome<T>, OutcomeError> {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(early) = early {
            return self.wait(early).await;
        }
        // First wait, then look: the saga may end in between.
        let waiting = self.inner.mover.waiting.wait_for(self.id);
        match self.look().await? {
            Some(outcome) => Ok(outcome),
            None => self.wait(waiting).await,
        }
    }

    async fn wait(&self, waiting: oneshot::Receiver<Told>) -> Result<SagaOutcome<T>, OutcomeError> {
        match waiting.await.map_err(|_| OutcomeError::Stopping)? {
            Told::Ended(instance) => SagaOutcome::of(&instance)?.ok_or(OutcomeError::Stopping),
            Told::Unreadable(error) => Err(error.into()),
            Told::Gone => Err(OutcomeError::NotFound(self.id)),
        }
    }

    /// How the saga stands now, with its data.
    ///
    /// # Errors
    ///
    /// [`OutcomeError`] if there is no such saga, the store is away, or the saga's data is not that of a `T`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn view(&self) -> Result<SagaView<T>, OutcomeError> {
        Ok(SagaView::of(&self.load().await?)?)
    }

    /// The outcome as the store has it; `None` if the saga is under way.
    async fn look(&self) -> Result<Option<SagaOutcome<T>>, OutcomeError> {
        Ok(SagaOutcome::of(&Instance::decode(self.load().await?)?)?)
    }

    async fn load(&self) -> Result<Stored, OutcomeError> {
        let store = &self.inner.store;
        match store.load(&[self.id]).await?.sagas.into_iter().next() {
            Some(stored) => Ok(stored),
            // It may have been archived.
            None => Ok(store.show(self.id).await?.ok_or(OutcomeError::NotFound(self.id))?.stored),
        }
    }
}

impl<S, T> fmt::Debug for SagaHandle<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaHandle")
            .field("id", &self.id)
            .field("existing", &self.existing)
            .finish_non_exhaustive()
    }
}
