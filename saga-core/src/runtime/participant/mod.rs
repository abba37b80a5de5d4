//! The participant: takes commands, does the service's work exactly once, and replies.

mod builder;
mod external;
mod forgetting;
mod handler;
mod intake;
mod job;
mod service;
mod suspects;
mod watching;
mod worker;

pub use builder::{ParticipantBuilder, ParticipantError, Participating, participant};
pub use handler::{External, Handle, Handled, Reply, Undo};
pub(crate) use service::{Answered, Handlers};
pub use service::{Service, service};
