//! Waiting for a saga to end, wherever it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::oneshot;

use crate::definition::Saga;
use crate::id::SagaId;
use crate::machine::{Cause, Instance, State, StateError, Status};
use crate::message::{Payload, PayloadError};
use crate::port::{History, Store, Stored};
use crate::runtime::lifecycle::Stopping;

/// How a saga stands once it needs no more waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SagaOutcome<S> {
    /// Every effect took place.
    Completed(S),
    /// No effect that the definition undoes stands any more.
    Compensated {
        /// The saga's data at its end.
        data: S,
        /// Why it was taken back.
        cause: Cause,
    },
    /// A human is needed. Once the saga was released, its outcome can be awaited again.
    Parked {
        /// Why.
        reason: String,
    },
}

impl<S: Saga> SagaOutcome<S> {
    /// Reads the outcome off a saga that has ended or parked; `None` if it is under way.
    pub(super) fn of(instance: &Instance) -> Result<Option<Self>, PayloadError> {
        Ok(match &instance.state {
            State::Running(_) | State::Compensating(_) | State::Provisional(_) => None,
            State::Parked(parked) => Some(SagaOutcome::Parked { reason: parked.reason.clone() }),
            State::Completed(_) => Some(SagaOutcome::Completed(instance.data.decode()?)),
            State::Compensated(ended) => {
                Some(SagaOutcome::Compensated { data: instance.data.decode()?, cause: ended.cause.clone() })
            }
        })
    }
}

/// How a saga stands at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaView<S> {
    /// Where it stands.
    pub status: Status,
    /// Its data.
    pub data: S,
    /// Why it is parked, if it is.
    pub parked: Option<String>,
}

impl<S: Saga> SagaView<S> {
    pub(super) fn of(stored: &Stored) -> Result<Self, PayloadError> {
        let data = Payload::from_bytes(stored.data.clone())?.decode()?;
        Ok(SagaView { status: stored.status, data, parked: stored.parked.clone() })
    }
}

/// Those who wait for sagas. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Waiters>>);

#[derive(Default)]
struct Waiters {
    /// Whether nobody will be told any more.
    is_over: bool,
    by_saga: BTreeMap<SagaId, Awaited>,
    /// The last saga that was looked for, so that each has its turn however many are awaited.
    looked_for: Option<SagaId>,
}

/// A saga that somebody waits for.
#[derive(Default)]
struct Awaited {
    senders: Vec<oneshot::Sender<Told>>,
    /// Whether the store had it once. Before that it may be started in a transaction that has yet to commit.
    was_there: bool,
}

/// What those who wait are told.
#[derive(Clone)]
pub(super) enum Told {
    /// The saga needs no more waiting for.
    Ended(Box<Instance>),
    /// It is parked, or has ended, and this build cannot read it.
    Unreadable(StateError),
    /// It was deleted, and not archived.
    Gone,
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waiting without an answer, because the orchestrator has stopped.
    pub(super) fn end(&self) {
        *self.lock() = Waiters { is_over: true, ..Waiters::default() };
    }

    /// Counts a saga that this process has ended or parked, and tells whoever waits for it.
    pub(super) fn moved(&self, instance: &Instance) {
        let status = instance.state.status();
        if status.is_terminal() || status == Status::Parked {
            counter!("saga_ended_total", "status" => status.as_str()).increment(1);
            self.tell(instance);
        }
    }

    /// Tells whoever waits for this saga, if it needs no more waiting for.
    fn tell(&self, instance: &Instance) {
        if matches!(instance.state, State::Running(_) | State::Compensating(_) | State::Provisional(_)) {
            return;
        }
        self.say(instance.id, || Told::Ended(Box::new(instance.clone())));
    }

    fn say(&self, saga: SagaId, told: impl Fn() -> Told) {
        for waiting in self.lock().by_saga.remove(&saga).unwrap_or_default().senders {
            // Nobody waits any more; the saga's end is in the store.
            let _ = waiting.send(told());
        }
    }

    /// Begins to wait for a saga. The sender is dropped without an answer when the orchestrator stops.
    pub(super) fn wait_for(&self, saga: SagaId) -> oneshot::Receiver<Told> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.lock();
        if !waiters.is_over {
            waiters.by_saga.entry(saga).or_default().senders.push(sender);
        }
        receiver
    }

    /// The sagas that somebody waits for; of many a bounded number, others each time.
    fn waited_for(&self) -> Vec<SagaId> {
        let waiters = &mut *self.lock();
        waiters.by_saga.retain(|_, awaited| {
            awaited.senders.retain(|sender| !sender.is_closed());
            !awaited.senders.is_empty()
        });
        let sagas = || waiters.by_saga.keys().copied();
        let behind = sagas().filter(|saga| waiters.looked_for.is_none_or(|last| *saga > last));
        let before = sagas().filter(|saga| waiters.looked_for.is_some_and(|last| *saga <= last));
        let sagas: Vec<SagaId> = behind.chain(before).take(POLLED_MAX).collect();
        waiters.looked_for = sagas.last().copied();
        sagas
    }

    /// What the store has of a saga.
    fn found(&self, stored: Stored) {
        let (saga, status) = (stored.id, stored.status);
        if let Some(awaited) = self.lock().by_saga.get_mut(&saga) {
            awaited.was_there = true;
        }
        match Instance::decode(stored) {
            Ok(instance) => self.tell(&instance),
            Err(error) if status.is_terminal() || status == Status::Parked => {
                self.say(saga, || Told::Unreadable(error.clone()));
            }
            // It is parked by whoever decides its next event.
            Err(_) => {}
        }
    }

    /// The store has nothing of a saga.
    fn missing(&self, saga: SagaId) {
        let was_there = self.lock().by_saga.get(&saga).is_some_and(|awaited| awaited.was_there);
        if was_there {
            self.say(saga, || Told::Gone);
        }
    }
}

/// Looks now and then whether a saga that is waited for has ended in another process.
pub(super) async fn poll(waiting: Waiting, store: Arc<impl Store + History>, mut stopping: Stopping) {
    while !stopping.pause(POLL_PAUSE).await {
        let sagas = waiting.waited_for();
        if sagas.is_empty() {
            continue;
        }
        // If the store is away, the next round looks again.
        let Ok(loaded) = store.load(&sagas).await else { continue };
        let found: BTreeSet<SagaId> = loaded.sagas.iter().map(|stored| stored.id).collect();
        loaded.sagas.into_iter().for_each(|stored| waiting.found(stored));
        for saga in sagas.into_iter().filter(|saga| !found.contains(saga)) {
            // It has yet to begin, or has left the store before anybody looked.
            match store.show(saga).await {
                Ok(Some(archived)) => waiting.found(archived.stored),
                Ok(None) => waiting.missing(saga),
                Err(_) => {}
            }
        }
    }
}

/// A saga that this process moves itself is told at once; this is for those that another process ends.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// One cheap query a round, however many wait.
const POLLED_MAX: usize = 1000;
