//! Envelopes to AMQP properties and back. `docs/wire.md` describes the same for other languages.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::Envelope;
use saga_core::port::{DEAD_REASON, PublishError};
use uuid::Uuid;

/// Writes an envelope's id, key and headers as the properties of a persistent message.
pub(super) fn of_envelope(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in envelope.headers.iter() {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(envelope.id.to_string().into())
        .with_correlation_id(envelope.key.to_string().into())
        .with_headers(headers)
}

/// Checks what AMQP cannot carry, before anything is sent: one bad message must not take its batch along.
///
/// # Errors
///
/// [`PublishError::Permanent`] names the limit that is broken.
pub(super) fn check(envelope: &Envelope, body_bytes_max: usize) -> Result<(), PublishError> {
    let refuse = |why: String| Err(PublishError::Permanent(why));
    let (length, mut headers_length) = (envelope.body.len(), 0);
    if length > body_bytes_max {
        return refuse(format!("the body has {length} bytes, the limit is {body_bytes_max}"));
    }
    for (name, value) in envelope.headers.iter() {
        headers_length += name.len() + value.len();
        if name.len() > HEADER_NAME_BYTES_MAX {
            return refuse(format!("the name of a header has {} bytes, the limit is 255", name.len()));
        }
        if COPIES.contains(&name) {
            return refuse(format!("RabbitMQ reads the header {name} as further receivers"));
        }
    }
    if headers_length > HEADERS_BYTES_MAX {
        return refuse(format!("the headers have {headers_length} bytes, the limit is {HEADERS_BYTES_MAX}"));
    }
    Ok(())
}

/// Reads a message, whoever wrote it. What is missing or of another form becomes a nil id, a nil key, or no header.
pub(super) fn to_envelope(source: &Destination, properties: &BasicProperties, body: Bytes) -> Envelope {
    Envelope {
        id: MessageId::from_uuid(uuid(properties.message_id())),
        destination: source.clone(),
        key: SagaId::from_uuid(uuid(properties.correlation_id())),
        headers: headers(properties)
            .filter_map(|(name, value)| Some((name.to_owned(), text(name, value)?)))
            .collect(),
        body,
    }
}

/// How often a quorum queue says it delivered the message before.
pub(super) fn deliveries_before(properties: &BasicProperties) -> i64 {
    let count = headers(properties).find(|(name, _)| *name == DELIVERY_COUNT);
    count.and_then(|(_, value)| whole_number(value)).unwrap_or(0)
}

/// The properties of a message's copy among the dead letters: the same id, key and headers, and why it is there.
///
/// An expiry is left out, because dead letters wait for a human; the writer's name, because the broker would refuse
/// it from us; further receivers, because they have got the message.
pub(super) fn of_dead_letter(original: &BasicProperties, queue: &str, reason: &str) -> BasicProperties {
    let kept = headers(original).filter(|(name, _)| !COPIES.contains(name) && *name != DELIVERY_COUNT);
    let mut table = FieldTable::default();
    for (name, value) in kept {
        table.insert(name.into(), value.clone());
    }
    table.insert(DEAD_REASON.into(), AMQPValue::LongString(shortened(reason).into()));
    table.insert(DEAD_SOURCE.into(), AMQPValue::LongString(queue.into()));
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(table);
    if let Some(id) = original.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    if let Some(key) = original.correlation_id() {
        copy = copy.with_correlation_id(key.clone());
    }
    if let Some(content_type) = original.content_type() {
        copy = copy.with_content_type(content_type.clone());
    }
    copy
}

fn uuid(text: &Option<ShortString>) -> Uuid {
    text.as_ref().and_then(|text| Uuid::parse_str(text.as_str()).ok()).unwrap_or_default()
}

fn headers(properties: &BasicProperties) -> impl Iterator<Item = (&str, &AMQPValue)> {
    let table = properties.headers().iter().flat_map(FieldTable::inner);
    table.map(|(name, value)| (name.as_str(), value))
}

/// Text as it is; numbers and yes or no as text, because some clients write the attempt as a number; except the
/// broker's own counters, which nobody published.
fn text(name: &str, value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(yes) => Some(yes.to_string()),
        number if !name.starts_with("x-") => whole_number(number).map(|number| number.to_string()),
        _ => None,
    }
}

fn whole_number(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        _ => None,
    }
}

fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

/// The header that says which queue a dead letter comes from.
const DEAD_SOURCE: &str = "saga-dead-source";

const DELIVERY_COUNT: &str = "x-delivery-count";

/// RabbitMQ sends a message to the queues that these headers name, too ("sender-selected distribution").
const COPIES: [&str; 2] = ["CC", "BCC"];

/// AMQP's delivery mode for messages that survive a restart.
const PERSISTENT: u8 = 2;

/// An AMQP name is a length byte and that many bytes.
const HEADER_NAME_BYTES_MAX: usize = 255;

/// All headers travel in one frame, and RabbitMQ's frames hold 128 KiB; half of that leaves room for all the rest.
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// The reason is for a human, and must fit beside headers that are already there.
const REASON_BYTES_MAX: usize = 1024;
