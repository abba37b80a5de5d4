//! A command as an envelope.

use std::time::Duration;

use super::reader::{DecodeError, Reader};
use super::{KIND_COMMAND, WIRE_VERSION, header};
use crate::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use crate::message::{Envelope, Headers, Payload, TraceParent};
use crate::policy::Timestamp;

/// A command on its way to a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMessage {
    /// The saga that asks.
    pub saga: SagaId,
    /// The step that asks.
    pub step: StepName,
    /// Do, undo or close.
    pub direction: Direction,
    /// Which try this is, from 1. Echoed by the reply.
    pub attempt: u32,
    /// What the body is.
    pub command_type: CommandType,
    /// Where the answer goes.
    pub reply_to: Destination,
    /// Past this instant of the orchestrator's database, a `Do` that no fence row knows is not run.
    pub not_after: Timestamp,
    /// The trace that this message belongs to.
    pub trace: TraceParent,
    /// The typed command as JSON; empty for a close.
    pub body: Payload,
}

impl CommandMessage {
    /// The message's id, the same for every attempt.
    pub fn id(&self) -> MessageId {
        MessageId::command(self.saga, &self.step, self.direction)
    }

    /// Writes the command as an envelope to `destination`.
    pub fn encode(self, destination: Destination) -> Envelope {
        let id = self.id();
        let mut headers = Headers::with_capacity(10);
        headers.insert(header::WIRE, WIRE_VERSION);
        headers.insert(header::KIND, KIND_COMMAND);
        headers.insert(header::SAGA, self.saga.to_string());
        headers.insert(header::STEP, self.step.as_str());
        headers.insert(header::DIRECTION, self.direction.as_str());
        headers.insert(header::ATTEMPT, self.attempt.to_string());
        headers.insert(header::TYPE, self.command_type.as_str());
        headers.insert(header::REPLY_TO, self.reply_to.as_str());
        headers.insert(header::NOT_AFTER, self.not_after.as_micros().to_string());
        headers.insert(header::TRACE_PARENT, self.trace.0);
        Envelope { id, destination, key: self.saga, headers, body: self.body.as_bytes().clone() }
    }

    /// Reads a command from an envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the header or body that is missing or wrong.
    pub fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let read = Reader::open(envelope, &[KIND_COMMAND])?;
        Ok(CommandMessage {
            saga: read.parsed(header::SAGA)?,
            step: read.parsed(header::STEP)?,
            direction: read.parsed(header::DIRECTION)?,
            attempt: read.parsed(header::ATTEMPT)?,
            command_type: read.parsed(header::TYPE)?,
            reply_to: read.parsed(header::REPLY_TO)?,
            not_after: Timestamp::from_micros(read.parsed(header::NOT_AFTER)?),
            trace: read.trace(),
            body: read.body()?,
        })
    }
}

/// How long a command may be under way before a participant that never saw it refuses to run it. The one place where
/// a clock matters to safety, so the margin is days; each resend has a fresh date.
pub const COMMAND_VALID: Duration = Duration::from_secs(7 * 24 * 3600);
