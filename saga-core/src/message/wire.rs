//! Commands and replies to envelopes and back. `docs/wire.md` describes the same for other languages.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Answer, Envelope, Headers, Payload, TraceParent, shortened};
use crate::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
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

/// What comes to an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Reply(ReplyMessage),
    Command(CommandMessage),
    Release(ReleaseMessage),
}

impl Incoming {
    /// Reads a message of any kind that an orchestrator takes.
    pub(crate) fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let read = Reader::open(envelope, &[KIND_REPLY, KIND_COMMAND, KIND_RELEASE])?;
        match read.text(header::KIND)? {
            KIND_COMMAND => CommandMessage::decode(envelope).map(Incoming::Command),
            KIND_RELEASE => ReleaseMessage::decode(envelope).map(Incoming::Release),
            _ => ReplyMessage::decode(envelope).map(Incoming::Reply),
        }
    }
}

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

/// An envelope that is no message of ours, or of a version that this build does not know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A header is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header's value makes no sense.
    #[error("the header {name} has the value {value:?}, which {why}")]
    Header {
        /// The header's name.
        name: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The message was written by a newer version.
    #[error("the message has wire version {0:?}, this build reads version 1; upgrade this service")]
    NewerVersion(String),
    /// The answer is none that its direction can have.
    #[error("a command in direction {direction} cannot be answered with {answer:?}")]
    WrongAnswer {
        /// What was asked.
        direction: Direction,
        /// What was answered.
        answer: &'static str,
    },
    /// A notice names no saga, or too many.
    #[error("a notice of the end of {0} sagas; it may be 1 to 1000")]
    Sagas(usize),
    /// The body is not text, or not what its kind of message has there.
    #[error(transparent)]
    Body(#[from] super::PayloadError),
}

/// Reads one envelope's headers.
pub(super) struct Reader<'a>(&'a Envelope);

impl<'a> Reader<'a> {
    pub(super) fn open(envelope: &'a Envelope, kinds: &[&str]) -> Result<Self, DecodeError> {
        let read = Reader(envelope);
        let wire = read.text(header::WIRE)?;
        if wire != WIRE_VERSION {
            return Err(DecodeError::NewerVersion(shortened(wire)));
        }
        let found = read.text(header::KIND)?;
        if kinds.contains(&found) {
            return Ok(read);
        }
        let why = format!("is no kind that is read here, which is {}", kinds.join(", "));
        Err(DecodeError::Header { name: header::KIND, value: shortened(found), why })
    }

