//! What operators do: look, and release what is parked. Every verb has a reason, and the journal keeps it.

use super::fold;
use crate::id::SagaId;
use crate::machine::{Event, StateError, TransitionError};
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
    /// The signal, the reply or the reason is larger than a saga takes.
    #[error("what is given has {bytes} bytes in the journal, and {max} are the most that a saga takes")]
    TooLarge {
        /// How large it is there: as JSON, with escapes.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
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

/// Refuses what the journal could not hold, or the saga's state beside all else.
pub(super) fn check_size(event: &Event) -> Result<(), OperateError> {
    match fold::bytes_of(event) {
        ..=GIVEN_BYTES_MAX => Ok(()),
        bytes => Err(OperateError::TooLarge { bytes, max: GIVEN_BYTES_MAX }),
    }
}

/// Half of what an entry of the journal holds, and a saga's state.
const GIVEN_BYTES_MAX: usize = fold::ENTRY_BYTES_MAX / 2;
