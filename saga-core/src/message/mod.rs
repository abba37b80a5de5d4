//! What travels: typed commands and replies, and the envelope that carries them over any transport.
//!
//! An [`Envelope`] is decoded once, at the edge, into a [`CommandMessage`] or a [`ReplyMessage`]; what is not
//! one of these is dead-lettered with the [`DecodeError`] as its reason. `docs/wire.md` has the format.

mod answer;
mod command;
mod envelope;
mod least;
mod payload;
mod trace;
mod wire;

pub(crate) use answer::shortened;
pub use answer::{Answer, FAULT_BYTES_MAX, Fault, FaultKind};
pub use command::{Command, Local, Participant, Undoes};
pub use envelope::{Envelope, Headers};
pub use payload::{Payload, PayloadError};
pub use trace::TraceParent;
pub(crate) use wire::Incoming;
pub use wire::{
    COMMAND_VALID, CommandMessage, DecodeError, EndNotice, NotificationMessage, ReleaseMessage, ReplyMessage,
};
