//! How a saga at rest is written down and read back.
//!
//! Old sagas meet new builds and the other way round. A reader ignores fields that it does not know, so a field
//! may be added with a default as long as a reader without it decides the same. Anything else (a new kind of step
//! state, say) raises [`STATE_FORMAT`]: an older build then parks the saga, with its
//! state kept as it is, instead of misreading it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Cause, Compensated, Compensating, Completed, Instance, Parent, Parked, Provisional, Running, State,
    Status, StepRecord,
};
use crate::definition::DefinitionRef;
use crate::id::{SagaId, Version};
use crate::message::{Payload, TraceParent};
use crate::policy::Timestamp;

/// A saga as it is stored. What `state` and `data` hold is the core's business, not a store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The saga.
    pub id: SagaId,
    /// The definition it began with.
    pub definition: DefinitionRef,
    /// How many transitions it has made.
    pub version: Version,
    /// Where it stands.
    pub status: Status,
    /// The machine's state, encoded.
    pub state: Bytes,
    /// The user's saga data, encoded.
    pub data: Bytes,
    /// Why it is parked; set exactly if `status` is [`Status::Parked`].
    pub parked: Option<String>,
}

/// A stored state that cannot be read. Its saga parks, with the bytes kept as they are.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stored {what} cannot be read: {error}")]
pub struct StateError {
    what: &'static str,
    error: String,
}

/// What is written to the state column, next to the status and the reason for parking.
#[derive(Serialize, Deserialize)]
struct Written {
    /// The format's version.
    v: u32,
    began: Timestamp,
    trace: TraceParent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    steps: Vec<StepRecord>,
}

impl Instance {
    /// The state as it is stored, in JSON. The status and the reason for parking have columns of their own.
    pub fn encode_state(&self) -> Bytes {
        let written = Written {
            v: STATE_FORMAT,
            began: self.began,
            trace: self.trace.clone(),
            cause: self.state.cause().cloned(),
            parent: self.parent.clone(),
            steps: self.state.steps().to_vec(),
        };
        // Every part of `Written` has a JSON form: names, numbers, and payloads that are text.
        serde_json::to_vec(&written).unwrap_or_default().into()
    }

    /// Reads a saga back.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the state is not one that this build can read, or the data is not text.
    pub fn decode(stored: Stored) -> Result<Instance, StateError> {
        let Stored { id, definition, version, status, state, data, parked } = stored;
        let unreadable = |error: String| StateError { what: "state", error };
        let written = Written::read(&state).map_err(unreadable)?;
        let data = Payload::from_bytes(data)
            .map_err(|error| StateError { what: "data", error: error.to_string() })?;
        let (began, trace, parent) = (written.began, written.trace.clone(), written.parent.clone());
        let state = written.into_state(status, parked).map_err(unreadable)?;
        Ok(Instance { id, definition, version, state, data, began, trace, parent })
    }
}

/// The part of [`Written`] that every format has.
#[derive(Deserialize)]
struct Format {
    v: u32,
}

impl Written {
    fn read(state: &[u8]) -> Result<Written, String> {
        let written = serde_json::from_slice::<Written>(state);
        let format = match &written {
            Ok(written) => Some(written.v),
            Err(_) => serde_json::from_slice::<Format>(state).ok().map(|format| format.v),
        };
        match format {
            Some(v) if v != STATE_FORMAT => {
                Err(format!("it has format {v}, this build reads format {STATE_FORMAT}"))
            }
            Some(_) | None => written.map_err(|error| error.to_string()),
        }
    }

    fn into_state(self, status: Status, parked: Option<String>) -> Result<State, String> {
        let Written { cause, steps, .. } = self;
        match (status, cause) {
            (Status::Running, None) => Ok(State::Running(Running { steps })),
            (Status::Provisional, None) => Ok(State::Provisional(Provisional { steps })),
            (Status::Completed, None) => Ok(State::Completed(Completed { steps })),
            (Status::Compensating, Some(cause)) => Ok(State::Compensating(Compensating { steps, cause })),
            (Status::Compensated, Some(cause)) => Ok(State::Compensated(Compensated { steps, cause })),
            (Status::Parked, cause) => Ok(State::Parked(Parked {
                steps,
                cause,
                reason: parked.unwrap_or_else(|| "no reason".into()),
            })),
            (Status::Running | Status::Provisional | Status::Completed, Some(_)) => {
                Err("it goes forward and has a cause to go back".into())
            }
            (Status::Compensating | Status::Compensated, None) => Err("it goes back without a cause".into()),
        }
    }
}

/// The version of the state's JSON. Raised when a reader of the old form would misread the new one.
const STATE_FORMAT: u32 = 1;
