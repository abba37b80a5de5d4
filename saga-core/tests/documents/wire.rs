//! The examples in `docs/wire.md` are what the encoder writes.

use saga_core::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::message::{
    Answer, CommandMessage, EndNotice, Envelope, NotificationMessage, Payload, ReplyMessage, TraceParent,
};
use saga_core::policy::Timestamp;

use super::assert_drawn;

#[test]
fn the_examples_are_what_the_encoder_writes() {
    let asked = command().encode(Destination::new("inventory").unwrap());
    assert_eq!(CommandMessage::decode(&asked).unwrap(), command());
    assert_drawn("wire.md", "command", &block(&asked));
    let answered = reply().encode(command().reply_to);
    assert_eq!(ReplyMessage::decode(&answered).unwrap(), reply());
    assert_drawn("wire.md", "reply", &block(&answered));
    let ended = EndNotice::of(&[command().saga, later()]).next().unwrap();
    let sent = ended.encode(Destination::new("inventory").unwrap());
    assert_eq!(EndNotice::decode(&sent).unwrap(), ended);
    assert_drawn("wire.md", "end-notice", &block(&sent));
    let told = notification().encode(Destination::topic("mailing").unwrap());
    assert_eq!(NotificationMessage::decode(&told).unwrap(), notification());
    assert_drawn("wire.md", "notification", &block(&told));
}

fn later() -> SagaId {
    "01932c07-b31f-7d02-9c55-6f1e0a7b8c90".parse().unwrap()
}

fn notification() -> NotificationMessage {
    let CommandMessage { saga, trace, body, .. } = command();
    let step = StepName::new("orders.placed.v1").unwrap();
    let trace = trace.child(MessageId::command(saga, &step, Direction::Do));
    let notification_type = CommandType::new(step.as_str()).unwrap();
    NotificationMessage { saga, step, notification_type, trace, body }
}

fn command() -> CommandMessage {
    let saga: SagaId = "01932c07-a9c0-7a3e-8f7d-0c5b4e1d2f60".parse().unwrap();
    let step = StepName::new("reserve-stock").unwrap();
    let trace = TraceParent::of_message(saga, MessageId::command(saga, &step, Direction::Do));
    CommandMessage {
        saga,
        step,
        direction: Direction::Do,
        attempt: 2,
        command_type: CommandType::new("inventory.reserve.v1").unwrap(),
        reply_to: Destination::new("orders.replies").unwrap(),
        not_after: Timestamp::from_micros(1_732_215_320_000_000),
        trace,
        body: json(r#"{"order":"A-1007","items":2}"#),
    }
}

fn reply() -> ReplyMessage {
    let CommandMessage { saga, step, direction, attempt, trace, .. } = command();
    let trace = trace.child(MessageId::reply(saga, &step, direction));
    let answer = Answer::Done(json(r#"{"reservation":7}"#));
    ReplyMessage { saga, step, direction, attempt, answer, trace }
}

fn json(text: &'static str) -> Payload {
    Payload::from_bytes(text.into()).unwrap()
}

fn block(envelope: &Envelope) -> String {
    let line = |(name, value): (&str, &str)| format!("{name:<15} {value}\n");
    let (id, key) = (envelope.id.to_string(), envelope.key.to_string());
    let parts = [("destination", envelope.destination.as_str()), ("id", &id), ("key", &key)];
    let (parts, headers) = (parts.map(line).concat(), envelope.headers.iter().map(line).collect::<String>());
    let body = std::str::from_utf8(&envelope.body).unwrap();
    format!("```text\n{parts}\n{headers}\n{body}\n```\n")
}
