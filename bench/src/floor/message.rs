//! The messages of `saga_core::message`, written and read by hand.

use anyhow::{Context, Result, bail, ensure};
use saga_core::port::{IdSource, RandomIds};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A message to send, with the outbox row that holds it.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The outbox row.
    pub(super) row: Uuid,
    pub(super) id: Uuid,
    pub(super) saga: Uuid,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// A message that can be read from headers and a body.
pub(super) trait Incoming: Sized {
    fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Result<Self>;
}

/// Which way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Do,
    Undo,
}

impl Direction {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Direction::Do => "do",
            Direction::Undo => "undo",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text {
            "do" => Ok(Direction::Do),
            "undo" => Ok(Direction::Undo),
            _ => bail!("{text:?} is no direction"),
        }
    }
}

/// The body of every command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: u64,
    pub(super) customer: String,
    pub(super) amount_cents: u64,
    /// Whether the last step is to be refused.
    pub(super) refuse: bool,
}

/// A command as the participants read it.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) saga: Uuid,
    pub(super) step: u16,
    pub(super) direction: Direction,
    attempt: String,
    pub(super) trace: String,
    pub(super) order: Order,
}

impl Command {
    /// Writes the command that asks for `direction` of `step`; `body` is the [`Order`].
    pub(super) fn write(
        saga: Uuid,
        step: u16,
        direction: Direction,
        reply_to: &str,
        not_after: &str,
        body: Vec<u8>,
    ) -> Outgoing {
        let name = step_name(step);
        let id = Uuid::new_v5(&saga, format!("{}:{name}", direction.as_str()).as_bytes());
        let headers = vec![
            ("saga-wire", "1".into()),
            ("saga-kind", "command".into()),
            ("saga-id", saga.to_string()),
            ("saga-step", name),
            ("saga-direction", direction.as_str().into()),
            ("saga-attempt", "1".into()),
            ("saga-type", command_type(direction).into()),
            ("saga-reply-to", reply_to.into()),
            ("saga-not-after", not_after.into()),
            ("traceparent", format!("00-{}-{}-01", saga.simple(), span(id))),
        ];
        Outgoing { row: RandomIds.uuid(), id, saga, headers, body }
    }

    /// Writes the reply to this command.
    pub(super) fn reply(&self, answer: Answer, body: Vec<u8>) -> Outgoing {
        let name = step_name(self.step);
        let direction = self.direction.as_str();
        let id = Uuid::new_v5(&self.saga, format!("reply:{direction}:{name}").as_bytes());
        let headers = vec![
            ("saga-wire", "1".into()),
            ("saga-kind", "reply".into()),
            ("saga-id", self.saga.to_string()),
            ("saga-step", name),
            ("saga-direction", direction.into()),
            ("saga-attempt", self.attempt.clone()),
            ("saga-answer", answer.as_str().into()),
            ("traceparent", format!("{}{}-01", &self.trace[..36], span(id))),
        ];
        Outgoing { row: RandomIds.uuid(), id, saga: self.saga, headers, body }
    }
}

impl Incoming for Command {
    fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Result<Self> {
        let text = |name: &'static str| header(name).context(name);
        ensure!(text("saga-wire")? == "1" && text("saga-kind")? == "command", "not a command");
        let trace = text("traceparent")?;
        ensure!(trace.len() == 55 && trace.is_ascii(), "the trace is malformed");
        Ok(Command {
            saga: text("saga-id")?.parse()?,
            step: parse_step(text("saga-step")?)?,
            direction: Direction::parse(text("saga-direction")?)?,
            attempt: text("saga-attempt")?.into(),
            trace: trace.into(),
            order: serde_json::from_slice(body)?,
        })
    }
}

/// What the participants say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused,
    Undone,
}

impl Answer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Answer::Done => "done",
            Answer::Refused => "refused",
            Answer::Undone => "undone",
        }
    }
}

/// A reply as the orchestrator reads it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) saga: Uuid,
    pub(super) step: u16,
    pub(super) direction: Direction,
    pub(super) answer: Answer,
    pub(super) body: Vec<u8>,
}

impl Incoming for Reply {
    fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Result<Self> {
        let text = |name: &'static str| header(name).context(name);
        ensure!(text("saga-wire")? == "1" && text("saga-kind")? == "reply", "not a reply");
        Ok(Reply {
            saga: text("saga-id")?.parse()?,
            step: parse_step(text("saga-step")?)?,
            direction: Direction::parse(text("saga-direction")?)?,
            answer: match text("saga-answer")? {
                "done" => Answer::Done,
                "refused" => Answer::Refused,
                "undone" => Answer::Undone,
                other => bail!("{other:?} is no answer"),
            },
            body: body.into(),
        })
    }
}

/// The name of the step with this number, from 1.
fn step_name(step: u16) -> String {
    format!("step-{step}")
}

fn parse_step(name: &str) -> Result<u16> {
    let number = name.strip_prefix("step-").context("not a step")?;
    Ok(number.parse()?)
}

fn command_type(direction: Direction) -> &'static str {
    match direction {
        Direction::Do => "bench.work.v1",
        Direction::Undo => "bench.take-back.v1",
    }
}

/// The first half of the message's id, as a span.
fn span(id: Uuid) -> String {
    format!("{:016x}", id.as_u64_pair().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_core::id::{Destination, MessageId, SagaId};
    use saga_core::message::{CommandMessage, Envelope, Headers, ReplyMessage};

    fn order() -> Order {
        Order { order: 7, customer: "c-7".into(), amount_cents: 1_999, refuse: false }
    }

    fn command(direction: Direction) -> Outgoing {
        let body = serde_json::to_vec(&order()).unwrap();
        Command::write(RandomIds.uuid(), 2, direction, "bench.replies", "1700000000000000", body)
    }

    fn read<M: Incoming>(message: &Outgoing) -> M {
        let header = |name: &str| {
            let header = message.headers.iter().find(|(known, _)| *known == name);
            header.map(|(_, value)| value.as_str())
        };
        M::read(header, &message.body).unwrap()
    }

    /// The message as the framework would have it.
    fn envelope(message: &Outgoing) -> Envelope {
        Envelope {
            id: MessageId::from_uuid(message.id),
            destination: Destination::new("bench.commands").unwrap(),
            key: SagaId::from_uuid(message.saga),
            headers: message.headers.iter().cloned().collect::<Headers>(),
            body: message.body.clone().into(),
        }
    }

    #[test]
    fn the_commands_are_those_of_the_framework_to_the_byte() {
        for direction in [Direction::Do, Direction::Undo] {
            let envelope = envelope(&command(direction));
            let read = CommandMessage::decode(&envelope).unwrap();
            assert_eq!(read.encode(envelope.destination.clone()), envelope);
        }
    }

    #[test]
    fn the_replies_are_those_of_the_framework_to_the_byte() {
        let sent = command(Direction::Do);
        let read_command: Command = read(&sent);
        for answer in [Answer::Done, Answer::Refused] {
            let envelope = envelope(&read_command.reply(answer, b"{}".to_vec()));
            let reply = ReplyMessage::decode(&envelope).unwrap();
            assert_eq!(reply.encode(envelope.destination.clone()), envelope);
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let sent = command(Direction::Undo);
        let read_command: Command = read(&sent);
        assert_eq!((read_command.saga, read_command.step), (sent.saga, 2));
        assert_eq!(read_command.order, order());
        let reply: Reply = read(&read_command.reply(Answer::Undone, Vec::new()));
        assert_eq!((reply.saga, reply.step, reply.answer), (sent.saga, 2, Answer::Undone));
        assert_eq!(reply.direction, Direction::Undo);
    }
}
