//! Commands, replies and all else that travels, to envelopes and back. `docs/wire.md` describes the same for other languages.

mod command;
mod end_notice;
mod notification;
mod reader;
mod release;
mod reply;
#[cfg(test)]
mod tests;

pub use command::{COMMAND_VALID, CommandMessage};
pub use end_notice::EndNotice;
pub use notification::NotificationMessage;
pub use reader::DecodeError;
use reader::Reader;
pub use release::ReleaseMessage;
pub use reply::ReplyMessage;

use super::Envelope;

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

/// The names of the headers, as `docs/wire.md` lists them.
mod header {
    pub(super) const WIRE: &str = "saga-wire";
    pub(super) const KIND: &str = "saga-kind";
    pub(super) const SAGA: &str = "saga-id";
    pub(super) const STEP: &str = "saga-step";
    pub(super) const DIRECTION: &str = "saga-direction";
    pub(super) const ATTEMPT: &str = "saga-attempt";
    pub(super) const TYPE: &str = "saga-type";
    pub(super) const REPLY_TO: &str = "saga-reply-to";
    pub(super) const NOT_AFTER: &str = "saga-not-after";
    pub(super) const ANSWER: &str = "saga-answer";
    pub(super) const TRACE_PARENT: &str = "traceparent";
}

/// The wire format's version. A reader takes only what it knows.
const WIRE_VERSION: &str = "1";
const KIND_COMMAND: &str = "command";
const KIND_REPLY: &str = "reply";
const KIND_NOTIFICATION: &str = "notification";
const KIND_RELEASE: &str = "release";
const KIND_END_NOTICE: &str = "end-notice";
