//! Envelopes as Kafka records, and records as envelopes. `docs/wire.md` describes the same for other languages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, BufMut, Bytes};
use rdkafka::message::{Header, Message, OwnedHeaders};
use saga_core::id::{Destination, MessageId, SagaId};
use saga_core::message::{Envelope, Headers};
use saga_core::port::DEAD_REASON;
use uuid::Uuid;

/// A record that is about to be published.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<Bytes>,
    pub(super) body: Option<&'a [u8]>,
    pub(super) headers: OwnedHeaders,
}

impl<'a> Outgoing<'a> {
    /// The record of an envelope: the saga's id is the key, so that one saga's messages keep their order.
    pub(super) fn of(envelope: &'a Envelope) -> Self {
        let headers = OwnedHeaders::new_with_capacity(envelope.headers.len() + 1);
        let headers = with(headers, MESSAGE_ID, &envelope.id.to_string());
        Outgoing {
            topic: envelope.destination.as_str(),
            key: Some(envelope.key.to_string().into()),
            body: Some(&envelope.body),
            headers: envelope
                .headers
                .iter()
                .fold(headers, |headers, (name, value)| with(headers, name, value)),
        }
    }
}

fn with(headers: OwnedHeaders, name: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key: name, value: Some(value) })
}

/// A record as the broker gave it, whoever wrote it, in one allocation.
///
/// It is kept until the delivery is settled, because a dead letter is a copy of it. Key, body and then the headers'
/// names and values follow one another, each with its length before it; the length of what is null is -1.
#[derive(Clone, Debug)]
pub(super) struct Record(Bytes);

impl Record {
    /// Copies what the client library holds.
    pub(super) fn copy(message: &impl Message) -> Self {
        let body = message.payload();
        let mut buffer = Vec::with_capacity(body.map_or(0, <[u8]>::len) + ROOM_FOR_HEADERS);
        put(&mut buffer, message.key());
        put(&mut buffer, body);
        put_headers(&mut buffer, message.headers());
        Record(buffer.into())
    }

    /// The envelope, with nil ids where the record has none, so that the runtime dead-letters what is not ours.
    pub(super) fn envelope(&self, destination: &Destination) -> Envelope {
        let mut fields = Fields(&self.0);
        let key = fields.next().flatten().and_then(uuid).unwrap_or_default();
        let body = fields.next().flatten().unwrap_or_default();
        let mut id = Uuid::nil();
        let mut headers = Headers::with_capacity(HEADERS_USUAL);
        while let Some((name, value)) = fields.header() {
            if name == MESSAGE_ID.as_bytes() {
                id = uuid(value.unwrap_or_default()).unwrap_or_default();
            } else {
                headers.insert(text(name), text(value.unwrap_or_default()));
            }
        }
        Envelope {
            id: MessageId::from_uuid(id),
            destination: destination.clone(),
            key: SagaId::from_uuid(key),
            headers,
            body: self.0.slice_ref(body),
        }
    }

    /// The record as a dead letter: the same key, body and headers, and ahead of them why and whence it came.
    pub(super) fn dead_letter<'a>(
        &'a self,
        topic: &'a str,
        reason: &str,
        origin: &Origin<'_>,
    ) -> Outgoing<'a> {
        let mut fields = Fields(&self.0);
        let key = fields.next().flatten().map(|key| self.0.slice_ref(key));
        let body = fields.next().flatten();
        let mut headers = with(OwnedHeaders::new(), DEAD_REASON, shortened(reason));
        headers = with(headers, DEAD_SOURCE, origin.topic);
        headers = with(headers, DEAD_PARTITION, &origin.partition.to_string());
        headers = with(headers, DEAD_OFFSET, &origin.offset.to_string());
        while let Some((name, value)) = fields.header() {
            let name = String::from_utf8_lossy(name);
            if !DEAD_HEADERS.contains(&name.as_ref()) {
                headers = headers.insert(Header { key: &name, value });
            }
        }
        Outgoing { topic, key, body, headers }
    }
}

/// Where a dead letter was read.
pub(super) struct Origin<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Copies all headers; if the name of one is not text, those before it, because the client library panics there.
fn put_headers(buffer: &mut Vec<u8>, headers: Option<&impl rdkafka::message::Headers>) {
    let copied = catch_unwind(AssertUnwindSafe(|| {
        for header in headers.into_iter().flat_map(|headers| headers.iter()) {
            put(buffer, Some(header.key.as_bytes()));
            put(buffer, header.value);
        }
    }));
    if copied.is_err() {
        tracing::warn!("a record has a header whose name is not text; it and those after it are not read");
    }
}

fn put(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => buffer.put_i32(-1),
        Some(bytes) => {
            // The broker's own lengths are 32 bits wide.
            buffer.put_i32(bytes.len() as i32);
            buffer.put_slice(bytes);
        }
    }
}

