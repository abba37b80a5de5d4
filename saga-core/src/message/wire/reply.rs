//! A reply as an envelope.

use super::reader::{DecodeError, Reader};
use super::{KIND_REPLY, WIRE_VERSION, header};
use crate::id::{Destination, Direction, MessageId, SagaId, StepName};
use crate::message::{Answer, Envelope, Headers, TraceParent};

/// A participant's answer on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyMessage {
    /// The saga that asked.
    pub saga: SagaId,
    /// The step that asked.
    pub step: StepName,
    /// The direction that was asked for.
    pub direction: Direction,
    /// The attempt that is answered.
    pub attempt: u32,
    /// What became of it.
    pub answer: Answer,
    /// The trace of the command.
    pub trace: TraceParent,
}

impl ReplyMessage {
    /// Writes the reply as an envelope to `destination`.
    pub fn encode(self, destination: Destination) -> Envelope {
        let id = MessageId::reply(self.saga, &self.step, self.direction);
        let (answer, body) = self.answer.into_parts();
        let mut headers = Headers::with_capacity(8);
        headers.insert(header::WIRE, WIRE_VERSION);
        headers.insert(header::KIND, KIND_REPLY);
        headers.insert(header::SAGA, self.saga.to_string());
        headers.insert(header::STEP, self.step.as_str());
        headers.insert(header::DIRECTION, self.direction.as_str());
        headers.insert(header::ATTEMPT, self.attempt.to_string());
        headers.insert(header::ANSWER, answer);
        headers.insert(header::TRACE_PARENT, self.trace.0);
        Envelope { id, destination, key: self.saga, headers, body }
    }

    /// Reads a reply from an envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the header or body that is missing or wrong, or says that the answer is none that
    /// its direction can have.
    pub fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let read = Reader::open(envelope, &[KIND_REPLY])?;
        let direction = read.parsed(header::DIRECTION)?;
        let answer = read.answer()?;
        if !answer.answers(direction) {
            return Err(DecodeError::WrongAnswer { direction, answer: answer.name() });
        }
        Ok(ReplyMessage {
            saga: read.parsed(header::SAGA)?,
            step: read.parsed(header::STEP)?,
            direction,
            attempt: read.parsed(header::ATTEMPT)?,
            answer,
            trace: read.trace(),
        })
    }
}
