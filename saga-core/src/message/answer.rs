//! What a participant says to a command, or why it could say nothing.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Payload;
use crate::id::Direction;

/// What a participant says to a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The work is done; here is its reply.
    Done(Payload),
    /// The business said no; there was no effect.
    Refused(Payload),
    /// The effect is taken back, or never was and never will be.
    Undone,
    /// The work was not done and never will be.
    Closed,
    /// The work is under way: an external call, or a saga that this step runs. Nobody knows yet.
    Running,
    /// Something went wrong that is not the business's doing; nothing was stored.
    Fault(Fault),
}

impl Answer {
    /// The answer's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Answer::Done(_) => "done",
            Answer::Refused(_) => "refused",
            Answer::Undone => "undone",
            Answer::Closed => "closed",
            Answer::Running => "running",
            Answer::Fault(Fault { kind: FaultKind::Temporary, .. }) => "fault-temporary",
            Answer::Fault(Fault { kind: FaultKind::Permanent, .. }) => "fault-permanent",
        }
    }

    /// Whether a command in this direction can have this answer at all.
    pub const fn answers(&self, direction: Direction) -> bool {
        match (direction, self) {
            (_, Answer::Running | Answer::Fault(_)) | (Direction::Close, _) => true,
            (Direction::Do, Answer::Done(_) | Answer::Refused(_) | Answer::Closed) => true,
            (Direction::Do, Answer::Undone) => false,
            (Direction::Undo, Answer::Undone) => true,
            (Direction::Undo, Answer::Done(_) | Answer::Refused(_) | Answer::Closed) => false,
        }
    }

    /// Its name on the wire and its body.
    pub(super) fn into_parts(self) -> (&'static str, Bytes) {
        let name = self.name();
        let body = match self {
            Answer::Done(payload) | Answer::Refused(payload) => payload.as_bytes().clone(),
            Answer::Fault(fault) => fault.message.into(),
            Answer::Undone | Answer::Closed | Answer::Running => Bytes::new(),
        };
        (name, body)
    }

    /// The answer with this name and body, if there is one.
    pub(super) fn from_parts(name: &str, body: Payload) -> Option<Self> {
        match name {
            "done" => Some(Answer::Done(body)),
            "refused" => Some(Answer::Refused(body)),
            "undone" => Some(Answer::Undone),
            "closed" => Some(Answer::Closed),
            "running" => Some(Answer::Running),
            "fault-temporary" => Some(Answer::Fault(Fault::temporary(body.as_text()))),
            "fault-permanent" => Some(Answer::Fault(Fault::permanent(body.as_text()))),
            _ => None,
        }
    }
}

/// Why a participant could not say yes or no.
///
/// `?` turns any error into a temporary one, so a handler reads straight through.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// Whether trying again may help.
    pub kind: FaultKind,
    /// What happened, for a human. At most [`FAULT_BYTES_MAX`] bytes are kept.
    pub message: String,
}

impl Fault {
    /// A fault that may be gone at the next try: a lost connection, a lock, a service that is starting.
    pub fn temporary(message: impl fmt::Display) -> Self {
        Fault { kind: FaultKind::Temporary, message: shortened(&message.to_string()) }
    }

    /// A fault that no retry will mend: a bug, an impossible request. It parks the saga.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Fault { kind: FaultKind::Permanent, message: shortened(&message.to_string()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Fault::temporary(error)
    }
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Trying again may help.
    Temporary,
    /// Trying again will not help; a human is needed.
    Permanent,
}

/// Cuts a text that came from outside to a length that fits every table, log line and header.
pub(crate) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(FAULT_BYTES_MAX)].replace('\0', "")
}

/// A fault's message or another reason travels and is stored; a stack trace of megabytes must not.
pub const FAULT_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_megabytes_is_cut_between_characters() {
        let fault = Fault::temporary("é".repeat(1_000_000));
        assert!(fault.message.len() <= FAULT_BYTES_MAX);
        assert!(fault.message.chars().all(|c| c == 'é'));
    }
}
