//! Giving a saga what it waits for.

use super::start::SagaHandle;
use super::{OperateError, Orchestrator};
use crate::definition::{Saga, Signal};
use crate::id::{BusinessKey, SagaId, SagaName, StepName};
use crate::machine::{Event, Status};
use crate::message::Payload;
use crate::port::{History, Store, StoreError};

impl<S: Store + History> Orchestrator<S> {
    /// The handle of the saga that has this business key, if one was started with it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is away.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn find<T: Saga>(&self, key: &BusinessKey) -> Result<Option<SagaHandle<S, T>>, StoreError> {
        let name = SagaName::new(T::NAME).map_err(|error| StoreError::Rejected(error.to_string()))?;
        let holder = self.0.store.holder(&name, key).await?;
        Ok(holder.map(|saga| self.handle(saga)))
    }

    /// Gives the step `step` of a saga its signal, as JSON. [`SagaHandle::signal`] is the same with types.
    ///
    /// # Errors
    ///
    /// As [`SagaHandle::signal`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the signal may or may not be given. Giving it again is harmless.
    pub async fn signal(
        &self,
        saga: SagaId,
        step: StepName,
        signal: Payload,
    ) -> Result<Status, OperateError> {
        self.operate(saga, Event::Signalled { step, signal }).await
    }
}

impl<S: Store + History, T: Saga> SagaHandle<S, T> {
    /// Gives the saga what it waits for, or will wait for: a signal that comes early is kept. Returns once that is
    /// committed.
    ///
    /// The first signal counts. Giving the same one again changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// - [`OperateError::Refused`] if the saga took another signal before, or waits no more: its deadline has passed,
    ///   or it has ended or is being compensated.
    /// - [`OperateError::NotFound`] if there is no such saga.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the signal may or may not be given. Giving it again is harmless.
    pub async fn signal<G: Signal<T>>(&self, signal: G) -> Result<Status, OperateError> {
        let step = StepName::new(G::NAME).map_err(|error| OperateError::Signal(error.to_string()))?;
        let signal = Payload::encode(&signal).map_err(|error| OperateError::Signal(error.to_string()))?;
        Orchestrator(self.inner.clone()).signal(self.id(), step, signal).await
    }
}
