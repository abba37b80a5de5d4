//! What a transport carries, with nothing in it that belongs to one broker.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Destination, MessageId, SagaId};

/// A message as a transport sees it: where it goes, an id, headers and a body.
///
/// A transport delivers all of it byte for byte, and looks at nothing but `destination`, `id` and `key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Identifies the message. A resend has the same id, so two messages of one batch may share it.
    pub id: MessageId,
    /// The queue or topic.
    pub destination: Destination,
    /// Messages of one saga share the key; a transport with ordered lanes puts them into one. Only speed hangs on it.
    pub key: SagaId,
    /// Names and values, each at most 1 KiB, at most 32 of them.
    pub headers: Headers,
    /// The body, at most [`BODY_BYTES_MAX`](crate::port::BODY_BYTES_MAX) unless configured otherwise.
    pub body: Bytes,
}

/// Header names and values in the order they were added. Small, so a list rather than a map.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// No headers, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Headers(Vec::with_capacity(capacity))
    }

    /// Adds a header. Names are unique by agreement, and the first one counts.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the header `name`, if it is there.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All names and values, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Headers(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
