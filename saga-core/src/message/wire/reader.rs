//! Reads the headers and bodies of envelopes, and says what is wrong with them.

use std::fmt;
use std::str::FromStr;

use super::{WIRE_VERSION, header};
use crate::id::Direction;
use crate::message::{Answer, Envelope, Payload, PayloadError, TraceParent, shortened};

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
    Body(#[from] PayloadError),
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

    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, DecodeError> {
        self.0.headers.value(name).ok_or(DecodeError::Missing(name))
    }

    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<T, DecodeError> {
        let value = self.text(name)?;
        value.parse().map_err(|error: T::Err| DecodeError::Header {
            name,
            value: shortened(value),
            why: format!("cannot be read: {error}"),
        })
    }

    /// A missing or malformed trace context starts a new trace, as the W3C recommendation asks.
    pub(super) fn trace(&self) -> TraceParent {
        let given = self.0.headers.value(header::TRACE_PARENT).and_then(TraceParent::parse);
        given.unwrap_or_else(|| TraceParent::of_message(self.0.key, self.0.id))
    }

    pub(super) fn answer(&self) -> Result<Answer, DecodeError> {
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