/// Reads back what [`put`] wrote.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn header(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let name = self.next()?.unwrap_or_default();
        Some((name, self.next()?))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.is_empty() {
            return None;
        }
        let Ok(length) = usize::try_from(self.0.get_i32()) else {
            return Some(None);
        };
        let (field, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(Some(field))
    }
}

/// A header's value is small, and what comes of a foreign message need not be.
fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(bytes).ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The header that carries the message's id; the runtimes never see it among the headers.
const MESSAGE_ID: &str = "saga-message-id";

const DEAD_SOURCE: &str = "saga-dead-source";
const DEAD_PARTITION: &str = "saga-dead-partition";
const DEAD_OFFSET: &str = "saga-dead-offset";

/// A dead letter that is dead-lettered again says so anew.
const DEAD_HEADERS: [&str; 4] = [DEAD_REASON, DEAD_SOURCE, DEAD_PARTITION, DEAD_OFFSET];

/// What an envelope's header may have.
const REASON_BYTES_MAX: usize = 1024;

/// The names and values of a command's headers and the key come to about 500 bytes.
const ROOM_FOR_HEADERS: usize = 640;

/// A command has ten headers, a reply eight.
const HEADERS_USUAL: usize = 10;

#[cfg(test)]
mod tests {
    use rdkafka::message::{Headers as Borrowed, OwnedMessage, Timestamp};

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            id: MessageId::from_uuid(Uuid::from_u128(1)),
            destination: Destination::new("orders").unwrap(),
            key: SagaId::from_uuid(Uuid::from_u128(2)),
            headers: Headers::from_iter([("saga-kind", "command"), ("text", "naïve ☃"), ("empty", "")]),
            body: Bytes::from_static(b"body"),
        }
    }

    /// What a broker would give back of a record.
    fn stored(outgoing: Outgoing<'_>) -> OwnedMessage {
        let (key, body) = (outgoing.key.map(Vec::from), outgoing.body.map(Vec::from));
        let topic = outgoing.topic.to_owned();
        OwnedMessage::new(body, key, topic, Timestamp::NotAvailable, 0, 0, Some(outgoing.headers))
    }

    #[test]
    fn an_envelope_comes_back_as_it_was_sent() {
        for body in [&b"body"[..], b""] {
            let sent = Envelope { body: Bytes::from_static(body), ..envelope() };
            let record = Record::copy(&stored(Outgoing::of(&sent)));
            assert_eq!(record.envelope(&sent.destination), sent);
        }
    }

    #[test]
    fn a_dead_letter_of_a_dead_letter_says_its_own_reason_first() {
        let sent = envelope();
        let origin = Origin { topic: "orders", partition: 3, offset: 7 };
        let record = Record::copy(&stored(Outgoing::of(&sent)));
        let once = Record::copy(&stored(record.dead_letter("orders.dead", "first", &origin)));
        let twice = Record::copy(&stored(once.dead_letter("orders.dead.dead", "second", &origin)));
        let read = twice.envelope(&sent.destination);
        assert_eq!(read.headers.value(DEAD_REASON), Some("second"));
        assert_eq!(read.headers.value(DEAD_OFFSET), Some("7"));
        assert_eq!(read.headers.len(), sent.headers.len() + DEAD_HEADERS.len());
        assert_eq!((read.id, read.key, read.body), (sent.id, sent.key, sent.body));
    }

    #[test]
    fn a_reason_of_megabytes_is_cut_between_characters() {
        let record = Record::copy(&stored(Outgoing::of(&envelope())));
        let origin = Origin { topic: "orders", partition: 0, offset: 0 };
        let letter =
            Record::copy(&stored(record.dead_letter("orders.dead", &"é".repeat(1_000_000), &origin)));
        let headers = letter.envelope(&envelope().destination).headers;
        assert_eq!(headers.value(DEAD_REASON).map(str::len), Some(REASON_BYTES_MAX));
    }

    /// Headers of which the client library cannot give the second.
    struct Unreadable;

    impl Borrowed for Unreadable {
        fn count(&self) -> usize {
            2
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert_eq!(index, 0, "a name that is not text");
            Some(Header { key: "first", value: Some(b"value") })
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_stops_nobody() {
        let mut buffer = Vec::new();
        put(&mut buffer, None);
        put(&mut buffer, Some(b"body"));
        put_headers(&mut buffer, Some(&Unreadable));
        let read = Record(buffer.into()).envelope(&envelope().destination);
        assert_eq!(read.headers, Headers::from_iter([("first", "value")]));
        assert!(read.key.as_uuid().is_nil() && read.id.as_uuid().is_nil());
    }
}
