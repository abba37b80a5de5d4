//! Every message comes back as it was sent, and what is wrong with one is named.

use uuid::Uuid;

use super::*;
use crate::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use crate::message::{Answer, Fault, Payload, TraceParent};
use crate::policy::Timestamp;

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
