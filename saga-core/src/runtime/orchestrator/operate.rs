//! What operators do: look, and release what is parked. Every verb has a reason, and the journal keeps it.

use super::feed::EVENT_BYTES_MAX;
use crate::id::SagaId;
use crate::machine::{Event, Resolution, StateError, TransitionError};
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
    /// The signal or the reply is larger than a saga takes.
    #[error("what is given has {bytes} bytes, and {max} are the most that a saga takes")]
    TooLarge {
        /// How large it is.
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

/// Refuses what the journal could not hold.
pub(super) fn check_size(event: &Event) -> Result<(), OperateError> {
    let said = match event {
        Event::Signalled { signal, .. } => signal,
        Event::Resolve { resolution: Resolution::Done(reply), .. } => reply,
        Event::Resolve { resolution: Resolution::NotDone, .. } => return Ok(()),
        Event::Started { .. } | Event::StartedBy { .. } | Event::Upgraded { .. } => return Ok(()),
        Event::Asked { .. } | Event::Released | Event::Replied { .. } | Event::TimerDue { .. } => {
            return Ok(());
        }
        Event::Undeliverable { .. }
        | Event::Cancel { .. }
        | Event::Retry { .. }
        | Event::Compensate { .. } => {
            return Ok(());
        }
    };
    match said.as_bytes().len() {
        ..=EVENT_BYTES_MAX => Ok(()),
        bytes => Err(OperateError::TooLarge { bytes, max: EVENT_BYTES_MAX }),
    }
}
