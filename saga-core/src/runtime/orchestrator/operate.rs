//! What operators do: look, and release what is parked. Every verb has a reason, and the journal keeps it.

use crate::id::SagaId;
use crate::machine::{StateError, TransitionError};
use crate::port::StoreError;

/// A verb could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// There is no such saga.
    #[error("there is no saga {0}")]
    NotFound(SagaId),
    /// The saga's state does not allow it.
    #[error(transparent)]
    Refused(#[from] TransitionError),
    /// The signal has no JSON form, or its step no proper name.
    #[error("the signal cannot be given: {0}")]
    Signal(String),
    /// The saga runs a definition that this process does not know.
    #[error("the saga runs {0}, which this process does not know; ask one that does")]
    UnknownDefinition(String),
    /// The stored saga cannot be read by this build.
    #[error(transparent)]
    Unreadable(#[from] StateError),
    /// The store refused or is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The orchestrator is stopping.
    #[error("the orchestrator is stopping")]
    Stopping,
}
