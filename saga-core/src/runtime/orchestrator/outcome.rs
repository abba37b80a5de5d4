//! Waiting for a saga to end, wherever it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::definition::Saga;
use crate::id::SagaId;
use crate::machine::{Cause, Instance, State, Status};
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
    by_saga: BTreeMap<SagaId, Vec<oneshot::Sender<Instance>>>,
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waiting without an answer, because the orchestrator has stopped.
    pub(super) fn end(&self) {
        *self.lock() = Waiters { is_over: true, by_saga: BTreeMap::new() };
    }

    /// Whoever waits for this saga, if it needs no more waiting for.
    pub(super) fn tell(&self, instance: &Instance) {
        if matches!(instance.state, State::Running(_) | State::Compensating(_) | State::Provisional(_)) {
            return;
        }
        for waiting in self.lock().by_saga.remove(&instance.id).unwrap_or_default() {
            // Nobody waits any more; the saga's end is in the store.
            let _ = waiting.send(instance.clone());
        }
    }

    /// Begins to wait for a saga. The sender is dropped without an answer when the orchestrator stops.
    pub(super) fn wait_for(&self, saga: SagaId) -> oneshot::Receiver<Instance> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.lock();
        if !waiters.is_over {
            waiters.by_saga.entry(saga).or_default().push(sender);
        }
        receiver
    }

    /// The sagas that somebody waits for, a bounded number of them.
    fn waited_for(&self) -> Vec<SagaId> {
        let waiting = &mut self.lock().by_saga;
        waiting.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        waiting.keys().copied().take(POLLED_MAX).collect()
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
        let mut stored = loaded.sagas;
        for saga in sagas.into_iter().filter(|saga| !found.contains(saga)) {
            // It has just begun, or was archived before anybody looked.
            stored.extend(store.show(saga).await.ok().flatten().map(|archived| archived.stored));
        }
        for instance in stored.into_iter().filter_map(ended) {
            waiting.tell(&instance);
        }
    }
}

fn ended(stored: Stored) -> Option<Instance> {
    Instance::decode(stored).ok()
}

/// A saga that this process moves itself is told at once; this is for those that another process ends.
const POLL_PAUSE: Duration = Duration::from_secs(1);

/// One cheap query a round, however many wait.
const POLLED_MAX: usize = 1000;
