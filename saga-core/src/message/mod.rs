//! What travels: typed commands and replies, and the envelope that carries them over any transport.
//!
//! An [`Envelope`] is decoded once, at the edge, into a [`CommandMessage`] or a [`ReplyMessage`]; what is not
//! one of these is dead-lettered with the [`DecodeError`] as its reason. `docs/wire.md` has the format.

mod command;
mod envelope;
mod least;
mod payload;
mod wire;

pub use command::{Command, Participant, Undoes};
pub use envelope::{Envelope, Headers};
pub use payload::{Payload, PayloadError};
pub(crate) use wire::shortened;
pub use wire::{
    Answer, CommandMessage, DecodeError, FAULT_BYTES_MAX, Fault, FaultKind, NotificationMessage,
    ReplyMessage, TraceParent,
};
