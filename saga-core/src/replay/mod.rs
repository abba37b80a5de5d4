//! Replay: a saga's journal, applied again, by the definition that wrote it or by another one.
//!
//! A [`Recording`] is a saga with its journal, as a file: what it began with, what happened, what was decided and sent,
//! and where that led. It is taken from a [`History`](crate::port::History), without what customers would not like to
//! read in a repository, and kept as a test. When the definition has changed, it is replayed, and a [`Difference`] says
//! at which event sagas would go another way. `docs/replay.md` has the whole road.
//!
//! A recording is only made of a journal that its definition makes again, decision by decision; and it is only redacted
//! if what is hidden changes no decision.

mod difference;
mod fold;
mod recording;
mod redaction;
mod stand_in;

pub use difference::{Difference, Outcome};
pub use recording::{End, Line, Message, Recording, RecordingError};