    fn text(&self, name: &'static str) -> Result<&'a str, DecodeError> {
        self.0.headers.value(name).ok_or(DecodeError::Missing(name))
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<T, DecodeError> {
        let value = self.text(name)?;
        value.parse().map_err(|error: T::Err| DecodeError::Header {
            name,
            value: shortened(value),
            why: format!("cannot be read: {error}"),
        })
    }

    /// A missing or malformed trace context starts a new trace, as the W3C recommendation asks.
    fn trace(&self) -> TraceParent {
        let given = self.0.headers.value(header::TRACE_PARENT).and_then(TraceParent::parse);
        given.unwrap_or_else(|| TraceParent::of_message(self.0.key, self.0.id))
    }

    fn answer(&self) -> Result<Answer, DecodeError> {
        let name = self.text(header::ANSWER)?;
        Answer::from_parts(name, self.body()?).ok_or_else(|| DecodeError::Header {
            name: header::ANSWER,
            value: shortened(name),
            why: "is no known answer".into(),
        })
    }

    pub(super) fn body(&self) -> Result<Payload, DecodeError> {
        Ok(Payload::from_bytes(self.0.body.clone())?)
    }
}

/// The names of the headers, as `docs/wire.md` lists them.
pub(super) mod header {
    pub(in crate::message) const WIRE: &str = "saga-wire";
    pub(in crate::message) const KIND: &str = "saga-kind";
    pub(in crate::message) const SAGA: &str = "saga-id";
    pub(in crate::message) const STEP: &str = "saga-step";
    pub(in crate::message) const DIRECTION: &str = "saga-direction";
    pub(in crate::message) const ATTEMPT: &str = "saga-attempt";
    pub(in crate::message) const TYPE: &str = "saga-type";
    pub(in crate::message) const REPLY_TO: &str = "saga-reply-to";
    pub(in crate::message) const NOT_AFTER: &str = "saga-not-after";
    pub(in crate::message) const ANSWER: &str = "saga-answer";
    pub(in crate::message) const TRACE_PARENT: &str = "traceparent";
}

/// The wire format's version. A reader takes only what it knows.
pub(super) const WIRE_VERSION: &str = "1";
const KIND_COMMAND: &str = "command";
const KIND_REPLY: &str = "reply";
const KIND_NOTIFICATION: &str = "notification";
const KIND_RELEASE: &str = "release";
pub(super) const KIND_END_NOTICE: &str = "end-notice";

/// How long a command may be under way before a participant that never saw it refuses to run it. The one place where
/// a clock matters to safety, so the margin is days; each resend has a fresh date.
pub const COMMAND_VALID: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Fault;
    use super::*;

    fn saga() -> SagaId {
        SagaId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
    }

    fn step() -> StepName {
        StepName::new("reserve-stock").unwrap()
    }

    fn command() -> CommandMessage {
        let id = MessageId::command(saga(), &step(), Direction::Do);
        CommandMessage {
            saga: saga(),
            step: step(),
            direction: Direction::Do,
            attempt: 3,
            command_type: CommandType::new("inventory.reserve.v1").unwrap(),
            reply_to: Destination::new("orders.replies").unwrap(),
            not_after: Timestamp::from_micros(1_700_000_000_000_000),
            trace: TraceParent::of_message(saga(), id),
            body: Payload::encode(&serde_json::json!({"order": "ü\u{0}"})).unwrap(),
        }
    }

    fn reply(direction: Direction, answer: Answer) -> ReplyMessage {
        let trace = TraceParent::of_message(saga(), MessageId::reply(saga(), &step(), direction));
        ReplyMessage { saga: saga(), step: step(), direction, attempt: 2, answer, trace }
    }

    fn destination() -> Destination {
        Destination::new("inventory").unwrap()
    }

    fn without(envelope: &Envelope, name: &str) -> Envelope {
        let kept = envelope.headers.iter().filter(|(known, _)| *known != name);
        let headers = kept.map(|(name, value)| (name.to_owned(), value)).collect();
        Envelope { headers, ..envelope.clone() }
    }

    #[test]
    fn a_command_comes_back_as_it_was_sent() {
        assert_eq!(CommandMessage::decode(&command().encode(destination())).unwrap(), command());
    }

    #[test]
    fn a_notification_comes_back_as_it_was_sent_and_is_no_command() {
        let CommandMessage { saga, step, trace, body, .. } = command();
        let notification_type = CommandType::new("orders.placed.v1").unwrap();
        let told = NotificationMessage { saga, step, notification_type, trace, body };
        let sent = told.encode(destination());
        assert_eq!(NotificationMessage::decode(&sent).unwrap(), told);
        assert!(matches!(CommandMessage::decode(&sent), Err(DecodeError::Header { .. })));
        assert!(NotificationMessage::decode(&command().encode(destination())).is_err());
    }

    #[test]
    fn a_release_comes_back_as_it_was_sent() {
        let CommandMessage { saga, step, trace, .. } = command();
        let release = ReleaseMessage { saga, step, trace };
        let sent = release.clone().encode(destination());
        assert_eq!(ReleaseMessage::decode(&sent).unwrap(), release);
        assert_eq!(Incoming::decode(&sent).unwrap(), Incoming::Release(release));
    }

    #[test]
    fn an_orchestrator_tells_what_it_is_sent_by_its_kind() {
        let (command, reply) = (command(), reply(Direction::Undo, Answer::Running));
        let sent = command.clone().encode(destination());
        assert_eq!(Incoming::decode(&sent).unwrap(), Incoming::Command(command));
        let sent = reply.clone().encode(destination());
        assert_eq!(Incoming::decode(&sent).unwrap(), Incoming::Reply(reply));
    }

    #[test]
    fn every_answer_comes_back_as_it_was_given() {
        let body = Payload::encode(&"because").unwrap();
        let answers = [
            (Direction::Do, Answer::Done(body.clone())),
            (Direction::Do, Answer::Refused(body)),
            (Direction::Undo, Answer::Undone),
            (Direction::Close, Answer::Closed),
            (Direction::Close, Answer::Running),
            (Direction::Do, Answer::Fault(Fault::temporary("try again"))),
            (Direction::Undo, Answer::Fault(Fault::permanent("a bug"))),
        ];
        for (direction, answer) in answers {
            let sent = reply(direction, answer);
            assert_eq!(ReplyMessage::decode(&sent.clone().encode(destination())).unwrap(), sent);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_no_reply() {
        let forged = reply(Direction::Do, Answer::Undone).encode(destination());
        assert!(matches!(ReplyMessage::decode(&forged), Err(DecodeError::WrongAnswer { .. })));
    }

    #[test]
    fn a_missing_header_is_named() {
        let envelope = command().encode(destination());
        for (name, _) in envelope.headers.iter().filter(|(name, _)| *name != "traceparent") {
            let error = CommandMessage::decode(&without(&envelope, name)).unwrap_err();
            assert!(matches!(error, DecodeError::Missing(missing) if missing == name), "{name}: {error}");
        }
    }

    #[test]
    fn a_newer_wire_version_says_who_must_act() {
        let mut envelope = without(&command().encode(destination()), "saga-wire");
        envelope.headers.insert("saga-wire", "2");
        let error = CommandMessage::decode(&envelope).unwrap_err();
        assert!(error.to_string().contains("upgrade this service"), "{error}");
    }

    #[test]
    fn a_malformed_trace_starts_a_new_one() {
        let mut envelope = without(&command().encode(destination()), "traceparent");
        envelope.headers.insert("traceparent", "00-short-01");
        let trace = CommandMessage::decode(&envelope).unwrap().trace;
        assert!(TraceParent::parse(trace.as_str()).is_some());
    }
}
