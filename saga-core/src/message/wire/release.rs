//! The release of a saga that was run as a step, as an envelope.

use super::reader::{DecodeError, Reader};
use super::{KIND_RELEASE, WIRE_VERSION, header};
use crate::id::{Destination, MessageId, SagaId, StepName};
use crate::message::{Envelope, Headers, TraceParent};

/// Tells a saga that was run as a step of another that it need no longer be undoable. Nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseMessage {
    /// The saga that has completed.
    pub saga: SagaId,
    /// The step that ran the other one.
    pub step: StepName,
    /// The trace that this message belongs to.
    pub trace: TraceParent,
}

impl ReleaseMessage {
    /// Writes the release as an envelope to `destination`.
    pub fn encode(self, destination: Destination) -> Envelope {
        let id = MessageId::release(self.saga, &self.step);
        let mut headers = Headers::with_capacity(5);
        headers.insert(header::WIRE, WIRE_VERSION);
        headers.insert(header::KIND, KIND_RELEASE);
        headers.insert(header::SAGA, self.saga.to_string());
        headers.insert(header::STEP, self.step.as_str());
        headers.insert(header::TRACE_PARENT, self.trace.0);
        Envelope { id, destination, key: self.saga, headers, body: bytes::Bytes::new() }
    }

    /// Reads a release from an envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the header that is missing or wrong.
    pub fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let read = Reader::open(envelope, &[KIND_RELEASE])?;
        Ok(ReleaseMessage {
            saga: read.parsed(header::SAGA)?,
            step: read.parsed(header::STEP)?,
            trace: read.trace(),
        })
    }
}
