//! A notification as an envelope.

use super::reader::{DecodeError, Reader};
use super::{KIND_NOTIFICATION, WIRE_VERSION, header};
use crate::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use crate::message::{Envelope, Headers, Payload, TraceParent};

/// A notification on its way to whoever wants to know.
///
/// It may arrive more than once, under the same id: who must not act on it twice remembers the ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationMessage {
    /// The saga that tells.
    pub saga: SagaId,
    /// The step that tells.
    pub step: StepName,
    /// What the body is.
    pub notification_type: CommandType,
    /// The trace that this message belongs to.
    pub trace: TraceParent,
    /// The typed notification as JSON.
    pub body: Payload,
}

impl NotificationMessage {
    /// The message's id, the same however often and wherever it is sent.
    pub fn id(&self) -> MessageId {
        MessageId::command(self.saga, &self.step, Direction::Do)
    }

    /// Writes the notification as an envelope to `topic`.
    pub fn encode(&self, topic: Destination) -> Envelope {
        let mut headers = Headers::with_capacity(6);
        headers.insert(header::WIRE, WIRE_VERSION);
        headers.insert(header::KIND, KIND_NOTIFICATION);
        headers.insert(header::SAGA, self.saga.to_string());
        headers.insert(header::STEP, self.step.as_str());
        headers.insert(header::TYPE, self.notification_type.as_str());
        headers.insert(header::TRACE_PARENT, self.trace.as_str());
        let (id, body) = (self.id(), self.body.as_bytes().clone());
        Envelope { id, destination: topic, key: self.saga, headers, body }
    }

    /// Reads a notification from an envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the header or body that is missing or wrong.
    pub fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let read = Reader::open(envelope, &[KIND_NOTIFICATION])?;
        Ok(NotificationMessage {
            saga: read.parsed(header::SAGA)?,
            step: read.parsed(header::STEP)?,
            notification_type: read.parsed(header::TYPE)?,
            trace: read.trace(),
            body: read.body()?,
        })
    }
}
